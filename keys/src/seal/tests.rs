use proptest::prelude::*;

use super::*;

fn master() -> MasterKey {
    MasterKey::from_secret(&MasterKey::generate()).expect("a generated key is valid")
}

#[test]
fn opens_what_it_sealed_and_only_in_its_place() {
    let key = master().derive("signing keys");
    let sealed = key.seal(b"private", b"kid 1");
    assert_eq!(key.open(&sealed, b"kid 1").expect("opens").as_slice(), b"private");
    assert_eq!(key.open(&sealed, b"kid 2"), Err(OpenError::Refused));
    assert_eq!(key.open(&sealed, b""), Err(OpenError::Refused));
}

#[test]
fn purposes_and_masters_give_different_keys() {
    let one = master();
    let sealed = one.derive("a").seal(b"x", b"");
    assert_eq!(one.derive("a").open(&sealed, b"").expect("the same purpose").as_slice(), b"x");
    assert_eq!(one.derive("b").open(&sealed, b""), Err(OpenError::Refused));
    assert_eq!(master().derive("a").open(&sealed, b""), Err(OpenError::Refused));
    let token = SealingKey::from_token("secret", "browser").seal(b"x", b"");
    assert!(SealingKey::from_token("secret", "browser").open(&token, b"").is_ok());
    assert_eq!(
        SealingKey::from_token("secret", "family").open(&token, b""),
        Err(OpenError::Refused)
    );
    assert_eq!(
        SealingKey::from_token("Secret", "browser").open(&token, b""),
        Err(OpenError::Refused)
    );
}

#[test]
fn the_derivation_never_changes() {
    // RFC 5869 with salt "haetae master key", checked against Python's `hmac`: what is sealed today must
    // open after every later release.
    let master = MasterKey(Zeroizing::new(std::array::from_fn(|at| u8::try_from(at).unwrap())));
    let mut key = [0; KEY_LEN];
    let prk = Salt::new(HKDF_SHA256, b"haetae master key").extract(master.0.as_slice());
    derive_into(&prk, "signing keys", &mut key);
    assert_eq!(URL_SAFE_NO_PAD.encode(key), "k6w_p24K5ZVzSzV5gcAOFKuI0LCbpcJTxMzC1xhqoO0");
    let sealed = SealingKey::from_bytes(key).seal(b"same", b"");
    assert!(master.derive("signing keys").open(&sealed, b"").is_ok());
}

#[test]
fn every_nonce_is_new() {
    let key = master().derive("a");
    assert_ne!(key.seal(b"same", b""), key.seal(b"same", b""));
}

#[test]
fn a_value_of_another_version_is_told_apart() {
    let key = master().derive("a");
    let mut sealed = key.seal(b"x", b"");
    sealed[0] = 2;
    assert_eq!(key.open(&sealed, b""), Err(OpenError::UnknownVersion(2)));
    assert_eq!(key.open(&[], b""), Err(OpenError::Malformed));
    assert_eq!(key.open(&[1, 2, 3], b""), Err(OpenError::Malformed));
    assert_eq!(key.open(&sealed[..0], b""), Err(OpenError::Malformed));
}

#[test]
fn master_keys_are_read_strictly() {
    let error =
        |text: &str| MasterKey::from_secret(&text.to_owned().into()).map(|_| ()).unwrap_err();
    assert_eq!(error("not base64!"), MasterKeyError::NotBase64);
    assert_eq!(error("c2hvcnQ="), MasterKeyError::Length(5));
    assert_eq!(error(""), MasterKeyError::Length(0));
    assert_eq!(error(&STANDARD.encode([7; 32])), MasterKeyError::Placeholder);
    let bytes: [u8; 32] = entropy::bytes();
    for text in
        [STANDARD.encode(bytes), URL_SAFE_NO_PAD.encode(bytes), STANDARD.encode(bytes) + "\n"]
    {
        assert_eq!(*MasterKey::from_secret(&text.into()).expect("valid").0, bytes);
    }
    assert_eq!(format!("{:?}", master()), "MasterKey(…)");
}

proptest! {
    #[test]
    fn any_change_of_a_byte_is_noticed(plain: Vec<u8>, aad: Vec<u8>, at: prop::sample::Index, bit in 0_u8..8) {
        let key = SealingKey::from_bytes([9; 32]);
        let mut sealed = key.seal(&plain, &aad);
        let opened = key.open(&sealed, &aad).expect("opens");
        prop_assert_eq!(opened.as_slice(), plain.as_slice());
        let at = at.index(sealed.len());
        sealed[at] ^= 1 << bit;
        prop_assert!(key.open(&sealed, &aad).is_err());
    }

    #[test]
    fn arbitrary_bytes_neither_open_nor_panic(bytes: Vec<u8>, aad: Vec<u8>) {
        prop_assert!(SealingKey::from_bytes([9; 32]).open(&bytes, &aad).is_err());
    }
}
