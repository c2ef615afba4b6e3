//! `deploy/container` and `deploy/compose`: that what they say is still true of the program.

use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use haetae_tests::{
    binary::{run, run_in, source_root},
    compose::{ComposeFile, Installation, borrowed, keys, source},
    stack::Role,
};
use serde_json::Value;

/// The services that run Haetae, and the secrets that each may have.
const OURS: [(&str, &[&str]); 5] = [
    ("gateway", &["gateway_client_secret", "redis_url"]),
    ("auth", &["auth_database_url", "gateway_client_secret", "master_key", "redis_url"]),
    ("reservation", &["redis_url", "reservation_database_url"]),
    ("worker", &["redis_url", "reservation_database_url"]),
    ("migrate", &["auth_database_url", "reservation_database_url"]),
];

fn text(path: impl AsRef<Path>) -> String {
    let path = source_root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn toml_of_defaults(text: &str, key: &str) -> String {
    let line = text.lines().find(|line| line.starts_with(&format!("{key} = ")));
    let value = line.unwrap_or_else(|| panic!("no {key}")).split_once(" = ").unwrap().1;
    value.trim_matches('"').to_owned()
}

/// What is wrong with the secrets of the services of `file`.
fn wrong_with_secrets(file: &ComposeFile) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, expected) in OURS {
        let service = file.service(name);
        let given: BTreeSet<&str> = service.words("secrets").into_iter().collect();
        if given != expected.iter().copied().collect() {
            wrong.push(format!("{name} is given {given:?}"));
        }
        let used: BTreeSet<&str> = service
            .environment()
            .values()
            .filter_map(|value| value.split_once("/run/secrets/"))
            .map(|(_, rest)| rest.trim_end_matches([' ', '}', '"']))
            .collect();
        if used != given {
            wrong.push(format!("{name} is given {given:?} and uses {used:?}"));
        }
    }
    wrong
}

#[test]
fn each_role_is_given_what_it_uses_and_nothing_else() {
    let file = ComposeFile::read("compose.yaml", &[]);
    assert_eq!(wrong_with_secrets(&file), Vec::<String>::new());
    for (name, _) in OURS {
        let service = file.service(name);
        assert_eq!(service.0["read_only"], true, "{name}");
        assert_eq!(service.words("cap_drop"), ["ALL"], "{name}");
        assert_eq!(service.words("security_opt"), ["no-new-privileges:true"], "{name}");
        let published = !service.words("ports").is_empty();
        assert_eq!(published, name == "gateway", "{name}");
    }
    for name in ["redis", "postgres"] {
        assert!(file.service(name).words("ports").is_empty(), "{name} is published");
    }
    // The way from outside to a table: none.
    assert!(!file.service("gateway").words("networks").contains(&"sql"));
    for name in file.services().into_iter().filter(|name| *name != "gateway") {
        assert!(!file.service(name).words("networks").contains(&"front"), "{name}");
    }
    for network in ["services", "sql"] {
        assert_eq!(file.0["networks"][network]["internal"], true, "{network}");
    }
    // The control: a master key that strays into the gateway is seen.
    let mut strayed = file.clone();
    strayed.0["services"]["gateway"]["secrets"] =
        serde_json::json!(["gateway_client_secret", "redis_url", "master_key"]);
    assert_eq!(wrong_with_secrets(&strayed).len(), 2);
}

#[test]
fn the_script_makes_every_secret_once() {
    let installation = Installation::make();
    let made = || -> BTreeMap<String, Vec<u8>> {
        let folder = std::fs::read_dir(installation.secrets()).unwrap();
        folder
            .map(|entry| entry.unwrap())
            .map(|entry| {
                let name = entry.file_name().into_string().unwrap();
                (name, std::fs::read(entry.path()).unwrap())
            })
            .collect()
    };
    let first = made();
    let file = ComposeFile::read("compose.yaml", &[]);
    let named: BTreeSet<String> = file
        .secrets()
        .into_iter()
        .map(|(name, path)| {
            assert_eq!(path, format!(".secrets/{name}"));
            name.to_owned()
        })
        .collect();
    assert_eq!(first.keys().cloned().collect::<BTreeSet<_>>(), named);
    let rights = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(rights(&installation.secrets()), 0o700, "nobody else gets at the files");
    for name in &named {
        // Programs of other numbers read them where they are mounted.
        assert_eq!(rights(&installation.secrets().join(name)), 0o444, "{name}");
    }
    let again = installation.make_secrets();
    assert_eq!(made(), first, "what is there stays");
    assert!(!again.contains("made"), "{again}");
    // One that is missing is made, and fits the others.
    std::fs::remove_file(installation.secrets().join("redis_users")).unwrap();
    installation.make_secrets();
    assert_eq!(made(), first);
    // Two installations have nothing in common.
    let other = Installation::make();
    for name in &named {
        assert_ne!(installation.secret(name), other.secret(name), "{name}");
    }
}

