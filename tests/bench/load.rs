//! The load of the benchmarks: keeps a number of connections busy and counts.
//!
//!     haetae-load client-credentials TOKEN_URL CLIENT_ID SECRET SCOPE CONNECTIONS SECONDS
//!     haetae-load refresh            ISSUER CLIENT_ID REDIRECT USER PASSWORD SCOPE CONNECTIONS SECONDS
//!     haetae-load code               the same
//!     haetae-load token              ISSUER CLIENT_ID REDIRECT USER PASSWORD SCOPE
//!     haetae-load reserve            API_URL ACCESS_TOKEN ITEM CONNECTIONS COUNT
//!
//! Prints one line of JSON: operations, seconds, failures, and latencies in microseconds.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it measures and reports"
)]

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use haetae_tests::{
    agent::{Agent, Page, http},
    token,
};
use tokio::sync::Mutex;
use url::Url;

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Again = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["client-credentials", url, id, secret, scope, connections, seconds] => {
            let form = [("grant_type", "client_credentials"), ("scope", *scope)];
            let body =
                url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
            let request = http()
                .post(*url)
                .basic_auth(id, Some(secret))
                .header("Content-Type", "application/x-www-form-urlencoded")
                .body(body);
            for_a_while(connections.parse()?, seconds.parse()?, |_| {
                let request = request.try_clone().ok_or("a request of bytes can be copied");
                async move {
                    let request = request?;
                    Ok(move || {
                        let request = request.try_clone().ok_or("a request of bytes can be copied");
                        async move { expect_200(request?).await.map(drop) }
                    })
                }
            })
            .await
        }
        [
            mode @ ("refresh" | "code"),
            issuer,
            client_id,
            redirect,
            user,
            password,
            scope,
            connections,
            seconds,
        ] => {
            let person = Person {
                metadata: discover(issuer).await?,
                client_id: (*client_id).to_owned(),
                redirect: (*redirect).to_owned(),
                user: (*user).to_owned(),
                password: (*password).to_owned(),
                scope: (*scope).to_owned(),
            };
            let refresh = *mode == "refresh";
            for_a_while(connections.parse()?, seconds.parse()?, |_| person.clone().begin(refresh))
                .await
        }
        ["token", issuer, client_id, redirect, user, password, scope] => {
            let person = Person {
                metadata: discover(issuer).await?,
                client_id: (*client_id).to_owned(),
                redirect: (*redirect).to_owned(),
                user: (*user).to_owned(),
                password: (*password).to_owned(),
                scope: (*scope).to_owned(),
            };
            println!("{}", text(&person.sign_in(&Agent::new()).await?, "access_token")?);
            Ok(())
        }
        ["reserve", api, token, item, connections, count] => {
            reserve(api, token, item, connections.parse()?, count.parse()?).await
        }
        _ => Err("see the head of bench/load.rs".into()),
    }
}

async fn expect_200(request: reqwest::RequestBuilder) -> Result<Page, Failure> {
    let page = Page::read(request.send().await?).await;
    if page.status == 200 {
        Ok(page)
    } else {
        Err(format!("{}: {}", page.status, page.body).into())
    }
}

fn text<'a>(object: &'a serde_json::Value, name: &str) -> Result<&'a str, Failure> {
    object.get(name).and_then(serde_json::Value::as_str).ok_or_else(|| format!("no {name}").into())
}

async fn discover(issuer: &str) -> Result<serde_json::Value, Failure> {
    let url = format!("{issuer}/.well-known/openid-configuration");
    Ok(expect_200(http().get(url)).await?.json())
}

/// Who signs in with which client.
#[derive(Clone)]
struct Person {
    metadata: serde_json::Value,
    client_id: String,
    redirect: String,
    user: String,
    password: String,
    scope: String,
}

impl Person {
    /// Signs in, and returns what to do again and again: use the newest refresh token, or the code flow
    /// once more in the same browser.
    async fn begin(self, refresh: bool) -> Result<impl Fn() -> Again, Failure> {
        let agent = Agent::new();
        let tokens = self.sign_in(&agent).await?;
        let first = text(&tokens, "refresh_token").unwrap_or_default().to_owned();
        let current = Arc::new(Mutex::new(first));
        Ok(move || -> Again {
            let (person, agent, current) = (self.clone(), agent.clone(), Arc::clone(&current));
            Box::pin(async move {
                if !refresh {
                    return person.sign_in(&agent).await.map(drop);
                }
                let mut current = current.lock().await;
                let form = [
                    ("grant_type", "refresh_token"),
                    ("refresh_token", current.as_str()),
                    ("client_id", person.client_id.as_str()),
                ];
                let url = text(&person.metadata, "token_endpoint")?;
                let page = expect_200(agent.http().post(url).form(&form)).await?;
                let next = page.json();
                text(&next, "refresh_token")?.clone_into(&mut current);
                Ok(())
            })
        })
    }

