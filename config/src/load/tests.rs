use std::{fs, path::PathBuf, time};

use secrecy::ExposeSecret;

use super::*;
use crate::{
    Duration,
    gateway::{
        Authenticate::{None as Nobody, Optional, Required},
        LimitKey, WhenStale,
    },
};

/// A folder that goes away with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("haetae-config-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).expect("folder");
        Self(path)
    }

    fn file(&self, text: &str) -> PathBuf {
        let path = self.0.join("test.toml");
        fs::write(&path, text).expect("file");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).expect("clean");
    }
}

fn environment(settings: &[(&str, &str)]) -> Vec<(String, String)> {
    settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// What is told about a file, without its folder.
fn told(name: &str, text: &str) -> Vec<String> {
    let folder = Folder::new(name);
    let file = folder.file(text);
    let prefix = format!("{}:", file.display());
    match Config::load(&Sources { file: Some(file), ..Sources::default() }) {
        Ok(_) => Vec::new(),
        Err(mistakes) => mistakes
            .as_slice()
            .iter()
            .map(|mistake| mistake.to_string().replace(&prefix, ""))
            .collect(),
    }
}

#[test]
fn the_defaults_alone_are_good_and_say_what_the_design_says() {
    let loaded = Config::load(&Sources::default()).expect("good");
    assert_eq!(loaded.warnings, []);
    let config = loaded.config;
    assert_eq!(config.issuer(), "http://localhost:8080");
    assert_eq!(config.api_audience(), "http://localhost:8080/api/v1");
    assert!(config.data_dir.is_absolute());
    assert!(!config.is_https());
    assert_eq!(*config.auth.tokens.access, time::Duration::from_mins(5));
    let ports: Vec<u16> = config.listeners().iter().map(|(_, it)| it.port()).collect();
    assert_eq!(ports, [8080, 9080, 8081, 9081, 8082, 9082, 9083]);
    assert!(config.listeners().iter().all(|(_, it)| it.ip().is_loopback()));
    let auth = config.gateway.upstreams.first().expect("auth");
    assert_eq!(config.upstream_addresses(auth), ["127.0.0.1:8081"]);
    assert!(config.redis_url().expose_secret().starts_with("redis+unix:///"));
    assert!(config.redis_url().expose_secret().ends_with("/data/redis.sock"));
    assert!(config.auth_database_url().expose_secret().ends_with("/data/auth.db"));
}

#[test]
fn the_default_routes_are_those_of_the_design() {
    let config = Config::load(&Sources::default()).expect("good").config;
    let mut table = matchit::Router::new();
    for route in &config.gateway.routes {
        let methods =
            if route.methods.is_empty() { vec!["*".to_owned()] } else { route.methods.clone() };
        if let Ok(at) = table.at_mut(&route.path)
            && let Some(list) = at_exactly(at.value, &route.path)
        {
            list.push((methods, route));
            continue;
        }
        table
            .insert(route.path.clone(), (route.path.clone(), vec![(methods, route)]))
            .expect("pattern");
    }
    let find = |method: &str, path: &str| {
        let (_, routes) = table.at(path).ok()?.value;
        routes
            .iter()
            .find(|(methods, _)| methods.iter().any(|it| it == "*" || it == method))
            .map(|(_, route)| *route)
    };
    for (method, path, upstream, authenticate, scope) in [
        ("GET", "/.well-known/openid-configuration", "auth", Nobody, ""),
        ("GET", "/.well-known/oauth-authorization-server", "auth", Nobody, ""),
        ("POST", "/oauth2/token", "auth", Nobody, ""),
        ("GET", "/oauth2/authorize", "auth", Nobody, ""),
        ("POST", "/login", "auth", Nobody, ""),
        ("POST", "/login/code", "auth", Nobody, ""),
        ("GET", "/mfa", "auth", Nobody, ""),
        ("GET", "/mfa/totp", "auth", Nobody, ""),
        ("GET", "/register", "auth", Nobody, ""),
        ("POST", "/consent", "auth", Nobody, ""),
        ("GET", "/device", "auth", Nobody, ""),
        ("GET", "/account", "auth", Nobody, ""),
        ("GET", "/account/sessions", "auth", Nobody, ""),
        ("GET", "/admin", "auth", Nobody, ""),
        ("GET", "/static/style.css", "auth", Nobody, ""),
        ("GET", "/api/v1/openapi.json", "reservation", Nobody, ""),
        ("GET", "/api/v1/inventory", "reservation", Nobody, ""),
        ("GET", "/api/v1/inventory/inv_1", "reservation", Nobody, ""),
        ("POST", "/api/v1/inventory", "reservation", Required, "inventory:write"),
        ("PATCH", "/api/v1/inventory/inv_1", "reservation", Required, "inventory:write"),
        ("POST", "/api/v1/inventory/import", "reservation", Required, "inventory:write"),
        ("POST", "/api/v1/reservations", "reservation", Required, "reservations:write"),
        ("GET", "/api/v1/reservations", "reservation", Required, "reservations:read"),
        ("GET", "/api/v1/reservations/rsv_1", "reservation", Required, "reservations:read"),
        ("GET", "/api/v1/reservations/rsv_1/events", "reservation", Required, "reservations:read"),
        (
            "POST",
            "/api/v1/reservations/rsv_1/confirm",
            "reservation",
            Required,
            "reservations:write",
        ),
        (
            "POST",
            "/api/v1/reservations/rsv_1/cancel",
            "reservation",
            Required,
            "reservations:write",
        ),
        ("GET", "/", "reservation", Optional, ""),
        ("GET", "/assets/page.css", "reservation", Nobody, ""),
        ("GET", "/reservations/rsv_1", "reservation", Required, "reservations:read"),
        ("POST", "/reservations/rsv_1/cancel", "reservation", Required, "reservations:write"),
    ] {
        let route = find(method, path).unwrap_or_else(|| panic!("{method} {path}"));
        assert_eq!(route.upstream, upstream, "{method} {path}");
        assert_eq!(route.authenticate, authenticate, "{method} {path}");
        assert_eq!(route.scopes.join(" "), scope, "{method} {path}");
        // What is read through the API is read without Redis too (design section 6); nothing is written.
        if method != "GET" {
            assert_eq!(route.when_stale, WhenStale::Deny, "{method} {path}");
        } else if scope == "reservations:read" {
            assert_eq!(route.when_stale, WhenStale::Allow, "{method} {path}");
        }
    }
    for (method, path) in [
        ("DELETE", "/api/v1/inventory/inv_1"),
        ("GET", "/metrics"),
        ("GET", "/session"),
        ("GET", "/api/v1/reservations/rsv_1/unknown"),
        ("GET", "/nowhere"),
    ] {
        assert!(find(method, path).is_none(), "{method} {path}");
    }
    let public = config.gateway.limits.iter().find(|it| it.name == "public").expect("public");
    assert_eq!(public.key, LimitKey::Address);
}

#[test]
fn the_pages_of_a_role_get_their_cookies() {
    let config = Config::load(&Sources::default()).expect("good").config;
    // A sign-in cannot be finished without its cookies, over https and over http on localhost.
    let auth = config.gateway.upstreams.iter().find(|it| it.name == "auth").expect("auth");
    for name in ["haetae-sso", "haetae-flow"] {
        for cookie in [name.to_owned(), format!("__Host-Http-{name}")] {
            assert!(config.upstream_cookies(auth).contains(&cookie), "{cookie}");
        }
    }
    // Who lists the instances of the authserver need not know its cookies; who lists cookies means these alone.
    let elsewhere =
        crate::gateway::Upstream { addresses: vec!["auth:8081".to_owned()], ..auth.clone() };
    assert_eq!(config.upstream_cookies(&elsewhere), config.upstream_cookies(auth));
    let none = crate::gateway::Upstream { cookies: Some(Vec::new()), ..auth.clone() };
    assert!(config.upstream_cookies(&none).is_empty());
    let shop = crate::gateway::Upstream { name: "shop".to_owned(), ..auth.clone() };
    assert!(config.upstream_cookies(&shop).is_empty());
}

type Found<'route> = (String, Vec<(Vec<String>, &'route crate::gateway::Route)>);

