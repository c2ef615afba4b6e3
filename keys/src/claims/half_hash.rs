//! What ties an ID token to the access token or code that came with it.

use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::algorithm::Algorithm;

/// The value of `at_hash` for an access token, of `c_hash` for a code (OpenID Connect Core 3.1.3.6 and
/// 3.3.2.11): the left half of the hash of its characters, with the hash of the algorithm that signs the
/// ID token. Ed25519 hashes with SHA-512.
pub fn half_hash(algorithm: Algorithm, value: &str) -> String {
    let hash = match algorithm {
        Algorithm::Es256 | Algorithm::Rs256 => &digest::SHA256,
        Algorithm::EdDsa => &digest::SHA512,
    };
    let digest = digest::digest(hash, value.as_bytes());
    let (left, _) = digest.as_ref().split_at(digest.as_ref().len() / 2);
    URL_SAFE_NO_PAD.encode(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_examples_of_openid_connect_core() {
        // OpenID Connect Core A.3 and A.4.
        let token = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y";
        assert_eq!(half_hash(Algorithm::Rs256, token), "77QmUPtjPfzWtF2AnpK9RQ");
        let code = "Qcb0Orv1zh30vL1MPRsbm-diHiMwcLyZvn1arpZv-Jxf_11jnpEX3Tgfvk";
        assert_eq!(half_hash(Algorithm::Es256, code), "LDktKdoQak3Pk0cnXxCltA");
        assert_eq!(half_hash(Algorithm::EdDsa, code).len(), 43);
    }
}
