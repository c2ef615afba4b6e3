//! The one source of randomness. Everything that must be unguessable (tokens, codes, cookies, salts)
//! comes from here, out of the operating system's generator by way of `aws-lc-rs`.

use aws_lc_rs::rand;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::SecretString;

/// Fills `buffer` with bytes that nobody can guess.
///
/// # Panics
/// When the operating system has no randomness to give: nothing that this process could do without it
/// would be safe.
#[expect(clippy::expect_used, reason = "without randomness nothing safe is left to do")]
#[expect(clippy::disallowed_methods, reason = "the one place that asks for randomness")]
pub fn fill(buffer: &mut [u8]) {
    rand::fill(buffer).expect("the operating system's random generator failed");
}

/// `N` bytes that nobody can guess.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut buffer = [0; N];
    fill(&mut buffer);
    buffer
}

/// A bearer secret of 256 random bits in unpadded base64url: 43 characters.
pub fn token() -> SecretString {
    URL_SAFE_NO_PAD.encode(bytes::<32>()).into()
}

/// A number that is uniform in `0..bound`, for jitter and one-time codes; 0 when `bound` is 0.
pub fn below(bound: u64) -> u64 {
    if bound == 0 {
        return 0;
    }
    // Rejection keeps it uniform: the last incomplete run of `bound` values is thrown away.
    let limit = u64::MAX - u64::MAX % bound;
    loop {
        let value = u64::from_le_bytes(bytes());
        if value < limit {
            return value % bound;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn tokens_are_long_and_never_the_same() {
        let tokens: HashSet<String> =
            (0..1000).map(|_| token().expose_secret().to_owned()).collect();
        assert_eq!(tokens.len(), 1000);
        assert!(tokens.iter().all(|token| token.len() == 43));
    }

    #[test]
    fn below_stays_below_and_reaches_every_value() {
        let seen: HashSet<u64> = (0..1000).map(|_| below(6)).collect();
        assert_eq!(seen, (0..6).collect());
        assert_eq!(below(0), 0);
    }
}
