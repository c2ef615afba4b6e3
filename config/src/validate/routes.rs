//! The routes: patterns that can be told apart, names that mean something.

use std::collections::BTreeMap;

use matchit::{InsertError, Router};
use url::Url;

use super::{Findings, in_list};
use crate::{
    Config,
    gateway::{Authenticate, Route},
};

const LIST: &str = "gateway.routes";

pub(super) fn check(config: &Config, findings: &mut Findings) {
    let gateway = &config.gateway;
    if gateway.routes.is_empty() {
        findings.wrong_at(LIST, "without a route the gateway answers nothing");
    }
    let upstreams: Vec<&str> = gateway.upstreams.iter().map(|it| it.name.as_str()).collect();
    let limits: Vec<&str> = gateway.limits.iter().map(|it| it.name.as_str()).collect();
    let mut names: Vec<&str> = Vec::new();
    for (index, route) in gateway.routes.iter().enumerate() {
        let mut wrong =
            |key: &str, reason: String| findings.wrong(in_list(LIST, index, key), reason);
        if route.name.is_empty() {
            wrong("name", "a name cannot be empty".to_owned());
        } else if names.contains(&route.name.as_str()) {
            wrong("name", format!("there are two routes {}", route.name));
        }
        names.push(&route.name);
        if !upstreams.contains(&route.upstream.as_str()) {
            wrong("upstream", no_such("upstream", &route.upstream, &upstreams));
        }
        for limit in &route.limits {
            if !limits.contains(&limit.as_str()) {
                wrong("limits", no_such("limit", limit, &limits));
            }
        }
        fields(route, &mut wrong);
    }
    patterns(&gateway.routes, findings);
}

fn no_such(kind: &str, name: &str, known: &[&str]) -> String {
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    format!("there is no {kind} {name:?}; there are: {known}")
}

fn fields(route: &Route, wrong: &mut dyn FnMut(&str, String)) {
    for method in &route.methods {
        if method.is_empty() || !method.chars().all(|c| c.is_ascii_uppercase() || c == '-') {
            wrong("methods", format!("{method:?} is not a method; write them as in GET"));
        }
    }
    for scope in &route.scopes {
        // RFC 6749 3.3
        let allowed = |c: char| matches!(c, '\x21' | '\x23'..='\x5b' | '\x5d'..='\x7e');
        if scope.is_empty() || !scope.chars().all(allowed) {
            wrong("scopes", format!("{scope:?} is not a scope (RFC 6749 3.3)"));
        }
    }
    if route.authenticate == Authenticate::None {
        for (key, given) in [
            ("scopes", !route.scopes.is_empty()),
            ("acr", route.acr.is_some()),
            ("max_age", route.max_age.is_some()),
        ] {
            if given {
                wrong(key, "needs authenticate = \"required\" or \"optional\"".to_owned());
            }
        }
    }
    if let Some(host) = &route.host {
        let as_url = Url::parse(&format!("http://{host}/"));
        if !as_url.is_ok_and(|url| url.host_str() == Some(host) && url.port().is_none()) {
            wrong("host", format!("{host:?} is not a host in lower case, without port"));
        }
    }
    for origin in &route.cors_origins {
        let parsed = Url::parse(origin);
        if !parsed.is_ok_and(|url| url.origin().ascii_serialization() == *origin) {
            wrong(
                "cors_origins",
                format!("{origin:?} is not an origin; write it as in https://app.example"),
            );
        }
    }
    for (key, zero) in [
        ("timeout", route.timeout.is_some_and(|timeout| timeout.is_zero())),
        ("max_age", route.max_age.is_some_and(|age| age.is_zero())),
    ] {
        if zero {
            wrong(key, "must be longer than zero".to_owned());
        }
    }
}

/// Whether the patterns can be told apart, for each host on its own.
fn patterns(routes: &[Route], findings: &mut Findings) {
    let mut by_host: BTreeMap<Option<&str>, Router<()>> = BTreeMap::new();
    let mut seen: Vec<&Route> = Vec::new();
    for (index, route) in routes.iter().enumerate() {
        let path = in_list(LIST, index, "path");
        if !route.path.starts_with('/') {
            findings.wrong(path, format!("{:?} does not begin with /", route.path));
            continue;
        }
        if route.path == "/session" || route.path.starts_with("/session/") {
            findings.wrong(path, "/session belongs to the gateway itself");
            continue;
        }
        let same = |other: &&&Route| other.host == route.host && other.path == route.path;
        if let Some(other) = seen.iter().filter(same).find(|other| share_method(other, route)) {
            findings.wrong(
                path.clone(),
                format!("the route {} has this path and one of these methods already", other.name),
            );
        }
        let known = seen.iter().any(|other| same(&other));
        seen.push(route);
        if known {
            continue;
        }
        match by_host.entry(route.host.as_deref()).or_default().insert(route.path.as_str(), ()) {
            Ok(()) => {}
            Err(InsertError::Conflict { with }) => {
                findings
                    .wrong(path, format!("{:?} cannot be told apart from {with:?}", route.path));
            }
            Err(error) => {
                findings.wrong(path, format!("{:?} is not a pattern: {error}", route.path));
            }
        }
    }
}

fn share_method(one: &Route, other: &Route) -> bool {
    one.methods.is_empty()
        || other.methods.is_empty()
        || one.methods.iter().any(|method| other.methods.contains(method))
}
