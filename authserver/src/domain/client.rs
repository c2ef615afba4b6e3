//! A client: an application that people sign in to, or a service that acts for itself. Its metadata has
//! the names of RFC 7591 2 and of OpenID Connect Registration 2.

use std::collections::BTreeSet;

use haetae_base::{
    clock::Timestamp,
    secret::{SecretHash, constant_time_eq},
};
use haetae_keys::{
    Algorithm,
    claims::{Acr, Scope},
};
use serde::{Deserialize, Serialize};
use url::Url;

use super::{account::AccountId, redirect_uri::RedirectUri, scopes};

/// A registered client.
#[derive(Clone, Debug)]
pub struct Client {
    /// Its public name in the protocol.
    pub client_id: String,
    /// What it registered.
    pub metadata: ClientMetadata,
    /// The hash of its secret; none for a public client.
    pub secret: Option<SecretHash>,
    /// Whether it belongs to the operator, so that nobody is asked for consent.
    pub first_party: bool,
    /// Since when it is shut.
    pub disabled_at: Option<Timestamp>,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Raised by every change.
    pub version: i64,
}

impl Client {
    /// What a page calls it: its registered name, or its id.
    pub fn display_name(&self) -> &str {
        self.metadata.client_name.as_deref().unwrap_or(&self.client_id)
    }

    /// Whether it has to authenticate (RFC 6749 2.1).
    pub fn is_confidential(&self) -> bool {
        self.metadata.token_endpoint_auth_method != AuthMethod::None
    }

    /// Whether a code may be asked for without PKCE.
    pub fn may_leave_out_pkce(&self) -> bool {
        self.is_confidential() && !self.metadata.require_pkce
    }

    /// Whether it may use the grant.
    pub fn may(&self, grant: GrantType) -> bool {
        self.metadata.grant_types.contains(&grant)
    }

    /// Whether `secret` is the client's. Takes the same time whether it is or not.
    pub fn has_secret(&self, secret: &str) -> bool {
        let presented = SecretHash::of(secret);
        self.secret.is_some_and(|stored| constant_time_eq(stored.as_bytes(), presented.as_bytes()))
    }

    /// Whether an answer may be sent to `presented`.
    pub fn may_redirect_to(&self, presented: &str) -> bool {
        self.metadata.redirect_uris.iter().any(|registered| registered.matches(presented))
    }

    /// Whether a person may be sent to `presented` after signing out.
    pub fn may_sign_out_to(&self, presented: &str) -> bool {
        self.metadata.post_logout_redirect_uris.iter().any(|known| known.matches(presented))
    }

    /// The web origins whose scripts may call the token endpoint and the like: those of its redirect
    /// URIs, and those that it registered.
    pub fn origins(&self) -> impl Iterator<Item = String> {
        let registered = self.metadata.allowed_cors_origins.iter().cloned();
        registered.chain(self.metadata.redirect_uris.iter().filter_map(RedirectUri::origin))
    }
}

