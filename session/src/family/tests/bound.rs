//! An account has so many families at a client; one more ends the one that began first.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;
use crate::FamilyId;

const MOST: usize = 5;
const BOUND: FamilyPolicy = FamilyPolicy { per_client: MOST, ..POLICY };

async fn store() -> (TestRedis, FamilyStore) {
    let redis = TestRedis::start().await;
    let store = connect(&redis, BOUND).await;
    (redis, store)
}

async fn connect(redis: &TestRedis, policy: FamilyPolicy) -> FamilyStore {
    FamilyStore::connect(redis.connect().await, policy, &master()).await.expect("connects")
}

fn of(client: &str, sid: Option<u8>) -> FamilyGrant {
    let sid = sid.map(|byte| SessionId::from_bytes([byte; 16]));
    FamilyGrant { client_id: client.to_owned(), sid, ..grant() }
}

async fn start(store: &FamilyStore, grant: &FamilyGrant, now: Timestamp) -> Started {
    store.start_issuing(grant, None, now).await.expect("starts")
}

async fn lives(store: &FamilyStore, started: &Started, now: Timestamp) -> bool {
    store.inspect(started.token.expose_secret(), now).await.expect("answers").is_some()
}

async fn records(redis: &TestRedis) -> usize {
    redis.keys().await.iter().filter(|key| key.starts_with("haetae:family:{")).count()
}

#[tokio::test]
async fn one_more_ends_the_one_that_began_first_at_this_client() {
    let (redis, store) = store().await;
    let elsewhere = start(&store, &of("other", Some(1)), after(0)).await;
    let mut ours = Vec::new();
    for number in 0..MOST {
        ours.push(start(&store, &of("shop", Some(1)), after(1 + number as u64)).await);
    }
    assert!(ours.iter().all(|started| started.ended.is_empty()));
    // Use makes it no younger.
    rotate_of(&store, &ours[0], after(50)).await;
    let one_more = start(&store, &of("shop", Some(2)), after(60)).await;
    assert_eq!(one_more.ended, [ours[0].family]);
    let refused = refusal(&store, &ours[0].token, after(61)).await;
    assert!(matches!(refused, RotateError::Unknown));
    for started in ours[1..].iter().chain([&one_more, &elsewhere]) {
        assert!(lives(&store, started, after(61)).await);
    }
    // Nothing of it is left in any index: what is listed is there.
    assert_eq!(records(&redis).await, MOST + 1);
    assert_eq!(store.list("usr_1", after(61)).await.expect("lists").len(), MOST + 1);
    let of_session = SessionId::from_bytes([1; 16]);
    let ended = store.revoke_sid(of_session, Offline::Revoke, after(62)).await.expect("ends");
    assert_eq!(ended.len(), MOST);
    assert_eq!(redis.keys_without_end().await, Vec::<String>::new());
}

async fn rotate_of(store: &FamilyStore, started: &Started, now: Timestamp) {
    let rotated = store.rotate(started.token.expose_secret(), "shop", None, now).await;
    rotated.expect("rotates");
}

#[tokio::test]
async fn without_the_bound_all_of_them_live() {
    let redis = TestRedis::start().await;
    let store = connect(&redis, POLICY).await;
    for number in 0..=MOST {
        let started = start(&store, &grant(), after(number as u64)).await;
        assert!(started.ended.is_empty());
    }
    assert_eq!(records(&redis).await, MOST + 1, "the control of the tests beside this one");
}

#[tokio::test]
async fn what_is_over_goes_first_and_tombstones_count() {
    let (redis, store) = store().await;
    let first = start(&store, &of("shop", None), after(0)).await;
    for round in 1..40 {
        // Revoked at once, as somebody would who wants to leave tombstones by the thousand.
        let short = start(&store, &of("shop", None), after(round)).await;
        assert_eq!(short.ended, []);
        let revoked = store.revoke(short.token.expose_secret(), "shop", after(round)).await;
        assert!(revoked.expect("revokes").is_some());
        assert!(records(&redis).await <= MOST);
    }
    assert!(lives(&store, &first, after(41)).await, "what lives stays");
    assert_eq!(store.list("usr_1", after(41)).await.expect("lists").len(), 1);
}

