//! The header of a token: which key and algorithm it claims. Keys that a token brings along (`jwk`, `jku`,
//! `x5c`, `x5u`) are not read at all (RFC 8725 3.10).

use serde_json::{Map, Value};

use super::{VerifyError, strict_json};
use crate::algorithm::Algorithm;

/// The longest `kid` that is looked up, in bytes.
const MAX_KID_LENGTH: usize = 256;

/// Which kind of token a verifier takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenType {
    /// `typ` must be `at+jwt` (RFC 9068 2.1).
    Access,
    /// `typ` must be absent or `JWT`: OpenID Connect Core asks for none.
    Id,
}

/// What a header says, after every rule that needs no key.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    pub(crate) algorithm: Algorithm,
    pub(crate) kid: String,
}

impl Header {
    pub(crate) fn read(
        text: &[u8],
        typ: TokenType,
        allowed: &[Algorithm],
    ) -> Result<Self, VerifyError> {
        let mut members = strict_json::object(text).map_err(|fault| match fault {
            strict_json::Fault::NotAnObject => VerifyError::HeaderMalformed,
            strict_json::Fault::Duplicate => VerifyError::HeaderDuplicate,
        })?;
        if members.contains_key("crit") {
            return Err(VerifyError::CriticalExtension);
        }
        let algorithm = text_of(&mut members, "alg")?
            .and_then(|name| name.parse().ok())
            .filter(|algorithm| allowed.contains(algorithm))
            .ok_or(VerifyError::AlgorithmNotAllowed)?;
        if !typ.accepts(text_of(&mut members, "typ")?.as_deref()) {
            return Err(VerifyError::WrongType);
        }
        let kid = text_of(&mut members, "kid")?
            .filter(|kid| !kid.is_empty())
            .ok_or(VerifyError::KeyIdMissing)?;
        if kid.len() > MAX_KID_LENGTH {
            return Err(VerifyError::UnknownKey);
        }
        Ok(Self { algorithm, kid })
    }
}

impl TokenType {
    /// Media types are compared without regard to case, and `application/` may be left out
    /// (RFC 7515 4.1.9).
    fn accepts(self, typ: Option<&str>) -> bool {
        let short = typ.map(|typ| match typ.split_at_checked("application/".len()) {
            Some((prefix, rest)) if prefix.eq_ignore_ascii_case("application/") => rest,
            _ => typ,
        });
        match (self, short) {
            (Self::Access, Some(typ)) => typ.eq_ignore_ascii_case("at+jwt"),
            (Self::Access, None) => false,
            (Self::Id, Some(typ)) => typ.eq_ignore_ascii_case("jwt"),
            (Self::Id, None) => true,
        }
    }
}

fn text_of(members: &mut Map<String, Value>, name: &str) -> Result<Option<String>, VerifyError> {
    match members.remove(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(VerifyError::HeaderMalformed),
    }
}
