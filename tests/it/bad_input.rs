//! What a stranger may send by mistake or malice: the right status, `problem+json`, nothing internal, and a
//! service that works on.

use std::time::Duration;

use haetae_tests::{
    agent::{Agent, Page, http},
    api,
    oidc::{self, SCOPE},
    raw,
    shop::Shop,
    stack::{Database, Options, Stack},
    token,
};
use reqwest::header::CONTENT_TYPE;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Asserts a problem with one of `statuses`.
fn problem_of(name: &str, page: &Page, statuses: &[u16]) {
    let status = page.status.as_u16();
    assert!(statuses.contains(&status), "{name}: {status}, not {statuses:?}: {}", page.body);
    page.problem(status);
}

#[tokio::test]
async fn a_reservation_that_makes_no_sense() {
    let shop = Shop::open(Options::default()).await;
    let item = shop.service.create_item("Sound", 5).await;
    let line = |quantity: &str| {
        format!(r#"{{"items":[{{"inventory_id":"{item}","quantity":{quantity}}}]}}"#)
    };
    let many = (0..2_000)
        .map(|number| {
            format!(r#"{{"inventory_id":"inv_01ARZ3NDEKTSV4RRFFQ69{number:05}","quantity":1}}"#)
        })
        .collect::<Vec<_>>()
        .join(",");
    let cases: Vec<(&str, Vec<u8>, &[u16])> = vec![
        ("nothing", b"".to_vec(), &[400, 422]),
        ("half an object", b"{\"items\":[".to_vec(), &[400, 422]),
        ("not UTF-8", b"{\"items\":\"\xff\xfe\"}".to_vec(), &[400, 422]),
        ("a list", b"[]".to_vec(), &[400, 422]),
        ("null", b"null".to_vec(), &[400, 422]),
        ("no items", b"{}".to_vec(), &[400, 422]),
        ("empty items", b"{\"items\":[]}".to_vec(), &[400, 422]),
        ("items is text", b"{\"items\":\"x\"}".to_vec(), &[400, 422]),
        ("quantity 0", line("0").into_bytes(), &[400, 422]),
        ("quantity -1", line("-1").into_bytes(), &[400, 422]),
        ("quantity 1.5", line("1.5").into_bytes(), &[400, 422]),
        ("quantity is text", line("\"1\"").into_bytes(), &[400, 422]),
        ("quantity is null", line("null").into_bytes(), &[400, 422]),
        ("quantity beyond u32", line("4294967297").into_bytes(), &[400, 409, 422]),
        ("quantity beyond i64", line("9223372036854775808").into_bytes(), &[400, 422]),
        ("quantity 1e400", line("1e400").into_bytes(), &[400, 422]),
        (
            "an id of another kind",
            br#"{"items":[{"inventory_id":"rsv_01ARZ3NDEKTSV4RRFFQ69G5FAV","quantity":1}]}"#
                .to_vec(),
            &[400, 404, 422],
        ),
        (
            "an id that is none",
            br#"{"items":[{"inventory_id":"../../etc","quantity":1}]}"#.to_vec(),
            &[400, 404, 422],
        ),
        (
            "an id with NUL",
            br#"{"items":[{"inventory_id":"inv_\u0000","quantity":1}]}"#.to_vec(),
            &[400, 404, 422],
        ),
        ("two thousand lines", format!(r#"{{"items":[{many}]}}"#).into_bytes(), &[400, 413, 422]),
        (
            "payment is text",
            format!(r#"{{"items":[{{"inventory_id":"{item}","quantity":1}}],"payment":"x"}}"#)
                .into_bytes(),
            &[400, 422],
        ),
        ("deep", [b"[".repeat(50_000), b"]".repeat(50_000)].concat(), &[400, 413, 422]),
        (
            "10 MB of one string",
            format!(r#"{{"note":"{}"}}"#, "x".repeat(10_000_000)).into_bytes(),
            &[400, 413, 422],
        ),
    ];
    for (name, body, statuses) in cases {
        let request = shop.customer.request("POST", "reservations");
        let request = request
            .header("Idempotency-Key", token::random(8))
            .header(CONTENT_TYPE, "application/json")
            .body(body);
        problem_of(name, &api::send(request).await, statuses);
    }
    // Past the limit of the gateway: it says so at once, and throws the rest away for those who look for an
    // answer only when they have sent everything.
    for length in [11 << 20, 100 << 20] {
        let head = format!(
            "POST /api/v1/reservations HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
             Idempotency-Key: huge\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n",
            shop.tokens.access_token,
        );
        let mut stream = tokio::net::TcpStream::connect(shop.stack.gateway()).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&vec![b' '; length]).await.expect("nobody hangs up on who still writes");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("an answer and an orderly end");
        assert_eq!(raw::statuses(&answer), [413], "{}", String::from_utf8_lossy(&answer));
    }
    // The field is named, for a form to show it.
    let wrong = shop.customer.reserve(&[(&item, 0)], None, None).await;
    assert!(wrong.json()["errors"].to_string().contains("quantity"), "{}", wrong.body);

    let good = json!({ "items": [{ "inventory_id": item, "quantity": 1 }] });
    let request = || shop.customer.request("POST", "reservations");
    problem_of("no key", &api::send(request().json(&good)).await, &[400]);
    for (name, key) in [("an empty key", String::new()), ("a long key", "k".repeat(5_000))] {
        let page = api::send(request().header("Idempotency-Key", key).json(&good)).await;
        problem_of(name, &page, &[400, 422]);
    }
    let text = request().header("Idempotency-Key", "text").header(CONTENT_TYPE, "text/plain");
    problem_of("text/plain", &api::send(text.body(good.to_string())).await, &[415]);
    let unknown =
        shop.customer.reserve(&[("inv_01ARZ3NDEKTSV4RRFFQ69G5FAV", 1)], None, Some(20)).await;
    problem_of("an item that is not there", &unknown, &[404, 409, 422]);
    for prefer in ["wait=x", "wait=-1", "wait=99999999999999999999", "wait", "respond-async"] {
        let page = api::send(
            request()
                .header("Idempotency-Key", token::random(8))
                .header("Prefer", prefer)
                .json(&good),
        )
        .await;
        assert!(
            [202, 201, 409].contains(&page.status.as_u16()),
            "Prefer: {prefer}: {} {}",
            page.status,
            page.body
        );
    }
    assert_eq!(shop.customer.item(&item).await["quantity"], 5, "the control: it works on");
}

#[tokio::test]
async fn an_address_that_makes_no_sense() {
    let shop = Shop::open(Options::default()).await;
    let long = format!("inventory?q={}", "q".repeat(3_000));
    for (method, path, statuses) in [
        ("GET", "inventory/inv_01ARZ3NDEKTSV4RRFFQ69G5FAV", &[404][..]),
        ("GET", "inventory/rsv_01ARZ3NDEKTSV4RRFFQ69G5FAV", &[400, 404]),
        ("GET", "inventory/x", &[400, 404]),
        ("GET", "inventory/inv_zzzzzzzzzzzzzzzzzzzzzzzzzz", &[400, 404]),
        ("GET", "reservations/rsv_01ARZ3NDEKTSV4RRFFQ69G5FAV", &[404]),
        ("GET", "reservations/%F0%9F%8E%AB", &[400, 404]),
        ("POST", "reservations/rsv_01ARZ3NDEKTSV4RRFFQ69G5FAV/confirm", &[404]),
        ("POST", "reservations/rsv_01ARZ3NDEKTSV4RRFFQ69G5FAV/cancel", &[404]),
        ("POST", "reservations/rsv_01ARZ3NDEKTSV4RRFFQ69G5FAV/refund", &[404]),
        ("GET", "reservations?status=lost", &[400, 422]),
        ("GET", "reservations?cursor=%00", &[400, 422]),
        ("GET", "inventory?limit=x", &[400, 422]),
        ("GET", "inventory?limit=-1", &[400, 422]),
        ("GET", "inventory?cursor=forged", &[400, 422]),
        ("GET", "inventory?cursor=eyJpZCI6IicgT1IgMT0xIC0tIn0", &[400, 422]),
        ("GET", "nothing", &[404]),
        ("GET", "../v1/nothing", &[404]),
        ("PUT", "inventory", &[404, 405]),
        ("DELETE", "reservations/rsv_01ARZ3NDEKTSV4RRFFQ69G5FAV", &[404, 405]),
        ("PATCH", "reservations", &[404, 405]),
    ] {
        let page = api::send(shop.customer.request(method, path)).await;
        problem_of(&format!("{method} {path}"), &page, statuses);
        if page.status == 405 {
            assert!(page.header("allow").is_some(), "{method} {path}: RFC 9110 15.5.6 wants Allow");
        }
    }
    // Searching for anything finds nothing or something, and never breaks.
    for query in [
        "inventory?q=%27%20OR%201%3D1%20--",
        "inventory?q=%25",
        "inventory?q=_",
        "inventory?q=%5C",
        "inventory?q=%22",
        "inventory?q=%EF%BF%BF",
        "inventory?q=*",
        "inventory?q=NEAR(",
        "inventory?q=",
        &long,
    ] {
        let page = shop.customer.get(query).await;
        assert!(
            [200, 400, 422].contains(&page.status.as_u16()),
            "{query}: {} {}",
            page.status,
            page.body
        );
        if page.status != 200 {
            page.problem(page.status.as_u16());
        }
    }
    let injected = shop.customer.get("inventory?q=%27%20OR%201%3D1%20--").await.json();
    assert_eq!(injected["items"], json!([]), "no SQL from outside");
    let all = shop.customer.get("inventory?limit=100000").await;
    assert!([200, 400, 422].contains(&all.status.as_u16()));
    // Everything that a page of the list gives leads to the next, to the end.
    for number in 0..7 {
        shop.service.create_item(&format!("Numbered {number}"), 1).await;
    }
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = shop
            .customer
            .get(&format!("inventory?q=Numbered&limit=3&cursor={cursor}"))
            .await
            .json();
        for item in page["items"].as_array().unwrap() {
            seen.push(item["id"].as_str().unwrap().to_owned());
        }
        match page["next_cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => break,
        }
        assert!(seen.len() < 20, "the list does not end: {page}");
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 7);
}

#[tokio::test]
async fn inventory_that_makes_no_sense() {
    let shop = Shop::open(Options::default()).await;
    for body in [
        json!({}),
        json!({ "name": "x" }),
        json!({ "name": "", "quantity": 1 }),
        json!({ "name": "x", "quantity": -1 }),
        json!({ "name": "x", "quantity": 1.5 }),
        json!({ "name": "x", "quantity": "1" }),
        json!({ "name": "x".repeat(100_000), "quantity": 1 }),
        json!({ "name": "x", "quantity": 1, "price": { "amount_minor": -5, "currency": "KRW" } }),
        json!({ "name": "x", "quantity": 1, "price": { "amount_minor": 5, "currency": "won" } }),
        json!({ "name": "x", "quantity": 1, "starts_at": "tomorrow" }),
        json!({ "name": "x", "quantity": 1, "starts_at": "9999-12-31T23:59:59-12:00" }),
        json!(["sku", "x", null, 7, [5, "KRW"], null, null]),
        json!({ "name": "x", "quantity": 1, "attributes": [] }),
    ] {
        let page = shop.service.post("inventory", &body).await;
        problem_of(&body.to_string().chars().take(80).collect::<String>(), &page, &[400, 422]);
    }
    let first = json!({ "name": "a", "quantity": 1, "sku": "SAME" });
    assert_eq!(shop.service.post("inventory", &first).await.status, 201);
    problem_of("the same SKU", &shop.service.post("inventory", &first).await, &[409, 422]);
    // Names are text, whatever they look like, on the page too.
    let evil = "<script>alert(1)</script>";
    let id = shop.service.create_item(evil, 1).await;
    assert_eq!(shop.service.item(&id).await["name"], evil);
    let page = Agent::new().open(shop.stack.url("/?q=script")).await;
    assert!(!page.body.contains(evil), "a name became markup");
    for etag in ["*x", "\"", "W/\"1\"", "1"] {
        let request = shop.service.request("PATCH", &format!("inventory/{id}"));
        let page = api::send(request.header("If-Match", etag).json(&json!({ "name": "y" }))).await;
        problem_of(etag, &page, &[400, 412, 422]);
    }
}

#[tokio::test]
async fn a_token_request_that_makes_no_sense() {
    let shop = Shop::open(Options::default()).await;
    let mobile = &shop.mobile;
    for (name, form, status, code) in [
        ("nothing", vec![], 400, "invalid_request"),
        ("a grant nobody knows", vec![("grant_type", "password")], 400, "unsupported_grant_type"),
        ("no code", vec![("grant_type", "authorization_code")], 400, "invalid_request"),
        (
            "a code of nowhere",
            vec![
                ("grant_type", "authorization_code"),
                ("code", "x"),
                ("redirect_uri", &mobile.redirect_uri),
                ("code_verifier", "0123456789012345678901234567890123456789012"),
            ],
            400,
            "invalid_grant",
        ),
        ("no refresh token", vec![("grant_type", "refresh_token")], 400, "invalid_request"),
        (
            "a refresh token of nowhere",
            vec![("grant_type", "refresh_token"), ("refresh_token", "x")],
            400,
            "invalid_grant",
        ),
        (
            "a public client by itself",
            vec![("grant_type", "client_credentials")],
            400,
            "unauthorized_client",
        ),
        // RFC 6749 3.2: parameters must not come twice.
        (
            "twice",
            vec![
                ("grant_type", "refresh_token"),
                ("grant_type", "refresh_token"),
                ("refresh_token", "x"),
            ],
            400,
            "invalid_request",
        ),
    ] {
        let page = mobile.token(&form).await;
        assert_eq!(
            (page.status.as_u16(), page.json()["error"].as_str()),
            (status, Some(code)),
            "{name}: {}",
            page.body
        );
    }
    let endpoint = mobile.endpoint("oauth2/token");
    let page = api::send(http().get(endpoint.clone())).await;
    assert_eq!(page.status, 405, "{}", page.body);
    let page =
        api::send(http().post(endpoint.clone()).json(&json!({ "grant_type": "refresh_token" })))
            .await;
    assert!([400, 415].contains(&page.status.as_u16()), "{} {}", page.status, page.body);
    let page = api::send(
        http()
            .post(endpoint.clone())
            .body(vec![b'a'; 2_000_000])
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded"),
    )
    .await;
    assert!([400, 413].contains(&page.status.as_u16()), "{} {}", page.status, page.body);
    let page = api::send(
        http()
            .post(endpoint)
            .basic_auth("demo-service", Some("wrong"))
            .form(&[("grant_type", "client_credentials")]),
    )
    .await;
    oidc::refused(&page, 401, "invalid_client");
    assert!(
        page.header("www-authenticate").unwrap_or_default().starts_with("Basic"),
        "RFC 6749 5.2"
    );
}

#[tokio::test]
async fn a_code_is_good_once_for_its_client_with_its_verifier() {
    let shop = Shop::open(Options::default()).await;
    let demo = shop.stack.demo().user("demo").clone();
    let fresh = async || {
        let request = shop.mobile.request(SCOPE, &[]);
        let answer = shop.mobile.authorize(&shop.agent, &request, &demo, None).await;
        (answer.iter().find(|(name, _)| name == "code").expect("a code").1.clone(), request)
    };
    let (code, _) = fresh().await;
    oidc::refused(&shop.mobile.exchange(&code, &token::random(32)).await, 400, "invalid_grant");
    let (code, request) = fresh().await;
    let partner = oidc::Client::new(&shop.stack, shop.stack.demo().client("demo-partner"));
    oidc::refused(&partner.exchange(&code, &request.verifier).await, 400, "invalid_grant");
    let (code, request) = fresh().await;
    let mut elsewhere = shop.mobile.clone();
    elsewhere.redirect_uri = "http://127.0.0.1:49153/callback".to_owned();
    oidc::refused(&elsewhere.exchange(&code, &request.verifier).await, 400, "invalid_grant");
    // Twice: the second is refused and takes back what the first gave (RFC 6749 4.1.2).
    let (code, request) = fresh().await;
    let tokens = oidc::tokens(&shop.mobile.exchange(&code, &request.verifier).await);
    oidc::refused(&shop.mobile.exchange(&code, &request.verifier).await, 400, "invalid_grant");
    oidc::refused(
        &shop.mobile.refresh(tokens.refresh_token.as_ref().unwrap()).await,
        400,
        "invalid_grant",
    );
    let caller = api::Api::bearer(&shop.stack, &tokens.access_token);
    haetae_tests::wait::until_true(
        "the first token is refused",
        Duration::from_secs(2),
        async || caller.get("reservations").await.status == 401,
    )
    .await;
}

/// An authorization request that cannot be trusted is never redirected; one that can be says what is wrong.
#[tokio::test]
async fn an_authorization_request_that_makes_no_sense() {
    let stack = Stack::start(Options::default()).await;
    let mobile = oidc::Client::mobile(&stack);
    let agent = Agent::new();
    let url = |change: &[(&str, Option<&str>)]| {
        let mut url = mobile.request(SCOPE, &[]).url;
        let mut pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        for (name, value) in change {
            pairs.retain(|(key, _)| key != name);
            if let Some(value) = value {
                pairs.push(((*name).to_owned(), (*value).to_owned()));
            }
        }
        url.query_pairs_mut().clear().extend_pairs(pairs);
        url
    };
    for (name, change) in [
        ("no client", vec![("client_id", None)]),
        ("a client nobody knows", vec![("client_id", Some("nobody"))]),
        ("no redirect address", vec![("redirect_uri", None)]),
        ("another host", vec![("redirect_uri", Some("https://evil.example/callback"))]),
        ("another path", vec![("redirect_uri", Some("http://127.0.0.1:49152/other"))]),
        (
            "localhost for 127.0.0.1",
            vec![("redirect_uri", Some("http://127.0.0.1.evil.example/callback"))],
        ),
        (
            "with user info",
            vec![("redirect_uri", Some("http://127.0.0.1:49152@evil.example/callback"))],
        ),
        ("with a fragment", vec![("redirect_uri", Some("http://127.0.0.1:49152/callback#x"))]),
        (
            "a path that climbs",
            vec![("redirect_uri", Some("http://127.0.0.1:49152/callback/../x"))],
        ),
        ("https for http", vec![("redirect_uri", Some("https://127.0.0.1:49152/callback"))]),
        ("javascript", vec![("redirect_uri", Some("javascript:alert(1)"))]),
    ] {
        let page = agent.get(url(&change)).await;
        assert_eq!(page.status, 400, "{name}: {:?} {}", page.location(), page.text());
        assert!(page.location().is_none(), "{name}");
        assert!(page.header("content-type").unwrap_or_default().starts_with("text/html"), "{name}");
    }
    for (name, change, code) in [
        ("no response type", vec![("response_type", None)], "invalid_request"),
        ("implicit", vec![("response_type", Some("token"))], "unsupported_response_type"),
        ("hybrid", vec![("response_type", Some("code id_token"))], "unsupported_response_type"),
        (
            "no PKCE",
            vec![("code_challenge", None), ("code_challenge_method", None)],
            "invalid_request",
        ),
        ("plain PKCE", vec![("code_challenge_method", Some("plain"))], "invalid_request"),
        ("a short challenge", vec![("code_challenge", Some("short"))], "invalid_request"),
        ("a prompt nobody knows", vec![("prompt", Some("none login"))], "invalid_request"),
        ("an age that is none", vec![("max_age", Some("-1"))], "invalid_request"),
        ("nobody is signed in", vec![("prompt", Some("none"))], "login_required"),
        ("a request object", vec![("request", Some("e30.e30."))], "request_not_supported"),
    ] {
        let page = agent.get(url(&change)).await;
        let location =
            page.location().unwrap_or_else(|| panic!("{name}: {} {}", page.status, page.text()));
        assert!(location.as_str().starts_with(&mobile.redirect_uri), "{name}: {location}");
        let error = location
            .query_pairs()
            .find(|(key, _)| key == "error")
            .map(|(_, value)| value.into_owned());
        assert_eq!(error.as_deref(), Some(code), "{name}: {location}");
        assert!(location.query_pairs().any(|(key, _)| key == "state"), "{name}: {location}");
    }
    // RFC 8252 7.3: a loopback address with any port; and the private scheme.
    for good in
        ["http://127.0.0.1:1/callback", "http://127.0.0.1/callback", "dev.haetae.demo:/callback"]
    {
        let page = agent.get(url(&[("redirect_uri", Some(good))])).await;
        assert!(
            page.location().is_some_and(|location| location.path().starts_with("/login")),
            "{good}: {} {}",
            page.status,
            page.text()
        );
    }
}

/// PostgreSQL has no NUL in its texts: what cannot be a name is nobody's name, and no outage.
#[tokio::test]
async fn a_name_with_nul_is_nobodys() {
    let stack = Stack::start(Options::on(Database::Postgres)).await;
    let demo = stack.demo().user("demo").clone();
    let mobile = oidc::Client::mobile(&stack);
    let agent = Agent::new();
    let page = agent.get(stack.url("/oauth2/authorize?client_id=demo-mobile%00")).await;
    assert_eq!(page.status, 400, "{}", page.text());
    let named =
        [("grant_type", "client_credentials"), ("client_id", "a\0"), ("client_secret", "x")];
    let page = api::send(http().post(mobile.endpoint("oauth2/token")).form(&named)).await;
    oidc::refused(&page, 401, "invalid_client");
    let sign_in = async |name: &str| {
        let page = agent.open(stack.url("/login")).await;
        let form = page.form_with("password").expect("a login page");
        agent.submit(&page, &form.with("username", name).with("password", &demo.password)).await
    };
    let page = sign_in("demo\0").await;
    assert_eq!(page.status, 422, "{}", page.text());
    assert!(sign_in("demo").await.status.is_redirection());
    let page = agent.open(stack.url("/account")).await;
    let csrf = page.form_with("csrf").expect("a form").value("csrf").expect("a token").to_owned();
    let revoke = [("csrf", csrf.as_str()), ("client_id", "a\0")];
    let to = stack.url("/account/applications/revoke");
    let request =
        agent.http().post(to).header("Origin", stack.public_url().origin().ascii_serialization());
    let page = agent.send(request.form(&revoke)).await;
    assert!(page.status.is_redirection(), "{} {}", page.status, page.text());
}

/// A form that comes from elsewhere, or without the token of its page, changes nothing.
#[tokio::test]
async fn a_form_of_another_site_signs_nobody_in() {
    let stack = Stack::start(Options::default()).await;
    let demo = stack.demo().user("demo").clone();
    let mobile = oidc::Client::mobile(&stack);
    let agent = Agent::new();
    let page = agent.open(mobile.request(SCOPE, &[]).url).await;
    let form = page.form_with("password").expect("a login page");
    assert!(form.value("csrf").is_some_and(|value| value.len() >= 16), "{form:?}");
    let form = form.with("username", &demo.username).with("password", &demo.password);
    let no_token = agent.submit(&page, &form.clone().without("csrf")).await;
    assert!(no_token.status.is_client_error(), "{}", no_token.status);
    let wrong = agent.submit(&page, &form.clone().with("csrf", "AAAAAAAAAAAAAAAAAAAAAA")).await;
    assert!(wrong.status.is_client_error(), "{}", wrong.status);
    // A token of another browser is none.
    let attacker = Agent::new();
    let theirs = attacker.open(mobile.request(SCOPE, &[]).url).await;
    let stolen = theirs.form_with("password").unwrap().value("csrf").unwrap().to_owned();
    let swapped = agent.submit(&page, &form.clone().with("csrf", &stolen)).await;
    assert!(swapped.status.is_client_error(), "{}", swapped.status);
    let target = page.url.join(&form.action).unwrap();
    let request = agent
        .http()
        .post(target)
        .header("Origin", "https://evil.example")
        .header("Sec-Fetch-Site", "cross-site");
    let cross = agent.send(request.form(&form.fields)).await;
    assert!(cross.status.is_client_error(), "{} {}", cross.status, cross.text());
    // The control: the form as it was.
    let page = agent.open(mobile.request(SCOPE, &[]).url).await;
    let form = page.form_with("password").unwrap();
    let good = agent
        .submit(&page, &form.with("username", &demo.username).with("password", &demo.password))
        .await;
    assert!(good.status.is_redirection(), "{} {}", good.status, good.text());
}
