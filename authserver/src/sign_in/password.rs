//! What may be a password, and in which form it is hashed. Length counts, not kinds of characters; what
//! everybody else uses is refused (NIST SP 800-63B 3.1.1.2).

use haetae_base::secret::{ExposeSecret, SecretString};
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

/// No password is longer, in bytes: it bounds what is normalised and hashed for a stranger.
pub(crate) const LONGEST: usize = 1024;

/// Passwords and words that are tried first by everyone who guesses, one a line.
const COMMON: &str = include_str!("common_passwords.txt");

/// Why a text may not be a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unfit {
    /// Fewer characters than the setting asks for.
    #[error("too short")]
    TooShort,
    /// More than [`LONGEST`] bytes.
    #[error("too long")]
    TooLong,
    /// One of the most common passwords, or one of them with digits and punctuation around it.
    #[error("too common")]
    Common,
    /// It holds the user name.
    #[error("contains the user name")]
    ContainsUsername,
}

/// The password as it is hashed and compared: in Unicode normalisation form KC, so that the same keys on
/// another system are the same password. `None` when it is longer than [`LONGEST`] bytes.
pub(crate) fn normalise(typed: &SecretString) -> Option<SecretString> {
    let typed = typed.expose_secret();
    if typed.len() > LONGEST {
        return None;
    }
    if typed.is_ascii() {
        return Some(typed.to_owned().into());
    }
    // A compatibility character may grow, up to eighteen-fold, so the limit holds after it too.
    let normal: Zeroizing<String> = Zeroizing::new(typed.nfkc().collect());
    (normal.len() <= LONGEST).then(|| normal.to_string().into())
}

/// Whether `password` (normalised) may become the password of `username`.
///
/// # Errors
/// [`Unfit`] with the first rule that it breaks.
pub(crate) fn check(
    password: &SecretString,
    username: &str,
    min_length: usize,
) -> Result<(), Unfit> {
    let text = password.expose_secret();
    if text.len() > LONGEST {
        return Err(Unfit::TooLong);
    }
    if text.chars().count() < min_length {
        return Err(Unfit::TooShort);
    }
    let lower = Zeroizing::new(text.to_lowercase());
    if is_common(&lower) {
        return Err(Unfit::Common);
    }
    if username.chars().count() >= 4 && lower.contains(&username.to_lowercase()) {
        return Err(Unfit::ContainsUsername);
    }
    Ok(())
}

fn is_common(lower: &str) -> bool {
    let listed = |word: &str| COMMON.lines().any(|line| line == word);
    // "password2026!!" is "password" with what people add when a form asks for more.
    let core = lower.trim_matches(|character: char| !character.is_alphabetic());
    let distinct = {
        let mut characters: Vec<char> = lower.chars().collect();
        characters.sort_unstable();
        characters.dedup();
        characters.len()
    };
    let repeated = |word: &str| {
        COMMON.lines().any(|line| {
            !line.is_empty() && word.len() > line.len() && word.replace(line, "").is_empty()
        })
    };
    distinct <= 3 || is_run(lower) || listed(lower) || listed(core) || repeated(lower)
}

/// Whether each character follows the one before it: `abcdefghijkl`, `987654321098`.
fn is_run(text: &str) -> bool {
    let follows = |step: i32| {
        text.chars().zip(text.chars().skip(1)).all(|(one, next)| {
            let (one, next) = (i64::from(u32::from(one)), i64::from(u32::from(next)));
            next - one == i64::from(step)
                || (step == 1 && one == i64::from(b'9') && next == i64::from(b'0'))
                || (step == -1 && one == i64::from(b'0') && next == i64::from(b'9'))
        })
    };
    follows(1) || follows(-1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(password: &str) -> Result<(), Unfit> {
        check(&password.to_owned().into(), "minjun.kim", 12)
    }

    #[test]
    fn length_is_what_counts() {
        assert_eq!(verdict("elevenchars"), Err(Unfit::TooShort));
        assert_eq!(verdict("tiger lily on the roof"), Ok(()));
        assert_eq!(verdict("해태가 궁궐 문을 지킨다"), Ok(()));
        assert_eq!(verdict(&"x y z".repeat(300)), Err(Unfit::TooLong));
    }

    #[test]
    fn what_everybody_uses_is_refused() {
        for common in [
            "password2026!",
            "Passwordpassword",
            "123456789012",
            "abcdefghijklm",
            "qwertyqwerty",
            "aaaaaaaaaaaaaaa",
            "ababababababab",
            "1q2w3e4r5t6y",
            "!!!sarang1234567",
        ] {
            assert_eq!(verdict(common), Err(Unfit::Common), "{common}");
        }
    }

    #[test]
    fn the_user_name_is_no_part_of_it() {
        assert_eq!(verdict("I am Minjun.Kim, hello"), Err(Unfit::ContainsUsername));
    }

    #[test]
    fn the_same_keys_are_the_same_password_on_every_system() {
        let normal = |text: &str| {
            normalise(&text.to_owned().into()).map(|secret| secret.expose_secret().to_owned())
        };
        // Composed and decomposed Hangul; full-width letters.
        assert_eq!(normal("\u{d574}\u{d0dc}"), normal("\u{1112}\u{1162}\u{1110}\u{1162}"));
        assert_eq!(normal("ｐａｓｓ"), Some("pass".to_owned()));
        assert_eq!(normal(&"a".repeat(1025)), None);
        // U+FDFA becomes eighteen characters.
        assert_eq!(normal(&"\u{fdfa}".repeat(300)), None);
    }

    #[test]
    fn the_list_is_in_the_form_that_it_is_compared_in() {
        for line in COMMON.lines() {
            assert_eq!(line, line.to_lowercase().trim(), "{line}");
        }
    }
}
