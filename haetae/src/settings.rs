//! The configuration of a command: file, environment, flags.

use std::{path::Path, sync::Arc};

use anyhow::{Result, bail};
use haetae_config::{Config, Loaded, Override, Sources, process_environment};

use crate::{cli::SettingsArgs, output, up::instance::Instance};

/// Loads the configuration and tells its warnings.
pub(crate) fn load(args: &SettingsArgs) -> Result<Loaded> {
    load_with(args, Vec::new())
}

/// The same with other defaults, which a flag implies.
pub(crate) fn load_with(args: &SettingsArgs, implied: Vec<Override>) -> Result<Loaded> {
    let loaded = Config::load(&Sources { implied, ..sources(args)? })?;
    for warning in &loaded.warnings {
        output::note(format_args!("warning: {warning}"));
    }
    Ok(loaded)
}

/// Loads the configuration; its warnings have been told already.
pub(crate) fn load_quietly(args: &SettingsArgs) -> Result<Loaded> {
    Ok(Config::load(&sources(args)?)?)
}

/// Loads the configuration for a command that works beside an instance: when one of `haetae up` runs in
/// the data folder, its public address is taken, which may have a port that was picked.
pub(crate) fn load_beside(args: &SettingsArgs) -> Result<Arc<Config>> {
    let Loaded { mut config, public_url_given, .. } = load(args)?;
    if config.keys.master_key.is_none() && !config.master_key_file().exists() {
        bail!(
            "there is no installation in {}; say where it is with --data-dir, or start one with \
             `haetae up`",
            config.data_dir.display()
        );
    }
    if !public_url_given
        && let Some(instance) = Instance::read(&config.data_dir)
        && let Ok(public_url) = instance.public_url.parse()
    {
        config.public_url = public_url;
    }
    Ok(Arc::new(config))
}

/// The flags as settings.
pub(crate) fn overrides(args: &SettingsArgs) -> Result<Vec<Override>> {
    let mut overrides = Vec::new();
    let text = |path: &Path| path.to_string_lossy().into_owned();
    if let Some(data_dir) = &args.data_dir {
        overrides.push(Override {
            flag: "--data-dir".to_owned(),
            key: "data_dir".to_owned(),
            text: text(data_dir),
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
    })
}
