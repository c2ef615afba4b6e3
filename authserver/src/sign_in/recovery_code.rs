//! Recovery codes: the way in when the authenticator is lost. Each works once; only hashes are stored.

use haetae_base::{
    entropy,
    secret::{ExposeSecret, SecretHash, SecretString},
};

/// How many codes one set has.
pub(crate) const CODES: usize = 10;
/// Characters in a code: 80 bits, which nobody finds by trying, not even with the hashes in hand.
const LENGTH: usize = 16;
/// Crockford's base32: no I, L, O or U, so that a printed code is read back right.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// A set of new codes, as they are shown once: `xxxx-xxxx-xxxx-xxxx`.
pub(crate) fn generate() -> Vec<SecretString> {
    (0..CODES).map(|_| one().into()).collect()
}

fn one() -> String {
    let mut code = String::with_capacity(LENGTH + 3);
    for (index, byte) in entropy::bytes::<LENGTH>().into_iter().enumerate() {
        if index > 0 && index % 4 == 0 {
            code.push('-');
        }
        let character = ALPHABET.get(usize::from(byte % 32)).copied().unwrap_or(b'0');
        code.push(char::from(character));
    }
    code
}

/// Whether what a person typed has the form of a code, right or wrong.
pub(crate) fn looks_like_one(typed: &SecretString) -> bool {
    hash("", typed).is_some()
}

/// The hash of what a person typed, to look up. `None` when it cannot be a code. Reads capitals, spaces
/// and the look-alikes of Crockford's alphabet. The account goes in, so that equal codes of two accounts
/// have different hashes.
pub(crate) fn hash(account: &str, typed: &SecretString) -> Option<SecretHash> {
    let typed = typed.expose_secret();
    if typed.len() > 128 {
        return None;
    }
    let code: Option<String> = typed
        .chars()
        .filter(|character| !character.is_whitespace() && *character != '-')
        .map(|character| match character.to_ascii_lowercase() {
            'o' => Some('0'),
            'i' | 'l' => Some('1'),
            other => {
                u8::try_from(other).is_ok_and(|byte| ALPHABET.contains(&byte)).then_some(other)
            }
        })
        .collect();
    let code = code.filter(|code| code.len() == LENGTH)?;
    Some(SecretHash::of(&format!("haetae recovery code\n{account}\n{code}")))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn codes_are_distinct_and_readable() {
        let codes = generate();
        let distinct: HashSet<_> =
            codes.iter().map(|code| code.expose_secret().to_owned()).collect();
        assert_eq!(distinct.len(), CODES);
        for code in distinct {
            assert_eq!(code.len(), 19, "{code}");
            assert!(code.split('-').all(|group| group.len() == 4), "{code}");
        }
    }

    #[test]
    fn a_code_is_recognised_however_it_is_typed() {
        let code = |text: &str| hash("usr_1", &text.to_owned().into());
        let stored = code("0123-4567-89ab-cdef").expect("a code");
        assert_eq!(code("0123456789ABCDEF"), Some(stored));
        assert_eq!(code(" o1 23 45 67 89 ab cd ef "), Some(stored));
        assert_eq!(code("0l23-4567-89ab-cdef"), Some(stored));
        assert_ne!(hash("usr_2", &"0123-4567-89ab-cdef".to_owned().into()), Some(stored));
        for wrong in ["", "0123-4567-89ab-cde", "0123-4567-89ab-cdeu", "가나다라"] {
            assert_eq!(code(wrong), None, "{wrong}");
        }
    }
}
