//! Request ids: unique over all gateways, cheap, and not secret.

use std::sync::{
    LazyLock,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use haetae_base::entropy;
use http::HeaderValue;

/// The id under which logs, answers and upstreams know a request. Clones share its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestId(HeaderValue);

/// A longer one is not taken over from a proxy.
const LONGEST: usize = 128;

impl RequestId {
    /// A new id: 64 random bits that this process keeps, and a count.
    pub(crate) fn make() -> Self {
        static PROCESS: LazyLock<[u8; 16]> =
            LazyLock::new(|| hex(u64::from_le_bytes(entropy::bytes())));
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let mut text = [0; 32];
        let (process, count) = text.split_at_mut(16);
        process.copy_from_slice(&*PROCESS);
        count.copy_from_slice(&hex(COUNT.fetch_add(1, Ordering::Relaxed)));
        let text = HeaderValue::from_maybe_shared(Bytes::copy_from_slice(&text));
        Self(text.unwrap_or(HeaderValue::from_static("-")))
    }

    /// The id that a trusted proxy gave, when it is one that can be logged without care.
    pub(crate) fn adopt(value: &HeaderValue) -> Option<Self> {
        let bytes = value.as_bytes();
        let legal = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=@".contains(byte);
        (!bytes.is_empty() && bytes.len() <= LONGEST && bytes.iter().all(legal))
            .then(|| Self(value.clone()))
    }

    /// The text.
    pub(crate) fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    /// The text as a field value.
    pub(crate) fn to_header(&self) -> HeaderValue {
        self.0.clone()
    }
}

fn hex(value: u64) -> [u8; 16] {
    let mut text = [0; 16];
    for (at, digit) in text.iter_mut().rev().enumerate() {
        let nibble = (value >> (4 * at)) & 15;
        *digit = char::from_digit(u32::try_from(nibble).unwrap_or(0), 16)
            .map_or(b'0', |digit| digit as u8);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_and_read_well() {
        let (one, two) = (RequestId::make(), RequestId::make());
        assert_ne!(one, two);
        assert_eq!(one.as_str().len(), 32);
        assert_eq!(hex(0xfe), *b"00000000000000fe");
    }

    #[test]
    fn takes_over_only_what_is_harmless_in_a_log() {
        assert!(RequestId::adopt(&HeaderValue::from_static("trace-1.2:3")).is_some());
        for bad in ["", "a b", "a\tb", "a\"b"] {
            assert!(RequestId::adopt(&HeaderValue::from_static(bad)).is_none(), "{bad}");
        }
        let long = "a".repeat(129);
        assert!(RequestId::adopt(&HeaderValue::from_str(&long).expect("value")).is_none());
    }
}
