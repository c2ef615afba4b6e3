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
use rustix::process::{Pid, Signal, kill_process};
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
    _stdin: Option<ChildStdin>,
    log: Log,
}

/// A log past this size is put aside (`ROLE.log.1`) when its role starts.
const LARGE_LOG: u64 = 32 << 20;

impl Launch {
    /// Starts `role`. The ready line comes through the receiver; it closes when the role ends without.
    pub(crate) fn start(&self, role: Role) -> Result<(Running, oneshot::Receiver<ReadyLine>)> {
        let log = Log::open(&self.config.in_data_dir("logs").join(format!("{role}.log")))?;
        let program = std::env::current_exe().context("cannot find the own executable")?;
        let mut command = Command::new(program);
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
        if role == Role::Redis {
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
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // An error means that it has ended already.
            let _sent = kill_process(pid, Signal::TERM);
        }
    }

    /// Ends the process at once.
    pub(crate) async fn kill(&mut self) {
        // An error means that it has ended already.
        let _killed = self.process.kill().await;
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
            let mut aside = path.as_os_str().to_owned();
            aside.push(".1");
            fs::rename(path, aside).with_context(failed)?;
        }
        let file = File::options().create(true).append(true).open(path).with_context(failed)?;
        let start = file.metadata().with_context(failed)?.len();
        Ok(Self { path: path.to_owned(), file, start })
    }

    fn file(&self) -> Result<File> {
        Ok(self.file.try_clone()?)
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
        // A role says why it ends in a line that begins with the program's name.
        lines()
            .rev()
            .find_map(|line| line.strip_prefix("haetae: "))
            .or_else(|| lines().next_back())
            .map(str::to_owned)
    }
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
}
