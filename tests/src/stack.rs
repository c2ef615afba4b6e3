//! One whole Haetae of one test: `haetae up --demo` in a temporary folder on free ports, with its parts in
//! reach: their process ids, Redis, the log.

use std::{
    collections::BTreeMap,
    fmt::Write,
    fs::File,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    time::{Duration, Instant},
};

use serde::Deserialize;
use tempfile::TempDir;
use tokio::sync::{Semaphore, SemaphorePermit};
use url::Url;

use crate::{
    binary,
    postgres::{self, Databases},
    reaper,
    redis::Redis,
    wait,
};

/// How many stacks run at the same moment: each is six processes.
static PLACES: Semaphore = Semaphore::const_new(4);

/// Where a stack keeps its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Database {
    /// Files in the data folder.
    Sqlite,
    /// Two fresh databases of the run's own cluster.
    Postgres,
}

/// How a stack is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where rows are kept.
    pub database: Database,
    /// Whether `--demo` fills it.
    pub demo: bool,
    /// Settings by environment: `("GATEWAY__ACCESS_LOG", "false")` sets `gateway.access_log`.
    pub settings: Vec<(String, String)>,
    /// A configuration file, TOML.
    pub config: Option<String>,
    /// Fixed ports instead of port 0, for a test that stops the stack and starts it again: outside of the
    /// range that the system hands out, so that nobody takes them meanwhile.
    pub keeps_ports: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            database: Database::Sqlite,
            demo: true,
            settings: Vec::new(),
            config: None,
            keeps_ports: false,
        }
    }
}

impl Options {
    /// On `database`, else as usual.
    pub fn on(database: Database) -> Self {
        Self { database, ..Self::default() }
    }

    /// With `name` (as in `GATEWAY__ACCESS_LOG`) set to `value`.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With the configuration file `text`.
    #[must_use]
    pub fn config(mut self, text: &str) -> Self {
        self.config = Some(text.to_owned());
        self
    }

    /// With ports that a restart keeps.
    #[must_use]
    pub fn keeping_ports(mut self) -> Self {
        self.keeps_ports = true;
        self
    }
}

/// What `DIR/instance.json` says.
#[derive(Clone, Debug, Deserialize)]
pub struct Instance {
    /// The address for everyone.
    pub public_url: Url,
    /// The process of `up`.
    pub pid: u32,
    /// The roles by name.
    pub roles: BTreeMap<String, RoleProcess>,
    /// The private Redis.
    pub redis_pid: Option<u32>,
}

/// One running role.
#[derive(Clone, Debug, Deserialize)]
pub struct RoleProcess {
    /// Its process.
    pub pid: u32,
    /// Where it serves.
    pub listen: Option<SocketAddr>,
    /// Its metrics, health and readiness.
    pub admin: SocketAddr,
}

/// What `DIR/demo.json` says.
#[derive(Clone, Debug, Deserialize)]
pub struct Demo {
    /// The address for everyone.
    pub public_url: Url,
    /// The example users.
    pub users: Vec<DemoUser>,
    /// The example clients.
    pub clients: Vec<DemoClient>,
}

/// An example user.
#[derive(Clone, Debug, Deserialize)]
pub struct DemoUser {
    /// For the field `username`.
    pub username: String,
    /// For the field `password`.
    pub password: String,
    /// `admin` or nothing.
    pub roles: Vec<String>,
}

/// An example client.
#[derive(Clone, Debug, Deserialize)]
pub struct DemoClient {
    /// Its identifier.
    pub client_id: String,
    /// Its secret, when it is confidential.
    pub client_secret: Option<String>,
    /// Where it may be returned to.
    pub redirect_uris: Vec<String>,
    /// What it may ask the token endpoint for.
    pub grant_types: Vec<String>,
    /// What it may ask for.
    pub scopes: Vec<String>,
}

impl Demo {
    /// The user `name`.
    pub fn user(&self, name: &str) -> &DemoUser {
        self.users.iter().find(|user| user.username == name).expect(name)
    }

    /// The client `id`.
    pub fn client(&self, id: &str) -> &DemoClient {
        self.clients.iter().find(|client| client.client_id == id).expect(id)
    }
}

