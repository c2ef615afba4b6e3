//! One throw-away PostgreSQL cluster for a whole run of the tests, started when the first test wants it,
//! and a database of its own for each test.

use std::{
    io::{BufRead, BufReader},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use tokio::sync::OnceCell;

/// The guard of the cluster: makes it, serves it in the background, and removes all of it when its standard
/// input ends, which is when the tests end, however they end.
const SCRIPT: &str = r#"
set -eu
trap '' INT TERM HUP
bin=$1 port=$2
dir=$(mktemp -d "${TMPDIR:-/tmp}/haetae-postgres.XXXXXX")
"$bin/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-sync >"$dir/log" 2>&1 ||
  "$bin/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --no-sync >"$dir/log" 2>&1
"$bin/postgres" -D "$dir/data" -h 127.0.0.1 -p "$port" -k "$dir" \
  -c max_connections=400 -c fsync=on -c shared_buffers=64MB >>"$dir/log" 2>&1 </dev/null &
server=$!
until "$bin/pg_isready" -q -h 127.0.0.1 -p "$port"; do
  kill -0 "$server" || { cat "$dir/log" >&2; exit 1; }
  sleep 0.05
done
echo ready
while read -r _; do :; done
kill -INT "$server"
wait "$server" || true
rm -rf "$dir"
"#;

/// The cluster of this run.
struct Cluster {
    bin: PathBuf,
    port: u16,
    /// When its standard input closes, the cluster ends.
    _guard: std::process::Child,
}

static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();
static DATABASES: AtomicU32 = AtomicU32::new(0);

/// The addresses of two fresh databases.
#[derive(Clone, Debug)]
pub struct Databases {
    /// For `database.auth_url`.
    pub auth: String,
    /// For `database.reservation_url`.
    pub reservation: String,
    port: u16,
    names: [String; 2],
}

/// Makes two databases, empty, for one test.
pub async fn databases() -> Databases {
    let cluster = CLUSTER.get_or_init(async || {
        tokio::task::spawn_blocking(start).await.expect("the cluster starts")
    });
    let cluster = cluster.await;
    let number = DATABASES.fetch_add(1, Ordering::Relaxed);
    let names = [format!("auth_{number}"), format!("reservation_{number}")];
    for name in &names {
        cluster.sql("postgres", &format!("CREATE DATABASE {name}")).await;
    }
    let url = |name: &str| format!("postgres://postgres@127.0.0.1:{}/{name}", cluster.port);
    Databases { auth: url(&names[0]), reservation: url(&names[1]), port: cluster.port, names }
}

impl Databases {
    /// Takes both databases away: refuses new connections and ends the old ones.
    pub async fn go_away(&self) {
        for name in &self.names {
            let cluster = CLUSTER.get().expect("these databases came from it");
            cluster
                .sql("postgres", &format!("ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false"))
                .await;
            cluster
                .sql(
                    "postgres",
                    &format!(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
                    ),
                )
                .await;
        }
    }

    /// Brings them back.
    pub async fn come_back(&self) {
        for name in &self.names {
            let cluster = CLUSTER.get().expect("these databases came from it");
            cluster
                .sql("postgres", &format!("ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true"))
                .await;
        }
    }

    /// The port of the cluster.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Runs `statement` in the reservation database and returns its rows as text.
    pub async fn reservation_sql(&self, statement: &str) -> String {
        CLUSTER.get().expect("these databases came from it").sql(&self.names[1], statement).await
    }
}

impl Cluster {
    async fn sql(&self, database: &str, statement: &str) -> String {
        let output = tokio::process::Command::new(self.bin.join("psql"))
            .args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", "postgres", "-p"])
            .arg(self.port.to_string())
            .args(["-d", database, "-c", statement])
            .output()
            .await
            .expect("psql starts");
        assert!(
            output.status.success(),
            "{statement}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

fn start() -> Cluster {
    let bin = programs();
    let port = free_port();
    // PostgreSQL refuses to run as root.
    let am_root =
        Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.starts_with(b"0\n"));
    let mut command = if am_root {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--", "sh"]);
        command
    } else {
        Command::new("sh")
    };
    let mut guard = command
        .args(["-c", SCRIPT, "sh"])
        .arg(&bin)
        .arg(port.to_string())
        .current_dir("/")
        .env_remove("TMPDIR")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a shell starts");
    let mut line = String::new();
    let output = guard.stdout.take().expect("piped");
    let read = BufReader::new(output).read_line(&mut line).expect("its output can be read");
    if read == 0 || line != "ready\n" {
        let _status = guard.wait();
        panic!("PostgreSQL does not start (scripts/setup test installs it): {line}");
    }
    Cluster { bin, port, _guard: guard }
}

/// Where `initdb`, `postgres` and `psql` are; Debian keeps them out of `PATH`.
pub fn programs() -> PathBuf {
    let mut folders: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("bin"))
        .collect();
    folders.sort();
    folders.reverse();
    folders.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    folders
        .into_iter()
        .find(|folder: &PathBuf| Path::new(folder).join("initdb").exists())
        .expect("PostgreSQL is installed (scripts/setup test does it)")
}

/// A port that nobody listens on at this moment.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("it is bound").port()
}
