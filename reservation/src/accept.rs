//! Accepting requests: one task writes down whatever came in while it was writing, so that many requests
//! share one commit. Nobody is answered before the commit; nobody waits for Redis.

use std::{
    collections::HashSet,
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use haetae_base::clock::Clock;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use crate::{
    queue::bell::Bell,
    store::{
        Store, StoreError,
        accept::{AcceptRequest, AcceptRules, Acceptance},
        idempotency::KeptAnswer,
    },
};

/// How long a worker leaves an accepted reservation to the queue before it looks in SQL.
const GRACE: Duration = Duration::from_secs(1);

/// How many requests wait for their commit at most; more are told to come back.
const QUEUE: usize = 4096;

/// The way to the committing task. Clones lead to the same one.
#[derive(Clone, Debug)]
pub struct Committer {
    sender: mpsc::Sender<Job>,
    running: Running,
}

#[derive(Debug)]
enum Job {
    /// Write a request down.
    Accept(Box<AcceptRequest>, Reply<Acceptance>),
    /// Keep what was answered to one.
    Keep(KeptAnswer, Reply<()>),
}

type Reply<T> = oneshot::Sender<Result<T, AcceptError>>;

/// Why a request could not be written down.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// The same key is being used by another request at this moment.
    #[error("a request with this idempotency key is still running")]
    StillRunning,
    /// Too many wait already, or the service is about to stop.
    #[error("too many requests are waiting")]
    Overloaded,
    /// The database failed.
    #[error(transparent)]
    Store(Arc<StoreError>),
}

/// How requests are gathered, and which of them are taken.
#[derive(Clone, Copy, Debug)]
pub struct Gathering {
    /// How many share a commit at most.
    pub batch: usize,
    /// How long the first of them waits for the others.
    pub linger: Duration,
    /// How many units a person may have in reservations that are not confirmed yet; `None`: any number.
    pub max_open: Option<NonZeroU32>,
}

impl Committer {
    /// Starts the task. It ends when the last committer is dropped, not with the shutdown: a request that was under way
    /// when the shutdown came is still written down, and its answer kept.
    pub fn start(
        store: Store,
        bell: Bell,
        clock: Arc<dyn Clock>,
        gathering: Gathering,
    ) -> (Self, JoinHandle<()>) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let task = Task { store, bell, clock, gathering, receiver };
        let handle = tokio::spawn(task.run());
        (Self { sender, running: Running::default() }, handle)
    }

    /// Has the request written down.
    ///
    /// # Errors
    /// [`AcceptError`]; then it is not.
    pub async fn accept(
        &self,
        request: AcceptRequest,
    ) -> Result<(Acceptance, KeyInUse), AcceptError> {
        let key = (request.new.subject.clone(), request.new.key.key.clone());
        let in_use = self.running.begin(key).ok_or(AcceptError::StillRunning)?;
        let acceptance = self.send(|reply| Job::Accept(Box::new(request), reply)).await?;
        Ok((acceptance, in_use))
    }

    /// Has an answer kept with its key, so that it is the same when the request is repeated.
    ///
    /// # Errors
    /// [`AcceptError`]; then a repeated request is answered with what is there then.
    pub async fn keep(&self, answer: KeptAnswer) -> Result<(), AcceptError> {
        self.send(|reply| Job::Keep(answer, reply)).await
    }

    async fn send<T>(&self, job: impl FnOnce(Reply<T>) -> Job) -> Result<T, AcceptError> {
        let (reply, replied) = oneshot::channel();
        self.sender.try_send(job(reply)).map_err(|_full_or_closed| AcceptError::Overloaded)?;
        replied.await.map_err(|_gone| AcceptError::Overloaded)?
    }
}

/// The keys of requests that are not answered yet. Between processes the primary key in SQL decides.
#[derive(Clone, Debug, Default)]
struct Running(Arc<Mutex<HashSet<(String, String)>>>);

/// A key for as long as its request is being answered.
#[derive(Debug)]
pub struct KeyInUse {
    running: Running,
    key: (String, String),
}

impl Running {
    fn begin(&self, key: (String, String)) -> Option<KeyInUse> {
        let fresh = self.keys().insert(key.clone());
        fresh.then(|| KeyInUse { running: self.clone(), key })
    }

    fn keys(&self) -> MutexGuard<'_, HashSet<(String, String)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for KeyInUse {
    fn drop(&mut self) {
        self.running.keys().remove(&self.key);
    }
}

struct Task {
    store: Store,
    bell: Bell,
    clock: Arc<dyn Clock>,
    gathering: Gathering,
    receiver: mpsc::Receiver<Job>,
}

impl Task {
    async fn run(mut self) {
        while let Some(first) = self.receiver.recv().await {
            let (mut requests, mut answers) = (Vec::new(), Vec::new());
            for job in self.gather(first).await {
                match job {
                    Job::Accept(request, reply) => requests.push((*request, reply)),
                    Job::Keep(answer, reply) => answers.push((answer, reply)),
                }
            }
            if !requests.is_empty() {
                self.accept(requests).await;
            }
            if !answers.is_empty() {
                self.keep(answers).await;
            }
        }
    }

    async fn gather(&mut self, first: Job) -> Vec<Job> {
        let mut jobs = vec![first];
        let full = async {
            while jobs.len() < self.gathering.batch {
                let Some(job) = self.receiver.recv().await else { return };
                jobs.push(job);
            }
        };
        // Whether the batch is full or the time is over: it is written.
        let _either = tokio::time::timeout(self.gathering.linger, full).await;
        jobs
    }

    async fn accept(&self, jobs: Vec<(AcceptRequest, Reply<Acceptance>)>) {
        metrics::histogram!("haetae_reservation_accept_batch_size")
            .record(u32::try_from(jobs.len()).unwrap_or(u32::MAX));
        let (requests, answers): (Vec<_>, Vec<_>) = jobs.into_iter().unzip();
        let rules = AcceptRules { grace: GRACE, max_open: self.gathering.max_open };
        match self.store.accept(requests, rules, self.clock.now()).await {
            Ok(outcomes) => {
                let entries = outcomes.iter().filter_map(|outcome| match outcome {
                    Acceptance::Accepted(accepted) => {
                        Some((accepted.request.partition, accepted.request.id))
                    }
                    Acceptance::KnownKey(_) | Acceptance::Refused(_) => None,
                });
                let entries: Vec<_> = entries.collect();
                metrics::counter!("haetae_reservation_accepted_total")
                    .increment(entries.len() as u64);
                self.bell.ring(entries, Vec::new());
                for (answer, outcome) in answers.into_iter().zip(outcomes) {
                    // Whoever went away finds it in the list.
                    let _gone = answer.send(Ok(outcome));
                }
            }
            Err(error) => {
                tracing::warn!(%error, "requests could not be accepted");
                let error = Arc::new(error);
                for answer in answers {
                    let _gone = answer.send(Err(AcceptError::Store(Arc::clone(&error))));
                }
            }
        }
    }

    async fn keep(&self, jobs: Vec<(KeptAnswer, Reply<()>)>) {
        let (answers, replies): (Vec<_>, Vec<_>) = jobs.into_iter().unzip();
        let kept = self.store.keep_answers(&answers).await.map_err(Arc::new);
        for reply in replies {
            let _gone = reply.send(kept.clone().map_err(AcceptError::Store));
        }
    }
}
