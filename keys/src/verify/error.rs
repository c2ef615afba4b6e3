//! Why a token is refused: one variant a rule, each with a name that never changes.

/// A claim, by its name in the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(
    missing_docs,
    reason = "each is the claim of that name, described at AccessClaims and IdClaims"
)]
pub enum Claim {
    Iss,
    Sub,
    Aud,
    Exp,
    Iat,
    Nbf,
    Jti,
    ClientId,
    Scope,
    Sid,
    Acr,
    Amr,
    AuthTime,
    Cnf,
    Roles,
    Nonce,
    Azp,
    AtHash,
    CHash,
}

impl Claim {
    /// Its name in the token.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Iss => "iss",
            Self::Sub => "sub",
            Self::Aud => "aud",
            Self::Exp => "exp",
            Self::Iat => "iat",
            Self::Nbf => "nbf",
            Self::Jti => "jti",
            Self::ClientId => "client_id",
            Self::Scope => "scope",
            Self::Sid => "sid",
            Self::Acr => "acr",
            Self::Amr => "amr",
            Self::AuthTime => "auth_time",
            Self::Cnf => "cnf",
            Self::Roles => "roles",
            Self::Nonce => "nonce",
            Self::Azp => "azp",
            Self::AtHash => "at_hash",
            Self::CHash => "c_hash",
        }
    }
}

impl std::fmt::Display for Claim {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// The rule that a token breaks. The text of each is fit for an `error_description` (RFC 6750 3): it tells
/// the holder what is wrong and nothing about the keys or the contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum VerifyError {
    /// Longer than [`MAX_TOKEN_LENGTH`](super::MAX_TOKEN_LENGTH).
    #[error("the token is too long")]
    TooLong,
    /// Not header, payload and signature with two dots between (RFC 7515 7.1).
    #[error("the token does not have three parts")]
    NotThreeParts,
    /// The header is not canonical unpadded base64url (RFC 7515 2).
    #[error("the token's header is not base64url")]
    HeaderEncoding,
    /// The header is not a JSON object with the members that a JWS has.
    #[error("the token's header is not a JSON object")]
    HeaderMalformed,
    /// A member stands twice in the header (RFC 7515 4).
    #[error("a member stands twice in the token's header")]
    HeaderDuplicate,
    /// The `alg` is none of those that this verifier accepts (RFC 8725 3.1).
    #[error("the token's algorithm is not accepted")]
    AlgorithmNotAllowed,
    /// The `alg` is not the one of the key that `kid` names (RFC 8725 3.1).
    #[error("the token's algorithm is not the one of its key")]
    AlgorithmMismatch,
    /// The `typ` is another (RFC 8725 3.11, RFC 9068 4): an ID token is no access token.
    #[error("the token is of another type")]
    WrongType,
    /// The header has `crit`; no extension is known (RFC 7515 4.1.11).
    #[error("the token needs an extension that is not known")]
    CriticalExtension,
    /// The header names no key.
    #[error("the token names no key")]
    KeyIdMissing,
    /// The issuer publishes no such key: it has said so a moment ago.
    #[error("the token's key is not known")]
    UnknownKey,
    /// The signature is not canonical unpadded base64url.
    #[error("the token's signature is not base64url")]
    SignatureEncoding,
    /// The signature is not one of this key over this token.
    #[error("the token's signature is wrong")]
    BadSignature,
    /// The payload is not canonical unpadded base64url.
    #[error("the token's payload is not base64url")]
    PayloadEncoding,
    /// The payload is not a JSON object.
    #[error("the token's payload is not a JSON object")]
    PayloadMalformed,
    /// A member stands twice in the payload (RFC 7519 4).
    #[error("a claim stands twice in the token")]
    PayloadDuplicate,
    /// A required claim is absent.
    #[error("the token has no {0}")]
    ClaimMissing(Claim),
    /// A claim has the wrong form.
    #[error("the token's {0} is malformed")]
    ClaimMalformed(Claim),
    /// Issued by somebody else (RFC 8725 3.8).
    #[error("the token is from another issuer")]
    WrongIssuer,
    /// For somebody else (RFC 8725 3.9).
    #[error("the token is for another audience")]
    WrongAudience,
    /// It is over.
    #[error("the token has expired")]
    Expired,
    /// It has not begun (`nbf`).
    #[error("the token is not valid yet")]
    NotYetValid,
    /// It was issued in the future (`iat`).
    #[error("the token was issued in the future")]
    IssuedInFuture,
    /// It was revoked.
    #[error("the token was revoked")]
    Revoked,
    /// The `nonce` of an ID token is not the one that was sent (OpenID Connect Core 3.1.3.7).
    #[error("the token answers another request")]
    WrongNonce,
    /// The `azp` of an ID token is another client (OpenID Connect Core 3.1.3.7).
    #[error("the token was issued to another client")]
    WrongAuthorizedParty,
    /// The `at_hash` or `c_hash` of an ID token belongs to another access token or code.
    #[error("the token belongs to another access token or code")]
    WrongHash,
    /// No key of the issuer was ever loaded: nothing is known about the token. Answer 503.
    #[error("the issuer's keys could not be loaded yet")]
    KeysNeverLoaded,
    /// The issuer's keys are older than anybody may rely on. Answer 503.
    #[error("the issuer's keys could not be loaded for too long")]
    KeysStale,
    /// The token names a key that is not known, and the issuer cannot be asked whether it has come since.
    /// Answer 503.
    #[error("the issuer cannot be asked for the token's key")]
    KeysUnreachable,
}

