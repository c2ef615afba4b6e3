//! A hand on the private Redis of a stack: what an operator could do to it with `redis-cli`.

use std::path::{Path, PathBuf};

/// The Redis of one stack, by its socket.
#[derive(Clone, Debug)]
pub struct Redis {
    socket: PathBuf,
}

impl Redis {
    pub(crate) fn new(socket: &Path) -> Self {
        Self { socket: socket.to_owned() }
    }

    /// Runs one command, given as words, and returns the answer as text.
    pub async fn command(&self, words: &[&str]) -> Result<String, redis::RedisError> {
        let client = redis::Client::open(format!("redis+unix://{}", self.socket.display()))?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        let mut command = redis::cmd(words[0]);
        for word in &words[1..] {
            command.arg(*word);
        }
        let answer: redis::Value = command.query_async(&mut connection).await?;
        Ok(text(&answer))
    }

    /// Forgets everything, at once.
    pub async fn wipe(&self) {
        self.command(&["FLUSHALL"]).await.expect("Redis takes FLUSHALL");
    }

    /// The process id of the server.
    pub async fn pid(&self) -> u32 {
        let info = self.command(&["INFO", "server"]).await.expect("Redis answers");
        info.lines()
            .find_map(|line| line.strip_prefix("process_id:"))
            .and_then(|number| number.trim().parse().ok())
            .expect("INFO names the process")
    }

    /// Whether it answers.
    pub async fn is_up(&self) -> bool {
        self.command(&["PING"]).await.is_ok()
    }
}

fn text(value: &redis::Value) -> String {
    match value {
        redis::Value::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        redis::Value::SimpleString(text) | redis::Value::VerbatimString { text, .. } => {
            text.clone()
        }
        redis::Value::Int(number) => number.to_string(),
        redis::Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join("\n"),
        redis::Value::Okay => "OK".to_owned(),
        other => format!("{other:?}"),
    }
}
