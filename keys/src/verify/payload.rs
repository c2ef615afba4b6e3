//! The claims of a token whose signature is right: taken one by one, so that each refusal names its rule.

use std::time::Duration;

use haetae_base::clock::Timestamp;
use serde_json::{Map, Value};

use super::{Claim, VerifyError, strict_json};
use crate::claims::{AccessClaims, Audience, Confirmation, IdClaims, Scope, numeric_date};

/// The claims that have not been taken yet.
pub(super) struct Payload(Map<String, Value>);

impl Payload {
    pub(super) fn read(text: &[u8]) -> Result<Self, VerifyError> {
        strict_json::object(text).map(Self).map_err(|fault| match fault {
            strict_json::Fault::NotAnObject => VerifyError::PayloadMalformed,
            strict_json::Fault::Duplicate => VerifyError::PayloadDuplicate,
        })
    }

    /// The claims of an access token (RFC 9068 2.2).
    pub(super) fn access(mut self) -> Result<AccessClaims, VerifyError> {
        Ok(AccessClaims {
            iss: self.text(Claim::Iss)?,
            aud: self.audience()?,
            sub: self.text(Claim::Sub)?,
            client_id: self.text(Claim::ClientId)?,
            scope: self.scope()?,
            exp: self.instant(Claim::Exp)?,
            iat: self.instant(Claim::Iat)?,
            nbf: self.optional_instant(Claim::Nbf)?,
            jti: self.text(Claim::Jti)?,
            sid: self.optional_text(Claim::Sid)?,
            acr: self.optional_text(Claim::Acr)?.and_then(|acr| acr.parse().ok()),
            amr: self.texts(Claim::Amr)?,
            auth_time: self.optional_instant(Claim::AuthTime)?,
            cnf: self.confirmation()?,
            roles: self.texts(Claim::Roles)?,
        })
    }

    /// The claims of an ID token (OpenID Connect Core 2), with the rest as its profile.
    pub(super) fn id(mut self) -> Result<(IdClaims, Option<Timestamp>), VerifyError> {
        let nbf = self.optional_instant(Claim::Nbf)?;
        let claims = IdClaims {
            iss: self.text(Claim::Iss)?,
            sub: self.text(Claim::Sub)?,
            aud: self.audience()?,
            exp: self.instant(Claim::Exp)?,
            iat: self.instant(Claim::Iat)?,
            auth_time: self.optional_instant(Claim::AuthTime)?,
            nonce: self.optional_text(Claim::Nonce)?,
            acr: self.optional_text(Claim::Acr)?.and_then(|acr| acr.parse().ok()),
            amr: self.texts(Claim::Amr)?,
            azp: self.optional_text(Claim::Azp)?,
            at_hash: self.optional_text(Claim::AtHash)?,
            c_hash: self.optional_text(Claim::CHash)?,
            sid: self.optional_text(Claim::Sid)?,
            profile: self.0,
        };
        Ok((claims, nbf))
    }

    fn take(&mut self, claim: Claim) -> Option<Value> {
        self.0.remove(claim.as_str())
    }

    fn text(&mut self, claim: Claim) -> Result<String, VerifyError> {
        self.optional_text(claim)?.ok_or(VerifyError::ClaimMissing(claim))
    }

    fn optional_text(&mut self, claim: Claim) -> Result<Option<String>, VerifyError> {
        match self.take(claim) {
            None => Ok(None),
            Some(Value::String(text)) if !text.is_empty() => Ok(Some(text)),
            Some(_) => Err(VerifyError::ClaimMalformed(claim)),
        }
    }

    fn instant(&mut self, claim: Claim) -> Result<Timestamp, VerifyError> {
        self.optional_instant(claim)?.ok_or(VerifyError::ClaimMissing(claim))
    }

    /// Whole seconds from 1970 to 9999: no text, no fraction, no exponent.
    fn optional_instant(&mut self, claim: Claim) -> Result<Option<Timestamp>, VerifyError> {
        self.take(claim)
            .map(|value| {
                value
                    .as_i64()
                    .and_then(numeric_date::from_seconds)
                    .ok_or(VerifyError::ClaimMalformed(claim))
            })
            .transpose()
    }

    fn texts(&mut self, claim: Claim) -> Result<Vec<String>, VerifyError> {
        match self.take(claim) {
            None => Ok(Vec::new()),
            Some(Value::Array(values)) => texts(values).ok_or(VerifyError::ClaimMalformed(claim)),
            Some(_) => Err(VerifyError::ClaimMalformed(claim)),
        }
    }

    fn audience(&mut self) -> Result<Audience, VerifyError> {
        match self.take(Claim::Aud) {
            None => return Err(VerifyError::ClaimMissing(Claim::Aud)),
            Some(Value::String(one)) => Some(Audience::one(one)),
            Some(Value::Array(many)) => texts(many).and_then(Audience::many),
            Some(_) => None,
        }
        .ok_or(VerifyError::ClaimMalformed(Claim::Aud))
    }

    fn scope(&mut self) -> Result<Scope, VerifyError> {
        match self.take(Claim::Scope) {
            None => Ok(Scope::default()),
            Some(Value::String(text)) => {
                text.parse().map_err(|_| VerifyError::ClaimMalformed(Claim::Scope))
            }
            Some(_) => Err(VerifyError::ClaimMalformed(Claim::Scope)),
        }
    }

    fn confirmation(&mut self) -> Result<Option<Confirmation>, VerifyError> {
        self.take(Claim::Cnf)
            .map(|value| {
                match value {
                    object @ Value::Object(_) => serde_json::from_value(object).ok(),
                    _ => None,
                }
                .ok_or(VerifyError::ClaimMalformed(Claim::Cnf))
            })
            .transpose()
    }
}

fn texts(values: Vec<Value>) -> Option<Vec<String>> {
    values
        .into_iter()
        .map(|value| match value {
            Value::String(text) => Some(text),
            _ => None,
        })
        .collect()
}

/// The times of a token, compared with the leeway on the side of the token (RFC 7519 4.1.4 to 4.1.6).
pub(super) fn check_times(
    exp: Option<Timestamp>,
    iat: Timestamp,
    nbf: Option<Timestamp>,
    now: Timestamp,
    leeway: Duration,
) -> Result<(), VerifyError> {
    if exp.is_some_and(|exp| exp.plus(leeway) <= now) {
        return Err(VerifyError::Expired);
    }
    let latest = now.plus(leeway);
    if nbf.is_some_and(|nbf| nbf > latest) {
        return Err(VerifyError::NotYetValid);
    }
    if iat > latest {
        return Err(VerifyError::IssuedInFuture);
    }
    Ok(())
}