/// A role, by its command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// `haetae gateway`
    Gateway,
    /// `haetae auth`
    Auth,
    /// `haetae reservation`
    Reservation,
    /// `haetae worker`
    Worker,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Gateway, Self::Auth, Self::Reservation, Self::Worker];

    /// As in the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Auth => "auth",
            Self::Reservation => "reservation",
            Self::Worker => "worker",
        }
    }
}

/// A running stack. Ends with all its processes and files when it is dropped.
#[derive(Debug)]
pub struct Stack {
    folder: TempDir,
    options: Options,
    environment: Vec<(String, String)>,
    databases: Option<Databases>,
    up: Option<Child>,
    instance: Option<Instance>,
    demo: Option<Demo>,
    /// From the start of the last `up` to its readiness.
    pub start_time: Duration,
    _place: SemaphorePermit<'static>,
}

impl Stack {
    /// Starts one and waits until every role is ready.
    pub async fn start(options: Options) -> Self {
        let place = PLACES.acquire().await.expect("never closed");
        let databases = match options.database {
            Database::Sqlite => None,
            Database::Postgres => Some(postgres::databases().await),
        };
        let mut stack = Self::prepare(options, databases, place);
        stack.start_up().await;
        stack
    }

    fn prepare(
        options: Options,
        databases: Option<Databases>,
        place: SemaphorePermit<'static>,
    ) -> Self {
        let folder = tempfile::Builder::new().prefix("haetae-test-").tempdir().expect("a folder");
        let mut environment = Vec::new();
        let mut set = |name: &str, value: String| {
            environment.push((format!("HAETAE__{name}"), value));
        };
        for name in [
            "GATEWAY__LISTEN",
            "GATEWAY__ADMIN__LISTEN",
            "AUTH__LISTEN",
            "AUTH__ADMIN__LISTEN",
            "RESERVATION__LISTEN",
            "RESERVATION__ADMIN__LISTEN",
            "WORKER__ADMIN__LISTEN",
        ] {
            let port = if options.keeps_ports { kept_port() } else { 0 };
            if options.keeps_ports && name == "GATEWAY__LISTEN" {
                set("PUBLIC_URL", format!("http://localhost:{port}"));
            }
            set(name, format!("127.0.0.1:{port}"));
        }
        if let Some(databases) = &databases {
            set("DATABASE__AUTH_URL", databases.auth.clone());
            set("DATABASE__RESERVATION_URL", databases.reservation.clone());
            set("DATABASE__MAX_CONNECTIONS", "8".to_owned());
        }
        for (name, value) in &options.settings {
            set(name, value.clone());
        }
        if let Some(text) = &options.config {
            std::fs::write(folder.path().join("haetae.toml"), text).expect("a file can be written");
        }
        Self {
            folder,
            options,
            environment,
            databases,
            up: None,
            instance: None,
            demo: None,
            start_time: Duration::ZERO,
            _place: place,
        }
    }

