//! The command line as a person meets it: what goes wrong is said in one clear line, and what works beside a
//! running instance works at once.

use std::{net::TcpListener, os::unix::fs::PermissionsExt, time::Duration};

use haetae_tests::{
    agent::Agent,
    api::Api,
    binary::{FREE_PORTS, run, run_in, up_in},
    oidc::{self, Client},
    shop::Shop,
    stack::{Options, Role, Stack, send_signal},
    token::Token,
    wait,
};
use serde_json::Value;

/// A folder with a file `haetae.toml`.
fn with_config(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("haetae.toml"), text).unwrap();
    folder
}

#[tokio::test]
async fn helps_and_tells_its_version() {
    assert!(run(&["--version"], &[]).await.ok().starts_with("haetae "));
    let help = run(&["--help"], &[]).await.ok();
    for command in [
        "up",
        "gateway",
        "auth",
        "reservation",
        "worker",
        "migrate",
        "config",
        "keys",
        "user",
        "client",
        "session",
        "inventory",
        "audit",
    ] {
        assert!(help.contains(command), "{command} is not in the help");
    }
    for wrong in
        [&["dance"][..], &["up", "--fly"], &["user"], &["config", "check", "x", "y", "z"], &[]]
    {
        let finished = run(wrong, &[]).await;
        assert_eq!(finished.code, Some(2), "{wrong:?}: {finished:?}");
        assert!(!finished.stderr.contains("panicked"), "{finished:?}");
    }
}

#[tokio::test]
async fn checks_a_configuration() {
    let good = with_config("[gateway]\nlisten = \"127.0.0.1:0\"\n");
    run_in(good.path(), &["config", "check", "--config", "haetae.toml"], &[]).await.ok();
    // Every mistake at once, each with its file and line.
    let bad = with_config(
        "[gateway]\nlisten = \"nowhere\"\nlisen = \"127.0.0.1:1\"\n\n[auth.tokens]\naccess = \"soon\"\n\n[reservation]\npartitions = -1\n",
    );
    let error =
        run_in(bad.path(), &["config", "check", "--config", "haetae.toml"], &[]).await.refused();
    for line in [2, 3, 6, 9] {
        assert!(error.contains(&format!("haetae.toml:{line}")), "line {line}: {error}");
    }
    assert!(error.contains("lisen"), "{error}");
    let broken = with_config("[gateway\n");
    let error =
        run_in(broken.path(), &["config", "check", "--config", "haetae.toml"], &[]).await.refused();
    assert!(error.contains("haetae.toml:1"), "{error}");
    let error = run(&["config", "check", "--config", "/nowhere/haetae.toml"], &[]).await.refused();
    assert!(error.contains("/nowhere/haetae.toml"), "{error}");
    for (name, value) in [
        ("HAETAE__GATEWAY__LISEN", "127.0.0.1:1"),
        ("HAETAE__GATEWAY__LISTEN", "nowhere"),
        ("HAETAE__AUTH__PASSWORD__MIN_LENGTH", "3"),
    ] {
        let finished = run_in(good.path(), &["config", "check"], &[(name, value)]).await;
        let error = finished.refused();
        assert!(
            error.contains(name)
                || error.to_lowercase().contains(&name[8..].replace("__", ".").to_lowercase()),
            "{name}: {error}"
        );
    }
}

#[tokio::test]
async fn prints_a_configuration_without_its_secrets() {
    let folder = with_config(
        "public_url = \"http://localhost:1234\"\n[redis]\nurl = \"redis://:hunter2@localhost/0\"\n[keys]\nmaster_key = \"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\"\n",
    );
    let environment = [("HAETAE__DATABASE__AUTH_URL", "postgres://ann:s3cret@db/haetae")];
    let printed =
        run_in(folder.path(), &["config", "print", "--config", "haetae.toml"], &environment)
            .await
            .ok();
    assert!(printed.contains("http://localhost:1234"), "{printed}");
    for secret in ["hunter2", "AAECAwQF", "s3cret"] {
        assert!(!printed.contains(secret), "{secret} is printed");
    }
    let schema: Value = serde_json::from_str(&run(&["config", "schema"], &[]).await.ok()).unwrap();
    assert!(schema["properties"]["gateway"].is_object(), "{schema}");
}

