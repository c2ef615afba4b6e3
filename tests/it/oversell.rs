//! Nothing is sold twice: 64 clients want the last of one item at the same moment, over HTTP.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use haetae_tests::{
    api::{self, Api},
    shop::Shop,
    stack::{Database, Options, Role},
};
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

on_both_databases!(
    sixty_four_clients_and_the_last_ten,
    any_rush_sells_what_there_is_and_no_more,
    baskets_in_any_order_neither_oversell_nor_stick,
    stock_is_conserved_in_any_mix,
);

/// The design's own figure: 64 at once, ten there, exactly ten sold.
async fn sixty_four_clients_and_the_last_ten(database: Database) {
    let shop = Shop::open(Options::on(database)).await;
    let item = shop.service.create_item("The last ten", 10).await;
    let sold = rush(&shop.customer, &item, &[1; 64]).await;
    assert_eq!(sold, 10);
    let now = shop.customer.item(&item).await;
    assert_eq!((now["available"].as_u64(), now["held"].as_u64()), (Some(0), Some(10)), "{now}");
}

/// Stock, clients and quantities at random: what is held is what was taken, and whoever was refused was
/// refused for want of stock.
async fn any_rush_sells_what_there_is_and_no_more(database: Database) {
    let shop = Shop::open(Options::on(database)).await;
    let mut runner = TestRunner::new(Config::default());
    let rushes = (1_u64..=24, proptest::collection::vec(1_u64..=4, 2..=48));
    for round in 0..8 {
        let (stock, quantities) = rushes.new_tree(&mut runner).unwrap().current();
        let item = shop.service.create_item(&format!("Rush {round}"), stock).await;
        let sold = rush(&shop.customer, &item, &quantities).await;
        let now = shop.customer.item(&item).await;
        let wanted: u64 = quantities.iter().sum();
        assert!(sold <= stock, "sold {sold} of {stock} to {quantities:?}");
        assert_eq!(now["held"].as_u64(), Some(sold), "{now}: {quantities:?}");
        assert_eq!(now["available"].as_u64(), Some(stock - sold), "{now}: {quantities:?}");
        // Whoever was refused wanted more than what is left at the end.
        let smallest = quantities.iter().min().copied().unwrap_or(0);
        assert!(
            sold == wanted.min(sold) && (sold == wanted || stock - sold < 4),
            "{sold} of {stock}, smallest {smallest}: {quantities:?}"
        );
    }
}

/// Everyone in `quantities` asks at once; returns how many units were held in all.
async fn rush(customer: &Api, item: &str, quantities: &[u64]) -> u64 {
    let answers = futures::future::join_all(quantities.iter().map(async |quantity| {
        (*quantity, customer.reserve(&[(item, *quantity)], None, Some(30)).await)
    }))
    .await;
    let mut sold = 0;
    for (quantity, answer) in answers {
        match answer.status.as_u16() {
            201 => {
                assert_eq!(answer.json()["status"], "held", "{}", answer.body);
                sold += quantity;
            }
            409 => {
                answer.problem(409);
            }
            // Thirty seconds were not enough: it is settled later, and counts as it ends.
            202 => {
                let id = api::id(&answer);
                let settled = customer.settled(&id, &["held", "rejected"]).await;
                sold += if settled["status"] == "held" { quantity } else { 0 };
            }
            other => panic!("{other}: {}", answer.body),
        }
    }
    sold
}

/// The control: the very same rush at a shop that looks first and takes afterwards, as if no guard were
/// there. It must oversell, or the rush proves nothing.
#[tokio::test]
async fn the_rush_oversells_a_shop_without_a_guard() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let stock = Arc::new(AtomicI64::new(10));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve_without_a_guard(stream, Arc::clone(&stock)));
        }
    });
    let naive = Api::naive(address);
    let sold = rush(&naive, "inv_01ARZ3NDEKTSV4RRFFQ69G5FAV", &[1; 64]).await;
    assert!(sold > 10, "64 at once and no guard: {sold} of 10 sold");
}

