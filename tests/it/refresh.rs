//! Refresh tokens: each use rotates, parallel use gives one successor, and a thief kills the family.

use std::{collections::BTreeSet, time::Duration};

use haetae_tests::{
    agent::Agent,
    api::Api,
    oidc::{self, Client, Tokens},
    shop::Shop,
    stack::Options,
    wait,
};
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};

fn refresh_token(tokens: &Tokens) -> &str {
    tokens.refresh_token.as_deref().expect("offline_access was granted")
}

/// Nobody fills Redis with sign-ins of their own.
#[tokio::test]
async fn one_sign_in_too_many_ends_the_first() {
    let options = Options::default().set("AUTH__TOKENS__REFRESH_PER_CLIENT", "2");
    let shop = Shop::open(options).await;
    let again = async || shop.mobile.sign_in(&Agent::new(), shop.stack.demo().user("demo")).await;
    let second = again().await;
    let both = [shop.tokens.clone(), second];
    let mut live = Vec::new();
    for tokens in &both {
        live.push(oidc::tokens(&shop.mobile.refresh(refresh_token(tokens)).await));
    }
    let third = again().await;
    oidc::refused(&shop.mobile.refresh(refresh_token(&live[0])).await, 400, "invalid_grant");
    for tokens in [&live[1], &third] {
        oidc::tokens(&shop.mobile.refresh(refresh_token(tokens)).await);
    }
}

#[tokio::test]
async fn each_use_rotates() {
    let shop = Shop::open(Options::default()).await;
    let mut tokens = shop.tokens.clone();
    let mut seen = BTreeSet::from([refresh_token(&tokens).to_owned()]);
    for _ in 0..5 {
        let next = oidc::tokens(&shop.mobile.refresh(refresh_token(&tokens)).await);
        assert_ne!(next.access_token, tokens.access_token);
        assert!(seen.insert(refresh_token(&next).to_owned()), "a refresh token came twice");
        tokens = next;
    }
    let caller = Api::bearer(&shop.stack, &tokens.access_token);
    assert_eq!(caller.get("reservations").await.status, 200);
    // Another client cannot use it.
    let partner = Client::new(&shop.stack, shop.stack.demo().client("demo-partner"));
    let page = partner.refresh(refresh_token(&tokens)).await;
    assert_eq!(page.status, 400, "{}", page.body);
    // RFC 6749 6: less scope may be asked for, more not.
    let less = shop
        .mobile
        .token(&[
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh_token(&tokens)),
            ("scope", "openid reservations:read"),
        ])
        .await;
    let less = oidc::tokens(&less);
    assert!(!less.scope.as_deref().unwrap_or_default().contains("reservations:write"), "{less:?}");
    let more = shop
        .mobile
        .token(&[
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh_token(&less)),
            ("scope", "openid inventory:write"),
        ])
        .await;
    oidc::refused(&more, 400, "invalid_scope");
}

/// However many use one refresh token at once, all get the same successor, generation after generation.
#[tokio::test]
async fn parallel_use_gives_exactly_one_successor() {
    let shop = Shop::open(Options::default()).await;
    let mut runner = TestRunner::new(Config::default());
    let mut current = refresh_token(&shop.tokens).to_owned();
    for _ in 0..12 {
        let users = (2_usize..=24).new_tree(&mut runner).unwrap().current();
        let answers =
            futures::future::join_all((0..users).map(|_| shop.mobile.refresh(&current))).await;
        let successors: BTreeSet<String> =
            answers.iter().map(|page| refresh_token(&oidc::tokens(page)).to_owned()).collect();
        assert_eq!(
            successors.len(),
            1,
            "{users} parallel uses made {} successors",
            successors.len()
        );
        let successor = successors.into_iter().next().unwrap();
        assert_ne!(successor, current);
        current = successor;
    }
}

#[tokio::test]
async fn a_token_that_comes_back_after_the_grace_kills_its_family() {
    let shop = Shop::open(Options::default().set("AUTH__TOKENS__REFRESH_GRACE", "1s")).await;
    let stolen = refresh_token(&shop.tokens).to_owned();
    let first = oidc::tokens(&shop.mobile.refresh(&stolen).await);
    // Within the grace the answer may have been lost: the same successor again.
    let replay = oidc::tokens(&shop.mobile.refresh(&stolen).await);
    assert_eq!(refresh_token(&replay), refresh_token(&first));
    let second = oidc::tokens(&shop.mobile.refresh(refresh_token(&first)).await);
    let caller = Api::bearer(&shop.stack, &second.access_token);
    assert_eq!(caller.get("reservations").await.status, 200);
    tokio::time::sleep(Duration::from_millis(1_300)).await;
    oidc::refused(&shop.mobile.refresh(&stolen).await, 400, "invalid_grant");
    oidc::refused(&shop.mobile.refresh(refresh_token(&second)).await, 400, "invalid_grant");
    // Somebody else's family is not touched, and the alarm is in the audit trail.
    let other = shop.mobile.sign_in(&shop.agent, shop.stack.demo().user("demo")).await;
    oidc::tokens(&shop.mobile.refresh(refresh_token(&other)).await);
    let audit = shop.stack.cli(&["audit"]).await.ok();
    assert!(audit.to_lowercase().contains("reuse"), "{audit}");
}

#[tokio::test]
async fn an_idle_family_expires() {
    let shop = Shop::open(Options::default().set("AUTH__TOKENS__REFRESH_IDLE", "2s")).await;
    let next = oidc::tokens(&shop.mobile.refresh(refresh_token(&shop.tokens)).await);
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    oidc::refused(&shop.mobile.refresh(refresh_token(&next)).await, 400, "invalid_grant");
}

#[tokio::test]
async fn a_cached_token_dies_with_its_expiry() {
    let options = Options::default()
        .set("AUTH__TOKENS__ACCESS", "3s")
        .set("AUTH__TOKENS__LEEWAY", "0s")
        .set("GATEWAY__BROWSER__REFRESH_BEFORE", "1s");
    let shop = Shop::open(options).await;
    let tokens = oidc::tokens(&shop.mobile.refresh(refresh_token(&shop.tokens)).await);
    let caller = Api::bearer(&shop.stack, &tokens.access_token);
    for _ in 0..3 {
        assert_eq!(caller.get("reservations").await.status, 200);
    }
    let start = std::time::Instant::now();
    wait::until_true("the token expires", Duration::from_secs(6), async || {
        caller.get("reservations").await.status == 401
    })
    .await;
    assert!(start.elapsed() > Duration::from_secs(1), "not before its time");
}
