//! How authservers hear of changes that others make (the command line too): one small Redis stream. Whoever
//! was away for a while, or finds Redis without its data, looks everything up again.

use std::time::Duration;

use haetae_base::{redis::Redis, shutdown::Shutdown};
use redis::{
    AsyncCommands, RedisError,
    streams::{StreamMaxlen, StreamRangeReply, StreamReadOptions, StreamReadReply},
};

const STREAM: &str = "haetae:auth:changes";
/// How many changes the stream keeps.
const KEPT: usize = 1000;
/// How long a read waits for news.
const BLOCK: Duration = Duration::from_secs(2);

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// A client.
    Client,
    /// The ring of signing keys.
    Keys,
}

impl Change {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Keys => "keys",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Client, Self::Keys].into_iter().find(|change| change.as_str() == text)
    }
}

/// Tells every authserver of a change.
pub(crate) async fn announce(redis: &Redis, change: Change) -> Result<(), RedisError> {
    let () = redis
        .connection()
        .xadd_maxlen(STREAM, StreamMaxlen::Approx(KEPT), "*", &[("change", change.as_str())])
        .await?;
    Ok(())
}

/// Calls `on_change` for each change until shutdown; with `None` when changes may have been missed.
pub(crate) async fn follow(redis: Redis, on_change: impl Fn(Option<Change>), shutdown: Shutdown) {
    let work = async {
        loop {
            if let Err(error) = follow_once(&redis, &on_change).await {
                tracing::debug!(%error, "changes are not heard of");
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    tokio::select! {
        () = work => {}
        () = shutdown.requested() => {}
    }
}

async fn follow_once(redis: &Redis, on_change: &impl Fn(Option<Change>)) -> Result<(), RedisError> {
    let mut connection = redis.dedicated(BLOCK + Duration::from_secs(2)).await?;
    let newest: StreamRangeReply = connection.xrevrange_count(STREAM, "+", "-", 1).await?;
    let mut position = newest.ids.first().map_or_else(|| "0".to_owned(), |id| id.id.clone());
    // What happened before this position may have been missed.
    on_change(None);
    let block = usize::try_from(BLOCK.as_millis()).unwrap_or(1000);
    let options = StreamReadOptions::default().block(block).count(100);
    loop {
        let news: Option<StreamReadReply> =
            connection.xread_options(&[STREAM], &[&position], &options).await?;
        for element in news.into_iter().flat_map(|news| news.keys).flat_map(|stream| stream.ids) {
            position.clone_from(&element.id);
            let change = element.get::<String>("change");
            on_change(change.as_deref().and_then(Change::parse));
        }
    }
}
