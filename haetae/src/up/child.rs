//! One role as a child of `up`: started with the settings that `up` resolved, its one ready line read
//! from standard output, its log kept, ended by a signal.

use std::{
    fmt,
    fs::{self, File},
    io::{Read, Seek, SeekFrom},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::Arc,
};

use anyhow::{Context, Result};
use haetae_config::Config;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, Command},
    sync::oneshot,
};

use crate::output;

/// A process that `up` runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Role {
    /// The private Redis and what watches it.
    Redis,
    Auth,
    Reservation,
    Worker,
    Gateway,
}

impl Role {
    /// All of them.
    pub(crate) const ALL: [Self; 5] =
        [Self::Redis, Self::Auth, Self::Reservation, Self::Worker, Self::Gateway];
    /// Those that serve people, which need Redis and the tables.
    pub(crate) const SERVING: [Self; 4] =
        [Self::Auth, Self::Reservation, Self::Worker, Self::Gateway];

    /// The role as people know it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Auth => "auth",
            Self::Reservation => "reservation",
            Self::Worker => "worker",
            Self::Gateway => "gateway",
        }
    }

    /// What its listener speaks.
    pub(crate) const fn scheme(self, config: &Config) -> &'static str {
        match self {
            Self::Gateway if config.gateway.tls.is_some() => "https",
            _ => "http",
        }
    }

    const fn command(self) -> &'static str {
        match self {
            Self::Redis => "private-redis",
            role => role.name(),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// What a role says on standard output, in one line of JSON, when it serves.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ReadyLine {
    /// Its own listener; the worker and Redis have none.
    pub(crate) listen: Option<SocketAddr>,
    /// Its admin listener; Redis has none.
    pub(crate) admin: Option<SocketAddr>,
    /// The process that does the work, when it is another than the one that says so: redis-server.
    pub(crate) server_pid: Option<u32>,
}

/// How children are started.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    pub(crate) config: Arc<Config>,
    pub(crate) config_file: Option<PathBuf>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) verbose: bool,
}

/// A running child. Its standard input stays open for as long as this lives: a role stops when it ends,
/// so that no role outlives an `up` that was killed.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) pid: u32,
    process: Child,
    /// Whether its own children are in a process group with it, and nobody else is.
    leads_group: bool,
    _stdin: Option<ChildStdin>,
    log: Log,
}

/// A log past this size is put aside (`ROLE.log.1`), so that the logs of one role never fill the disk.
const LARGE_LOG: u64 = 32 << 20;

/// What runs here, to be started again in another role: this very version, also when another one was put in its
/// place since (then Linux says "(deleted)" of the path).
fn own_executable() -> Result<PathBuf> {
    let path = std::env::current_exe().context("cannot find the own executable")?;
    let running = Path::new("/proc/self/exe");
    Ok(if !path.exists() && running.exists() { running.to_owned() } else { path })
}

impl Launch {
    /// Starts `role`. The ready line comes through the receiver; it closes when the role ends without.
    pub(crate) fn start(&self, role: Role) -> Result<(Running, oneshot::Receiver<ReadyLine>)> {
        let log = Log::open(&self.config.in_data_dir("logs").join(format!("{role}.log")))?;
        let mut command = Command::new(own_executable()?);
        command.arg(role.command()).arg("--supervised");
        if let Some(file) = &self.config_file {
            command.arg("--config").arg(file);
        }
        command
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(if self.verbose { Stdio::piped() } else { log.file()?.into() })
            .kill_on_drop(true);
        let leads_group = role == Role::Redis;
        if leads_group {
            // Out of reach of the terminal's Ctrl-C: the others need it until they have ended. (They
            // ignore that signal; redis-server would not.)
            command.process_group(0);
        }
        let mut process = command.spawn().with_context(|| format!("cannot start the {role}"))?;
        let (said, ready) = oneshot::channel();
        if let Some(stdout) = process.stdout.take() {
            tokio::spawn(read_ready_line(stdout, said));
        }
        if let Some(stderr) = process.stderr.take() {
            tokio::spawn(show(role, stderr, log.file()?));
        }
        let running = Running {
            pid: process.id().unwrap_or_default(),
            leads_group,
            _stdin: process.stdin.take(),
            process,
            log,
        };
        Ok((running, ready))
    }
}

impl Running {
    /// Waits until the process ends. May be given up and called again.
    pub(crate) async fn ended(&mut self) -> Result<ExitStatus> {
        Ok(self.process.wait().await?)
    }

    /// Asks the process to finish what it does and end.
    pub(crate) fn ask_to_end(&self) {
        if let Some(pid) = self.id() {
            // An error means that it has ended already.
            let _sent = kill_process(pid, Signal::TERM);
        }
    }

    /// Ends the process at once, and the redis-server that one of them runs with it.
    pub(crate) async fn kill(&mut self) {
        if let Some(pid) = self.id().filter(|_| self.leads_group) {
            // An error means that all of them have ended already.
            let _sent = kill_process_group(pid, Signal::KILL);
        }
        // An error means that it has ended already.
        let _killed = self.process.kill().await;
    }

    fn id(&self) -> Option<Pid> {
        i32::try_from(self.pid).ok().and_then(Pid::from_raw)
    }

    /// Puts the log aside when it has grown large.
    pub(crate) fn bound_log(&mut self) {
        self.log.bound();
    }

