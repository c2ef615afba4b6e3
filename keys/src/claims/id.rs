//! The claims of an ID token (OpenID Connect Core 2).

use haetae_base::clock::Timestamp;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};

use super::{Acr, Audience, assurance, numeric_date};

/// What an ID token says about a sign-in and, in [`IdClaims::profile`], about the person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdClaims {
    /// Who issued it.
    pub iss: String,
    /// The account.
    pub sub: String,
    /// The client, and perhaps others.
    pub aud: Audience,
    /// When it ends.
    #[serde(with = "numeric_date")]
    pub exp: Timestamp,
    /// When it was issued.
    #[serde(with = "numeric_date")]
    pub iat: Timestamp,
    /// When the person last signed in.
    #[serde(default, with = "numeric_date::optional", skip_serializing_if = "Option::is_none")]
    pub auth_time: Option<Timestamp>,
    /// What the client sent to tie the token to its own session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
    /// How sure the sign-in was. A value that Haetae does not know counts as none.
    #[serde(
        default,
        deserialize_with = "assurance::known_or_none",
        skip_serializing_if = "Option::is_none"
    )]
    pub acr: Option<Acr>,
    /// How the person signed in (RFC 8176).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub amr: Vec<String>,
    /// The client that it was issued to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub azp: Option<String>,
    /// The left half of the access token's hash; see [`half_hash`](super::half_hash()).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_hash: Option<String>,
    /// The left half of the code's hash; see [`half_hash`](super::half_hash()).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub c_hash: Option<String>,
    /// The SSO session (OpenID Connect Front-Channel Logout 3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
    /// Claims about the person (OpenID Connect Core 5.1): `name`, `email`, `preferred_username`. A member
    /// that has the name of a field above is never written.
    #[serde(flatten, serialize_with = "without_protocol_claims")]
    pub profile: Map<String, Value>,
}

/// The names that belong to the protocol: a profile must not be able to write a second `sub`.
const PROTOCOL: [&str; 15] = [
    "iss",
    "sub",
    "aud",
    "exp",
    "iat",
    "nbf",
    "jti",
    "auth_time",
    "nonce",
    "acr",
    "amr",
    "azp",
    "at_hash",
    "c_hash",
    "sid",
];

fn without_protocol_claims<S: Serializer>(
    profile: &Map<String, Value>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(profile.iter().filter(|(name, _)| !PROTOCOL.contains(&name.as_str())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_cannot_speak_for_the_protocol() {
        let claims = IdClaims {
            iss: "https://issuer.example".to_owned(),
            sub: "usr_1".to_owned(),
            aud: Audience::one("app"),
            exp: Timestamp::from_seconds(2),
            iat: Timestamp::from_seconds(1),
            auth_time: None,
            nonce: None,
            acr: Some(Acr::TwoFactor),
            amr: vec![],
            azp: None,
            at_hash: None,
            c_hash: None,
            sid: None,
            profile: serde_json::from_str(r#"{"sub":"usr_2","nonce":"x","name":"Haetae"}"#)
                .expect("json"),
        };
        let text = serde_json::to_string(&claims).expect("json");
        assert_eq!(
            text,
            r#"{"iss":"https://issuer.example","sub":"usr_1","aud":"app","exp":2,"iat":1,"acr":"2fa","name":"Haetae"}"#
        );
        let back: IdClaims = serde_json::from_str(&text).expect("reads its own");
        assert_eq!(back.profile.len(), 1);
        assert_eq!(back.acr, Some(Acr::TwoFactor));
    }
}
