//! The tasks that a role runs beside its main work. When one of them dies, the role must not go on as if nothing had
//! happened, ready and doing half of what it is for: whoever runs the role hears of it and ends, and what started
//! the role starts it again.

use std::{collections::HashMap, future};

use tokio::task::{Id, JoinError, JoinSet};

use crate::shutdown::Shutdown;

/// Tasks that are to run until the shutdown. Dropping it ends them at once.
#[derive(Debug, Default)]
pub struct Background {
    tasks: JoinSet<()>,
    names: HashMap<Id, &'static str>,
}

/// A task that ended though it was still needed.
#[derive(Debug, thiserror::Error)]
#[error("the task \"{name}\" ended unexpectedly: {}", .source.as_ref().map_or_else(|| "it returned".to_owned(), ToString::to_string))]
pub struct TaskEnded {
    /// Which.
    pub name: &'static str,
    /// How, if it did not just return.
    #[source]
    pub source: Option<JoinError>,
}

impl Background {
    /// No tasks yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a task. `name` is what an error calls it.
    pub fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let id = self.tasks.spawn(task).id();
        self.names.insert(id, name);
    }

    /// Waits for a task that panics, or ends before the shutdown was requested: for ever when none does. May be
    /// given up and called again.
    pub async fn failed(&mut self, shutdown: &Shutdown) -> TaskEnded {
        while let Some(ended) = self.tasks.join_next_with_id().await {
            let (id, source) = match ended {
                Ok((id, ())) => (id, None),
                Err(error) => (error.id(), Some(error)),
            };
            let name = self.names.remove(&id).unwrap_or_default();
            if source.is_some() || !shutdown.is_requested() {
                return TaskEnded { name, source };
            }
        }
        future::pending().await
    }

    /// Waits until all tasks have ended. Those that panicked are written to the log.
    pub async fn ended(&mut self) {
        while let Some(ended) = self.tasks.join_next_with_id().await {
            if let Err(error) = ended {
                let name = self.names.get(&error.id()).copied().unwrap_or_default();
                tracing::error!(%error, name, "a task in the background died");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_task_that_dies_is_heard_of_by_its_name() {
        let shutdown = Shutdown::new();
        let mut background = Background::new();
        let asked = shutdown.clone();
        background.spawn("lives", async move { asked.requested().await });
        background.spawn("dies", async { panic!("for a test") });
        let error = background.failed(&shutdown).await;
        assert_eq!(error.name, "dies");
        assert!(error.to_string().contains("for a test"), "{error}");
        background.spawn("returns", async {});
        assert_eq!(background.failed(&shutdown).await.name, "returns");
    }

    #[tokio::test]
    async fn after_the_shutdown_tasks_may_end() {
        let shutdown = Shutdown::new();
        let mut background = Background::new();
        let asked = shutdown.clone();
        background.spawn("lives", async move { asked.requested().await });
        shutdown.request();
        let failed = background.failed(&shutdown);
        let waited = tokio::time::timeout(Duration::from_millis(50), failed).await;
        assert!(waited.is_err(), "{waited:?}");
        background.ended().await;
    }
}
