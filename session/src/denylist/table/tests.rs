//! What the table refuses, and what that costs.

use std::time::Duration;

use haetae_base::id::Id;
use haetae_keys::claims::{Audience, Scope};

use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_500);

fn after(millis: u64) -> Timestamp {
    NOW.plus(Duration::from_millis(millis))
}

fn claims(jti: String, issued: Timestamp) -> AccessClaims {
    AccessClaims {
        iss: "https://issuer".to_owned(),
        aud: Audience::one("api"),
        sub: "usr_01JDEXAMPLE0000000000000000".to_owned(),
        client_id: "shop".to_owned(),
        scope: Scope::default(),
        exp: issued.plus(Duration::from_mins(5)),
        iat: Timestamp::from_seconds(issued.as_seconds()),
        nbf: None,
        jti,
        sid: Some("sid_01JDEXAMPLE0000000000000000".to_owned()),
        acr: None,
        amr: Vec::new(),
        auth_time: None,
        cnf: None,
        roles: Vec::new(),
    }
}

/// A token of our own, issued at that millisecond.
fn own(issued: Timestamp) -> AccessClaims {
    claims(Id::<Token>::new(issued).to_string(), issued)
}

fn refuses(table: &Table, claims: &AccessClaims, now: Timestamp) -> bool {
    table.refuses(claims, "kid_1", || now)
}

fn with(entries: &[Entry]) -> Table {
    let table = Table::new();
    table.insert(entries.iter(), NOW);
    table
}

#[test]
fn each_kind_looks_at_its_own_claim() {
    let token = own(NOW);
    let others = own(NOW);
    let value = |kind| match kind {
        Kind::Jti => token.jti.clone(),
        Kind::Sid => token.sid.clone().expect("it has one"),
        Kind::Sub => token.sub.clone(),
        Kind::ClientId => token.client_id.clone(),
        Kind::Kid => "kid_1".to_owned(),
    };
    for kind in Kind::ALL {
        let entry = Entry::everything(kind, value(kind), NOW, Duration::from_mins(5));
        let table = with(&[entry]);
        assert!(refuses(&table, &token, NOW), "{kind}");
        assert_eq!(refuses(&table, &others, NOW), kind != Kind::Jti, "{kind}");
        for other in Kind::ALL.into_iter().filter(|other| *other != kind) {
            let entry = Entry::everything(other, value(kind), NOW, Duration::from_mins(5));
            assert!(!refuses(&with(&[entry]), &token, NOW), "{other} with the value of {kind}");
        }
    }
    assert!(!refuses(&Table::new(), &token, NOW));
}

#[test]
fn a_sign_in_in_the_second_of_a_sign_out_works_with_our_own_tokens() {
    let table = with(&[Entry::everything(Kind::Sub, own(NOW).sub, NOW, Duration::from_mins(5))]);
    assert!(refuses(&table, &own(NOW.minus(Duration::from_millis(1))), NOW));
    assert!(refuses(&table, &own(NOW), NOW), "the same millisecond is meant too");
    assert!(!refuses(&table, &own(after(1)), NOW), "in the same second, and later");
    // Without the millisecond the whole second of the sign-out is refused, and no more.
    assert!(refuses(&table, &claims("foreign".to_owned(), after(400)), NOW));
    assert!(!refuses(&table, &claims("foreign".to_owned(), after(500)), NOW));
    // A ULID of another second is no proof.
    let late = claims(Id::<Token>::new(after(60_000)).to_string(), NOW);
    assert!(refuses(&table, &late, NOW));
}

#[test]
fn a_stolen_key_cannot_date_its_tokens_out_of_it() {
    let table = with(&[Entry::key("kid_1", after(3_600_000))]);
    assert!(refuses(&table, &own(after(60_000)), NOW));
}

