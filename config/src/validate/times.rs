//! Durations: what must be longer than nothing, and what must not be longer than what.

use super::Findings;
use crate::{Config, Duration};

pub(super) fn check(config: &Config, findings: &mut Findings) {
    let gateway = &config.gateway;
    let browser = &gateway.browser;
    let tokens = &config.auth.tokens;
    for (key, duration) in [
        ("gateway.header_timeout", gateway.header_timeout),
        ("gateway.request_timeout", gateway.request_timeout),
        ("gateway.upstream_connect_timeout", gateway.upstream_connect_timeout),
        ("gateway.keepalive_timeout", gateway.keepalive_timeout),
        ("gateway.browser.idle_timeout", browser.idle_timeout),
        ("gateway.browser.absolute_timeout", browser.absolute_timeout),
        ("gateway.browser.login_timeout", browser.login_timeout),
        ("auth.tokens.access", tokens.access),
        ("auth.tokens.client_credentials", tokens.client_credentials),
        ("auth.tokens.id", tokens.id),
        ("auth.tokens.code", tokens.code),
        ("auth.tokens.refresh_idle", tokens.refresh_idle),
        ("auth.tokens.refresh_absolute", tokens.refresh_absolute),
        ("auth.session.idle", config.auth.session.idle),
        ("auth.session.absolute", config.auth.session.absolute),
        ("auth.login.window", config.auth.login.window),
        ("auth.audit.retention", config.auth.audit.retention),
        ("keys.rotate_every", config.keys.rotate_every),
        ("reservation.hold", config.reservation.hold),
        ("worker.lease", config.worker.lease),
        ("redis.timeout", config.redis.timeout),
        ("denylist.max_staleness", config.denylist.max_staleness),
    ] {
        if duration.is_zero() {
            findings.wrong_at(key, "must be longer than zero");
        }
    }
    let mut at_most = |key: &str, duration: Duration, most: Duration, what: &str| {
        if duration > most {
            findings.wrong_at(key, format!("{duration} is too long; at most {most}{what}"));
        }
    };
    let minutes = |count: u64| Duration::from_secs(60 * count);
    at_most("auth.tokens.leeway", tokens.leeway, minutes(1), "");
    at_most("auth.tokens.code", tokens.code, minutes(10), " (RFC 6749 4.1.2)");
    // Every gateway keeps the revocations of this time in memory.
    at_most("auth.tokens.access", tokens.access, minutes(24 * 60), "");
    at_most("auth.tokens.client_credentials", tokens.client_credentials, minutes(24 * 60), "");
    at_most("auth.tokens.refresh_grace", tokens.refresh_grace, minutes(5), "");
    for (key, duration, most, other) in [
        (
            "auth.tokens.refresh_idle",
            tokens.refresh_idle,
            tokens.refresh_absolute,
            " (auth.tokens.refresh_absolute)",
        ),
        (
            "auth.session.idle",
            config.auth.session.idle,
            config.auth.session.absolute,
            " (auth.session.absolute)",
        ),
        (
            "gateway.browser.idle_timeout",
            browser.idle_timeout,
            browser.absolute_timeout,
            " (gateway.browser.absolute_timeout)",
        ),
        (
            "gateway.browser.refresh_before",
            browser.refresh_before,
            tokens.access,
            " (auth.tokens.access)",
        ),
        ("keys.overlap", config.keys.overlap, config.keys.rotate_every, " (keys.rotate_every)"),
    ] {
        at_most(key, duration, most, other);
    }
}
