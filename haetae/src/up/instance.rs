//! `DIR/instance.json`: what runs in a data folder, and where, for the command line and for tests.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write,
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use url::Url;

/// A running instance. Written when every role is ready, and again when one was restarted; removed when
/// the instance stops.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Instance {
    /// The process of `haetae up`.
    pub(crate) pid: u32,
    pub(crate) version: String,
    /// Without a slash at the end, so that a path can be appended as it stands.
    pub(crate) public_url: String,
    pub(crate) roles: BTreeMap<String, RunningRole>,
    /// The process of the private Redis.
    pub(crate) redis_pid: Option<u32>,
    pub(crate) redis_socket: Option<PathBuf>,
    /// Without passwords, like the next two.
    pub(crate) redis_url: String,
    pub(crate) auth_database_url: String,
    pub(crate) reservation_database_url: String,
}

/// A role of a running instance.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RunningRole {
    pub(crate) pid: u32,
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) admin: SocketAddr,
}

const NAME: &str = "instance.json";

impl Instance {
    /// The instance that runs in the folder, if one does.
    pub(crate) fn read(data_dir: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(data_dir.join(NAME)).ok()?).ok()
    }

    /// Writes the file in one step: a reader sees all of it or the one before.
    pub(crate) fn write(&self, data_dir: &Path) -> Result<()> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        write_private(&data_dir.join(NAME), &text)
    }

    /// Removes the file.
    pub(crate) fn remove(data_dir: &Path) {
        // It is not there after a clean stop, and one that cannot be removed is overwritten next time.
        let _removed = fs::remove_file(data_dir.join(NAME));
    }
}

/// Writes a file that only its owner can read (0600), in one step.
pub(crate) fn write_private(path: &Path, text: &[u8]) -> Result<()> {
    let failed = || format!("cannot write {}", path.display());
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    // One that a crash left behind might have another mode.
    let _removed = fs::remove_file(&partial);
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&partial)
        .with_context(failed)?;
    file.write_all(text).and_then(|()| file.sync_all()).with_context(failed)?;
    fs::rename(&partial, path).with_context(failed)
}

/// A URL without the password in it.
pub(crate) fn without_password(url: &str) -> String {
    match Url::parse(url) {
        Ok(mut parsed) if parsed.password().is_some() => match parsed.set_password(None) {
            Ok(()) => parsed.to_string(),
            Err(()) => String::new(),
        },
        Ok(_) => url.to_owned(),
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_taken_out() {
        for (url, shown) in [
            ("postgres://ann:s3cret@db/haetae?x=1", "postgres://ann@db/haetae?x=1"),
            ("redis://:s3cret@cache:6379/0", "redis://cache:6379/0"),
            ("sqlite:///data/auth.db", "sqlite:///data/auth.db"),
            ("redis+unix:///data/redis.sock", "redis+unix:///data/redis.sock"),
            ("no url: s3cret", ""),
        ] {
            assert_eq!(without_password(url), shown);
        }
    }
}
