//! What slows down guessing, of passwords, one-time codes and recovery codes.
//!
//! # The policy
//!
//! Each attempt is counted *before* it is checked, so that a hundred at once get no more than a hundred
//! in a row, and a right one takes its count back. Three counters, in Redis, so that all authservers
//! share them:
//!
//! - **account + address**: the first `auth.login.attempts` are free, each further one has to wait twice
//!   as long as the one before, from ten seconds up to `auth.login.window`.
//! - **address** (IPv6 by /64): the same with ten times as many free, since a company or a carrier stands
//!   behind one address, and these come back evenly over `auth.login.window`, since somebody there always
//!   mistypes.
//! - **account**, whatever the address: it never refuses a password by itself. Nobody can lock an owner
//!   out by guessing at the account from somewhere else. When an account is under attack (five times the
//!   free attempts), an address from which the account has not signed in lately has only a third of the
//!   free attempts: a botnet gets little for each of its addresses, and the owner on a new network can
//!   still sign in.
//!
//! One-time codes have only a million values, and a person who tries them has the password already. There
//! the account's counter does refuse, above five times the free attempts, addresses that the account has
//! not signed in from; recovery codes (80 random bits) stay open to the owner. Each time step of a code is
//! accepted once, besides.
//!
//! Counters are forgotten after `auth.login.window` without a counted attempt. While Redis is away each
//! authserver counts for itself, in bounded memory.

use std::{
    net::IpAddr,
    sync::{Arc, LazyLock},
    time::Duration,
};

use haetae_base::{
    clock::{Clock, Timestamp},
    redis::Redis,
    secret::SecretHash,
};
use moka::{ops::compute::Op, sync::Cache};
use redis::{AsyncCommands, RedisError, Script};

/// The first wait.
const FIRST_WAIT: Duration = Duration::from_secs(10);
/// How long an address is remembered from which somebody signed in to an account.
const REMEMBER: Duration = Duration::from_hours(90 * 24);
/// How many counters each authserver keeps while Redis is away.
const LOCAL_COUNTERS: u64 = 50_000;

/// What is being guessed. Each has counters of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guess {
    /// A password at sign-in.
    Password,
    /// A one-time code.
    OneTimeCode,
    /// A recovery code.
    RecoveryCode,
    /// A new account (each counts, none is taken back).
    Registration,
}

impl Guess {
    /// All of them.
    pub(crate) const ALL: [Self; 4] =
        [Self::Password, Self::OneTimeCode, Self::RecoveryCode, Self::Registration];

    /// Its name in metrics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::OneTimeCode => "otp",
            Self::RecoveryCode => "recovery",
            Self::Registration => "registration",
        }
    }
}

/// An attempt that is refused unchecked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many attempts; the next one is looked at in {0:?}")]
pub(crate) struct Throttled(pub(crate) Duration);

impl Throttled {
    /// Whole seconds to wait, rounded up: the value of `Retry-After`.
    pub(crate) fn seconds(self) -> u64 {
        u64::try_from(self.0.as_millis().div_ceil(1000)).unwrap_or(u64::MAX)
    }
}

/// The counters.
#[derive(Clone)]
pub(crate) struct Throttle {
    redis: Redis,
    clock: Arc<dyn Clock>,
    local: Cache<String, Counter>,
    attempts: u32,
    window: Duration,
}

/// An attempt that is counted and may be checked now.
#[derive(Debug)]
#[must_use = "a right guess takes its count back"]
pub(crate) struct Attempt {
    pair: String,
    address: String,
    account: String,
    known: String,
}

/// What a counter does beyond counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// Nothing.
    Counting,
    /// It makes attempts wait from the `free`th on.
    Refusing { free: u32 },
    /// The same, and `free` attempts come back evenly over the window.
    Leaking { free: u32 },
}

