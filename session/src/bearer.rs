//! A bearer secret that names its record: `base64url(id (16 bytes) ‖ generation (3) ‖ 32 random bytes)`, 68
//! characters. The id finds the record in one key, so that replacing the secret is a change of that key
//! alone; the record holds the hash of the whole text. The generation counts the secrets that the record
//! has had, so that one from before and one from after a loss of data can be told apart.
//!
//! Where a secret that was once good means something else than one that never was, it is stamped as well: 15
//! bytes of a tag over the rest follow, 88 characters in all. What is not of our making ends here.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use haetae_base::{
    entropy,
    id::{Id, Kind},
    secret::SecretHash,
};
use haetae_keys::seal::TagKey;
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

const ID_LEN: usize = 16;
const GENERATION_LEN: usize = 3;
const SECRET_LEN: usize = 32;
const LEN: usize = ID_LEN + GENERATION_LEN + SECRET_LEN;
/// The last generation: whatever comes after it counts as it.
const LAST_GENERATION: u32 = (1 << (8 * GENERATION_LEN)) - 1;
/// Of the text, without a prefix.
const TEXT_LEN: usize = LEN / 3 * 4;
const STAMP_LEN: usize = 15;
const STAMPED_LEN: usize = LEN + STAMP_LEN;
const STAMPED_TEXT_LEN: usize = STAMPED_LEN / 3 * 4;

/// A new secret for the record `id`, after `prefix`.
pub(crate) fn new<K: Kind>(prefix: &str, id: Id<K>, generation: u32) -> SecretString {
    format!("{prefix}{}", URL_SAFE_NO_PAD.encode(*fresh(id, generation))).into()
}

/// The same, stamped.
pub(crate) fn stamped<K: Kind>(
    prefix: &str,
    id: Id<K>,
    generation: u32,
    key: &TagKey,
) -> SecretString {
    let mut bytes = Zeroizing::new([0; STAMPED_LEN]);
    let (body, stamp) = bytes.split_at_mut(LEN);
    body.copy_from_slice(fresh(id, generation).as_slice());
    stamp.copy_from_slice(&key.tag::<STAMP_LEN>(body));
    format!("{prefix}{}", URL_SAFE_NO_PAD.encode(*bytes)).into()
}

fn fresh<K: Kind>(id: Id<K>, generation: u32) -> Zeroizing<[u8; LEN]> {
    let mut bytes = Zeroizing::new([0; LEN]);
    let (id_part, rest) = bytes.split_at_mut(ID_LEN);
    let (generation_part, secret_part) = rest.split_at_mut(GENERATION_LEN);
    id_part.copy_from_slice(&id.to_bytes());
    let [_, generation @ ..] = generation.min(LAST_GENERATION).to_be_bytes();
    generation_part.copy_from_slice(&generation);
    entropy::fill(secret_part);
    bytes
}

/// What a presented text claims to be. Nothing of it is true before the hash was found in the record.
pub(crate) struct Presented<K> {
    /// The record that it belongs to.
    pub(crate) id: Id<K>,
    /// Which of the record's secrets it is.
    pub(crate) generation: u32,
    /// What to look for in the record.
    pub(crate) hash: SecretHash,
}

/// Reads a presented text. `None` when it is not of this form: then Redis need not be asked.
pub(crate) fn parse<K: Kind>(prefix: &str, text: &str) -> Option<Presented<K>> {
    let encoded = text.strip_prefix(prefix)?;
    if encoded.len() != TEXT_LEN {
        return None;
    }
    let mut bytes = Zeroizing::new([0; LEN]);
    URL_SAFE_NO_PAD.decode_slice(encoded, bytes.as_mut_slice()).ok()?;
    read(text, &bytes)
}

