//! Keeping the children running: a task for each starts it, starts it again with growing pauses when it
//! dies, and ends it. The supervisor hears of all of them and decides.

use std::{
    collections::BTreeMap,
    fs,
    future::{self, Future},
    process::ExitStatus,
    sync::Arc,
    time::Duration,
};

use anyhow::{Result, anyhow};
use haetae_base::{
    clock::{Clock, SystemClock},
    secret::ExposeSecret,
};
use haetae_config::Config;
use tokio::{
    select,
    signal::unix::{Signal, SignalKind, signal},
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time,
};
use tokio_util::sync::CancellationToken;

use super::{
    child::{Launch, ReadyLine, Role, Running},
    instance::{Instance, RunningRole, without_password},
    probe,
};
use crate::output;

/// How often a role that crashes before it was ever ready is started again.
const FIRST_TRIES: u32 = 3;
/// How long a role may take from its start until it is ready: a large database may have to be read.
const READY_WITHIN: Duration = Duration::from_mins(5);
/// How long the gateway finishes what is short before the reservation API is asked to end what is long: event streams
/// have no end of their own, and would keep both open until the gateway cuts them off.
const SHORT_REQUESTS: Duration = Duration::from_secs(1);
/// How long a role that serves may lack something that it needs before it is taken as it is.
const WHOLE_WITHIN: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(10);
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A role that lived this long starts with the shortest pause again.
const STABLE: Duration = Duration::from_mins(1);
/// How often the logs are looked at.
const LOGS_BOUNDED: Duration = Duration::from_secs(10);
/// How long a role may take to end, beyond the time that the gateway gives requests.
const END_WITHIN: Duration = Duration::from_secs(10);

/// The person's wish to stop.
#[derive(Debug)]
pub(crate) struct Stop {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Option<Signal>,
}

impl Stop {
    /// Listens to Ctrl-C, SIGTERM and a terminal that closes; to the last not under `nohup`.
    pub(crate) fn on_signals() -> Result<Self> {
        let hang_up = (!outlives_terminal()).then(|| signal(SignalKind::hangup())).transpose()?;
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up,
        })
    }

    async fn wished(&mut self) {
        let hang_up = async {
            match &mut self.hang_up {
                Some(signal) => signal.recv().await,
                None => future::pending().await,
            }
        };
        select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = hang_up => {}
        }
    }
}

/// Whether this process was started to ignore the end of its terminal, as `nohup` does. Known on Linux.
fn outlives_terminal() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // SIGHUP is signal 1: the lowest bit.
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|it| it & 1 == 1)
}

/// What a child's task tells.
#[derive(Debug)]
enum Event {
    Ready {
        role: Role,
        pid: u32,
        line: ReadyLine,
    },
    /// It died and is started again after the pause.
    Died {
        role: Role,
        how: String,
        pause: Duration,
    },
    /// It cannot be started.
    GaveUp {
        role: Role,
        how: String,
    },
}

#[derive(Debug)]
struct Kept {
    end: CancellationToken,
    task: JoinHandle<()>,
}

/// All children.
#[derive(Debug)]
pub(crate) struct Supervisor {
    launch: Arc<Launch>,
    stop: Stop,
    kept: BTreeMap<Role, Kept>,
    ready: BTreeMap<Role, (u32, ReadyLine)>,
    kill: CancellationToken,
    tell: mpsc::Sender<Event>,
    hear: mpsc::Receiver<Event>,
    /// Whether Redis can be started on: no other role starts while the private one is away.
    redis: watch::Sender<bool>,
}

impl Supervisor {
    /// A supervisor without children.
    pub(crate) fn new(launch: Launch, stop: Stop) -> Self {
        let (tell, hear) = mpsc::channel(16);
        Self {
            launch: Arc::new(launch),
            stop,
            kept: BTreeMap::new(),
            ready: BTreeMap::new(),
            kill: CancellationToken::new(),
            tell,
            hear,
            redis: watch::Sender::new(true),
        }
    }

    /// Starts `role` and keeps it running.
    pub(crate) fn start(&mut self, role: Role) {
        let end = CancellationToken::new();
        self.note_redis(role, false);
        let keeper = Keeper {
            role,
            launch: self.launch.clone(),
            end: end.clone(),
            kill: self.kill.clone(),
            tell: self.tell.clone(),
            redis: (role != Role::Redis).then(|| self.redis.subscribe()),
        };
        self.kept.insert(role, Kept { end, task: tokio::spawn(keeper.keep()) });
    }

    fn note_redis(&self, role: Role, ready: bool) {
        if role == Role::Redis {
            self.redis.send_replace(ready);
        }
    }

    /// Whether every role that was started is ready.
    pub(crate) fn all_ready(&self) -> bool {
        self.kept.keys().all(|role| self.ready.contains_key(role))
    }