    /// Starts `up` (again) on the same data and waits until every role is ready.
    pub async fn start_up(&mut self) {
        assert!(self.up.is_none(), "it runs already");
        let log = File::options().create(true).append(true).open(self.log_path()).expect("a log");
        let mut command = Command::new(binary::path());
        binary::clean(&mut command);
        command.arg("up").arg("--data-dir").arg(self.data_dir());
        if self.options.demo {
            command.arg("--demo");
        }
        if self.options.config.is_some() {
            command.arg("--config").arg(self.config_path());
        }
        command
            .envs(self.environment.iter().cloned())
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file handle"))
            .stderr(log);
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let start = Instant::now();
        let up = command.spawn().expect("haetae starts");
        let pid = up.id();
        reaper::add_group(pid);
        self.up = Some(up);
        let path = self.data_dir().join("instance.json");
        let instance = loop {
            let found = std::fs::read(&path)
                .ok()
                .and_then(|bytes| serde_json::from_slice::<Instance>(&bytes).ok())
                .filter(|instance| instance.pid == pid);
            if let Some(instance) = found {
                break instance;
            }
            let ended = self.up.as_mut().and_then(|up| up.try_wait().expect("it can be asked"));
            if let Some(status) = ended {
                self.up = None;
                reaper::drop_group(pid);
                panic!("`haetae up` ended with {status}:\n{}", self.log_tail(60));
            }
            assert!(
                start.elapsed() < Duration::from_mins(2),
                "not ready after two minutes:\n{}",
                self.log_tail(60)
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        self.start_time = start.elapsed();
        self.instance = Some(instance);
        if self.options.demo {
            let bytes = std::fs::read(self.data_dir().join("demo.json")).expect("demo.json");
            self.demo = Some(serde_json::from_slice(&bytes).expect("demo.json as designed"));
        }
    }

    /// The data folder.
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The folder of this test, for files of its own.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The configuration file, when the options have one.
    pub fn config_path(&self) -> PathBuf {
        self.folder.path().join("haetae.toml")
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("up.log")
    }

    /// Every log, `up`'s own first, by name.
    pub fn logs(&self) -> Vec<(String, String)> {
        let read = |path: &Path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let bytes = std::fs::read(path).unwrap_or_default();
            (name, String::from_utf8_lossy(&bytes).into_owned())
        };
        let mut logs = vec![read(&self.log_path())];
        let folder = std::fs::read_dir(self.data_dir().join("logs"));
        logs.extend(folder.into_iter().flatten().flatten().map(|entry| read(&entry.path())));
        logs
    }

    /// The last `lines` lines of each log.
    pub fn log_tail(&self, lines: usize) -> String {
        let mut text = String::new();
        for (name, log) in self.logs() {
            let all: Vec<&str> = log.lines().collect();
            let tail = all[all.len().saturating_sub(lines)..].join("\n");
            let _infallible = writeln!(text, "== {name}\n{tail}");
        }
        text
    }

    /// What `instance.json` says at this moment.
    pub fn instance(&self) -> Instance {
        let bytes = std::fs::read(self.data_dir().join("instance.json")).unwrap_or_default();
        serde_json::from_slice(&bytes)
            .ok()
            .or_else(|| self.instance.clone())
            .expect("the stack was started")
    }

    /// The address for everyone.
    pub fn public_url(&self) -> &Url {
        &self.instance.as_ref().expect("the stack was started").public_url
    }

    /// The address of `path` for everyone.
    pub fn url(&self, path: &str) -> Url {
        self.public_url().join(path).expect("an address")
    }

    /// Where the gateway accepts.
    pub fn gateway(&self) -> SocketAddr {
        self.process(Role::Gateway).listen.expect("the gateway listens")
    }

    /// An address of the admin listener of `role`.
    pub fn admin_url(&self, role: Role, path: &str) -> Url {
        let admin = self.process(role).admin;
        Url::parse(&format!("http://{admin}{path}")).expect("an address")
    }

    /// An address of `role` itself, past the gateway.
    pub fn direct_url(&self, role: Role) -> Url {
        let listen = self.process(role).listen.expect("this role listens");
        Url::parse(&format!("http://{listen}")).expect("an address")
    }

    /// The process of `role` as it was at the start.
    pub fn process(&self, role: Role) -> &RoleProcess {
        let instance = self.instance.as_ref().expect("the stack was started");
        instance.roles.get(role.name()).expect("every role is in instance.json")
    }

    /// The process id of `role` at this moment.
    pub fn pid(&self, role: Role) -> u32 {
        self.instance().roles.get(role.name()).expect("every role is in instance.json").pid
    }

    /// What `--demo` made.
    pub fn demo(&self) -> &Demo {
        self.demo.as_ref().expect("the stack was started with --demo")
    }

    /// The PostgreSQL databases of this stack.
    pub fn databases(&self) -> &Databases {
        self.databases.as_ref().expect("the stack is on PostgreSQL")
    }

    /// The private Redis of this stack.
    pub fn redis(&self) -> Redis {
        Redis::new(&self.data_dir().join("redis.sock"))
    }

    /// Runs the command line beside the running stack, with its data and settings.
    pub async fn cli(&self, arguments: &[&str]) -> binary::Finished {
        let data_dir = self.data_dir();
        let mut all: Vec<&std::ffi::OsStr> = arguments.iter().map(std::ffi::OsStr::new).collect();
        all.extend([std::ffi::OsStr::new("--data-dir"), data_dir.as_os_str()]);
        let config = self.config_path();
        if self.options.config.is_some() {
            all.extend([std::ffi::OsStr::new("--config"), config.as_os_str()]);
        }
        let environment: Vec<_> =
            self.environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        binary::run_in(self.folder.path(), &all, &environment).await
    }

    /// Starts one more process of `role` beside the one of `up`, as production would: on the same data,
    /// Redis and keys, at an address of its own.
    pub async fn one_more(&self, role: Role) -> Extra {
        let mut command = Command::new(binary::path());
        binary::clean(&mut command);
        let log = File::options().create(true).append(true).open(self.log_path()).expect("a log");
        let redis = format!("redis+unix://{}", self.data_dir().join("redis.sock").display());
        command
            .arg(role.name())
            .arg("--data-dir")
            .arg(self.data_dir())
            .envs(self.environment.iter().cloned())
            .env("HAETAE__PUBLIC_URL", self.public_url().as_str().trim_end_matches('/'))
            .env("HAETAE__REDIS__URL", redis);
        for other in Role::ALL {
            let process = self.process(other);
            let name = other.name().to_uppercase();
            let address =
                if other == role { "127.0.0.1:0".to_owned() } else { process.admin.to_string() };
            command.env(format!("HAETAE__{name}__ADMIN__LISTEN"), address);
            if let Some(listen) = process.listen {
                let address =
                    if other == role { "127.0.0.1:0".to_owned() } else { listen.to_string() };
                command.env(format!("HAETAE__{name}__LISTEN"), address);
            }
        }
        if self.options.config.is_some() {
            command.arg("--config").arg(self.config_path());
        }
        command
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log);
        let mut child = tokio::process::Command::from(command)
            .kill_on_drop(true)
            .spawn()
            .expect("haetae starts");
        let output = child.stdout.take().expect("piped");
        let mut lines = tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(output));
        let first = tokio::time::timeout(Duration::from_secs(30), lines.next_line()).await;
        let line = first.expect("one more is ready").expect("text").unwrap_or_default();
        assert!(line.contains("is ready"), "{line}\n{}", self.log_tail(30));
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        // `gateway is ready  http://127.0.0.1:1  (admin http://127.0.0.1:2)`
        let address =
            line.split_whitespace().find_map(|word| word.strip_prefix("http://")?.parse().ok());
        Extra { child, address }
    }

    /// Takes the files of the stopped or killed Redis away: its disk is gone.
    pub fn delete_redis_data(&self) {
        let mut deleted = 0;
        for folder in [self.data_dir(), self.data_dir().join("redis")] {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                let removed = if name.starts_with("appendonly") && entry.path().is_dir() {
                    std::fs::remove_dir_all(entry.path())
                } else if name.starts_with("appendonly") || name.contains(".rdb") {
                    std::fs::remove_file(entry.path())
                } else {
                    continue;
                };
                removed.expect("the files of Redis can be deleted");
                deleted += 1;
            }
        }
        assert!(deleted > 0, "no files of Redis in {}", self.data_dir().display());
    }

    /// Sends `signal` (`KILL`, `STOP`, `CONT`, `TERM`) to `role`.
    pub fn signal(&self, role: Role, signal: &str) {
        send_signal(signal, &self.pid(role).to_string());
    }

    /// Kills `role` and waits until `up` has put another in its place that is ready.
    pub async fn kill_and_await_return(&self, role: Role) {
        let old = self.pid(role);
        send_signal("KILL", &old.to_string());
        self.await_return(role, old).await;
    }

    /// Waits until another process than `old` plays `role` and is ready.
    pub async fn await_return(&self, role: Role, old: u32) {
        let http = crate::agent::http();
        let ready = self.admin_url(role, "/readyz");
        wait::until_true(
            &format!("{} is started again", role.name()),
            Duration::from_mins(1),
            async || {
                self.pid(role) != old
                    && http.get(ready.clone()).send().await.is_ok_and(|it| it.status() == 200)
            },
        )
        .await;
    }

    /// The answer of `/readyz` of `role`: 0 when there is none.
    pub async fn readiness(&self, role: Role) -> u16 {
        let response = crate::agent::http().get(self.admin_url(role, "/readyz")).send().await;
        response.map_or(0, |response| response.status().as_u16())
    }

    /// The sum of all series of the metric `name` of `role` whose labels contain `labels`.
    pub async fn metric(&self, role: Role, name: &str, labels: &str) -> f64 {
        let response = crate::agent::http().get(self.admin_url(role, "/metrics")).send().await;
        let text = response.expect("metrics").text().await.expect("text");
        text.lines()
            .filter(|line| {
                line.strip_prefix(name)
                    .is_some_and(|rest| rest.starts_with(['{', ' ']) && rest.contains(labels))
            })
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
            .sum()
    }

    /// Ends `up` and everything under it with SIGKILL, as a power cut would.
    pub fn kill_everything(&mut self) {
        if let Some(mut up) = self.up.take() {
            // Redis has a process group of its own, out of reach of a terminal's Ctrl-C.
            let redis = std::fs::read(self.data_dir().join("instance.json"))
                .ok()
                .and_then(|bytes| serde_json::from_slice::<Instance>(&bytes).ok())
                .and_then(|instance| instance.redis_pid)
                .map(process_group);
            send_signal("KILL", &format!("-{}", up.id()));
            if let Some(group) = redis.filter(|group| *group > 1) {
                send_signal("KILL", &format!("-{group}"));
            }
            let _status = up.wait();
            reaper::drop_group(up.id());
        }
    }

    /// Ends `up` alone with SIGKILL; its children must notice by themselves.
    pub fn kill_up_alone(&mut self) {
        if let Some(mut up) = self.up.take() {
            send_signal("KILL", &up.id().to_string());
            let _status = up.wait();
        }
    }

    /// Asks `up` to stop (SIGTERM) and returns its exit status and how long it took.
    pub async fn stop(&mut self) -> (Option<i32>, Duration) {
        let mut up = self.up.take().expect("it runs");
        let start = Instant::now();
        send_signal("TERM", &up.id().to_string());
        let status = wait::until("`up` stops", Duration::from_mins(1), async || {
            up.try_wait().expect("it can be asked")
        })
        .await;
        reaper::drop_group(up.id());
        (status.code(), start.elapsed())
    }

    /// Resident memory of the process `pid` in KiB.
    pub fn resident_kib(pid: u32) -> u64 {
        let output = Command::new("ps").args(["-o", "rss=", "-p", &pid.to_string()]).output();
        let output = output.expect("ps starts");
        String::from_utf8_lossy(&output.stdout).trim().parse().unwrap_or(0)
    }
}

