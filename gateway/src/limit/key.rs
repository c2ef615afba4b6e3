//! Whose requests are counted together.

use std::net::IpAddr;

/// The key of a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Key<'a> {
    /// A client address as [`network`] gives it.
    Address(u128),
    /// A subject or a client.
    Name(&'a str),
}

/// What one subscriber is taken for: an IPv4 address, or the /64 of an IPv6 address, out of which its
/// holder can pick 2^64 others.
pub(crate) fn network(address: IpAddr) -> u128 {
    match address.to_canonical() {
        // `::/96` is unused by IPv6, so the two never meet.
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address) & !u128::from(u64::MAX) | (1 << 63),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_subscriber_is_one() {
        let of = |text: &str| network(text.parse().expect(text));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:ffff:ffff:ffff"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_ne!(of("::1"), of("0.0.0.1"));
    }
}