/// Check, then act: what a service does that trusts what it has just read.
async fn serve_without_a_guard(mut stream: TcpStream, stock: Arc<AtomicI64>) {
    let mut head = vec![0; 8 * 1024];
    let _read = stream.read(&mut head).await;
    let left = stock.load(Ordering::SeqCst);
    // The database takes its time.
    tokio::time::sleep(Duration::from_millis(5)).await;
    let (status, kind, body) = if left > 0 {
        stock.store(left - 1, Ordering::SeqCst);
        ("201 Created", "application/json", r#"{"id":"rsv_1","status":"held"}"#)
    } else {
        let body = r#"{"type":"urn:haetae:problem:sold-out","title":"Sold out","status":409,"request_id":"1"}"#;
        ("409 Conflict", "application/problem+json", body)
    };
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let _written = stream.write_all(answer.as_bytes()).await;
}

/// Baskets of several items in every order: no deadlock, no half basket, stock conserved.
async fn baskets_in_any_order_neither_oversell_nor_stick(database: Database) {
    let shop = Shop::open(Options::on(database)).await;
    let mut items = Vec::new();
    for number in 0..5 {
        items.push(shop.service.create_item(&format!("Part {number}"), 12).await);
    }
    let mut runner = TestRunner::new(Config::default());
    let mut baskets = Vec::new();
    for _ in 0..40 {
        let order = Just((0..5_usize).collect::<Vec<_>>()).prop_shuffle();
        let basket = (order, 1..=5_usize).new_tree(&mut runner).unwrap().current();
        baskets.push(basket.0[..basket.1].to_vec());
    }
    let answers = futures::future::join_all(baskets.iter().map(|basket| {
        let lines: Vec<_> = basket.iter().map(|index| (items[*index].as_str(), 1)).collect();
        let customer = &shop.customer;
        async move { customer.reserve(&lines, None, Some(30)).await }
    }))
    .await;
    let mut taken = BTreeMap::<usize, u64>::new();
    for (basket, answer) in baskets.iter().zip(&answers) {
        let status = match answer.status.as_u16() {
            202 => {
                shop.customer.settled(&api::id(answer), &["held", "rejected"]).await["status"]
                    == "held"
            }
            other => other == 201,
        };
        if status {
            for index in basket {
                *taken.entry(*index).or_default() += 1;
            }
        }
    }
    for (index, id) in items.iter().enumerate() {
        let now = shop.customer.item(id).await;
        let held = taken.get(&index).copied().unwrap_or(0);
        assert!(held <= 12);
        assert_eq!(
            (now["held"].as_u64(), now["available"].as_u64()),
            (Some(held), Some(12 - held)),
            "{now}"
        );
    }
}

/// What one customer does with one reservation.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Hold,
    HoldAndConfirm,
    HoldAndCancel,
    Pay,
    PayAndCancel,
    PayWithABadCard,
    PayWithAShakyCard,
    CancelAtOnce,
    ConfirmAndCancelAtOnce,
}

/// Everybody does everything at once, in any order: in the end, what there was is what is free, held or
/// sold, item by item, and every history is one that the design allows.
async fn stock_is_conserved_in_any_mix(database: Database) {
    let shop = Shop::open(Options::on(database).set("WORKER__PAYMENT__LATENCY", "10ms")).await;
    let stock = 40;
    let mut items = Vec::new();
    for number in 0..3 {
        items.push(shop.service.create_item(&format!("Mixed {number}"), stock).await);
    }
    let deeds = prop_oneof![
        Just(Deed::Hold),
        Just(Deed::HoldAndConfirm),
        Just(Deed::HoldAndCancel),
        Just(Deed::Pay),
        Just(Deed::PayAndCancel),
        Just(Deed::PayWithABadCard),
        Just(Deed::PayWithAShakyCard),
        Just(Deed::CancelAtOnce),
        Just(Deed::ConfirmAndCancelAtOnce),
    ];
    let plan = proptest::collection::vec((deeds, 0..3_usize, 1..=3_u64), 90..=90);
    let plan = plan.new_tree(&mut TestRunner::new(Config::default())).unwrap().current();
    let ids: Vec<String> =
        futures::future::join_all(plan.iter().map(async |(deed, item, quantity)| {
            act(&shop.customer, *deed, &items[*item], *quantity).await
        }))
        .await;
    let mut held = BTreeMap::<String, u64>::new();
    let mut sold = BTreeMap::<String, u64>::new();
    for (id, (deed, ..)) in ids.iter().zip(&plan) {
        let ends = ["held", "confirmed", "rejected", "failed", "cancelled"];
        let reservation = shop.customer.settled(id, &ends).await;
        // A payment may still be on its way to its end.
        let reservation = if reservation["status"] == "held" && !matches!(deed, Deed::Hold) {
            let ends = ["confirmed", "failed", "cancelled", "rejected"];
            shop.customer.settled(id, &ends).await
        } else {
            reservation
        };
        crate::worker_crash::once_each(&reservation);
        let line = &reservation["items"][0];
        let (item, quantity) =
            (line["inventory_id"].as_str().unwrap(), line["quantity"].as_u64().unwrap());
        match reservation["status"].as_str().unwrap() {
            "held" => *held.entry(item.to_owned()).or_default() += quantity,
            "confirmed" => *sold.entry(item.to_owned()).or_default() += quantity,
            _ => {}
        }
    }
    for id in &items {
        let now = shop.customer.item(id).await;
        let (held, sold) = (held.get(id).copied().unwrap_or(0), sold.get(id).copied().unwrap_or(0));
        assert!(held + sold <= stock, "oversold: {held} held and {sold} sold of {stock}");
        assert_eq!(now["held"].as_u64(), Some(held), "{now}: {plan:?}");
        assert_eq!(now["available"].as_u64(), Some(stock - held - sold), "{now}: {plan:?}");
    }
}