#[tokio::test]
async fn what_ended_with_its_session_makes_room_first() {
    let redis = TestRedis::start().await;
    let lifetimes = SsoLifetimes {
        idle: Duration::from_mins(5),
        absolute: Duration::from_secs(1000),
        per_account: 100,
    };
    let sso = SsoStore::connect(redis.connect().await, lifetimes).await.expect("connects");
    let store = connect(&redis, FamilyPolicy { session_idle: Some(lifetimes.idle), ..BOUND }).await;
    let factors = Factors { auth_time: START, acr: Acr::OneFactor, amr: Vec::new(), epoch: 0 };
    let begin = async |offline, now| {
        let factors = factors.clone();
        let who = Start { sub: "usr_1".to_owned(), factors, user_agent: None, address: None };
        let sid = sso.create(who, now).await.expect("creates").session.sid;
        let grant = FamilyGrant { sid: Some(sid), offline, ..grant() };
        (sid, start(&store, &grant, now).await)
    };
    let (_, offline) = begin(true, after(0)).await;
    let (_, online) = begin(false, after(1)).await;
    for number in 2..20 {
        let (sid, started) = begin(false, after(number)).await;
        assert_eq!(started.ended, []);
        sso.end(sid).await.expect("ends");
    }
    assert!(lives(&store, &offline, after(20)).await && lives(&store, &online, after(20)).await);
}

