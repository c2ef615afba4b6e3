//! Stopping and starting: gracefully, by SIGKILL, and what must still be there afterwards.

use std::time::Duration;

use haetae_tests::{
    agent::Agent,
    api::{self, Api},
    binary::{FREE_PORTS, up_in},
    oidc,
    shop::Shop,
    stack::{Database, Options, Role, Stack, send_signal},
    wait,
};

/// A power cut, then `up` again on the same folder: sessions, tokens, reservations and stock are there.
async fn survives(database: Database, end: impl AsyncFnOnce(&mut Stack)) {
    let mut shop = Shop::open(Options::on(database).keeping_ports()).await;
    let item = shop.service.create_item("Durable", 9).await;
    let held = api::id(&shop.customer.reserve(&[(&item, 2)], None, None).await);
    shop.customer.settled(&held, &["held"]).await;
    let mut accepted = Vec::new();
    for _ in 0..4 {
        let page = shop.customer.reserve(&[(&item, 1)], Some("tok_visa"), None).await;
        assert_eq!(page.status, 202, "{}", page.body);
        accepted.push(api::id(&page));
    }
    let revoked = shop.mobile.sign_in(&Agent::new(), shop.stack.demo().user("guest")).await;
    shop.mobile.revoke(&revoked.access_token).await;
    let secrets = shop.stack.demo().user("demo").password.clone();
    end(&mut shop.stack).await;
    shop.stack.start_up().await;
    println!("second start: {:?}", shop.stack.start_time);
    assert_eq!(shop.stack.demo().user("demo").password, secrets, "demo.json is written once");
    // The token of before, the refresh token of before, the single sign-on of before.
    assert_eq!(shop.customer.get("reservations").await.status, 200);
    Api::bearer(&shop.stack, &revoked.access_token).get("reservations").await.problem(401);
    let next =
        oidc::tokens(&shop.mobile.refresh(shop.tokens.refresh_token.as_ref().unwrap()).await);
    assert_eq!(Api::bearer(&shop.stack, &next.access_token).get("reservations").await.status, 200);
    let silent = shop.mobile.request("openid", &[("prompt", "none")]);
    let demo = shop.stack.demo().user("demo");
    let answer = shop.mobile.authorize(&shop.agent, &silent, demo, None).await;
    assert!(answer.iter().any(|(name, _)| name == "code"), "{answer:?}");
    for id in &accepted {
        shop.customer.settled(id, &["confirmed"]).await;
    }
    shop.customer.settled(&held, &["held"]).await;
    let now = shop.customer.item(&item).await;
    assert_eq!((now["available"].as_u64(), now["held"].as_u64()), (Some(3), Some(2)), "{now}");
}

#[tokio::test]
async fn a_power_cut_loses_nothing_on_sqlite() {
    survives(Database::Sqlite, async |stack| {
        // The append-only file is written once a second.
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        stack.kill_everything();
    })
    .await;
}

#[tokio::test]
async fn a_power_cut_loses_nothing_on_postgres() {
    survives(Database::Postgres, async |stack| {
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        stack.kill_everything();
    })
    .await;
}

/// `up` alone is killed: its children notice, and the next `up` takes over their Redis.
#[tokio::test]
async fn a_killed_supervisor_leaves_no_orphans() {
    survives(Database::Sqlite, async |stack| {
        let pids: Vec<u32> = Role::ALL.iter().map(|role| stack.pid(*role)).collect();
        stack.kill_up_alone();
        wait::until_true(
            "the roles end without their supervisor",
            Duration::from_secs(20),
            async || pids.iter().all(|pid| Stack::resident_kib(*pid) == 0),
        )
        .await;
    })
    .await;
}

#[tokio::test]
async fn a_stop_is_graceful_and_complete() {
    survives(Database::Sqlite, async |stack| {
        let mut pids: Vec<u32> = Role::ALL.iter().map(|role| stack.pid(*role)).collect();
        pids.push(stack.redis().pid().await);
        let (code, took) = stack.stop().await;
        assert_eq!(code, Some(0));
        assert!(took < Duration::from_secs(15), "it took {took:?}");
        for pid in pids {
            assert_eq!(Stack::resident_kib(pid), 0, "{pid} is still there");
        }
    })
    .await;
}

/// Ready means ready: whoever reads that line and asks at once is served.
#[tokio::test]
async fn ready_means_ready() {
    let mut stack = Stack::start(Options::default().keeping_ports()).await;
    for start in 0..4 {
        for role in Role::ALL {
            assert_eq!(stack.readiness(role).await, 200, "start {start}: {role:?}");
        }
        let service = haetae_tests::shop::service(&stack).await;
        service.create_item("At once", 1).await;
        stack.stop().await;
        stack.start_up().await;
    }
}