impl Rule {
    /// From which count on it makes wait, and whether it leaks.
    const fn limits(self) -> (Option<u32>, bool) {
        match self {
            Self::Counting => (None, false),
            Self::Refusing { free } => (Some(free), false),
            Self::Leaking { free } => (Some(free), true),
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Counter {
    count: f64,
    last: Timestamp,
    blocked_until: Timestamp,
}

/// What counting an attempt says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counted {
    /// It may be checked.
    Go,
    /// It is not counted, and may be made again after this time.
    Wait(Duration),
}

impl Throttle {
    /// Counters in `redis` with these limits.
    pub(crate) fn new(
        redis: Redis,
        clock: Arc<dyn Clock>,
        attempts: u32,
        window: Duration,
    ) -> Self {
        let local = Cache::builder().max_capacity(LOCAL_COUNTERS).build();
        Self { redis, clock, local, attempts: attempts.max(1), window }
    }

    /// Counts an attempt at `account` (an id, or the folded name that was typed, known or not) from
    /// `address`.
    ///
    /// # Errors
    /// [`Throttled`] when it must wait.
    pub(crate) async fn begin(
        &self,
        guess: Guess,
        account: &str,
        address: Option<IpAddr>,
    ) -> Result<Attempt, Throttled> {
        let attempt = Attempt::of(guess, account, address);
        let result = self.count_all(guess, &attempt).await;
        if result.is_err() {
            metrics::counter!("haetae_auth_throttled_total", "guess" => guess.name()).increment(1);
        }
        result.map(|()| attempt)
    }

    async fn count_all(&self, guess: Guess, attempt: &Attempt) -> Result<(), Throttled> {
        let crowd = self.attempts.saturating_mul(10);
        self.count(&attempt.address, Rule::Leaking { free: crowd }).await?;
        if guess == Guess::Registration {
            return Ok(());
        }
        let known = self.is_known(&attempt.known).await;
        let attack = self.attempts.saturating_mul(5);
        let under_attack = !known && self.counted(&attempt.account).await >= f64::from(attack);
        let free = if under_attack { self.attempts / 3 } else { self.attempts };
        self.count(&attempt.pair, Rule::Refusing { free: free.max(1) }).await?;
        let refuses = guess == Guess::OneTimeCode && !known;
        let rule = if refuses { Rule::Refusing { free: attack } } else { Rule::Counting };
        self.count(&attempt.account, rule).await
    }

    /// Takes the count back: the guess was right.
    pub(crate) async fn right(&self, attempt: &Attempt) {
        let mut redis = self.redis.connection();
        let undone: Result<(), RedisError> = async {
            let () = redis.del(&attempt.pair).await?;
            for key in [&attempt.address, &attempt.account] {
                let () = UNCOUNT.key(key).invoke_async(&mut redis).await?;
            }
            Ok(())
        }
        .await;
        if undone.is_err() {
            self.local.invalidate(&attempt.pair);
            for key in [&attempt.address, &attempt.account] {
                self.local.entry_by_ref(key).and_compute_with(|entry| match entry {
                    Some(entry) => {
                        let mut counter = entry.into_value();
                        counter.count = (counter.count - 1.0).max(0.0);
                        counter.blocked_until = Timestamp::default();
                        Op::Put(counter)
                    }
                    None => Op::Nop,
                });
            }
        }
    }

    /// Remembers that the account signed in completely from this address. An account has two names here:
    /// its id and the folded name that is typed.
    pub(crate) async fn remember(&self, names: [&str; 2], address: Option<IpAddr>) {
        let mut redis = self.redis.connection();
        for name in names {
            let known = Attempt::of(Guess::Password, name, address).known;
            // When Redis is away nothing is remembered, and the address has fewer attempts at worst.
            let _: Result<(), RedisError> = redis.set_ex(known, 1, REMEMBER.as_secs()).await;
        }
    }

    async fn is_known(&self, key: &str) -> bool {
        self.redis.connection().exists(key).await.unwrap_or(false)
    }

    /// How many attempts a counter holds.
    async fn counted(&self, key: &str) -> f64 {
        let stored: Result<Option<f64>, RedisError> = self.redis.connection().hget(key, "n").await;
        match stored {
            Ok(count) => count.unwrap_or(0.0),
            Err(_) => self.local.get(key).map_or(0.0, |counter| counter.count),
        }
    }

    async fn count(&self, key: &str, rule: Rule) -> Result<(), Throttled> {
        let now = self.clock.now();
        let counted = match self.count_in_redis(key, rule, now).await {
            Ok(counted) => counted,
            Err(error) => {
                tracing::warn!(%error, "Redis does not count sign-in attempts; counting locally");
                self.count_locally(key, rule, now)
            }
        };
        match counted {
            Counted::Go => Ok(()),
            Counted::Wait(wait) => Err(Throttled(wait)),
        }
    }

    async fn count_in_redis(
        &self,
        key: &str,
        rule: Rule,
        now: Timestamp,
    ) -> Result<Counted, RedisError> {
        let (free, leaks) = rule.limits();
        let wait: u64 = COUNT
            .key(key)
            .arg(now.as_millis())
            .arg(free.map_or(-1, i64::from))
            .arg(millis(FIRST_WAIT))
            .arg(millis(self.window))
            .arg(i32::from(leaks))
            .invoke_async(&mut self.redis.connection())
            .await?;
        Ok(if wait > 0 { Counted::Wait(Duration::from_millis(wait)) } else { Counted::Go })
    }

    /// What the script does, here.
    fn count_locally(&self, key: &str, rule: Rule, now: Timestamp) -> Counted {
        let (free, leaks) = rule.limits();
        let mut verdict = Counted::Go;
        self.local.entry_by_ref(key).and_compute_with(|entry| {
            let fresh = Counter { count: 0.0, last: now, blocked_until: Timestamp::default() };
            let mut counter = entry
                .map(moka::Entry::into_value)
                .filter(|counter| now.since(counter.last.max(counter.blocked_until)) <= self.window)
                .unwrap_or(fresh);
            if free.is_some() && now < counter.blocked_until {
                verdict = Counted::Wait(counter.blocked_until.since(now));
                return Op::Nop;
            }
            if let (Some(free), true) = (free, leaks) {
                let share = now.since(counter.last).as_secs_f64() / self.window.as_secs_f64();
                counter.count = (counter.count - share * f64::from(free)).max(0.0);
            }
            counter.count += 1.0;
            counter.last = now;
            if let Some(beyond) = free.map(|free| counter.count - f64::from(free))
                && beyond >= 0.0
            {
                let wait = FIRST_WAIT.mul_f64(beyond.min(20.0).exp2()).min(self.window);
                counter.blocked_until = now.plus(wait);
            }
            Op::Put(counter)
        });
        verdict
    }
}

impl std::fmt::Debug for Throttle {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Throttle")
    }
}

impl Attempt {
    fn of(guess: Guess, account: &str, address: Option<IpAddr>) -> Self {
        // Hashed, since a stranger chooses the name: its length, and what it says about people.
        let account = SecretHash::of(account).to_base64url();
        let address = address.map_or_else(|| "unknown".to_owned(), network);
        let kind = guess.name();
        Self {
            pair: format!("haetae:throttle:{kind}:{account}:{address}"),
            address: format!("haetae:throttle:{kind}:{address}"),
            account: format!("haetae:throttle:{kind}:{account}"),
            known: format!("haetae:throttle:known:{account}:{address}"),
        }
    }
}

/// The network that an address counts for: itself, and for IPv6 the /64 that one household has.
pub(crate) fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Counts one attempt: the fields `n` (how many), `at` (when the last one was) and `until` (no further one
/// before that instant). Answers how long to wait; 0: it is counted, go on.
static COUNT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local now, free = tonumber(ARGV[1]), tonumber(ARGV[2])
        local first, window, leaks = tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5] == '1'
        local state = redis.call('HMGET', KEYS[1], 'n', 'at', 'until')
        local count = tonumber(state[1] or '0')
        local blocked = tonumber(state[3] or '0')
        if free >= 0 and now < blocked then return blocked - now end
        if leaks and state[2] then
            count = math.max(0, count - (now - tonumber(state[2])) * free / window)
        end
        count = count + 1
        redis.call('HSET', KEYS[1], 'n', tostring(count), 'at', ARGV[1])
        local keep = window
        if free >= 0 and count >= free then
            local wait = math.floor(math.min(first * 2 ^ math.min(count - free, 20), window))
            redis.call('HSET', KEYS[1], 'until', string.format('%.0f', now + wait))
            keep = window + wait
        end
        redis.call('PEXPIRE', KEYS[1], keep)
        return 0
        ",
    )
});

/// Takes one attempt back, and the wait that it caused.
static UNCOUNT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local count = tonumber(redis.call('HGET', KEYS[1], 'n') or '0')
        if count <= 1 then return redis.call('DEL', KEYS[1]) end
        redis.call('HDEL', KEYS[1], 'until')
        return redis.call('HSET', KEYS[1], 'n', tostring(count - 1))
        ",
    )
});

#[cfg(test)]
mod tests;
