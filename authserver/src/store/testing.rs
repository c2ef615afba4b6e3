//! Databases for the tests of this crate: SQLite in a temporary folder always, and PostgreSQL when
//! `HAETAE_TEST_POSTGRES_URL` names a server (each test gets a schema of its own there).

use haetae_base::{
    clock::{Clock, SystemClock},
    entropy,
    sql::Sql,
};
use sea_orm::{ConnectionTrait, Database};
use tempfile::TempDir;

use super::migrations;
use crate::domain::account::{Account, AccountId};

/// A migrated database that goes away with this value.
pub(crate) struct TestDatabase {
    pub(crate) sql: Sql,
    _folder: Option<TempDir>,
}

/// One fresh database of every kind that is there.
pub(crate) async fn each_database() -> Vec<TestDatabase> {
    let mut databases = vec![sqlite().await];
    if let Some(url) = postgres_url().await {
        databases.push(TestDatabase { sql: migrated(&url).await, _folder: None });
    }
    databases
}

/// A schema of one's own on the PostgreSQL server of the tests, if there is one.
pub(crate) async fn postgres_url() -> Option<String> {
    let server = postgres_server()?;
    let schema = format!("test_{}", u128::from_le_bytes(entropy::bytes()));
    let admin = Database::connect(&server).await.expect("the PostgreSQL server of the tests");
    admin.execute_unprepared(&format!("CREATE SCHEMA {schema}")).await.expect("a schema");
    admin.close().await.expect("closed");
    let mark = if server.contains('?') { '&' } else { '?' };
    Some(format!("{server}{mark}options=-c%20search_path%3D{schema}"))
}

#[expect(clippy::disallowed_methods, reason = "a test asks its environment for a database server")]
fn postgres_server() -> Option<String> {
    std::env::var("HAETAE_TEST_POSTGRES_URL").ok()
}

async fn sqlite() -> TestDatabase {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let url = format!("sqlite:{}", folder.path().join("auth.db").display());
    TestDatabase { sql: migrated(&url).await, _folder: Some(folder) }
}

async fn migrated(url: &str) -> Sql {
    let sql = Sql::connect(&url.to_owned().into(), "a test's database", 4).await.expect("connect");
    migrations::migrate(&sql).await.expect("migrate");
    migrations::migrate(&sql).await.expect("a second time changes nothing");
    assert!(migrations::is_current(&sql).await.expect("sql"));
    sql
}

/// An account without a password.
pub(crate) fn new_account(username: &str) -> Account {
    let now = SystemClock.now();
    Account {
        id: AccountId::new(now),
        username: username.parse().expect("a username"),
        display_name: username.to_owned(),
        email: None,
        email_verified: false,
        locale: None,
        roles: std::collections::BTreeSet::new(),
        password: None,
        disabled_at: None,
        created_at: now,
        updated_at: now,
        epoch: 0,
        version: 1,
    }
}