/// Does it and returns the reservation.
async fn act(customer: &Api, deed: Deed, item: &str, quantity: u64) -> String {
    let (card, wait) = match deed {
        Deed::Hold | Deed::HoldAndConfirm | Deed::HoldAndCancel | Deed::ConfirmAndCancelAtOnce => {
            (None, Some(30))
        }
        Deed::Pay | Deed::PayAndCancel => (Some("tok_visa"), Some(30)),
        Deed::PayWithABadCard => (Some("tok_declined"), None),
        Deed::PayWithAShakyCard => (Some("tok_flaky"), None),
        Deed::CancelAtOnce => (Some("tok_visa"), None),
    };
    let page = customer.reserve(&[(item, quantity)], card, wait).await;
    assert!(
        [201, 202, 409].contains(&page.status.as_u16()),
        "{deed:?}: {} {}",
        page.status,
        page.body
    );
    let id = api::id(&page);
    let nothing = serde_json::json!({});
    let (confirm, cancel) =
        (format!("reservations/{id}/confirm"), format!("reservations/{id}/cancel"));
    let answers = match deed {
        Deed::Hold | Deed::Pay | Deed::PayWithABadCard | Deed::PayWithAShakyCard => vec![],
        Deed::HoldAndConfirm => vec![customer.post(&confirm, &nothing).await],
        Deed::HoldAndCancel | Deed::PayAndCancel | Deed::CancelAtOnce => {
            vec![customer.post(&cancel, &nothing).await]
        }
        Deed::ConfirmAndCancelAtOnce => {
            let both =
                tokio::join!(customer.post(&confirm, &nothing), customer.post(&cancel, &nothing));
            vec![both.0, both.1]
        }
    };
    for answer in answers {
        // 409: it was rejected before, or the other was faster.
        assert!(
            answer.status.is_success() || answer.status == 409,
            "{deed:?}: {} {}",
            answer.status,
            answer.body
        );
    }
    id
}

/// Two workers at once, one of them stopped past its lease and then let go again: the fence in SQL
/// refuses what the sleeper still wanted to write.
#[tokio::test]
async fn a_worker_that_slept_past_its_lease_sells_nothing_twice() {
    let options = Options::on(Database::Postgres).set("WORKER__LEASE", "1s");
    let shop = Shop::open(options).await;
    let other = shop.stack.one_more(Role::Worker).await;
    let item = shop.service.create_item("Contended", 40).await;
    let mut accepted = Vec::new();
    for round in 0..6 {
        let wave = futures::future::join_all(
            (0..10)
                .map(async |_| shop.customer.reserve(&[(&item, 1)], Some("tok_visa"), None).await),
        );
        let (answers, ()) = tokio::join!(wave, async {
            // Alternately one and the other falls asleep in the middle of the wave.
            let sleeper = if round % 2 == 0 { shop.stack.pid(Role::Worker) } else { other.pid() };
            haetae_tests::stack::send_signal("STOP", &sleeper.to_string());
            tokio::time::sleep(Duration::from_millis(1_600)).await;
            haetae_tests::stack::send_signal("CONT", &sleeper.to_string());
        });
        for answer in &answers {
            assert_eq!(answer.status, 202, "{}", answer.body);
            accepted.push(api::id(answer));
        }
    }
    let counts = settle_all(&shop.customer, &accepted).await;
    assert_eq!(counts.get("confirmed"), Some(&40), "{counts:?}");
    assert_eq!(counts.get("rejected"), Some(&20), "{counts:?}");
    let now = shop.customer.item(&item).await;
    assert_eq!((now["available"].as_u64(), now["held"].as_u64()), (Some(0), Some(0)), "{now}");
}

/// Waits until each of `ids` is at its end, and counts the ends.
pub(crate) async fn settle_all(customer: &Api, ids: &[String]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for id in ids {
        let ends = ["confirmed", "rejected", "failed", "cancelled", "expired", "attention"];
        let settled = customer.settled(id, &ends).await;
        *counts.entry(settled["status"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    counts
}
