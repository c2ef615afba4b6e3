//! What signing and verifying cost: `cargo run --profile dist -p haetae-keys --example hot_path`.
//!
//! Prints nanoseconds for one operation, the best of five rounds on one thread: signing with kept keys
//! against `jsonwebtoken`, which parses the key each time; verifying; a hit of the verified-token cache; and
//! the cache alone against moka's.
#![expect(clippy::print_stdout, reason = "it prints its findings")]
#![expect(
    clippy::disallowed_methods,
    reason = "it measures time, and jsonwebtoken to compare with"
)]
#![expect(clippy::expect_used, reason = "a failure here has nobody to tell but the terminal")]
#![expect(clippy::indexing_slicing, reason = "every index is taken modulo the length")]

use std::{
    hash::{BuildHasher, Hash, Hasher},
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use haetae_base::clock::{Clock, SystemClock};
use haetae_keys::{
    Algorithm,
    claims::{AccessClaims, Acr, Audience},
    issuer::IssuerKeys,
    sign::{ACCESS_TOKEN, Signer},
    verify::{Expectation, NoRevocations, Verifier},
};

const ISSUER: &str = "https://auth.example.com";
const AUDIENCE: &str = "https://auth.example.com/api/v1";
const TOKENS: usize = 20_000;

fn main() {
    let signer = Signer::generate(&Algorithm::ALL).expect("keys");
    let claims = claims(SystemClock.now(), 0);
    signing(&signer, &claims);
    verifying(&signer, &claims);
    let tokens: Vec<String> = (0..TOKENS)
        .map(|at| {
            let claims = self::claims(SystemClock.now(), at);
            signer.sign(Algorithm::Es256, ACCESS_TOKEN, &claims).expect("signs")
        })
        .collect();
    remembered(&signer, &tokens);
    caches(&tokens, &Arc::new(claims));
}

fn claims(now: haetae_base::clock::Timestamp, at: usize) -> AccessClaims {
    AccessClaims {
        iss: ISSUER.to_owned(),
        aud: Audience::one(AUDIENCE),
        sub: "usr_01JD2Z3N4P5Q6R7S8T9V0W1X2Y".to_owned(),
        client_id: "demo-mobile".to_owned(),
        scope: "openid profile email offline_access reservations:read reservations:write"
            .parse()
            .expect("a scope"),
        exp: now.plus(Duration::from_hours(1)),
        iat: now,
        nbf: None,
        jti: format!("tok_{at:026}"),
        sid: Some("sid_01JD2Z3N4P5Q6R7S8T9V0W1X2Y".to_owned()),
        acr: Some(Acr::TwoFactor),
        amr: ["pwd", "otp", "mfa"].map(str::to_owned).to_vec(),
        auth_time: Some(now),
        cnf: None,
        roles: Vec::new(),
    }
}

fn measure(what: &str, rounds: usize, mut operation: impl FnMut(usize)) {
    let best = (0..5)
        .map(|_| {
            let start = Instant::now();
            (0..rounds).for_each(&mut operation);
            start.elapsed().as_nanos() / rounds as u128
        })
        .min();
    println!("{what:58} {:>8} ns", best.unwrap_or_default());
}

fn signing(signer: &Signer, claims: &AccessClaims) {
    for algorithm in Algorithm::ALL {
        measure(&format!("sign {algorithm}"), 2000, |_| {
            black_box(signer.sign(algorithm, ACCESS_TOKEN, claims).expect("signs"));
        });
    }
    // A fixed key of RFC 7515 A.3 in PKCS#8: only its cost matters.
    let pem = "-----BEGIN PRIVATE KEY-----\n\
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgjpsQnnGQmL+YBIff\n\
        H1136cspYG6+0iY7X1fCE9+E9LKhRANCAAR/zc4ncPbEXUGDy+5v20t7WAczNXvp\n\
        7xO6z248e9FURcfxRM0bvZt+hyzf7bnuufSzaV1uqQskrYpGIyiFiOWt\n\
        -----END PRIVATE KEY-----\n";
    let key = jsonwebtoken::EncodingKey::from_ec_pem(pem.as_bytes()).expect("a key");
    let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::ES256);
    measure("sign ES256 with jsonwebtoken::encode", 2000, |_| {
        black_box(jsonwebtoken::encode(&header, claims, &key).expect("signs"));
    });
}

