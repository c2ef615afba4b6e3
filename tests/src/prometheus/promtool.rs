//! `promtool`, which comes with Prometheus.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::binary;

/// What a run of `promtool` said.
#[derive(Debug)]
pub struct Promtool {
    /// Whether it was content.
    pub success: bool,
    /// What it said.
    pub output: String,
}

impl Promtool {
    /// Runs it in the folder of the rules.
    pub fn run(arguments: &[&str]) -> Self {
        Self::run_in(&binary::source_root().join("deploy/prometheus"), arguments)
    }

    /// Runs it in `folder`.
    pub fn run_in(folder: &Path, arguments: &[&str]) -> Self {
        let output = Command::new(path())
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::null())
            .output()
            .expect("promtool (scripts/setup test fetches it)");
        let said = [output.stdout, output.stderr].concat();
        Self {
            success: output.status.success(),
            output: String::from_utf8_lossy(&said).into_owned(),
        }
    }

    /// Asserts that it was content.
    pub fn ok(self) {
        assert!(self.success, "{}", self.output);
    }
}

/// The one that scripts/setup fetched, or the system's.
fn path() -> PathBuf {
    let fetched = binary::source_root().join("target/tools/promtool");
    if fetched.exists() { fetched } else { PathBuf::from("promtool") }
}