/// What a client registers. Members that are missing get the defaults of the standards; members that
/// Haetae does not know are ignored (RFC 7591 2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientMetadata {
    /// What people see.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_name: Option<String>,
    /// Its home page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_uri: Option<Url>,
    /// Its privacy policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_uri: Option<Url>,
    /// Its terms of service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tos_uri: Option<Url>,
    /// Whom to write to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contacts: Vec<String>,
    /// A server's application or one on the person's own machine.
    #[serde(default)]
    pub application_type: ApplicationType,
    /// Where answers may be sent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redirect_uris: Vec<RedirectUri>,
    /// Where people may be sent after signing out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub post_logout_redirect_uris: Vec<RedirectUri>,
    /// What it may ask the token endpoint for.
    #[serde(default = "default_grant_types")]
    pub grant_types: BTreeSet<GrantType>,
    /// What it may ask the authorization endpoint for: `code`, and nothing else.
    #[serde(default = "default_response_types")]
    pub response_types: BTreeSet<ResponseType>,
    /// How it authenticates.
    #[serde(default)]
    pub token_endpoint_auth_method: AuthMethod,
    /// Whether a request without PKCE is refused. Only a client that authenticates may do without, for
    /// software that cannot send it: its operator vouches that it checks `nonce` (RFC 9700 2.1.1). A
    /// member of Haetae's own.
    #[serde(default = "pkce_by_default", skip_serializing_if = "is_true")]
    pub require_pkce: bool,
    /// What it may ask for at most.
    #[serde(default = "scopes::default_scope")]
    pub scope: Scope,
    /// The algorithm of its ID tokens. When it does not say: RS256 (OIDC Registration 2) if the
    /// installation has a key for it, otherwise the installation's first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_token_signed_response_alg: Option<Algorithm>,
    /// The algorithm of its access tokens; the installation's first when it does not say. A member of
    /// Haetae's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_token_signed_response_alg: Option<Algorithm>,
    /// The oldest sign-in, in seconds, that satisfies it when a request has no `max_age`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_max_age: Option<u32>,
    /// The assurance that it asks for when a request has no `acr_values`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub default_acr_values: Vec<Acr>,
    /// Web origins whose scripts may call the token endpoint, besides those of its redirect URIs. A
    /// member of Haetae's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_cors_origins: Vec<String>,
}

/// A server's application or one on the person's own machine (OIDC Registration 2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ApplicationType {
    /// Runs on a server or in a page.
    #[default]
    Web,
    /// Runs on the person's own machine.
    Native,
}

/// How a client authenticates at the token endpoint (RFC 7591 2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthMethod {
    /// Not at all: a public client.
    None,
    /// `Authorization: Basic` (RFC 6749 2.3.1).
    #[default]
    ClientSecretBasic,
    /// `client_id` and `client_secret` in the body (RFC 6749 2.3.1).
    ClientSecretPost,
}

impl AuthMethod {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::ClientSecretBasic => "client_secret_basic",
            Self::ClientSecretPost => "client_secret_post",
        }
    }
}

/// What a client may ask the token endpoint for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantType {
    /// RFC 6749 4.1.
    AuthorizationCode,
    /// RFC 6749 6.
    RefreshToken,
    /// RFC 6749 4.4.
    ClientCredentials,
}

impl GrantType {
    /// Every grant that the token endpoint offers.
    pub const ALL: [Self; 3] =
        [Self::AuthorizationCode, Self::RefreshToken, Self::ClientCredentials];

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AuthorizationCode => "authorization_code",
            Self::RefreshToken => "refresh_token",
            Self::ClientCredentials => "client_credentials",
        }
    }
}

/// What a client may ask the authorization endpoint for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResponseType {
    /// A code (RFC 6749 4.1.1). The others put tokens into URLs, which RFC 9700 2.1.2 advises against.
    Code,
}

fn default_grant_types() -> BTreeSet<GrantType> {
    BTreeSet::from([GrantType::AuthorizationCode])
}

fn default_response_types() -> BTreeSet<ResponseType> {
    BTreeSet::from([ResponseType::Code])
}

const fn pkce_by_default() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
const fn is_true(value: &bool) -> bool {
    *value
}

impl Default for ClientMetadata {
    /// What a registration without a single member means.
    fn default() -> Self {
        Self {
            client_name: None,
            client_uri: None,
            policy_uri: None,
            tos_uri: None,
            contacts: Vec::new(),
            application_type: ApplicationType::default(),
            redirect_uris: Vec::new(),
            post_logout_redirect_uris: Vec::new(),
            grant_types: default_grant_types(),
            response_types: default_response_types(),
            token_endpoint_auth_method: AuthMethod::default(),
            require_pkce: pkce_by_default(),
            scope: scopes::default_scope(),
            id_token_signed_response_alg: None,
            access_token_signed_response_alg: None,
            default_max_age: None,
            default_acr_values: Vec::new(),
            allowed_cors_origins: Vec::new(),
        }
    }
}

