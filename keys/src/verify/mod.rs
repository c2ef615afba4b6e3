//! Verification: the text of a token goes in, [`Verified`] claims come out, and there is no other way to get
//! them. Every rule of RFC 8725 and RFC 9068 that applies is a variant of [`VerifyError`].

mod cache;
mod compact;
mod error;
mod header;
mod id_token;
mod payload;
mod signature;
mod strict_json;

#[cfg(test)]
mod tests;

/// The signature rules alone, for the tests of what feeds a verifier.
#[cfg(test)]
pub(crate) async fn decode_for_tests(
    token: &str,
    keys: &Arc<IssuerKeys>,
) -> Result<(), VerifyError> {
    authentic(token, TokenType::Access, &Algorithm::ALL, keys).await.map(|_| ())
}

use std::{
    fmt,
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use haetae_base::clock::Clock;

pub(crate) use self::signature::{Unusable, VerifyingKey};
use self::{
    cache::{Fingerprint, TokenCache},
    compact::Compact,
    header::{Header, TokenType},
    payload::Payload,
};
pub use self::{
    compact::MAX_TOKEN_LENGTH,
    error::{Claim, VerifyError},
    id_token::{IdExpectation, IdVerifier, Sent},
};
use crate::{algorithm::Algorithm, claims::AccessClaims, issuer::IssuerKeys};

/// What an access token has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// The only issuer, compared character by character: no slash is added or taken away.
    pub issuer: String,
    /// One of the token's audiences.
    pub audience: String,
    /// The algorithms that are accepted.
    pub algorithms: Vec<Algorithm>,
    /// How far the issuer's clock may be off.
    pub leeway: Duration,
}

impl Expectation {
    /// Accepts all algorithms that Haetae signs with, and clocks that are 30 seconds off.
    pub fn new(issuer: impl Into<String>, audience: impl Into<String>) -> Self {
        Self {
            issuer: issuer.into(),
            audience: audience.into(),
            algorithms: Algorithm::ALL.to_vec(),
            leeway: Duration::from_secs(30),
        }
    }
}

/// Claims that were verified. Only this module makes them.
pub struct Verified<T> {
    claims: T,
    key: Arc<VerifyingKey>,
    /// The generation of the issuer's keys in which `key` was last seen.
    generation: AtomicU64,
}

impl<T> Verified<T> {
    fn new(claims: T, key: Arc<VerifyingKey>, generation: u64) -> Self {
        Self { claims, key, generation: AtomicU64::new(generation) }
    }

    /// The key that signed the token.
    pub fn kid(&self) -> &str {
        self.key.kid()
    }

    /// The algorithm that signed the token.
    pub fn algorithm(&self) -> Algorithm {
        self.key.algorithm()
    }

    /// The claims.
    pub const fn claims(&self) -> &T {
        &self.claims
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.claims
    }
}

impl<T: fmt::Debug> fmt::Debug for Verified<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Verified").field(&self.claims).finish()
    }
}

/// Tells which tokens were revoked. Asked for every request, so it answers from memory.
pub trait Revocations: Send + Sync {
    /// Whether the token with these claims, signed by the key `kid`, was revoked.
    fn is_revoked(&self, claims: &AccessClaims, kid: &str) -> bool;
}

/// For a service that stands behind the gateway, which has asked already.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoRevocations;

impl Revocations for NoRevocations {
    fn is_revoked(&self, _: &AccessClaims, _: &str) -> bool {
        false
    }
}

/// Verifies the access tokens of one issuer for one audience, and remembers those that were good.
pub struct Verifier {
    expect: Expectation,
    keys: Arc<IssuerKeys>,
    cache: TokenCache,
    clock: Arc<dyn Clock>,
}

impl Verifier {
    /// A verifier that remembers about `cache_capacity` tokens (0: none).
    pub fn new(
        expect: Expectation,
        keys: Arc<IssuerKeys>,
        cache_capacity: usize,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { expect, keys, cache: TokenCache::new(cache_capacity), clock }
    }

    /// The answer for a token that was verified before, without a signature check: the request path.
    /// Expiry, its key and revocation are checked each time. `None` when the token has to be
    /// [verified](Self::verify).
    pub fn cached(
        &self,
        token: &str,
        revocations: &dyn Revocations,
    ) -> Option<Result<Arc<Verified<AccessClaims>>, VerifyError>> {
        if token.len() > MAX_TOKEN_LENGTH {
            return Some(Err(VerifyError::TooLong));
        }
        self.remembered(&Fingerprint::of(token), revocations)
    }

