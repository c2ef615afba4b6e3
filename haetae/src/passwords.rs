//! Passwords that are made up for people: easy to read out and to type, impossible to guess.

use haetae_base::entropy;
use secrecy::SecretString;

/// Without letters and digits that look alike.
const ALPHABET: &[u8; 31] = b"abcdefghjkmnpqrstuvwxyz23456789";
/// Sixteen of 31 are 79 bits.
const GROUPS: usize = 4;
const GROUP: usize = 4;

/// A password of at least `shortest` characters: `k7m2-9xqp-hw4d-tn8c`.
pub(crate) fn make(shortest: usize) -> SecretString {
    let groups = GROUPS.max((shortest + 1).div_ceil(GROUP + 1));
    let mut password = String::with_capacity(groups * (GROUP + 1));
    for index in 0..groups * GROUP {
        if index > 0 && index % GROUP == 0 {
            password.push('-');
        }
        let pick = usize::try_from(entropy::below(31)).unwrap_or_default();
        password.extend(ALPHABET.get(pick).copied().map(char::from));
    }
    password.into()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use haetae_base::secret::ExposeSecret;

    use super::*;

    #[test]
    fn are_long_enough_and_never_the_same() {
        let mut seen = HashSet::new();
        for shortest in 8..64 {
            let password = make(shortest);
            let password = password.expose_secret();
            assert!(password.len() >= shortest.max(19), "{password}");
            assert!(password.split('-').all(|group| group.len() == GROUP), "{password}");
            assert!(seen.insert(password.to_owned()));
        }
    }
}