/// Reads a presented text that has to be stamped. `None` when it is not of this form, or never was made by a
/// holder of `key`.
pub(crate) fn parse_stamped<K: Kind>(
    prefix: &str,
    text: &str,
    key: &TagKey,
) -> Option<Presented<K>> {
    let encoded = text.strip_prefix(prefix)?;
    if encoded.len() != STAMPED_TEXT_LEN {
        return None;
    }
    let mut bytes = Zeroizing::new([0; STAMPED_LEN]);
    URL_SAFE_NO_PAD.decode_slice(encoded, bytes.as_mut_slice()).ok()?;
    let (body, stamp) = bytes.split_first_chunk::<LEN>()?;
    if !key.is_tag::<STAMP_LEN>(body, stamp.first_chunk()?) {
        return None;
    }
    read(text, body)
}

fn read<K: Kind>(text: &str, bytes: &[u8; LEN]) -> Option<Presented<K>> {
    let (id, rest) = bytes.split_first_chunk::<ID_LEN>()?;
    let [high, middle, low] = *rest.first_chunk::<GENERATION_LEN>()?;
    Some(Presented {
        id: Id::from_bytes(*id),
        generation: u32::from_be_bytes([0, high, middle, low]),
        hash: SecretHash::of(text),
    })
}

/// The hash of a secret made by [`new`].
pub(crate) fn hash(secret: &SecretString) -> SecretHash {
    SecretHash::of(secret.expose_secret())
}

#[cfg(test)]
mod tests {
    use haetae_base::clock::Timestamp;
    use haetae_keys::seal::MasterKey;

    use super::*;
    use crate::FamilyId;

    #[test]
    fn a_secret_names_its_record_and_junk_names_none() {
        let id = FamilyId::new(Timestamp::from_millis(1_700_000_000_250));
        let secret = new("hrt_", id, 70_000);
        let text = secret.expose_secret();
        assert_eq!(text.len(), 72);
        let presented = parse::<crate::RefreshFamily>("hrt_", text).expect("its own form");
        assert!(presented.id == id && presented.hash == hash(&secret));
        assert_eq!(presented.generation, 70_000);
        assert_ne!(new("hrt_", id, 70_000).expose_secret(), text);
        let last = new("", id, u32::MAX);
        let last = parse::<crate::RefreshFamily>("", last.expose_secret()).expect("its own form");
        assert_eq!(last.generation, 0x00ff_ffff);
        let longer = format!("{text}A");
        for junk in ["", "hrt_", &text[..71], &longer, &text[4..], &text.replace("hrt_", "hrt.")] {
            assert!(parse::<crate::RefreshFamily>("hrt_", junk).is_none(), "{junk}");
        }
        let key = MasterKey::from_secret(&MasterKey::generate()).expect("a key");
        assert!(
            parse_stamped::<crate::RefreshFamily>("hrt_", text, &key.derive_tag_key("x")).is_none()
        );
        let not_base64 = format!("hrt_{}", "%".repeat(68));
        assert!(parse::<crate::RefreshFamily>("hrt_", &not_base64).is_none());
    }

    #[test]
    fn a_stamp_cannot_be_made_without_the_key() {
        let master = MasterKey::from_secret(&MasterKey::generate()).expect("a key");
        let (key, other) = (master.derive_tag_key("refresh"), master.derive_tag_key("other"));
        let id = FamilyId::new(Timestamp::from_millis(1_700_000_000_250));
        let secret = stamped("hrt_", id, 7, &key);
        let text = secret.expose_secret();
        assert_eq!(text.len(), 92);
        let read = |text: &str, key| parse_stamped::<crate::RefreshFamily>("hrt_", text, key);
        let presented = read(text, &key).expect("its own form");
        assert!(presented.id == id && presented.generation == 7 && presented.hash == hash(&secret));
        assert!(read(text, &other).is_none());
        // Whichever character is another one: of the id, the generation, the secret or the stamp.
        for at in 4..text.len() {
            let mut changed = text.to_owned().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).expect("ASCII");
            assert!(read(&changed, &key).is_none(), "{at}");
        }
    }
}
