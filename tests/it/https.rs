//! `haetae up --https`: the development CA, HTTP/1.1 and HTTP/2 over TLS, and the cookies of a site that is
//! served by https, which a real browser has the last word about.

use std::time::Duration;

use haetae_tests::{
    agent::{self, Agent},
    binary::{FREE_PORTS, up_in},
    browser::Browser,
    stack::{Options, Stack, send_signal},
};
use reqwest::{Version, header::SET_COOKIE};

fn authority(stack: &Stack) -> String {
    std::fs::read_to_string(stack.data_dir().join("tls/ca.crt")).expect("the development CA")
}

#[tokio::test]
async fn who_trusts_its_authority_is_served_over_both_versions() {
    let mut stack = Stack::start(Options::default().https().keeping_ports()).await;
    let pem = authority(&stack);
    assert_eq!(stack.public_url().scheme(), "https");
    for (client, version) in [
        (agent::trusting(&pem).build().unwrap(), Version::HTTP_2),
        (agent::trusting(&pem).http1_only().build().unwrap(), Version::HTTP_11),
    ] {
        let answer = client.get(stack.url("/api/v1/inventory")).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.version()), (200, version));
        for path in ["/", "/api/v1/inventory", "/session", "/login", "/nowhere"] {
            let answer = client.get(stack.url(path)).send().await.unwrap();
            let fields: Vec<_> =
                answer.headers().get_all("strict-transport-security").iter().collect();
            assert_eq!(fields, ["max-age=31536000"], "{path}");
        }
        let found =
            client.get(stack.url("/.well-known/openid-configuration")).send().await.unwrap();
        let found: serde_json::Value = found.json().await.unwrap();
        let issuer = stack.public_url().as_str().trim_end_matches('/');
        assert_eq!(found["issuer"], issuer);
        assert_eq!(found["token_endpoint"], format!("{issuer}/oauth2/token"));
        // Identity from outside is refused over HTTP/2 as over HTTP/1.1.
        let forged = client.get(stack.url("/")).header("x-haetae-subject", "admin");
        assert_eq!(forged.send().await.unwrap().status(), 400, "{version:?}");
    }
    // Who does not, is not; and nobody is served without TLS.
    let stranger = agent::http().get(stack.url("/")).send().await;
    assert!(stranger.is_err(), "{stranger:?}");
    let plain = format!("http://{}/", stack.gateway());
    let plain = agent::http().get(plain).send().await;
    assert!(plain.is_err() || plain.is_ok_and(|answer| answer.status() == 400));

    stack.stop().await;
    stack.start_up().await;
    assert_eq!(authority(&stack), pem, "trust outlives a restart");
    let again = agent::trusting(&pem).build().unwrap().get(stack.url("/")).send().await;
    assert_eq!(again.expect("the new certificate is under the same authority").status(), 200);
}

#[tokio::test]
async fn cookies_are_bound_to_the_host_and_to_https() {
    let stack = Stack::start(Options::default().https()).await;
    let agent = Agent::over(agent::trusting(&authority(&stack)).build().unwrap());
    let page = agent.open(stack.url("/session/login?return_to=/reservations")).await;
    let demo = stack.demo().user("demo");
    let form = page.form_with("password").expect("the login page");
    let form = form.with("username", &demo.username).with("password", &demo.password);
    let mut page = agent.submit(&page, &form).await;
    let mut set = Vec::new();
    for _ in 0..8 {
        set.extend(
            page.headers.get_all(SET_COOKIE).iter().map(|it| it.to_str().unwrap().to_owned()),
        );
        match page.location().or_else(|| page.refresh()) {
            Some(next) => page = agent.get(&next).await,
            None => break,
        }
    }
    assert_eq!((page.status.as_u16(), page.url.path()), (200, "/reservations"), "{}", page.text());
    let find = |name: &str| {
        let start = format!("{name}=");
        set.iter()
            .find(|field| field.starts_with(&start))
            .unwrap_or_else(|| panic!("{name}: {set:#?}"))
    };
    for (name, same_site) in
        [("__Host-Http-haetae", "SameSite=Strict"), ("__Host-Http-haetae-sso", "SameSite=Lax")]
    {
        let field = find(name);
        for attribute in ["; Path=/", "; Secure", "; HttpOnly", same_site] {
            assert!(field.contains(attribute), "{attribute}: {field}");
        }
        assert!(!field.contains("Domain"), "{field}");
    }
    // The names of plain http mean nothing here: a cookie that a network attacker can plant.
    let planted = Agent::over(agent::trusting(&authority(&stack)).build().unwrap());
    planted.set_cookie("haetae", &agent.cookie("__Host-Http-haetae").unwrap());
    assert!(planted.get(stack.url("/reservations")).await.status.is_redirection());
}

