//! The command line as people type it.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::commands;

/// Haetae: an auth gateway, OpenID provider and reservation service.
#[derive(Debug, Parser)]
#[command(
    name = "haetae",
    version,
    about,
    propagate_version = true,
    max_term_width = 100,
    after_help = "Examples:
  haetae up --demo                        everything on this machine, with example data
  haetae user create ann --role admin     an administrator, beside a running instance
  haetae config check --config prod.toml  every mistake, with file and line

Settings come from a file (--config), the environment (HAETAE__GATEWAY__LISTEN=0.0.0.0:8080)
and flags (--set gateway.listen=0.0.0.0:8080); `haetae config print` shows all of them."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Where settings come from: the same for every command.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Settings")]
pub(crate) struct SettingsArgs {
    /// Configuration file (default: haetae.toml in the data folder, or ./haetae.toml, if there is one)
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Folder of everything that this machine keeps (default: ./data)
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Set one setting, over file and environment: --set log.level=debug
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run everything on this machine: all roles, SQLite, a private Redis
    Up(crate::up::UpArgs),
    /// Run the gateway, for production
    Gateway(RoleArgs),
    /// Run the authserver, for production
    Auth(RoleArgs),
    /// Run the reservation API and its pages, for production
    Reservation(RoleArgs),
    /// Run a reservation worker, for production
    Worker(RoleArgs),
    /// Run the private Redis of `up`
    #[command(hide = true)]
    PrivateRedis(RoleArgs),
    /// Apply the SQL migrations that are missing
    Migrate,
    /// Check, print or describe the configuration
    #[command(subcommand)]
    Config(commands::config::ConfigCommand),
    /// List, rotate and revoke signing keys
    #[command(subcommand)]
    Keys(commands::keys::KeysCommand),
    /// Create, list, shut and reset accounts, and give them roles
    #[command(subcommand)]
    User(commands::user::UserCommand),
    /// Create, import, list and shut clients
    #[command(subcommand)]
    Client(commands::client::ClientCommand),
    /// List and revoke sign-ins
    #[command(subcommand)]
    Session(commands::session::SessionCommand),
    /// Import inventory
    #[command(subcommand)]
    Inventory(commands::inventory::InventoryCommand),
    /// Read the audit trail
    Audit(commands::audit::AuditArgs),
}

/// Flags of a role.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct RoleArgs {
    /// Started by `up`: stops when standard input ends, and tells readiness as JSON
    #[arg(long, hide = true)]
    pub(crate) supervised: bool,
}

/// How a result is written.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct OutputArgs {
    /// Write JSON, one object a line, for scripts
    #[arg(long)]
    pub(crate) json: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_has_no_contradictions() {
        Cli::command().debug_assert();
    }
}