/// Metadata whose members do not fit together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMetadata {
    /// A code has to be sent somewhere.
    #[error("redirect_uris: the grant authorization_code needs at least one")]
    NoRedirectUri,
    /// A refresh token comes from a sign-in.
    #[error("grant_types: refresh_token needs authorization_code")]
    RefreshAlone,
    /// A service that nobody can authenticate would be anybody.
    #[error(
        "grant_types: client_credentials needs a client that authenticates \
         (token_endpoint_auth_method is \"none\")"
    )]
    PublicService,
    /// Nothing else ties a code to a client that does not authenticate (RFC 9700 2.1.1).
    #[error(
        "require_pkce: false needs a client that authenticates (token_endpoint_auth_method is \"none\")"
    )]
    PublicWithoutPkce,
    /// Without a grant there is nothing that the client could do.
    #[error("grant_types: at least one")]
    NoGrant,
    /// Plain http to something else than this very machine.
    #[error(
        "redirect_uris: {0}: http is for loopback addresses only (127.0.0.1, [::1], localhost); \
         use https"
    )]
    PlainHttp(RedirectUri),
    /// A web application has no scheme of its own.
    #[error("redirect_uris: {0} needs \"application_type\": \"native\"")]
    PrivateUseOnWeb(RedirectUri),
    /// An id that could not travel in a header or a form without trouble.
    #[error("client_id: 1 to 128 visible ASCII characters other than : and \"")]
    ClientId,
    /// A service's tokens have its id as their `sub`: it must not pass for a person (RFC 9700 4.15).
    #[error("client_id: not in the form of an account's id (usr_…)")]
    LikeAccount,
    /// An origin is a scheme, a host and perhaps a port.
    #[error("allowed_cors_origins: {0:?} is not an origin such as https://app.example")]
    Origin(String),
    /// A page that people are sent to.
    #[error("{0}: an http or https address")]
    Address(&'static str),
    /// Far more than a page can show.
    #[error("client_name: at most 100 characters, none of them a control character")]
    Name,
}

impl ClientMetadata {
    /// Checks that the members fit together.
    ///
    /// # Errors
    /// With the first rule that is broken, in a line for whoever registers.
    pub fn check(&self) -> Result<(), InvalidMetadata> {
        let grants = |grant| self.grant_types.contains(&grant);
        if self.grant_types.is_empty() {
            return Err(InvalidMetadata::NoGrant);
        }
        if grants(GrantType::AuthorizationCode) && self.redirect_uris.is_empty() {
            return Err(InvalidMetadata::NoRedirectUri);
        }
        if grants(GrantType::RefreshToken) && !grants(GrantType::AuthorizationCode) {
            return Err(InvalidMetadata::RefreshAlone);
        }
        if grants(GrantType::ClientCredentials)
            && self.token_endpoint_auth_method == AuthMethod::None
        {
            return Err(InvalidMetadata::PublicService);
        }
        if !self.require_pkce && self.token_endpoint_auth_method == AuthMethod::None {
            return Err(InvalidMetadata::PublicWithoutPkce);
        }
        for uri in self.redirect_uris.iter().chain(&self.post_logout_redirect_uris) {
            if uri.is_exposed() {
                return Err(InvalidMetadata::PlainHttp(uri.clone()));
            }
            if self.application_type == ApplicationType::Web && uri.is_private_use() {
                return Err(InvalidMetadata::PrivateUseOnWeb(uri.clone()));
            }
        }
        for origin in &self.allowed_cors_origins {
            let same = Url::parse(origin).is_ok_and(|url| {
                matches!(url.scheme(), "http" | "https")
                    && url.origin().ascii_serialization() == *origin
            });
            if !same {
                return Err(InvalidMetadata::Origin(origin.clone()));
            }
        }
        for (member, url) in [
            ("client_uri", &self.client_uri),
            ("policy_uri", &self.policy_uri),
            ("tos_uri", &self.tos_uri),
        ] {
            if url.as_ref().is_some_and(|url| !matches!(url.scheme(), "http" | "https")) {
                return Err(InvalidMetadata::Address(member));
            }
        }
        let name = self.client_name.as_deref().unwrap_or("x");
        if name.is_empty() || name.chars().count() > 100 || name.chars().any(char::is_control) {
            return Err(InvalidMetadata::Name);
        }
        Ok(())
    }
}

