//! `haetae session`: who is signed in where.

use anyhow::Result;
use clap::{Args, Subcommand};
use haetae_authserver::manage::Manage;
use serde_json::json;

use crate::{
    cli::{OutputArgs, SettingsArgs},
    output, settings,
};

#[derive(Debug, Subcommand)]
pub(crate) enum SessionCommand {
    /// List the sign-ins of one account or of all
    List(ListArgs),
    /// End sign-ins: their tokens are refused at once
    Revoke(RevokeArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only those of this account
    #[arg(long, value_name = "USERNAME")]
    user: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct RevokeArgs {
    /// The sign-in, sid_…
    sid: Option<String>,
    /// All sign-ins of this account
    #[arg(long, value_name = "USERNAME")]
    user: Option<String>,
}

/// Runs the command.
pub(crate) async fn run(command: SessionCommand, settings: &SettingsArgs) -> Result<()> {
    let config = settings::load_beside(settings, settings::OF_AUTH)?;
    let manage = Manage::open(&config).await?;
    match command {
        SessionCommand::List(args) => list(&manage, args).await,
        SessionCommand::Revoke(args) => {
            if let Some(sid) = &args.sid {
                manage.end_session(sid).await?;
                output::line(format_args!("{sid} has ended"));
            }
            if let Some(username) = &args.user {
                let ended = manage.end_sessions(username).await?;
                let ended = u64::try_from(ended).unwrap_or(u64::MAX);
                let ended = output::counted(ended, "sign-in");
                output::line(format_args!("{ended} of {username} ended"));
            }
            Ok(())
        }
    }
}

async fn list(manage: &Manage, args: ListArgs) -> Result<()> {
    let sessions = manage.sessions(args.user.as_deref()).await?;
    if args.output.json {
        for (account, session) in &sessions {
            output::json(&json!({
                "sid": session.sid,
                "sub": session.sub,
                "username": account.username.as_str(),
                "created_at": session.created_at.to_rfc3339(),
                "last_seen_at": session.last_seen_at.to_rfc3339(),
                "acr": session.acr,
                "amr": session.amr,
                "clients": session.clients,
                "address": session.address,
                "user_agent": session.user_agent,
            }))?;
        }
        return Ok(());
    }
    let rows: Vec<Vec<String>> = sessions
        .iter()
        .map(|(account, session)| {
            vec![
                session.sid.to_string(),
                account.username.to_string(),
                session.created_at.to_rfc3339(),
                session.last_seen_at.to_rfc3339(),
                session.clients.iter().map(String::as_str).collect::<Vec<_>>().join(","),
                session.address.clone().unwrap_or_default(),
            ]
        })
        .collect();
    output::table(&["SID", "USERNAME", "SIGNED IN", "LAST SEEN", "CLIENTS", "FROM"], &rows);
    Ok(())
}
