//! The Helm chart: what it renders holds together, and what its pods are given is enough to run on.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use haetae_tests::{
    agent::{self, Agent},
    binary,
    postgres::{self, free_port},
    wait,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Runs `tests/helm/chart.py` and returns what it prints.
async fn chart(arguments: &[&str]) -> String {
    let root = binary::source_root();
    let output = tokio::process::Command::new(root.join("target/venv-helm/bin/python"))
        .arg(root.join("tests/helm/chart.py"))
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(Duration::from_mins(2), output)
        .await
        .expect("it ends")
        .expect("Python (scripts/setup test installs it)");
    let (out, error) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{error}");
    out.into_owned()
}

#[tokio::test]
#[cfg_attr(
    all(target_os = "linux", target_arch = "aarch64"),
    ignore = "helm-python-sdk has no build for this machine"
)]
async fn renders_what_a_cluster_takes() {
    let out = chart(&["check"]).await;
    // Every step that the script announces was reached.
    for step in [
        "lint",
        "schemas",
        "references",
        "security",
        "secrets",
        "upstreams",
        "stopping",
        "policies",
        "monitoring",
        "roll-out",
        "overrides",
        "refusals",
        "notes",
        "documentation",
        "negative controls",
    ] {
        assert!(out.lines().any(|line| line.starts_with(step)), "{step} is missing:\n{out}");
    }
}

/// One pod as the chart makes it.
#[derive(Debug, Deserialize)]
struct Pod {
    args: Vec<String>,
    working_dir: String,
    /// Text by path.
    files: BTreeMap<String, String>,
    /// Key of a Secret by path.
    secrets: BTreeMap<String, String>,
    ports: BTreeMap<String, u16>,
    /// Port and path by the name of the probe.
    probes: BTreeMap<String, (u16, String)>,
}

/// A cluster of one machine: a folder a pod instead of its file system, free ports instead of addresses.
struct Cluster {
    folder: TempDir,
    pods: BTreeMap<String, Pod>,
    /// The free port that stands for a port of the chart.
    ports: BTreeMap<u16, u16>,
}

impl Cluster {
    /// The pods of `values`, with `secrets` by key.
    async fn new(values: &Value, gateway: u16, secrets: &BTreeMap<&str, String>) -> Self {
        let pods: BTreeMap<String, Pod> =
            serde_json::from_str(&chart(&["pods", &values.to_string()]).await).unwrap();
        let all = pods.values().flat_map(|pod| pod.ports.values());
        let mut ports: BTreeMap<u16, u16> = all.map(|port| (*port, free_port())).collect();
        ports.insert(pods["gateway"].ports["http"], gateway);
        let cluster = Self { folder: tempfile::tempdir().unwrap(), pods, ports };
        for (role, pod) in &cluster.pods {
            let write = |path: &str, text: &str| {
                let path = cluster.inside(role, path);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, text).unwrap();
            };
            for (path, text) in &pod.files {
                write(path, &cluster.here(role, text));
            }
            for (path, key) in &pod.secrets {
                write(path, &secrets[key.as_str()]);
            }
        }
        cluster
    }

    /// A path of a pod, here.
    fn inside(&self, role: &str, path: &str) -> PathBuf {
        self.folder.path().join(role).join(path.trim_start_matches('/'))
    }

    /// The text of a pod's file with the paths, addresses and ports of this machine.
    fn here(&self, role: &str, text: &str) -> String {
        let secrets = self.inside(role, "/run/secrets/");
        let mut text = text.replace("/run/secrets/", secrets.join("").to_str().unwrap());
        for (port, free) in &self.ports {
            let listens = format!("\"127.0.0.1:{free}\"");
            text = text.replace(&format!("\"0.0.0.0:{port}\""), &listens);
            for service in ["auth", "auth-pods", "reservation", "reservation-pods"] {
                text = text.replace(&format!("\"demo-haetae-{service}:{port}\""), &listens);
            }
        }
        text
    }

    /// The command of a pod.
    fn command(&self, role: &str) -> Vec<String> {
        let configuration = self.inside(role, "/etc/haetae");
        let here = |word: &String| word.replace("/etc/haetae", configuration.to_str().unwrap());
        self.pods[role].args.iter().map(here).collect()
    }

    /// Where its commands run.
    fn working_dir(&self, role: &str) -> PathBuf {
        self.inside(role, &self.pods[role].working_dir)
    }

    /// Starts a pod that goes on.
    fn start(&self, role: &str) -> tokio::process::Child {
        binary::start_in(&self.working_dir(role), &self.command(role), &[])
    }

    /// Runs a command in a pod to its end, as `kubectl exec` does.
    async fn run_in(&self, role: &str, command: &[&str]) -> binary::Finished {
        binary::run_in(&self.working_dir(role), command, &[]).await
    }

    /// What a probe of a pod is answered.
    async fn probe(&self, role: &str, name: &str) -> Option<u16> {
        let (port, path) = &self.pods[role].probes[name];
        let url = format!("http://127.0.0.1:{}{path}", self.ports[port]);
        agent::http().get(url).send().await.ok().map(|answer| answer.status().as_u16())
    }
}

