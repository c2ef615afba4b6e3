//! What the reviewers of this house got away with once. Each test is an attack that worked, by the name of
//! what it aimed at; it must not work again.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use haetae_tests::{
    agent::{Agent, Page, http},
    api::{self, Api},
    oidc::{self, Client, SCOPE},
    raw,
    shop::Shop,
    stack::{DemoUser, Options, Role, Stack},
    token, wait,
};

/// Names that the caller chooses must not become series of metrics: they would never go away again.
#[tokio::test]
async fn invented_methods_do_not_fill_the_metrics() {
    let stack = Stack::start(Options::default()).await;
    let lines = async |role: Role| {
        let answer = http().get(stack.admin_url(role, "/metrics")).send().await.unwrap();
        answer.text().await.unwrap().lines().count()
    };
    let ask = async |prefix: &str, number: usize| {
        let method: reqwest::Method = format!("{prefix}{number}").parse().unwrap();
        for base in [
            stack.url("/oauth2/token"),
            stack.direct_url(Role::Auth).join("/oauth2/token").unwrap(),
            stack.direct_url(Role::Reservation).join("/api/v1/inventory").unwrap(),
        ] {
            let answer = http().request(method.clone(), base).send().await.unwrap();
            assert!(
                answer.status().is_client_error() || answer.status() == 501,
                "{}",
                answer.status()
            );
        }
    };
    ask("WARMUP", 0).await;
    let mut before = Vec::new();
    for role in Role::ALL {
        before.push(lines(role).await);
    }
    for number in 0..40 {
        ask("INVENTED", number).await;
    }
    for (role, before) in Role::ALL.into_iter().zip(before) {
        let after = lines(role).await;
        assert!(after < before + 100, "{role:?}: {before} lines of metrics became {after}");
    }
}

/// Whoever is refused for want of a good token is counted too, by address.
#[tokio::test]
async fn guessing_tokens_is_limited() {
    let config = r#"
[[gateway.limits]]
name = "person"
key = "subject"
quota = 30
window = "1m"
burst = 30
[[gateway.routes]]
name = "reservations"
path = "/api/v1/reservations"
upstream = "reservation"
scopes = ["reservations:read"]
limits = ["person"]
"#;
    let stack = Stack::start(Options::default().config(config)).await;
    for bearer in [None, Some("guess")] {
        let mut refused = 0;
        for _ in 0..60 {
            let mut request = http().get(stack.url("/api/v1/reservations"));
            if let Some(token) = bearer {
                request = request.bearer_auth(token);
            }
            refused += u32::from(request.send().await.unwrap().status() == 429);
        }
        assert!(refused >= 20, "{bearer:?}: {refused} of 60 were too many");
    }
}

/// Behind a balancer that writes X-Forwarded-For, a client cannot choose its own address with `Forwarded`.
#[tokio::test]
async fn nobody_chooses_their_own_address() {
    let config = r#"
[gateway]
trusted_proxies = ["127.0.0.0/8"]
[[gateway.limits]]
name = "tight"
key = "address"
quota = 10
window = "1m"
burst = 10
[[gateway.routes]]
name = "jwks"
path = "/oauth2/jwks"
upstream = "auth"
authenticate = "none"
limits = ["tight"]
"#;
    let stack = Stack::start(Options::default().config(config)).await;
    let mut served = 0;
    for number in 0..40 {
        let request = http()
            .get(stack.url("/oauth2/jwks"))
            .header("X-Forwarded-For", "203.0.113.7")
            .header("Forwarded", format!("for=198.51.100.{number}"));
        served += u32::from(request.send().await.unwrap().status() == 200);
    }
    assert!(
        served <= 12,
        "{served} of 40 were served on a limit of 10: each came from another address"
    );
    // The control: other clients behind the same balancer have a limit of their own.
    let request = http().get(stack.url("/oauth2/jwks")).header("X-Forwarded-For", "203.0.113.8");
    assert_eq!(request.send().await.unwrap().status(), 200);
}

