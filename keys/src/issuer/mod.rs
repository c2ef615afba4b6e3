//! The published keys of one issuer, as a verifier needs them: always at hand, refreshed in the background,
//! and kept for a while when the issuer does not answer.

mod fetch;
mod key_set;

#[cfg(test)]
mod tests;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use arc_swap::{ArcSwap, Guard};
use haetae_base::{
    clock::{Clock, Timestamp},
    entropy,
    shutdown::Shutdown,
};
use tokio::sync::OwnedMutexGuard;
use url::Url;

pub use self::{
    fetch::{FetchError, FetchOptions, SetupError},
    key_set::KeySet,
};
use self::{
    fetch::{Flight, Source},
    key_set::Lookup,
};
use crate::{
    algorithm::Algorithm,
    jwks::JwkSet,
    verify::{VerifyError, VerifyingKey},
};

/// The keys of one issuer.
pub struct IssuerKeys {
    current: ArcSwap<KeySet>,
    /// When the keys were last confirmed, in milliseconds; [`NEVER`] before the first time.
    confirmed_at: AtomicI64,
    source: Option<Source>,
}

const NEVER: i64 = i64::MIN;

impl IssuerKeys {
    /// Keys that are at hand already: of this very process, or in a test.
    pub fn fixed(jwks: &JwkSet) -> Arc<Self> {
        Arc::new(Self {
            current: ArcSwap::from_pointee(KeySet::of(jwks, 1)),
            confirmed_at: AtomicI64::new(0),
            source: None,
        })
    }

