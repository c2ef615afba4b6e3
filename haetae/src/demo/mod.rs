//! `haetae up --demo`: example users, clients and inventory in an empty installation. What is secret is
//! made up at the first start and kept in `DIR/demo.json`, which only its owner can read.

mod clients;
mod inventory;

use std::{fs, io, path::PathBuf, sync::Arc};

use anyhow::{Context, Result, bail};
use haetae_authserver::manage::{Manage, NewAccount};
use haetae_base::{
    clock::{Clock, SystemClock},
    entropy,
    secret::ExposeSecret,
    sql::Sql,
};
use haetae_config::Config;
use haetae_reservation::import::{self, Format, Options, Progress};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{commands::inventory::connect, passwords, up::instance::write_private};

/// What `DIR/demo.json` says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Accounts {
    /// Without a slash at the end, so that a path can be appended as it stands.
    pub(crate) public_url: String,
    pub(crate) users: Vec<User>,
    pub(crate) clients: Vec<ClientAccount>,
}

/// An example user.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct User {
    pub(crate) username: String,
    pub(crate) password: String,
    pub(crate) roles: Vec<String>,
}

/// An example client.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ClientAccount {
    client_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client_secret: Option<String>,
    redirect_uris: Vec<String>,
    grant_types: Vec<String>,
    scopes: Vec<String>,
}

/// Where the accounts of the demo are written down.
pub(crate) fn file(config: &Config) -> PathBuf {
    config.in_data_dir("demo.json")
}

/// Fills an empty installation, or goes on with the demo that it is already: what was there stays, what an
/// interrupted first start left out is added. The migrations have been applied, and Redis answers.
///
/// # Errors
/// When the installation has data of somebody and is no demo.
pub(crate) async fn fill(config: &Arc<Config>) -> Result<Accounts> {
    let manage = Manage::open(config).await?;
    let inventory = connect(config).await?;
    let mut accounts = if manage.is_demo().await? {
        read(config)?
    } else {
        if !manage.is_empty().await? || !import::is_empty(config).await? {
            bail!(
                "--demo fills an empty installation only, and this one has data that is not of a \
                 demo; leave --demo out, or choose another --data-dir"
            );
        }
        invent(config)
    };
    // The file comes first: whatever follows is made of it, so that no password is ever lost.
    accounts.public_url = config.public_origin();
    write(config, &accounts)?;
    if !manage.is_demo().await? {
        manage.mark_as_demo().await?;
    }
    add_users(&manage, &accounts).await?;
    add_clients(&manage, &accounts).await?;
    if import::is_empty(config).await? {
        add_inventory(&inventory).await?;
    }
    Ok(accounts)
}

fn invent(config: &Config) -> Accounts {
    let user = |username: &str, roles: &[&str]| User {
        username: username.to_owned(),
        password: passwords::make(config.auth.password.min_length).expose_secret().to_owned(),
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
    };
    let clients = clients::ALL.iter().map(|client| ClientAccount {
        client_id: client.id.to_owned(),
        client_secret: client.confidential.then(|| entropy::token().expose_secret().to_owned()),
        redirect_uris: owned(client.redirect_uris),
        grant_types: owned(client.grant_types),
        scopes: owned(client.scopes),
    });
    Accounts {
        public_url: config.public_origin(),
        users: vec![user("demo", &[]), user("guest", &[]), user("admin", &["admin"])],
        clients: clients.collect(),
    }
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn read(config: &Config) -> Result<Accounts> {
    let path = file(config);
    let text = fs::read(&path).with_context(|| {
        format!(
            "cannot read {}, where the accounts of this demo are; put it back, or leave --demo out",
            path.display()
        )
    })?;
    serde_json::from_slice(&text).with_context(|| format!("cannot read {}", path.display()))
}

fn write(config: &Config, accounts: &Accounts) -> Result<()> {
    let mut text = serde_json::to_vec_pretty(accounts)?;
    text.push(b'\n');
    let path = file(config);
    // What has not changed stays as it is.
    if fs::read(&path).is_ok_and(|before| before == text) {
        return Ok(());
    }
    write_private(&path, &text)
}

async fn add_users(manage: &Manage, accounts: &Accounts) -> Result<()> {
    let known = manage.accounts().await?;
    for user in &accounts.users {
        if known.iter().any(|account| account.username.as_str() == user.username) {
            continue;
        }
        let account = NewAccount {
            username: user.username.clone(),
            password: user.password.clone().into(),
            display_name: Some(display_name(&user.username)),
            email: Some(format!("{}@example.com", user.username)),
            roles: user.roles.clone(),
        };
        manage.create_account(account).await?;
    }
    Ok(())
}

/// `Demo` for `demo`.
fn display_name(username: &str) -> String {
    let mut letters = username.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

async fn add_clients(manage: &Manage, accounts: &Accounts) -> Result<()> {
    let known = manage.clients().await?;
    let missing = accounts
        .clients
        .iter()
        .filter(|account| !known.iter().any(|client| client.client_id == account.client_id));
    let metadata: Vec<Value> = missing
        .filter_map(|account| {
            let client = clients::ALL.iter().find(|client| client.id == account.client_id)?;
            Some(client.metadata(account.client_secret.as_deref()))
        })
        .collect();
    manage.import_clients(metadata).await?;
    Ok(())
}

async fn add_inventory(sql: &Sql) -> Result<()> {
    let clock = SystemClock;
    let lines = io::Cursor::new(inventory::ndjson(clock.now()).into_bytes());
    import::run(
        sql,
        lines,
        Format::Ndjson,
        Options::default(),
        Arc::new(clock),
        Box::new(|_: Progress| {}),
    )
    .await?;
    Ok(())
}

/// `object` with one member more, when there is a value for it.
fn with(mut object: Value, member: &str, value: Option<Value>) -> Value {
    if let (Some(object), Some(value)) = (object.as_object_mut(), value) {
        object.insert(member.to_owned(), value);
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_has_the_shape_of_the_design() {
        let folder = tempfile::tempdir().expect("folder");
        let config = Config::for_tests(folder.path());
        let accounts = invent(&config);
        write(&config, &accounts).expect("written");
        let text = fs::read_to_string(file(&config)).expect("there");
        let json: Value = serde_json::from_str(&text).expect("json");
        let names = |list: &str, name: &str| -> Vec<String> {
            let list = json[list].as_array().expect("a list");
            list.iter().map(|it| it[name].as_str().expect("a text").to_owned()).collect()
        };
        assert_eq!(names("users", "username"), ["demo", "guest", "admin"]);
        let clients = names("clients", "client_id");
        assert_eq!(clients, ["demo-mobile", "demo-partner", "demo-service"]);
        assert_eq!(json["users"][2]["roles"][0], "admin");
        assert_eq!(json["clients"][0].get("client_secret"), None);
        assert!(json["clients"][1]["client_secret"].as_str().is_some_and(|it| it.len() == 43));
        assert_ne!(invent(&config).users[0].password, accounts.users[0].password);
        let again = read(&config).expect("readable");
        assert_eq!(again.users[0].password, accounts.users[0].password);
    }
}
