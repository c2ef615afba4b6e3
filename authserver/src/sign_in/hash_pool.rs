//! The one place where passwords are hashed: a fixed number of threads that keep their Argon2 memory,
//! behind a bounded queue. A flood of sign-ins costs latency and then a refusal, never memory.

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
};

use argon2::{
    Algorithm, Argon2, Block, Params, Version,
    password_hash::phc::{Output, ParamsString, PasswordHash, Salt},
};
use haetae_base::{
    entropy,
    secret::{ExposeSecret, SecretString, constant_time_eq},
};
use tokio::sync::oneshot;

/// The largest memory that a stored hash may ask for, in KiB: a row that asks for more is broken.
const MOST_MEMORY_KIB: u32 = 1 << 18;
/// The most passes that a stored hash may ask for.
const MOST_ITERATIONS: u32 = 16;
/// The length of a hash that is made here, in bytes.
const HASH_LENGTH: usize = 32;
/// The length of a salt that is made here, in bytes.
const SALT_LENGTH: usize = 16;

/// How passwords are hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashCost {
    /// Memory of one hash, in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub iterations: u32,
    /// Lanes.
    pub parallelism: u32,
}

/// A hash that could not be computed.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// The queue is full. The caller answers 503 with `Retry-After`.
    #[error("too many passwords wait to be hashed")]
    Busy,
    /// The pool has stopped.
    #[error("the password hashing threads have stopped")]
    Stopped,
    /// The cost is outside what Argon2 allows.
    #[error("auth.password: Argon2 refuses this cost: {0}")]
    Cost(argon2::Error),
    /// A stored hash is not an Argon2id PHC string within the limits.
    #[error("a stored password hash cannot be read")]
    Unreadable,
    /// The threads could not be started.
    #[error("cannot start the password hashing threads: {0}")]
    Start(#[from] io::Error),
}

/// What comparing a password with a stored hash says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is the password, and the hash has today's cost.
    Right,
    /// It is the password, and the hash was made with another cost: hash it again and store it.
    RightButOutdated,
    /// It is not the password, or there is none.
    Wrong,
}

/// The hashing threads. Clones share them; they end when the last clone is dropped.
#[derive(Clone)]
pub struct HashPool(SyncSender<Job>);

enum Work {
    Hash,
    Verify { stored: Option<String> },
}

enum Done {
    Hashed(String),
    Verified(Verdict),
}

struct Job {
    password: SecretString,
    work: Work,
    reply: oneshot::Sender<Result<Done, HashError>>,
}

impl HashPool {
    /// Starts `threads` threads (at least one), each with its memory allocated, and a queue for `queue`
    /// passwords that wait.
    ///
    /// # Errors
    /// [`HashError::Cost`] when Argon2 refuses the cost, [`HashError::Start`] when the system gives no
    /// thread.
    pub fn start(cost: HashCost, threads: usize, queue: usize) -> Result<Self, HashError> {
        let params = cost.params()?;
        let (sender, receiver) = sync_channel(queue.max(1));
        let receiver = Arc::new(Mutex::new(receiver));
        for index in 0..threads.max(1) {
            let jobs = Arc::clone(&receiver);
            let mut worker = Hasher::new(params.clone());
            thread::Builder::new()
                .name(format!("password-{index}"))
                .spawn(move || worker.serve(&jobs))?;
        }
        Ok(Self(sender))
    }

    /// Hashes a new password to a PHC string with a random salt.
    ///
    /// # Errors
    /// [`HashError::Busy`] when the queue is full.
    pub async fn hash(&self, password: SecretString) -> Result<String, HashError> {
        match self.submit(password, Work::Hash).await? {
            Done::Hashed(phc) => Ok(phc),
            Done::Verified(_) => Err(HashError::Stopped),
        }
    }

    /// Compares a password with a stored PHC string. Without one (no such account, or an account without
    /// a password) it costs the same time and is [`Verdict::Wrong`].
    ///
    /// # Errors
    /// [`HashError::Busy`] when the queue is full, [`HashError::Unreadable`] when the stored hash is not
    /// one of ours.
    pub async fn verify(
        &self,
        password: SecretString,
        stored: Option<String>,
    ) -> Result<Verdict, HashError> {
        match self.submit(password, Work::Verify { stored }).await? {
            Done::Verified(verdict) => Ok(verdict),
            Done::Hashed(_) => Err(HashError::Stopped),
        }
    }

