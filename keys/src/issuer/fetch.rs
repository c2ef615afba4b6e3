//! Fetching a JWKS over HTTP: bounded in size, time and number, without redirects.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use haetae_base::clock::{Clock, Timestamp};
use reqwest::{Client, StatusCode, header, redirect};
use url::{Host, Url};

use super::key_set::KeySet;
use crate::verify::VerifyError;

/// The longest JWKS that is read, in bytes.
const MAX_BODY: usize = 256 * 1024;
/// How many names of keys that the issuer does not have are remembered.
const MAX_MISSING: usize = 256;

/// How an issuer's keys are fetched and how long they are trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchOptions {
    /// How often they are fetched again in the background.
    pub refresh_every: Duration,
    /// The shortest time between two requests that unknown keys cause, however many tokens name them.
    pub min_interval: Duration,
    /// How long a key that the issuer did not have is not asked for again.
    pub missing_for: Duration,
    /// How long keys are trusted when the issuer does not answer any more.
    pub max_stale: Duration,
    /// How long the issuer may take to answer.
    pub timeout: Duration,
    /// Whether plain `http` to another machine is allowed: only on a network that is trusted as much as
    /// the issuer itself, such as the one between the containers of one deployment.
    pub plain_http: bool,
}

impl Default for FetchOptions {
    /// Every five minutes; unknown keys at most every five seconds, each once a minute; stale keys for a
    /// day; three seconds to answer; no plain `http`.
    fn default() -> Self {
        Self {
            refresh_every: Duration::from_mins(5),
            min_interval: Duration::from_secs(5),
            missing_for: Duration::from_mins(1),
            max_stale: Duration::from_hours(24),
            timeout: Duration::from_secs(3),
            plain_http: false,
        }
    }
}

/// A source of keys that is set up wrongly.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// There is no address.
    #[error("no address is given to fetch keys from")]
    Nowhere,
    /// Keys that anybody on the way could change are worth nothing.
    #[error("{0} must be https (plain http only on this machine)")]
    Insecure(Url),
    /// The HTTP client cannot be made.
    #[error("cannot set up the HTTP client")]
    Client(#[source] reqwest::Error),
}

/// Keys that could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No answer.
    #[error("no answer: {0}")]
    Request(#[source] reqwest::Error),
    /// An answer that is not 200.
    #[error("the answer is {0}")]
    Status(StatusCode),
    /// An answer that is too long.
    #[error("the answer is longer than {MAX_BODY} bytes")]
    TooLong,
    /// An answer that is not a JWKS.
    #[error("the answer is not a JWKS")]
    Malformed,
    /// A JWKS without one key that can be used. The keys that are known stay.
    #[error("the answer has no key that can be used")]
    NoUsableKey,
}

/// Where the keys come from.
pub(super) struct Source {
    /// The instances of the issuer, each of which answers for all.
    pub(super) urls: Vec<Url>,
    /// The one that answered last.
    good: AtomicUsize,
    pub(super) options: FetchOptions,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) flight: Arc<tokio::sync::Mutex<Flight>>,
    client: Client,
}

