//! Looking into a token, and forging one: what an attacker with a text editor and a key of their own can do.

use aws_lc_rs::{
    hmac,
    rand::SystemRandom,
    signature::{self, EcdsaKeyPair, KeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use serde_json::Value;

/// A token in its three parts, decoded.
#[derive(Clone, Debug)]
pub struct Token {
    /// The JOSE header.
    pub header: Value,
    /// The claims.
    pub claims: Value,
    /// The signature as it was sent.
    pub signature: String,
}

impl Token {
    /// Takes `token` apart; checks no signature.
    pub fn read(token: &str) -> Self {
        let parts: Vec<&str> = token.split('.').collect();
        assert_eq!(parts.len(), 3, "a compact JWS: {token}");
        let json = |part: &str| {
            serde_json::from_slice(&BASE64.decode(part).expect("base64url")).expect("JSON")
        };
        Self { header: json(parts[0]), claims: json(parts[1]), signature: parts[2].to_owned() }
    }

    /// What is signed.
    pub fn signing_input(&self) -> String {
        let part = |value: &Value| BASE64.encode(value.to_string());
        format!("{}.{}", part(&self.header), part(&self.claims))
    }

    /// With the old signature, which fits no longer when something was changed.
    pub fn keep_signature(&self) -> String {
        format!("{}.{}", self.signing_input(), self.signature)
    }

    /// With no signature (RFC 7519 6).
    pub fn unsigned(&self) -> String {
        format!("{}.", self.signing_input())
    }

    /// With an HMAC under `key`.
    pub fn sign_hmac(&self, key: &[u8]) -> String {
        let input = self.signing_input();
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), input.as_bytes());
        format!("{input}.{}", BASE64.encode(tag.as_ref()))
    }

    /// Signed with ES256 by `key`.
    pub fn sign_es256(&self, key: &AttackerKey) -> String {
        let input = self.signing_input();
        let signature = key.pair.sign(&SystemRandom::new(), input.as_bytes()).expect("it signs");
        format!("{input}.{}", BASE64.encode(signature.as_ref()))
    }

    /// A changed copy.
    #[must_use]
    pub fn changed(&self, change: impl FnOnce(&mut Value, &mut Value)) -> Self {
        let mut copy = self.clone();
        change(&mut copy.header, &mut copy.claims);
        copy
    }
}

/// An EC key that the attacker made.
#[derive(Debug)]
pub struct AttackerKey {
    pair: EcdsaKeyPair,
}

impl Default for AttackerKey {
    fn default() -> Self {
        Self::new()
    }
}

impl AttackerKey {
    /// A fresh key.
    pub fn new() -> Self {
        let pair = EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING);
        Self { pair: pair.expect("a key can be made") }
    }

    /// Its public half as a JWK, with `kid` when given.
    pub fn jwk(&self, kid: &str) -> Value {
        let point = self.pair.public_key().as_ref();
        serde_json::json!({
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": kid,
            "x": BASE64.encode(&point[1..33]), "y": BASE64.encode(&point[33..65]),
        })
    }
}

/// Asserts that `token` is signed by a key of `jwks` as its header says: `ES256`, `RS256` or `EdDSA`.
pub fn verify(token: &str, jwks: &Value) -> Token {
    let read = Token::read(token);
    let kid = read.header["kid"].as_str().expect("a kid");
    let key = jwks["keys"]
        .as_array()
        .expect("keys")
        .iter()
        .find(|key| key["kid"] == kid)
        .unwrap_or_else(|| panic!("no key {kid} in {jwks}"));
    let member = |name: &str| BASE64.decode(key[name].as_str().expect(name)).expect("base64url");
    let (input, _) = token.rsplit_once('.').expect("three parts");
    let signature = BASE64.decode(&read.signature).expect("base64url");
    let good = match read.header["alg"].as_str().expect("alg") {
        "ES256" => {
            let point = [vec![4], member("x"), member("y")].concat();
            signature::UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point)
                .verify(input.as_bytes(), &signature)
        }
        "RS256" => {
            let key = signature::RsaPublicKeyComponents { n: member("n"), e: member("e") };
            key.verify(&signature::RSA_PKCS1_2048_8192_SHA256, input.as_bytes(), &signature)
        }
        "EdDSA" => signature::UnparsedPublicKey::new(&signature::ED25519, member("x"))
            .verify(input.as_bytes(), &signature),
        other => panic!("alg {other}"),
    };
    good.unwrap_or_else(|_| panic!("the signature does not fit: {token}"));
    read
}

/// SHA-256 of `text`, base64url: a PKCE S256 challenge (RFC 7636 4.2).
pub fn sha256_base64(text: &str) -> String {
    BASE64.encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes()).as_ref())
}

/// `bytes` random bytes, base64url.
pub fn random(bytes: usize) -> String {
    let mut buffer = vec![0; bytes];
    aws_lc_rs::rand::fill(&mut buffer).expect("randomness");
    BASE64.encode(buffer)
}