#[tokio::test]
async fn says_what_to_do_when_it_cannot_start() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let data = data.to_str().unwrap();
    let with = |more: &[(&'static str, String)]| {
        let mut all: Vec<(&str, String)> =
            FREE_PORTS.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        all.retain(|(name, _)| !more.iter().any(|(other, _)| other == name));
        all.extend(more.iter().cloned());
        all
    };
    let up = async |more: &[(&'static str, String)]| {
        let all = with(more);
        let all: Vec<(&str, &str)> =
            all.iter().map(|(name, value)| (*name, value.as_str())).collect();
        run(&["up", "--demo", "--data-dir", data], &all).await.refused()
    };
    // A port in use, of each role.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for name in [
        "HAETAE__GATEWAY__LISTEN",
        "HAETAE__AUTH__LISTEN",
        "HAETAE__RESERVATION__LISTEN",
        "HAETAE__WORKER__ADMIN__LISTEN",
    ] {
        let error = up(&[(name, address.clone())]).await;
        assert!(error.contains(&address), "{name}: {error}");
    }
    // No redis-server anywhere.
    let empty = tempfile::tempdir().unwrap();
    let error = up(&[("PATH", empty.path().to_str().unwrap().to_owned())]).await;
    assert!(error.contains("redis-server") && error.contains("install"), "{error}");
    // A database that is not there.
    let error =
        up(&[("HAETAE__DATABASE__AUTH_URL", "postgres://nobody@127.0.0.1:1/nothing".to_owned())])
            .await;
    assert!(error.contains("no answer") && error.contains("127.0.0.1:1/nothing"), "{error}");
    // A database URL that is none, with a password in it.
    let error =
        up(&[("HAETAE__DATABASE__AUTH_URL", "postgres://ann:hunter2@@:x:/haetae".to_owned())])
            .await;
    assert!(error.contains("database.auth_url") && !error.contains("hunter2"), "{error}");
    // A Redis that is not there, with and without TLS.
    for scheme in ["redis", "rediss"] {
        let error = up(&[("HAETAE__REDIS__URL", format!("{scheme}://:hunter2@127.0.0.1:1"))]).await;
        assert!(error.contains("Redis does not answer at 127.0.0.1:1"), "{error}");
        assert!(!error.contains("hunter2") && !error.contains("panicked"), "{error}");
    }
    // A folder that cannot be one.
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let inside = file.join("data");
    let error = run(&["up", "--data-dir", inside.to_str().unwrap()], &FREE_PORTS).await.refused();
    assert!(error.contains("there is a file in its place"), "{error}");
    // One line, for a person, each time: the last error is no wall of text.
    assert!(error.lines().count() <= 6, "{error}");
}

/// One configuration for all roles, and each is given only the secrets that it uses.
#[tokio::test]
async fn a_role_needs_no_secret_of_another() {
    let folder = with_config(
        "[redis]\nurl = { env = \"REDIS_URL\" }\n\
         [keys]\nmaster_key = { env = \"MASTER_KEY\" }\n\
         [gateway.browser]\nclient_secret = { env = \"GATEWAY_SECRET\" }\n\
         [database]\nauth_url = { env = \"AUTH_URL\" }\nreservation_url = { env = \"RESERVATION_URL\" }\n",
    );
    let secrets = [
        ("REDIS_URL", "redis://127.0.0.1:1"),
        ("MASTER_KEY", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"),
        ("GATEWAY_SECRET", "a secret of the gateway's"),
        ("AUTH_URL", "sqlite:auth.db"),
        ("RESERVATION_URL", "sqlite:reservation.db"),
    ];
    for (role, uses) in [
        ("gateway", &["REDIS_URL", "GATEWAY_SECRET"][..]),
        ("auth", &["REDIS_URL", "MASTER_KEY", "GATEWAY_SECRET", "AUTH_URL"]),
        ("reservation", &["REDIS_URL", "RESERVATION_URL"]),
        ("worker", &["REDIS_URL", "RESERVATION_URL"]),
    ] {
        let start = async |left_out: Option<&str>| {
            let environment: Vec<(&str, &str)> = secrets
                .iter()
                .filter(|(name, _)| uses.contains(name) && Some(*name) != left_out)
                .chain(&FREE_PORTS)
                .copied()
                .collect();
            run_in(folder.path(), &[role, "--config", "haetae.toml"], &environment).await.refused()
        };
        // It comes as far as the Redis that is not there.
        let error = start(None).await;
        assert!(error.contains("Redis does not answer at 127.0.0.1:1"), "{role}: {error}");
        for name in uses {
            let error = start(Some(name)).await;
            assert!(error.contains(name) && error.contains("is not set"), "{role}: {error}");
        }
    }
    // Whoever checks the configuration checks all of it.
    let error =
        run_in(folder.path(), &["config", "check", "--config", "haetae.toml"], &[]).await.refused();
    for (name, _) in secrets {
        assert!(error.contains(name), "{name}: {error}");
    }
}

/// `up` without example data says what to do first.
#[tokio::test]
async fn a_new_installation_says_what_is_next() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let data = data.to_str().unwrap();
    let say = async || {
        let (mut up, said) = up_in(folder.path(), &["--data-dir", data], &FREE_PORTS).await;
        let create = ["user", "create", "ann", "--role", "admin", "--data-dir", data];
        let created = run(&create, &[]).await;
        send_signal("TERM", &up.id().unwrap().to_string());
        assert!(up.wait().await.unwrap().success());
        (said, created)
    };
    let (said, created) = say().await;
    assert!(said.contains("haetae user create NAME --role admin"), "{said}");
    assert!(created.ok().contains("password: "));
    let (said, _) = say().await;
    assert!(!said.contains("user create"), "{said}");
}

