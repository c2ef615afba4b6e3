//! Requests that an application's page posts, in a real browser: it sends no Lax cookie along with them.

use std::fmt::Write;

use haetae_tests::{
    browser::Browser,
    oidc::{self, SCOPE},
    stack::{Options, Stack},
};
use url::Url;

/// A page of another site whose form posts `fields` to `to` by itself.
fn page(to: &Url, fields: &[(String, String)]) -> String {
    let mut inputs = String::new();
    for (name, value) in fields {
        write!(inputs, "<input name=\"{name}\" value=\"{value}\">").expect("text");
    }
    format!(
        "<form method=post action=\"{to}\">{inputs}</form><script>document.forms[0].submit()</script>"
    )
}

#[tokio::test]
async fn it_finds_who_is_signed_in_and_signs_them_out() {
    let stack = Stack::start(Options::default()).await;
    let demo = stack.demo().user("demo").clone();
    let browser = Browser::open("posted", "en-US", 1000, 700).await;
    browser.goto(&stack.url("/login")).await;
    browser.fill("username", &demo.username).await;
    browser.fill("password", &demo.password).await;
    browser.click("main button[type=submit]").await;
    browser.await_path("the account", |path| path == "/account").await;
    let file = stack.folder().join("application.html");
    let open = async |to: &str, fields: &[(String, String)]| {
        std::fs::write(&file, page(&stack.url(to), fields)).expect("a file");
        browser.goto(&Url::from_file_path(&file).expect("a path")).await;
    };

    // The consent page greets the person; it would be the login page if nobody were signed in.
    let partner = oidc::Client::new(&stack, stack.demo().client("demo-partner"));
    let request = partner.request(SCOPE, &[]).url;
    let fields: Vec<_> = request.query_pairs().into_owned().collect();
    open("/oauth2/authorize", &fields).await;
    browser.await_text(&["You are signed in as Demo"]).await;

    // Nobody is told to be signed out who is not: the person is asked, and then it is so.
    open("/oauth2/logout", &[("client_id".to_owned(), "demo-partner".to_owned())]).await;
    browser.await_text(&["Sign out?", "Partner Travel asks to sign you out"]).await;
    browser.click("main button[type=submit]").await;
    browser.await_text(&["You are signed out"]).await;
    browser.goto(&stack.url("/account")).await;
    browser.await_path("the login page", |path| path == "/login").await;
    browser.close().await;
}
