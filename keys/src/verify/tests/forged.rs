//! Forged and broken tokens. Whoever removes a check finds a test here that fails.

mod mutated;

use aws_lc_rs::hmac;

use super::*;

fn refusal(token: &str) -> Option<VerifyError> {
    now(verifier(&clock(), 8).verify(token, &NoRevocations)).err()
}

#[track_caller]
fn refused(what: &str, token: &str, rule: VerifyError) {
    assert_eq!(refusal(token), Some(rule), "{what}");
}

/// A token with this header over good claims, signed properly by the ES256 key.
fn with_header(header: &Value) -> String {
    signed(&ES256, &header.to_string(), &claims().to_string())
}

fn with_payload(payload: &str) -> String {
    signed(&ES256, &header(&ES256).to_string(), payload)
}

fn kid() -> &'static str {
    &ES256.jwk().kid
}

#[test]
fn no_algorithm_and_symmetric_ones() {
    let names = [
        "none", "None", "NONE", "nOnE", "", "HS256", "HS384", "HS512", "es256", "ES256 ", "ES384",
        "ES512", "ES256K", "PS256", "RS1", "RS384", "Ed25519", "ECDH-ES", "dir", "A128KW",
    ];
    for alg in names {
        let head = json!({"alg": alg, "typ": "at+jwt", "kid": kid()});
        refused(alg, &with_header(&head), VerifyError::AlgorithmNotAllowed);
        let unsigned = format!("{}.{}.", encode(head.to_string()), encode(claims().to_string()));
        refused(alg, &unsigned, VerifyError::AlgorithmNotAllowed);
    }
    let unsigned =
        format!("{}.{}.", encode(header(&ES256).to_string()), encode(claims().to_string()));
    refused("a good header and no signature", &unsigned, VerifyError::BadSignature);
    let head = json!({"typ": "at+jwt", "kid": kid()});
    refused("no alg at all", &with_header(&head), VerifyError::AlgorithmNotAllowed);
    for alg in [json!(1), json!(null), json!(["ES256"]), json!({"ES256": 1})] {
        let head = json!({"alg": alg, "typ": "at+jwt", "kid": kid()});
        refused("alg of another type", &with_header(&head), VerifyError::HeaderMalformed);
    }
}

#[test]
fn the_public_key_as_an_hmac_secret() {
    // CVE-2015-9235 and its many children: every form in which somebody may have the public key.
    for key in all_keys() {
        let jwk = serde_json::to_string(key.jwk()).expect("json");
        for secret in [jwk.as_bytes(), key.jwk().kid.as_bytes(), b""] {
            for alg in ["HS256", "ES256", "RS256", "EdDSA"] {
                let head = json!({"alg": alg, "typ": "at+jwt", "kid": key.jwk().kid});
                let input =
                    format!("{}.{}", encode(head.to_string()), encode(claims().to_string()));
                let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), input.as_bytes());
                let forged = format!("{input}.{}", encode(tag));
                let rule = if alg == "HS256" {
                    VerifyError::AlgorithmNotAllowed
                } else if alg == key.jwk().alg.as_str() {
                    VerifyError::BadSignature
                } else {
                    VerifyError::AlgorithmMismatch
                };
                refused(alg, &forged, rule);
            }
        }
    }
}

#[test]
fn an_algorithm_that_is_not_the_one_of_the_key() {
    for signing in all_keys() {
        for named in all_keys().into_iter().filter(|key| key.jwk().kid != signing.jwk().kid) {
            // The header tells the truth about the signature, but names a key of another algorithm.
            let mut head = header(signing);
            head["kid"] = json!(named.jwk().kid);
            let forged = signed(signing, &head.to_string(), &claims().to_string());
            refused("the kid of another algorithm", &forged, VerifyError::AlgorithmMismatch);
            // The header names a key and its algorithm, but another key signed.
            let forged = signed(signing, &header(named).to_string(), &claims().to_string());
            refused("the signature of another key", &forged, VerifyError::BadSignature);
        }
    }
    let stranger = SigningKey::generate(Algorithm::Es256).expect("a key");
    refused("an unknown key", &token(&stranger, &claims()), VerifyError::UnknownKey);
    let forged = signed(&stranger, &header(&ES256).to_string(), &claims().to_string());
    refused("a stranger's signature", &forged, VerifyError::BadSignature);
}

