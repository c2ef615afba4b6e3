//! The table of routes: by host, then by path, then by method.

use std::{collections::HashMap, sync::Arc};

use haetae_config::{Config, gateway};
use haetae_keys::claims::Acr;
use http::{HeaderValue, Method};

use super::Route;
use crate::{
    limit::{InvalidLimit, Limit, fields},
    metrics::RouteMetrics,
    upstream::{AUTHSERVER, Pool},
};

/// All routes.
#[derive(Debug)]
pub(crate) struct Table {
    any_host: Paths,
    hosts: HashMap<String, Paths>,
    /// The authserver's own host. Nothing else is there.
    login_host: Option<String>,
    routes: Vec<Arc<Route>>,
    limits: Vec<Arc<Limit>>,
}

/// The routes of one host: patterns, and for each the routes that share it.
#[derive(Debug, Default)]
struct Paths {
    router: matchit::Router<usize>,
    patterns: HashMap<String, usize>,
    entries: Vec<Vec<Arc<Route>>>,
}

/// What was found for a request.
#[derive(Debug)]
pub(crate) enum Found<'a> {
    /// The route.
    Route(&'a Arc<Route>),
    /// There are routes for the path, but not for the method.
    OtherMethods(&'a [Arc<Route>]),
    /// No route has the path.
    Nothing,
}

/// Routes that do not fit together, in a line for the operator.
#[derive(Debug, thiserror::Error)]
pub enum InvalidRoutes {
    /// A pattern that cannot be read or that overlaps another.
    #[error("gateway.routes: {route:?} has the path {path:?}: {source}")]
    Path {
        /// The route.
        route: String,
        /// Its path.
        path: String,
        /// Why.
        source: matchit::InsertError,
    },
    /// A name that nothing has.
    #[error("gateway.routes: {route:?} names the {kind} {name:?}, which is not configured")]
    Unknown {
        /// The route.
        route: String,
        /// `upstream` or `limit`.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// A method that is not one.
    #[error("gateway.routes: {route:?} has the method {method:?}, which is not one")]
    Method {
        /// The route.
        route: String,
        /// The method.
        method: String,
    },
    /// An origin that is not one.
    #[error(
        "gateway.routes: {route:?} has the CORS origin {origin:?}; write one such as https://app.example"
    )]
    Origin {
        /// The route.
        route: String,
        /// The origin.
        origin: String,
    },
    /// Two routes that nothing tells apart.
    #[error("gateway.routes: {first:?} and {second:?} have the same host, path and method")]
    Same {
        /// The one that stands first.
        first: String,
        /// The other.
        second: String,
    },
    /// More limits than can be told in one answer.
    #[error("gateway.routes: {route:?} has more than {} limits", fields::MOST)]
    TooManyLimits {
        /// The route.
        route: String,
    },
    /// A limit that cannot be counted.
    #[error(transparent)]
    Limit(#[from] InvalidLimit),
}

impl Table {
    /// The table as configured.
    ///
    /// # Errors
    /// [`InvalidRoutes`].
    pub(crate) fn new(
        config: &Config,
        pools: &HashMap<String, Arc<Pool>>,
    ) -> Result<Self, InvalidRoutes> {
        let limits = config.gateway.limits.iter().map(Limit::new).collect::<Result<Vec<_>, _>>()?;
        let mut table = Self {
            any_host: Paths::default(),
            hosts: HashMap::new(),
            login_host: config.login_host(),
            routes: Vec::new(),
            limits,
        };
        for setting in &config.gateway.routes {
            let route = Arc::new(table.route(config, setting, pools)?);
            let own = table.login_host.as_ref().filter(|_| setting.upstream == AUTHSERVER);
            let paths = match setting.host.as_ref().or(own) {
                Some(host) => table.hosts.entry(host.to_ascii_lowercase()).or_default(),
                None => &mut table.any_host,
            };
            paths.insert(setting, &route)?;
            table.routes.push(route);
        }
        Ok(table)
    }

    fn route(
        &self,
        config: &Config,
        setting: &gateway::Route,
        pools: &HashMap<String, Arc<Pool>>,
    ) -> Result<Route, InvalidRoutes> {
        let unknown = |kind, name: &str| InvalidRoutes::Unknown {
            route: setting.name.clone(),
            kind,
            name: name.to_owned(),
        };
        let upstream =
            pools.get(&setting.upstream).ok_or_else(|| unknown("upstream", &setting.upstream))?;
        let methods = setting
            .methods
            .iter()
            .map(|method| {
                Method::from_bytes(method.as_bytes()).map_err(|_| InvalidRoutes::Method {
                    route: setting.name.clone(),
                    method: method.clone(),
                })
            })
            .collect::<Result<_, _>>()?;
        let mut limits: Vec<Arc<Limit>> = setting
            .limits
            .iter()
            .map(|name| {
                let found = self.limits.iter().find(|limit| limit.name() == name);
                found.cloned().ok_or_else(|| unknown("limit", name))
            })
            .collect::<Result<_, _>>()?;
        if limits.len() > fields::MOST {
            return Err(InvalidRoutes::TooManyLimits { route: setting.name.clone() });
        }
        // Those that need nobody to be known are counted first.
        limits.sort_by_key(|limit| !limit.is_by_address());
        let cors_origins = setting
            .cors_origins
            .iter()
            .map(|origin| origin_value(&setting.name, origin))
            .collect::<Result<_, _>>()?;
        Ok(Route {
            metrics: RouteMetrics::new(&setting.name),
            name: setting.name.as_str().into(),
            methods,
            upstream: Arc::clone(upstream),
            authenticate: setting.authenticate,
            scopes: setting.scopes.clone(),
            acr: setting.acr.map(|acr| match acr {
                gateway::Acr::OneFactor => Acr::OneFactor,
                gateway::Acr::TwoFactor => Acr::TwoFactor,
                gateway::Acr::PhishingResistant => Acr::PhishingResistant,
            }),
            max_age: setting.max_age.map(|age| *age),
            limit_policy: fields::policy(limits.iter().map(AsRef::as_ref)),
            limits,
            when_stale: setting.when_stale,
            max_body_bytes: setting.max_body_bytes.unwrap_or(config.gateway.max_body_bytes).bytes(),
            timeout: *setting.timeout.unwrap_or(config.gateway.request_timeout),
            cors_origins,
            is_api: setting.path == "/api" || setting.path.starts_with("/api/"),
        })
    }

    /// Finds the route of a request. `host` is without port, as it was sent.
    pub(crate) fn find(&self, host: &str, path: &str, method: &Method) -> Found<'_> {
        if !self.hosts.is_empty() || self.login_host.is_some() {
            let lower;
            let host = if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
                lower = host.to_ascii_lowercase();
                &lower
            } else {
                host
            };
            if let Some(paths) = self.hosts.get(host) {
                match paths.find(path, method) {
                    Found::Nothing => {}
                    found => return found,
                }
            }
            if self.login_host.as_deref() == Some(host) {
                return Found::Nothing;
            }
        }
        self.any_host.find(path, method)
    }

    /// All limits.
    pub(crate) fn limits(&self) -> &[Arc<Limit>] {
        &self.limits
    }
}

