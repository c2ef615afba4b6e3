//! The data folder belongs to one `haetae up` at a time. A lock that the system takes back by itself says
//! whose it is, also after a crash.

use std::{
    fs::{self, DirBuilder, File, TryLockError},
    io::ErrorKind,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use tokio::time;

use super::{child::Role, instance::Instance};
use crate::output;

/// How long roles that an `up` left behind when it was killed may take to finish.
const LEFT_BEHIND: Duration = Duration::from_secs(20);

/// The data folder, held until this is dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    _lock: File,
}

impl Claim {
    /// Takes the folder, making it when it is not there, and waits until nothing of an earlier `up` runs
    /// in it any more.
    ///
    /// # Errors
    /// When another `haetae up` has it, or it cannot be made.
    pub(crate) async fn take(data_dir: &Path) -> Result<Self> {
        for folder in [data_dir.to_owned(), data_dir.join("logs"), data_dir.join("run")] {
            make_private(&folder)?;
        }
        let path = data_dir.join("run").join("up.lock");
        let lock = open(&path)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let who = Instance::read(data_dir)
                    .map(|instance| format!(" (process {})", instance.pid))
                    .unwrap_or_default();
                bail!(
                    "another `haetae up`{who} runs in {}; stop it, or choose another --data-dir",
                    data_dir.display()
                );
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
        Instance::remove(data_dir);
        for role in Role::ALL {
            wait_until_gone(data_dir, role).await?;
        }
        Ok(Self { _lock: lock })
    }
}

/// Holds the place of `role` in the data folder for as long as this process lives.
///
/// # Errors
/// When another process has it.
pub(crate) fn take_role(data_dir: &Path, role: Role) -> Result<File> {
    let path = role_lock(data_dir, role);
    let lock = open(&path)?;
    lock.try_lock()
        .with_context(|| format!("{} runs already in {}", role.name(), data_dir.display()))?;
    Ok(lock)
}

async fn wait_until_gone(data_dir: &Path, role: Role) -> Result<()> {
    const PAUSE: Duration = Duration::from_millis(20);
    let lock = open(&role_lock(data_dir, role))?;
    let mut waited = Duration::ZERO;
    while let Err(TryLockError::WouldBlock) = lock.try_lock() {
        if waited >= LEFT_BEHIND {
            bail!(
                "the {} of an earlier `haetae up` still runs in {}; end it, then start again",
                role.name(),
                data_dir.display()
            );
        }
        time::sleep(PAUSE).await;
        waited += PAUSE;
    }
    Ok(())
}

fn role_lock(data_dir: &Path, role: Role) -> PathBuf {
    data_dir.join("run").join(format!("{}.lock", role.name()))
}

fn open(path: &Path) -> Result<File> {
    File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Makes a folder that only its owner can look into. One that was there and holds other things keeps its
/// permissions: it may be somebody's home.
fn make_private(folder: &Path) -> Result<()> {
    let failed = || format!("cannot make the folder {}", folder.display());
    if let Err(error) = DirBuilder::new().recursive(true).mode(0o700).create(folder) {
        match error.kind() {
            ErrorKind::AlreadyExists | ErrorKind::NotADirectory => bail!(
                "cannot make the folder {}: there is a file in its place; choose another --data-dir",
                folder.display()
            ),
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => bail!(
                "not permitted to make the folder {}; run this as the user who owns it, or choose another \
                 --data-dir",
                folder.display()
            ),
            _ => return Err(error).with_context(failed),
        }
    }
    let open_to_others = fs::metadata(folder).with_context(failed)?.permissions().mode() & 0o077;
    if open_to_others == 0 {
        return Ok(());
    }
    let ours = folder.join("run").is_dir() || fs::read_dir(folder)?.next().is_none();
    if ours && fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).is_ok() {
        return Ok(());
    }
    output::note(format_args!(
        "warning: other users of this machine can look into {}; chmod 700 it",
        folder.display()
    ));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_up_at_a_time_and_after_it_the_next() {
        let folder = tempfile::tempdir().expect("folder");
        let data_dir = folder.path().join("data");
        let first = Claim::take(&data_dir).await.expect("free");
        assert_eq!(fs::metadata(&data_dir).expect("there").permissions().mode() & 0o777, 0o700);
        let error = Claim::take(&data_dir).await.expect_err("taken").to_string();
        assert!(error.starts_with("another `haetae up` runs in "), "{error}");
        drop(first);
        let _second = Claim::take(&data_dir).await.expect("free again");
    }

    #[tokio::test]
    async fn waits_for_a_role_that_was_left_behind() {
        let folder = tempfile::tempdir().expect("folder");
        drop(Claim::take(folder.path()).await.expect("free"));
        let left = take_role(folder.path(), Role::Gateway).expect("free");
        assert!(take_role(folder.path(), Role::Gateway).is_err(), "one of each role");
        let data_dir = folder.path().to_owned();
        let next = tokio::spawn(async move { Claim::take(&data_dir).await });
        time::sleep(Duration::from_millis(100)).await;
        assert!(!next.is_finished(), "the gateway still runs");
        drop(left);
        next.await.expect("no panic").expect("free");
    }

    #[tokio::test]
    async fn a_file_in_the_place_of_the_folder_is_said() {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("file");
        fs::write(&file, "").expect("file");
        for data_dir in [file.clone(), file.join("data")] {
            let error = Claim::take(&data_dir).await.expect_err("refused").to_string();
            assert!(error.contains("there is a file in its place"), "{error}");
        }
    }

    #[test]
    fn a_folder_with_other_things_in_it_keeps_its_permissions() {
        let folder = tempfile::tempdir().expect("folder");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("chmod");
        fs::write(folder.path().join("thesis.txt"), "").expect("file");
        make_private(folder.path()).expect("a warning only");
        let mode = || fs::metadata(folder.path()).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode(), 0o755);
        fs::create_dir(folder.path().join("run")).expect("folder");
        make_private(folder.path()).expect("ours");
        assert_eq!(mode(), 0o700);
    }
}
