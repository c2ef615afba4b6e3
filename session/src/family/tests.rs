//! Refresh families against a real Redis: one rule a test, then all of them at once against a model, then
//! many callers at once.

mod bound;
mod crash;
mod model;
mod parallel;

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use haetae_base::clock::Timestamp;
use haetae_keys::{
    claims::{Acr, Scope},
    seal::MasterKey,
};
use secrecy::{ExposeSecret, SecretString};

use super::*;
use crate::{
    SessionId,
    sso::{Factors, SsoLifetimes, SsoStore, Start},
    test_redis::{TestRedis, shows},
};

const POLICY: FamilyPolicy = FamilyPolicy {
    idle: Duration::from_secs(1000),
    absolute: Duration::from_secs(5000),
    grace: Duration::from_secs(10),
    session_idle: None,
    per_client: 100,
};
const START: Timestamp = Timestamp::from_seconds(1_700_000_000);

fn after(seconds: u64) -> Timestamp {
    START.plus(Duration::from_secs(seconds))
}

fn scope(text: &str) -> Scope {
    text.parse().expect("a scope")
}

fn grant() -> FamilyGrant {
    FamilyGrant {
        sub: "usr_1".to_owned(),
        client_id: "shop".to_owned(),
        sid: Some(SessionId::from_bytes([7; 16])),
        scope: scope("openid reservations:read"),
        auth_time: START,
        acr: Acr::TwoFactor,
        amr: vec!["pwd".to_owned(), "otp".to_owned()],
        offline: false,
        roles: vec!["admin".to_owned()],
        issued: Vec::new(),
        issued_more: false,
    }
}

/// The same for all stores of a test.
fn master() -> MasterKey {
    MasterKey::from_secret(&STANDARD.encode(*b"0123456789abcdef0123456789abcdef").into())
        .expect("a key")
}

async fn store() -> (TestRedis, FamilyStore) {
    let redis = TestRedis::start().await;
    let store =
        FamilyStore::connect(redis.connect().await, POLICY, &master()).await.expect("connects");
    (redis, store)
}

async fn begin(store: &FamilyStore) -> SecretString {
    store.start(&grant(), START).await.expect("starts")
}

async fn rotate(store: &FamilyStore, token: &SecretString, now: Timestamp) -> SecretString {
    let rotated = store.rotate(token.expose_secret(), "shop", None, now).await.expect("rotates");
    assert_eq!(rotated.grant, grant());
    assert_eq!(rotated.expires_at, after(5000));
    rotated.refresh_token
}

async fn refusal(store: &FamilyStore, token: &SecretString, now: Timestamp) -> RotateError {
    store.rotate(token.expose_secret(), "shop", None, now).await.expect_err("must be refused")
}

fn same(left: &SecretString, right: &SecretString) -> bool {
    left.expose_secret() == right.expose_secret()
}

#[tokio::test]
async fn each_use_rotates_and_a_late_replay_kills_the_family() {
    let (_redis, store) = store().await;
    let first = begin(&store).await;
    let second = rotate(&store, &first, after(1)).await;
    let third = rotate(&store, &second, after(20)).await;
    assert!(!same(&first, &second) && !same(&second, &third));

    let RotateError::Reused { grant: whose, first: alert, .. } =
        refusal(&store, &second, after(30)).await
    else {
        panic!("a replay exactly at the end of the grace window is reuse");
    };
    assert!(alert && *whose == grant());
    // The thief's token and the owner's die together.
    assert!(matches!(refusal(&store, &third, after(31)).await, RotateError::Unknown));
    assert!(matches!(
        refusal(&store, &first, after(32)).await,
        RotateError::Reused { first: false, .. }
    ));
    assert!(store.inspect(third.expose_secret(), after(31)).await.expect("answers").is_none());
}

#[tokio::test]
async fn a_replay_within_the_grace_window_gets_the_same_successor_also_down_a_chain() {
    let (_redis, store) = store().await;
    let first = begin(&store).await;
    let second = rotate(&store, &first, after(0)).await;
    let third = rotate(&store, &second, after(3)).await;
    let fourth = rotate(&store, &third, after(6)).await;
    for _ in 0..3 {
        assert!(same(&rotate(&store, &first, after(9)).await, &second));
        assert!(same(&rotate(&store, &second, after(9)).await, &third));
        assert!(same(&rotate(&store, &third, after(9)).await, &fourth));
    }
    let replay =
        store.rotate(first.expose_secret(), "shop", None, after(9)).await.expect("replays");
    assert!(replay.replayed);
    // A replay moves nothing: the first one's window still ends when it did.
    assert!(matches!(refusal(&store, &first, after(10)).await, RotateError::Reused { .. }));
}