/// A sign-out ends also what is being given out at that very moment.
#[tokio::test]
async fn signing_out_overtakes_codes_under_way() {
    let shop = Shop::open(Options::default()).await;
    let demo = shop.stack.demo().user("demo").clone();
    for round in 0..4 {
        let agent = Agent::new();
        let first = shop.mobile.sign_in(&agent, &demo).await;
        let over = Arc::new(AtomicBool::new(false));
        let mut thieves = Vec::new();
        for _ in 0..6 {
            let (mobile, agent, demo, over) =
                (shop.mobile.clone(), agent.clone(), demo.clone(), Arc::clone(&over));
            thieves.push(tokio::spawn(async move { collect(&mobile, &agent, &demo, &over).await }));
        }
        tokio::time::sleep(Duration::from_millis(150)).await;
        let mut logout = shop.mobile.endpoint("oauth2/logout");
        logout
            .query_pairs_mut()
            .append_pair("id_token_hint", first.id_token.as_ref().unwrap())
            .append_pair("client_id", "demo-mobile");
        let out = Agent::new();
        out.set_cookie("haetae-sso", &agent.cookie("haetae-sso").expect("a session"));
        let page = out.open(&logout).await;
        assert!(page.status.is_success(), "{} {}", page.status, page.text());
        over.store(true, Ordering::SeqCst);
        let mut loot = vec![first.refresh_token.unwrap()];
        for thief in thieves {
            loot.extend(thief.await.unwrap());
        }
        let mut alive = 0;
        for token in &loot {
            alive += usize::from(shop.mobile.refresh(token).await.status == 200);
        }
        assert_eq!(
            alive,
            0,
            "round {round}: {alive} of {} refresh tokens outlive the sign-out",
            loot.len()
        );
    }
}

/// Takes codes and redeems them until told that it is over; returns the refresh tokens.
async fn collect(
    mobile: &Client,
    agent: &Agent,
    user: &DemoUser,
    over: &AtomicBool,
) -> Vec<String> {
    let mut loot = Vec::new();
    while !over.load(Ordering::SeqCst) {
        let request = mobile.request(SCOPE, &[("prompt", "none")]);
        let answer = mobile.authorize(agent, &request, user, None).await;
        let Some((_, code)) = answer.iter().find(|(name, _)| name == "code") else { break };
        let page = mobile.exchange(code, &request.verifier).await;
        if page.status == 200 {
            loot.extend(oidc::tokens(&page).refresh_token);
        }
    }
    loot
}

/// One person opens event streams without end; another still gets theirs.
#[tokio::test]
async fn one_person_cannot_take_all_event_streams() {
    let shop = Shop::open(Options::default()).await;
    let item = shop.service.create_item("Watched", 5).await;
    let id = api::id(&shop.customer.reserve(&[(&item, 1)], None, None).await);
    shop.customer.settled(&id, &["held"]).await;
    let mut open = Vec::new();
    let mut refused = 0;
    for _ in 0..100 {
        let request = shop.customer.request("GET", &format!("reservations/{id}/events"));
        let answer = request.send().await.unwrap();
        match answer.status().as_u16() {
            200 => open.push(answer),
            429 | 503 => refused += 1,
            other => panic!("{other}"),
        }
    }
    assert!(refused > 0 && open.len() <= 64, "{} streams of one person are open", open.len());
    let guest = shop.mobile.sign_in(&Agent::new(), shop.stack.demo().user("guest")).await;
    let guest = Api::bearer(&shop.stack, &guest.access_token);
    let theirs = api::id(&guest.reserve(&[(&item, 1)], None, None).await);
    guest.settled(&theirs, &["held"]).await;
    let answer =
        guest.request("GET", &format!("reservations/{theirs}/events")).send().await.unwrap();
    assert_eq!(answer.status(), 200, "another person has streams of their own");
    // Closed ones are given back.
    drop(open);
    wait::until_true("a closed stream is given back", Duration::from_secs(20), async || {
        let request = shop.customer.request("GET", &format!("reservations/{id}/events"));
        request.send().await.unwrap().status() == 200
    })
    .await;
}

