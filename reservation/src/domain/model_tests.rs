//! The domain against a small model: random requests, payments, crashes of the provider and waits, over
//! a few items. After every step the units add up, nothing is negative, no state moves backwards, and
//! money and stock agree at the end.

use std::{collections::BTreeMap, time::Duration};

use haetae_base::clock::Timestamp;
use proptest::prelude::*;

use super::{
    advance::{Next, next},
    hold::HoldPolicy,
    inventory::Stock,
    payment::{Call, Outcome, Payment, PaymentId, PaymentState},
    reservation::{Moved, Reservation, ReservationId, State, Status, StockMove},
};

const POLICY: HoldPolicy = HoldPolicy { duration: Duration::from_mins(10) };

#[derive(Clone, Debug)]
enum Op {
    Accept { lines: Vec<(usize, u32)>, pays: bool },
    Step { which: usize, answer: u8 },
    Confirm { which: usize },
    Cancel { which: usize },
    Attention { which: usize },
    Wait { seconds: u64 },
    Resize { item: usize, quantity: u32 },
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let line = (0..3_usize, 1..6_u32);
    let op = prop_oneof![
        3 => (prop::collection::vec(line, 1..4), any::<bool>())
            .prop_map(|(lines, pays)| Op::Accept { lines, pays }),
        8 => (any::<usize>(), any::<u8>()).prop_map(|(which, answer)| Op::Step { which, answer }),
        2 => any::<usize>().prop_map(|which| Op::Confirm { which }),
        2 => any::<usize>().prop_map(|which| Op::Cancel { which }),
        1 => any::<usize>().prop_map(|which| Op::Attention { which }),
        1 => (0..900_u64).prop_map(|seconds| Op::Wait { seconds }),
        1 => (0..3_usize, 0..30_u32).prop_map(|(item, quantity)| Op::Resize { item, quantity }),
    ];
    prop::collection::vec(op, 1..120)
}

/// One reservation as the world sees it: what it should keep of each item, and the money that moved.
struct Entry {
    reservation: Reservation,
    lines: BTreeMap<usize, u32>,
    payment: Option<Payment>,
    /// What really happened at the provider, whatever the reservation knows of it.
    charged: i64,
    statuses: Vec<Status>,
}

struct World {
    now: Timestamp,
    stocks: Vec<Stock>,
    entries: Vec<Entry>,
}

impl World {
    fn new() -> Self {
        let stock = |quantity| Stock::new(quantity).expect("a quantity");
        Self {
            now: Timestamp::from_seconds(1_000_000),
            stocks: vec![stock(5), stock(10), stock(20)],
            entries: Vec::new(),
        }
    }

    fn apply(&mut self, which: usize, moved: Moved) {
        let World { stocks, entries, .. } = self;
        let entry = &mut entries[which];
        for (item, units) in &entry.lines {
            let stock = stocks[*item];
            stocks[*item] = match moved.stock {
                StockMove::None => stock,
                StockMove::Hold => stock.hold(*units).expect("checked before"),
                StockMove::Release => stock.release(*units).expect("it was held"),
                StockMove::Sell => stock.sell(*units).expect("it was held"),
                StockMove::TakeBack => stock.take_back(*units).expect("it was sold"),
            };
        }
        assert_eq!(moved.reservation.version, entry.reservation.version.next());
        let (before, after) = (entry.reservation.state, moved.reservation.state);
        entry.reservation = moved.reservation;
        if before.status() != after.status() {
            entry.statuses.push(after.status());
        }
    }

    fn step(&mut self, which: usize, answer: u8) {
        let now = self.now;
        let entry = &mut self.entries[which];
        let reservation = entry.reservation;
        let moved = match next(&reservation, entry.payment.as_ref(), now) {
            Next::Hold => {
                let enough = entry
                    .lines
                    .iter()
                    .all(|(item, units)| self.stocks[*item].available() >= *units);
                if enough {
                    reservation.hold(POLICY.until(now), entry.payment.is_some())
                } else {
                    reservation.reject()
                }
            }
            Next::Expire => reservation.expire(now),
            Next::Confirm => reservation.confirm(),
            Next::Fail => reservation.fail(),
            Next::FinishCancel => reservation.finish_cancel(),
            Next::Pay(call) => {
                let payment = entry.payment.take().expect("somebody pays");
                let (outcome, charged) = provider(call, &payment, entry.charged, answer);
                entry.charged = charged;
                // Every fourth answer is lost on the way: the provider acted, nobody heard.
                let heard = answer % 4 != 3;
                entry.payment =
                    Some(if heard { payment.answered(&outcome).expect("fits") } else { payment });
                return;
            }
            Next::Sleep(until) => {
                assert!(until > now);
                return;
            }
            Next::Rest => return,
        };
        self.apply(which, moved.expect("the step that was asked for"));
    }

