//! `haetae audit`: who did what, from where, and how it ended.

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use haetae_authserver::{audit::Recorded, manage::Manage, store::audit::AuditQuery};
use tokio::time;

use crate::{cli::OutputArgs, cli::SettingsArgs, output, settings};

/// How often `--follow` looks for news.
const PAUSE: Duration = Duration::from_millis(500);

/// Flags of `haetae audit`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  haetae audit                              the last 100 events
  haetae audit --follow --event sign_in     sign-ins as they happen
  haetae audit --json -n 100000 > trail     for a collector")]
pub(crate) struct AuditArgs {
    /// Go on and show what happens from now on
    #[arg(long, short)]
    follow: bool,
    /// How many of the latest events to show
    #[arg(long, short = 'n', value_name = "COUNT", default_value_t = 100)]
    limit: u64,
    /// Only this kind, such as `sign_in` or `refresh_token.reused`
    #[arg(long, value_name = "NAME")]
    event: Option<String>,
    /// Only about this account (its id, usr_…)
    #[arg(long, value_name = "ID")]
    subject: Option<String>,
    /// Only about this client
    #[arg(long, value_name = "CLIENT_ID")]
    client: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs the command.
pub(crate) async fn run(args: AuditArgs, settings: &SettingsArgs) -> Result<()> {
    let config = settings::load_beside(settings, settings::OF_AUTH)?;
    let manage = Manage::open(&config).await?;
    let query = AuditQuery {
        subject: args.subject,
        client_id: args.client,
        event: args.event,
        limit: args.limit,
        ..AuditQuery::default()
    };
    let (mut events, mut follow) = manage.audit_from_here(query).await?;
    loop {
        for event in &events {
            if args.output.json {
                output::json(event)?;
            } else {
                output::line(in_one_line(event));
            }
        }
        if !args.follow {
            return Ok(());
        }
        time::sleep(PAUSE).await;
        events = manage.audit_since(&mut follow).await?;
    }
}

fn in_one_line(event: &Recorded) -> String {
    let at = event.at.to_rfc3339();
    let mut line = format!("{at:<24}  {:<8} {:<24}", event.outcome.as_str(), event.event);
    for (name, value) in [
        ("subject", &event.subject),
        ("client", &event.client_id),
        ("sid", &event.sid),
        ("from", &event.address),
        ("request", &event.request_id),
    ] {
        if let Some(value) = value {
            line.extend([" ", name, "=", value]);
        }
    }
    for (name, value) in &event.detail {
        line.extend([" ", name, "=", &value.to_string()]);
    }
    line
}
