//! `Prefer: wait=N` and `Prefer: respond-async` (RFC 7240).

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

const PREFER: HeaderName = HeaderName::from_static("prefer");
const APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// The longest wait that is granted.
const LONGEST: u64 = 30;

/// How the client would like to be answered. What makes no sense is ignored, as the RFC says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Preference {
    /// Wait so many seconds for the outcome.
    wait: Option<u64>,
    respond_async: bool,
}

impl Preference {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut preference = Self::default();
        for value in headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok()) {
            for item in value.split(',') {
                let item = item.split(';').next().unwrap_or_default().trim();
                let (name, value) = item.split_once('=').unwrap_or((item, ""));
                let value = value.trim().trim_matches('"');
                match name.trim().to_ascii_lowercase().as_str() {
                    // The first one counts.
                    "wait" if preference.wait.is_none() => {
                        preference.wait = value.parse().ok().filter(|wait| *wait > 0);
                    }
                    "respond-async" => preference.respond_async = true,
                    _ => {}
                }
            }
        }
        preference.wait = preference.wait.map(|wait| wait.min(LONGEST));
        preference
    }

    /// How long to wait; `None` for an answer at once.
    pub(super) fn wait(self) -> Option<Duration> {
        self.wait.map(Duration::from_secs)
    }

    /// `Preference-Applied` (RFC 7240 3).
    pub(super) fn applied(self) -> Option<(HeaderName, HeaderValue)> {
        let value = match (self.wait, self.respond_async) {
            (Some(wait), _) => HeaderValue::from_str(&format!("wait={wait}")).ok()?,
            (None, true) => HeaderValue::from_static("respond-async"),
            (None, false) => return None,
        };
        Some((APPLIED, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn preference(value: &str) -> Preference {
        let value = HeaderValue::from_str(value).expect("a value");
        Preference::of(&HeaderMap::from_iter([(PREFER, value)]))
    }

    #[test]
    fn reads_what_makes_sense_and_ignores_the_rest() {
        let wait = |text| preference(text).wait().map(|wait| wait.as_secs());
        assert_eq!(wait("respond-async, wait=10"), Some(10));
        assert_eq!(wait("WAIT = \"5\"; x=y"), Some(5));
        assert_eq!(wait("wait=600"), Some(30));
        assert_eq!(wait("wait=3, wait=20"), Some(3));
        for none in ["wait=x", "wait=-1", "wait=99999999999999999999", "wait", "wait=0"] {
            assert_eq!(wait(none), None, "{none}");
        }
        let (_, applied) = preference("wait=99").applied().expect("applied");
        assert_eq!(applied, "wait=30");
        assert_eq!(preference("respond-async").applied().expect("applied").1, "respond-async");
        assert!(preference("return=minimal").applied().is_none());
    }
}