    async fn submit(&self, password: SecretString, work: Work) -> Result<Done, HashError> {
        let (reply, answer) = oneshot::channel();
        self.0.try_send(Job { password, work, reply }).map_err(|refused| match refused {
            TrySendError::Full(_) => {
                metrics::counter!("haetae_auth_password_hash_refused_total").increment(1);
                HashError::Busy
            }
            TrySendError::Disconnected(_) => HashError::Stopped,
        })?;
        answer.await.map_err(|_| HashError::Stopped)?
    }
}

impl std::fmt::Debug for HashPool {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("HashPool")
    }
}

/// Hashes one password on the calling thread, for the command line. Blocks for the cost of a hash.
///
/// # Errors
/// [`HashError::Cost`] when Argon2 refuses the cost.
pub fn hash_now(cost: HashCost, password: &SecretString) -> Result<String, HashError> {
    Hasher::new(cost.params()?).hash(password)
}

impl HashCost {
    fn params(self) -> Result<Params, HashError> {
        Params::new(self.memory_kib, self.iterations, self.parallelism, Some(HASH_LENGTH))
            .map_err(HashError::Cost)
    }
}

/// One thread's cost and memory.
struct Hasher {
    params: Params,
    memory: Vec<Block>,
}

impl Hasher {
    fn new(params: Params) -> Self {
        let memory = vec![Block::new(); params.block_count()];
        Self { params, memory }
    }

    fn serve(&mut self, jobs: &Mutex<Receiver<Job>>) {
        loop {
            // Idle threads wait for the lock, one of them for the next password.
            let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(job) = next else { return };
            // Nobody waits any more: the connection is gone, so the work would be for nothing.
            if job.reply.is_closed() {
                continue;
            }
            let done = match job.work {
                Work::Hash => self.hash(&job.password).map(Done::Hashed),
                Work::Verify { stored } => {
                    self.verify(&job.password, stored.as_deref()).map(Done::Verified)
                }
            };
            metrics::counter!("haetae_auth_password_hash_total").increment(1);
            // The receiver may have gone in the meantime; then nobody misses the answer.
            drop(job.reply.send(done));
        }
    }

    fn hash(&mut self, password: &SecretString) -> Result<String, HashError> {
        let salt = entropy::bytes::<SALT_LENGTH>();
        let params = self.params.clone();
        let output = self.compute(password, &salt, params.clone(), HASH_LENGTH)?;
        let phc = PasswordHash {
            algorithm: Algorithm::Argon2id.ident(),
            version: Some(Version::V0x13.into()),
            params: ParamsString::try_from(&params).map_err(|_| HashError::Unreadable)?,
            salt: Some(Salt::new(&salt).map_err(|_| HashError::Unreadable)?),
            hash: Some(Output::new(&output).map_err(|_| HashError::Unreadable)?),
        };
        Ok(phc.to_string())
    }

    fn verify(
        &mut self,
        password: &SecretString,
        stored: Option<&str>,
    ) -> Result<Verdict, HashError> {
        let Some(stored) = stored else {
            // The same work as for an account that exists, and its result is thrown away.
            let params = self.params.clone();
            self.compute(password, &[0; SALT_LENGTH], params, HASH_LENGTH)?;
            return Ok(Verdict::Wrong);
        };
        let stored = Stored::parse(stored).ok_or(HashError::Unreadable)?;
        let output =
            self.compute(password, &stored.salt, stored.params.clone(), stored.hash.len())?;
        Ok(match constant_time_eq(&output, &stored.hash) {
            false => Verdict::Wrong,
            true if stored.is_current(&self.params) => Verdict::Right,
            true => Verdict::RightButOutdated,
        })
    }

    fn compute(
        &mut self,
        password: &SecretString,
        salt: &[u8],
        params: Params,
        length: usize,
    ) -> Result<Vec<u8>, HashError> {
        let own = self.params.block_count();
        let needed = params.block_count();
        if needed > own {
            self.memory.resize(needed, Block::new());
        }
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let mut output = vec![0; length];
        let blocks = self.memory.get_mut(..needed).ok_or(HashError::Unreadable)?;
        let computed = argon2.hash_password_into_with_memory(
            password.expose_secret().as_bytes(),
            salt,
            &mut output,
            blocks,
        );
        // A hash from a time of a higher cost borrowed more than this thread keeps.
        self.memory.truncate(own);
        self.memory.shrink_to_fit();
        computed.map_err(HashError::Cost)?;
        Ok(output)
    }
}

/// A stored hash, checked against the limits before anything is allocated for it.
struct Stored {
    params: Params,
    salt: Vec<u8>,
    hash: Vec<u8>,
}