    /// The code flow with PKCE: two requests when the browser is signed in already.
    async fn sign_in(&self, agent: &Agent) -> Result<serde_json::Value, Failure> {
        let verifier = token::random(32);
        let mut url = Url::parse(text(&self.metadata, "authorization_endpoint")?)?;
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.client_id)
            .append_pair("redirect_uri", &self.redirect)
            .append_pair("scope", &self.scope)
            .append_pair("state", "s")
            .append_pair("nonce", "n")
            .append_pair("code_challenge", &token::sha256_base64(&verifier))
            .append_pair("code_challenge_method", "S256");
        let ours = |url: &Url| url.as_str().starts_with(&self.redirect);
        let mut page = agent.get(&url).await;
        for _ in 0..6 {
            page = agent.follow(page, ours).await;
            if let Some(location) = page.location().filter(ours) {
                let code = location.query_pairs().find(|(name, _)| name == "code");
                let (_, code) = code.ok_or_else(|| location.to_string())?;
                let form = [
                    ("grant_type", "authorization_code"),
                    ("code", &*code),
                    ("redirect_uri", &self.redirect),
                    ("code_verifier", &verifier),
                    ("client_id", &self.client_id),
                ];
                let request =
                    agent.http().post(text(&self.metadata, "token_endpoint")?).form(&form);
                return Ok(expect_200(request).await?.json());
            }
            let form = page.form_with("password").ok_or_else(|| page.text())?;
            let form = form.with("username", &self.user).with("password", &self.password);
            page = agent.submit(&page, &form).await;
        }
        Err("the login does not end".into())
    }
}

/// Keeps `connections` busy for `seconds` with what `prepare` makes for each.
async fn for_a_while<P, O, F>(
    connections: usize,
    seconds: u64,
    prepare: impl Fn(usize) -> P,
) -> Result<(), Failure>
where
    P: Future<Output = Result<O, Failure>>,
    O: Fn() -> F + Send + 'static,
    F: Future<Output = Result<(), Failure>> + Send,
{
    let mut operations = Vec::new();
    for number in 0..connections {
        operations.push(prepare(number).await?);
    }
    // Whoever measures the server begins to do so now.
    println!("ready");
    let start = Instant::now();
    let end = start + Duration::from_secs(seconds);
    let mut tasks = Vec::new();
    for operation in operations {
        tasks.push(tokio::spawn(async move {
            let (mut latencies, mut failures) = (Vec::new(), Vec::new());
            while Instant::now() < end {
                let began = Instant::now();
                match operation().await {
                    Ok(()) => latencies.push(began.elapsed()),
                    Err(failure) => failures.push(failure.to_string()),
                }
            }
            (latencies, failures)
        }));
    }
    let (mut latencies, mut failures) = (Vec::new(), Vec::new());
    for task in tasks {
        let (more, wrong) = task.await?;
        latencies.extend(more);
        failures.extend(wrong);
    }
    report(latencies, &failures, start.elapsed());
    Ok(())
}

/// Makes `count` reservations of one unit over `connections`, then waits until all of them are held.
async fn reserve(
    api: &str,
    token: &str,
    item: &str,
    connections: usize,
    count: u64,
) -> Result<(), Failure> {
    let body = format!(r#"{{"items":[{{"inventory_id":"{item}","quantity":1}}]}}"#);
    let left = Arc::new(AtomicU64::new(count));
    let run = token::random(6);
    println!("ready");
    let start = Instant::now();
    let mut tasks = Vec::new();
    for connection in 0..connections {
        let (client, left, body, run) = (http(), Arc::clone(&left), body.clone(), run.clone());
        let (url, token) = (format!("{api}/api/v1/reservations"), token.to_owned());
        tasks.push(tokio::spawn(async move {
            let (mut latencies, mut failures) = (Vec::new(), Vec::new());
            loop {
                let one_less =
                    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |it| it.checked_sub(1));
                let Ok(number) = one_less else { return (latencies, failures) };
                let began = Instant::now();
                let request = client
                    .post(&url)
                    .bearer_auth(&token)
                    .header("Content-Type", "application/json")
                    .header("Idempotency-Key", format!("{run}-{connection}-{number}"))
                    .body(body.clone());
                match request.send().await {
                    Ok(answer) if answer.status() == 202 => latencies.push(began.elapsed()),
                    Ok(answer) => failures.push(answer.text().await.unwrap_or_default()),
                    Err(failure) => failures.push(failure.to_string()),
                }
            }
        }));
    }
    let (mut latencies, mut failures) = (Vec::new(), Vec::new());
    for task in tasks {
        let (more, wrong) = task.await?;
        latencies.extend(more);
        failures.extend(wrong);
    }
    let accepted = start.elapsed();
    let accepted_count = u64::try_from(latencies.len())?;
    let client = http();
    loop {
        let page = expect_200(client.get(format!("{api}/api/v1/inventory/{item}"))).await?;
        let held = page.json().get("held").and_then(serde_json::Value::as_u64).unwrap_or(0);
        if held >= accepted_count {
            break;
        }
        if start.elapsed() > Duration::from_mins(5) {
            return Err(format!("{held} of {accepted_count} are held after five minutes").into());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    eprintln!("accepted in {accepted:?}, held in {:?}", start.elapsed());
    report(latencies, &failures, start.elapsed());
    Ok(())
}

fn report(mut latencies: Vec<Duration>, failures: &[String], took: Duration) {
    latencies.sort();
    let at = |share: usize| {
        latencies
            .get(latencies.len().saturating_sub(1) * share / 100)
            .map_or(0, Duration::as_micros)
    };
    if let Some(first) = failures.first() {
        eprintln!("{} failures, the first: {first}", failures.len());
    }
    println!(
        "{{\"operations\":{},\"seconds\":{:.3},\"failures\":{},\"p50_us\":{},\"p99_us\":{}}}",
        latencies.len(),
        took.as_secs_f64(),
        failures.len(),
        at(50),
        at(99)
    );
}