/// However often a refresh token was replayed in its grace, revoking the grant ends every access token.
#[tokio::test]
async fn revoking_ends_every_token_of_a_replayed_family() {
    let shop = Shop::open(Options::default()).await;
    let spent = shop.tokens.refresh_token.clone().unwrap();
    let mut issued = BTreeSet::new();
    let mut successor = String::new();
    for _ in 0..300 {
        let page = shop.mobile.refresh(&spent).await;
        // To stop answering is a defence too.
        if page.status != 200 {
            break;
        }
        let tokens = oidc::tokens(&page);
        issued.insert(tokens.access_token);
        successor = tokens.refresh_token.unwrap();
    }
    assert!(!issued.is_empty());
    shop.mobile.revoke(&successor).await;
    for token in &issued {
        let caller = Api::bearer(&shop.stack, token);
        wait::until_true(
            "every token of the family is refused",
            Duration::from_secs(3),
            async || caller.get("reservations").await.status == 401,
        )
        .await;
    }
    println!("{} access tokens of one family, all refused", issued.len());
}

/// A grant without `offline_access` ends with the session that it was given in.
#[tokio::test]
async fn a_grant_without_offline_access_ends_with_its_session() {
    let options =
        Options::default().set("AUTH__SESSION__IDLE", "3s").set("AUTH__SESSION__ABSOLUTE", "3s");
    let stack = Stack::start(options).await;
    let mobile = Client::mobile(&stack);
    let demo = stack.demo().user("demo");
    let online = mobile.sign_in_with(&Agent::new(), demo, None, "openid reservations:read").await;
    let offline = mobile.sign_in(&Agent::new(), demo).await;
    tokio::time::sleep(Duration::from_millis(3_600)).await;
    if let Some(token) = &online.refresh_token {
        oidc::refused(&mobile.refresh(token).await, 400, "invalid_grant");
    }
    // The control: what was granted for the time when nobody is there goes on.
    oidc::tokens(&mobile.refresh(offline.refresh_token.as_ref().unwrap()).await);
}

/// A session that was begun with the old password while it was being reset is none.
#[tokio::test]
async fn a_reset_overtakes_sign_ins_with_the_old_password() {
    let options = Options::default().set("AUTH__LOGIN__ATTEMPTS", "1000000");
    let stack = Stack::start(options).await;
    let guest = stack.demo().user("guest").clone();
    let over = Arc::new(AtomicBool::new(false));
    let login = stack.url("/login");
    let mut thieves = Vec::new();
    for _ in 0..6 {
        let (guest, over, login) = (guest.clone(), Arc::clone(&over), login.clone());
        thieves.push(tokio::spawn(async move {
            let mut loot = Vec::new();
            while !over.load(Ordering::SeqCst) {
                let agent = Agent::new();
                let page = agent.open(&login).await;
                let Some(form) = page.form_with("password") else { continue };
                let form = form.with("username", &guest.username).with("password", &guest.password);
                agent.submit(&page, &form).await;
                if agent.cookie("haetae-sso").is_some() {
                    loot.push(agent);
                }
            }
            loot
        }));
    }
    tokio::time::sleep(Duration::from_millis(800)).await;
    stack.cli(&["user", "reset", "guest"]).await.ok();
    over.store(true, Ordering::SeqCst);
    let (mut sessions, mut alive) = (0, 0);
    for thief in thieves {
        for agent in thief.await.unwrap() {
            sessions += 1;
            let page = agent.open(stack.url("/account")).await;
            alive += usize::from(page.status == 200 && page.form_with("password").is_none());
        }
    }
    assert!(sessions > 0, "nobody was signing in: the attack did not happen");
    assert_eq!(alive, 0, "{alive} of {sessions} sessions of the old password outlive its reset");
}