impl Source {
    pub(super) fn new(
        urls: Vec<Url>,
        options: FetchOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, SetupError> {
        let plain = |url: &Url| url.scheme() == "http" && (is_loopback(url) || options.plain_http);
        if let Some(url) = urls.iter().find(|url| url.scheme() != "https" && !plain(url)) {
            return Err(SetupError::Insecure(url.clone()));
        }
        if urls.is_empty() {
            return Err(SetupError::Nowhere);
        }
        let mut client = Client::builder()
            .redirect(redirect::Policy::none())
            .https_only(urls.iter().all(|url| url.scheme() == "https"))
            .timeout(options.timeout)
            .connect_timeout(options.timeout);
        if urls.iter().all(|url| url.scheme() == "http") {
            // Otherwise the client would not even start on a machine without certificates.
            client = client.tls_certs_only([]);
        }
        if urls.iter().any(plain) {
            // A proxy could not reach this machine's loopback, and is not a part of that trusted network.
            client = client.no_proxy();
        }
        let client = client.build().map_err(SetupError::Client)?;
        let (flight, good) = (Arc::default(), AtomicUsize::new(0));
        Ok(Self { urls, good, options, clock, flight, client })
    }

    /// Asks the instance that answered last, and if it does not, the others in turn.
    pub(super) async fn fetch(&self, generation: u64) -> Result<KeySet, FetchError> {
        let first = self.good.load(Ordering::Relaxed);
        let mut outcome = Err(FetchError::NoUsableKey);
        let instances = self.urls.iter().enumerate().cycle().skip(first).take(self.urls.len());
        for (at, url) in instances {
            outcome = self.ask(url, generation).await;
            match &outcome {
                Ok(_) => {
                    self.good.store(at, Ordering::Relaxed);
                    break;
                }
                Err(error) => tracing::debug!(%url, %error, "this one gives no keys"),
            }
        }
        outcome
    }

    async fn ask(&self, url: &Url, generation: u64) -> Result<KeySet, FetchError> {
        let request = self.client.get(url.clone()).header(header::ACCEPT, "application/json");
        let mut response = request.send().await.map_err(FetchError::Request)?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(response.status()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(FetchError::Request)? {
            if body.len() + chunk.len() > MAX_BODY {
                return Err(FetchError::TooLong);
            }
            body.extend_from_slice(&chunk);
        }
        let keys = KeySet::parse(&body, generation).ok_or(FetchError::Malformed)?;
        if keys.is_empty() {
            return Err(FetchError::NoUsableKey);
        }
        Ok(keys)
    }

    /// The addresses, for the log.
    pub(super) fn addresses(&self) -> String {
        self.urls.iter().map(Url::as_str).collect::<Vec<_>>().join(", ")
    }

    /// A tenth of a second after the first failure, since gateway and issuer may start together; then
    /// twice as long each time, up to half a minute.
    pub(super) fn retry_after(&self, failures: u32) -> Duration {
        let millis = 100_u64 << failures.saturating_sub(1).min(9);
        Duration::from_millis(millis.min(30_000)).min(self.options.refresh_every)
    }
}

/// What is remembered between requests. Whoever holds it is the only one to fetch.
#[derive(Debug, Default)]
pub(super) struct Flight {
    last: Option<Timestamp>,
    /// Whether the last request gave no keys: then nobody can say that a key does not exist.
    failed: bool,
    missing: VecDeque<(String, Timestamp)>,
}

impl Flight {
    pub(super) fn begin(&mut self, now: Timestamp) {
        self.last = Some(now);
        // Until it has ended well: it may be given up half-way.
        self.failed = true;
    }

    pub(super) fn succeeded(&mut self) {
        self.failed = false;
    }

    /// What to say about a key that is not known: a token is only refused on the issuer's own word. A name that it
    /// did not have a moment ago is refused also while it cannot be asked.
    pub(super) fn verdict(
        &self,
        kid: &str,
        now: Timestamp,
        options: &FetchOptions,
        error: VerifyError,
    ) -> VerifyError {
        if error == VerifyError::UnknownKey && self.failed && !self.is_missing(kid, now, options) {
            VerifyError::KeysUnreachable
        } else {
            error
        }
    }

    /// Whether a token may cause a request for this key now.
    pub(super) fn may_ask_for(&self, kid: &str, now: Timestamp, options: &FetchOptions) -> bool {
        let rested = self.last.is_none_or(|last| now.since(last) >= options.min_interval);
        rested && !self.is_missing(kid, now, options)
    }

    fn is_missing(&self, kid: &str, now: Timestamp, options: &FetchOptions) -> bool {
        self.missing.iter().any(|(known, at)| known == kid && now.since(*at) < options.missing_for)
    }

    pub(super) fn remember_missing(&mut self, kid: &str, now: Timestamp) {
        self.missing.retain(|(known, _)| known != kid);
        if self.missing.len() >= MAX_MISSING {
            self.missing.pop_front();
        }
        self.missing.push_back((kid.to_owned(), now));
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
