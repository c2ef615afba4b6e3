//! `haetae config`: check, print, describe.

use anyhow::Result;
use clap::Subcommand;
use haetae_config::schema;

use crate::{cli::SettingsArgs, output, settings};

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Tell every mistake in the configuration, with file, line and reason
    Check,
    /// Print the effective configuration as TOML, with secrets masked
    Print {
        /// Print the annotated defaults instead, to copy from
        #[arg(long)]
        defaults: bool,
    },
    /// Print the JSON schema of a configuration file
    Schema,
}

/// Runs the command.
pub(crate) fn run(command: &ConfigCommand, args: &SettingsArgs) -> Result<()> {
    match command {
        ConfigCommand::Check => {
            let loaded = settings::load(args)?;
            let file = loaded.file.map_or_else(
                || "the defaults and the environment".to_owned(),
                |file| file.display().to_string(),
            );
            let warnings = match loaded.warnings.len() {
                0 => String::new(),
                1 => " (1 warning)".to_owned(),
                count => format!(" ({count} warnings)"),
            };
            output::line(format_args!("good: {file}{warnings}"));
        }
        ConfigCommand::Print { defaults: true } => {
            output::line(haetae_config::DEFAULTS.trim_end());
        }
        ConfigCommand::Print { defaults: false } => {
            let loaded = settings::load(args)?;
            output::line(loaded.config.to_toml().trim_end());
        }
        ConfigCommand::Schema => output::line(serde_json::to_string_pretty(&schema())?),
    }
    Ok(())
}
