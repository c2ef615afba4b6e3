//! A flood of logins costs time and refusals, never memory; and nobody guesses for long.

use std::time::Duration;

use haetae_tests::{
    agent::{Agent, Page, http},
    oidc::{Client, SCOPE},
    shop::Shop,
    stack::{Options, Role, Stack},
    wait,
};

/// Starts a login at the authserver itself, past the limits of the gateway.
async fn login_page(stack: &Stack) -> (Agent, Page) {
    let agent = Agent::new();
    let mut url = Client::mobile(stack).request(SCOPE, &[]).url;
    let direct = stack.direct_url(Role::Auth);
    url.set_host(direct.host_str()).unwrap();
    url.set_port(direct.port()).unwrap();
    let mut page = agent.get(&url).await;
    while let Some(mut next) = page.location() {
        next.set_host(direct.host_str()).unwrap();
        next.set_port(direct.port()).unwrap();
        page = agent.get(&next).await;
    }
    (agent, page)
}

#[tokio::test]
async fn a_flood_of_logins_takes_no_memory() {
    let options = Options::default()
        .set("AUTH__PASSWORD__CONCURRENCY", "1")
        .set("AUTH__PASSWORD__QUEUE", "8")
        .set("AUTH__LOGIN__ATTEMPTS", "1000000");
    let stack = Stack::start(options).await;
    let (agent, page) = login_page(&stack).await;
    let form =
        page.form_with("password").unwrap_or_else(|| panic!("a login page: {}", page.text()));
    let issuer = stack.public_url().origin().ascii_serialization();
    let submit = async |username: String, password: String| {
        let form = form.clone().with("username", &username).with("password", &password);
        let target = page.url.join(&form.action).unwrap();
        let request = agent.http().post(target).header("Origin", &issuer).form(&form.fields);
        agent.send(request).await
    };
    let pid = stack.pid(Role::Auth);
    submit("warm".to_owned(), "up the allocator".to_owned()).await;
    let before = Stack::resident_kib(pid);
    let peak = std::sync::atomic::AtomicU64::new(before);
    let flood = futures::future::join_all(
        (0..300).map(|number| submit(format!("nobody{number}"), format!("wrong horse {number}"))),
    );
    let watch = async {
        loop {
            peak.fetch_max(Stack::resident_kib(pid), std::sync::atomic::Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let answers = tokio::select! {
        answers = flood => answers,
        () = watch => unreachable!(),
    };
    let grown = peak.load(std::sync::atomic::Ordering::Relaxed).saturating_sub(before);
    let refused: Vec<&Page> = answers.iter().filter(|page| page.status == 503).collect();
    let looked_at = answers.len() - refused.len();
    println!(
        "300 logins at once: {looked_at} hashed, {} refused, memory +{grown} KiB",
        refused.len()
    );
    assert!(!refused.is_empty(), "a queue of 8 takes no 300");
    assert!(looked_at >= 9, "one at work and eight waiting are served: {looked_at}");
    assert!(
        refused.iter().all(|page| page.header("retry-after").is_some()),
        "503 says when to come back"
    );
    assert!(
        answers
            .iter()
            .all(|page| page.status == 503 || page.status.is_client_error() || page.status == 200)
    );
    // 19 MiB a hash: 300 at once would be 5.7 GiB; one at a time is one block and its surroundings.
    assert!(grown < 100 * 1024, "memory grew by {grown} KiB");
    // The control: after the flood a person signs in.
    let mobile = Client::mobile(&stack);
    mobile.sign_in(&Agent::new(), stack.demo().user("demo")).await;
}

/// One account, many guesses: the throttle answers 429 with Retry-After, says nothing about the password,
/// and holds for the right one too; another account is not touched.
#[tokio::test]
async fn guessing_is_throttled_by_account() {
    let options =
        Options::default().set("AUTH__LOGIN__ATTEMPTS", "3").set("AUTH__LOGIN__WINDOW", "4s");
    let stack = Stack::start(options).await;
    let mobile = Client::mobile(&stack);
    let demo = stack.demo().user("demo").clone();
    let attempt = async |agent: &Agent, username: &str, password: &str| {
        let page = agent.open(mobile.request(SCOPE, &[]).url).await;
        let form = page.form_with("password").unwrap();
        agent.submit(&page, &form.with("username", username).with("password", password)).await
    };
    let agent = Agent::new();
    let wrong = attempt(&agent, &demo.username, "not the password").await;
    let unknown = attempt(&agent, "nobody-at-all", "not the password").await;
    assert!(wrong.status.is_client_error() || wrong.status == 200, "{}", wrong.status);
    // The answer tells nobody which names exist.
    assert_eq!(wrong.status, unknown.status);
    assert_eq!(
        wrong.text().replace(&demo.username, "NAME"),
        unknown.text().replace("nobody-at-all", "NAME")
    );
    let throttled = wait::until("guessing is throttled", Duration::from_secs(20), async || {
        let page = attempt(&agent, &demo.username, "not the password").await;
        (page.status == 429).then_some(page)
    })
    .await;
    let seconds: u64 = throttled.header("retry-after").expect("Retry-After").parse().unwrap();
    assert!((1..=4).contains(&seconds), "{seconds}");
    let right = attempt(&agent, &demo.username, &demo.password).await;
    assert_eq!(right.status, 429, "the right password too, or the throttle would be an oracle");
    wait::until_true("the window passes", Duration::from_secs(20), async || {
        attempt(&agent, &demo.username, &demo.password).await.status.is_redirection()
    })
    .await;
}

/// The gateway's own limits: 429, Retry-After, and the fields of the draft.
#[tokio::test]
async fn a_limit_of_the_gateway_refuses_and_says_when() {
    let config = r#"
[[gateway.limits]]
name = "tight"
key = "address"
quota = 5
window = "10s"
burst = 5
[[gateway.limits]]
name = "person"
key = "subject"
quota = 6
window = "1h"
burst = 6
[[gateway.routes]]
name = "jwks"
path = "/oauth2/jwks"
upstream = "auth"
authenticate = "none"
limits = ["tight"]
[[gateway.routes]]
name = "oauth2"
path = "/oauth2/{*rest}"
upstream = "auth"
authenticate = "none"
[[gateway.routes]]
name = "login"
path = "/login"
upstream = "auth"
authenticate = "none"
[[gateway.routes]]
name = "reservations"
path = "/api/v1/reservations"
upstream = "reservation"
scopes = ["reservations:read"]
limits = ["person"]
"#;
    let stack = Stack::start(Options::default().config(config)).await;
    let url = stack.url("/oauth2/jwks");
    let answers = futures::future::join_all(
        (0..40).map(|_| async { Page::read(http().get(url.clone()).send().await.unwrap()).await }),
    )
    .await;
    let served = answers.iter().filter(|page| page.status == 200).count();
    // Half a second's worth may come in while forty are asked.
    assert!((5..=7).contains(&served), "{served} of a burst of 5");
    let refused = answers.iter().find(|page| page.status == 429).expect("a refusal");
    refused.problem(429);
    let after: u64 = refused.header("retry-after").expect("Retry-After").parse().unwrap();
    assert!((1..=3).contains(&after), "the next is due in two seconds: {after}");
    let policy = refused.header("ratelimit-policy").expect("RateLimit-Policy");
    assert!(
        policy.contains("\"tight\"") && policy.contains("q=5") && policy.contains("w=10"),
        "{policy}"
    );
    assert!(refused.header("ratelimit").expect("RateLimit").contains("r=0"));
    let served = answers.iter().find(|page| page.status == 200).unwrap();
    assert!(served.header("ratelimit").is_some());
    // By person: one uses up theirs, the other is served.
    let mobile = Client::mobile(&stack);
    let mut tokens = Vec::new();
    for name in ["demo", "guest"] {
        let signed_in = mobile.sign_in(&Agent::new(), stack.demo().user(name)).await;
        tokens.push(haetae_tests::api::Api::bearer(&stack, &signed_in.access_token));
    }
    let mut last = 0;
    for _ in 0..8 {
        last = tokens[0].get("reservations").await.status.as_u16();
    }
    assert_eq!(last, 429);
    assert_eq!(tokens[1].get("reservations").await.status, 200);
}

#[tokio::test]
async fn a_busy_shop_is_not_a_flood() {
    let shop = Shop::open(Options::default()).await;
    let answers =
        futures::future::join_all((0..200).map(|_| shop.customer.get("reservations"))).await;
    assert!(
        answers.iter().all(|page| page.status == 200),
        "200 at once are within the default limits"
    );
}
