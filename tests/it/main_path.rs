//! The whole way of a stranger with an OpenID client: discover, sign in, reserve, confirm, pay, cancel,
//! refresh, leave.

use haetae_tests::{
    agent::{Agent, http},
    api::{self, Api, history},
    oidc::{self, Client, SCOPE},
    shop::Shop,
    stack::{Database, Options, Stack},
    token,
};
use serde_json::{Value, json};

on_both_databases!(
    signs_in_and_reserves,
    pays_and_cancels,
    refuses_what_is_not_there,
    remembers_an_idempotency_key,
    keeps_reservations_private,
    edits_inventory_under_its_version,
    takes_a_basket_whole_or_not_at_all,
);

/// Discovery, code flow, claims, userinfo; a reservation that is held, then confirmed.
async fn signs_in_and_reserves(database: Database) {
    let stack = Stack::start(Options::on(database)).await;
    let issuer = stack.public_url().as_str().trim_end_matches('/').to_owned();
    // Scripts append paths to what the files say, and the gateway refuses `//`.
    for file in ["demo.json", "instance.json"] {
        let text = std::fs::read_to_string(stack.data_dir().join(file)).unwrap();
        let said: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(said["public_url"], issuer, "{file}");
    }
    for path in [".well-known/openid-configuration", ".well-known/oauth-authorization-server"] {
        let found: Value = http().get(stack.url(path)).send().await.unwrap().json().await.unwrap();
        assert_eq!(found["issuer"], issuer, "{path}");
        for (name, at) in [
            ("authorization_endpoint", "authorize"),
            ("token_endpoint", "token"),
            ("jwks_uri", "jwks"),
            ("revocation_endpoint", "revoke"),
            ("introspection_endpoint", "introspect"),
            ("userinfo_endpoint", "userinfo"),
        ] {
            assert_eq!(found[name], format!("{issuer}/oauth2/{at}"), "{path}");
        }
        assert_eq!(found["code_challenge_methods_supported"], json!(["S256"]));
    }

    // Anybody may browse.
    let anonymous = Api::anonymous(&stack);
    let list = anonymous.get("inventory?limit=5").await;
    assert_eq!(list.status, 200, "{}", list.body);
    assert!(!list.json()["items"].as_array().unwrap().is_empty(), "the demo has inventory");
    // Nobody may reserve without a token, and a token goes no further than its scope.
    let refused = anonymous.reserve(&[("inv_01ARZ3NDEKTSV4RRFFQ69G5FAV", 1)], None, None).await;
    refused.problem(401);
    let challenge = refused.header("www-authenticate").unwrap();
    // RFC 6750 3.1: no error code for a request that carries no credentials.
    assert!(challenge.starts_with("Bearer") && !challenge.contains("error="), "{challenge}");

    let client = Client::mobile(&stack);
    let agent = Agent::new();
    let demo = stack.demo().user("demo").clone();
    let tokens = client.sign_in(&agent, &demo).await;
    assert!((290..=300).contains(&tokens.expires_in), "five minutes: {}", tokens.expires_in);
    let jwks = client.jwks().await;
    for key in jwks["keys"].as_array().unwrap() {
        for private in ["d", "p", "q", "dp", "dq", "qi", "k"] {
            assert!(key.get(private).is_none(), "a private part is published: {private}");
        }
    }
    let access = token::verify(&tokens.access_token, &jwks);
    assert_eq!(access.header["typ"], "at+jwt");
    assert_eq!(access.header["alg"], "ES256");
    assert_eq!(access.claims["iss"], issuer);
    assert_eq!(access.claims["client_id"], "demo-mobile");
    assert_eq!(access.claims["acr"], "1fa");
    assert!(
        access.claims["aud"].to_string().contains(&format!("{issuer}/api/v1")),
        "{}",
        access.claims
    );
    for name in ["sub", "scope", "exp", "iat", "jti", "sid", "auth_time"] {
        assert!(!access.claims[name].is_null(), "{name} is missing: {}", access.claims);
    }
    let id = token::verify(tokens.id_token.as_ref().unwrap(), &jwks);
    assert_eq!(id.claims["aud"], "demo-mobile");
    assert_eq!(id.claims["sub"], access.claims["sub"]);
    let userinfo = client.userinfo(&tokens.access_token).await;
    assert_eq!(userinfo.status, 200, "{}", userinfo.body);
    assert_eq!(userinfo.json()["sub"], access.claims["sub"]);

    // Signed in is signed in: the same browser needs no second login.
    let again = client.request(SCOPE, &[("prompt", "none")]);
    let answer = client.authorize(&agent, &again, &demo, None).await;
    assert!(answer.iter().any(|(name, _)| name == "code"), "{answer:?}");

    let service = haetae_tests::shop::service(&stack).await;
    let item = service.create_item("A room with a view", 3).await;
    let customer = Api::bearer(&stack, &tokens.access_token);
    let refused = customer.post("inventory", &json!({ "name": "mine", "quantity": 1 })).await;
    refused.problem(403);
    let challenge = refused.header("www-authenticate").unwrap();
    assert!(
        challenge.contains("insufficient_scope") && challenge.contains("inventory:write"),
        "{challenge}"
    );

    let accepted = customer.reserve(&[(&item, 2)], None, None).await;
    assert_eq!(accepted.status, 202, "{}", accepted.body);
    assert_eq!(accepted.json()["status"], "pending");
    let id = api::id(&accepted);
    assert!(accepted.header("location").unwrap().ends_with(&format!("/api/v1/reservations/{id}")));
    let held = customer.settled(&id, &["held", "rejected"]).await;
    assert_eq!(held["status"], "held");
    assert!(held["hold_expires_at"].as_str().unwrap().ends_with('Z'), "RFC 3339 UTC: {held}");
    let now = customer.item(&item).await;
    assert_eq!(
        (now["quantity"].as_u64(), now["available"].as_u64(), now["held"].as_u64()),
        (Some(3), Some(1), Some(2)),
        "{now}"
    );

    let page = api::send(
        customer.request("POST", &format!("reservations/{id}/confirm")).header("Prefer", "wait=20"),
    )
    .await;
    assert!(page.status.is_success(), "{}", page.body);
    let confirmed = customer.settled(&id, &["confirmed"]).await;
    assert_eq!(history(&confirmed), ["pending", "held", "confirmed"]);
    let now = customer.item(&item).await;
    assert_eq!((now["available"].as_u64(), now["held"].as_u64()), (Some(1), Some(0)), "{now}");
    let listed = customer.get("reservations?status=confirmed").await.json();
    assert!(
        listed["items"].as_array().unwrap().iter().any(|one| one["id"] == id.as_str()),
        "{listed}"
    );
}