#[test]
fn an_algorithm_that_this_verifier_does_not_allow() {
    let expect =
        Expectation { algorithms: vec![Algorithm::Es256], ..Expectation::new(ISSUER, AUDIENCE) };
    let strict = Verifier::new(expect, IssuerKeys::fixed(&jwks()), 0, Arc::new(clock()));
    assert!(now(strict.verify(&token(&ES256, &claims()), &NoRevocations)).is_ok());
    assert_eq!(
        now(strict.verify(&token(&RS256, &claims()), &NoRevocations)).err(),
        Some(VerifyError::AlgorithmNotAllowed)
    );
}

#[test]
fn keys_that_the_token_brings_along() {
    let attacker = SigningKey::generate(Algorithm::Es256).expect("a key");
    let jwk = serde_json::to_value(attacker.jwk()).expect("json");
    let bring = json!({"jwk": jwk, "jku": "https://evil.example/jwks",
        "x5u": "https://evil.example/x", "x5c": ["MIIB"]});
    for (member, value) in bring.as_object().expect("an object") {
        let mut head = header(&attacker);
        head[member] = value.clone();
        let forged = signed(&attacker, &head.to_string(), &claims().to_string());
        refused(member, &forged, VerifyError::UnknownKey);
        head["kid"] = json!(kid());
        let forged = signed(&attacker, &head.to_string(), &claims().to_string());
        refused(member, &forged, VerifyError::BadSignature);
    }
}

#[test]
fn headers_that_break_a_rule() {
    for crit in [json!(["exp"]), json!(["b64"]), json!([]), json!(null), json!("b64")] {
        let head =
            json!({"alg": "ES256", "typ": "at+jwt", "kid": kid(), "crit": crit, "b64": false});
        refused("crit", &with_header(&head), VerifyError::CriticalExtension);
    }
    let types = [
        "JWT",
        "jwt",
        "at+jwt ",
        "at-jwt",
        "logout+jwt",
        "dpop+jwt",
        "",
        "application/jwt",
        "text/at+jwt",
        "application/application/at+jwt",
    ];
    for typ in types {
        let head = json!({"alg": "ES256", "typ": typ, "kid": kid()});
        refused(typ, &with_header(&head), VerifyError::WrongType);
    }
    let head = json!({"alg": "ES256", "kid": kid()});
    refused("no typ", &with_header(&head), VerifyError::WrongType);
    let head = json!({"alg": "ES256", "typ": "at+jwt"});
    refused("no kid", &with_header(&head), VerifyError::KeyIdMissing);
    let head = json!({"alg": "ES256", "typ": "at+jwt", "kid": ""});
    refused("an empty kid", &with_header(&head), VerifyError::KeyIdMissing);
    for kid in [json!(1), json!(null), json!([kid()])] {
        let head = json!({"alg": "ES256", "typ": "at+jwt", "kid": kid});
        refused("a kid of another type", &with_header(&head), VerifyError::HeaderMalformed);
    }
    for kid in ["../../etc/passwd", "' OR 1=1 --", &"k".repeat(300), "\0", &format!("{} ", kid())] {
        let head = json!({"alg": "ES256", "typ": "at+jwt", "kid": kid});
        refused("an unknown kid", &with_header(&head), VerifyError::UnknownKey);
    }
}

