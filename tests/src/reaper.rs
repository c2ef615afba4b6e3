//! Ends what the tests started when the tests themselves are killed and can end nothing.
//!
//! A small shell holds the list of process groups; its standard input is a pipe from the test process, and
//! when that pipe closes the shell kills what is still on the list.

use std::{
    io::Write,
    process::{Child, Command, Stdio},
    sync::{LazyLock, Mutex},
};

const SCRIPT: &str = r#"
trap '' INT TERM HUP
list=' '
while read -r verb pid; do
  case $verb in
    add) list="$list$pid " ;;
    drop) list="${list%% $pid *} ${list#* $pid }" ;;
  esac
done
for pid in $list; do kill -s TERM -- "-$pid" 2>/dev/null; done
[ "$list" = ' ' ] || sleep 3
for pid in $list; do kill -s KILL -- "-$pid" 2>/dev/null; done
"#;

static SHELL: LazyLock<Mutex<Child>> = LazyLock::new(|| {
    let shell = Command::new("sh")
        .args(["-c", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the reaper's shell starts");
    Mutex::new(shell)
});

/// From now on the process group `pid` is killed when the tests die.
pub fn add_group(pid: u32) {
    write(&format!("add {pid}\n"));
}

/// The group has ended; its number may become another's.
pub fn drop_group(pid: u32) {
    write(&format!("drop {pid}\n"));
}

fn write(line: &str) {
    let mut shell = SHELL.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    // A reaper that is gone can only be missed when the tests are killed.
    let _written = shell.stdin.as_mut().map(|input| input.write_all(line.as_bytes()));
}
