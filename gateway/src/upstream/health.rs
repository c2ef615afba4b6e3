//! Asking the instances whether they live, beside the requests: one that hangs is found by this before the
//! first request has waited its time out, and one that is down is used again as soon as it is back, without a
//! person's request as the trial.

use std::{collections::HashSet, net::SocketAddr, sync::Arc, time::Duration};

use haetae_base::{clock::Clock, shutdown::Shutdown};
use reqwest::StatusCode;

use super::{Endpoint, Pool};
use crate::metrics;

/// How often an instance that failed is asked.
const ROUND: Duration = Duration::from_millis(500);
/// Every so many rounds the others are asked too.
const ROUNDS: u32 = 2;
/// Every so many rounds names are looked up again, for instances that were added.
const RESOLVE: u32 = 60;
/// And while one does not answer: a container or pod that was started again has another address.
const RESOLVE_LOST: u32 = 2;
/// How long an instance may take to say that it lives.
const PATIENCE: Duration = Duration::from_secs(1);

/// Watches the instances of `pool` until shutdown.
pub(crate) async fn watch(
    pool: Arc<Pool>,
    client: reqwest::Client,
    clock: Arc<dyn Clock>,
    shutdown: Shutdown,
) {
    tell(&pool, &[]);
    let mut without_path = HashSet::new();
    let mut round: u32 = 0;
    let mut ticks = tokio::time::interval(ROUND);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shutdown.requested() => return,
        }
        round = round.wrapping_add(1);
        let every = if pool.misses_one() { RESOLVE_LOST } else { RESOLVE };
        if round.is_multiple_of(every) && pool.has_names() {
            let before = pool.endpoints();
            let looking = Arc::clone(&pool);
            // A lookup that panics is a lookup that failed: the instances stay.
            let _looked_up = tokio::task::spawn_blocking(move || looking.resolve()).await;
            tell(&pool, &before);
        }
        let all = round % ROUNDS == 1;
        let endpoints = pool.endpoints();
        let asked =
            endpoints.iter().filter(|endpoint| all || endpoint.is_suspect()).map(|endpoint| {
                let request = ask(&client, endpoint.address(), pool.health_path());
                async move { (endpoint, request.await) }
            });
        for (endpoint, answer) in futures::future::join_all(asked).await {
            match answer {
                Health::Lives => endpoint.succeeded(&pool),
                Health::NoSuchPath => {
                    if without_path.insert(endpoint.address()) {
                        tracing::warn!(
                            upstream = pool.name(),
                            path = pool.health_path(),
                            "answers 404 to its health_path; taken for alive because it answers"
                        );
                    }
                    endpoint.succeeded(&pool);
                }
                Health::Dead => endpoint.failed(&pool, clock.now()),
            }
        }
        count(&pool);
    }
}

/// Tells which instances there are, where there were those in `before`.
fn tell(pool: &Pool, before: &[Arc<Endpoint>]) {
    let now = pool.endpoints();
    let gone = |was: &&Arc<Endpoint>| now.iter().all(|is| is.address() != was.address());
    for endpoint in before.iter().filter(gone) {
        metrics::upstream_up(pool.name(), endpoint.address(), false);
    }
    for endpoint in now.iter() {
        metrics::upstream_up(pool.name(), endpoint.address(), !endpoint.is_down());
    }
    count(pool);
}

fn count(pool: &Pool) {
    let all = pool.endpoints();
    let down = all.iter().filter(|endpoint| endpoint.is_down()).count();
    metrics::upstream_instances(pool.name(), all.len() - down, down);
}

enum Health {
    Lives,
    NoSuchPath,
    Dead,
}

async fn ask(client: &reqwest::Client, address: SocketAddr, path: &str) -> Health {
    match client.get(format!("http://{address}{path}")).timeout(PATIENCE).send().await {
        Ok(response) if response.status().is_success() => Health::Lives,
        Ok(response) if response.status() == StatusCode::NOT_FOUND => Health::NoSuchPath,
        _ => Health::Dead,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use haetae_base::{clock::Timestamp, telemetry::metrics::Metrics};
    use haetae_config::Config;

    use super::*;

    #[test]
    fn an_instance_that_its_name_no_longer_leads_to_is_not_up() {
        let metrics = Metrics::start();
        let at = |address: &str| {
            let mut config = Config::for_tests(Path::new("/nonexistent"));
            config.gateway.upstreams.truncate(1);
            for upstream in &mut config.gateway.upstreams {
                "moving".clone_into(&mut upstream.name);
                upstream.addresses = vec![address.to_owned()];
            }
            Pool::all(&config).remove("moving").expect("the upstream")
        };
        let (before, now) = (at("127.0.0.1:1"), at("127.0.0.2:1"));
        let says = |series: &str| {
            let text = metrics.render();
            text.lines().any(|line| line == format!("haetae_gateway_upstream_{series}"))
        };
        tell(&before, &[]);
        assert!(says("up{upstream=\"moving\",address=\"127.0.0.1:1\"} 1"));
        tell(&now, &before.endpoints());
        assert!(says("up{upstream=\"moving\",address=\"127.0.0.1:1\"} 0"));
        assert!(says("up{upstream=\"moving\",address=\"127.0.0.2:1\"} 1"));
        assert!(says("instances{upstream=\"moving\",state=\"up\"} 1"));
        for _ in 0..3 {
            now.endpoints()
                .iter()
                .for_each(|endpoint| endpoint.failed(&now, Timestamp::from_seconds(1)));
        }
        count(&now);
        assert!(says("instances{upstream=\"moving\",state=\"up\"} 0"));
        assert!(says("instances{upstream=\"moving\",state=\"down\"} 1"));
    }
}
