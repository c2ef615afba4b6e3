//! Random changes of good tokens, and random text: nothing verifies, nothing panics.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Mutation {
    Replace(prop::sample::Index, char),
    Insert(prop::sample::Index, char),
    Delete(prop::sample::Index),
    Truncate(prop::sample::Index),
    FlipBit { part: usize, at: prop::sample::Index, bit: u8 },
    Splice { part: usize },
}

fn mutations() -> impl Strategy<Value = Mutation> {
    let index = any::<prop::sample::Index>;
    let letter = prop_oneof![
        prop::char::range('A', 'z'),
        prop::sample::select(vec!['.', '=', '-', '_', ' ', '\n']),
        any::<char>(),
    ];
    prop_oneof![
        (index(), letter.clone()).prop_map(|(at, letter)| Mutation::Replace(at, letter)),
        (index(), letter).prop_map(|(at, letter)| Mutation::Insert(at, letter)),
        index().prop_map(Mutation::Delete),
        index().prop_map(Mutation::Truncate),
        (0_usize..3, index(), 0_u8..8).prop_map(|(part, at, bit)| Mutation::FlipBit {
            part,
            at,
            bit
        }),
        (0_usize..3).prop_map(|part| Mutation::Splice { part }),
    ]
}

fn mutate(token: &str, other: &str, mutation: &Mutation) -> String {
    let mut letters: Vec<char> = token.chars().collect();
    let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    match mutation {
        Mutation::Replace(at, letter) => letters[at.index(token.len())] = *letter,
        Mutation::Insert(at, letter) => letters.insert(at.index(token.len()), *letter),
        Mutation::Delete(at) => {
            letters.remove(at.index(token.len()));
        }
        Mutation::Truncate(at) => letters.truncate(at.index(token.len())),
        Mutation::FlipBit { part, at, bit } => {
            let mut bytes = URL_SAFE_NO_PAD.decode(&parts[*part]).expect("base64url");
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            parts[*part] = encode(bytes);
            return parts.join(".");
        }
        Mutation::Splice { part } => {
            parts[*part] = other.split('.').nth(*part).expect("three parts").to_owned();
            return parts.join(".");
        }
    }
    letters.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn a_changed_token_never_verifies(which in 0_usize..3, mutation in mutations()) {
        let good = token(all_keys()[which], &claims());
        // Another good token of the same key, so that a spliced one agrees in all but one part.
        let other = token(all_keys()[which], &claims_with(&json!({"sub": "usr_2"})));
        prop_assert_eq!(refusal(&good), None);
        let changed = mutate(&good, &other, &mutation);
        prop_assume!(changed != good);
        prop_assert!(refusal(&changed).is_some(), "{}", changed);
    }

    #[test]
    fn arbitrary_text_never_verifies(text: String) {
        prop_assert!(refusal(&text).is_some());
    }

    #[test]
    fn arbitrary_bytes_in_three_parts_never_verify(
        head: Vec<u8>,
        payload: Vec<u8>,
        signature: Vec<u8>,
    ) {
        let text = format!("{}.{}.{}", encode(head), encode(payload), encode(signature));
        prop_assert!(refusal(&text).is_some());
    }

    #[test]
    fn a_properly_signed_payload_of_any_bytes_is_refused(payload: Vec<u8>) {
        let input = format!("{}.{}", encode(header(&ED).to_string()), encode(payload));
        let signature = encode(ED.signature(input.as_bytes()).expect("signs"));
        let answer = refusal(&format!("{input}.{signature}"));
        let expected = matches!(
            answer,
            Some(VerifyError::PayloadMalformed | VerifyError::NotThreeParts | VerifyError::ClaimMissing(_))
        );
        prop_assert!(expected, "{:?}", answer);
    }

    #[test]
    fn any_value_of_any_claim_is_judged_without_a_panic(
        name in prop::sample::select(vec![
            "iss", "aud", "sub", "client_id", "scope", "exp", "iat", "nbf", "jti", "sid", "acr",
            "amr", "auth_time", "cnf", "roles",
        ]),
        value in prop_oneof![
            any::<i64>().prop_map(|value| json!(value)),
            any::<f64>().prop_map(|value| json!(value)),
            any::<u64>().prop_map(|value| json!(value)),
            any::<String>().prop_map(|value| json!(value)),
            any::<Vec<String>>().prop_map(|value| json!(value)),
            Just(json!({"a": 1})),
        ],
    ) {
        let forged = token(&ED, &claims_with(&json!({name: value})));
        // `claims_with` takes a null (an infinite float) for a removal, which is fine here too.
        if let Ok(verified) = now(verifier(&clock(), 0).verify(&forged, &NoRevocations)) {
            prop_assert_eq!(&verified.iss, ISSUER);
            prop_assert!(verified.aud.contains(AUDIENCE));
            prop_assert!(verified.exp > Timestamp::from_seconds(NOW - 30));
            prop_assert!(verified.iat <= Timestamp::from_seconds(NOW + 30));
        }
    }
}