    /// Waits for the next thing to happen. `false` when it is the wish to stop.
    ///
    /// # Errors
    /// When a role cannot be started.
    pub(crate) async fn step(&mut self) -> Result<bool> {
        let event = select! {
            event = self.hear.recv() => event,
            () = self.stop.wished() => return Ok(false),
        };
        match event {
            Some(Event::Ready { role, pid, line }) => {
                self.ready.insert(role, (pid, line));
                self.note_redis(role, true);
                Ok(true)
            }
            Some(Event::Died { role, how, pause }) => {
                self.ready.remove(&role);
                self.note_redis(role, false);
                output::note(format_args!(
                    "{role} {how}; starting it again in {:.1} s",
                    pause.as_secs_f64()
                ));
                Ok(true)
            }
            Some(Event::GaveUp { role, how }) => {
                self.ready.remove(&role);
                Err(anyhow!("{role}: {how}"))
            }
            // Cannot be: `tell` lives as long as this.
            None => Ok(false),
        }
    }

    /// Waits until every role that was started is ready. `false` when the wish to stop comes first.
    ///
    /// # Errors
    /// When a role cannot be started.
    pub(crate) async fn until_ready(&mut self) -> Result<bool> {
        while !self.all_ready() {
            if !self.step().await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Does `work` while the children run. `None` when the wish to stop comes first.
    ///
    /// # Errors
    /// Those of `work`, or when a role cannot be started.
    pub(crate) async fn beside<T>(
        &mut self,
        work: impl Future<Output = Result<T>>,
    ) -> Result<Option<T>> {
        tokio::pin!(work);
        loop {
            select! {
                done = &mut work => return done.map(Some),
                proceed = self.step() => if !proceed? { return Ok(None) },
            }
        }
    }

    /// Keeps everything running until the wish to stop.
    ///
    /// # Errors
    /// When a role cannot be started.
    pub(crate) async fn watch(&mut self, config: &Config) -> Result<()> {
        loop {
            let before = self.ready.len();
            if !self.step().await? {
                return Ok(());
            }
            if self.all_ready() && self.ready.len() > before {
                self.instance(config).write(&config.data_dir)?;
                output::note("all roles are ready again");
            }
        }
    }

    /// What runs now.
    pub(crate) fn instance(&self, config: &Config) -> Instance {
        let roles = self.ready.iter().filter_map(|(role, (pid, line))| {
            let role_line = RunningRole { pid: *pid, listen: line.listen, admin: line.admin? };
            Some((role.name().to_owned(), role_line))
        });
        let redis = self.ready.get(&Role::Redis);
        Instance {
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            public_url: config.public_origin(),
            roles: roles.collect(),
            redis_pid: redis.and_then(|(_, line)| line.server_pid),
            redis_socket: redis.map(|_| config.redis_socket()),
            redis_url: without_password(config.redis_url().expose_secret()),
            auth_database_url: without_password(config.auth_database_url().expose_secret()),
            reservation_database_url: without_password(
                config.reservation_database_url().expose_secret(),
            ),
        }
    }

    /// Ends everything: the gateway first, so that requests under way still find the services, then the
    /// services, Redis last. Only the reservation API is asked earlier, because it knows how to end its event
    /// streams well. A second wish to stop kills what is left.
    pub(crate) async fn end(mut self) {
        if !self.ready.is_empty() {
            output::note("stopping …");
        }
        let mut kept = std::mem::take(&mut self.kept);
        let streams = kept.get(&Role::Reservation).map(|kept| kept.end.clone());
        let short_requests = time::sleep(SHORT_REQUESTS);
        tokio::pin!(short_requests);
        for stage in [
            &[Role::Gateway][..],
            &[Role::Auth, Role::Reservation, Role::Worker][..],
            &[Role::Redis][..],
        ] {
            let ending: Vec<Kept> = stage.iter().filter_map(|role| kept.remove(role)).collect();
            for kept in &ending {
                kept.end.cancel();
            }
            for Kept { mut task, .. } in ending {
                loop {
                    select! {
                        _ended = &mut task => break,
                        () = self.stop.wished() => self.kill.cancel(),
                        () = &mut short_requests, if !short_requests.is_elapsed() => {
                            if let Some(streams) = &streams {
                                streams.cancel();
                            }
                        }
                        // A task that tells something must not wait for somebody to listen.
                        _ignored = self.hear.recv() => {}
                    }
                }
            }
        }
    }
}

/// Keeps one role running.
struct Keeper {
    role: Role,
    launch: Arc<Launch>,
    end: CancellationToken,
    kill: CancellationToken,
    tell: mpsc::Sender<Event>,
    /// Whether Redis is there; none for Redis itself.
    redis: Option<watch::Receiver<bool>>,
}

/// How one run of a role went.
enum Run {
    /// It was told to end.
    Ended,
    /// It died. Whether it had been ready, and whether it ended by itself with an error that it told.
    Died { how: String, was_ready: bool, told: bool },
}

impl Keeper {
    async fn keep(mut self) {
        let clock = SystemClock;
        let mut pause = SHORTEST_PAUSE;
        let mut ever_ready = false;
        let mut tries = 0;
        loop {
            // Without it the role would end at once, and wait longer each time.
            if let Some(redis) = &mut self.redis {
                select! {
                    // An error means that the supervisor is gone, which ends this task too.
                    _there = redis.wait_for(|there| *there) => {}
                    () = self.end.cancelled() => return,
                }
            }
            let began = clock.now();
            let (how, was_ready, told) = match self.run_once().await {
                Ok(Run::Ended) => return,
                Ok(Run::Died { how, was_ready, told }) => (how, was_ready, told),
                Err(error) => (format!("{error:#}"), false, true),
            };
            ever_ready |= was_ready;
            tries += 1;
            if !ever_ready && (told || tries >= FIRST_TRIES) {
                self.tell(Event::GaveUp { role: self.role, how }).await;
                return;
            }
            if clock.now().since(began) >= STABLE {
                pause = SHORTEST_PAUSE;
            }
            self.tell(Event::Died { role: self.role, how, pause }).await;
            select! {
                () = time::sleep(pause) => {}
                () = self.end.cancelled() => return,
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn run_once(&self) -> Result<Run> {
        let (mut child, ready) = self.launch.start(self.role)?;
        let was_ready = select! {
            line = serving(ready) => match line {
                Some(line) => {
                    self.tell(Event::Ready { role: self.role, pid: child.pid, line }).await;
                    true
                }
                None => false,
            },
            () = self.end.cancelled() => {
                self.finish(&mut child).await;
                return Ok(Run::Ended);
            }
            () = time::sleep(READY_WITHIN) => {
                child.kill().await;
                let how = format!("was not ready after {} s", READY_WITHIN.as_secs());
                return Ok(Run::Died { how, was_ready: false, told: false });
            }
        };
        loop {
            select! {
                status = child.ended() => {
                    let status = status?;
                    let (how, told) = describe(status, child.last_words(), was_ready);
                    return Ok(Run::Died { how, was_ready, told });
                }
                () = self.end.cancelled() => {
                    self.finish(&mut child).await;
                    return Ok(Run::Ended);
                }
                () = time::sleep(LOGS_BOUNDED) => child.bound_log(),
            }
        }
    }

    /// Asks the child to end and waits, not for ever.
    async fn finish(&self, child: &mut Running) {
        child.ask_to_end();
        let longest = self.launch.config.gateway.drain.get() + END_WITHIN;
        select! {
            _status = child.ended() => return,
            () = time::sleep(longest) => {
                output::note(format_args!("{} does not end; killing it", self.role));
            }
            () = self.kill.cancelled() => {}
        }
        child.kill().await;
    }

    async fn tell(&self, event: Event) {
        // Nobody listens any more when `up` itself has failed.
        let _told = self.tell.send(event).await;
    }
}

/// Waits until a role serves, and then until what it needs is there too (`/readyz`), though not for ever:
/// a role that serves without one of its parts is better than none. `None` when it ends before.
async fn serving(ready: oneshot::Receiver<ReadyLine>) -> Option<ReadyLine> {
    let line = ready.await.ok()?;
    if let Some(admin) = line.admin {
        let whole = async {
            while !probe::is_ready(admin).await {
                time::sleep(LOOK_AGAIN).await;
            }
        };
        // Either way it serves.
        let _whole_in_time = time::timeout(WHOLE_WITHIN, whole).await;
    }
    Some(line)
}

/// How a role died, and whether it told why itself.
fn describe(status: ExitStatus, last_words: Option<String>, was_ready: bool) -> (String, bool) {
    // What it logged last says nothing about a signal.
    let last_words = last_words.filter(|_| status.code().is_some());
    let words = last_words.map(|words| format!(": {words}")).unwrap_or_default();
    // Exit status 1 is an error that the role tells in plain words.
    if status.code() == Some(1) && !was_ready && !words.is_empty() {
        return (words.trim_start_matches(": ").to_owned(), true);
    }
    (format!("ended unexpectedly ({status}){words}"), false)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    #[test]
    fn an_error_that_a_role_tells_at_its_start_is_the_error() {
        let status = |code: i32| ExitStatus::from_raw(code << 8);
        let words = || Some("cannot listen".to_owned());
        assert_eq!(describe(status(1), words(), false), ("cannot listen".to_owned(), true));
        let (how, told) = describe(status(1), words(), true);
        assert_eq!(how, "ended unexpectedly (exit status: 1): cannot listen");
        assert!(!told);
        let (how, told) = describe(ExitStatus::from_raw(9), words(), false);
        assert_eq!(how, "ended unexpectedly (signal: 9 (SIGKILL))");
        assert!(!told);
    }
}
