//! `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10): structured fields, in
//! which a policy's name is a quoted string.

use std::fmt::Write;

use http::{HeaderName, HeaderValue};

use super::{Limit, Verdict};

/// The field that tells the policies.
pub(crate) const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// The field that tells what is left.
pub(crate) const STATE: HeaderName = HeaderName::from_static("ratelimit");

/// What the limits of a route said to one request, for its answer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fields {
    verdicts: [Option<Verdict>; MOST],
}

/// A route has at most this many limits.
pub(crate) const MOST: usize = 4;

impl Fields {
    /// Notes what the limit at place `at` of the route said.
    pub(crate) fn note(&mut self, at: usize, verdict: Verdict) {
        if let Some(place) = self.verdicts.get_mut(at) {
            *place = Some(verdict);
        }
    }

    /// The value of `RateLimit`. `None` when no limit was asked.
    pub(crate) fn state<'a>(&self, limits: impl Iterator<Item = &'a Limit>) -> Option<HeaderValue> {
        let mut text = String::new();
        for (limit, verdict) in limits.zip(&self.verdicts) {
            let Some(verdict) = verdict else { continue };
            let separator = if text.is_empty() { "" } else { ", " };
            // Writing to a string cannot fail.
            let _written = write!(
                text,
                "{separator}\"{}\";r={};t={}",
                limit.name(),
                verdict.remaining,
                verdict.seconds
            );
        }
        if text.is_empty() { None } else { HeaderValue::try_from(text).ok() }
    }
}

/// The value of `RateLimit-Policy` for the limits of a route. `None` when there are none. `burst`, a parameter of
/// our own as the draft allows, is how many may come at once when that is less than the quota: `r` of the other
/// field counts down from it.
pub(crate) fn policy<'a>(limits: impl Iterator<Item = &'a Limit>) -> Option<HeaderValue> {
    let items: Vec<String> = limits
        .map(|limit| {
            let (rate, name) = (limit.rate(), limit.name());
            let burst = if rate.burst() == rate.quota() {
                String::new()
            } else {
                format!(";burst={}", rate.burst())
            };
            format!("\"{name}\";q={};w={}{burst}", rate.quota(), rate.window_seconds())
        })
        .collect();
    if items.is_empty() { None } else { HeaderValue::try_from(items.join(", ")).ok() }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use haetae_config::gateway::{Limit as Setting, LimitKey};

    use super::*;

    fn limit(name: &str, quota: u32, burst: Option<u32>) -> Arc<Limit> {
        Limit::new(&Setting {
            name: name.to_owned(),
            key: LimitKey::Address,
            quota,
            window: haetae_config::Duration::from_millis(60_000),
            burst,
        })
        .expect("limit")
    }

    #[test]
    fn both_fields_have_the_form_of_the_draft() {
        let limits = [limit("public", 100, Some(20)), limit("daily", 5, None)];
        let policies = policy(limits.iter().map(AsRef::as_ref)).expect("policies");
        assert_eq!(policies, "\"public\";q=100;w=60;burst=20, \"daily\";q=5;w=60");
        let mut fields = Fields::default();
        assert_eq!(fields.state(limits.iter().map(AsRef::as_ref)), None);
        fields.note(1, Verdict { admitted: false, remaining: 0, seconds: 12 });
        assert_eq!(
            fields.state(limits.iter().map(AsRef::as_ref)).expect("state"),
            "\"daily\";r=0;t=12"
        );
        fields.note(0, Verdict { admitted: true, remaining: 7, seconds: 3 });
        let state = fields.state(limits.iter().map(AsRef::as_ref)).expect("state");
        assert_eq!(state, "\"public\";r=7;t=3, \"daily\";r=0;t=12");
    }
}
