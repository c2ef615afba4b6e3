//! A real Redis for one test: on a Unix socket in a temporary folder, gone with the test.

use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use haetae_base::redis::Redis;
use redis::aio::MultiplexedConnection;
use tempfile::TempDir;

pub(crate) struct TestRedis {
    folder: TempDir,
    child: Option<Child>,
}

impl TestRedis {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut redis = Self { folder, child: None };
        redis.restart().await;
        redis
    }

    /// Starts the server, with what its append-only file has.
    pub(crate) async fn restart(&mut self) {
        let child = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "yes"])
            .args(["--appendfsync", "always", "--daemonize", "no"])
            .arg("--unixsocket")
            .arg(self.socket())
            .arg("--dir")
            .arg(self.folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        self.child = Some(child);
        for _ in 0..500 {
            if let Ok(mut connection) = self.try_raw().await
                && redis::cmd("PING").query_async::<()>(&mut connection).await.is_ok()
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("redis-server does not answer");
    }

    /// Ends the server at once, as a crash does.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("it can be killed");
            child.wait().expect("it ends");
        }
    }

    /// Ends the server and throws its data away.
    pub(crate) fn kill_and_wipe(&mut self) {
        self.kill();
        std::fs::remove_dir_all(self.folder.path().join("appendonlydir")).expect("it had data");
    }

    /// Stops the server without closing its connections: it hangs.
    pub(crate) fn freeze(&self) {
        self.signal("-STOP");
    }

    pub(crate) fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.as_ref().expect("it runs").id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().expect("kill runs").success());
    }

    pub(crate) async fn connect(&self) -> Redis {
        let url = format!("redis+unix://{}", self.socket().display());
        Redis::connect(&url.into(), Duration::from_secs(1)).await.expect("it answers")
    }

    /// A connection that knows nothing of Haetae.
    pub(crate) async fn raw(&self) -> MultiplexedConnection {
        self.try_raw().await.expect("it answers")
    }

    async fn try_raw(&self) -> redis::RedisResult<MultiplexedConnection> {
        self.client().get_multiplexed_async_connection().await
    }

    pub(crate) fn client(&self) -> redis::Client {
        let url = format!("redis+unix://{}", self.socket().display());
        redis::Client::open(url).expect("a URL")
    }

    /// Everything that the server holds, as a thief of its files would read it.
    pub(crate) async fn dump(&self) -> Vec<u8> {
        let mut connection = self.raw().await;
        let mut dump = Vec::new();
        for key in self.keys().await {
            dump.extend_from_slice(key.as_bytes());
            let kind: String =
                redis::cmd("TYPE").arg(&key).query_async(&mut connection).await.expect("a type");
            let read: redis::Value = match kind.as_str() {
                "hash" => redis::cmd("HGETALL").arg(&key).query_async(&mut connection).await,
                "zset" => {
                    redis::cmd("ZRANGE").arg(&key).arg(0).arg(-1).query_async(&mut connection).await
                }
                "string" => redis::cmd("GET").arg(&key).query_async(&mut connection).await,
                other => panic!("a {other} is not known here"),
            }
            .expect("it can be read");
            flatten(&read, &mut dump);
        }
        dump
    }

    pub(crate) async fn keys(&self) -> Vec<String> {
        redis::cmd("KEYS").arg("*").query_async(&mut self.raw().await).await.expect("keys")
    }

    /// The keys that would stay for ever.
    pub(crate) async fn keys_without_end(&self) -> Vec<String> {
        let mut connection = self.raw().await;
        let mut endless = Vec::new();
        for key in self.keys().await {
            let live: i64 =
                redis::cmd("PTTL").arg(&key).query_async(&mut connection).await.expect("a time");
            if live < 0 {
                endless.push(key);
            }
        }
        endless
    }

    /// Takes every byte that is used for one too many, as a Redis with `maxmemory-policy noeviction` does.
    pub(crate) async fn fill_up(&self) {
        self.set_maxmemory("1").await;
    }

    /// Has memory again.
    pub(crate) async fn have_room(&self) {
        self.set_maxmemory("0").await;
    }

    async fn set_maxmemory(&self, bytes: &str) {
        let mut raw = self.raw().await;
        let mut set = redis::cmd("CONFIG");
        set.arg("SET").arg("maxmemory").arg(bytes);
        set.exec_async(&mut raw).await.expect("it is set");
    }

    /// No longer waits for the disk: for measurements, and not where a crash is to come.
    pub(crate) async fn forgetful(&self) {
        let mut raw = self.raw().await;
        for (setting, value) in [("appendonly", "no"), ("appendfsync", "no")] {
            redis::cmd("CONFIG")
                .arg("SET")
                .arg(setting)
                .arg(value)
                .query_async::<()>(&mut raw)
                .await
                .expect("set");
        }
    }

    /// What the server says a command has cost it on average.
    pub(crate) async fn cost_of(&self, command: &str) -> String {
        let stats: String = redis::cmd("INFO")
            .arg("commandstats")
            .query_async(&mut self.raw().await)
            .await
            .expect("stats");
        let line = stats.lines().find(|line| line.contains(&format!("cmdstat_{command}:")));
        line.and_then(|line| line.split(',').nth(2)).unwrap_or("unknown").to_owned()
    }

    pub(crate) async fn flush(&self) {
        redis::cmd("FLUSHALL").query_async::<()>(&mut self.raw().await).await.expect("flushed");
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }
}

impl Drop for TestRedis {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // SIGKILL works on a frozen one too.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn flatten(value: &redis::Value, into: &mut Vec<u8>) {
    match value {
        redis::Value::BulkString(bytes) => into.extend_from_slice(bytes),
        redis::Value::Array(values) => values.iter().for_each(|value| flatten(value, into)),
        redis::Value::Map(pairs) => pairs.iter().for_each(|(key, value)| {
            flatten(key, into);
            flatten(value, into);
        }),
        _ => {}
    }
}

/// Whether `secret` can be read in `dump`.
pub(crate) fn shows(dump: &[u8], secret: &str) -> bool {
    dump.windows(secret.len()).any(|window| window == secret.as_bytes())
}