#[tokio::test]
async fn families_from_before_the_index_are_counted() {
    let (redis, store) = store().await;
    let unbounded = connect(&redis, POLICY).await;
    let mut before = Vec::new();
    for number in 0..9 {
        let client = if number % 3 == 0 { "other" } else { "shop" };
        let at = after(number.into());
        before.push(start(&unbounded, &of(client, Some(number)), at).await);
    }
    let indexes = ["shop", "other"].map(|client| format!("haetae:family:client:usr_1:{client}"));
    let gone: i64 =
        redis::cmd("DEL").arg(&indexes).query_async(&mut redis.raw().await).await.expect("they go");
    assert_eq!(gone, 2);
    let more = start(&store, &of("shop", None), after(10)).await;
    // Of six at this client the two first.
    assert_eq!(more.ended, [before[1].family, before[2].family]);
    for (number, started) in before.iter().enumerate() {
        assert_eq!(lives(&store, started, after(11)).await, ![1, 2].contains(&number));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_are_as_many_as_may_be() {
    let redis = TestRedis::start().await;
    let mut stores = Vec::new();
    for _ in 0..8 {
        stores.push(connect(&redis, BOUND).await);
    }
    let starts = (0..200).map(|number| {
        let store = stores[number % stores.len()].clone();
        tokio::spawn(async move { start(&store, &grant(), START).await })
    });
    let mut ended = 0;
    for started in futures::future::join_all(starts).await {
        ended += started.expect("no panic").ended.len();
    }
    assert_eq!((ended, records(&redis).await), (200 - MOST, MOST));
    assert_eq!(stores[0].list("usr_1", after(1)).await.expect("lists").len(), MOST);
}

/// What somebody does with their families.
#[derive(Clone, Debug)]
enum Step {
    Begin { client: usize },
    Rotate { family: usize },
    Revoke { family: usize },
    Wait { seconds: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..2_usize).prop_map(|client| Step::Begin { client }),
        4 => (0..40_usize).prop_map(|family| Step::Rotate { family }),
        3 => (0..40_usize).prop_map(|family| Step::Revoke { family }),
        2 => prop_oneof![0..20_u64, 900..1100_u64].prop_map(|seconds| Step::Wait { seconds }),
    ]
}

/// A family as the model knows it.
struct Known {
    started: Started,
    client: usize,
    idle_end: Timestamp,
    ends: Timestamp,
    revoked: bool,
}

async fn follow(store: &FamilyStore, sub: String, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let (mut now, mut all) = (START, Vec::<Known>::new());
    // What is kept of each client, in the order in which it began.
    let mut kept = [VecDeque::<usize>::new(), VecDeque::new()];
    let clients = ["shop", "other"];
    for step in steps {
        // No two begin in one millisecond, where the order would be that of their ids.
        now = now.plus(Duration::from_millis(1));
        let over = |known: &Known| known.revoked || now >= known.idle_end;
        match step {
            Step::Begin { client } => {
                let grant = FamilyGrant { sub: sub.clone(), ..of(clients[client], None) };
                let mut expected = None;
                if kept[client].len() == MOST {
                    let at = kept[client].iter().position(|&at| over(&all[at]));
                    let gone = kept[client].remove(at.unwrap_or(0)).expect("one");
                    all[gone].revoked = true;
                    expected = at.is_none().then_some(all[gone].started.family);
                }
                let started = start(store, &grant, now).await;
                prop_assert_eq!(&started.ended, &expected.into_iter().collect::<Vec<_>>());
                kept[client].retain(|&at| now < all[at].ends);
                kept[client].push_back(all.len());
                let (idle_end, ends) = (now.plus(POLICY.idle), now.plus(POLICY.absolute));
                all.push(Known { started, client, idle_end, ends, revoked: false });
            }
            Step::Rotate { family } if !all.is_empty() => {
                let known = all.len();
                let known = &mut all[family % known];
                let token = known.started.token.expose_secret().to_owned();
                let rotated = store.rotate(&token, clients[known.client], None, now).await;
                let lives = !known.revoked && now < known.idle_end;
                prop_assert_eq!(rotated.is_ok(), lives);
                if let Ok(rotated) = rotated {
                    known.started.token = rotated.refresh_token;
                    known.idle_end = now.plus(POLICY.idle).min(known.ends);
                }
            }
            Step::Revoke { family } if !all.is_empty() => {
                let known = all.len();
                let known = &mut all[family % known];
                let token = known.started.token.expose_secret();
                store.revoke(token, clients[known.client], now).await.expect("answers");
                known.revoked = true;
            }
            Step::Rotate { .. } | Step::Revoke { .. } => {}
            Step::Wait { seconds } => now = now.plus(Duration::from_secs(seconds)),
        }
    }
    let mut listed: Vec<FamilyId> =
        store.list(&sub, now).await.expect("lists").iter().map(|status| status.family).collect();
    let living = all.iter().filter(|known| !known.revoked && now < known.idle_end);
    let mut living: Vec<FamilyId> = living.map(|known| known.started.family).collect();
    listed.sort();
    living.sort();
    prop_assert_eq!(listed, living);
    Ok(())
}

#[test]
fn any_sequence_keeps_what_the_model_keeps() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runs");
    let (_redis, store) = runtime.block_on(store());
    let case = std::sync::atomic::AtomicUsize::new(0);
    proptest!(ProptestConfig::with_cases(128), |(steps in prop::collection::vec(step(), 1..80))| {
        // An account of its own, since all cases share one Redis.
        let number = case.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        runtime.block_on(follow(&store, format!("usr_{number}"), steps))?;
    });
}

/// `cargo test -- --ignored measure --nocapture`: what it costs Redis to begin a family, for an account with
/// few and for one that has as many as it may.
#[tokio::test]
#[ignore = "a measurement"]
async fn measure_a_beginning() {
    for (what, accounts, per_client) in [("one each", 4000, 200), ("at the bound", 1, 200)] {
        let redis = TestRedis::start().await;
        redis.forgetful().await;
        let store = connect(&redis, FamilyPolicy { per_client, ..POLICY }).await;
        for number in 0..4000 {
            let grant = FamilyGrant { sub: format!("usr_{}", number % accounts), ..grant() };
            start(&store, &grant, START).await;
        }
        println!("beginning, {what}: inside Redis {}", redis.cost_of("evalsha").await);
    }
}

#[tokio::test]
async fn a_family_can_be_ended_when_redis_is_full() {
    let (redis, store) = store().await;
    let started = start(&store, &of("shop", None), after(0)).await;
    redis.fill_up().await;
    // The control: nothing new begins.
    assert!(store.start_issuing(&of("shop", None), None, after(1)).await.is_err());
    let revoked = store.revoke(started.token.expose_secret(), "shop", after(2)).await;
    assert!(revoked.expect("revokes").is_some());
    redis.have_room().await;
    assert!(!lives(&store, &started, after(3)).await);
}
