//! The harness against what is known: a test that trusts a wrong instrument proves nothing.

use haetae_tests::{html, totp::Authenticator};

#[test]
fn reads_forms_like_a_browser() {
    let page = r#"<form action="/login?x=1&amp;y=2" method="POST"><input type=hidden name="csrf" value="a&quot;b">
        <input name='username' value=''><input type="checkbox" name="stay"><select name="s"><option value="1"><option value="2" selected>two</select>
        <button type="submit" name="decision" value="deny">No</button><button name="decision" value="allow">Yes</button></form>"#;
    let form = html::forms(page).remove(0);
    assert_eq!((form.action.as_str(), form.method.as_str()), ("/login?x=1&y=2", "post"));
    assert_eq!(form.value("csrf"), Some("a\"b"));
    assert_eq!(form.value("s"), Some("2"));
    assert!(!form.has("stay"), "an unchecked box is not sent");
    assert!(form.has("username") && !form.has("decision"));
    assert_eq!(form.pressing(&["allow"]).value("decision"), Some("allow"));
}

#[test]
fn makes_the_codes_of_rfc_6238() {
    // RFC 6238 appendix B uses this secret; the present code is checked against six digits only.
    let authenticator = Authenticator::from_base32("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
    assert_eq!(authenticator.code_at(59), "287082");
    assert_eq!(authenticator.code_at(1_111_111_109), "081804");
    assert_eq!(authenticator.code_at(20_000_000_000), "353130");
}

#[tokio::test]
async fn has_a_postgres_of_its_own() {
    let databases = haetae_tests::postgres::databases().await;
    assert_eq!(databases.reservation_sql("SELECT 1 + 1").await, "2");
}

#[tokio::test]
async fn steers_a_real_chromium() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("page.html");
    std::fs::write(&file, "<html lang=en><body><form><input name=x></form><p id=out>Hello</p><script>document.querySelector('[name=x]').oninput = event => out.textContent = event.target.value</script>").unwrap();
    let browser = haetae_tests::browser::Browser::open("harness", "ko-KR", 800, 600).await;
    browser.goto(&url::Url::from_file_path(&file).unwrap()).await;
    browser.fill("x", "안녕").await;
    browser.await_text(&["안녕"]).await;
    assert_eq!(browser.script("return navigator.languages[0]").await, "ko-KR");
    browser.close().await;
}
