//! Stock is conserved under random operations on a real database: reserve, pay, confirm, cancel, expire,
//! restock, change owners, in any order, with answers of the provider that are lost.

use std::{collections::BTreeMap, time::Duration};

use haetae_base::clock::Timestamp;
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};

use super::bench::{Bench, PARTITIONS, POLICY, now, request};
use crate::{
    apply_batch::{Fences, Work, apply},
    domain::{
        fence::Partition,
        inventory::ItemId,
        payment::{Call, Outcome},
        reservation::ReservationId,
    },
    saga::Charge,
    store::{
        accept::{AcceptRequest, AcceptRules, Acceptance},
        intent::Decider,
        inventory::{ItemPatch, WriteItemError},
    },
};

#[derive(Clone, Debug)]
enum Op {
    Reserve { lines: Vec<(usize, u32)>, pays: bool },
    Work,
    Answer { good: bool, lost: bool },
    Confirm { which: usize },
    Cancel { which: usize },
    Restock { item: usize, quantity: u32 },
    Wait { seconds: u64 },
    NewOwner,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let line = (0..3_usize, 1..4_u32);
    let op = prop_oneof![
        4 => (prop::collection::vec(line, 1..4), any::<bool>())
            .prop_map(|(lines, pays)| Op::Reserve { lines, pays }),
        6 => Just(Op::Work),
        4 => (any::<bool>(), prop::bool::weighted(0.25))
            .prop_map(|(good, lost)| Op::Answer { good, lost }),
        2 => any::<usize>().prop_map(|which| Op::Confirm { which }),
        2 => any::<usize>().prop_map(|which| Op::Cancel { which }),
        1 => (0..3_usize, 0..20_u32).prop_map(|(item, quantity)| Op::Restock { item, quantity }),
        1 => (1..900_u64).prop_map(|seconds| Op::Wait { seconds }),
        1 => Just(Op::NewOwner),
    ];
    prop::collection::vec(op, 10..60)
}

struct World<'a> {
    bench: &'a Bench,
    now: Timestamp,
    items: Vec<ItemId>,
    ids: Vec<ReservationId>,
    fences: Fences,
    open: Vec<(Partition, Charge)>,
}

/// Nothing is left to a queue.
const AT_ONCE: AcceptRules = AcceptRules { grace: Duration::ZERO, max_open: None };

impl World<'_> {
    async fn run(&mut self, op: Op) {
        let store = &self.bench.store;
        let count = self.ids.len();
        match op {
            Op::Reserve { lines, pays } => {
                let lines: Vec<_> =
                    lines.into_iter().map(|(item, units)| (self.items[item], units)).collect();
                let request =
                    AcceptRequest { new: request(&lines, pays.then_some("tok_ok")), answer: None };
                let accepted =
                    store.accept(vec![request], AT_ONCE, self.now).await.expect("accepted");
                if let Some(Acceptance::Accepted(new)) = accepted.into_iter().next() {
                    self.ids.push(new.request.id);
                }
            }
            Op::Work => {
                let partitions = self.fences.keys().copied().collect();
                let due = store.due(&partitions, self.now, 100).await.expect("due");
                let work: Vec<Work> = due
                    .into_iter()
                    .map(|due| Work { id: due.id, partition: due.partition, answer: None })
                    .collect();
                self.apply(&work).await;
            }
            Op::Answer { good, lost } => {
                let Some((partition, charge)) = self.open.pop() else { return };
                let outcome = match charge.call {
                    _ if lost => Outcome::Unknown { error: "lost".to_owned() },
                    Call::Authorize if good => Outcome::Authorized { reference: "r".to_owned() },
                    Call::Authorize => Outcome::Declined { reason: "no".to_owned() },
                    Call::Capture if good => Outcome::Captured,
                    Call::Capture => Outcome::CaptureRefused { reason: "no".to_owned() },
                    Call::Void => Outcome::Voided,
                    Call::Refund => Outcome::Refunded,
                };
                let answer = Some((charge.payment.id, outcome));
                self.apply(&[Work { id: charge.reservation, partition, answer }]).await;
            }
            Op::Confirm { which } if count > 0 => {
                let decider = Decider::Owner("usr_test");
                let id = self.ids[which % count];
                store
                    .decide_confirm(id, decider, None, POLICY.hold, self.now)
                    .await
                    .expect("decided");
            }
            Op::Cancel { which } if count > 0 => {
                let decider = Decider::Administrator("usr_test");
                let id = self.ids[which % count];
                store.decide_cancel(id, decider, None, self.now).await.expect("decided");
            }
            Op::Confirm { .. } | Op::Cancel { .. } => {}
            Op::Restock { item, quantity } => {
                let id = self.items[item];
                let version = store.find_item(id).await.expect("read").expect("there").version;
                let patch = ItemPatch { quantity: Some(quantity), ..ItemPatch::default() };
                match store.patch_item(id, version, patch, self.now).await {
                    Ok(item) => assert_eq!(item.stock.quantity(), quantity),
                    Err(WriteItemError::Stock(_)) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            Op::Wait { seconds } => self.now = self.now.plus(Duration::from_secs(seconds)),
            Op::NewOwner => {
                self.fences = self.bench.own_all(PARTITIONS, "new").await.into_iter().collect();
            }
        }
    }

    async fn apply(&mut self, work: &[Work]) {
        let applied =
            apply(&self.bench.store, &self.fences, work, &POLICY, self.now).await.expect("applied");
        self.open.extend(applied.charges);
    }

    /// What the items say is what the reservations keep.
    async fn check(&self) {
        let (mut held, mut sold) = (BTreeMap::new(), BTreeMap::new());
        let batch = self.bench.store.begin_batch().await.expect("a transaction");
        let loaded = batch.reservations(&self.ids).await.expect("read");
        batch.rollback().await.expect("nothing was written");
        for one in loaded.values() {
            let kept = match one.reservation.state.keeps() {
                crate::domain::reservation::Keeps::Nothing => continue,
                crate::domain::reservation::Keeps::Held => &mut held,
                crate::domain::reservation::Keeps::Sold => &mut sold,
            };
            for line in one.basket.lines() {
                *kept.entry(line.item).or_insert(0) += line.quantity.get();
            }
        }
        for item in &self.items {
            let stock = self.bench.stock(*item).await;
            let expected =
                (held.get(item).copied().unwrap_or(0), sold.get(item).copied().unwrap_or(0));
            assert_eq!((stock.held(), stock.sold()), expected);
        }
        for id in &self.ids {
            let record =
                self.bench.store.find_reservation(*id).await.expect("read").expect("there");
            assert_eq!(record.history.last().map(|last| last.status), Some(record.status));
        }
    }
}

#[tokio::test]
async fn stock_is_conserved() {
    for bench in Bench::each().await {
        let mut runner = TestRunner::deterministic();
        for _ in 0..12 {
            let ops = ops().new_tree(&mut runner).expect("operations").current();
            let mut items = Vec::new();
            for quantity in [3, 6, 12] {
                items.push(bench.item(quantity).await);
            }
            let mut world = World {
                bench: &bench,
                now: now(),
                items,
                ids: Vec::new(),
                fences: bench.own_all(PARTITIONS, "first").await.into_iter().collect(),
                open: Vec::new(),
            };
            for op in ops {
                world.run(op).await;
            }
            world.check().await;
        }
    }
}
