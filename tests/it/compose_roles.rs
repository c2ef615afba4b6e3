//! The roles as the compose file starts them, with its commands, settings and secrets, but without a container engine.

use std::{collections::BTreeMap, process::Stdio, time::Duration};

use haetae_tests::{
    agent::Agent,
    binary::{self, run_in},
    compose::{ComposeFile, Installation, Service, borrowed, source},
    postgres,
    stack::send_signal,
    wait,
};
use serde_json::Value;
use tokio::process::{Child, Command};

/// A process that a service of the compose file stands for; ends when it is dropped.
struct Process {
    child: Child,
    said: String,
}

/// Starts `program` and waits for a line with `ready`.
async fn start(mut command: Command, ready: &str) -> Process {
    let name = format!("{:?}", command.as_std());
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    let output = child.stdout.take().unwrap();
    let mut lines = tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(output));
    let mut said = String::new();
    let waited = tokio::time::timeout(Duration::from_mins(1), async {
        while let Some(line) = lines.next_line().await.unwrap() {
            said += &line;
            said.push('\n');
            if line.contains(ready) {
                return true;
            }
        }
        false
    });
    assert!(waited.await.unwrap_or(false), "{name} is not ready:\n{said}");
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    Process { child, said }
}

/// The installation with names and ports of this machine in place of the containers' names.
struct Here {
    installation: Installation,
    gateway: u16,
    redis: u16,
    postgres: u16,
    admin: BTreeMap<&'static str, u16>,
}

impl Here {
    async fn make() -> Self {
        let installation = Installation::make();
        let postgres = postgres::databases().await.port();
        let redis = postgres::free_port();
        let mut admin = BTreeMap::new();
        let listen = |from: String, port: u16| {
            installation.replace("haetae.toml", &from, &format!("127.0.0.1:{port}"));
        };
        let gateway = postgres::free_port();
        listen("0.0.0.0:8080".to_owned(), gateway);
        for (role, inner) in [("auth", 8081), ("reservation", 8082)] {
            let port = postgres::free_port();
            listen(format!("0.0.0.0:{inner}"), port);
            listen(format!("{role}:{inner}"), port);
        }
        for (role, inner) in
            [("gateway", 9080), ("auth", 9081), ("reservation", 9082), ("worker", 9083)]
        {
            let port = postgres::free_port();
            listen(format!("0.0.0.0:{inner}"), port);
            admin.insert(role, port);
        }
        // Here everybody is on loopback, as everybody there is on the networks of containers.
        installation.replace("haetae.toml", "\"10.0.0.0/8\"", "\"127.0.0.0/8\"");
        for name in ["auth_database_url", "reservation_database_url"] {
            let name = format!(".secrets/{name}");
            installation.replace(&name, "@postgres:5432/", &format!("@127.0.0.1:{postgres}/"));
        }
        installation.replace(".secrets/redis_url", "@redis:6379", &format!("@127.0.0.1:{redis}"));
        Self { installation, gateway, redis, postgres, admin }
    }

    async fn redis(&self, service: Service<'_>) -> Process {
        let words = service.words("command");
        let folder = self.installation.path().join("redis");
        std::fs::create_dir(&folder).unwrap();
        let mut command = Command::new(words[0]);
        command.args(words[1..].iter().map(|word| self.installation.here(word)));
        command
            .args(["--bind", "127.0.0.1", "--port", &self.redis.to_string(), "--dir"])
            .arg(folder);
        start(command, "Ready to accept connections").await
    }

    /// Runs what the image of PostgreSQL would run on an empty volume.
    async fn databases(&self) {
        let script = std::fs::read_to_string(source().join("postgres/init")).unwrap();
        let folder = postgres::programs();
        let path = std::env::var("PATH").unwrap_or_default();
        let status = Command::new("bash")
            .args(["-c", &self.installation.here(&script)])
            .env("PATH", format!("{}:{path}", folder.display()))
            .envs([("POSTGRES_USER", "postgres"), ("PGHOST", "127.0.0.1")])
            .env("PGPORT", self.postgres.to_string())
            .stdout(Stdio::null())
            .status()
            .await
            .unwrap();
        assert!(status.success());
    }

    /// Whether `login` gets into `database`, and otherwise what it is told.
    async fn connects(&self, login: &str, database: &str) -> Result<(), String> {
        let output = Command::new(postgres::programs().join("psql"))
            .args(["-XAtq", "-h", "127.0.0.1", "-p", &self.postgres.to_string()])
            .args(["-U", login, "-d", database, "-c", "SELECT 1"])
            .output()
            .await
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() { Ok(()) } else { Err(told) }
    }