/// Checks that `client_id` can be one.
///
/// # Errors
/// [`InvalidMetadata::ClientId`] or [`InvalidMetadata::LikeAccount`] when it cannot.
pub fn check_client_id(client_id: &str) -> Result<(), InvalidMetadata> {
    let fits = (1..=128).contains(&client_id.len())
        && client_id.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':' && byte != b'"');
    if !fits {
        return Err(InvalidMetadata::ClientId);
    }
    if client_id.parse::<AccountId>().is_ok() {
        return Err(InvalidMetadata::LikeAccount);
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn metadata(json: &str) -> ClientMetadata {
        serde_json::from_str(json).expect(json)
    }

    #[test]
    fn what_is_missing_gets_the_defaults_of_the_standards() {
        let read = metadata(r#"{"redirect_uris":["https://a.example/cb"],"unknown":1}"#);
        assert_eq!(read.grant_types, BTreeSet::from([GrantType::AuthorizationCode]));
        assert_eq!(read.token_endpoint_auth_method, AuthMethod::ClientSecretBasic);
        assert_eq!(read.id_token_signed_response_alg, None);
        assert!(read.require_pkce);
        assert_eq!(read.check(), Ok(()));
        assert_eq!(metadata("{}"), ClientMetadata::default());
        let again = serde_json::to_string(&read).expect("json");
        assert_eq!(metadata(&again), read);
    }

    #[test]
    fn members_that_do_not_fit_together_are_refused() {
        for (json, why) in [
            ("{}", InvalidMetadata::NoRedirectUri),
            (r#"{"grant_types":[]}"#, InvalidMetadata::NoGrant),
            (r#"{"grant_types":["refresh_token"]}"#, InvalidMetadata::RefreshAlone),
            (
                r#"{"grant_types":["client_credentials"],"token_endpoint_auth_method":"none"}"#,
                InvalidMetadata::PublicService,
            ),
            (
                r#"{"redirect_uris":["https://a.example/"],"token_endpoint_auth_method":"none","require_pkce":false}"#,
                InvalidMetadata::PublicWithoutPkce,
            ),
            (
                r#"{"redirect_uris":["http://a.example/"]}"#,
                InvalidMetadata::PlainHttp("http://a.example/".parse().expect("uri")),
            ),
            (
                r#"{"redirect_uris":["com.example.app:/cb"]}"#,
                InvalidMetadata::PrivateUseOnWeb("com.example.app:/cb".parse().expect("uri")),
            ),
            (
                r#"{"redirect_uris":["https://a.example/"],"allowed_cors_origins":["https://a.example/"]}"#,
                InvalidMetadata::Origin("https://a.example/".to_owned()),
            ),
            (
                r#"{"redirect_uris":["https://a.example/"],"client_uri":"javascript:alert(1)"}"#,
                InvalidMetadata::Address("client_uri"),
            ),
        ] {
            assert_eq!(metadata(json).check(), Err(why), "{json}");
        }
    }

    #[test]
    fn what_is_not_offered_cannot_be_registered() {
        for json in [
            r#"{"grant_types":["password"]}"#,
            r#"{"grant_types":["implicit"]}"#,
            r#"{"response_types":["code id_token"]}"#,
            r#"{"token_endpoint_auth_method":"client_secret_jwt"}"#,
            r#"{"id_token_signed_response_alg":"none"}"#,
            r#"{"id_token_signed_response_alg":"HS256"}"#,
            r#"{"redirect_uris":["javascript:alert(1)"]}"#,
        ] {
            assert!(serde_json::from_str::<ClientMetadata>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn a_client_id_travels_in_a_header() {
        assert_eq!(check_client_id("demo-mobile"), Ok(()));
        for wrong in ["", "a b", "a:b", "데모", "a\"b", &"x".repeat(129)] {
            assert_eq!(check_client_id(wrong), Err(InvalidMetadata::ClientId), "{wrong}");
        }
        let person = AccountId::new(Timestamp::from_millis(1)).to_string();
        assert_eq!(check_client_id(&person), Err(InvalidMetadata::LikeAccount));
        assert_eq!(check_client_id("usr_interface"), Ok(()));
    }
}
