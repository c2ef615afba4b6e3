//! A client library that is not ours: Authlib, in Python, as the native client `demo-mobile`.

use std::process::Stdio;

use haetae_tests::{
    binary,
    stack::{Options, Stack},
};

#[tokio::test]
async fn authlib_signs_in_reserves_refreshes_and_leaves() {
    let stack = Stack::start(Options::default()).await;
    let root = binary::source_root();
    let output = tokio::process::Command::new(root.join("target/venv-interop/bin/python"))
        .arg(root.join("tests/interop/authlib_client.py"))
        .arg(stack.data_dir().join("demo.json"))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(std::time::Duration::from_mins(2), output)
        .await
        .expect("it ends")
        .expect("Python (scripts/setup test installs it)");
    let (out, error) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{out}");
    assert!(output.status.success(), "{out}\n{error}");
    // Every step that the script announces was reached.
    for step in [
        "discovered",
        "signed in",
        "id token verified",
        "reserved",
        "refreshed",
        "single sign-on",
        "revoked",
        "signed out",
        "service token",
    ] {
        assert!(out.lines().any(|line| line.starts_with(step)), "{step} is missing:\n{out}");
    }
}
