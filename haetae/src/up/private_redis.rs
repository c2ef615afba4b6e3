//! The private Redis of `up`: a `redis-server` on a Unix socket in the data folder, without a TCP port,
//! that keeps everything in an append-only file. It runs under a small process of its own that ends it
//! when `up` ends, however that happens.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::{ffi::OsStrExt, fs::DirBuilderExt},
    path::Path,
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};
use haetae_base::{secret::ExposeSecret, shutdown::Shutdown};
use haetae_config::Config;
use redis::aio::MultiplexedConnection;
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    process::{Child, Command},
    select, time,
};

use super::child::ReadyLine;
use crate::output;

/// The longest path of a Unix socket: 108 bytes on Linux, 104 elsewhere, with the closing zero.
const LONGEST_SOCKET_PATH: usize = 103;
/// Redis older than this lacks commands that Haetae uses.
const OLDEST_REDIS: u32 = 7;

/// Runs until standard input ends or SIGTERM.
pub(crate) async fn run(config: &Config, shutdown: Shutdown) -> Result<()> {
    let socket = config.redis_socket();
    let length = socket.as_os_str().as_bytes().len();
    if length > LONGEST_SOCKET_PATH {
        bail!(
            "the path {} is too long for a socket ({length} of at most {LONGEST_SOCKET_PATH} bytes); \
             choose a shorter --data-dir, or set redis.url",
            socket.display()
        );
    }
    end_left_behind(config, &socket).await?;
    let folder = config.in_data_dir("redis");
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;

    let mut server = start(config, &socket, &folder)?;
    let pid = server.id().unwrap_or_default();
    select! {
        ready = wait_until_ready(config) => ready?,
        status = server.wait() => bail!(
            "redis-server ended with {} at its start; {} says why. If it cannot read its own files: they \
             hold sign-ins only, so move {} away and start again; people sign in anew",
            status?,
            config.in_data_dir("logs/redis.log").display(),
            folder.display(),
        ),
        () = shutdown.requested() => return end(&mut server).await,
    }
    let line = ReadyLine { listen: None, admin: None, server_pid: Some(pid) };
    output::json(&line)?;
    select! {
        status = server.wait() => Err(anyhow!("redis-server ended with {}", status?)),
        () = shutdown.requested() => end(&mut server).await,
    }
}

fn start(config: &Config, socket: &Path, folder: &Path) -> Result<Child> {
    Command::new("redis-server")
        .args(["--port", "0", "--unixsocketperm", "700", "--unixsocket"])
        .arg(socket)
        .arg("--dir")
        .arg(folder)
        // Every write is in the file before the next event loop turn, so that it outlives the process;
        // the disk gets it within a second. What must outlive a power cut is in SQL.
        .args(["--appendonly", "yes", "--appendfsync", "everysec", "--save", ""])
        // A flood of sign-ins that nobody finishes must not take the whole machine.
        .arg("--maxmemory")
        .arg(config.redis.private_max_memory.bytes().to_string())
        .args(["--maxmemory-policy", "noeviction", "--daemonize", "no", "--loglevel", "notice"])
        .stdin(Stdio::null())
        .stdout(io::stderr())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => anyhow!(
                "redis-server is not installed; install it (Debian, Ubuntu: apt install \
                 redis-server; Fedora: dnf install redis; macOS: brew install redis), or set \
                 redis.url to a Redis that runs"
            ),
            _ => anyhow!("cannot start redis-server: {error}"),
        })
}

/// Ends a redis-server that an earlier run left behind when it was killed. It writes what it has.
async fn end_left_behind(config: &Config, socket: &Path) -> Result<()> {
    if !socket.exists() {
        return Ok(());
    }
    if let Ok(mut connection) = connect(config).await {
        let asked: redis::RedisResult<()> =
            redis::cmd("SHUTDOWN").query_async(&mut connection).await;
        // It answers by closing the connection, which is an error of its own kind.
        drop(asked);
        let mut tries = 0;
        while connect(config).await.is_ok() {
            tries += 1;
            if tries > 500 {
                bail!("a redis-server of an earlier run still uses {}; end it", socket.display());
            }
            time::sleep(Duration::from_millis(20)).await;
        }
    }
    match fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", socket.display()))
        }
        _ => Ok(()),
    }
}

/// Waits until Redis has read its file and answers, and checks that it is new enough.
async fn wait_until_ready(config: &Config) -> Result<()> {
    loop {
        if let Ok(mut connection) = connect(config).await {
            let pong: redis::RedisResult<String> =
                redis::cmd("PING").query_async(&mut connection).await;
            if pong.is_ok() {
                return check_version(&mut connection).await;
            }
        }
        time::sleep(Duration::from_millis(5)).await;
    }
}

async fn check_version(connection: &mut MultiplexedConnection) -> Result<()> {
    let info: String = redis::cmd("INFO").arg("server").query_async(connection).await?;
    let version = info.lines().find_map(|line| line.strip_prefix("redis_version:"));
    let version = version.unwrap_or_default().trim();
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_some_and(|major| major < OLDEST_REDIS) {
        bail!("redis-server {version} is too old; Haetae needs {OLDEST_REDIS}.0 or newer");
    }
    Ok(())
}

async fn connect(config: &Config) -> redis::RedisResult<MultiplexedConnection> {
    let client = redis::Client::open(config.redis_url().expose_secret())?;
    client.get_multiplexed_async_connection().await
}

/// Ends redis-server, which writes what it has first.
async fn end(server: &mut Child) -> Result<()> {
    let pid = server.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid {
        kill_process(pid, Signal::TERM)?;
    }
    server.wait().await?;
    Ok(())
}