    /// The last thing that it said in its log since it was started.
    pub(crate) fn last_words(&self) -> Option<String> {
        self.log.last_line()
    }
}

async fn read_ready_line(stdout: impl AsyncRead + Unpin, said: oneshot::Sender<ReadyLine>) {
    let mut lines = BufReader::new(stdout).lines();
    if let Ok(Some(line)) = lines.next_line().await
        && let Ok(ready) = serde_json::from_str(&line)
    {
        // Nobody waits any more when `up` is stopping.
        let _sent = said.send(ready);
    }
    // Nothing else belongs there; reading on keeps the pipe from filling up.
    while let Ok(Some(_)) = lines.next_line().await {}
}

/// Copies a log to the file and, with the name of the role, to the terminal.
async fn show(role: Role, stderr: impl AsyncRead + Unpin, file: File) {
    let mut file = tokio::fs::File::from_std(file);
    let mut lines = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        output::note(format_args!("{role:<12}| {line}"));
        // A full disk must not stop the role: what cannot be written has been shown.
        let _written = file.write_all(format!("{line}\n").as_bytes()).await;
        let _flushed = file.flush().await;
    }
}

/// The log file of a role, and where this start begins in it.
#[derive(Debug)]
struct Log {
    path: PathBuf,
    file: File,
    start: u64,
}

impl Log {
    fn open(path: &Path) -> Result<Self> {
        let failed = || format!("cannot write {}", path.display());
        if fs::metadata(path).is_ok_and(|it| it.len() > LARGE_LOG) {
            fs::rename(path, aside(path)).with_context(failed)?;
        }
        let file = File::options().create(true).append(true).open(path).with_context(failed)?;
        let start = file.metadata().with_context(failed)?.len();
        Ok(Self { path: path.to_owned(), file, start })
    }

    fn file(&self) -> Result<File> {
        Ok(self.file.try_clone()?)
    }

    /// Puts a large log aside while its role goes on writing. The role has the file open and appends to it,
    /// so the lines are copied and the file is emptied; what it writes in between, a few lines, is lost.
    fn bound(&mut self) {
        if !self.file.metadata().is_ok_and(|it| it.len() > LARGE_LOG) {
            return;
        }
        // A copy that fails (a full disk) is no reason to let the log grow on.
        let _copied = fs::copy(&self.path, aside(&self.path));
        if self.file.set_len(0).is_ok() {
            self.start = 0;
        }
    }

    fn last_line(&self) -> Option<String> {
        const ENOUGH: u64 = 16 << 10;
        let mut file = File::open(&self.path).ok()?;
        let end = file.metadata().ok()?.len();
        file.seek(SeekFrom::Start(self.start.max(end.saturating_sub(ENOUGH)))).ok()?;
        let mut bytes = Vec::new();
        file.take(ENOUGH).read_to_end(&mut bytes).ok()?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let lines = || text.lines().map(str::trim_end).filter(|line| !line.is_empty());
        // A role says why it ends in a line that begins with the program's name. A panic says where in one
        // line, and why in the next.
        lines()
            .rev()
            .find_map(|line| line.strip_prefix("haetae: "))
            .or_else(|| lines().skip_while(|line| !line.contains(" panicked at ")).nth(1))
            .or_else(|| lines().next_back())
            .map(str::to_owned)
    }
}

fn aside(path: &Path) -> PathBuf {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".1");
    aside.into()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_last_words_are_those_of_this_start() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("auth.log");
        fs::write(&path, "haetae: an older error\n").expect("log");
        let log = Log::open(&path).expect("log");
        assert_eq!(log.last_line(), None);
        let mut file = log.file().expect("file");
        writeln!(file, "INFO begins\nINFO goes on\n").expect("write");
        assert_eq!(log.last_line().as_deref(), Some("INFO goes on"));
        writeln!(file, "\nthread 'main' (7) panicked at a.rs:1:2:\nno provider\nnote: run with")
            .expect("write");
        assert_eq!(log.last_line().as_deref(), Some("no provider"));
        writeln!(file, "haetae: the port is in use\nINFO something else").expect("write");
        assert_eq!(log.last_line().as_deref(), Some("the port is in use"));
    }

    #[test]
    fn a_large_log_is_put_aside() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("auth.log");
        File::create(&path).and_then(|file| file.set_len(LARGE_LOG + 1)).expect("log");
        let log = Log::open(&path).expect("log");
        assert_eq!(log.start, 0);
        assert!(folder.path().join("auth.log.1").exists());
    }

    #[test]
    fn a_log_that_grows_large_is_put_aside_while_it_is_written() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("gateway.log");
        fs::write(&path, "of an earlier start\n").expect("log");
        let mut log = Log::open(&path).expect("log");
        let mut role = log.file().expect("file");
        writeln!(role, "INFO begins").expect("write");
        log.bound();
        assert_eq!(log.last_line().as_deref(), Some("INFO begins"), "it is small");
        role.set_len(LARGE_LOG + 1).expect("grows");
        log.bound();
        writeln!(role, "haetae: the end").expect("write");
        assert_eq!(log.last_line().as_deref(), Some("the end"));
        let length = |name: &str| fs::metadata(folder.path().join(name)).expect("there").len();
        assert_eq!(length("gateway.log"), 16);
        assert_eq!(length("gateway.log.1"), LARGE_LOG + 1);
    }
}
