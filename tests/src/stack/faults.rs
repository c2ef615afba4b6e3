//! What a test does to a stack: signals, kills, a lost disk, a stop.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use super::{Instance, Role, Stack};
use crate::{reaper, wait};

impl Stack {
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

    /// Asks `up` to stop as an impatient person does: Ctrl-C, and once more when it says that it stops.
    pub async fn stop_at_once(&mut self) {
        let mut up = self.up.take().expect("it runs");
        let pid = up.id().to_string();
        send_signal("INT", &pid);
        wait::until_true("`up` begins to stop", Duration::from_secs(10), async || {
            self.log_tail(5).contains("stopping")
        })
        .await;
        send_signal("INT", &pid);
        wait::until("`up` ends at once", Duration::from_secs(5), async || {
            up.try_wait().expect("it can be asked")
        })
        .await;
        reaper::drop_group(up.id());
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