/// Taking an application's access back stops also the code that it holds already.
#[tokio::test]
async fn taking_access_back_stops_a_code_that_is_out() {
    let stack = Stack::start(Options::default()).await;
    let partner = Client::new(&stack, stack.demo().client("demo-partner"));
    let demo = stack.demo().user("demo").clone();
    let agent = Agent::new();
    let scope = "openid profile offline_access reservations:read";
    let control = partner.sign_in_with(&agent, &demo, None, scope).await;
    let request = partner.request(scope, &[]);
    let answer = partner.authorize(&agent, &request, &demo, None).await;
    let (_, code) = answer.iter().find(|(name, _)| name == "code").expect("a code");
    let page = agent.open(stack.url("/account")).await;
    let form = haetae_tests::html::forms(&page.body)
        .into_iter()
        .find(|form| {
            form.action.contains("application") || form.value("client_id") == Some("demo-partner")
        })
        .unwrap_or_else(|| panic!("a button to take it back: {}", page.text()));
    let page = agent.submit(&page, &form).await;
    assert!(page.status.is_redirection(), "{} {}", page.status, page.text());
    oidc::refused(&partner.exchange(code, &request.verifier).await, 400, "invalid_grant");
    oidc::refused(
        &partner.refresh(control.refresh_token.as_ref().unwrap()).await,
        400,
        "invalid_grant",
    );
}

/// A stranger cannot fill Redis through the authorization endpoint.
#[tokio::test]
async fn authorization_requests_do_not_fill_redis() {
    let stack = Stack::start(Options::default()).await;
    let mobile = Client::mobile(&stack);
    let used = async || -> u64 {
        let info = stack.redis().command(&["INFO", "memory"]).await.unwrap();
        info.lines()
            .find_map(|line| line.strip_prefix("used_memory:"))
            .unwrap()
            .trim()
            .parse()
            .unwrap()
    };
    let url = mobile.request(SCOPE, &[]).url;
    let mut form: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    form.push(("junk".to_owned(), "x".repeat(60_000)));
    let before = used().await;
    for _ in 0..60 {
        let request = http().post(mobile.endpoint("oauth2/authorize")).form(&form);
        let page = Page::read(request.send().await.unwrap()).await;
        assert!(page.status.is_redirection() || page.status.is_client_error(), "{}", page.status);
    }
    let grown = used().await.saturating_sub(before);
    assert!(grown < 60 * 20_000, "60 requests of a stranger took {grown} bytes of Redis");
}

/// A form of thousands of names is refused before anybody compares each with each.
#[tokio::test]
async fn a_form_of_thousands_of_names_is_refused() {
    let stack = Stack::start(Options::default()).await;
    let names: Vec<(String, String)> =
        (0..12_000).map(|number| (format!("{number:x}"), String::new())).collect();
    let request = http().post(stack.url("/oauth2/token")).form(&names);
    let page = Page::read(request.send().await.unwrap()).await;
    assert!([400, 413].contains(&page.status.as_u16()), "{} {}", page.status, page.body);
    let few: Vec<(String, String)> =
        (0..200).map(|number| (format!("{number:x}"), String::new())).collect();
    let few = [vec![("grant_type".to_owned(), "password".to_owned())], few].concat();
    let page =
        Page::read(http().post(stack.url("/oauth2/token")).form(&few).send().await.unwrap()).await;
    assert!([400, 401].contains(&page.status.as_u16()), "{} {}", page.status, page.body);
}

