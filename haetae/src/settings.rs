//! The configuration of a command: file, environment, flags.

use std::{io, sync::Arc};

use anyhow::{Result, bail};
use haetae_config::{Config, Loaded, Override, Secrets, Sources, process_environment};

use crate::{cli::SettingsArgs, output, up::instance::Instance};

/// What the commands that look after accounts, clients, sessions and keys use.
pub(crate) const OF_AUTH: Secrets =
    Secrets::Only(&["keys.master_key", "database.auth_url", "redis.url"]);
/// What the commands that look after inventory use.
pub(crate) const OF_RESERVATION: Secrets = Secrets::Only(&["database.reservation_url"]);

/// Loads the configuration with all its secrets and tells its warnings.
pub(crate) fn load(args: &SettingsArgs) -> Result<Loaded> {
    load_with(args, Vec::new())
}

/// The same with other defaults, which a flag implies.
pub(crate) fn load_with(args: &SettingsArgs, implied: Vec<Override>) -> Result<Loaded> {
    let loaded = Config::load(&Sources { implied, ..sources(args)? })?;
    tell_warnings(&loaded);
    Ok(loaded)
}

/// Loads the configuration with these secrets and tells its warnings.
pub(crate) fn load_some(args: &SettingsArgs, secrets: Secrets) -> Result<Loaded> {
    let loaded = load_quietly(args, secrets)?;
    tell_warnings(&loaded);
    Ok(loaded)
}

/// Loads the configuration with these secrets; its warnings have been told already.
pub(crate) fn load_quietly(args: &SettingsArgs, secrets: Secrets) -> Result<Loaded> {
    Ok(Config::load(&Sources { secrets, ..sources(args)? })?)
}

fn tell_warnings(loaded: &Loaded) {
    for warning in &loaded.warnings {
        output::note(format_args!("warning: {warning}"));
    }
}

/// Loads the configuration, with these secrets, for a command that works beside an instance: when one of
/// `haetae up` runs in the data folder, its public address is taken, which may have a port that was picked.
pub(crate) fn load_beside(args: &SettingsArgs, secrets: Secrets) -> Result<Arc<Config>> {
    let Loaded { mut config, public_url_given, .. } = load_some(args, secrets)?;
    refuse_no_installation(&config, secrets)?;
    if !public_url_given
        && let Some(instance) = Instance::read(&config.data_dir)
        && let Ok(public_url) = instance.public_url.parse()
    {
        config.public_url = public_url;
    }
    Ok(Arc::new(config))
}

/// A mistyped folder must not become an installation of its own.
fn refuse_no_installation(config: &Config, secrets: Secrets) -> Result<()> {
    let (elsewhere, file) = if secrets == OF_RESERVATION {
        (config.database.reservation_url.is_some(), config.in_data_dir("reservation.db"))
    } else {
        (config.keys.master_key.is_some(), config.master_key_file())
    };
    if elsewhere {
        return Ok(());
    }
    match file.symlink_metadata() {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => bail!(
            "not permitted to look into {}; run this as the user who owns it",
            config.data_dir.display()
        ),
        Err(_) => bail!(
            "there is no installation in {}; say where it is with --data-dir, or start one with \
             `haetae up`",
            config.data_dir.display()
        ),
    }
}

/// The flags as settings.
pub(crate) fn overrides(args: &SettingsArgs) -> Result<Vec<Override>> {
    let mut overrides = Vec::new();
    if let Some(data_dir) = &args.data_dir {
        let Some(text) = data_dir.to_str() else {
            bail!("--data-dir {}: the name must be UTF-8 text", data_dir.display());
        };
        overrides.push(Override {
            flag: "--data-dir".to_owned(),
            key: "data_dir".to_owned(),
            text: text.to_owned(),
        });
    }
    for setting in &args.set {
        let Some((key, value)) = setting.split_once('=') else {
            bail!("--set {setting}: write KEY=VALUE, as in --set gateway.listen=127.0.0.1:8080");
        };
        overrides.push(Override {
            flag: "--set".to_owned(),
            key: key.trim().to_owned(),
            text: value.to_owned(),
        });
    }
    Ok(overrides)
}

fn sources(args: &SettingsArgs) -> Result<Sources> {
    Ok(Sources {
        file: args.config.clone(),
        look_in: Some(".".into()),
        environment: process_environment(),
        overrides: overrides(args)?,
        implied: Vec::new(),
        secrets: Secrets::All,
    })
}
