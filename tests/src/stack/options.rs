//! How a stack is started.

use std::sync::atomic::{AtomicU16, Ordering};

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
    /// Whether `--https` serves it.
    pub https: bool,
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
            https: false,
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

    /// Over https, with the development CA that it makes.
    #[must_use]
    pub fn https(mut self) -> Self {
        self.https = true;
        self
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

/// A port below the range of ephemeral ports, not given out before in this run.
pub(super) fn kept_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let base = 18_000 + u16::try_from(std::process::id() % 100).expect("below 100") * 120;
    loop {
        let port = base + NEXT.fetch_add(1, Ordering::Relaxed);
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