    /// Keys that are fetched from one of `urls`, the instances of the issuer: from another one when the last does
    /// not answer. Fetches nothing yet: spawn [`IssuerKeys::run`].
    ///
    /// # Errors
    /// [`SetupError`] when there is no URL, or one is neither `https` nor `http` to this machine (unless the options allow
    /// it), or the HTTP client cannot be made.
    pub fn fetched(
        urls: Vec<Url>,
        options: FetchOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, SetupError> {
        Ok(Arc::new(Self {
            current: ArcSwap::from_pointee(KeySet::default()),
            confirmed_at: AtomicI64::new(NEVER),
            source: Some(Source::new(urls, options, clock)?),
        }))
    }

    /// Keeps the keys fresh until shutdown. Ends at once for keys that are not fetched.
    pub async fn run(&self, shutdown: Shutdown) {
        let Some(source) = &self.source else { return };
        let mut failures = 0_u32;
        while !shutdown.is_requested() {
            let pause = match self.refresh().await {
                Ok(()) => {
                    failures = 0;
                    source.options.refresh_every
                }
                Err(error) => {
                    failures = failures.saturating_add(1);
                    // When everything starts at once the issuer is a moment later: no reason to warn.
                    if failures < 3 && self.age().is_none() {
                        tracing::debug!(urls = %source.addresses(), %error, "no keys of the issuer yet");
                    } else {
                        tracing::warn!(urls = %source.addresses(), %error, failures, "cannot fetch the issuer's keys");
                    }
                    source.retry_after(failures)
                }
            };
            tokio::select! {
                () = shutdown.requested() => {}
                () = tokio::time::sleep(jittered(pause)) => {}
            }
        }
    }

    /// Fetches the keys now. Those that are known stay when it fails.
    ///
    /// # Errors
    /// [`FetchError`] when the issuer does not answer with keys.
    pub async fn refresh(&self) -> Result<(), FetchError> {
        let Some(source) = &self.source else { return Ok(()) };
        let mut flight = source.flight.lock().await;
        self.fetch(source, &mut flight).await
    }

    /// Whether tokens can be verified: keys were loaded, and not too long ago.
    pub fn ready(&self) -> bool {
        let now = self.source.as_ref().map(|source| source.clock.now());
        self.usable(now.unwrap_or_default()).is_ok()
    }

    /// How long ago the issuer last confirmed the keys; `None` when it never did.
    pub fn age(&self) -> Option<Duration> {
        let confirmed = self.confirmed_at.load(Ordering::Acquire);
        let source = self.source.as_ref()?;
        (confirmed != NEVER).then(|| source.clock.now().since(Timestamp::from_millis(confirmed)))
    }

    /// The keys as they are now.
    pub(crate) fn current(&self) -> Guard<Arc<KeySet>> {
        self.current.load()
    }

    /// Replaces keys that are not fetched.
    pub(crate) fn replace(&self, jwks: &JwkSet) {
        let generation = self.current.load().generation() + 1;
        self.adopt(KeySet::of(jwks, generation));
    }

    pub(crate) fn usable(&self, now: Timestamp) -> Result<(), VerifyError> {
        let Some(source) = &self.source else { return Ok(()) };
        match self.confirmed_at.load(Ordering::Acquire) {
            NEVER => Err(VerifyError::KeysNeverLoaded),
            at if now.since(Timestamp::from_millis(at)) > source.options.max_stale => {
                Err(VerifyError::KeysStale)
            }
            _ => Ok(()),
        }
    }

    /// The key `kid`, fetched if it is not known. Asking costs at most one request in
    /// [`FetchOptions::min_interval`], however many ask and whatever they ask for. Within that time the answer is
    /// what the last request gave: [`VerifyError::UnknownKey`] when the issuer said which keys it has,
    /// [`VerifyError::KeysUnreachable`] when it said nothing.
    pub(crate) async fn find_or_fetch(
        self: &Arc<Self>,
        kid: &str,
        algorithm: Algorithm,
    ) -> Result<(Arc<VerifyingKey>, u64), VerifyError> {
        let first = self.find(kid, algorithm);
        let Some(source) = &self.source else { return first };
        if !first.as_ref().is_err_and(|error| worth_fetching(*error)) {
            return first;
        }
        // One at a time: who waited here may find that another fetched what it needs.
        let flight = Arc::clone(&source.flight).lock_owned().await;
        let now = source.clock.now();
        let second = self.find(kid, algorithm);
        if second.is_ok() || !flight.may_ask_for(kid, now, &source.options) {
            return second.map_err(|error| flight.verdict(kid, now, &source.options, error));
        }
        // In a task of its own: a caller that hangs up must not take the fetch away from all others.
        let (keys, name) = (Arc::clone(self), kid.to_owned());
        let fetching = tokio::spawn(async move { keys.fetch_for(&name, algorithm, flight).await });
        fetching.await.unwrap_or(second)
    }

    async fn fetch_for(
        &self,
        kid: &str,
        algorithm: Algorithm,
        mut flight: OwnedMutexGuard<Flight>,
    ) -> Result<(Arc<VerifyingKey>, u64), VerifyError> {
        let Some(source) = &self.source else { return self.find(kid, algorithm) };
        let fetched = self.fetch(source, &mut flight).await;
        let (now, found) = (source.clock.now(), self.find(kid, algorithm));
        match &fetched {
            Ok(()) if found.is_err() => flight.remember_missing(kid, now),
            Ok(()) => {}
            Err(error) => {
                tracing::warn!(urls = %source.addresses(), %error, "cannot fetch the issuer's keys");
            }
        }
        found.map_err(|error| flight.verdict(kid, now, &source.options, error))
    }

    fn find(
        &self,
        kid: &str,
        algorithm: Algorithm,
    ) -> Result<(Arc<VerifyingKey>, u64), VerifyError> {
        if let Some(source) = &self.source {
            self.usable(source.clock.now())?;
        }
        let keys = self.current.load();
        match keys.find(kid, algorithm) {
            Lookup::Found(key) => Ok((key, keys.generation())),
            Lookup::OtherAlgorithm => Err(VerifyError::AlgorithmMismatch),
            Lookup::Unknown => Err(VerifyError::UnknownKey),
        }
    }

    async fn fetch(&self, source: &Source, flight: &mut Flight) -> Result<(), FetchError> {
        flight.begin(source.clock.now());
        let result = source.fetch(self.current.load().generation() + 1).await;
        let outcome = if result.is_ok() { "ok" } else { "failed" };
        metrics::counter!("haetae_keys_jwks_fetch_total", "outcome" => outcome).increment(1);
        let fetched = result?;
        self.adopt(fetched);
        self.confirmed_at.store(source.clock.now().as_millis(), Ordering::Release);
        flight.succeeded();
        Ok(())
    }

    /// Takes new keys over, unless they are the old ones: then tokens that were verified stay so without
    /// a second look.
    fn adopt(&self, keys: KeySet) {
        if !self.current.load().same_keys(&keys) {
            self.current.store(Arc::new(keys));
        }
    }
}

const fn worth_fetching(error: VerifyError) -> bool {
    matches!(error, VerifyError::UnknownKey) || error.is_unavailable()
}

/// Up to a tenth shorter, so that many gateways don't ask in step.
fn jittered(pause: Duration) -> Duration {
    let tenth = u64::try_from(pause.as_millis() / 10).unwrap_or(u64::MAX);
    pause.saturating_sub(Duration::from_millis(entropy::below(tenth + 1)))
}

impl fmt::Debug for IssuerKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses = self.source.as_ref().map_or("fixed".to_owned(), Source::addresses);
        write!(formatter, "IssuerKeys({addresses}, {} keys)", self.current().len())
    }
}