#[tokio::test]
async fn another_client_and_too_much_scope_consume_nothing() {
    let (_redis, store) = store().await;
    let first = begin(&store).await;
    let text = first.expose_secret();
    let stranger = store.rotate(text, "other", None, after(1)).await;
    assert!(matches!(stranger, Err(RotateError::WrongClient)));
    assert!(matches!(store.revoke(text, "other", after(1)).await, Err(RevokeError::WrongClient)));
    let more = scope("openid inventory:write");
    let greedy = store.rotate(text, "shop", Some(&more), after(1)).await;
    assert!(matches!(greedy, Err(RotateError::Scope)));
    let less = scope("openid");
    let modest = store.rotate(text, "shop", Some(&less), after(2)).await.expect("rotates");
    assert!(!modest.replayed);
    // The family keeps all of its scope, whatever one token was narrowed to.
    assert_eq!(modest.grant.scope, grant().scope);
    // Not even a replay that is late kills, when it is another's.
    let late = store.rotate(text, "other", None, after(500)).await;
    assert!(matches!(late, Err(RotateError::WrongClient)));
    rotate(&store, &modest.refresh_token, after(501)).await;
}

#[tokio::test]
async fn lifetimes_end_it_used_or_not() {
    let (_redis, store) = store().await;
    let unused = begin(&store).await;
    assert!(matches!(refusal(&store, &unused, after(1000)).await, RotateError::Expired));
    let mut used = begin(&store).await;
    for step in 1..=5 {
        used = rotate(&store, &used, after(step * 999)).await;
    }
    let shown = store.inspect(used.expose_secret(), after(4998)).await.expect("answers");
    assert_eq!(shown.expect("it lives").expires_at, after(5000));
    assert!(matches!(refusal(&store, &used, after(5000)).await, RotateError::Expired));
}

#[tokio::test]
async fn a_logout_spares_offline_access_and_signing_out_everywhere_does_not() {
    let (_redis, store) = store().await;
    let online = begin(&store).await;
    let offline = FamilyGrant { offline: true, client_id: "sync".to_owned(), ..grant() };
    let other = FamilyGrant { sid: Some(SessionId::from_bytes([8; 16])), ..grant() };
    let offline_token = store.start(&offline, START).await.expect("starts");
    let other_token = store.start(&other, START).await.expect("starts");
    let sid = SessionId::from_bytes([7; 16]);
    assert_eq!(store.list("usr_1", after(1)).await.expect("lists").len(), 3);

    let ended = store.revoke_sid(sid, Offline::Spare, after(1)).await.expect("revokes");
    assert_eq!(ended, [grant()]);
    assert!(matches!(refusal(&store, &online, after(2)).await, RotateError::Unknown));
    rotate_as(&store, &offline_token, "sync").await;
    rotate_as(&store, &other_token, "shop").await;

    let ended = store.revoke_consent("usr_1", "sync", after(3)).await.expect("revokes");
    assert_eq!(ended, [offline]);
    let again = store.start(&grant(), after(3)).await.expect("starts");
    let ended = store.revoke_sub("usr_1", after(4)).await.expect("revokes");
    assert_eq!(ended.len(), 2);
    assert!(matches!(refusal(&store, &again, after(5)).await, RotateError::Unknown));
    assert!(store.list("usr_1", after(5)).await.expect("lists").is_empty());
    assert!(store.revoke_sub("usr_1", after(5)).await.expect("revokes").is_empty());
}

async fn rotate_as(store: &FamilyStore, token: &SecretString, client: &str) {
    store.rotate(token.expose_secret(), client, None, after(2)).await.expect("still lives");
}