/// A Redis on a socket in `folder`.
async fn redis(folder: &Path) -> (tokio::process::Child, String) {
    let socket = folder.join("redis.sock");
    let server = tokio::process::Command::new("redis-server")
        .args(["--port", "0", "--save", "", "--unixsocket"])
        .arg(&socket)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("redis-server (scripts/setup installs it)");
    wait::until_true("Redis listens", Duration::from_secs(30), async || socket.exists()).await;
    (server, format!("redis+unix://{}", socket.display()))
}

#[tokio::test]
#[cfg_attr(
    all(target_os = "linux", target_arch = "aarch64"),
    ignore = "helm-python-sdk has no build for this machine"
)]
async fn its_pods_run_on_what_they_are_given() {
    const ROLES: [&str; 4] = ["auth", "reservation", "worker", "gateway"];
    let databases = postgres::databases().await;
    let folder = tempfile::tempdir().unwrap();
    let (mut redis, redis_url) = redis(folder.path()).await;
    let secrets = BTreeMap::from([
        ("master-key", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8".to_owned()),
        ("gateway-client-secret", "a secret of the gateway, long enough".to_owned()),
        ("auth-database-url", databases.auth.clone()),
        ("reservation-database-url", databases.reservation.clone()),
        ("redis-url", redis_url),
    ]);
    let gateway = free_port();
    let public_url = format!("http://localhost:{gateway}");
    let values =
        json!({ "publicUrl": public_url, "config": { "database": { "max_connections": 4 } } });
    let cluster = Cluster::new(&values, gateway, &secrets).await;

    // Before the migration a role says what is missing and ends: nothing takes a half-made installation for whole.
    let early = binary::run_in(&cluster.working_dir("auth"), &cluster.command("auth"), &[]).await;
    assert!(early.refused().contains("haetae migrate"));
    let migrated =
        binary::run_in(&cluster.working_dir("migrate"), &cluster.command("migrate"), &[]).await;
    migrated.ok();

    let running = ROLES.map(|role| cluster.start(role));
    for role in ROLES {
        for name in ["startupProbe", "readinessProbe", "livenessProbe"] {
            wait::until_true(&format!("{name} of {role}"), Duration::from_mins(1), async || {
                cluster.probe(role, name).await == Some(200)
            })
            .await;
        }
    }

    // The command of the notes, and a sign-in through the gateway with the account that it made.
    let created =
        cluster.run_in("auth", &["user", "create", "ann", "--role", "admin", "--json"]).await.ok();
    let created: Value = serde_json::from_str(&created).unwrap();
    let agent = Agent::new();
    let page = agent.open(format!("{public_url}/session/login?return_to=/reservations")).await;
    let form =
        page.form_with("password").unwrap_or_else(|| panic!("{}: {}", page.url, page.text()));
    let form = form.with("username", "ann").with("password", created["password"].as_str().unwrap());
    let page = agent.submit(&page, &form).await;
    let landed = agent.follow(page, |_| false).await;
    assert_eq!(
        (landed.status.as_u16(), landed.url.path()),
        (200, "/reservations"),
        "{}",
        landed.text()
    );

    // Redis goes: no pod that somebody calls is taken out, and none is started anew; a new one would wait.
    redis.kill().await.unwrap();
    wait::until_true("the gateway misses Redis", Duration::from_mins(1), async || {
        cluster.probe("gateway", "startupProbe").await == Some(503)
    })
    .await;
    for role in ROLES {
        let ready = if role == "worker" { 503 } else { 200 };
        wait::until_true(&format!("{role} without Redis"), Duration::from_secs(30), async || {
            cluster.probe(role, "readinessProbe").await == Some(ready)
        })
        .await;
        assert_eq!(cluster.probe(role, "livenessProbe").await, Some(200), "{role}");
    }
    let read = agent.get(format!("{public_url}/api/v1/inventory")).await;
    assert_eq!(read.status, 200, "{}", read.body);
    drop(running);
}

#[tokio::test]
#[cfg_attr(
    all(target_os = "linux", target_arch = "aarch64"),
    ignore = "helm-python-sdk has no build for this machine"
)]
async fn writes_a_configuration_without_a_mistake() {
    for case in ["minimal", "everything"] {
        let pods: BTreeMap<String, Pod> =
            serde_json::from_str(&chart(&["pods", case]).await).unwrap();
        let text = &pods["migrate"].files["/etc/haetae/haetae.toml"];
        assert_eq!(text, &pods["auth"].files["/etc/haetae/haetae.toml"], "two configurations");
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path().join("secrets");
        for path in pods.values().flat_map(|pod| pod.secrets.keys()) {
            let secret = match path.rsplit('/').next().unwrap() {
                "redis-url" => "redis://redis.example.com",
                "auth-database-url" | "reservation-database-url" => {
                    "postgres://db.example.com/haetae"
                }
                _ => "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
            };
            let path = here.join(path.trim_start_matches("/run/secrets/"));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, secret).unwrap();
        }
        let file = folder.path().join("haetae.toml");
        let text = text.replace("/run/secrets", here.to_str().unwrap());
        std::fs::write(&file, &text).unwrap();
        let checked = binary::run_in(folder.path(), &["config", "check"], &[]).await;
        assert!(!checked.stderr.contains("warning"), "{case}: {}", checked.stderr);
        checked.ok();
        // With a mistake in it the same is refused.
        std::fs::write(&file, text.replace("drain", "drian")).unwrap();
        let refused = binary::run_in(folder.path(), &["config", "check"], &[]).await.refused();
        assert!(refused.contains("drian"), "{refused}");
    }
}
