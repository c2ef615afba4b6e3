//! A bearer secret that names its record: `base64url(id (16 bytes) ‖ secret (32 random bytes))`, 64
//! characters. The id finds the record in one key, so that replacing the secret is a change of that key
//! alone; the record holds the hash of the whole text.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use haetae_base::{
    entropy,
    id::{Id, Kind},
    secret::SecretHash,
};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

const ID_LEN: usize = 16;
const SECRET_LEN: usize = 32;
/// Of the text, without a prefix.
const TEXT_LEN: usize = (ID_LEN + SECRET_LEN) / 3 * 4;

/// A new secret for the record `id`, after `prefix`.
pub(crate) fn new<K: Kind>(prefix: &str, id: Id<K>) -> SecretString {
    let mut bytes = Zeroizing::new([0; ID_LEN + SECRET_LEN]);
    let (id_part, secret_part) = bytes.split_at_mut(ID_LEN);
    id_part.copy_from_slice(&id.to_bytes());
    entropy::fill(secret_part);
    format!("{prefix}{}", URL_SAFE_NO_PAD.encode(*bytes)).into()
}

/// The record that a presented text claims to belong to, and the hash to look for in it. `None` when the
/// text is not of this form: then Redis need not be asked.
pub(crate) fn parse<K: Kind>(prefix: &str, text: &str) -> Option<(Id<K>, SecretHash)> {
    let encoded = text.strip_prefix(prefix)?;
    if encoded.len() != TEXT_LEN {
        return None;
    }
    let mut bytes = Zeroizing::new([0; ID_LEN + SECRET_LEN]);
    URL_SAFE_NO_PAD.decode_slice(encoded, bytes.as_mut_slice()).ok()?;
    let id = bytes.first_chunk::<ID_LEN>()?;
    Some((Id::from_bytes(*id), SecretHash::of(text)))
}

/// The hash of a secret made by [`new`].
pub(crate) fn hash(secret: &SecretString) -> SecretHash {
    SecretHash::of(secret.expose_secret())
}

#[cfg(test)]
mod tests {
    use haetae_base::clock::Timestamp;

    use super::*;
    use crate::FamilyId;

    #[test]
    fn a_secret_names_its_record_and_junk_names_none() {
        let id = FamilyId::new(Timestamp::from_millis(1_700_000_000_250));
        let secret = new("hrt_", id);
        let text = secret.expose_secret();
        assert_eq!(text.len(), 68);
        let (found, presented) = parse::<crate::RefreshFamily>("hrt_", text).expect("its own form");
        assert!(found == id && presented == hash(&secret));
        assert_ne!(new("hrt_", id).expose_secret(), text);
        let longer = format!("{text}A");
        for junk in ["", "hrt_", &text[..67], &longer, &text[4..], &text.replace("hrt_", "hrt.")] {
            assert!(parse::<crate::RefreshFamily>("hrt_", junk).is_none(), "{junk}");
        }
        let not_base64 = format!("hrt_{}", "%".repeat(64));
        assert!(parse::<crate::RefreshFamily>("hrt_", &not_base64).is_none());
    }
}