/// With a payment it confirms by itself; a cancelled one gives its stock back; a refused payment leaves
/// nothing behind.
async fn pays_and_cancels(database: Database) {
    let shop = Shop::open(Options::on(database)).await;
    let item = shop.service.create_item("A seat", 5).await;
    let paid = shop.customer.reserve(&[(&item, 2)], Some("tok_visa"), Some(20)).await;
    assert_eq!(paid.status, 201, "{}", paid.body);
    let id = api::id(&paid);
    let confirmed = shop.customer.settled(&id, &["confirmed"]).await;
    assert_eq!(history(&confirmed), ["pending", "held", "confirmed"]);
    assert_eq!(shop.customer.item(&item).await["available"], 3);

    let request = shop.customer.request("POST", &format!("reservations/{id}/cancel"));
    let page =
        api::send(request.json(&json!({ "reason": "rain" })).header("Prefer", "wait=20")).await;
    assert!(page.status.is_success(), "{}", page.body);
    let cancelled = shop.customer.settled(&id, &["cancelled"]).await;
    assert_eq!(history(&cancelled), ["pending", "held", "confirmed", "cancelling", "cancelled"]);
    let now = shop.customer.item(&item).await;
    assert_eq!((now["available"].as_u64(), now["held"].as_u64()), (Some(5), Some(0)), "{now}");
    // Once is enough: a second cancel changes nothing.
    let again =
        api::send(shop.customer.request("POST", &format!("reservations/{id}/cancel"))).await;
    assert!(!again.status.is_server_error(), "{}", again.body);
    assert_eq!(shop.customer.item(&item).await["available"], 5);

    let refused = shop.customer.reserve(&[(&item, 1)], Some("tok_declined"), None).await;
    let failed = shop.customer.settled(&api::id(&refused), &["failed", "confirmed"]).await;
    assert_eq!(failed["status"], "failed");
    assert_eq!(shop.customer.item(&item).await["available"], 5);
}