#[tokio::test]
async fn guards_what_is_there() {
    let mut stack = Stack::start(Options::default()).await;
    let mode = |name: &str| {
        std::fs::metadata(stack.data_dir().join(name))
            .unwrap_or_else(|_| panic!("{name}"))
            .permissions()
            .mode()
            & 0o777
    };
    for name in ["demo.json", "master.key", "instance.json"] {
        assert_eq!(mode(name), 0o600, "{name}");
    }
    // And whatever else there is: databases with their journals, logs, the files of Redis.
    let mut folders = vec![stack.data_dir()];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let about = entry.metadata().unwrap();
            let mode = about.permissions().mode() & 0o077;
            assert_eq!(mode, 0, "others may use {}", entry.path().display());
            files += 1;
            if about.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    assert!(files > 12, "{files} files");
    // A second `up` on the same folder.
    let second = stack.cli(&["up"]).await.refused();
    assert!(
        second.contains("runs") || second.contains("running") || second.contains("in use"),
        "{second}"
    );
    // No secret in any log.
    let demo = stack.demo().clone();
    Client::mobile(&stack).sign_in(&Agent::new(), &demo.users[0]).await;
    for (name, log) in stack.logs() {
        for client in &demo.clients {
            assert!(
                client.client_secret.as_ref().is_none_or(|secret| !log.contains(secret.as_str())),
                "{name}"
            );
        }
        assert!(!log.contains("eyJ"), "a token in {name}");
        if name != "up.log" {
            assert!(
                demo.users.iter().all(|user| !log.contains(&user.password)),
                "a password in {name}"
            );
        }
    }
    stack.stop().await;
    // --demo does not touch what is no demo.
    let other = Stack::start(Options { demo: false, ..Options::default() }).await;
    other.cli(&["user", "create", "ann", "--password-stdin"]).await;
    let created = other.cli(&["user", "list"]).await.ok();
    drop(other);
    assert!(!created.contains("demo"), "{created}");
}