#[test]
fn everything_that_is_mounted_is_there() {
    let file = ComposeFile::read("compose.yaml", &[]);
    for name in file.services() {
        let service = file.service(name);
        for (from, _) in service.mounts() {
            assert!(source().join(from).exists(), "{name} mounts {from}");
        }
        for secret in service.words("secrets") {
            assert!(file.secrets().contains_key(secret), "{name} wants the secret {secret}");
        }
        for network in service.words("networks") {
            assert!(file.0["networks"].get(network).is_some(), "{name} is on {network}");
        }
        for volume in service.words("volumes").into_iter().filter(|it| !it.starts_with('.')) {
            let volume = volume.split(':').next().unwrap();
            assert!(file.0["volumes"].get(volume).is_some(), "{name} has the volume {volume}");
        }
    }
    for script in ["secrets", "postgres/init"] {
        let mode = source().join(script).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o111, 0o111, "{script} is executable");
    }
}

#[tokio::test]
async fn the_settings_of_every_role_are_good() {
    let installation = Installation::make();
    let file = ComposeFile::read("compose.yaml", &[]);
    for (name, _) in OURS {
        let service = file.service(name);
        let command = service.words("command");
        run(&[&command[..], &["--help"]].concat(), &[]).await.ok();
        let environment = installation.environment(service);
        let check = |environment: Vec<(String, String)>| async move {
            run_in(installation_path(&environment), &["config", "check"], &borrowed(&environment))
                .await
        };
        let finished = check(environment.clone()).await;
        assert_eq!(finished.stderr, "", "{name}");
        assert_eq!(finished.ok(), "good: ./haetae.toml\n", "{name}");
        // The control: a secret that is not there is told.
        let without = environment
            .into_iter()
            .map(|(name, value)| (name, value.replace("_url\" }", "_urls\" }")))
            .collect();
        let told = check(without).await.refused();
        assert!(told.contains("cannot read the secret"), "{name}: {told}");
    }
}

/// The folder of the installation that `environment` is of.
fn installation_path(environment: &[(String, String)]) -> &Path {
    let (_, data_dir) = environment.iter().find(|(name, _)| name == "HAETAE__DATA_DIR").unwrap();
    Path::new(data_dir).parent().unwrap()
}

#[tokio::test]
async fn https_is_one_file_more() {
    let installation = Installation::make();
    let mut file =
        ComposeFile::read("compose.yaml", &[("HAETAE_PUBLIC_URL", "https://shop.example")]);
    let more = ComposeFile::read("compose.tls.yaml", &[]);
    for (name, path) in more.secrets() {
        assert_eq!(path, format!(".secrets/{name}"));
        std::fs::write(installation.secrets().join(name), "PEM").unwrap();
    }
    let added = more.service("gateway");
    assert_eq!(more.services(), ["gateway"]);
    assert_eq!(added.words("secrets"), more.secrets().into_keys().collect::<Vec<_>>());
    for (name, value) in added.environment() {
        file.0["services"]["gateway"]["environment"][name] = value.into();
    }
    let environment = installation.environment(file.service("gateway"));
    let print = |command: &'static str| {
        let environment = environment.clone();
        let path = installation.path().to_owned();
        async move { run_in(&path, &["config", command], &borrowed(&environment)).await }
    };
    let checked = print("check").await;
    assert_eq!(checked.stderr, "");
    checked.ok();
    let printed = print("print").await.ok();
    assert!(printed.contains("[gateway.tls]"), "{printed}");
}

