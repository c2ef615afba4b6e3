//! `haetae keys`: the ring of signing keys.

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use haetae_authserver::manage::{KeyManager, Manage};
use haetae_base::clock::Timestamp;
use haetae_keys::{Algorithm, ring::Rotated};
use serde_json::json;

use crate::{
    cli::{OutputArgs, SettingsArgs},
    output, settings,
};

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// List the signing keys and when they change
    List(OutputArgs),
    /// Let the next keys sign: at once, or some minutes later if they are so new that not everybody can know them (it
    /// says when); the ones before stay published until their tokens have expired
    Rotate(RotateArgs),
    /// Take a key out at once: every token that it signed is refused
    Revoke {
        /// The key, as `haetae keys list` shows it
        // A key's name is a hash in base64url: it may begin with a hyphen.
        #[arg(allow_hyphen_values = true)]
        kid: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct RotateArgs {
    /// Only the key of this algorithm: ES256, RS256 or `EdDSA`
    #[arg(long, value_name = "ALGORITHM")]
    algorithm: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs the command.
pub(crate) async fn run(command: KeysCommand, settings: &SettingsArgs) -> Result<()> {
    let config = settings::load_beside(settings, settings::OF_AUTH)?;
    let manage = Manage::open(&config).await?;
    match command {
        KeysCommand::List(output) => list(&manage.keys().await?, output),
        KeysCommand::Rotate(args) => {
            let algorithm = args
                .algorithm
                .map(|name| name.parse::<Algorithm>().context("--algorithm"))
                .transpose()?;
            for rotated in manage.keys().await?.rotate(algorithm).await? {
                tell(&rotated, args.output)?;
            }
            Ok(())
        }
        KeysCommand::Revoke { kid } => {
            manage.keys().await?.revoke(&kid).await?;
            output::line(format_args!("{kid} is revoked; every token that it signed is refused"));
            Ok(())
        }
    }
}

fn tell(rotated: &Rotated, output: OutputArgs) -> Result<()> {
    let (algorithm, kid, at) = match rotated {
        Rotated::Now { algorithm, kid } => (algorithm, kid, None),
        Rotated::Scheduled { algorithm, kid, at } => (algorithm, kid, Some(at.to_rfc3339())),
    };
    if output.json {
        return output::json(&json!({"algorithm": algorithm, "kid": kid, "signs_from": at}));
    }
    match at {
        None => output::line(format_args!("{algorithm}: {kid} signs from now on")),
        Some(at) => output::line(format_args!(
            "{algorithm}: {kid} signs from {at} on: it is new, and key sets without it may be kept until then"
        )),
    }
    Ok(())
}

fn list(ring: &KeyManager<'_>, output: OutputArgs) -> Result<()> {
    let mut keys = ring.list();
    keys.sort_by_key(|key| (key.algorithm.as_str(), key.activate_at));
    if output.json {
        for key in &keys {
            output::json(&json!({
                "kid": key.kid,
                "algorithm": key.algorithm,
                "state": key.state,
                "created_at": key.created_at.to_rfc3339(),
                "activate_at": key.activate_at.to_rfc3339(),
                "retire_at": key.retire_at.map(Timestamp::to_rfc3339),
                "remove_at": key.remove_at.map(Timestamp::to_rfc3339),
            }))?;
        }
        return Ok(());
    }
    let rows: Vec<Vec<String>> = keys
        .iter()
        .map(|key| {
            vec![
                key.kid.clone(),
                key.algorithm.to_string(),
                key.state.to_string(),
                key.activate_at.to_rfc3339(),
                key.retire_at.map(Timestamp::to_rfc3339).unwrap_or_default(),
                key.remove_at.map(Timestamp::to_rfc3339).unwrap_or_default(),
            ]
        })
        .collect();
    output::table(&["KID", "ALGORITHM", "STATE", "SIGNS FROM", "UNTIL", "PUBLISHED UNTIL"], &rows);
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    #[test]
    fn a_key_whose_name_begins_with_a_hyphen_can_be_named() {
        for (kid, line) in [
            ("-QhV2x", &["haetae", "keys", "revoke", "-QhV2x", "--data-dir", "d"][..]),
            ("-hV2x_Q", &["haetae", "keys", "--data-dir", "d", "revoke", "-hV2x_Q"][..]),
            ("--x_", &["haetae", "keys", "revoke", "--data-dir", "d", "--x_"][..]),
        ] {
            let cli = Cli::try_parse_from(line).expect("parses");
            assert_eq!(cli.settings.data_dir.as_deref(), Some(std::path::Path::new("d")));
            match cli.command {
                Command::Keys(KeysCommand::Revoke { kid: read }) => assert_eq!(read, kid),
                other => panic!("{other:?}"),
            }
        }
    }
}