/// More than there is: 409 with what is there, and nothing taken.
async fn refuses_what_is_not_there(database: Database) {
    let shop = Shop::open(Options::on(database)).await;
    let item = shop.service.create_item("The last two", 2).await;
    let rejected = shop.customer.reserve(&[(&item, 3)], None, Some(20)).await;
    let problem = rejected.problem(409);
    assert!(problem["available"].to_string().contains('2'), "{problem}");
    let now = shop.customer.item(&item).await;
    assert_eq!((now["available"].as_u64(), now["held"].as_u64()), (Some(2), Some(0)), "{now}");
    // Without waiting it is accepted first and says so later.
    let accepted = shop.customer.reserve(&[(&item, 3)], None, None).await;
    assert_eq!(accepted.status, 202);
    let rejected = shop.customer.settled(&api::id(&accepted), &["rejected", "held"]).await;
    assert_eq!(rejected["status"], "rejected");
    assert!(rejected["problem"]["type"].as_str().is_some(), "{rejected}");
    assert_eq!(history(&rejected), ["pending", "rejected"]);
}

/// The same key and body is the same reservation; the same key and another body is a mistake.
async fn remembers_an_idempotency_key(database: Database) {
    let shop = Shop::open(Options::on(database)).await;
    let item = shop.service.create_item("One per person", 10).await;
    let key = token::random(12);
    let answers = futures::future::join_all(
        (0..8).map(async |_| shop.customer.reserve_as(&key, &[(&item, 1)], None, None).await),
    )
    .await;
    let mut ids: Vec<String> =
        answers.iter().filter(|answer| answer.status.is_success()).map(api::id).collect();
    // Losers of the race may be told to wait (409), never be given another reservation.
    assert!(answers.iter().all(|answer| answer.status.is_success() || answer.status == 409));
    assert!(!ids.is_empty());
    ids.dedup();
    assert_eq!(ids.len(), 1, "{ids:?}");
    shop.customer.settled(&ids[0], &["held"]).await;
    assert_eq!(api::id(&shop.customer.reserve_as(&key, &[(&item, 1)], None, None).await), ids[0]);
    let other = shop.customer.reserve_as(&key, &[(&item, 2)], None, None).await;
    assert!([409, 422].contains(&other.status.as_u16()), "{} {}", other.status, other.body);
    assert_eq!(shop.customer.item(&item).await["available"], 9, "one unit was taken, once");
    // A key is one person's.
    let agent = Agent::new();
    let guest = shop.mobile.sign_in(&agent, shop.stack.demo().user("guest")).await;
    let guest = Api::bearer(&shop.stack, &guest.access_token);
    let theirs = guest.reserve_as(&key, &[(&item, 1)], None, None).await;
    assert_ne!(api::id(&theirs), ids[0]);
}

/// What is another's is not there.
async fn keeps_reservations_private(database: Database) {
    let shop = Shop::open(Options::on(database)).await;
    let item = shop.service.create_item("A table", 10).await;
    let mine = api::id(&shop.customer.reserve(&[(&item, 1)], None, None).await);
    shop.customer.settled(&mine, &["held"]).await;
    let guest = shop.mobile.sign_in(&Agent::new(), shop.stack.demo().user("guest")).await;
    let guest = Api::bearer(&shop.stack, &guest.access_token);
    guest.get(&format!("reservations/{mine}")).await.problem(404);
    guest.get(&format!("reservations/{mine}/events")).await.problem(404);
    for verb in ["confirm", "cancel"] {
        guest.post(&format!("reservations/{mine}/{verb}"), &json!({})).await.problem(404);
    }
    assert_eq!(guest.get("reservations").await.json()["items"], json!([]));
    assert_eq!(shop.customer.reservation(&mine).await["status"], "held", "it was left alone");
}