/// A role that a test started beside those of `up`; ends when it is dropped.
#[derive(Debug)]
pub struct Extra {
    child: tokio::process::Child,
    address: Option<SocketAddr>,
}

impl Extra {
    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// The address of `path` at this one.
    pub fn url(&self, path: &str) -> Url {
        let address = self.address.expect("it listens");
        Url::parse(&format!("http://{address}{path}")).expect("an address")
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- log of the stack\n{}\n---", self.log_tail(40));
        }
        self.kill_everything();
    }
}

/// Sends a signal to a process, or to a group when `pid` starts with `-`.
pub fn send_signal(signal: &str, pid: &str) {
    let _status =
        Command::new("kill").args(["-s", signal, "--", pid]).stderr(Stdio::null()).status();
}

/// The process group of `pid`, 0 when there is no such process.
fn process_group(pid: u32) -> u32 {
    let output = Command::new("ps").args(["-o", "pgid=", "-p", &pid.to_string()]).output();
    let output = output.expect("ps starts");
    String::from_utf8_lossy(&output.stdout).trim().parse().unwrap_or(0)
}

/// A port below the range of ephemeral ports, not given out before in this run.
fn kept_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let base = 18_000 + u16::try_from(std::process::id() % 100).expect("below 100") * 120;
    loop {
        let port = base + NEXT.fetch_add(1, Ordering::Relaxed);
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