    async fn role(&self, file: &ComposeFile, name: &str) -> Process {
        let service = file.service(name);
        let mut command = Command::new(binary::path());
        command
            .args(service.words("command"))
            .current_dir(self.installation.path())
            .env_clear()
            .envs(self.installation.environment(service))
            .stderr(std::fs::File::create(self.installation.path().join(name)).unwrap());
        start(command, "is ready").await
    }

    /// The exit status of the health check of `service` at `port`.
    async fn health(service: Service<'_>, port: u16) -> Option<i32> {
        let mut words = service.health_check();
        words.pop();
        let mut probe = Command::new(words[0]);
        probe.args(&words[1..]).arg(port.to_string()).stderr(Stdio::null());
        probe.status().await.unwrap().code()
    }
}

/// Redis, tables, roles, an administrator, a sign-in through the gateway, and the end of it.
#[tokio::test]
async fn the_roles_start_as_the_compose_file_says() {
    let here = Here::make().await;
    let public_url = format!("http://localhost:{}", here.gateway);
    let file = ComposeFile::read("compose.yaml", &[("HAETAE_PUBLIC_URL", &public_url)]);

    let _redis = here.redis(file.service("redis")).await;
    let open = |url: String| async move {
        let client = redis::Client::open(url).unwrap();
        client.get_multiplexed_async_connection().await
    };
    let mut nobody = open(format!("redis://127.0.0.1:{}", here.redis)).await.unwrap();
    redis::cmd("PING").query_async::<()>(&mut nobody).await.expect("the health check may ping");
    for words in [&["GET", "x"][..], &["FLUSHALL"], &["CONFIG", "GET", "*"], &["PUBLISH", "x", "y"]]
    {
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        let refused = command.query_async::<redis::Value>(&mut nobody).await.expect_err(words[0]);
        assert_eq!(refused.code(), Some("NOPERM"), "{words:?}: {refused}");
    }

    here.databases().await;
    for (login, own, other) in [
        ("haetae_auth", "haetae_auth", "haetae_reservation"),
        ("haetae_reservation", "haetae_reservation", "haetae_auth"),
    ] {
        assert_eq!(here.connects(login, own).await, Ok(()));
        let told = here.connects(login, other).await.expect_err("closed to the other service");
        assert!(told.contains("permission denied"), "{told}");
    }

    // Nobody but `migrate` makes the tables.
    let environment = here.installation.environment(file.service("auth"));
    let early =
        run_in(here.installation.path(), &["auth"], &borrowed(&environment)).await.refused();
    assert!(early.contains("migrate"), "{early}");
    let environment = here.installation.environment(file.service("migrate"));
    run_in(here.installation.path(), &["migrate"], &borrowed(&environment)).await.ok();

    // The gateway first: it finds the others when they come.
    let mut processes = Vec::new();
    for name in ["gateway", "auth", "reservation", "worker"] {
        let process = here.role(&file, name).await;
        assert!(process.said.contains(name), "{}", process.said);
        processes.push((name, process));
    }
    for (name, port) in &here.admin {
        wait::until_true(&format!("{name} is healthy"), Duration::from_secs(30), async || {
            Here::health(file.service(name), *port).await == Some(0)
        })
        .await;
    }
    // The control: where nobody listens, and where somebody answers that there is no such page.
    for port in [postgres::free_port(), here.gateway] {
        let health = Here::health(file.service("gateway"), port).await;
        assert!(health.is_some_and(|code| code != 0), "{health:?}");
    }

    let environment = here.installation.environment(file.service("auth"));
    let created = run_in(
        here.installation.path(),
        &["user", "create", "admin", "--role", "admin", "--json"],
        &borrowed(&environment),
    )
    .await
    .ok();
    let created: Value = serde_json::from_str(&created).unwrap();
    let agent = Agent::new();
    let page = agent.open(format!("{public_url}/session/login?return_to=/")).await;
    let form = page.form_with("password").unwrap_or_else(|| panic!("{}", page.text()));
    let form =
        form.with("username", "admin").with("password", created["password"].as_str().unwrap());
    let page = agent.submit(&page, &form).await;
    let page = agent.follow(page, |_| false).await;
    assert_eq!((page.status.as_u16(), page.url.path()), (200, "/"), "{}", page.text());
    let session = agent.http().get(format!("{public_url}/session")).header("X-Haetae-Browser", "1");
    let session = agent.send(session).await;
    assert_eq!(session.json()["name"], "admin", "{}", session.body);

    for (name, mut process) in processes {
        send_signal("TERM", &process.child.id().unwrap().to_string());
        let ended = tokio::time::timeout(Duration::from_secs(30), process.child.wait()).await;
        let status = ended.unwrap_or_else(|_| panic!("{name} outlives stop_grace_period")).unwrap();
        assert_eq!(status.code(), Some(0), "{name}");
    }
}
