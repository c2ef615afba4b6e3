//! ID tokens: what a client has to check (OpenID Connect Core 3.1.3.7), and what an issuer may take as a hint
//! after the token has expired.

use std::{fmt, sync::Arc, time::Duration};

use haetae_base::clock::Clock;

use super::{Verified, VerifyError, authentic, header::TokenType, payload};
use crate::{
    algorithm::Algorithm,
    claims::{IdClaims, half_hash},
    issuer::IssuerKeys,
};

/// What an ID token has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdExpectation {
    /// The only issuer, compared character by character.
    pub issuer: String,
    /// The client: the token's audience, and its `azp` when there are several audiences.
    pub client_id: String,
    /// The algorithms that are accepted.
    pub algorithms: Vec<Algorithm>,
    /// How far the issuer's clock may be off.
    pub leeway: Duration,
}

/// What the client sent and got along with an ID token, to be compared with it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sent<'a> {
    /// The `nonce` of the authorization request; the token must repeat it.
    pub nonce: Option<&'a str>,
    /// The access token that came with it; compared with `at_hash` when the token has one.
    pub access_token: Option<&'a str>,
    /// The code that came with it; compared with `c_hash` when the token has one.
    pub code: Option<&'a str>,
}

/// Verifies the ID tokens of one issuer for one client.
pub struct IdVerifier {
    expect: IdExpectation,
    keys: Arc<IssuerKeys>,
    clock: Arc<dyn Clock>,
}

impl IdVerifier {
    /// A verifier.
    pub fn new(expect: IdExpectation, keys: Arc<IssuerKeys>, clock: Arc<dyn Clock>) -> Self {
        Self { expect, keys, clock }
    }

    /// Verifies an ID token that has just been received.
    ///
    /// # Errors
    /// The rule that the token breaks.
    pub async fn verify(
        &self,
        token: &str,
        sent: Sent<'_>,
    ) -> Result<Verified<IdClaims>, VerifyError> {
        let verified = self.examine(token, true).await?;
        if sent.nonce != verified.nonce.as_deref() && sent.nonce.is_some() {
            return Err(VerifyError::WrongNonce);
        }
        let algorithm = verified.algorithm();
        for (value, hash) in [(sent.access_token, &verified.at_hash), (sent.code, &verified.c_hash)]
        {
            if let (Some(value), Some(hash)) = (value, hash)
                && half_hash(algorithm, value) != *hash
            {
                return Err(VerifyError::WrongHash);
            }
        }
        Ok(verified)
    }

    /// Verifies an `id_token_hint`, which may have expired: it tells who a request is about, it permits
    /// nothing (OpenID Connect RP-Initiated Logout 2).
    ///
    /// # Errors
    /// The rule that the token breaks.
    pub async fn verify_hint(&self, token: &str) -> Result<Verified<IdClaims>, VerifyError> {
        self.examine(token, false).await
    }

    async fn examine(&self, token: &str, fresh: bool) -> Result<Verified<IdClaims>, VerifyError> {
        let (payload, key, generation) =
            authentic(token, TokenType::Id, &self.expect.algorithms, &self.keys).await?;
        let (claims, nbf) = payload.id()?;
        if claims.iss != self.expect.issuer {
            return Err(VerifyError::WrongIssuer);
        }
        if !claims.aud.contains(&self.expect.client_id) {
            return Err(VerifyError::WrongAudience);
        }
        let party = claims.azp.as_deref().or_else(|| claims.aud.only());
        if party != Some(self.expect.client_id.as_str()) {
            return Err(VerifyError::WrongAuthorizedParty);
        }
        let exp = fresh.then_some(claims.exp);
        payload::check_times(exp, claims.iat, nbf, self.clock.now(), self.expect.leeway)?;
        Ok(Verified::new(claims, key, generation))
    }
}

impl fmt::Debug for IdVerifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("IdVerifier").field("expect", &self.expect).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