/// Clients that promise a body and send none harm themselves only: the service behind stays open to others.
#[tokio::test]
async fn slow_bodies_do_not_shut_a_healthy_service() {
    let config = r#"
[gateway]
request_timeout = "2s"
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
name = "inventory"
path = "/api/v1/inventory"
methods = ["GET"]
upstream = "reservation"
authenticate = "none"
[[gateway.routes]]
name = "reservations"
path = "/api/v1/reservations"
upstream = "reservation"
scopes = ["reservations:write"]
"#;
    let stack = Stack::start(Options::default().config(config)).await;
    let mobile = Client::mobile(&stack);
    let tokens = mobile.sign_in(&Agent::new(), stack.demo().user("demo")).await;
    let head = format!(
        "POST /api/v1/reservations HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nIdempotency-Key: {}\r\n\
         Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{",
        tokens.access_token,
        token::random(8)
    );
    let slow = futures::future::join_all((0..24).map(async |_| {
        raw::exchange(stack.gateway(), &[head.as_bytes()], Duration::from_secs(6)).await
    }));
    let others = async {
        let anonymous = Api::anonymous(&stack);
        let mut refused = Vec::new();
        for _ in 0..60 {
            let page = anonymous.get("inventory?limit=1").await;
            if page.status != 200 {
                refused.push(page.body);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        refused
    };
    let (slow, refused) = tokio::join!(slow, others);
    assert!(refused.is_empty(), "{} of 60 others were refused: {}", refused.len(), refused[0]);
    for answer in slow {
        let statuses = raw::statuses(&answer);
        assert!(matches!(statuses.as_slice(), [] | [408 | 400 | 504, ..]), "{statuses:?}");
    }
}

/// An event stream ends when its token is revoked, not when the token would have expired.
#[tokio::test]
async fn an_open_stream_ends_with_its_token() {
    let shop = Shop::open(Options::default()).await;
    let item = shop.service.create_item("Watched", 5).await;
    let id = api::id(&shop.customer.reserve(&[(&item, 1)], None, None).await);
    shop.customer.settled(&id, &["held"]).await;
    let request = shop.customer.request("GET", &format!("reservations/{id}/events"));
    let mut stream = request.send().await.unwrap().bytes_stream();
    let first = tokio_stream::StreamExt::next(&mut stream).await.expect("an event").unwrap();
    assert!(!first.is_empty());
    shop.mobile.revoke(&shop.tokens.access_token).await;
    let ended = tokio::time::timeout(Duration::from_secs(20), async {
        while let Some(Ok(_)) = tokio_stream::StreamExt::next(&mut stream).await {}
    });
    assert!(ended.await.is_ok(), "the stream of a revoked token is open after twenty seconds");
}

/// One person holds as much as the setting says, not everything; others are not touched.
#[tokio::test]
async fn nobody_holds_everything_for_nothing() {
    let options = Options::default().set("RESERVATION__MAX_OPEN_PER_SUBJECT", "5");
    let shop = Shop::open(options).await;
    let item = shop.service.create_item("Wanted", 2_000).await;
    let mut open = Vec::new();
    let refused = loop {
        let page = shop.customer.reserve(&[(&item, 1)], None, None).await;
        if page.status != 202 {
            break page;
        }
        open.push(api::id(&page));
        assert!(open.len() < 20, "one person holds {} and pays nothing", open.len());
    };
    assert!([409, 429].contains(&refused.status.as_u16()), "{}", refused.body);
    refused.problem(refused.status.as_u16());
    assert!(open.len() <= 5, "{} of 5", open.len());
    let guest = shop.mobile.sign_in(&Agent::new(), shop.stack.demo().user("guest")).await;
    let guest = Api::bearer(&shop.stack, &guest.access_token);
    assert_eq!(
        guest.reserve(&[(&item, 1)], None, None).await.status,
        202,
        "the control: another person"
    );
    // What is given back counts no longer.
    shop.customer.post(&format!("reservations/{}/cancel", open[0]), &serde_json::json!({})).await;
    shop.customer.settled(&open[0], &["cancelled"]).await;
    assert_eq!(shop.customer.reserve(&[(&item, 1)], None, None).await.status, 202);
}