fn verifier(signer: &Signer, capacity: usize) -> Verifier {
    let keys = IssuerKeys::fixed(&signer.jwks());
    Verifier::new(Expectation::new(ISSUER, AUDIENCE), keys, capacity, Arc::new(SystemClock))
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}

fn verifying(signer: &Signer, claims: &AccessClaims) {
    let verifier = verifier(signer, 0);
    for algorithm in Algorithm::ALL {
        let token = signer.sign(algorithm, ACCESS_TOKEN, claims).expect("signs");
        block_on(async {
            let mut best = Duration::MAX;
            for _ in 0..5 {
                let start = Instant::now();
                for _ in 0..2000 {
                    black_box(verifier.verify(&token, &NoRevocations).await.expect("verifies"));
                }
                best = best.min(start.elapsed() / 2000);
            }
            println!(
                "{:58} {:>8} ns",
                format!("verify {algorithm}, not remembered"),
                best.as_nanos()
            );
        });
    }
}

fn remembered(signer: &Signer, tokens: &[String]) {
    let verifier = verifier(signer, 100_000);
    block_on(async {
        for token in tokens {
            verifier.verify(token, &NoRevocations).await.expect("verifies");
        }
    });
    let hit = |token: &String| {
        black_box(verifier.cached(token, &NoRevocations).expect("remembered").expect("good"));
    };
    measure("a remembered token, always the same", 200_000, |_| hit(&tokens[0]));
    measure("a remembered token out of 20,000", 200_000, |at| hit(&tokens[at * 7919 % TOKENS]));
    measure("  of which: the SHA-256", 200_000, |at| {
        let token = tokens[at * 7919 % TOKENS].as_bytes();
        black_box(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, token));
    });
    measure("  of which: the clock", 200_000, |_| {
        black_box(SystemClock.now());
    });
}

/// A SHA-256 whose first bytes are its hash, as the real cache keys are.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Fingerprint([u8; 32]);

impl Hash for Fingerprint {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0.first_chunk().map_or(0, |prefix| u64::from_le_bytes(*prefix)));
    }
}

#[derive(Clone, Copy, Default)]
struct Prefix(u64);

impl BuildHasher for Prefix {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        *self
    }
}

impl Hasher for Prefix {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {}

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

fn caches(tokens: &[String], value: &Arc<AccessClaims>) {
    let fingerprints: Vec<Fingerprint> = tokens
        .iter()
        .map(|token| {
            let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, token.as_bytes());
            Fingerprint(digest.as_ref().try_into().expect("32 bytes"))
        })
        .collect();
    let at = |index: usize| &fingerprints[index * 7919 % TOKENS];

    let quick = quick_cache::sync::Cache::with(
        100_000,
        100_000,
        quick_cache::UnitWeighter,
        Prefix(0),
        quick_cache::sync::DefaultLifecycle::default(),
    );
    let moka = moka::sync::Cache::builder().max_capacity(100_000).build_with_hasher(Prefix(0));
    for fingerprint in &fingerprints {
        quick.insert(*fingerprint, Arc::clone(value));
        moka.insert(*fingerprint, Arc::clone(value));
    }
    moka.run_pending_tasks();
    measure("quick_cache, a hit", 200_000, |index| {
        black_box(quick.get(at(index)).expect("a hit"));
    });
    measure("moka, a hit", 200_000, |index| {
        black_box(moka.get(at(index)).expect("a hit"));
    });
    measure("quick_cache, an insertion", TOKENS, |index| {
        quick.insert(*at(index), Arc::clone(value));
    });
    measure("moka, an insertion", TOKENS, |index| moka.insert(*at(index), Arc::clone(value)));
}
