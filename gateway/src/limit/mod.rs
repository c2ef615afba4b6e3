//! Rate limits: exact GCRA, counted in this process.
//!
//! Pingora's own limiter is a count-min sketch, which refuses the innocent when keys collide.

pub(crate) mod fields;
pub(crate) mod gcra;
pub(crate) mod key;
pub(crate) mod local;

use std::{net::IpAddr, sync::Arc};

use haetae_base::clock::Timestamp;
use haetae_config::gateway::{Limit as LimitSetting, LimitKey};

pub(crate) use self::fields::Fields;
use self::{gcra::Rate, key::Key, local::Counters};

/// One configured limit and its counters.
#[derive(Debug)]
pub(crate) struct Limit {
    name: String,
    key: LimitKey,
    rate: Rate,
    counters: Counters,
}

/// What a limit says to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Whether the request may go on.
    pub(crate) admitted: bool,
    /// How many more may come now.
    pub(crate) remaining: u64,
    /// Admitted: seconds until the full burst is there again. Refused: seconds until one may come.
    pub(crate) seconds: u64,
}

/// A limit that cannot be counted, in a line for the operator.
#[derive(Debug, thiserror::Error)]
#[error("gateway.limits: {name:?} cannot be counted: {source}")]
pub struct InvalidLimit {
    /// The limit.
    pub name: String,
    /// Why.
    pub source: gcra::InvalidRate,
}

impl Limit {
    /// The limit as configured.
    ///
    /// # Errors
    /// When its numbers cannot be counted exactly.
    pub(crate) fn new(setting: &LimitSetting) -> Result<Arc<Self>, InvalidLimit> {
        let burst = setting.burst.unwrap_or(setting.quota);
        let rate = Rate::new(setting.quota, *setting.window, burst)
            .map_err(|source| InvalidLimit { name: setting.name.clone(), source })?;
        Ok(Arc::new(Self {
            name: setting.name.clone(),
            key: setting.key,
            rate,
            counters: Counters::new(),
        }))
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its rate.
    pub(crate) const fn rate(&self) -> &Rate {
        &self.rate
    }

    /// Whether it can be counted before anybody is known.
    pub(crate) fn is_by_address(&self) -> bool {
        self.key == LimitKey::Address
    }

    /// Counts one request, by address where nobody is known.
    pub(crate) fn count(
        &self,
        address: IpAddr,
        subject: Option<&str>,
        client: Option<&str>,
        now: Timestamp,
    ) -> Verdict {
        let known = match self.key {
            LimitKey::Address => None,
            LimitKey::Subject => subject,
            LimitKey::Client => client,
        };
        let key = known.map_or_else(|| Key::Address(key::network(address)), Key::Name);
        self.counters.count(&self.rate, &key, now)
    }

    /// Forgets the keys that have nothing on their account any more.
    pub(crate) fn sweep(&self, now: Timestamp) {
        self.counters.sweep(&self.rate, now);
    }
}