#[tokio::test]
async fn looks_after_users_clients_and_sessions() {
    let shop = Shop::open(Options::default()).await;
    let listed = shop.stack.cli(&["user", "list"]).await.ok();
    for name in ["demo", "guest", "admin"] {
        assert!(listed.contains(name), "{listed}");
    }
    // A disabled person is out at once, and cannot come back in.
    let guest = shop.stack.demo().user("guest").clone();
    let tokens = shop.mobile.sign_in(&Agent::new(), &guest).await;
    let caller = Api::bearer(&shop.stack, &tokens.access_token);
    assert_eq!(caller.get("reservations").await.status, 200);
    shop.stack.cli(&["user", "disable", "guest"]).await.ok();
    wait::until_true("a disabled person is out", Duration::from_secs(3), async || {
        caller.get("reservations").await.status == 401
    })
    .await;
    oidc::refused(
        &shop.mobile.refresh(tokens.refresh_token.as_ref().unwrap()).await,
        400,
        "invalid_grant",
    );
    let agent = Agent::new();
    let page = agent.open(shop.mobile.request("openid", &[]).url).await;
    let form = page.form_with("password").unwrap();
    let page = agent
        .submit(&page, &form.with("username", "guest").with("password", &guest.password))
        .await;
    assert!(!page.status.is_redirection(), "{:?}", page.location());
    assert_eq!(shop.customer.get("reservations").await.status, 200, "the control: another person");
    // Sessions can be seen and ended.
    let sessions = shop.stack.cli(&["session", "list"]).await.ok();
    let sid = Token::read(&shop.tokens.access_token).claims["sid"].as_str().unwrap().to_owned();
    assert!(sessions.contains(&sid), "{sessions}");
    shop.stack.cli(&["session", "revoke", &sid]).await.ok();
    wait::until_true("the session is out", Duration::from_secs(3), async || {
        shop.customer.get("reservations").await.status == 401
    })
    .await;
    // A client from a file of RFC 7591 metadata, usable at once.
    let file = shop.stack.folder().join("clients.json");
    std::fs::write(
        &file,
        r#"[{"client_id":"imported","client_secret":"a long secret of the importer","client_name":"Imported",
            "grant_types":["client_credentials"],"scope":"inventory:write","token_endpoint_auth_method":"client_secret_basic"}]"#,
    )
    .unwrap();
    shop.stack.cli(&["client", "import", file.to_str().unwrap()]).await.ok();
    assert!(shop.stack.cli(&["client", "list"]).await.ok().contains("imported"));
    let mut imported = shop.mobile.clone();
    imported.client_id = "imported".to_owned();
    imported.client_secret = Some("a long secret of the importer".to_owned());
    let page = imported.client_credentials_page("inventory:write").await;
    assert_eq!(page.status, 200, "{}", page.body);
    std::fs::write(&file, r#"[{"client_id":"x","grant_types":["telepathy"]}]"#).unwrap();
    shop.stack.cli(&["client", "import", file.to_str().unwrap()]).await.refused();
    // A short secret is taken, and told in a line beside the result.
    std::fs::write(
        &file,
        r#"[{"client_id":"brief","client_secret":"s3cr3t","grant_types":["client_credentials"],"scope":"inventory:write"}]"#,
    )
    .unwrap();
    let import = shop.stack.cli(&["client", "import", file.to_str().unwrap()]).await;
    assert_eq!(import.stderr.trim().lines().count(), 1, "{}", import.stderr);
    assert!(import.stderr.contains("the client_secret of brief is short"), "{}", import.stderr);
    import.ok();
    let mut brief = imported.clone();
    brief.client_id = "brief".to_owned();
    brief.client_secret = Some("s3cr3t".to_owned());
    let page = brief.client_credentials_page("inventory:write").await;
    assert_eq!(page.status, 200, "{}", page.body);
    // All of it stands in the audit trail.
    let audit = shop.stack.cli(&["audit"]).await.ok();
    assert!(audit.lines().count() >= 5, "{audit}");
    assert!(!audit.contains(&guest.password));
}

#[tokio::test]
async fn keys_rotate_without_anybody_noticing() {
    let shop = Shop::open(Options::default()).await;
    let kid = |token: &str| Token::read(token).header["kid"].as_str().unwrap().to_owned();
    let before = kid(&shop.tokens.access_token);
    let listed = shop.stack.cli(&["keys", "list"]).await.ok();
    assert!(listed.contains(&before), "{listed}");
    let told = shop.stack.cli(&["keys", "rotate"]).await.ok();
    assert!(told.contains("signs from now on"), "{told}");
    // The next ones are too new for that.
    let again = shop.stack.cli(&["keys", "rotate"]).await.ok();
    assert!(again.contains("signs from 20") && !again.contains("from now on"), "{again}");
    // Both keys are good while the new one takes over.
    let fresh = wait::until("a new key signs", Duration::from_secs(10), async || {
        assert_eq!(shop.customer.get("reservations").await.status, 200, "the old key is good");
        let tokens = shop.mobile.sign_in(&shop.agent, shop.stack.demo().user("demo")).await;
        let caller = Api::bearer(&shop.stack, &tokens.access_token);
        assert_eq!(caller.get("reservations").await.status, 200, "the new key is known at once");
        (kid(&tokens.access_token) != before).then_some(caller)
    })
    .await;
    // A revoked key takes its tokens with it; the others live.
    shop.stack.cli(&["keys", "revoke", &before]).await.ok();
    wait::until_true("the tokens of a revoked key are out", Duration::from_mins(1), async || {
        shop.customer.get("reservations").await.status == 401
    })
    .await;
    assert_eq!(fresh.get("reservations").await.status, 200);
    let published = shop.mobile.jwks().await;
    assert!(!published.to_string().contains(&before), "a revoked key is not published");
    shop.stack.cli(&["keys", "revoke", "kid_nobody"]).await.refused();
}