fn at_exactly<'found, 'route>(
    found: &'found mut Found<'route>,
    path: &str,
) -> Option<&'found mut Vec<(Vec<String>, &'route crate::gateway::Route)>> {
    (found.0 == path).then_some(&mut found.1)
}

#[test]
fn each_layer_lies_over_the_one_before() {
    let folder = Folder::new("layers");
    let file = folder.file(
        "[gateway]\nlisten = \"127.0.0.1:1001\"\nthreads = 1\ndrain = \"1s\"\n[auth.tokens]\nid = \"1m\"",
    );
    let sources = Sources {
        file: Some(file.clone()),
        look_in: None,
        environment: environment(&[
            ("HAETAE__GATEWAY__LISTEN", "127.0.0.1:1002"),
            ("HAETAE__GATEWAY__THREADS", "2"),
            ("HAETAE__GATEWAY__ADMIN__LISTEN", ""),
            ("PATH", "/bin"),
        ]),
        overrides: vec![Override {
            flag: "--listen".to_owned(),
            key: "gateway.listen".to_owned(),
            text: "127.0.0.1:1003".to_owned(),
        }],
        ..Sources::default()
    };
    let loaded = Config::load(&sources).expect("good");
    assert_eq!(loaded.file, Some(file));
    let gateway = loaded.config.gateway;
    assert_eq!(gateway.listen.port(), 1003, "the flag");
    assert_eq!(gateway.threads, 2, "the environment");
    assert_eq!(gateway.drain, Duration::from_secs(1), "the file");
    assert_eq!(gateway.max_headers, 100, "the defaults");
    assert_eq!(gateway.admin.listen.port(), 9080, "an empty variable is not set");
    assert_eq!(
        loaded.config.auth.tokens.access,
        Duration::from_secs(300),
        "beside a key of the file"
    );
}

