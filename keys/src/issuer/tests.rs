//! Fetching keys from a real HTTP server on this machine, with time in the test's hands.

mod foreign;

use std::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicUsize},
};

use axum::{Router, http::StatusCode, response::IntoResponse, routing::get};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use haetae_base::clock::{ManualClock, SystemClock};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::*;
use crate::{
    sign::{Signer, SigningKey},
    verify::{Expectation, NoRevocations, Unusable, Verifier, decode_for_tests},
};

const SECOND: Duration = Duration::from_secs(1);

/// An issuer whose answers the test writes.
struct Issuer {
    url: Url,
    state: Arc<Served>,
    clock: ManualClock,
}

struct Served {
    status: Mutex<StatusCode>,
    body: Mutex<String>,
    requests: AtomicUsize,
    held: AtomicBool,
    permits: Semaphore,
}

impl Issuer {
    async fn start(signer: &Signer) -> Self {
        let state = Arc::new(Served {
            status: Mutex::new(StatusCode::OK),
            body: Mutex::new(serde_json::to_string(&signer.jwks()).expect("json")),
            requests: AtomicUsize::new(0),
            held: AtomicBool::new(false),
            permits: Semaphore::new(0),
        });
        let served = Arc::clone(&state);
        let answer = move || async move {
            served.requests.fetch_add(1, Ordering::SeqCst);
            if served.held.load(Ordering::SeqCst) {
                served.permits.acquire().await.expect("open").forget();
            }
            let status = *served.status.lock().expect("lock");
            let body = served.body.lock().expect("lock").clone();
            (status, [("location", "/elsewhere")], body).into_response()
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("bound");
        let elsewhere = state.body.lock().expect("lock").clone();
        let app = Router::new()
            .route("/jwks", get(answer))
            .route("/elsewhere", get(async move || elsewhere));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self {
            url: format!("http://{address}/jwks").parse().expect("a URL"),
            state,
            clock: ManualClock::at(Timestamp::from_seconds(1_800_000_000)),
        }
    }

    fn keys(&self) -> Arc<IssuerKeys> {
        let clock = Arc::new(self.clock.clone());
        IssuerKeys::fetched(vec![self.url.clone()], FetchOptions::default(), clock)
            .expect("allowed")
    }

    fn publish(&self, body: &str) {
        *self.state.body.lock().expect("lock") = body.to_owned();
    }

    fn answer(&self, status: StatusCode) {
        *self.state.status.lock().expect("lock") = status;
    }

    fn requests(&self) -> usize {
        self.state.requests.load(Ordering::SeqCst)
    }
}

fn signer() -> Signer {
    Signer::generate(&[Algorithm::Es256]).expect("a key")
}

fn token(signer: &Signer) -> String {
    signer.sign(Algorithm::Es256, "at+jwt", &json!({})).expect("signs")
}

#[tokio::test]
async fn keys_are_fetched_and_kept() {
    let signer = signer();
    let issuer = Issuer::start(&signer).await;
    let keys = issuer.keys();
    assert!(!keys.ready());
    keys.refresh().await.expect("fetches");
    assert!(keys.ready());
    for _ in 0..5 {
        assert_eq!(decode_for_tests(&token(&signer), &keys).await, Ok(()));
    }
    assert_eq!(issuer.requests(), 1);
    assert_eq!(keys.age(), Some(Duration::ZERO));
    let generation = keys.current().generation();
    keys.refresh().await.expect("fetches");
    assert_eq!(keys.current().generation(), generation, "the same keys are no new generation");
}

#[tokio::test]
async fn one_instance_that_lives_is_enough() {
    let signer = signer();
    let (one, other) = (Issuer::start(&signer).await, Issuer::start(&signer).await);
    let nobody: Url = "http://127.0.0.1:1/jwks".parse().expect("a URL");
    let urls = vec![nobody, one.url.clone(), other.url.clone()];
    let clock = Arc::new(one.clock.clone());
    let keys = IssuerKeys::fetched(urls, FetchOptions::default(), clock).expect("allowed");
    keys.refresh().await.expect("the second answers");
    assert!(keys.ready());
    keys.refresh().await.expect("the second answers");
    assert_eq!((one.requests(), other.requests()), (2, 0), "it is asked first from then on");
    one.answer(StatusCode::INTERNAL_SERVER_ERROR);
    keys.refresh().await.expect("the third answers");
    assert_eq!(other.requests(), 1);
    other.answer(StatusCode::INTERNAL_SERVER_ERROR);
    let error = keys.refresh().await.expect_err("nobody answers");
    assert!(keys.ready(), "{error}: what is known stays known");
    assert!(
        IssuerKeys::fetched(Vec::new(), FetchOptions::default(), Arc::new(SystemClock)).is_err()
    );
}

#[tokio::test]
async fn an_unknown_key_is_fetched_once_for_all_who_ask() {
    let (old, new) = (signer(), signer());
    let issuer = Issuer::start(&old).await;
    let keys = issuer.keys();
    keys.refresh().await.expect("fetches");
    issuer.publish(&serde_json::to_string(&new.jwks()).expect("json"));
    issuer.clock.advance(5 * SECOND);

    issuer.state.held.store(true, Ordering::SeqCst);
    let token = token(&new);
    let waiting: Vec<_> = (0..50)
        .map(|_| {
            let (keys, token) = (Arc::clone(&keys), token.clone());
            tokio::spawn(async move { decode_for_tests(&token, &keys).await })
        })
        .collect();
    while issuer.requests() < 2 {
        tokio::task::yield_now().await;
    }
    issuer.state.permits.add_permits(50);
    for one in waiting {
        assert_eq!(one.await.expect("ends"), Ok(()));
    }
    assert_eq!(issuer.requests(), 2);
}

#[tokio::test]
async fn who_hangs_up_does_not_take_the_keys_away_from_the_others() {
    let (old, new) = (signer(), signer());
    let issuer = Issuer::start(&old).await;
    let keys = issuer.keys();
    keys.refresh().await.expect("fetches");
    issuer.publish(&serde_json::to_string(&new.jwks()).expect("json"));
    issuer.clock.advance(5 * SECOND);
    issuer.state.held.store(true, Ordering::SeqCst);
    let impatient = {
        let (keys, token) = (Arc::clone(&keys), token(&new));
        tokio::spawn(async move { decode_for_tests(&token, &keys).await })
    };
    while issuer.requests() < 2 {
        tokio::task::yield_now().await;
    }
    impatient.abort();
    assert!(impatient.await.is_err_and(|error| error.is_cancelled()));
    issuer.state.permits.add_permits(1);
    assert_eq!(decode_for_tests(&token(&new), &keys).await, Ok(()));
    assert_eq!(issuer.requests(), 2);
}

#[tokio::test]
async fn a_flood_of_unknown_keys_costs_the_issuer_next_to_nothing() {
    let known = signer();
    let issuer = Issuer::start(&known).await;
    let keys = issuer.keys();
    keys.refresh().await.expect("fetches");
    let strangers: Vec<String> = (0..20).map(|_| token(&signer())).collect();
    // Ten minutes of twenty forged tokens a second.
    for second in 0..600 {
        issuer.clock.advance(SECOND);
        for stranger in &strangers {
            let answer = decode_for_tests(stranger, &keys).await;
            assert_eq!(answer, Err(VerifyError::UnknownKey), "after {second} s");
        }
    }
    assert_eq!(decode_for_tests(&token(&known), &keys).await, Ok(()));
    assert!((2..=121).contains(&issuer.requests()), "{}", issuer.requests());

    // One name again and again: once a minute.
    let before = issuer.requests();
    for _ in 0..600 {
        issuer.clock.advance(SECOND);
        assert!(decode_for_tests(&strangers[0], &keys).await.is_err());
    }
    assert!((9..=11).contains(&(issuer.requests() - before)), "{}", issuer.requests() - before);
}

#[tokio::test]
async fn a_key_that_was_missing_is_found_when_it_appears() {
    let (old, new) = (signer(), signer());
    let issuer = Issuer::start(&old).await;
    let keys = issuer.keys();
    issuer.clock.advance(5 * SECOND);
    assert_eq!(decode_for_tests(&token(&new), &keys).await, Err(VerifyError::UnknownKey));
    issuer.publish(&serde_json::to_string(&new.jwks()).expect("json"));
    issuer.clock.advance(59 * SECOND);
    assert_eq!(decode_for_tests(&token(&new), &keys).await, Err(VerifyError::UnknownKey));
    issuer.clock.advance(SECOND);
    assert_eq!(decode_for_tests(&token(&new), &keys).await, Ok(()));
}

/// Whoever is told that their token is bad throws it away: that is for the issuer to say.
#[tokio::test]
async fn an_unknown_key_is_refused_only_on_the_issuers_word() {
    let (known, next) = (signer(), signer());
    let issuer = Issuer::start(&known).await;
    let keys = issuer.keys();
    keys.refresh().await.expect("fetches");
    let forged: Vec<String> = (0..20).map(|_| token(&signer())).collect();
    issuer.clock.advance(60 * SECOND);
    assert_eq!(decode_for_tests(&forged[0], &keys).await, Err(VerifyError::UnknownKey));

    issuer.answer(StatusCode::BAD_GATEWAY);
    issuer.clock.advance(5 * SECOND);
    let before = issuer.requests();
    for _ in 0..3 {
        for stranger in forged.iter().skip(1).chain([&token(&next)]) {
            let answer = decode_for_tests(stranger, &keys).await;
            assert_eq!(answer, Err(VerifyError::KeysUnreachable));
            assert!(answer.is_err_and(VerifyError::is_unavailable));
        }
        // Nobody else waits or is refused for their sake.
        assert_eq!(decode_for_tests(&token(&known), &keys).await, Ok(()));
    }
    assert_eq!(issuer.requests(), before + 1, "and an issuer that is down is not stormed");
    // What it said a moment ago holds although it says nothing now.
    assert_eq!(decode_for_tests(&forged[0], &keys).await, Err(VerifyError::UnknownKey));

    // Also when it is the round in the background that fails.
    issuer.clock.advance(60 * SECOND);
    keys.refresh().await.expect_err("is down");
    assert_eq!(decode_for_tests(&token(&next), &keys).await, Err(VerifyError::KeysUnreachable));
    issuer.answer(StatusCode::OK);
    issuer.publish(&serde_json::to_string(&next.jwks()).expect("json"));
    issuer.clock.advance(5 * SECOND);
    assert_eq!(decode_for_tests(&token(&next), &keys).await, Ok(()));
    // The control: within the pause after an answer a name that it did not hold is unknown, without a question.
    let before = issuer.requests();
    assert_eq!(decode_for_tests(&forged[1], &keys).await, Err(VerifyError::UnknownKey));
    assert_eq!(issuer.requests(), before);
}

#[tokio::test]
async fn keys_outlive_an_outage_for_a_day_and_no_longer() {
    let signer = signer();
    let issuer = Issuer::start(&signer).await;
    let keys = issuer.keys();
    keys.refresh().await.expect("fetches");
    let good = serde_json::to_string(&signer.jwks()).expect("json");
    let padded = good.replacen('{', &format!(r#"{{"pad":"{}","#, "x".repeat(300_000)), 1);
    let cases = [
        (StatusCode::INTERNAL_SERVER_ERROR, good.as_str(), "the answer is 500"),
        (StatusCode::FOUND, "", "the answer is 302"),
        (StatusCode::OK, "<html>", "not a JWKS"),
        (StatusCode::OK, r#"{"keys":[]}"#, "no key that can be used"),
        (
            StatusCode::OK,
            r#"{"keys":[{"kty":"oct","k":"AA","kid":"a"}]}"#,
            "no key that can be used",
        ),
        (StatusCode::OK, r#"{"keys":[1]}"#, "not a JWKS"),
        (StatusCode::OK, &padded, "longer than"),
    ];
    for (status, body, why) in cases {
        issuer.answer(status);
        issuer.publish(body);
        let error = keys.refresh().await.expect_err(why).to_string();
        assert!(error.contains(why), "{error}");
        assert_eq!(decode_for_tests(&token(&signer), &keys).await, Ok(()));
    }
    issuer.clock.advance(24 * 3600 * SECOND);
    assert_eq!(decode_for_tests(&token(&signer), &keys).await, Ok(()));
    issuer.clock.advance(SECOND);
    assert!(!keys.ready());
    assert_eq!(decode_for_tests(&token(&signer), &keys).await, Err(VerifyError::KeysStale));

    issuer.answer(StatusCode::OK);
    issuer.publish(&serde_json::to_string(&signer.jwks()).expect("json"));
    issuer.clock.advance(5 * SECOND);
    assert_eq!(decode_for_tests(&token(&signer), &keys).await, Ok(()), "and it recovers by itself");
}

#[tokio::test]
async fn not_even_a_remembered_token_outlives_the_trust_in_its_key() {
    let signer = signer();
    let issuer = Issuer::start(&signer).await;
    let keys = issuer.keys();
    let now = issuer.clock.now().as_seconds();
    let claims = json!({"iss": "a", "aud": "b", "sub": "c", "client_id": "d", "jti": "e", "iat": now,
        "exp": now + 7 * 86_400});
    let token = signer.sign(Algorithm::Es256, "at+jwt", &claims).expect("signs");
    let clock = Arc::new(issuer.clock.clone());
    let verifier = Verifier::new(Expectation::new("a", "b"), keys, 10, clock);
    verifier.verify(&token, &NoRevocations).await.expect("verifies");
    issuer.answer(StatusCode::SERVICE_UNAVAILABLE);
    issuer.clock.advance(24 * 3600 * SECOND);
    assert!(verifier.cached(&token, &NoRevocations).expect("remembered").is_ok());
    issuer.clock.advance(SECOND);
    let answer = verifier.cached(&token, &NoRevocations).expect("remembered");
    assert_eq!(answer.err(), Some(VerifyError::KeysStale));
}

#[tokio::test]
async fn a_name_that_no_key_can_have_is_not_asked_for() {
    let issuer = Issuer::start(&signer()).await;
    let keys = issuer.keys();
    keys.refresh().await.expect("fetches");
    issuer.clock.advance(60 * SECOND);
    for length in [257, 4000] {
        let header = json!({"alg": "ES256", "typ": "at+jwt", "kid": "k".repeat(length)});
        let token = format!("{}.e30.AAAA", URL_SAFE_NO_PAD.encode(header.to_string()));
        assert_eq!(decode_for_tests(&token, &keys).await, Err(VerifyError::UnknownKey));
    }
    assert_eq!(issuer.requests(), 1);
}

#[tokio::test]
async fn no_key_ever_loaded_is_another_thing_than_a_bad_token() {
    let signer = signer();
    let issuer = Issuer::start(&signer).await;
    issuer.answer(StatusCode::BAD_GATEWAY);
    let keys = issuer.keys();
    let answer = decode_for_tests(&token(&signer), &keys).await;
    assert_eq!(answer, Err(VerifyError::KeysNeverLoaded));
    assert!(answer.is_err_and(VerifyError::is_unavailable));
    assert_eq!(keys.age(), None);
    for _ in 0..50 {
        let _ = decode_for_tests(&token(&signer), &keys).await;
    }
    assert_eq!(issuer.requests(), 1, "waiting requests don't storm an issuer that is down");
    issuer.answer(StatusCode::OK);
    issuer.clock.advance(5 * SECOND);
    assert_eq!(decode_for_tests(&token(&signer), &keys).await, Ok(()));
}

#[tokio::test]
async fn the_background_loads_the_keys_and_ends_with_the_role() {
    let signer = signer();
    let issuer = Issuer::start(&signer).await;
    let keys = issuer.keys();
    let shutdown = Shutdown::new();
    let running = {
        let (keys, shutdown) = (Arc::clone(&keys), shutdown.clone());
        tokio::spawn(async move { keys.run(shutdown).await })
    };
    while !keys.ready() {
        tokio::task::yield_now().await;
    }
    shutdown.request();
    running.await.expect("ends");
    IssuerKeys::fixed(&signer.jwks()).run(Shutdown::new()).await;
}

#[tokio::test]
async fn the_way_to_the_keys_must_be_safe() {
    let clock = || -> Arc<dyn Clock> { Arc::new(SystemClock) };
    let set_up = |url: &str, options| {
        IssuerKeys::fetched(vec![url.parse().expect("a URL")], options, clock()).map(|_| ())
    };
    for url in [
        "https://issuer.example/jwks",
        "http://127.0.0.1:1/",
        "http://localhost:1/",
        "http://[::1]:1/",
    ] {
        assert!(set_up(url, FetchOptions::default()).is_ok(), "{url}");
    }
    for url in [
        "http://issuer.example/jwks",
        "http://127.0.0.1.evil.example/",
        "http://localhost.evil.example/",
        "http://10.0.0.1/",
        "ftp://localhost/",
        "file:///etc/passwd",
        "data:text/plain,{}",
    ] {
        let refused = set_up(url, FetchOptions::default());
        assert!(matches!(refused, Err(SetupError::Insecure(_))), "{url}");
    }
    let open = FetchOptions { plain_http: true, ..FetchOptions::default() };
    assert!(set_up("http://auth:8081/oauth2/jwks", open).is_ok());
    assert!(set_up("ftp://auth/", open).is_err());
}

#[tokio::test]
async fn failures_are_retried_soon_and_then_ever_later() {
    let issuer = Issuer::start(&signer()).await;
    let keys = issuer.keys();
    let source = keys.source.as_ref().expect("fetched");
    let pauses: Vec<u128> = [1, 2, 3, 9, 10, 1000, u32::MAX]
        .map(|failures| source.retry_after(failures).as_millis())
        .into();
    assert_eq!(pauses, [100, 200, 400, 25_600, 30_000, 30_000, 30_000]);
}

#[test]
fn pauses_vary_but_never_grow() {
    for _ in 0..1000 {
        let pause = jittered(Duration::from_mins(5));
        assert!((Duration::from_secs(270)..=Duration::from_mins(5)).contains(&pause));
    }
    assert_eq!(jittered(Duration::ZERO), Duration::ZERO);
}