impl VerifyError {
    /// Every rule; those about a claim stand for all claims.
    const ALL: [Self; 29] = [
        Self::TooLong,
        Self::NotThreeParts,
        Self::HeaderEncoding,
        Self::HeaderMalformed,
        Self::HeaderDuplicate,
        Self::AlgorithmNotAllowed,
        Self::AlgorithmMismatch,
        Self::WrongType,
        Self::CriticalExtension,
        Self::KeyIdMissing,
        Self::UnknownKey,
        Self::SignatureEncoding,
        Self::BadSignature,
        Self::PayloadEncoding,
        Self::PayloadMalformed,
        Self::PayloadDuplicate,
        Self::ClaimMissing(Claim::Sub),
        Self::ClaimMalformed(Claim::Sub),
        Self::WrongIssuer,
        Self::WrongAudience,
        Self::Expired,
        Self::NotYetValid,
        Self::IssuedInFuture,
        Self::Revoked,
        Self::WrongNonce,
        Self::WrongAuthorizedParty,
        Self::WrongHash,
        Self::KeysNeverLoaded,
        Self::KeysStale,
    ];

    /// The [`name`](Self::name) of every rule.
    pub fn names() -> Vec<&'static str> {
        Self::ALL.map(Self::name).to_vec()
    }

    /// A name for metrics and logs that never changes.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::NotThreeParts => "not_three_parts",
            Self::HeaderEncoding => "header_encoding",
            Self::HeaderMalformed => "header_malformed",
            Self::HeaderDuplicate => "header_duplicate",
            Self::AlgorithmNotAllowed => "algorithm_not_allowed",
            Self::AlgorithmMismatch => "algorithm_mismatch",
            Self::WrongType => "wrong_type",
            Self::CriticalExtension => "critical_extension",
            Self::KeyIdMissing => "key_id_missing",
            Self::UnknownKey => "unknown_key",
            Self::SignatureEncoding => "signature_encoding",
            Self::BadSignature => "bad_signature",
            Self::PayloadEncoding => "payload_encoding",
            Self::PayloadMalformed => "payload_malformed",
            Self::PayloadDuplicate => "payload_duplicate",
            Self::ClaimMissing(_) => "claim_missing",
            Self::ClaimMalformed(_) => "claim_malformed",
            Self::WrongIssuer => "wrong_issuer",
            Self::WrongAudience => "wrong_audience",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::IssuedInFuture => "issued_in_future",
            Self::Revoked => "revoked",
            Self::WrongNonce => "wrong_nonce",
            Self::WrongAuthorizedParty => "wrong_authorized_party",
            Self::WrongHash => "wrong_hash",
            Self::KeysNeverLoaded => "keys_never_loaded",
            Self::KeysStale => "keys_stale",
            Self::KeysUnreachable => "keys_unreachable",
        }
    }

    /// Whether the token may be good and only the keys are missing: 503, not 401.
    pub const fn is_unavailable(self) -> bool {
        matches!(self, Self::KeysNeverLoaded | Self::KeysStale | Self::KeysUnreachable)
    }
}