impl Stored {
    fn parse(phc: &str) -> Option<Self> {
        let parsed = PasswordHash::new(phc).ok()?;
        if parsed.algorithm != Algorithm::Argon2id.ident() || parsed.version != Some(0x13) {
            return None;
        }
        let params = Params::try_from(&parsed).ok()?;
        if params.m_cost() > MOST_MEMORY_KIB || params.t_cost() > MOST_ITERATIONS {
            return None;
        }
        let salt = parsed.salt?.to_vec();
        let hash = parsed.hash?.as_bytes().to_vec();
        Some(Self { params, salt, hash })
    }

    fn is_current(&self, params: &Params) -> bool {
        self.params.m_cost() == params.m_cost()
            && self.params.t_cost() == params.t_cost()
            && self.params.p_cost() == params.p_cost()
            && self.hash.len() == HASH_LENGTH
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: HashCost = HashCost { memory_kib: 64, iterations: 1, parallelism: 1 };

    fn secret(text: &str) -> SecretString {
        text.to_owned().into()
    }

    #[tokio::test]
    async fn the_password_is_recognised_and_no_other() {
        let pool = HashPool::start(CHEAP, 2, 8).expect("starts");
        let phc = pool.hash(secret("a long passphrase")).await.expect("hashes");
        assert!(phc.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{phc}");
        let right = pool.verify(secret("a long passphrase"), Some(phc.clone())).await;
        assert_eq!(right.expect("verifies"), Verdict::Right);
        let wrong = pool.verify(secret("a long passphrasf"), Some(phc)).await;
        assert_eq!(wrong.expect("verifies"), Verdict::Wrong);
        let nobody = pool.verify(secret("a long passphrase"), None).await;
        assert_eq!(nobody.expect("verifies"), Verdict::Wrong);
    }

    #[tokio::test]
    async fn two_hashes_of_one_password_differ() {
        let pool = HashPool::start(CHEAP, 1, 8).expect("starts");
        let first = pool.hash(secret("same")).await.expect("hashes");
        assert_ne!(first, pool.hash(secret("same")).await.expect("hashes"));
    }

    #[tokio::test]
    async fn a_hash_of_another_cost_is_recognised_as_outdated() {
        let before = HashCost { memory_kib: 256, iterations: 2, parallelism: 2 };
        let phc = hash_now(before, &secret("unchanged")).expect("hashes");
        let pool = HashPool::start(CHEAP, 1, 8).expect("starts");
        let verdict = pool.verify(secret("unchanged"), Some(phc)).await.expect("verifies");
        assert_eq!(verdict, Verdict::RightButOutdated);
    }

    #[tokio::test]
    async fn a_stored_hash_that_asks_for_too_much_is_refused_before_it_is_computed() {
        let pool = HashPool::start(CHEAP, 1, 8).expect("starts");
        let salt_and_hash = "c29tZXNhbHQ$RdescudvJCsgt3ub+b4dWRWJTmaaJObG";
        for phc in [
            format!("$argon2id$v=19$m=4194304,t=1,p=1${salt_and_hash}"),
            format!("$argon2id$v=19$m=64,t=4000000,p=1${salt_and_hash}"),
            format!("$argon2i$v=19$m=64,t=1,p=1${salt_and_hash}"),
            "plaintext".to_owned(),
            String::new(),
        ] {
            let answer = pool.verify(secret("x"), Some(phc.clone())).await;
            assert!(matches!(answer, Err(HashError::Unreadable)), "{phc}: {answer:?}");
        }
    }

    #[tokio::test]
    async fn a_flood_is_refused_at_once_and_the_rest_is_served() {
        let slow = HashCost { memory_kib: 8192, iterations: 4, parallelism: 1 };
        let pool = HashPool::start(slow, 1, 4).expect("starts");
        let flood = (0..64).map(|_| pool.hash(secret("flood")));
        let answers = futures::future::join_all(flood).await;
        let served = answers.iter().filter(|answer| answer.is_ok()).count();
        let busy = answers.iter().filter(|answer| matches!(answer, Err(HashError::Busy))).count();
        assert_eq!(served + busy, 64);
        assert!((1..=8).contains(&served), "{served} served");
        assert!(pool.hash(secret("afterwards")).await.is_ok());
    }

    #[test]
    fn the_cost_must_be_one_that_argon2_allows() {
        let nothing = HashCost { memory_kib: 1, iterations: 0, parallelism: 1 };
        assert!(matches!(HashPool::start(nothing, 1, 1), Err(HashError::Cost(_))));
    }
}
