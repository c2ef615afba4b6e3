use std::time::Duration;

use haetae_base::clock::ManualClock;

use super::*;
use crate::testing::OwnRedis;

struct Bench {
    throttle: Throttle,
    clock: ManualClock,
    redis: OwnRedis,
}

const WINDOW: Duration = Duration::from_mins(15);

async fn bench(attempts: u32) -> Bench {
    let (redis, connection) = OwnRedis::start().await;
    let clock = ManualClock::at(Timestamp::from_seconds(1_800_000_000));
    let throttle = Throttle::new(connection, Arc::new(clock.clone()), attempts, WINDOW);
    Bench { throttle, clock, redis }
}

fn at(last: u8) -> IpAddr {
    IpAddr::from([203, 0, 113, last])
}

impl Bench {
    async fn guess(&self, guess: Guess, address: u8) -> Result<Attempt, Throttled> {
        self.throttle.begin(guess, "demo", Some(at(address))).await
    }

    /// How many wrong guesses go through before one has to wait.
    async fn free(&self, guess: Guess, address: u8) -> usize {
        for count in 0..1000 {
            if self.guess(guess, address).await.is_err() {
                return count;
            }
        }
        1000
    }
}

/// Each rule holds with Redis and with the local counters alike.
async fn waits_grow_and_are_forgotten(bench: &Bench) {
    assert_eq!(bench.free(Guess::Password, 1).await, 3);
    assert_eq!(bench.guess(Guess::Password, 1).await.expect_err("too many").seconds(), 10);
    for seconds in [10, 20, 40, 80, 160, 320, 640, 900, 900] {
        bench.clock.advance(Duration::from_secs(seconds - 1));
        assert!(bench.guess(Guess::Password, 1).await.is_err(), "{seconds}");
        bench.clock.advance(Duration::from_secs(1));
        assert!(bench.guess(Guess::Password, 1).await.is_ok(), "{seconds}");
    }
}

#[tokio::test]
async fn waits_double_up_to_the_window() {
    waits_grow_and_are_forgotten(&bench(3).await).await;
}

#[tokio::test]
async fn without_redis_the_same_waits_hold() {
    let mut bench = bench(3).await;
    bench.redis.stop();
    waits_grow_and_are_forgotten(&bench).await;
    bench.clock.advance(WINDOW + WINDOW + Duration::from_secs(1));
    assert_eq!(bench.free(Guess::Password, 1).await, 3);
}

#[tokio::test]
async fn a_hundred_guesses_at_once_get_no_more_than_in_a_row() {
    let bench = bench(5).await;
    let guesses = (0..100).map(|_| bench.guess(Guess::Password, 1));
    let answers = futures::future::join_all(guesses).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 5);
}

#[tokio::test]
async fn a_right_guess_takes_its_count_back() {
    let bench = bench(3).await;
    for _ in 0..50 {
        bench.clock.advance(Duration::from_mins(1));
        for _ in 0..2 {
            drop(bench.guess(Guess::Password, 1).await.expect("free"));
        }
        let right = bench.guess(Guess::Password, 1).await.expect("free");
        bench.throttle.right(&right).await;
        bench.throttle.remember(["demo", "usr_1"], Some(at(1))).await;
    }
}

#[tokio::test]
async fn a_company_behind_one_address_signs_in_all_day() {
    let bench = bench(3).await;
    for employee in 0..500 {
        let name = format!("employee{employee}");
        let attempt =
            bench.throttle.begin(Guess::Password, &name, Some(at(1))).await.expect("free");
        bench.throttle.right(&attempt).await;
    }
    // One address that tries one password on many names is stopped.
    let mut tried = 0;
    while bench
        .throttle
        .begin(Guess::Password, &format!("victim{tried}"), Some(at(2)))
        .await
        .is_ok()
    {
        tried += 1;
    }
    assert_eq!(tried, 30);
}

#[tokio::test]
async fn an_attacker_elsewhere_never_locks_the_owner_out() {
    let bench = bench(9).await;
    let owner = bench.guess(Guess::Password, 1).await.expect("free");
    bench.throttle.right(&owner).await;
    bench.throttle.remember(["demo", "usr_1"], Some(at(1))).await;
    for attacker in 10..=250 {
        // At first as many as anyone, under attack a third.
        let free = bench.free(Guess::Password, attacker).await;
        assert_eq!(free, if attacker < 15 { 9 } else { 3 }, "{attacker}");
    }
    assert_eq!(bench.free(Guess::Password, 1).await, 9, "at home");
    assert_eq!(bench.free(Guess::Password, 2).await, 3, "on a new network");
}

#[tokio::test]
async fn one_time_codes_are_bounded_over_all_addresses_and_recovery_stays_open() {
    let bench = bench(6).await;
    let owner = bench.guess(Guess::OneTimeCode, 1).await.expect("free");
    bench.throttle.right(&owner).await;
    bench.throttle.remember(["demo", "usr_1"], Some(at(1))).await;
    let mut guessed = 0;
    for attacker in 10..=250 {
        guessed += bench.free(Guess::OneTimeCode, attacker).await;
    }
    assert_eq!(guessed, 30);
    assert_eq!(bench.free(Guess::OneTimeCode, 1).await, 6, "the owner at home");
    assert_eq!(bench.free(Guess::RecoveryCode, 2).await, 6, "the owner elsewhere");
}

#[tokio::test]
async fn registration_counts_by_address_only() {
    let bench = bench(2).await;
    for name in 0..20 {
        let name = format!("new{name}");
        assert!(bench.throttle.begin(Guess::Registration, &name, Some(at(1))).await.is_ok());
    }
    assert!(bench.throttle.begin(Guess::Registration, "one more", Some(at(1))).await.is_err());
    assert!(bench.throttle.begin(Guess::Registration, "elsewhere", Some(at(2))).await.is_ok());
}

#[test]
fn a_household_s_ipv6_addresses_are_one() {
    let network = |text: &str| network(text.parse().expect("an address"));
    assert_eq!(network("2001:db8:1:2:aaaa::1"), network("2001:db8:1:2:bbbb::2"));
    assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
    assert_eq!(network("::ffff:203.0.113.9"), "203.0.113.9");
}
