//! The secrets of an installation, made at its first start.

use std::{
    fs::File,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use anyhow::{Context, Result, bail};
use haetae_base::{entropy, secret::ExposeSecret};
use haetae_config::Config;
use haetae_keys::seal::MasterKey;
use secrecy::SecretString;

/// Makes the master key and the gateway's client secret, when no setting gives them and they are not
/// there yet.
pub(crate) fn make_secrets(config: &Config) -> Result<()> {
    if config.keys.master_key.is_none() {
        refuse_another_key(config)?;
        make(&config.master_key_file(), MasterKey::generate)?;
    }
    if config.gateway.browser.client_secret.is_none() {
        make(&config.gateway_client_secret_file(), entropy::token)?;
    }
    Ok(())
}

/// A new key would open nothing of what an old one sealed.
fn refuse_another_key(config: &Config) -> Result<()> {
    let (key, database) = (config.master_key_file(), config.in_data_dir("auth.db"));
    if config.database.auth_url.is_none() && database.exists() && !key.exists() {
        bail!(
            "{} is missing, and {} was sealed under it; bring back your copy of the key (or set \
             keys.master_key), or move the database away to begin anew",
            key.display(),
            database.display()
        );
    }
    Ok(())
}

fn make(path: &Path, generate: impl FnOnce() -> SecretString) -> Result<()> {
    let failed = || format!("cannot write {}", path.display());
    match File::options().write(true).create_new(true).mode(0o600).open(path) {
        Ok(mut file) => {
            file.write_all(generate().expose_secret().as_bytes()).with_context(failed)?;
            file.write_all(b"\n").with_context(failed)?;
            // It seals what is in the database: it must not be lost to a power cut after that.
            file.sync_all().with_context(failed)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error).with_context(failed),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    #[test]
    fn secrets_are_made_once_for_their_owner_only() {
        let folder = tempfile::tempdir().expect("folder");
        let mut config = Config::for_tests(folder.path());
        make_secrets(&config).expect("nothing to make");
        assert!(!config.master_key_file().exists(), "it is a setting");

        config.keys.master_key = None;
        config.gateway.browser.client_secret = None;
        make_secrets(&config).expect("made");
        for file in [config.master_key_file(), config.gateway_client_secret_file()] {
            let mode = fs::metadata(&file).expect("there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{}", file.display());
        }
        let key = config.master_key().expect("readable");
        MasterKey::from_secret(&key).expect("a good key");
        make_secrets(&config).expect("there already");
        let again = config.master_key().expect("readable");
        assert_eq!(again.expose_secret(), key.expose_secret());
        // A database without its key is not given another one.
        fs::write(folder.path().join("auth.db"), "").expect("writes");
        fs::remove_file(config.master_key_file()).expect("removed");
        let error = make_secrets(&config).expect_err("refused").to_string();
        assert!(error.contains("master.key is missing"), "{error}");
        assert!(!config.master_key_file().exists());
    }
}