#[tokio::test]
async fn a_client_revokes_with_any_token_of_the_family() {
    let (_redis, store) = store().await;
    let first = begin(&store).await;
    let second = rotate(&store, &first, after(1)).await;
    let revoked = store.revoke(first.expose_secret(), "shop", after(100)).await.expect("revokes");
    assert_eq!(revoked, Some(grant()));
    assert!(matches!(refusal(&store, &second, after(101)).await, RotateError::Unknown));
    let again = store.revoke(second.expose_secret(), "shop", after(102)).await.expect("answers");
    assert_eq!(again, None);
    // A tab that replays the token that it had just spent when the family ended is no thief.
    let third = begin(&store).await;
    rotate(&store, &third, after(200)).await;
    store.revoke(third.expose_secret(), "shop", after(201)).await.expect("revokes");
    assert!(matches!(refusal(&store, &third, after(202)).await, RotateError::Unknown));
    // But whoever brings it later is.
    let RotateError::Reused { first: alert, .. } = refusal(&store, &third, after(300)).await else {
        panic!("a spent token of a dead family is still a replay");
    };
    assert!(!alert);
}

#[tokio::test]
async fn redis_sees_no_token_and_keeps_nothing_for_ever() {
    let (redis, store) = store().await;
    let first = begin(&store).await;
    let second = rotate(&store, &first, after(1)).await;
    let third = rotate(&store, &second, after(2)).await;
    let dump = redis.dump().await;
    assert!(shows(&dump, "usr_1"), "the dump is read at all");
    for token in [&first, &second, &third] {
        assert!(!shows(&dump, token.expose_secret()));
        assert!(!shows(&dump, &token.expose_secret()[32..]));
    }
    assert_eq!(redis.keys_without_end().await, Vec::<String>::new());
}

/// Redis hangs for longer than the grace; the caller hears that it did not work, and comes back.
async fn after_a_hang(script: &str) -> Result<Rotated, RotateError> {
    let redis = TestRedis::start().await;
    let policy = FamilyPolicy { grace: Duration::from_secs(2), ..POLICY };
    let connection = redis.connect().await;
    let store = FamilyStore::with_script(connection, policy, &master(), script).await;
    let store = store.expect("connects");
    let token = rotate(&store, &begin(&store).await, after(1)).await;
    redis.freeze();
    let lost = store.rotate(token.expose_secret(), "shop", None, after(2)).await;
    assert!(matches!(lost, Err(RotateError::Store(_))), "{lost:?}");
    tokio::time::sleep(Duration::from_millis(1500)).await;
    redis.thaw();
    // Behind what waits on the same connection.
    let family = store.inspect(token.expose_secret(), after(3)).await;
    family.expect("answers");
    store.rotate(token.expose_secret(), "shop", None, after(14)).await
}

#[tokio::test]
async fn what_a_hanging_redis_does_too_late_is_not_done() {
    let rotated = after_a_hang(include_str!("family.lua")).await.expect("it was not used up");
    assert!(!rotated.replayed);
    let guard = "if given_up > 0 and clock > given_up then return { 'late' } end";
    let script = include_str!("family.lua");
    assert!(script.contains(guard));
    let control = after_a_hang(&script.replace(guard, "")).await;
    assert!(matches!(control, Err(RotateError::Reused { .. })), "{control:?}");
}

/// Only a token that was issued may end its family: a text that was damaged on its way is not theft.
#[tokio::test]
async fn a_made_up_token_of_a_living_family_ends_nothing() {
    let (_redis, store) = store().await;
    let token = begin(&store).await;
    let text = token.expose_secret();
    for at in [4, 30, 60, 91] {
        let mut damaged = text.to_owned().into_bytes();
        damaged[at] = if damaged[at] == b'A' { b'B' } else { b'A' };
        let damaged = String::from_utf8(damaged).expect("ASCII");
        let refused = store.rotate(&damaged, "shop", None, after(1)).await;
        assert!(matches!(refused, Err(RotateError::Unknown)), "{at}");
        assert_eq!(store.revoke(&damaged, "shop", after(1)).await.expect("answers"), None, "{at}");
    }
    rotate(&store, &token, after(1)).await;
    // The control: one that was issued does.
    let refused = store.rotate(text, "shop", None, after(100)).await;
    assert!(matches!(refused, Err(RotateError::Reused { first: true, .. })));
}