/// `ETag`, `If-Match`, 428 and 412 (RFC 9110 13.1.1, RFC 6585 3).
async fn edits_inventory_under_its_version(database: Database) {
    let shop = Shop::open(Options::on(database)).await;
    let id = shop.service.create_item("Old name", 4).await;
    let path = format!("inventory/{id}");
    let read = shop.service.get(&path).await;
    let etag = read.header("etag").expect("an ETag").to_owned();
    assert!(etag.starts_with('"'), "strong: {etag}");
    let change = json!({ "name": "New name", "quantity": 6 });
    let change_it = |etag: Option<&str>| {
        let request = shop.service.request("PATCH", &path).json(&change);
        api::send(match etag {
            Some(etag) => request.header("If-Match", etag),
            None => request,
        })
    };
    change_it(None).await.problem(428);
    let changed = change_it(Some(&etag)).await;
    assert_eq!(changed.status, 200, "{}", changed.body);
    change_it(Some(&etag)).await.problem(412);
    let now = shop.service.item(&id).await;
    assert_eq!(
        (now["name"].as_str(), now["quantity"].as_u64(), now["available"].as_u64()),
        (Some("New name"), Some(6), Some(6))
    );
    let cached = api::send(
        shop.service
            .request("GET", &path)
            .header("If-None-Match", shop.service.get(&path).await.header("etag").unwrap()),
    )
    .await;
    assert_eq!(cached.status, 304);
    // Not below what is promised already.
    let held = shop.customer.reserve(&[(&id, 5)], None, Some(20)).await;
    assert_eq!(held.status, 201, "{}", held.body);
    let etag = shop.service.get(&path).await.header("etag").unwrap().to_owned();
    let request = shop.service.request("PATCH", &path).header("If-Match", etag);
    let refused = api::send(request.json(&json!({ "quantity": 4 }))).await;
    assert!([409, 422].contains(&refused.status.as_u16()), "{} {}", refused.status, refused.body);
    assert_eq!(shop.service.item(&id).await["quantity"], 6);
}

/// Several items: all or nothing, also across partitions.
async fn takes_a_basket_whole_or_not_at_all(database: Database) {
    let shop = Shop::open(Options::on(database)).await;
    let mut items = Vec::new();
    for number in 0..6 {
        items.push(shop.service.create_item(&format!("Part {number}"), 3).await);
    }
    let basket: Vec<_> = items.iter().map(|id| (id.as_str(), 2)).collect();
    let first = shop.customer.reserve(&basket, None, Some(20)).await;
    assert_eq!(first.status, 201, "{}", first.body);
    for id in &items {
        assert_eq!(shop.customer.item(id).await["available"], 1);
    }
    // One of six lacks stock: nothing of the others is taken.
    let mut more: Vec<_> = items.iter().map(|id| (id.as_str(), 1)).collect();
    more[5].1 = 2;
    shop.customer.reserve(&more, None, Some(20)).await.problem(409);
    for id in &items {
        assert_eq!(shop.customer.item(id).await["available"], 1);
    }
    let id = api::id(&first);
    api::send(shop.customer.request("POST", &format!("reservations/{id}/cancel"))).await;
    shop.customer.settled(&id, &["cancelled"]).await;
    for id in &items {
        assert_eq!(shop.customer.item(id).await["available"], 3);
    }
}

/// A confidential web client: consent is asked for once, the secret is checked, the code is bound to it.
#[tokio::test]
async fn a_partner_asks_for_consent_once() {
    let stack = Stack::start(Options::default()).await;
    let partner = Client::new(&stack, stack.demo().client("demo-partner"));
    let agent = Agent::new();
    let demo = stack.demo().user("demo").clone();
    let asked = async |agent: &Agent| {
        let request = partner.request("openid profile reservations:read", &[]);
        let page = agent.get(&request.url).await;
        let ours = |url: &url::Url| url.as_str().starts_with(&partner.redirect_uri);
        agent.follow(page, ours).await.form_to("consent").is_some()
    };
    let scope = "openid profile reservations:read";
    partner.sign_in_with(&agent, &demo, None, scope).await;
    assert!(!asked(&agent).await, "consent was given already");
    let fresh = Agent::new();
    Client::mobile(&stack).sign_in(&fresh, stack.demo().user("guest")).await;
    assert!(asked(&fresh).await, "another person is asked");
    let mut thief = partner.clone();
    thief.client_secret = Some("wrong".to_owned());
    oidc::refused(&thief.client_credentials_page("openid").await, 401, "invalid_client");
}