#[test]
fn nothing_is_forgotten_before_its_time_and_everything_after() {
    let until = after(300_000);
    let entry = Entry::token(own(NOW).jti, until);
    let token = claims(entry.value.clone(), NOW);
    let table = with(std::slice::from_ref(&entry));
    let last = until.plus(LEEWAY).minus(Duration::from_millis(1));
    table.prune(last);
    assert!(refuses(&table, &token, last));
    assert!(!refuses(&table, &token, until.plus(LEEWAY)));
    table.prune(until.plus(LEEWAY));
    assert!(table.sizes().iter().all(|(_, size)| *size == 0));
    assert!(!refuses(&table, &token, NOW), "it is gone");
    table.insert(std::iter::once(&entry), until.plus(LEEWAY));
    assert!(table.sizes().iter().all(|(_, size)| *size == 0), "what is over is not taken in");
}

#[test]
fn two_rules_for_one_value_both_hold() {
    let sub = own(NOW).sub;
    let rule = |issued_before, until| Entry {
        kind: Kind::Sub,
        value: sub.clone(),
        issued_before: after(issued_before),
        until: after(until),
    };
    let (short, long) = (rule(5_000, 300_000), rule(1_000, 900_000));
    for entries in [[&short, &long], [&long, &short]] {
        let table = with(&entries.map(Clone::clone));
        let (old, newer) = (own(after(500)), own(after(4_000)));
        assert!(refuses(&table, &old, NOW) && refuses(&table, &newer, NOW));
        let later = after(300_000).plus(LEEWAY);
        for pruned in [false, true] {
            if pruned {
                table.prune(later);
            }
            assert!(refuses(&table, &old, later), "the long rule holds on");
            assert!(!refuses(&table, &newer, later), "and means no more than it says");
        }
    }
    // A rule that another covers is not kept twice.
    let table = with(&[short.clone(), short.clone(), rule(4_000, 200_000)]);
    assert!(refuses(&table, &own(after(4_500)), NOW));
    assert_eq!(table.sizes()[2], (Kind::Sub, 1));
}

#[test]
fn the_filter_loses_nobody_while_others_come_and_go() {
    let table = Table::new();
    let lasting: Vec<_> =
        (0..500).map(|n| Entry::token(format!("lasting-{n}"), after(9_000_000))).collect();
    table.insert(lasting.iter(), NOW);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            for round in 0..200 {
                for entry in &lasting {
                    let token = claims(entry.value.clone(), NOW);
                    assert!(refuses(&table, &token, NOW), "{} in round {round}", entry.value);
                }
            }
        });
        for round in 0..50_u64 {
            let passing: Vec<_> =
                (0..100).map(|n| Entry::token(format!("{round}-{n}"), after(round))).collect();
            table.insert(passing.iter(), NOW);
            table.prune(after(round).plus(LEEWAY));
        }
        reader.join().expect("no entry was lost");
    });
    assert_eq!(table.sizes()[0], (Kind::Jti, 500));
}

/// `cargo test -- --ignored measure --nocapture`, with optimisation: what a request pays.
#[test]
#[ignore = "a measurement"]
#[expect(clippy::disallowed_methods, reason = "it measures real time")]
fn measure_a_lookup() {
    let tokens: Vec<_> = (0..1000).map(|n| own(after(n))).collect();
    for entries in [0_u64, 1_000, 100_000] {
        let table = Table::new();
        let revoked: Vec<_> = (0..entries)
            .map(|n| {
                let jti = Id::<Token>::new(after(n)).to_string();
                match n % 3 {
                    0 => Entry::token(jti, after(900_000)),
                    1 => Entry::everything(Kind::Sid, jti, NOW, Duration::from_mins(5)),
                    _ => Entry::everything(Kind::Sub, jti, NOW, Duration::from_mins(5)),
                }
            })
            .collect();
        let before = std::time::Instant::now();
        table.insert(revoked.iter(), NOW);
        let filling = before.elapsed();
        let mut refused = 0;
        // The fastest of many rounds: what it costs when nobody else wants the processor.
        let mut each = Duration::MAX;
        for _ in 0..2_000 {
            let before = std::time::Instant::now();
            for token in &tokens {
                refused += u32::from(std::hint::black_box(&table).refuses(token, "kid_1", || NOW));
            }
            each = each.min(before.elapsed() / 1000);
        }
        let before = std::time::Instant::now();
        table.prune(NOW);
        let pruning = before.elapsed();
        assert_eq!(refused, 0);
        println!(
            "{entries} entries: {each:?} a look-up, filled in {filling:?}, pruned in {pruning:?}"
        );
    }
}