#[tokio::test]
async fn junk_is_unknown() {
    let (_redis, store) = store().await;
    let stamp = master().derive_tag_key("refresh tokens");
    let forged = crate::bearer::stamped("hrt_", crate::FamilyId::new(START), 0, &stamp);
    for junk in ["", "hrt_", "hrt_x", forged.expose_secret(), "' OR 1=1"] {
        let refused = store.rotate(junk, "shop", None, START).await;
        assert!(matches!(refused, Err(RotateError::Unknown)), "{junk}");
        assert_eq!(store.revoke(junk, "shop", START).await.expect("answers"), None);
        assert_eq!(store.inspect(junk, START).await.expect("answers"), None);
    }
}

#[tokio::test]
async fn a_rotation_is_one_round_trip_and_survives_a_script_flush() {
    use futures::StreamExt as _;
    let (redis, store) = store().await;
    let first = begin(&store).await;
    let mut monitor = redis.client().get_async_monitor().await.expect("monitors");
    let second = rotate(&store, &first, after(1)).await;
    let mut raw = redis.raw().await;
    redis::cmd("ECHO").arg("end of it").query_async::<()>(&mut raw).await.expect("echoes");
    let mut sent = Vec::new();
    let mut lines = monitor.on_message::<String>();
    while let Some(line) = lines.next().await {
        if line.contains("end of it") {
            break;
        }
        // What a script does inside Redis is no round trip.
        if !line.contains(" lua] ") && !line.contains("CLIENT") {
            sent.push(line);
        }
    }
    assert_eq!(sent.len(), 1, "{sent:?}");
    assert!(sent[0].contains("EVALSHA"), "{sent:?}");
    redis::cmd("SCRIPT").arg("FLUSH").query_async::<()>(&mut raw).await.expect("flushes");
    rotate(&store, &second, after(2)).await;
}

