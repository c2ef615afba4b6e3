//! Every forged, twisted or misplaced token that the literature knows, against the running gateway.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use haetae_tests::{
    agent::Page,
    api::{self, Api},
    raw,
    shop::Shop,
    stack::Options,
    token::{AttackerKey, Token},
};
use serde_json::{Value, json};

fn set(token: &Token, part: &str, name: &str, value: Value) -> Token {
    token.changed(|header, claims| {
        let target = if part == "header" { header } else { claims };
        target[name] = value;
    })
}

fn unset(token: &Token, part: &str, name: &str) -> Token {
    token.changed(|header, claims| {
        let target = if part == "header" { header } else { claims };
        target.as_object_mut().unwrap().remove(name);
    })
}

/// What an attacker can make of one good token and the published keys.
fn forgeries(good: &str, jwks: &Value, recorder: &str) -> Vec<(&'static str, String)> {
    let token = Token::read(good);
    let kid = token.header["kid"].as_str().unwrap().to_owned();
    let published =
        jwks["keys"].as_array().unwrap().iter().find(|key| key["kid"] == kid.as_str()).unwrap();
    let coordinate = |name: &str| BASE64.decode(published[name].as_str().unwrap()).unwrap();
    let point = [vec![4], coordinate("x"), coordinate("y")].concat();
    let spki = [
        // SubjectPublicKeyInfo of a P-256 key (RFC 5480): what `openssl ec -pubout` writes.
        hex("3059301306072a8648ce3d020106082a8648ce3d030107034200"),
        point.clone(),
    ]
    .concat();
    let base64 = base64::engine::general_purpose::STANDARD.encode(&spki);
    let pem = format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n{}\n-----END PUBLIC KEY-----\n",
        &base64[..64],
        &base64[64..]
    );
    let mine = AttackerKey::new();
    let admin = set(
        &token,
        "claims",
        "scope",
        json!("inventory:write reservations:read reservations:write"),
    );
    let parts: Vec<&str> = good.split('.').collect();
    let none = |name: &str| set(&admin, "header", "alg", json!(name)).unsigned();
    let hmac = set(&admin, "header", "alg", json!("HS256"));
    let raw_signature = BASE64.decode(parts[2]).unwrap();
    vec![
        ("alg none", none("none")),
        ("alg None", none("None")),
        ("alg NONE", none("NONE")),
        ("alg nOnE", none("nOnE")),
        ("alg empty", none("")),
        (
            "alg none with the old signature",
            set(&admin, "header", "alg", json!("none")).keep_signature(),
        ),
        ("alg missing", unset(&admin, "header", "alg").unsigned()),
        ("alg is a list", set(&admin, "header", "alg", json!(["none"])).unsigned()),
        ("HMAC under the public key, PEM", hmac.sign_hmac(pem.as_bytes())),
        (
            "HMAC under the public key, PEM without its last line feed",
            hmac.sign_hmac(pem.trim_end().as_bytes()),
        ),
        ("HMAC under the public key, DER", hmac.sign_hmac(&spki)),
        ("HMAC under the public key, point", hmac.sign_hmac(&point)),
        ("HMAC under the public key, JWK", hmac.sign_hmac(published.to_string().as_bytes())),
        ("HMAC under nothing", hmac.sign_hmac(b"")),
        (
            "HMAC, kid of the file /dev/null",
            set(&hmac, "header", "kid", json!("../../../../dev/null")).sign_hmac(b""),
        ),
        ("my key under their kid", admin.sign_es256(&mine)),
        ("my key in the header", set(&admin, "header", "jwk", mine.jwk(&kid)).sign_es256(&mine)),
        (
            "my key in the header, my kid",
            set(&set(&admin, "header", "jwk", mine.jwk("mine")), "header", "kid", json!("mine"))
                .sign_es256(&mine),
        ),
        (
            "my key set by address",
            set(&admin, "header", "jku", json!(format!("{recorder}/jwks"))).sign_es256(&mine),
        ),
        (
            "my certificate by address",
            set(&admin, "header", "x5u", json!(format!("{recorder}/x5u"))).sign_es256(&mine),
        ),
        ("my certificate", set(&admin, "header", "x5c", json!([base64])).sign_es256(&mine)),
        (
            "unknown kid",
            set(&admin, "header", "kid", json!("kid_01ARZ3NDEKTSV4RRFFQ69G5FAV")).sign_es256(&mine),
        ),
        ("no kid", unset(&admin, "header", "kid").sign_es256(&mine)),
        (
            "kid is SQL",
            set(&admin, "header", "kid", json!("' UNION SELECT 'x' --")).sign_es256(&mine),
        ),
        ("kid is a number", set(&admin, "header", "kid", json!(0)).sign_es256(&mine)),
        ("more scope, old signature", admin.keep_signature()),
        (
            "another person, old signature",
            set(&token, "claims", "sub", json!("usr_01ARZ3NDEKTSV4RRFFQ69G5FAV")).keep_signature(),
        ),
        (
            "later expiry, old signature",
            set(&token, "claims", "exp", json!(4_102_444_800_u64)).keep_signature(),
        ),
        ("signature empty", format!("{}.{}.", parts[0], parts[1])),
        (
            "signature of zeros (CVE-2022-21449)",
            format!("{}.{}.{}", parts[0], parts[1], BASE64.encode([0; 64])),
        ),
        ("signature cut", format!("{}.{}.{}", parts[0], parts[1], &parts[2][..40])),
        (
            "signature with a byte more",
            format!(
                "{}.{}.{}",
                parts[0],
                parts[1],
                BASE64.encode([raw_signature.as_slice(), &[0]].concat())
            ),
        ),
        (
            "signature in DER",
            format!("{}.{}.{}", parts[0], parts[1], BASE64.encode(der(&raw_signature))),
        ),
        (
            "unknown critical extension",
            set(&set(&token, "header", "crit", json!(["x"])), "header", "x", json!(1))
                .keep_signature(),
        ),
        ("two parts", format!("{}.{}", parts[0], parts[1])),
        ("four parts", format!("{good}.{}", parts[2])),
        ("five parts, as encrypted", format!("{good}.{}.{}", parts[2], parts[2])),
        ("base64 with padding", format!("{}.{}.{}==", parts[0], parts[1], parts[2])),
        ("header not JSON", format!("{}.{}.{}", BASE64.encode("hello"), parts[1], parts[2])),
        ("header empty", format!(".{}.{}", parts[1], parts[2])),
        ("claims empty", format!("{}..{}", parts[0], parts[2])),
        ("only dots", "..".to_owned()),
        ("a word", "undefined".to_owned()),
        ("long", format!("{}.{}.{}", parts[0], "A".repeat(40_000), parts[2])),
    ]
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