#[tokio::test]
async fn ports_names_and_times_agree() {
    let installation = Installation::make();
    let file = ComposeFile::read("compose.yaml", &[]);
    let printed = run_in(
        installation.path(),
        &["config", "print"],
        &borrowed(&installation.environment(file.service("auth"))),
    )
    .await
    .ok();
    let section = |name: &str| {
        let head = format!("\n[{name}]\n");
        let rest = printed.split_once(&head).unwrap_or_else(|| panic!("no [{name}]")).1;
        rest.split("\n[").next().unwrap().to_owned()
    };
    let port = |name: &str| {
        let listen = toml_of_defaults(&section(name), "listen");
        listen.strip_prefix("0.0.0.0:").unwrap_or_else(|| panic!("{name}: {listen}")).to_owned()
    };
    let scraped: Value =
        serde_yaml::from_str(&text("deploy/compose/prometheus.yaml")).expect("YAML");
    let example: Value =
        serde_yaml::from_str(&text("deploy/prometheus/prometheus.yaml")).expect("YAML");
    let jobs = |file: &Value| -> Vec<Value> {
        let jobs = file["scrape_configs"].as_array().unwrap();
        jobs.iter().map(|job| job["job_name"].clone()).collect()
    };
    assert_eq!(jobs(&scraped), jobs(&example), "the rules know the roles by these");
    for role in Role::ALL.map(Role::name) {
        let admin = port(&format!("{role}.admin"));
        assert_eq!(file.service(role).health_check().last(), Some(&admin.as_str()), "{role}");
        let jobs = scraped["scrape_configs"].as_array().unwrap();
        let job = jobs.iter().find(|job| job["job_name"] == format!("haetae-{role}")).expect(role);
        let found = &job["dns_sd_configs"][0];
        assert_eq!(found["names"][0], role);
        assert_eq!(found["port"].to_string(), admin, "{role}");
    }
    for role in ["auth", "reservation"] {
        let at = format!("\"{role}:{}\"", port(role));
        assert!(printed.contains(&at), "the gateway asks {at}");
    }
    let published = file.service("gateway").words("ports");
    assert_eq!(published, [format!("127.0.0.1:8080:{}", port("gateway"))]);
    let drain = toml_of_defaults(&section("gateway"), "drain");
    assert_eq!(drain, "10s", "is stop_grace_period still longer?");
    for (name, _) in OURS {
        assert_eq!(file.service(name).0["stop_grace_period"], "30s", "{name}");
    }
}

#[test]
fn the_image_is_of_this_version() {
    let manifest = text("Cargo.toml");
    let container = text("deploy/container/Containerfile");
    let rust = toml_of_defaults(&manifest, "rust-version");
    assert!(container.contains(&format!("FROM rust:{rust}-slim-bookworm AS build\n")), "{rust}");
    let version = toml_of_defaults(&manifest, "version");
    let label = format!("org.opencontainers.image.version=\"{version}\"");
    assert!(container.contains(&label), "{label}");
    let file = ComposeFile::read("compose.yaml", &[]);
    for (name, _) in OURS {
        let service = file.service(name).0;
        assert_eq!(service["image"], format!("haetae:{version}"), "{name}");
        let build = &service["build"];
        let context = source().join(build["context"].as_str().unwrap());
        assert!(context.join("Cargo.toml").exists(), "the context is the root of the tree");
        assert!(context.join(build["dockerfile"].as_str().unwrap()).exists());
        // Every command of the container finds the file by its working directory.
        let mounts = file.service(name).mounts();
        let (_, target) = mounts.iter().find(|(from, _)| *from == "./haetae.toml").expect(name);
        let folder = Path::new(target).parent().unwrap().display();
        assert!(container.contains(&format!("WORKDIR {folder}\n")), "{folder}");
    }
    let profile = container.lines().find_map(|line| line.strip_prefix("ARG PROFILE="));
    assert!(manifest.contains(&format!("[profile.{}]", profile.expect("a profile"))));
    // What the build is given is what the workspace consists of.
    let ignore = text("deploy/container/Containerfile.dockerignore");
    let given: BTreeSet<&str> = ignore.lines().filter_map(|line| line.strip_prefix('!')).collect();
    let members = manifest.lines().find_map(|line| line.strip_prefix("members = ")).unwrap();
    let members: Vec<String> = serde_json::from_str(members).unwrap();
    let mut wanted: BTreeSet<&str> = members.iter().map(String::as_str).collect();
    wanted.extend(["Cargo.toml", "Cargo.lock"]);
    assert_eq!(given, wanted);
    assert!(ignore.lines().any(|line| line == "*"), "nothing else is given to the build");
}

#[test]
fn reads_compose_files_as_compose_does() {
    let file = ComposeFile::parse(
        "x-a: &a {one: 1, two: 2}\nx-b: &b {<<: *a, two: 3}\nservices:\n  s:\n    <<: *b\n    \
         command: ['$${A}', '${B:-b}', '${C:-c}/${B:-}']\n    environment: {X: y}\n",
        &[("B", "given")],
    );
    let service = file.service("s");
    assert_eq!(service.words("command"), ["${A}", "given", "c/given"]);
    assert_eq!((&service.0["one"], &service.0["two"]), (&1.into(), &3.into()));
    assert_eq!(keys(service.0), ["command", "environment", "one", "two"]);
}