#[tokio::test]
async fn a_store_without_redis_says_so_and_consumes_nothing() {
    let (mut redis, store) = store().await;
    let first = begin(&store).await;
    redis.kill();
    assert!(matches!(refusal(&store, &first, after(1)).await, RotateError::Store(_)));
    redis.restart().await;
    for _ in 0..100 {
        if store.inspect(first.expose_secret(), after(1)).await.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    rotate(&store, &first, after(2)).await;
}

#[tokio::test]
async fn the_end_of_a_family_names_the_access_tokens_that_may_still_live() {
    let (_redis, store) = store().await;
    let access = |jti: &str, until| AccessRef { jti: jti.to_owned(), until: after(until) };
    let (first, second) = (access("tok_1", 10), access("tok_2", 30));
    let started = store.start_issuing(&grant(), Some(&first), START).await.expect("starts");
    let (family, token) = (started.family, started.token);
    let rotated = store
        .rotate_issuing(token.expose_secret(), "shop", None, Some(&second), after(5))
        .await
        .expect("rotates");
    assert_eq!(rotated.grant, grant());
    // A replay within the grace gets an access token too.
    let third = access("tok_3", 31);
    let replayed = store
        .rotate_issuing(token.expose_secret(), "shop", None, Some(&third), after(6))
        .await
        .expect("replays");
    assert!(replayed.replayed);
    // The first one is over when the next rotation looks.
    let fourth = access("tok_4", 45);
    let next = rotated.refresh_token;
    store
        .rotate_issuing(next.expose_secret(), "shop", None, Some(&fourth), after(20))
        .await
        .expect("rotates");
    match store.rotate(token.expose_secret(), "shop", None, after(25)).await {
        Err(RotateError::Reused { family: reused, grant, first: true }) => {
            assert_eq!(reused, family);
            assert_eq!(grant.issued, [second, third, fourth]);
        }
        other => panic!("{other:?}"),
    }
    let started = store.start_issuing(&grant(), Some(&first), START).await.expect("starts");
    let token = started.token;
    let killed = store.revoke(token.expose_secret(), "shop", START).await.expect("revokes");
    assert_eq!(killed.expect("a grant").issued, [first]);
}

#[tokio::test]
async fn a_rotation_that_redis_lost_is_no_theft() {
    let (redis, store) = store().await;
    let first = begin(&store).await;
    let key = redis.keys().await.into_iter().find(|key| key.contains("{fam_")).expect("a family");
    let mut raw = redis.raw().await;
    let before: Vec<u8> =
        redis::cmd("DUMP").arg(&key).query_async(&mut raw).await.expect("a record");
    let second = rotate(&store, &first, after(1)).await;
    // A failover to a Redis that had not heard of the rotation.
    let back = redis::cmd("RESTORE")
        .arg(&key)
        .arg(1_000_000)
        .arg(before)
        .arg("REPLACE")
        .query_async::<()>(&mut raw)
        .await;
    back.expect("restored");
    assert!(matches!(refusal(&store, &second, after(60)).await, RotateError::Unknown));
    // But it was the first one's successor: that one is spent, whatever Redis says.
    assert!(matches!(refusal(&store, &first, after(61)).await, RotateError::Unknown));
    assert!(matches!(refusal(&store, &second, after(62)).await, RotateError::Unknown));
}

#[tokio::test]
async fn access_tokens_that_are_too_many_to_name_are_not_forgotten() {
    let (_redis, store) = store().await;
    let access =
        |number: u64| AccessRef { jti: format!("tok_{number}"), until: after(300 + number) };
    let started = store.start_issuing(&grant(), Some(&access(0)), START).await.expect("starts");
    let mut token = started.token;
    for number in 1..=40 {
        let rotated = store
            .rotate_issuing(
                token.expose_secret(),
                "shop",
                None,
                Some(&access(number)),
                after(number),
            )
            .await
            .expect("rotates");
        token = rotated.refresh_token;
    }
    let killed = store.revoke(token.expose_secret(), "shop", after(41)).await.expect("revokes");
    let killed = killed.expect("a grant");
    assert!(killed.issued_more);
    assert_eq!(killed.issued, (25..=40).map(access).collect::<Vec<_>>());
}

#[tokio::test]
async fn without_offline_access_it_ends_with_its_session_which_its_use_keeps_alive() {
    let redis = TestRedis::start().await;
    let lifetimes = SsoLifetimes {
        idle: Duration::from_mins(5),
        absolute: Duration::from_secs(1000),
        per_account: 10,
    };
    let sso = SsoStore::connect(redis.connect().await, lifetimes).await.expect("connects");
    let policy = FamilyPolicy { session_idle: Some(lifetimes.idle), ..POLICY };
    let store =
        FamilyStore::connect(redis.connect().await, policy, &master()).await.expect("connects");
    let factors = Factors { auth_time: START, acr: Acr::OneFactor, amr: Vec::new(), epoch: 0 };
    let start = Start { sub: "usr_1".to_owned(), factors, user_agent: None, address: None };
    let begin = async |offline| {
        let created = sso.create(start.clone(), START).await.expect("creates");
        let (session, cookie) = (created.session, created.cookie);
        let grant = FamilyGrant { sid: Some(session.sid), offline, ..grant() };
        (session.sid, cookie, store.start(&grant, START).await.expect("starts"))
    };
    let turn = async |token: &mut SecretString, seconds| {
        let turned = store.rotate(token.expose_secret(), "shop", None, after(seconds)).await;
        turned.map(|rotated| *token = rotated.refresh_token)
    };

    // Use keeps the session alive, and the session ends in any case.
    let (_, cookie, mut used) = begin(false).await;
    for seconds in [200, 400, 600, 800, 990] {
        turn(&mut used, seconds).await.expect("rotates");
        let found = sso.find(cookie.expose_secret(), after(seconds + 5)).await.expect("answers");
        assert_eq!(found.expect("it lives").last_seen_at, after(seconds));
    }
    assert!(matches!(turn(&mut used, 1000).await, Err(RotateError::Expired)));
    // Without use it ends.
    let (_, _, mut idle) = begin(false).await;
    assert!(matches!(turn(&mut idle, 300).await, Err(RotateError::Expired)));
    // It ends with the first step of a sign-out, and with a session that is gone.
    let (sid, _, mut closed) = begin(false).await;
    sso.close(sid).await.expect("closes");
    assert!(matches!(turn(&mut closed, 1).await, Err(RotateError::Expired)));
    let (sid, _, mut gone) = begin(false).await;
    sso.end(sid).await.expect("ends");
    assert!(matches!(turn(&mut gone, 1).await, Err(RotateError::Expired)));
    // Offline access asks nothing of a session.
    let (sid, _, mut offline) = begin(true).await;
    sso.end(sid).await.expect("ends");
    turn(&mut offline, 900).await.expect("rotates");
}