/// Requests under way are finished while the gateway stops.
#[tokio::test]
async fn a_stop_finishes_what_is_under_way() {
    let mut shop = Shop::open(Options::default()).await;
    let item = shop.service.create_item("Slow", 1).await;
    // Waits for a confirmation that does not come: three seconds under way.
    let customer = shop.customer.clone();
    let held = api::id(&customer.reserve(&[(&item, 1)], None, None).await);
    customer.settled(&held, &["held"]).await;
    shop.stack.signal(Role::Worker, "STOP");
    let waiting = tokio::spawn(async move { customer.reserve(&[(&item, 1)], None, Some(2)).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (stopped, answer) = tokio::join!(shop.stack.stop(), waiting);
    let answer = answer.unwrap();
    assert_eq!(answer.status, 202, "accepted, and answered: {}", answer.body);
    assert_eq!(stopped.0, Some(0));
}

/// Somebody who follows a reservation does not hold the stop up, and hears the stream end instead of break.
#[tokio::test]
async fn an_open_event_stream_ends_with_the_stop() {
    let mut shop = Shop::open(Options::default().set("GATEWAY__DRAIN", "50s")).await;
    let item = shop.service.create_item("Followed", 1).await;
    let held = api::id(&shop.customer.reserve(&[(&item, 1)], None, None).await);
    shop.customer.settled(&held, &["held"]).await;
    let request = shop.customer.request("GET", &format!("reservations/{held}/events"));
    let stream = request.send().await.unwrap();
    assert_eq!(stream.status(), 200);
    let (stopped, rest) = tokio::join!(shop.stack.stop(), stream.text());
    assert!(rest.expect("it ends, it does not break").contains("held"));
    assert_eq!(stopped.0, Some(0));
    assert!(stopped.1 < Duration::from_secs(30), "before the drain is over: {:?}", stopped.1);
}

/// The second Ctrl-C ends everything at once, redis-server too, whatever hangs.
#[tokio::test]
async fn a_second_wish_to_stop_leaves_nothing_behind() {
    let mut stack = Stack::start(Options::default()).await;
    let redis = stack.redis().pid().await;
    assert!(Stack::resident_kib(redis) > 0);
    // It does not end when it is asked to.
    stack.signal(Role::Gateway, "STOP");
    stack.stop_at_once().await;
    wait::until_true("redis-server is gone", Duration::from_secs(5), async || {
        Stack::resident_kib(redis) == 0
    })
    .await;
    for role in Role::ALL {
        assert_eq!(Stack::resident_kib(stack.pid(role)), 0, "{role:?}");
    }
}

/// Redis that cannot read its own files says where to look and what is lost with them.
#[tokio::test]
async fn a_broken_file_of_redis_is_no_dead_end() {
    let folder = tempfile::tempdir().unwrap();
    let up = async || {
        let (up, _said) = up_in(folder.path(), &[], &FREE_PORTS).await;
        if let Some(pid) = up.id() {
            send_signal("TERM", &pid.to_string());
        }
        let finished = up.wait_with_output().await.unwrap();
        (finished.status.code(), String::from_utf8_lossy(&finished.stderr).into_owned())
    };
    assert_eq!(up().await.0, Some(0));
    let redis = folder.path().join("data/redis");
    for file in std::fs::read_dir(redis.join("appendonlydir")).unwrap().flatten() {
        std::fs::write(file.path(), "not what it was").unwrap();
    }
    let (code, error) = up().await;
    assert_eq!(code, Some(1), "{error}");
    for said in ["redis-server ended with", "logs/redis.log", "move ", "data/redis away"] {
        assert!(error.contains(said), "{said}: {error}");
    }
    // What it advises helps.
    std::fs::rename(&redis, folder.path().join("broken")).unwrap();
    let (code, error) = up().await;
    assert_eq!(code, Some(0), "{error}");
}

/// The terminal closes: nobody reads any more, and all of it stops in order all the same.
#[tokio::test]
async fn a_closed_terminal_stops_it_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let (mut up, _said) = up_in(folder.path(), &[], &FREE_PORTS).await;
    let written = std::fs::read(folder.path().join("data/instance.json")).unwrap();
    let instance: serde_json::Value = serde_json::from_slice(&written).unwrap();
    let pid = |value: &serde_json::Value| u32::try_from(value.as_u64().unwrap()).unwrap();
    let mut pids: Vec<u32> =
        instance["roles"].as_object().unwrap().values().map(|role| pid(&role["pid"])).collect();
    pids.push(pid(&instance["redis_pid"]));
    drop(up.stderr.take());
    for hung_up in pids.iter().take(4).copied().chain(up.id()) {
        send_signal("HUP", &hung_up.to_string());
    }
    let status = up.wait().await.unwrap();
    assert_eq!(status.code(), Some(0));
    assert!(!folder.path().join("data/instance.json").exists());
    for pid in pids {
        assert_eq!(Stack::resident_kib(pid), 0, "{pid} is still there");
    }
}