    /// Verifies a token. A key that is not known is fetched, at most once for all who ask.
    ///
    /// # Errors
    /// The rule that the token breaks, or [`VerifyError::is_unavailable`] when there are no keys to verify
    /// with.
    pub async fn verify(
        &self,
        token: &str,
        revocations: &dyn Revocations,
    ) -> Result<Arc<Verified<AccessClaims>>, VerifyError> {
        if token.len() > MAX_TOKEN_LENGTH {
            return Err(VerifyError::TooLong);
        }
        let fingerprint = Fingerprint::of(token);
        if let Some(answer) = self.remembered(&fingerprint, revocations) {
            return answer;
        }
        let answer = self.examine(token, revocations).await;
        let outcome = answer.as_ref().map_or_else(|error| error.name(), |_| "ok");
        metrics::counter!("haetae_keys_token_verified_total", "outcome" => outcome).increment(1);
        if let Ok(verified) = &answer {
            self.cache.insert(fingerprint, Arc::clone(verified));
        }
        answer
    }

    /// Forgets tokens that are over, to give their memory back before the cache is full. Call it once a
    /// minute; nothing depends on it.
    pub fn sweep(&self) {
        let oldest = self.clock.now().minus(self.expect.leeway);
        self.cache.retain(|verified| verified.exp > oldest);
    }

    /// How many tokens are remembered.
    pub fn remembered_tokens(&self) -> usize {
        self.cache.len()
    }

    /// The issuer's keys.
    pub const fn keys(&self) -> &Arc<IssuerKeys> {
        &self.keys
    }

    fn remembered(
        &self,
        fingerprint: &Fingerprint,
        revocations: &dyn Revocations,
    ) -> Option<Result<Arc<Verified<AccessClaims>>, VerifyError>> {
        let verified = self.cache.get(fingerprint)?;
        let now = self.clock.now();
        if let Err(error) = self.keys.usable(now) {
            return Some(Err(error));
        }
        if verified.exp.plus(self.expect.leeway) <= now {
            self.cache.remove(fingerprint);
            return Some(Err(VerifyError::Expired));
        }
        if !self.still_trusted(&verified) {
            self.cache.remove(fingerprint);
            // Not an answer yet: a key that was replaced under its name may verify the token after all.
            return None;
        }
        if revocations.is_revoked(&verified, verified.kid()) {
            self.cache.remove(fingerprint);
            return Some(Err(VerifyError::Revoked));
        }
        Some(Ok(verified))
    }

    /// Whether the key that signed is still published. Costs a comparison of numbers unless the keys
    /// changed since it was last asked.
    fn still_trusted(&self, verified: &Verified<AccessClaims>) -> bool {
        let keys = self.keys.current();
        if verified.generation.load(Ordering::Relaxed) == keys.generation() {
            return true;
        }
        let trusted = keys.contains(&verified.key);
        if trusted {
            verified.generation.store(keys.generation(), Ordering::Relaxed);
        }
        trusted
    }

    async fn examine(
        &self,
        token: &str,
        revocations: &dyn Revocations,
    ) -> Result<Arc<Verified<AccessClaims>>, VerifyError> {
        let (payload, key, generation) =
            authentic(token, TokenType::Access, &self.expect.algorithms, &self.keys).await?;
        let claims = payload.access()?;
        if claims.iss != self.expect.issuer {
            return Err(VerifyError::WrongIssuer);
        }
        if !claims.aud.contains(&self.expect.audience) {
            return Err(VerifyError::WrongAudience);
        }
        let (now, leeway) = (self.clock.now(), self.expect.leeway);
        payload::check_times(Some(claims.exp), claims.iat, claims.nbf, now, leeway)?;
        if revocations.is_revoked(&claims, key.kid()) {
            return Err(VerifyError::Revoked);
        }
        Ok(Arc::new(Verified::new(claims, key, generation)))
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Verifier").field("expect", &self.expect).finish_non_exhaustive()
    }
}

/// Everything up to the signature. The payload is not even decoded before the signature is right.
async fn authentic(
    token: &str,
    typ: TokenType,
    algorithms: &[Algorithm],
    keys: &Arc<IssuerKeys>,
) -> Result<(Payload, Arc<VerifyingKey>, u64), VerifyError> {
    let compact = Compact::split(token)?;
    let header = Header::read(&compact.header()?, typ, algorithms)?;
    let signature = compact.signature()?;
    let (key, generation) = keys.find_or_fetch(&header.kid, header.algorithm).await?;
    if !key.verifies(compact.signed(), &signature) {
        return Err(VerifyError::BadSignature);
    }
    Ok((Payload::read(&compact.payload()?)?, key, generation))
}
