//! `haetae migrate`: the SQL migrations of both services.

use anyhow::Result;
use haetae_config::{Config, Secrets};

use crate::{cli::SettingsArgs, commands, output, settings};

/// Runs the command.
pub(crate) fn run(args: &SettingsArgs) -> Result<()> {
    let secrets = Secrets::Only(&["database.auth_url", "database.reservation_url"]);
    let config = settings::load_some(args, secrets)?.config;
    commands::block_on(apply(&config))?;
    output::line("the databases are up to date");
    Ok(())
}

/// Applies what is missing, in both databases at once.
pub(crate) async fn apply(config: &Config) -> Result<()> {
    tokio::try_join!(async { anyhow::Ok(haetae_authserver::migrate(config).await?) }, async {
        anyhow::Ok(haetae_reservation::migrate(config).await?)
    },)?;
    Ok(())
}
