//! The worker may die between any two steps: what was accepted is finished after it is back, once.

use std::{collections::BTreeMap, time::Duration};

use haetae_tests::{
    api::{self, history},
    shop::Shop,
    stack::{Database, Options, Role, send_signal},
};
use serde_json::{Value, json};

use crate::oversell::settle_all;

on_both_databases!(
    killed_at_every_step_it_finishes_everything,
    killed_in_every_phase_at_once_it_finishes_everything,
    killed_at_random_it_finishes_everything
);

/// Waits until the reservation is seen in `state`, then kills the worker at once.
async fn kill_in(shop: &Shop, id: &str, state: &str) {
    let old = shop.stack.pid(Role::Worker);
    shop.customer.settled(id, &[state]).await;
    send_signal("KILL", &old.to_string());
    shop.stack.await_return(Role::Worker, old).await;
}

/// Each state that a reservation passes, with the worker killed in it. The payment provider is slow, so
/// that each step can be met.
async fn killed_at_every_step_it_finishes_everything(database: Database) {
    let options =
        Options::on(database).set("WORKER__PAYMENT__LATENCY", "400ms").set("WORKER__LEASE", "1s");
    let mut shop = Shop::open(options).await;
    let item = shop.service.create_item("Crash", 100).await;

    // Before it was looked at: accepted while there is no worker at all.
    let old = shop.stack.pid(Role::Worker);
    send_signal("STOP", &old.to_string());
    let pending = api::id(&shop.customer.reserve(&[(&item, 2)], Some("tok_visa"), None).await);
    tokio::time::sleep(Duration::from_millis(700)).await;
    // The control: without a worker nothing moves, so it is the restart that finishes it.
    assert_eq!(shop.customer.reservation(&pending).await["status"], "pending");
    send_signal("KILL", &old.to_string());
    shop.stack.await_return(Role::Worker, old).await;
    // While the payment is under way.
    let held = api::id(&shop.customer.reserve(&[(&item, 2)], Some("tok_visa"), None).await);
    kill_in(&shop, &held, "held").await;
    // While a refused payment is under way: it must be compensated, not forgotten.
    let declined = api::id(&shop.customer.reserve(&[(&item, 2)], Some("tok_declined"), None).await);
    kill_in(&shop, &declined, "held").await;
    for id in [&pending, &held] {
        shop.customer.settled(id, &["confirmed"]).await;
    }
    shop.customer.settled(&declined, &["failed"]).await;
    shop.renew().await;
    // While it is being cancelled: before, in and after the refund.
    for delay in [0, 150, 450] {
        let id = api::id(&shop.customer.reserve(&[(&item, 1)], Some("tok_visa"), None).await);
        shop.customer.settled(&id, &["confirmed"]).await;
        let old = shop.stack.pid(Role::Worker);
        let page = shop.customer.post(&format!("reservations/{id}/cancel"), &json!({})).await;
        assert!(page.status.is_success(), "{}", page.body);
        tokio::time::sleep(Duration::from_millis(delay)).await;
        send_signal("KILL", &old.to_string());
        shop.stack.await_return(Role::Worker, old).await;
        let cancelled = shop.customer.settled(&id, &["cancelled"]).await;
        once_each(&cancelled);
    }
    // While a hold waits for its confirmation.
    let id = api::id(&shop.customer.reserve(&[(&item, 1)], None, None).await);
    kill_in(&shop, &id, "held").await;
    let confirm = shop.customer.post(&format!("reservations/{id}/confirm"), &json!({})).await;
    assert!(confirm.status.is_success(), "{}", confirm.body);
    shop.customer.settled(&id, &["confirmed"]).await;
    let now = shop.customer.item(&item).await;
    assert_eq!((now["available"].as_u64(), now["held"].as_u64()), (Some(95), Some(0)), "{now}");
}

