//! Addresses: what people use, what roles listen on, what they connect to.

use std::{collections::BTreeMap, net::SocketAddr};

use secrecy::ExposeSecret;
use url::{Host, Url};

use super::{Findings, in_list};
use crate::{Config, SecretSource, load::steps};

pub(super) fn check(config: &Config, findings: &mut Findings) {
    public("public_url", &config.public_url, findings);
    if let Some(url) = &config.auth.public_url {
        public("auth.public_url", url, findings);
    }
    if config.gateway.tls.is_some() && !config.is_https() {
        findings.warn(
            steps("gateway.tls"),
            "the gateway speaks TLS, and public_url says http: cookies will not be Secure",
        );
    }
    listeners(config, findings);
    upstreams(config, findings);
    url(
        "redis.url",
        config.redis.url.as_ref(),
        &["redis", "rediss", "redis+unix", "unix"],
        findings,
    );
    for (key, setting) in [
        ("database.auth_url", &config.database.auth_url),
        ("database.reservation_url", &config.database.reservation_url),
    ] {
        url(key, setting.as_ref(), &["sqlite", "postgres", "postgresql"], findings);
    }
    if let Some(audience) = &config.reservation.audience
        && (audience.is_empty() || audience.contains(char::is_whitespace))
    {
        findings.wrong_at("reservation.audience", "an audience is a text without spaces");
    }
}

fn public(key: &str, url: &Url, findings: &mut Findings) {
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        findings.wrong_at(key, "must be http://HOST or https://HOST");
        return;
    }
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        findings.wrong_at(key, "must be scheme, host and port only, without path or query");
    }
    if !url.username().is_empty() || url.password().is_some() {
        findings.wrong_at(key, "must not hold a user name or password");
    }
    if url.scheme() == "http" && !is_loopback(url) {
        findings.warn(
            steps(key),
            "http sends passwords and cookies readable over the network; use https for anything \
             but localhost",
        );
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn listeners(config: &Config, findings: &mut Findings) {
    let mut taken: BTreeMap<SocketAddr, &str> = BTreeMap::new();
    for (key, address) in config.listeners() {
        if address.port() == 0 {
            continue;
        }
        if let Some(other) = taken.insert(address.get(), key) {
            findings.wrong_at(key, format!("{other} listens on {address} already"));
        }
    }
}

fn upstreams(config: &Config, findings: &mut Findings) {
    const LIST: &str = "gateway.upstreams";
    let mut names: Vec<&str> = Vec::new();
    for (index, upstream) in config.gateway.upstreams.iter().enumerate() {
        if upstream.name.is_empty() {
            findings.wrong(in_list(LIST, index, "name"), "a name cannot be empty");
        } else if names.contains(&upstream.name.as_str()) {
            findings.wrong(
                in_list(LIST, index, "name"),
                format!("there are two upstreams {}", upstream.name),
            );
        }
        names.push(&upstream.name);
        if config.upstream_addresses(upstream).is_empty() {
            findings.wrong(
                in_list(LIST, index, "addresses"),
                format!("the upstream {} has no address", upstream.name),
            );
        }
        for address in &upstream.addresses {
            let port = address.rsplit_once(':').filter(|(host, _)| !host.is_empty());
            if !port.is_some_and(|(_, port)| port.parse::<u16>().is_ok_and(|port| port > 0)) {
                findings.wrong(
                    in_list(LIST, index, "addresses"),
                    format!("{address:?} is not HOST:PORT"),
                );
            }
        }
        if !upstream.health_path.starts_with('/') {
            findings.wrong(in_list(LIST, index, "health_path"), "a path begins with /");
        }
    }
}

/// Checks the scheme of a URL that may hold a password: the URL itself never gets into the reason.
fn url(key: &str, setting: Option<&SecretSource>, schemes: &[&str], findings: &mut Findings) {
    let Some(value) = setting.and_then(SecretSource::value) else { return };
    let scheme = value.expose_secret().split_once(':').map_or("", |(scheme, _)| scheme);
    if !schemes.contains(&scheme) {
        findings.wrong_at(key, format!("must be a URL that begins {}:", schemes.join(":, ")));
    } else if Url::parse(value.expose_secret()).is_err() {
        findings.wrong_at(
            key,
            "not a URL: check host and port, and write what a URL reserves (in a password, too) as %XX",
        );
    }
}