    fn check(&self) {
        for (item, stock) in self.stocks.iter().enumerate() {
            let (mut held, mut sold) = (0, 0);
            for entry in &self.entries {
                let units = entry.lines.get(&item).copied().unwrap_or(0);
                match entry.reservation.state.keeps() {
                    super::reservation::Keeps::Nothing => {}
                    super::reservation::Keeps::Held => held += units,
                    super::reservation::Keeps::Sold => sold += units,
                }
            }
            assert_eq!((stock.held(), stock.sold()), (held, sold), "item {item}");
            assert_eq!(stock.quantity(), stock.available() + held + sold);
        }
        for entry in &self.entries {
            assert!((0..=1).contains(&entry.charged), "charged {} times", entry.charged);
            let status = entry.reservation.state.status();
            let settled = entry.payment.is_some();
            if settled && status == Status::Confirmed {
                assert_eq!(entry.charged, 1, "sold without the money");
            }
            if matches!(status, Status::Failed | Status::Cancelled | Status::Expired) {
                assert_eq!(entry.charged, 0, "{status:?} and the money is gone");
            }
            let unique: std::collections::BTreeSet<_> = entry
                .statuses
                .iter()
                .filter(|status| !matches!(status, Status::Attention | Status::Cancelling))
                .collect();
            let counted = entry
                .statuses
                .iter()
                .filter(|status| !matches!(status, Status::Attention | Status::Cancelling))
                .count();
            assert_eq!(unique.len(), counted, "a state came back: {:?}", entry.statuses);
            if let Some(place) = entry.statuses.iter().position(|status| status.is_final()) {
                assert_eq!(place + 1, entry.statuses.len(), "something followed an end");
            }
        }
    }
}

/// A provider that remembers: what it does again under the same key it does once.
fn provider(call: Call, payment: &Payment, charged: i64, answer: u8) -> (Outcome, i64) {
    let unknown = Outcome::Unknown { error: "no answer".to_owned() };
    match call {
        _ if answer % 8 == 7 => (unknown, charged),
        Call::Authorize if answer % 8 == 6 => {
            (Outcome::Declined { reason: "no".to_owned() }, charged)
        }
        Call::Authorize => (Outcome::Authorized { reference: "ref".to_owned() }, charged),
        Call::Capture if answer % 8 == 5 && charged == 0 => {
            (Outcome::CaptureRefused { reason: "too late".to_owned() }, charged)
        }
        Call::Capture => (Outcome::Captured, 1),
        Call::Void if charged == 1 => (Outcome::Captured, 1),
        Call::Void => (Outcome::Voided, 0),
        Call::Refund => {
            assert_eq!(payment.state, PaymentState::Captured);
            (Outcome::Refunded, 0)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn units_and_money_are_conserved_and_no_state_comes_back(ops in ops()) {
        let mut world = World::new();
        for op in ops {
            let count = world.entries.len();
            let now = world.now;
            match op {
                Op::Accept { lines, pays } => {
                    let mut merged = BTreeMap::new();
                    for (item, units) in lines {
                        *merged.entry(item).or_insert(0) += units;
                    }
                    world.entries.push(Entry {
                        reservation: Reservation::accepted(ReservationId::new(now)),
                        lines: merged,
                        payment: pays.then(|| Payment {
                            id: PaymentId::new(now),
                            token: "tok".to_owned(),
                            amount: None,
                            state: PaymentState::Started,
                            reference: None,
                            refusal: None,
                        }),
                        charged: 0,
                        statuses: vec![Status::Pending],
                    });
                }
                Op::Wait { seconds } => world.now = now.plus(Duration::from_secs(seconds)),
                Op::Resize { item, quantity } => {
                    if let Ok(stock) = world.stocks[item].resize(quantity) {
                        prop_assert_eq!(stock.quantity(), quantity);
                        world.stocks[item] = stock;
                    }
                }
                _ if count == 0 => {}
                Op::Step { which, answer } => world.step(which % count, answer),
                Op::Confirm { which } => {
                    let reservation = world.entries[which % count].reservation;
                    if let Ok(moved) = reservation.begin_confirm(now, POLICY) {
                        world.apply(which % count, moved);
                    }
                }
                Op::Cancel { which } => {
                    let reservation = world.entries[which % count].reservation;
                    if let Ok(moved) = reservation.begin_cancel() {
                        world.apply(which % count, moved);
                    }
                }
                Op::Attention { which } => {
                    let reservation = world.entries[which % count].reservation;
                    if let Ok(moved) = reservation.call_for_attention() {
                        world.apply(which % count, moved);
                    }
                }
            }
            world.check();
        }
        // With a provider that answers, everything comes to rest.
        for which in 0..world.entries.len() {
            for _ in 0..8 {
                world.step(which, 0);
            }
            let state = world.entries[which].reservation.state;
            prop_assert!(!matches!(state, State::Pending | State::Cancelling { .. }), "{:?}", state);
        }
        world.check();
    }
}

#[test]
fn a_hold_ends_exactly_at_its_end_and_not_while_it_is_paid() {
    let start = Timestamp::from_seconds(1000);
    let until = POLICY.until(start);
    let held = Reservation::accepted(ReservationId::new(start))
        .hold(until, false)
        .expect("pending")
        .reservation;
    let just_before = until.minus(Duration::from_millis(1));
    assert!(held.expire(just_before).is_err());
    assert!(held.begin_confirm(until, POLICY).is_err(), "too late at the end itself");
    assert!(held.expire(until).is_ok());
    let confirming = held.begin_confirm(just_before, POLICY).expect("in time").reservation;
    assert!(confirming.expire(until).is_err(), "nobody loses the stock while paying");
    assert_eq!(
        confirming.state,
        State::Held { until: POLICY.until(just_before), confirming: true }
    );
}