#[test]
fn members_that_stand_twice() {
    let kid = kid();
    for head in [
        format!(r#"{{"alg":"ES256","alg":"ES256","typ":"at+jwt","kid":"{kid}"}}"#),
        format!(r#"{{"alg":"none","typ":"at+jwt","kid":"{kid}","alg":"ES256"}}"#),
        format!(r#"{{"alg":"ES256","typ":"at+jwt","kid":"{kid}","\u0061lg":"none"}}"#),
        format!(r#"{{"alg":"ES256","typ":"JWT","typ":"at+jwt","kid":"{kid}"}}"#),
        format!(r#"{{"alg":"ES256","typ":"at+jwt","kid":"x","kid":"{kid}"}}"#),
    ] {
        let forged = signed(&ES256, &head, &claims().to_string());
        refused(&head, &forged, VerifyError::HeaderDuplicate);
    }
    let good = claims().to_string();
    for again in [
        r#""exp":4000000000"#,
        r#""aud":"x""#,
        r#""iss":"x""#,
        r#""sub":"usr_2""#,
        r#""scope":"admin""#,
        r#""\u0065xp":4000000000"#,
        r#""x":1,"x":1"#,
        r#""deep":[{"a":{"b":1,"b":2}}]"#,
    ] {
        let payload = good.replacen('{', &format!("{{{again},"), 1);
        refused(again, &with_payload(&payload), VerifyError::PayloadDuplicate);
    }
}

#[test]
fn parts_and_encodings() {
    let good = token(&ES256, &claims());
    assert_eq!(refusal(&good), None, "the control");
    let parts: Vec<&str> = good.split('.').collect();
    let [head, payload, signature] = parts[..] else { panic!("three parts") };

    for broken in [
        format!("{good}."),
        format!(".{good}"),
        format!("{good}.x"),
        format!("{head}.{payload}"),
        format!("{head}..{signature}"),
        format!(".{payload}.{signature}"),
        String::new(),
        "...".to_owned(),
        format!("{head}.{payload}.{signature}.{signature}.{signature}"),
        "a.jwe.has.five.parts".to_owned(),
        // A JSON serialisation (RFC 7515 7.2).
        json!({"payload": payload, "protected": head, "signature": signature}).to_string(),
    ] {
        refused(&broken, &broken, VerifyError::NotThreeParts);
    }
    for tail in ["=", "==", " ", "\n", "\r\n", "\t", "+", "/", "%3D", "\u{a0}", "\0"] {
        let forged = format!("{good}{tail}");
        refused("padding or white space after", &forged, VerifyError::SignatureEncoding);
        let forged = format!("{tail}{good}");
        refused("padding or white space before", &forged, VerifyError::HeaderEncoding);
        let forged = format!("{head}{tail}.{payload}.{signature}");
        refused("padding or white space within", &forged, VerifyError::HeaderEncoding);
        let input = format!("{head}.{payload}{tail}");
        let signature = encode(ES256.signature(input.as_bytes()).expect("signs"));
        let forged = format!("{input}.{signature}");
        refused("a padded payload, signed so", &forged, VerifyError::PayloadEncoding);
    }
    refused("Bearer before", &format!("Bearer {good}"), VerifyError::HeaderEncoding);

    // 64 bytes are 86 characters; four of the six bits of the last one carry nothing and must be zero.
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let last = good.as_bytes()[good.len() - 1];
    let at = alphabet.iter().position(|letter| *letter == last).expect("base64url");
    for bits in 1..16 {
        let sibling = char::from(alphabet[(at & 0b11_0000) | bits]);
        let forged = format!("{}{sibling}", &good[..good.len() - 1]);
        refused("trailing bits", &forged, VerifyError::SignatureEncoding);
    }

    let other = token(&ES256, &claims_with(&json!({"sub": "usr_2"})));
    let other = other.split('.').nth(1).expect("a payload");
    let forged = format!("{head}.{other}.{signature}");
    refused("another payload", &forged, VerifyError::BadSignature);
    let forged = format!("{payload}.{head}.{signature}");
    refused("parts in another order", &forged, VerifyError::AlgorithmNotAllowed);
}

#[test]
fn ecdsa_signatures_of_another_form() {
    let good = token(&ES256, &claims());
    let (input, signature) = good.rsplit_once('.').expect("parts");
    let raw = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
    assert_eq!(raw.len(), 64);
    let with = |bytes: &[u8]| format!("{input}.{}", encode(bytes));
    assert_eq!(refusal(&with(&raw)), None, "the control");

    let integer = |bytes: &[u8]| {
        let mut value: Vec<u8> = bytes.iter().copied().skip_while(|byte| *byte == 0).collect();
        if value.first().is_some_and(|top| top & 0x80 != 0) {
            value.insert(0, 0);
        }
        [vec![2, u8::try_from(value.len()).expect("short")], value].concat()
    };
    let body = [integer(&raw[..32]), integer(&raw[32..])].concat();
    let der = [vec![0x30, u8::try_from(body.len()).expect("short")], body].concat();
    let zero = [0; 32];
    let order = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc,
        0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    let forgeries: [(&str, Vec<u8>); 12] = [
        ("DER", der),
        ("zero r and s (CVE-2022-21449)", vec![0; 64]),
        ("zero r", [&zero[..], &raw[32..]].concat()),
        ("zero s", [&raw[..32], &zero[..]].concat()),
        ("r and s the order of the curve", [order, order].concat()),
        ("s the order of the curve", [&raw[..32], &order[..]].concat()),
        ("all ones", vec![0xff; 64]),
        ("one byte short", raw[..63].to_vec()),
        ("one byte long", [&raw[..], &[0]].concat()),
        ("a zero before", [&[0], &raw[..]].concat()),
        ("r and s exchanged", [&raw[32..], &raw[..32]].concat()),
        ("twice", [&raw[..], &raw[..]].concat()),
    ];
    for (what, bytes) in forgeries {
        refused(what, &with(&bytes), VerifyError::BadSignature);
    }
}

#[test]
fn rsa_and_edwards_signatures_of_another_form() {
    let good = token(&RS256, &claims());
    let (input, signature) = good.rsplit_once('.').expect("parts");
    let raw = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
    for (what, bytes) in [
        ("short", raw[..255].to_vec()),
        ("long", [&[0], &raw[..]].concat()),
        ("zero", vec![0; 256]),
        ("one", [vec![0; 255], vec![1]].concat()),
    ] {
        refused(what, &format!("{input}.{}", encode(bytes)), VerifyError::BadSignature);
    }

    // s plus the order of the group would be a second signature (RFC 8032 8.4).
    let good = token(&ED, &claims());
    let (input, signature) = good.rsplit_once('.').expect("parts");
    let mut raw = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
    let group_order: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde,
        0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let mut carry = 0_u16;
    for (byte, add) in raw[32..].iter_mut().zip(group_order) {
        let [high, low] = (u16::from(*byte) + u16::from(add) + carry).to_be_bytes();
        (*byte, carry) = (low, u16::from(high));
    }
    let forged = format!("{input}.{}", encode(&raw));
    refused("a second EdDSA signature", &forged, VerifyError::BadSignature);
}

#[test]
fn claims_that_are_absent() {
    let required =
        [Claim::Iss, Claim::Aud, Claim::Sub, Claim::ClientId, Claim::Exp, Claim::Iat, Claim::Jti];
    for claim in required {
        let without = token(&ES256, &claims_with(&json!({claim.as_str(): null})));
        refused(claim.as_str(), &without, VerifyError::ClaimMissing(claim));
    }
}

#[test]
fn claims_of_another_form() {
    let wrong: [(Claim, &[&str]); 15] = [
        (Claim::Iss, &["1", "null", "[]", r#"["https://auth.example.com"]"#, "{}", r#""""#]),
        (Claim::Aud, &["1", "null", "[]", "{}", "[1]", r#"["https://auth.example.com/api/v1",1]"#]),
        (Claim::Sub, &["1", "null", r#""""#]),
        (Claim::ClientId, &["1", "null", r#""""#]),
        (Claim::Jti, &["1", "null", r#""""#]),
        (Claim::Scope, &["1", "null", r#"["admin"]"#, r#""a  b""#, r#"" ""#, r#""a\nb""#]),
        (Claim::Amr, &["1", r#""pwd""#, "[1]", "{}"]),
        (Claim::Roles, &[r#""admin""#, "[null]", "{}"]),
        (Claim::Cnf, &["1", r#""jkt""#, "[]", r#"{"jkt":1}"#, "null"]),
        (Claim::Sid, &["1", "null", "[]"]),
        (Claim::Acr, &["2", r#"["2fa"]"#]),
        (Claim::AuthTime, &[r#""1800000000""#, "1.5", "null"]),
        (Claim::Nbf, &[r#""0""#, "0.5", "null"]),
        (Claim::Iat, &[r#""0""#, "0.5", "-1"]),
        (
            Claim::Exp,
            &[
                r#""1800000300""#,
                "1800000300.5",
                "1800000300.0",
                "1.8e9",
                "18e8",
                "-1",
                "-0.0",
                "1e300",
                "null",
                "[]",
                "{}",
                "true",
                "253402300800",
                "9223372036854775807",
                "9223372036854775808",
                "18446744073709551615",
                "18446744073709551616",
                "99999999999999999999999999",
            ],
        ),
    ];
    for (claim, values) in wrong {
        for value in values {
            let rest = claims_with(&json!({claim.as_str(): null})).to_string();
            let payload = rest.replacen('{', &format!(r#"{{"{claim}":{value},"#), 1);
            refused(&payload, &with_payload(&payload), VerifyError::ClaimMalformed(claim));
        }
    }
}

#[test]
fn payloads_that_are_no_json_object() {
    let good = claims().to_string();
    let exp = (NOW + 300).to_string();
    for payload in [
        good.replace(&exp, "1e400"),
        good.replace(&exp, &format!("0{exp}")),
        good.replace(&exp, &format!("+{exp}")),
        good.replace(&exp, "0x7fffffff"),
        good.replace(&exp, "Infinity"),
        good.replace(&exp, "NaN"),
        "[]".to_owned(),
        "null".to_owned(),
        "\"a\"".to_owned(),
        format!("{good}{good}"),
        format!("{good}\0"),
        format!("\u{feff}{good}"),
        format!("[{good}]"),
        good.replacen('{', r#"{"a":"\ud800","#, 1),
        good.replacen('{', "{/*c*/", 1),
        good.replacen('{', "{'a':1,", 1),
        good.trim_end_matches('}').to_owned(),
    ] {
        refused(&payload, &with_payload(&payload), VerifyError::PayloadMalformed);
    }
}

#[test]
fn whose_for_whom_and_when() {
    for iss in [
        "https://auth.example.com/",
        "https://AUTH.example.com",
        "http://auth.example.com",
        "https://auth.example.com.evil.example",
        "auth.example.com",
        "https://auth.example.com:443",
        " https://auth.example.com",
        "https://auth.example.com\0",
    ] {
        refused(iss, &token(&ES256, &claims_with(&json!({"iss": iss}))), VerifyError::WrongIssuer);
    }
    for aud in [
        json!("https://auth.example.com/api"),
        json!("https://auth.example.com/api/v1/"),
        json!(["a", "b"]),
        json!("demo-mobile"),
        json!(ISSUER),
        json!(""),
    ] {
        let forged = token(&ES256, &claims_with(&json!({"aud": aud})));
        refused(&aud.to_string(), &forged, VerifyError::WrongAudience);
    }
    let at = |changes: Value| token(&ES256, &claims_with(&changes));
    refused("over, leeway included", &at(json!({"exp": NOW - 30})), VerifyError::Expired);
    refused("over for long", &at(json!({"exp": 0})), VerifyError::Expired);
    refused("not yet", &at(json!({"nbf": NOW + 31})), VerifyError::NotYetValid);
    refused("from the future", &at(json!({"iat": NOW + 31})), VerifyError::IssuedInFuture);
    assert_eq!(refusal(&at(json!({"exp": 253_402_300_799_i64}))), None, "the last second there is");
}

#[test]
fn an_id_token_is_no_access_token() {
    let id = json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "usr_1", "iat": NOW, "exp": NOW + 300});
    let forged = ES256.sign("JWT", &id).expect("signs");
    refused("an ID token", &forged, VerifyError::WrongType);
    let forged = ES256.sign("at+jwt", &id).expect("signs");
    refused("an ID token's claims", &forged, VerifyError::ClaimMissing(Claim::ClientId));
}

#[test]
fn sizes() {
    let large = token(&ES256, &claims_with(&json!({"pad": "x".repeat(1 << 20)})));
    refused("a megabyte", &large, VerifyError::TooLong);
    let dots = ".".repeat(MAX_TOKEN_LENGTH);
    refused("dots", &dots, VerifyError::NotThreeParts);
    for deep in ["[", r#"{"a":"#] {
        // As many levels as fit into a token: some thousand.
        let nested = format!(r#"{{"a":{}"#, deep.repeat(4000 / deep.len()));
        refused("nested payload", &with_payload(&nested), VerifyError::PayloadMalformed);
        let forged = signed(&ES256, &nested, "{}");
        refused("nested header", &forged, VerifyError::HeaderMalformed);
    }
    let mut nested = claims().to_string();
    nested.insert_str(1, &format!(r#""a":{}{},"#, "[".repeat(10_000), "]".repeat(10_000)));
    refused("10,000 levels", &with_payload(&nested), VerifyError::TooLong);
    let fits = MAX_TOKEN_LENGTH - token(&ES256, &claims_with(&json!({"pad": ""}))).len();
    let longest = token(&ES256, &claims_with(&json!({"pad": "x".repeat(fits / 4 * 3 - 3)})));
    assert!(longest.len() > MAX_TOKEN_LENGTH - 16 && longest.len() <= MAX_TOKEN_LENGTH);
    assert_eq!(refusal(&longest), None);
}

#[test]
fn a_forged_token_is_never_remembered() {
    let verifier = verifier(&clock(), 100);
    let good = token(&ES256, &claims());
    let (input, _) = good.rsplit_once('.').expect("parts");
    for at in 0..100_u8 {
        let forged = format!("{input}.{}", encode([at; 64]));
        assert!(now(verifier.verify(&forged, &NoRevocations)).is_err());
        assert!(verifier.cached(&forged, &NoRevocations).is_none());
    }
    assert_eq!(verifier.remembered_tokens(), 0);
}