#[tokio::test]
async fn a_real_browser_keeps_the_cookies_and_shows_them_to_no_script() {
    let stack = Stack::start(Options::default().https()).await;
    let browser = Browser::open("https", "en", 1280, 900).await;
    browser.goto(&stack.url("/session/login?return_to=/reservations")).await;
    let guest = stack.demo().user("guest");
    browser.fill("username", &guest.username).await;
    browser.fill("password", &guest.password).await;
    browser.screenshot("01-login").await;
    browser.click("button[type='submit'], form button").await;
    browser.await_path("signed in", |path| path == "/reservations").await;
    browser.screenshot("02-reservations").await;
    let cookies = browser.client.get_all_cookies().await.expect("cookies");
    for name in ["__Host-Http-haetae", "__Host-Http-haetae-sso"] {
        let cookie = cookies.iter().find(|cookie| cookie.name() == name);
        let cookie = cookie.unwrap_or_else(|| panic!("{name}: {cookies:#?}"));
        assert_eq!((cookie.secure(), cookie.http_only()), (Some(true), Some(true)), "{name}");
    }
    assert_eq!(browser.script_cookies().await, "");
    // A script can call the API with nothing but the session.
    let script = "const a = arguments[arguments.length - 1];
        return fetch('/api/v1/reservations', { headers: { 'X-Haetae-Browser': '1' } }).then(r => r.status)";
    assert_eq!(browser.script(script).await, 200);
    browser.click("form[action='/session/logout'] button").await;
    browser
        .await_path("signed out", |path| path != "/reservations" && !path.starts_with("/session"))
        .await;
    haetae_tests::wait::until_true("the session is over", Duration::from_secs(10), async || {
        browser.script(script).await == 401
    })
    .await;
    browser.close().await;
}

/// `rediss://`, as in production: every role speaks TLS with a Redis whose certificate it can trust, and with no
/// other.
#[tokio::test]
async fn every_role_speaks_tls_with_redis() {
    let folder = tempfile::tempdir().unwrap();
    let up = async |arguments: &[&str], settings: &[(&str, &str)]| {
        let settings = [&FREE_PORTS[..], settings].concat();
        let (up, said) = up_in(folder.path(), arguments, &settings).await;
        if let Some(pid) = up.id() {
            send_signal("TERM", &pid.to_string());
        }
        let finished = up.wait_with_output().await.unwrap();
        (finished.status.code(), said, String::from_utf8_lossy(&finished.stderr).into_owned())
    };
    // A certificate for localhost, and who vouches for it.
    let (code, _, error) = up(&["--https"], &[]).await;
    assert_eq!(code, Some(0), "{error}");
    let tls = folder.path().join("data/tls");
    let file = |name: &str| tls.join(name).to_str().unwrap().to_owned();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let redis = tokio::process::Command::new("redis-server")
        .args(["--port", "0", "--bind", "127.0.0.1", "--tls-port", &port.to_string()])
        .args(["--tls-cert-file", &file("localhost.crt"), "--tls-key-file", &file("localhost.key")])
        .args(["--tls-ca-cert-file", &file("ca.crt"), "--tls-auth-clients", "no"])
        .args(["--requirepass", "hunter2", "--save", ""])
        .current_dir(folder.path())
        .stdout(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    haetae_tests::wait::until_true("Redis listens", Duration::from_secs(10), async || {
        tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok()
    })
    .await;
    let url = format!("rediss://:hunter2@localhost:{port}");
    let settings = [("HAETAE__REDIS__URL", url.as_str()), ("SSL_CERT_FILE", &file("ca.crt"))];
    let (code, said, error) = up(&["--demo"], &settings).await;
    assert_eq!(code, Some(0), "{said}{error}");
    for ready in ["auth ", "gateway ", "reservation ", "worker ", "Haetae is ready"] {
        assert!(said.contains(ready), "{ready}: {said}{error}");
    }
    assert!(!said.contains("hunter2"), "{said}");
    let (code, said, error) = up(&["--demo"], &settings[..1]).await;
    assert_eq!(code, Some(1), "{said}{error}");
    assert!(error.contains("certificate") && !error.contains("hunter2"), "{error}");
    drop(redis);
}
