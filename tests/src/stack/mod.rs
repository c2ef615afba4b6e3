//! One whole Haetae of one test: `haetae up --demo` in a temporary folder on free ports, with its parts in
//! reach: their process ids, Redis, the log.

mod demo;
mod extra;
mod faults;
mod instance;
mod options;

use std::{
    fmt::Write,
    fs::File,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tokio::sync::{Semaphore, SemaphorePermit};
use url::Url;

pub use self::{
    demo::{Demo, DemoClient, DemoUser},
    extra::Extra,
    faults::send_signal,
    instance::{Instance, Role, RoleProcess},
    options::{Database, Options},
};
use crate::{
    binary,
    postgres::{self, Databases},
    reaper,
    redis::Redis,
};

/// How many stacks run at the same moment: each is six processes.
static PLACES: Semaphore = Semaphore::const_new(4);

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
            let port = if options.keeps_ports { options::kept_port() } else { 0 };
            if options.keeps_ports && name == "GATEWAY__LISTEN" {
                let scheme = if options.https { "https" } else { "http" };
                set("PUBLIC_URL", format!("{scheme}://localhost:{port}"));
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
        if self.options.https {
            command.arg("--https");
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

    /// Resident memory of the process `pid` in KiB.
    pub fn resident_kib(pid: u32) -> u64 {
        let output = Command::new("ps").args(["-o", "rss=", "-p", &pid.to_string()]).output();
        let output = output.expect("ps starts");
        String::from_utf8_lossy(&output.stdout).trim().parse().unwrap_or(0)
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
