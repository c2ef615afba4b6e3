//! `haetae user`: accounts, beside a running instance.

use std::io::{self, BufRead, IsTerminal};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use haetae_authserver::{
    domain::account::{Account, Role},
    manage::{Manage, NewAccount},
};
use haetae_base::{clock::Timestamp, secret::ExposeSecret};
use haetae_config::Config;
use secrecy::SecretString;
use serde_json::json;

use crate::{
    cli::{OutputArgs, SettingsArgs},
    output, passwords, settings,
};

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Open an account
    Create(CreateArgs),
    /// List the accounts
    List(OutputArgs),
    /// Shut an account: its sessions end and its tokens are refused at once
    Disable {
        /// The username
        username: String,
    },
    /// Open a shut account again
    Enable {
        /// The username
        username: String,
    },
    /// Give an account these roles and no others; its sessions end
    Roles(RolesArgs),
    /// Give an account a new password; its sessions end
    Reset(ResetArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  haetae user create ann --email ann@example.com    a password is made and shown once
  haetae user create root --role admin --password-stdin < password.txt")]
pub(crate) struct CreateArgs {
    /// What the person types to sign in
    username: String,
    /// What pages show (default: the username)
    #[arg(long, value_name = "NAME")]
    display_name: Option<String>,
    /// An e-mail address
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    /// A role; the one there is: admin
    #[arg(long, value_name = "ROLE")]
    role: Vec<String>,
    #[command(flatten)]
    password: PasswordArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  haetae user roles ann --role admin    ann administers
  haetae user roles ann                 ann is a customer like everybody")]
pub(crate) struct RolesArgs {
    /// The username
    username: String,
    /// A role; the one there is: admin. Without any the account is a customer
    #[arg(long, value_name = "ROLE")]
    role: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ResetArgs {
    /// The username
    username: String,
    /// Also take away the second factor and its recovery codes
    #[arg(long)]
    second_factor: bool,
    #[command(flatten)]
    password: PasswordArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Where a password comes from. Never from the command line, which every user of the machine can see.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct PasswordArgs {
    /// Read the password from standard input (one line) instead of making one
    #[arg(long)]
    password_stdin: bool,
}

impl PasswordArgs {
    /// The password, and whether it was made here.
    fn get(self, config: &Config) -> Result<(SecretString, bool)> {
        if !self.password_stdin {
            return Ok((passwords::make(config.auth.password.min_length), true));
        }
        if io::stdin().is_terminal() {
            output::note("Type the password, which is shown as you type, and press Enter:");
        }
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line).context("cannot read the password")?;
        let password = line.trim_end_matches(['\r', '\n']);
        if password.is_empty() {
            bail!("there is no password on standard input");
        }
        Ok((password.into(), false))
    }
}

/// Runs the command.
pub(crate) async fn run(command: UserCommand, settings: &SettingsArgs) -> Result<()> {
    let config = settings::load_beside(settings, settings::OF_AUTH)?;
    match command {
        UserCommand::Create(args) => {
            let (password, made) = args.password.get(&config)?;
            let manage = Manage::open(&config).await?;
            let account = manage
                .create_account(NewAccount {
                    username: args.username,
                    password: password.clone(),
                    display_name: args.display_name,
                    email: args.email,
                    roles: args.role,
                })
                .await?;
            tell("created", &account, made.then_some(&password), args.output)
        }
        UserCommand::List(output) => list(&Manage::open(&config).await?, output).await,
        UserCommand::Disable { username } => {
            Manage::open(&config).await?.disable_account(&username).await?;
            output::line(format_args!("{username} is shut; nobody is signed in with it any more"));
            Ok(())
        }
        UserCommand::Enable { username } => {
            Manage::open(&config).await?.enable_account(&username).await?;
            output::line(format_args!("{username} is open again"));
            Ok(())
        }
        UserCommand::Roles(RolesArgs { username, role }) => {
            let roles = role
                .iter()
                .map(|name| name.parse().with_context(|| format!("--role {name}")))
                .collect::<Result<Vec<Role>>>()?;
            Manage::open(&config).await?.set_roles(&username, &roles).await?;
            let names = if role.is_empty() { "none".to_owned() } else { role.join(", ") };
            output::line(format_args!("roles of {username}: {names}"));
            Ok(())
        }
        UserCommand::Reset(args) => {
            let (password, made) = args.password.get(&config)?;
            let manage = Manage::open(&config).await?;
            let account = manage.set_password(&args.username, &password).await?;
            if args.second_factor {
                manage.remove_second_factor(&args.username).await?;
            }
            tell("reset", &account, made.then_some(&password), args.output)
        }
    }
}

fn tell(
    done: &str,
    account: &Account,
    password: Option<&SecretString>,
    output: OutputArgs,
) -> Result<()> {
    let password = password.map(ExposeSecret::expose_secret);
    if output.json {
        return output::json(&json!({
            "id": account.id,
            "username": account.username.as_str(),
            "password": password,
        }));
    }
    output::line(format_args!("{done} {} ({})", account.username, account.id));
    if let Some(password) = password {
        output::line(format_args!("password: {password}"));
    }
    Ok(())
}

async fn list(manage: &Manage, output: OutputArgs) -> Result<()> {
    let accounts = manage.accounts().await?;
    if output.json {
        for account in &accounts {
            output::json(&json!({
                "id": account.id,
                "username": account.username.as_str(),
                "display_name": account.display_name,
                "email": account.email,
                "roles": roles(account),
                "disabled_at": account.disabled_at.map(Timestamp::to_rfc3339),
                "created_at": account.created_at.to_rfc3339(),
            }))?;
        }
        return Ok(());
    }
    let rows: Vec<Vec<String>> = accounts
        .iter()
        .map(|account| {
            vec![
                account.username.to_string(),
                account.id.to_string(),
                roles(account).join(","),
                if account.is_disabled() { "shut" } else { "open" }.to_owned(),
                account.created_at.to_rfc3339(),
                account.email.clone().unwrap_or_default(),
            ]
        })
        .collect();
    output::table(&["USERNAME", "ID", "ROLES", "STATE", "CREATED", "EMAIL"], &rows);
    Ok(())
}

fn roles(account: &Account) -> Vec<&'static str> {
    account.roles.iter().map(|role| role.as_str()).collect()
}
