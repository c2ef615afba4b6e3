//! `haetae client`: the applications that people sign in to, and the services that act for themselves.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use haetae_authserver::{
    domain::client::Client,
    manage::{Manage, RegisteredClient},
};
use haetae_base::{clock::Timestamp, secret::ExposeSecret};
use serde_json::{Map, Value, json};

use crate::{
    cli::{OutputArgs, SettingsArgs},
    output, settings,
};

#[derive(Debug, Subcommand)]
pub(crate) enum ClientCommand {
    /// Register a client; a confidential one gets a secret, which is shown once
    Create(CreateArgs),
    /// Register the clients of a file
    Import(ImportArgs),
    /// List the clients
    List(OutputArgs),
    /// Give a client a new secret, which is shown once; the old one and its tokens are refused at once
    Reset(ResetArgs),
    /// Shut a client: its tokens are refused at once
    Disable {
        /// The `client_id`
        client_id: String,
    },
    /// Open a shut client again
    Enable {
        /// The `client_id`
        client_id: String,
    },
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  haetae client create shop --redirect-uri https://shop.example/callback
  haetae client create app --public --grant authorization_code --grant refresh_token \\
      --redirect-uri http://127.0.0.1/callback
  haetae client create sync --grant client_credentials --scope inventory:write")]
pub(crate) struct CreateArgs {
    /// The `client_id`
    client_id: String,
    /// What people see when it asks for their consent
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// It keeps no secret: an app or a script in a page
    #[arg(long)]
    public: bool,
    /// It belongs to the operator: nobody is asked for consent
    #[arg(long)]
    first_party: bool,
    /// It cannot send PKCE, and is known to check the nonce: a request without is not refused. Not
    /// with --public
    #[arg(long, conflicts_with = "public")]
    no_pkce: bool,
    /// Where answers may be sent (repeat for several)
    #[arg(long, value_name = "URI")]
    redirect_uri: Vec<String>,
    /// Where people may be sent after signing out (repeat for several)
    #[arg(long, value_name = "URI")]
    post_logout_redirect_uri: Vec<String>,
    /// What it may ask for tokens with: `authorization_code` (default), `refresh_token`,
    /// `client_credentials`
    #[arg(long, value_name = "GRANT")]
    grant: Vec<String>,
    /// What it may ask for at most, separated by spaces
    #[arg(long, value_name = "SCOPES")]
    scope: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
#[command(
    after_help = "The file holds a JSON array of client metadata (RFC 7591 section 2), each with a client_id \
and, if you have one already, a client_secret:
  [{\"client_id\": \"shop\", \"client_secret\": \"…\", \"redirect_uris\": [\"https://shop.example/cb\"]}]
Members of Haetae's own: first_party, require_pkce, allowed_cors_origins, access_token_signed_response_alg.
All of them are registered, or none."
)]
pub(crate) struct ImportArgs {
    /// The file; - for standard input
    file: PathBuf,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
#[command(
    after_help = "When the secret leaked, shut the client first and open it afterwards: then nothing that was got with \
the old secret in between is left.
  haetae client disable shop; haetae client reset shop; haetae client enable shop"
)]
pub(crate) struct ResetArgs {
    /// The `client_id`
    client_id: String,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs the command.
pub(crate) async fn run(command: ClientCommand, settings: &SettingsArgs) -> Result<()> {
    let config = settings::load_beside(settings, settings::OF_AUTH)?;
    match command {
        ClientCommand::Create(args) => {
            let metadata = metadata(&args);
            let manage = Manage::open(&config).await?;
            tell(&manage.import_clients(vec![metadata]).await?, args.output)
        }
        ClientCommand::Import(args) => {
            let clients = read(&args.file)?;
            let manage = Manage::open(&config).await?;
            tell(&manage.import_clients(clients).await?, args.output)
        }
        ClientCommand::List(output) => list(&Manage::open(&config).await?, output).await,
        ClientCommand::Reset(args) => {
            let secret = Manage::open(&config).await?.reset_client(&args.client_id).await?;
            tell_secret("reset", &args.client_id, Some(secret.expose_secret()), args.output)
        }
        ClientCommand::Disable { client_id } => {
            Manage::open(&config).await?.disable_client(&client_id).await?;
            output::line(format_args!("{client_id} is shut"));
            Ok(())
        }
        ClientCommand::Enable { client_id } => {
            Manage::open(&config).await?.enable_client(&client_id).await?;
            output::line(format_args!("{client_id} is open again"));
            Ok(())
        }
    }
}

fn metadata(args: &CreateArgs) -> Value {
    let mut metadata = Map::new();
    metadata.insert("client_id".to_owned(), json!(args.client_id));
    metadata.insert("first_party".to_owned(), json!(args.first_party));
    for (member, list) in [
        ("redirect_uris", &args.redirect_uri),
        ("post_logout_redirect_uris", &args.post_logout_redirect_uri),
        ("grant_types", &args.grant),
    ] {
        if !list.is_empty() {
            metadata.insert(member.to_owned(), json!(list));
        }
    }
    if let Some(name) = &args.name {
        metadata.insert("client_name".to_owned(), json!(name));
    }
    if let Some(scope) = &args.scope {
        metadata.insert("scope".to_owned(), json!(scope));
    }
    if args.no_pkce {
        metadata.insert("require_pkce".to_owned(), json!(false));
    }
    if args.public {
        metadata.insert("token_endpoint_auth_method".to_owned(), json!("none"));
        metadata.insert("application_type".to_owned(), json!("native"));
    }
    Value::Object(metadata)
}

fn read(file: &Path) -> Result<Vec<Value>> {
    let text = if file == Path::new("-") {
        io::read_to_string(io::stdin()).context("cannot read standard input")?
    } else {
        fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?
    };
    match serde_json::from_str(&text) {
        Ok(Value::Array(clients)) => Ok(clients),
        Ok(_) => bail!("{}: not a JSON array of clients", file.display()),
        // serde_json says line and column.
        Err(error) => bail!("{}: not JSON: {error}", file.display()),
    }
}

fn tell(clients: &[RegisteredClient], output: OutputArgs) -> Result<()> {
    for registered in clients {
        let client = &registered.client;
        if registered.short_secret {
            output::note(format_args!(
                "the client_secret of {} is short and can be guessed; use 16 random characters or more, or leave it \
                 out and one is made",
                client.client_id
            ));
        }
        let secret = registered.made_secret.as_ref().map(ExposeSecret::expose_secret);
        tell_secret("registered", &client.client_id, secret, output)?;
    }
    Ok(())
}

/// What was done to a client, and the secret that it got by it.
fn tell_secret(
    done: &str,
    client_id: &str,
    secret: Option<&str>,
    output: OutputArgs,
) -> Result<()> {
    if output.json {
        return output::json(&json!({"client_id": client_id, "client_secret": secret}));
    }
    output::line(format_args!("{done} {client_id}"));
    if let Some(secret) = secret {
        output::line(format_args!("client_secret: {secret}"));
    }
    Ok(())
}

async fn list(manage: &Manage, output: OutputArgs) -> Result<()> {
    let clients = manage.clients().await?;
    if output.json {
        for client in &clients {
            let mut object = json!({
                "client_id": client.client_id,
                "first_party": client.first_party,
                "disabled_at": client.disabled_at.map(Timestamp::to_rfc3339),
                "created_at": client.created_at.to_rfc3339(),
            });
            if let (Value::Object(object), Value::Object(metadata)) =
                (&mut object, serde_json::to_value(&client.metadata)?)
            {
                object.extend(metadata);
            }
            output::json(&object)?;
        }
        return Ok(());
    }
    let rows: Vec<Vec<String>> = clients.iter().map(row).collect();
    output::table(&["CLIENT_ID", "NAME", "KIND", "STATE", "GRANTS"], &rows);
    Ok(())
}

fn row(client: &Client) -> Vec<String> {
    let kind = if client.is_confidential() { "confidential" } else { "public" };
    let party = if client.first_party { ", first-party" } else { "" };
    let grants = client.metadata.grant_types.iter().map(|grant| grant.as_str());
    vec![
        client.client_id.clone(),
        client.display_name().to_owned(),
        format!("{kind}{party}"),
        if client.disabled_at.is_some() { "shut" } else { "open" }.to_owned(),
        grants.collect::<Vec<_>>().join(","),
    ]
}