/// A key begins to sign when the command said so, and not at the next round of the ring's maintenance.
#[tokio::test]
async fn a_scheduled_key_signs_when_it_was_said_to() {
    let shop = Shop::open(Options::default().set("KEYS__OVERLAP", "8s")).await;
    let service = Client::new(&shop.stack, shop.stack.demo().client("demo-service"));
    let rotate = ["keys", "rotate", "--algorithm", "ES256", "--json"];
    let (first, second) = (shop.stack.cli(&rotate).await.ok(), shop.stack.cli(&rotate).await.ok());
    let read = |told: &str| serde_json::from_str::<Value>(told).unwrap();
    assert_eq!(read(&first)["signs_from"], Value::Null, "{first}");
    assert!(read(&second)["signs_from"].is_string(), "{second}");
    // Sooner than the half minute after which the ring is looked after anyway.
    wait::until_true("the scheduled key signs", Duration::from_secs(20), async || {
        let tokens = service.client_credentials("inventory:write").await;
        Token::read(&tokens.access_token).header["kid"] == read(&second)["kid"]
    })
    .await;
}

/// A client is shut and opened again as fast as one can type, and what it gets afterwards is good.
#[tokio::test]
async fn a_client_is_shut_and_opened_again_at_once() {
    let shop = Shop::open(Options::default()).await;
    let service = Client::new(&shop.stack, shop.stack.demo().client("demo-service"));
    let before = service.client_credentials("inventory:write").await;
    shop.stack.cli(&["client", "disable", "demo-service"]).await.ok();
    let caller = Api::bearer(&shop.stack, &before.access_token);
    wait::until_true("its tokens are out", Duration::from_secs(3), async || {
        caller.get("reservations").await.status == 401
    })
    .await;
    let begun = std::time::Instant::now();
    shop.stack.cli(&["client", "enable", "demo-service"]).await.ok();
    assert!(begun.elapsed() < Duration::from_secs(20), "it waits: {:?}", begun.elapsed());
    let after = wait::until("it is open again", Duration::from_secs(10), async || {
        let page = service.client_credentials_page("inventory:write").await;
        (page.status == 200).then(|| page.json()["access_token"].as_str().unwrap().to_owned())
    })
    .await;
    let again = Api::bearer(&shop.stack, &after);
    assert_ne!(again.get("reservations").await.status, 401);
    assert_eq!(caller.get("reservations").await.status, 401, "what it had stays refused");
}

/// A secret that leaked is worth nothing from the moment that the command returns.
#[tokio::test]
async fn a_client_gets_a_new_secret() {
    let shop = Shop::open(Options::default()).await;
    let mut service = shop.stack.demo().client("demo-service").clone();
    let old = Client::new(&shop.stack, &service);
    let before = old.client_credentials("inventory:write").await;
    let reset = shop.stack.cli(&["client", "reset", "demo-service", "--json"]).await.ok();
    let told: Value = serde_json::from_str(&reset).unwrap();
    service.client_secret = Some(told["client_secret"].as_str().unwrap().to_owned());
    wait::until_true("its tokens are out", Duration::from_secs(3), async || {
        Api::bearer(&shop.stack, &before.access_token).get("reservations").await.status == 401
    })
    .await;
    wait::until_true("the old secret is out", Duration::from_secs(3), async || {
        old.client_credentials_page("inventory:write").await.status == 401
    })
    .await;
    let after = Client::new(&shop.stack, &service).client_credentials("inventory:write").await;
    assert_ne!(Api::bearer(&shop.stack, &after.access_token).get("reservations").await.status, 401);
}

/// Each role alone, as in production: it says that it is ready, serves its admin listener, and stops.
#[tokio::test]
async fn a_role_runs_alone() {
    let shop = Shop::open(Options::default()).await;
    let worker = shop.stack.one_more(Role::Worker).await;
    assert!(Stack::resident_kib(worker.pid()) > 0);
    for role in Role::ALL {
        assert_eq!(shop.stack.readiness(role).await, 200, "{role:?}");
        let metrics = haetae_tests::agent::http()
            .get(shop.stack.admin_url(role, "/metrics"))
            .send()
            .await
            .unwrap();
        assert_eq!(metrics.status(), 200);
        let text = metrics.text().await.unwrap();
        assert!(text.contains("haetae_"), "{role:?} measures nothing: {text}");
        println!("{role:?}: {} KiB resident", Stack::resident_kib(shop.stack.pid(role)));
    }
}