/// An ECDSA signature as ASN.1, from its two numbers side by side.
fn der(raw: &[u8]) -> Vec<u8> {
    let number = |bytes: &[u8]| {
        let mut bytes: Vec<u8> = bytes.iter().copied().skip_while(|byte| *byte == 0).collect();
        if bytes.first().is_some_and(|byte| *byte > 127) {
            bytes.insert(0, 0);
        }
        [vec![2, u8::try_from(bytes.len()).unwrap()], bytes].concat()
    };
    let body = [number(&raw[..32]), number(&raw[32..])].concat();
    [vec![0x30, u8::try_from(body.len()).unwrap()], body].concat()
}

fn invalid_token(name: &str, page: &Page) {
    assert_eq!(page.status, 401, "{name}: {}", page.body);
    page.problem(401);
    let challenge = page.header("www-authenticate").unwrap_or_default();
    assert!(challenge.contains("error=\"invalid_token\""), "{name}: {challenge}");
}

#[tokio::test]
async fn a_forged_token_is_refused() {
    let shop = Shop::open(Options::default()).await;
    let recorder = raw::Recorder::start().await;
    let good = &shop.tokens.access_token;
    let jwks = shop.mobile.jwks().await;
    assert_eq!(shop.customer.get("reservations").await.status, 200, "the control");
    let mut accepted = Vec::new();
    for (name, forged) in forgeries(good, &jwks, &format!("http://{}", recorder.address)) {
        let page = Api::bearer(&shop.stack, &forged).get("reservations").await;
        if page.status == 401 {
            invalid_token(name, &page);
        } else if !(name == "long" && page.status == 431) {
            accepted.push((name, page.status, page.body));
        }
        // Also when the token is asked about: the authserver must not be lied to either.
        let page = shop.mobile.userinfo(&forged).await;
        if !page.status.is_client_error() {
            accepted.push((name, page.status, page.body));
        }
    }
    assert!(accepted.is_empty(), "{accepted:#?}");
    assert_eq!(recorder.take(), "", "nobody fetches what a token points at");
    assert_eq!(shop.customer.get("reservations").await.status, 200, "the control, after all that");
}

/// Real tokens of this very issuer in a place that they are not for.
#[tokio::test]
async fn a_real_token_of_another_kind_is_refused() {
    let shop = Shop::open(Options::default()).await;
    let partner =
        haetae_tests::oidc::Client::new(&shop.stack, shop.stack.demo().client("demo-partner"));
    for (name, token) in [
        ("an ID token", shop.tokens.id_token.clone().unwrap()),
        ("a refresh token", shop.tokens.refresh_token.clone().unwrap()),
    ] {
        invalid_token(name, &Api::bearer(&shop.stack, &token).get("reservations").await);
    }
    // A token without the scope of the route is real, and not enough.
    let tokens = partner
        .sign_in_with(&shop.agent, shop.stack.demo().user("demo"), None, "openid reservations:read")
        .await;
    let reader = Api::bearer(&shop.stack, &tokens.access_token);
    assert_eq!(reader.get("reservations").await.status, 200);
    reader.reserve(&[("inv_01ARZ3NDEKTSV4RRFFQ69G5FAV", 1)], None, None).await.problem(403);
}

/// How the token is carried (RFC 6750 2, RFC 9110 11.6.2).
#[tokio::test]
async fn a_token_is_taken_from_one_place_only() {
    let shop = Shop::open(Options::default()).await;
    let token = &shop.tokens.access_token;
    let anonymous = Api::anonymous(&shop.stack);
    for (value, status) in [
        (format!("Bearer {token}"), 200),
        (format!("bearer {token}"), 200),
        (format!("BEARER {token}"), 200),
        (format!("Bearer  {token} x"), 401),
        (format!("Basic {token}"), 401),
        (format!("Bearer{token}"), 401),
        ("Bearer".to_owned(), 401),
        (format!("Bearer {token},Bearer {token}"), 401),
        (format!("DPoP {token}"), 401),
        (token.clone(), 401),
    ] {
        let request = anonymous.request("GET", "reservations").header("Authorization", &value);
        let page = api::send(request).await;
        let shown = value.replace(token.as_str(), "TOKEN");
        assert!(
            page.status == status || (status == 401 && page.status == 400),
            "{shown}: {} {}",
            page.status,
            page.body
        );
    }
    let page = anonymous.get(&format!("reservations?access_token={token}")).await;
    assert!([400, 401].contains(&page.status.as_u16()), "in the address: {}", page.status);
    let two = anonymous
        .request("GET", "reservations")
        .header("Authorization", format!("Bearer {token}"))
        .header("Authorization", "Bearer x");
    let page = api::send(two).await;
    assert!([400, 401].contains(&page.status.as_u16()), "two fields: {}", page.status);
}
