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

/// What an authserver hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// Something changed.
    Changed(Change),
    /// Whatever changed before may have been missed; from now on everything is heard of.
    Missed,
    /// From now on nothing is heard of.
    Silence,
}

/// Tells every authserver of a change.
pub(crate) async fn announce(redis: &Redis, change: Change) -> Result<(), RedisError> {
    let () = redis
        .connection()
        .xadd_maxlen(STREAM, StreamMaxlen::Approx(KEPT), "*", &[("change", change.as_str())])
        .await?;
    Ok(())
}

/// Calls `hear` with all news until shutdown.
pub(crate) async fn follow(redis: Redis, hear: impl Fn(News), shutdown: Shutdown) {
    let work = async {
        loop {
            if let Err(error) = follow_once(&redis, &hear).await {
                tracing::debug!(%error, "changes are not heard of");
            }
            hear(News::Silence);
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    tokio::select! {
        () = work => {}
        () = shutdown.requested() => {}
    }
}

async fn follow_once(redis: &Redis, hear: &impl Fn(News)) -> Result<(), RedisError> {
    let mut connection = redis.dedicated(BLOCK + Duration::from_secs(2)).await?;
    let newest: StreamRangeReply = connection.xrevrange_count(STREAM, "+", "-", 1).await?;
    let mut position = newest.ids.first().map_or_else(|| "0".to_owned(), |id| id.id.clone());
    hear(News::Missed);
    let block = usize::try_from(BLOCK.as_millis()).unwrap_or(1000);
    let options = StreamReadOptions::default().block(block).count(100);
    loop {
        let news: Option<StreamReadReply> =
            connection.xread_options(&[STREAM], &[&position], &options).await?;
        for element in news.into_iter().flat_map(|news| news.keys).flat_map(|stream| stream.ids) {
            position.clone_from(&element.id);
            let change = element.get::<String>("change");
            // What a newer version announces may be anything.
            hear(change.as_deref().and_then(Change::parse).map_or(News::Missed, News::Changed));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::testing::OwnRedis;

    #[tokio::test]
    async fn changes_are_heard_of_and_a_gap_is_told() {
        let (server, redis) = OwnRedis::start().await;
        announce(&redis, Change::Keys).await.expect("announced before anybody listens");
        let heard = Arc::new(Mutex::new(Vec::new()));
        let shutdown = Shutdown::new();
        let listener = tokio::spawn({
            let (heard, redis, shutdown) = (Arc::clone(&heard), redis.clone(), shutdown.clone());
            async move {
                let hear = |news| heard.lock().expect("not poisoned").push(news);
                follow(redis, hear, shutdown).await;
            }
        });
        let wait_for = async |count: usize| {
            for _ in 0..500 {
                let now = heard.lock().expect("not poisoned").clone();
                if now.len() >= count {
                    return now;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            panic!("heard {heard:?}");
        };
        assert_eq!(wait_for(1).await, [News::Missed], "what was before may have been missed");
        announce(&redis, Change::Client).await.expect("announced");
        announce(&redis, Change::Keys).await.expect("announced");
        let mut all =
            vec![News::Missed, News::Changed(Change::Client), News::Changed(Change::Keys)];
        assert_eq!(wait_for(3).await, all);
        drop(server);
        all.push(News::Silence);
        assert_eq!(wait_for(4).await.get(..4), Some(all.as_slice()));
        shutdown.request();
        listener.await.expect("ends");
    }
}