#[test]
fn the_environment_sets_every_kind_of_value() {
    let sources = Sources {
        environment: environment(&[
            ("HAETAE__GATEWAY__ACCESS_LOG", "false"),
            ("HAETAE__GATEWAY__MAX_BODY_BYTES", "1048576"),
            ("HAETAE__GATEWAY__TRUSTED_PROXIES", "10.0.0.0/8, ::1"),
            ("HAETAE__KEYS__ALGORITHMS", "[\"EdDSA\"]"),
            ("HAETAE__LOG__FORMAT", "json"),
            ("HAETAE__REDIS__URL", "{ env = \"MY_REDIS\" }"),
            ("HAETAE__DATABASE__AUTH_URL", "postgres://u:p@h/db"),
            ("HAETAE__KEYS__MASTER_KEY", "12345"),
            ("HAETAE__AUTH__TRUSTED_PROXIES", ""),
            ("MY_REDIS", "redis://:hunter2@cache:6379"),
        ]),
        ..Sources::default()
    };
    let config = Config::load(&sources).expect("good").config;
    assert!(!config.gateway.access_log);
    assert_eq!(config.gateway.max_body_bytes.bytes(), 1 << 20);
    assert_eq!(config.gateway.trusted_proxies.len(), 2);
    assert_eq!(config.keys.algorithms, [crate::keys::Algorithm::EdDsa]);
    assert_eq!(config.redis_url().expose_secret(), "redis://:hunter2@cache:6379");
    assert_eq!(config.auth_database_url().expose_secret(), "postgres://u:p@h/db");
    assert_eq!(config.master_key().expect("set").expose_secret(), "12345");
    assert_eq!(config.auth.trusted_proxies, []);
    for text in [config.to_toml(), format!("{config:?}")] {
        for secret in ["hunter2", "u:p@h", "12345"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
    assert!(config.to_toml().contains("auth_url = \"***\""));
}

#[test]
fn every_mistake_is_told_at_once_with_its_line() {
    let text = r#"publik_url = "http://localhost:8080"

[gateway]
listen = "eighty"
threads = "many"
drain = 10
max_body_bytes = "10MB"
trusted_proxies = ["10.0.0.0/8", "somewhere", "::1", "else"]

[gateway.brwser]
client_id = "x"

[auth.tokens]
access = "5 minutes"

[log]
format = "xml"
level = "info"

[keys]
master_key = 42
algorithms = [
  "ES256",
  "HS256",
]
"#;
    assert_eq!(
        told("types", text),
        [
            "1: publik_url: unknown key; did you mean public_url?",
            "4: gateway.listen: \"eighty\": not an address to listen on; write IP:PORT, such as \
             127.0.0.1:8080 or [::]:8080",
            "5: gateway.threads: this is the string \"many\", expected a whole number from 0 to 65535",
            "6: gateway.drain: this is the integer `10`, expected a duration such as \"10s\" or \"5m\"",
            "7: gateway.max_body_bytes: \"10MB\": not a size; write a number of bytes, or one with B, \
             KiB, MiB or GiB, such as 10MiB",
            "8: gateway.trusted_proxies[1]: \"somewhere\": not a range of IP addresses; write one such \
             as 10.0.0.0/8, 2001:db8::/32 or 192.0.2.7",
            "8: gateway.trusted_proxies[3]: \"else\": not a range of IP addresses; write one such as \
             10.0.0.0/8, 2001:db8::/32 or 192.0.2.7",
            "10: gateway.brwser: unknown key; did you mean browser?",
            "14: auth.tokens.access: \"5 minutes\": not a duration; write numbers with units, such as \
             250ms, 10s, 5m, 1h30m or 30d",
            "17: log.format: this is `xml`, expected `text` or `json`",
            "21: keys.master_key: a secret is a text: put it in quotes",
            "24: keys.algorithms[1]: this is `HS256`, expected one of `ES256`, `RS256`, `EdDSA`",
        ]
    );
}

#[test]
fn what_names_something_that_is_not_there_is_told_with_its_line() {
    let text = r#"public_url = "http://localhost:8080/app"

[[gateway.limits]]
name = "few"
key = "address"
quota = 0
window = "0s"
burst = 3

[[gateway.upstreams]]
name = "auth"

[[gateway.upstreams]]
name = "shop"
addresses = ["shop:0"]

[[gateway.routes]]
name = "one"
path = "/a/{id}"
upstream = "shop"
limits = ["few", "many"]

[[gateway.routes]]
name = "two"
path = "/a/{name}"
upstream = "shpo"
authenticate = "none"
scopes = ["read write"]

[[gateway.routes]]
name = "two"
path = "/b/{*rest}/c"
upstream = "shop"
methods = ["get"]
cors_origins = ["https://app.example/"]
host = "Example.com:80"

[[gateway.routes]]
path = "session"
upstream = "shop"

[[gateway.routes]]
name = "again"
path = "/a/{id}"
upstream = "shop"
methods = ["POST"]

[auth.tokens]
leeway = "5m"
refresh_idle = "100d"
"#;
    assert_eq!(
        told("meaning", text),
        [
            "1: public_url: must be scheme, host and port only, without path or query",
            "6: gateway.limits[0].quota: a quota of 0 lets nothing through; take the limit out, or the \
             route",
            "7: gateway.limits[0].window: must be longer than zero",
            "8: gateway.limits[0].burst: cannot be more than the quota",
            "15: gateway.upstreams[1].addresses: \"shop:0\" is not HOST:PORT",
            "21: gateway.routes[0].limits: there is no limit \"many\"; there are: few",
            "25: gateway.routes[1].path: \"/a/{name}\" cannot be told apart from \"/a/{id}\"",
            "26: gateway.routes[1].upstream: there is no upstream \"shpo\"; there are: auth, shop",
            "28: gateway.routes[1].scopes: \"read write\" is not a scope (RFC 6749 3.3)",
            "28: gateway.routes[1].scopes: needs authenticate = \"required\" or \"optional\"",
            "31: gateway.routes[2].name: there are two routes two",
            "32: gateway.routes[2].path: \"/b/{*rest}/c\" is not a pattern: Catch-all parameters are \
             only allowed at the end of a route",
            "34: gateway.routes[2].methods: \"get\" is not a method; write them as in GET",
            "35: gateway.routes[2].cors_origins: \"https://app.example/\" is not an origin; write it as \
             in https://app.example",
            "36: gateway.routes[2].host: \"Example.com:80\" is not a host in lower case, without port",
            "38: gateway.routes[3]: the key name is missing",
            "39: gateway.routes[3].path: \"session\" does not begin with /",
            "44: gateway.routes[4].path: the route one has this path and one of these methods already",
            "49: auth.tokens.leeway: 5m is too long; at most 1m",
            "50: auth.tokens.refresh_idle: 100d is too long; at most 90d (auth.tokens.refresh_absolute)",
        ]
    );
}

#[test]
fn a_file_that_is_not_toml_is_told_with_every_line() {
    let told = told(
        "syntax",
        "[gateway\nlisten = \"127.0.0.1:1\"\n\nthreads = = 3\n[auth]\nnonsense = 1\n",
    );
    assert!(told.iter().any(|it| it.starts_with("1: not TOML: ")), "{told:?}");
    assert!(told.iter().any(|it| it.starts_with("4: not TOML: ")), "{told:?}");
    assert!(told.iter().any(|it| it.starts_with("6: auth.nonsense: unknown key")), "{told:?}");
}

#[test]
fn a_wrong_value_of_an_element_is_told_and_the_rest_of_it_too() {
    let text = "[[gateway.routes]]\nname = 1\npath = 2\nupstream = \"nobody\"\ntimeout = \"x\"\nlimits = [3]\n";
    let told = told("element", text);
    assert_eq!(told.len(), 5, "{told:#?}");
    for (line, key) in [(2, "name"), (3, "path"), (4, "upstream"), (5, "timeout"), (6, "limits[0]")]
    {
        let start = format!("{line}: gateway.routes[0].{key}: ");
        assert!(told.iter().any(|it| it.starts_with(&start)), "{start} in {told:#?}");
    }
}

#[test]
fn a_table_where_a_value_belongs_and_the_other_way_round() {
    let told = told("kinds", "gateway = 3\n[public_url]\nx = 1\n[log]\nlevel = [1]\n");
    assert_eq!(
        told,
        [
            "1: gateway: this is the integer `3`, expected a table",
            "2: public_url: this is a table, expected a string representing an URL",
            "5: log.level: this is a list, expected a string",
        ]
    );
}

#[test]
fn variables_and_flags_are_told_by_their_name() {
    let sources = Sources {
        environment: environment(&[
            ("HAETAE__GATEWAY__LISTNE", "127.0.0.1:1"),
            ("HAETAE__WHATEVER", "1"),
            ("HAETAE__GATEWAY__THREADS", "x"),
            ("HAETAE__REDIS__URL", "http://secret.example"),
            ("HAETAE__LOG__LEVEL", "info,=x=y"),
            ("HAETAE__GATEWAY__TLS", "yes"),
        ]),
        overrides: vec![Override {
            flag: "--set".to_owned(),
            key: "gateway.lisen".to_owned(),
            text: "x".to_owned(),
        }],
        ..Sources::default()
    };
    let mistakes = Config::load(&sources).expect_err("mistakes");
    let told: Vec<String> = mistakes.as_slice().iter().map(Mistake::to_string).collect();
    for expected in [
        "environment variable HAETAE__GATEWAY__LISTNE: no setting has this name; did you mean \
         HAETAE__GATEWAY__LISTEN?",
        "environment variable HAETAE__WHATEVER: no setting has this name; see `haetae config print`",
        "environment variable HAETAE__GATEWAY__THREADS: gateway.threads: this is the string \"x\", \
         expected a whole number from 0 to 65535",
        "environment variable HAETAE__REDIS__URL: redis.url: must be a URL that begins redis:, \
         rediss:, redis+unix:, unix:",
        "environment variable HAETAE__GATEWAY__TLS: gateway.tls: is a table: set its keys, or write it \
         as TOML, { key = … }",
        "flag --set: gateway.lisen: no setting has this name; did you mean gateway.listen?",
    ] {
        assert!(told.iter().any(|it| it == expected), "{expected}\nin {told:#?}");
    }
    assert!(
        told.iter()
            .any(|it| it.starts_with("environment variable HAETAE__LOG__LEVEL: log.level: ")),
        "{told:#?}"
    );
    assert_eq!(told.len(), 7, "{told:#?}");
}

#[test]
fn secrets_in_files_are_relative_to_the_file_that_says_so() {
    let folder = Folder::new("secrets");
    fs::write(folder.0.join("master"), "sesame\n").expect("file");
    let file =
        folder.file("keys.master_key = { file = \"master\" }\nredis.url = { file = \"gone\" }\n");
    let sources = Sources { file: Some(file.clone()), ..Sources::default() };
    let mistakes = Config::load(&sources).expect_err("gone").to_string();
    assert!(
        mistakes.starts_with(&format!(
            "{}:2: redis.url: cannot read the secret redis.url from ",
            file.display()
        )),
        "{mistakes}"
    );
    let file = folder.file("keys.master_key = { file = \"master\" }\n");
    let sources = Sources { file: Some(file), ..Sources::default() };
    let config = Config::load(&sources).expect("good").config;
    assert_eq!(config.master_key().expect("read").expose_secret(), "sesame");
}

#[test]
fn the_file_of_the_data_folder_is_found() {
    let folder = Folder::new("found");
    fs::write(folder.0.join(FILE_NAME), "log.level = \"debug\"").expect("file");
    let data_dir = Override {
        flag: "--data-dir".to_owned(),
        key: "data_dir".to_owned(),
        text: folder.0.display().to_string(),
    };
    let loaded = Config::load(&Sources {
        overrides: vec![data_dir],
        look_in: Some("nowhere".into()),
        ..Sources::default()
    })
    .expect("good");
    assert_eq!(loaded.file, Some(folder.0.join(FILE_NAME)));
    assert_eq!(loaded.config.log.level, "debug");
    assert_eq!(loaded.config.data_dir, folder.0);
}

#[test]
fn plain_http_beyond_localhost_is_a_warning() {
    let sources = Sources {
        environment: environment(&[("HAETAE__PUBLIC_URL", "http://shop.example")]),
        ..Sources::default()
    };
    let loaded = Config::load(&sources).expect("allowed");
    assert_eq!(loaded.warnings.len(), 1);
    assert!(loaded.warnings[0].to_string().contains("public_url: http sends passwords"));
}

#[test]
fn what_is_printed_can_be_read_again() {
    let folder = Folder::new("printed");
    let config = Config::load(&Sources::default()).expect("good").config;
    let file = folder.file(&config.to_toml());
    let again = Config::load(&Sources { file: Some(file), ..Sources::default() }).expect("good");
    assert_eq!(again.config.to_toml(), config.to_toml());
}

#[test]
fn the_public_address_follows_the_port_of_the_gateway_until_it_is_set() {
    let listen = ("HAETAE__GATEWAY__LISTEN", "127.0.0.1:8123");
    let load = |settings: &[(&str, &str)]| {
        let sources = Sources { environment: environment(settings), ..Sources::default() };
        Config::load(&sources).expect("good")
    };
    let followed = load(&[listen]);
    assert!(!followed.public_url_given);
    assert_eq!(followed.config.issuer(), "http://localhost:8123");
    let set = load(&[listen, ("HAETAE__PUBLIC_URL", "https://shop.example")]);
    assert!(set.public_url_given);
    assert_eq!(set.config.issuer(), "https://shop.example");
    assert_eq!(
        load(&[("HAETAE__GATEWAY__LISTEN", "127.0.0.1:0")]).config.issuer(),
        "http://localhost:8080"
    );
}

#[test]
fn two_listeners_on_one_address_are_refused() {
    let sources = Sources {
        environment: environment(&[("HAETAE__AUTH__LISTEN", "127.0.0.1:8080")]),
        ..Sources::default()
    };
    let told = Config::load(&sources).expect_err("refused").to_string();
    assert_eq!(
        told,
        "environment variable HAETAE__AUTH__LISTEN: auth.listen: gateway.listen listens on \
         127.0.0.1:8080 already"
    );
}

#[test]
fn what_a_flag_implies_is_a_default_like_any_other() {
    let implied = |key: &str, text: &str| Override {
        flag: "--https".to_owned(),
        key: key.to_owned(),
        text: text.to_owned(),
    };
    let mut sources = Sources {
        implied: vec![
            implied("public_url", "https://localhost"),
            implied("gateway.listen", "127.0.0.1:8443"),
        ],
        ..Sources::default()
    };
    let loaded = Config::load(&sources).expect("good");
    assert!(!loaded.public_url_given);
    assert_eq!(loaded.config.public_origin(), "https://localhost:8443");
    sources.environment = environment(&[("HAETAE__GATEWAY__LISTEN", "127.0.0.1:9443")]);
    let loaded = Config::load(&sources).expect("good");
    assert_eq!(loaded.config.public_origin(), "https://localhost:9443");
    sources.environment = environment(&[("HAETAE__PUBLIC_URL", "https://haetae.example")]);
    let loaded = Config::load(&sources).expect("good");
    assert!(loaded.public_url_given);
    assert_eq!(loaded.config.public_origin(), "https://haetae.example");
}

#[test]
fn a_role_reads_the_secrets_that_it_uses_and_no_others() {
    let folder = Folder::new("some-secrets");
    let file = folder.file(
        "[keys]\nmaster_key = { file = \"nowhere\" }\n[database]\nauth_url = { env = \"NOT_SET\" }\n\
         [redis]\nurl = { env = \"REDIS\" }\n[gateway.tls]\ncertificate = \"a.crt\"\nkey = \"a.key\"\n",
    );
    let sources = Sources {
        file: Some(file),
        environment: environment(&[("REDIS", "redis://127.0.0.1")]),
        secrets: Secrets::Only(&["redis.url"]),
        ..Sources::default()
    };
    let config = Config::load(&sources).expect("it has what it uses").config;
    assert_eq!(config.redis_url().expose_secret(), "redis://127.0.0.1");
    // What is set and was not read is not mistaken for what is not set.
    assert_eq!(config.auth_database_url().expose_secret(), "");
    assert_eq!(config.master_key().expect("empty").expose_secret(), "");
    let mistakes = Config::load(&Sources { secrets: Secrets::All, ..sources }).expect_err("bad");
    let mut keys: Vec<&str> = mistakes.as_slice().iter().map(|it| it.key.as_str()).collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        ["database.auth_url", "gateway.tls.certificate", "gateway.tls.key", "keys.master_key"]
    );
}

#[test]
fn a_broken_url_is_told_without_the_password_in_it() {
    let told = told(
        "urls",
        "[redis]\nurl = \"redis://:hunter2@127.0.0.1:port/0\"\n[database]\n\
         auth_url = \"postgres://ann:hunter2@@:x:/h\"\nreservation_url = \"mysql://hunter2@h\"\n",
    );
    for (line, said) in [
        ("2: redis.url: ", "not a URL"),
        ("4: database.auth_url: ", "not a URL"),
        ("5: database.reservation_url: ", "must be a URL that begins sqlite:"),
    ] {
        assert!(told.iter().any(|it| it.contains(line) && it.contains(said)), "{line}{told:?}");
    }
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told.iter().all(|it| !it.contains("hunter2")), "{told:?}");
}
