//! Numbers that must not be zero, and rate limits.

use super::{Findings, in_list};
use crate::{Config, gateway::Limit};

pub(super) fn check(config: &Config, findings: &mut Findings) {
    rates(&config.gateway.limits, findings);
    let gateway = &config.gateway;
    findings.in_range("gateway.max_header_bytes", gateway.max_header_bytes.bytes(), 1024..=1 << 20);
    // Pingora's parser takes no more than 256.
    findings.in_range("gateway.max_headers", as_u64(gateway.max_headers), 1..=250);
    findings.in_range("gateway.max_connections", as_u64(gateway.max_connections), 1..=u64::MAX);
    let by_address = as_u64(gateway.max_connections_per_address);
    findings.in_range("gateway.max_connections_per_address", by_address, 1..=u64::MAX);
    findings.in_range("gateway.max_uri_bytes", gateway.max_uri_bytes.bytes(), 256..=1 << 16);
    findings.in_range("gateway.token_cache", as_u64(gateway.token_cache), 1..=u64::MAX);
    if gateway.browser.client_id.is_empty() {
        findings.wrong_at("gateway.browser.client_id", "cannot be empty");
    }

    let password = &config.auth.password;
    findings.in_range("auth.password.min_length", as_u64(password.min_length), 8..=64);
    let parallelism = u64::from(password.parallelism);
    findings.in_range("auth.password.parallelism", parallelism, 1..=255);
    findings.in_range("auth.password.iterations", password.iterations.into(), 1..=100);
    let memory = u64::from(password.memory_kib);
    findings.in_range("auth.password.memory_kib", memory, (8 * parallelism)..=4 << 20);
    // The weakest that OWASP lists: m=7 MiB, t=5; in between it trades memory for passes.
    if memory.saturating_mul(password.iterations.into()) < 7168 * 5 {
        findings.warn(
            crate::load::steps("auth.password.memory_kib"),
            "weaker than OWASP's least parameters: a stolen database is cheaper to guess in",
        );
    }
    let most = 1..=10_000;
    let (tokens, session) = (&config.auth.tokens, &config.auth.session);
    let refresh = as_u64(tokens.refresh_per_client);
    findings.in_range("auth.tokens.refresh_per_client", refresh, most.clone());
    findings.in_range("auth.session.per_account", as_u64(session.per_account), most.clone());
    let browsers = as_u64(gateway.browser.per_account);
    findings.in_range("gateway.browser.per_account", browsers, most);
    findings.in_range("auth.login.attempts", config.auth.login.attempts.into(), 1..=1_000_000);

    if config.keys.algorithms.is_empty() {
        findings.wrong_at("keys.algorithms", "at least one is needed");
    }
    for (index, algorithm) in config.keys.algorithms.iter().enumerate() {
        if config.keys.algorithms.iter().take(index).any(|other| other == algorithm) {
            findings.wrong(
                in_list("keys.algorithms", index, ""),
                format!("{algorithm} is there twice"),
            );
        }
    }

    findings.in_range("reservation.partitions", config.reservation.partitions.into(), 1..=1024);
    let batch = as_u64(config.reservation.accept_batch);
    findings.in_range("reservation.accept_batch", batch, 1..=10_000);
    findings.in_range("worker.batch", as_u64(config.worker.batch), 1..=10_000);
    let memory = config.redis.private_max_memory.bytes();
    findings.in_range("redis.private_max_memory", memory, 64 << 20..=1 << 40);
    let connections = config.database.max_connections.into();
    findings.in_range("database.max_connections", connections, 2..=1000);
}

fn rates(limits: &[Limit], findings: &mut Findings) {
    const LIST: &str = "gateway.limits";
    let mut names: Vec<&str> = Vec::new();
    for (index, limit) in limits.iter().enumerate() {
        let mut wrong = |key: &str, reason: &str| findings.wrong(in_list(LIST, index, key), reason);
        if limit.name.is_empty() {
            wrong("name", "a name cannot be empty");
        } else if names.contains(&limit.name.as_str()) {
            wrong("name", &format!("there are two limits {}", limit.name));
        }
        names.push(&limit.name);
        if limit.quota == 0 {
            wrong("quota", "a quota of 0 lets nothing through; take the limit out, or the route");
        }
        if limit.window.is_zero() {
            wrong("window", "must be longer than zero");
        }
        match limit.burst {
            Some(0) => wrong("burst", "a burst of 0 lets nothing through"),
            Some(burst) if burst > limit.quota => wrong("burst", "cannot be more than the quota"),
            _ => {}
        }
    }
}

fn as_u64(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