/// Reservations and cancellations that began 60 ms apart, so that at the moment of the kill each is in
/// another phase of its payment, of its capture, of its refund.
async fn killed_in_every_phase_at_once_it_finishes_everything(database: Database) {
    let options =
        Options::on(database).set("WORKER__PAYMENT__LATENCY", "250ms").set("WORKER__LEASE", "1s");
    let shop = Shop::open(options).await;
    let item = shop.service.create_item("Phases", 200).await;
    let mut confirmed = 0;
    for round in 0..3_u64 {
        let mut leaving = Vec::new();
        for _ in 0..8 {
            leaving
                .push(api::id(&shop.customer.reserve(&[(&item, 1)], Some("tok_visa"), None).await));
        }
        for id in &leaving {
            shop.customer.settled(id, &["confirmed"]).await;
        }
        let mut coming = Vec::new();
        for (number, id) in leaving.iter().enumerate() {
            let card = ["tok_visa", "tok_declined", "tok_flaky", "tok_visa"][number % 4];
            coming.push((
                card,
                api::id(&shop.customer.reserve(&[(&item, 1)], Some(card), None).await),
            ));
            let page = shop.customer.post(&format!("reservations/{id}/cancel"), &json!({})).await;
            assert!(page.status.is_success(), "{}", page.body);
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
        tokio::time::sleep(Duration::from_millis(20 * round)).await;
        shop.stack.kill_and_await_return(Role::Worker).await;
        for id in &leaving {
            once_each(&shop.customer.settled(id, &["cancelled"]).await);
        }
        for (card, id) in &coming {
            let settled = shop.customer.settled(id, &["confirmed", "failed", "attention"]).await;
            once_each(&settled);
            let right = if *card == "tok_declined" { "failed" } else { "confirmed" };
            assert_eq!(settled["status"], right, "{card}: {settled}");
            confirmed += u64::from(right == "confirmed");
        }
    }
    let now = shop.customer.item(&item).await;
    assert_eq!(
        (now["available"].as_u64(), now["held"].as_u64()),
        (Some(200 - confirmed), Some(0)),
        "{now}"
    );
}

/// A steady stream of reservations, and a worker that is killed again and again at moments that nobody
/// chose.
async fn killed_at_random_it_finishes_everything(database: Database) {
    let options =
        Options::on(database).set("WORKER__PAYMENT__LATENCY", "30ms").set("WORKER__LEASE", "1s");
    let mut shop = Shop::open(options).await;
    let mut items = Vec::new();
    for number in 0..4 {
        items.push(shop.service.create_item(&format!("Stream {number}"), 60).await);
    }
    let mut accepted: Vec<(String, usize)> = Vec::new();
    for round in 0..8_u64 {
        for number in 0..20_usize {
            let at = number % items.len();
            let payment = if number % 5 == 4 { "tok_declined" } else { "tok_visa" };
            let lines = [(items[at].as_str(), 1), (items[(at + 1) % items.len()].as_str(), 1)];
            let lines = if number % 3 == 0 { &lines[..] } else { &lines[..1] };
            let page = shop.customer.reserve(lines, Some(payment), None).await;
            assert_eq!(page.status, 202, "{}", page.body);
            accepted.push((api::id(&page), lines.len()));
        }
        // A different place in the work each time; the latency of a payment is 30 ms.
        tokio::time::sleep(Duration::from_millis(7 * round + 3)).await;
        shop.stack.kill_and_await_return(Role::Worker).await;
    }
    shop.renew().await;
    let ids: Vec<String> = accepted.iter().map(|(id, _)| id.clone()).collect();
    let counts = settle_all(&shop.customer, &ids).await;
    assert_eq!(counts.values().sum::<usize>(), 160);
    assert_eq!(counts.get("attention"), None, "{counts:?}");
    assert_eq!(counts.get("failed"), Some(&32), "every fifth payment is refused: {counts:?}");
    // Stock is what was confirmed, item by item, and every history goes forward once.
    let mut taken = BTreeMap::<String, u64>::new();
    for id in &ids {
        let reservation = shop.customer.reservation(id).await;
        once_each(&reservation);
        if reservation["status"] == "confirmed" {
            for line in reservation["items"].as_array().unwrap() {
                let item = line["inventory_id"].as_str().unwrap().to_owned();
                *taken.entry(item).or_default() += line["quantity"].as_u64().unwrap();
            }
        }
    }
    for item in &items {
        let now = shop.customer.item(item).await;
        let sold = taken.get(item).copied().unwrap_or(0);
        assert_eq!(now["held"], 0, "{now}");
        assert_eq!(now["available"].as_u64(), Some(60 - sold), "{now}: {sold} sold");
    }
}

/// Asserts that no state comes twice and that the order is one that the design allows.
pub(crate) fn once_each(reservation: &Value) {
    let states = history(reservation);
    let allowed: [&[&str]; 8] = [
        &["pending", "held"],
        &["pending", "held", "confirmed"],
        &["pending", "held", "failed"],
        &["pending", "rejected"],
        &["pending", "held", "expired"],
        &["pending", "held", "cancelling", "cancelled"],
        &["pending", "held", "confirmed", "cancelling", "cancelled"],
        &["pending", "cancelling", "cancelled"],
    ];
    assert!(allowed.iter().any(|path| states == *path), "{states:?}: {reservation}");
}

/// A hold that nobody confirms gives its stock back, also when the worker was dead at that moment.
#[tokio::test]
async fn a_hold_expires_even_when_the_worker_was_dead_then() {
    let options = Options::default().set("RESERVATION__HOLD", "2s").set("WORKER__LEASE", "1s");
    let shop = Shop::open(options).await;
    let item = shop.service.create_item("Brief", 3).await;
    let first = api::id(&shop.customer.reserve(&[(&item, 2)], None, None).await);
    shop.customer.settled(&first, &["held"]).await;
    assert_eq!(shop.customer.item(&item).await["available"], 1);
    let old = shop.stack.pid(Role::Worker);
    send_signal("STOP", &old.to_string());
    tokio::time::sleep(Duration::from_millis(2_200)).await;
    send_signal("KILL", &old.to_string());
    shop.stack.await_return(Role::Worker, old).await;
    let expired = shop.customer.settled(&first, &["expired"]).await;
    assert_eq!(history(&expired), ["pending", "held", "expired"]);
    let now = shop.customer.item(&item).await;
    assert_eq!((now["available"].as_u64(), now["held"].as_u64()), (Some(3), Some(0)), "{now}");
    let late = shop.customer.post(&format!("reservations/{first}/confirm"), &json!({})).await;
    late.problem(409);
}

/// Nothing accepted is lost when Redis forgets the queue: pending rows are queued again from SQL.
#[tokio::test]
async fn a_wiped_queue_loses_no_reservation() {
    let shop = Shop::open(Options::default().set("WORKER__LEASE", "1s")).await;
    let item = shop.service.create_item("Queued", 30).await;
    send_signal("STOP", &shop.stack.pid(Role::Worker).to_string());
    let mut ids = Vec::new();
    for _ in 0..20 {
        let page = shop.customer.reserve(&[(&item, 1)], Some("tok_visa"), None).await;
        assert_eq!(page.status, 202, "{}", page.body);
        ids.push(api::id(&page));
    }
    shop.stack.redis().wipe().await;
    send_signal("CONT", &shop.stack.pid(Role::Worker).to_string());
    let mut shop = shop;
    haetae_tests::wait::until_true(
        "people can sign in again",
        Duration::from_secs(30),
        async || shop.mobile.jwks().await["keys"].is_array(),
    )
    .await;
    shop.renew().await;
    let counts = settle_all(&shop.customer, &ids).await;
    assert_eq!(counts.get("confirmed"), Some(&20), "{counts:?}");
    assert_eq!(shop.customer.item(&item).await["available"], 10);
}
