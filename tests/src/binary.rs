//! The built `haetae`: where it is, and running it once to its end.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::LazyLock,
    time::Duration,
};

use tokio::io::{AsyncBufReadExt, BufReader};

/// The root of the source tree.
pub fn source_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ has a parent").to_owned()
}

/// The binary under test: `HAETAE_BIN`, or the one beside this test, built anew when it is stale.
pub fn path() -> &'static Path {
    static PATH: LazyLock<PathBuf> = LazyLock::new(|| {
        if let Some(path) = std::env::var_os("HAETAE_BIN") {
            return PathBuf::from(path);
        }
        // target/PROFILE/deps/it-HASH
        let test = std::env::current_exe().expect("a test knows its own path");
        let folder = test.ancestors().nth(2).expect("cargo's layout of target/").to_owned();
        let profile = match folder.file_name().and_then(OsStr::to_str) {
            Some("debug") | None => "dev",
            Some(other) => other,
        };
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        // What `cargo test` says about this package would make build scripts run again that look at it.
        for (name, _) in std::env::vars_os() {
            let about_this = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CRATE_", "CARGO_BIN_"];
            if name.to_str().is_some_and(|name| about_this.iter().any(|it| name.starts_with(it))) {
                cargo.env_remove(name);
            }
        }
        let built = cargo
            .current_dir(source_root())
            .args(["build", "--quiet", "--bin", "haetae", "--profile", profile, "--target-dir"])
            .arg(folder.parent().expect("cargo's layout of target/"))
            .status()
            .expect("cargo starts");
        assert!(built.success(), "haetae does not build");
        folder.join("haetae")
    });
    &PATH
}

/// What a run of the binary left.
#[derive(Debug)]
pub struct Finished {
    /// The exit status; none when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Finished {
    /// Asserts exit status 0 and returns the standard output.
    pub fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self.stdout
    }

    /// Asserts exit status 1 and an error in plain words: no panic, no backtrace. Returns it.
    pub fn refused(self) -> String {
        assert_eq!(self.code, Some(1), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        for word in ["panicked", "RUST_BACKTRACE", "stack backtrace"] {
            assert!(!self.stderr.contains(word), "not for a person: {}", self.stderr);
        }
        assert!(!self.stderr.trim().is_empty(), "it says nothing on standard error");
        self.stderr
    }
}

/// How long a run may take: the longest, an import of a third of a million items, takes a minute when
/// nothing else runs and the build is optimised.
const LONGEST: Duration = Duration::from_mins(10);

/// Runs the binary with `arguments` and `environment` to its end.
pub async fn run<A: AsRef<OsStr>>(arguments: &[A], environment: &[(&str, &str)]) -> Finished {
    run_in(Path::new("/"), arguments, environment).await
}

/// Like [`run`], in the folder `folder`.
pub async fn run_in<A: AsRef<OsStr>>(
    folder: &Path,
    arguments: &[A],
    environment: &[(&str, &str)],
) -> Finished {
    let child = start_in(folder, arguments, environment);
    let output = tokio::time::timeout(LONGEST, child.wait_with_output())
        .await
        .expect("haetae ends in time")
        .expect("its output can be read");
    Finished {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Starts the binary in `folder`, with pipes for what it says.
pub fn start_in<A: AsRef<OsStr>>(
    folder: &Path,
    arguments: &[A],
    environment: &[(&str, &str)],
) -> tokio::process::Child {
    let mut command = tokio::process::Command::new(path());
    command
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    clean(command.as_std_mut());
    command.envs(environment.iter().copied());
    command.spawn().expect("haetae starts")
}

/// Starts `haetae up` and waits until it serves, or ends. What it said until then comes with it; nobody reads
/// the rest.
pub async fn up_in(
    folder: &Path,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> (tokio::process::Child, String) {
    let mut up = start_in(folder, &[&["up"], arguments].concat(), environment);
    let mut lines = BufReader::new(up.stdout.take().expect("a pipe")).lines();
    let mut said = String::new();
    while let Some(line) = lines.next_line().await.expect("text") {
        said += &line;
        said.push('\n');
        if line.starts_with("Ctrl-C stops it") {
            break;
        }
    }
    (up, said)
}

/// Settings that make every role pick a free port.
pub const FREE_PORTS: [(&str, &str); 7] = [
    ("HAETAE__GATEWAY__LISTEN", "127.0.0.1:0"),
    ("HAETAE__GATEWAY__ADMIN__LISTEN", "127.0.0.1:0"),
    ("HAETAE__AUTH__LISTEN", "127.0.0.1:0"),
    ("HAETAE__AUTH__ADMIN__LISTEN", "127.0.0.1:0"),
    ("HAETAE__RESERVATION__LISTEN", "127.0.0.1:0"),
    ("HAETAE__RESERVATION__ADMIN__LISTEN", "127.0.0.1:0"),
    ("HAETAE__WORKER__ADMIN__LISTEN", "127.0.0.1:0"),
];

/// Takes settings of the caller's own environment away from `command`.
pub(crate) fn clean(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("HAETAE") {
            command.env_remove(name);
        }
    }
    command.env_remove("RUST_LOG").env("RUST_BACKTRACE", "1");
}