impl Paths {
    fn insert(
        &mut self,
        setting: &gateway::Route,
        route: &Arc<Route>,
    ) -> Result<(), InvalidRoutes> {
        let known = self.patterns.get(&setting.path).copied();
        let at = known.unwrap_or(self.entries.len());
        if known.is_none() {
            self.router.insert(&setting.path, at).map_err(|source| InvalidRoutes::Path {
                route: setting.name.clone(),
                path: setting.path.clone(),
                source,
            })?;
            self.patterns.insert(setting.path.clone(), at);
            self.entries.push(Vec::new());
        }
        let Some(entry) = self.entries.get_mut(at) else { return Ok(()) };
        let clash = entry.iter().find(|other| {
            (other.methods.is_empty() && route.methods.is_empty())
                || other.methods.iter().any(|method| route.methods.contains(method))
        });
        if let Some(other) = clash {
            return Err(InvalidRoutes::Same {
                first: other.name.to_string(),
                second: setting.name.clone(),
            });
        }
        entry.push(Arc::clone(route));
        // A route for named methods goes before the one for all the others.
        entry.sort_by_key(|route| route.methods.is_empty());
        Ok(())
    }

    fn find(&self, path: &str, method: &Method) -> Found<'_> {
        let Ok(matched) = self.router.at(path) else { return Found::Nothing };
        let Some(entry) = self.entries.get(*matched.value) else { return Found::Nothing };
        match entry.iter().find(|route| route.takes(method)) {
            Some(route) => Found::Route(route),
            None => Found::OtherMethods(entry),
        }
    }
}

fn origin_value(route: &str, origin: &str) -> Result<HeaderValue, InvalidRoutes> {
    let invalid = || InvalidRoutes::Origin { route: route.to_owned(), origin: origin.to_owned() };
    let url = url::Url::parse(origin).map_err(|_| invalid())?;
    if url.origin().ascii_serialization() != origin {
        return Err(invalid());
    }
    HeaderValue::from_str(origin).map_err(|_| invalid())
}

/// The value of `Allow` for the routes of one path (RFC 9110 10.2.1).
pub(crate) fn allow(routes: &[Arc<Route>]) -> HeaderValue {
    let mut methods: Vec<&str> =
        routes.iter().flat_map(|route| &route.methods).map(Method::as_str).collect();
    if methods.contains(&"GET") && !methods.contains(&"HEAD") {
        methods.push("HEAD");
    }
    methods.sort_unstable();
    methods.dedup();
    HeaderValue::try_from(methods.join(", ")).unwrap_or(HeaderValue::from_static(""))
}
