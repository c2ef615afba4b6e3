//! Accounts in SQL. A username is unique without regard to case.

use std::collections::BTreeSet;

use haetae_base::{
    clock::Timestamp,
    sql::{Sql, expect_rows},
};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, EntityTrait, ExprTrait, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect, sea_query::Expr,
};

use super::StoreError;
use crate::domain::account::{Account, AccountId, PasswordHash, Role, Username};

/// The accounts table.
#[derive(Clone, Debug)]
pub struct Accounts(Sql);

impl Accounts {
    /// The table in `sql`.
    pub const fn new(sql: Sql) -> Self {
        Self(sql)
    }

    /// The account with this id.
    pub async fn find(&self, id: AccountId) -> Result<Option<Account>, StoreError> {
        let row = row::Entity::find_by_id(id.to_string()).one(&self.0.read).await?;
        row.map(Account::try_from).transpose()
    }

    /// The account with this username, in any mix of upper and lower case. A text that cannot be a
    /// username finds nothing.
    pub async fn find_by_username(&self, username: &str) -> Result<Option<Account>, StoreError> {
        let Ok(username) = username.parse::<Username>() else {
            return Ok(None);
        };
        let row = row::Entity::find()
            .filter(row::Column::UsernameFolded.eq(username.folded()))
            .one(&self.0.read)
            .await?;
        row.map(Account::try_from).transpose()
    }

    /// Up to `limit` accounts whose id sorts after `after`, in order of creation.
    pub async fn list(
        &self,
        after: Option<AccountId>,
        limit: u64,
    ) -> Result<Vec<Account>, StoreError> {
        let mut query = row::Entity::find().order_by_asc(row::Column::Id).limit(limit);
        if let Some(after) = after {
            query = query.filter(row::Column::Id.gt(after.to_string()));
        }
        let rows = query.all(&self.0.read).await?;
        rows.into_iter().map(Account::try_from).collect()
    }

    /// How many accounts there are.
    pub async fn count(&self) -> Result<u64, StoreError> {
        Ok(row::Entity::find().count(&self.0.read).await?)
    }

    /// Adds a new account.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when the username is taken.
    pub async fn insert(&self, account: &Account) -> Result<(), StoreError> {
        let row = row::ActiveModel {
            id: Set(account.id.to_string()),
            username: Set(account.username.as_str().to_owned()),
            username_folded: Set(account.username.folded()),
            display_name: Set(account.display_name.clone()),
            email: Set(account.email.clone()),
            email_verified: Set(account.email_verified),
            locale: Set(account.locale.clone()),
            roles: Set(roles_to_text(&account.roles)),
            password_hash: Set(account.password.as_ref().map(|hash| hash.as_phc().to_owned())),
            disabled_at: Set(account.disabled_at.map(Timestamp::as_millis)),
            created_at: Set(account.created_at.as_millis()),
            updated_at: Set(account.updated_at.as_millis()),
            epoch: Set(account.epoch),
            version: Set(account.version),
        };
        let inserted = row::Entity::insert(row)
            .exec_without_returning(&self.0.write)
            .await
            .map_err(|error| StoreError::on_insert(error, "the username"))?;
        Ok(expect_rows(1, inserted)?)
    }

    /// Sets a new password, whatever the old one was. Sessions that began before are over.
    ///
    /// # Errors
    /// [`StoreError::Stale`] when there is no such account.
    pub async fn set_password(
        &self,
        id: AccountId,
        hash: &PasswordHash,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let update = new_epoch(id, now)
            .col_expr(row::Column::PasswordHash, Expr::value(hash.as_phc().to_owned()));
        Ok(expect_rows(1, update.exec(&self.0.write).await?.rows_affected)?)
    }

    /// Sets the new password of a person who has just given the one of `account`; returns the new epoch.
    /// `None` when the account is in another epoch by now: what was given is worth nothing any more.
    pub(crate) async fn change_password(
        &self,
        account: &Account,
        hash: &PasswordHash,
        now: Timestamp,
    ) -> Result<Option<i64>, StoreError> {
        let update = new_epoch(account.id, now)
            .col_expr(row::Column::PasswordHash, Expr::value(hash.as_phc().to_owned()))
            .filter(row::Column::Epoch.eq(account.epoch));
        let changed = update.exec(&self.0.write).await?.rows_affected == 1;
        Ok(changed.then_some(account.epoch + 1))
    }

    /// Makes everything worthless that was signed in before: sessions at once, codes that are on their way.
    /// Refresh and access tokens are the caller's part.
    pub(crate) async fn raise_epoch(
        &self,
        id: AccountId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let update = new_epoch(id, now);
        Ok(expect_rows(1, update.exec(&self.0.write).await?.rows_affected)?)
    }

    /// Replaces the hash `old` by `new` of the same password, under newer parameters. Whether it did:
    /// when the password changed in the meantime, the new password stays.
    pub async fn rehash_password(
        &self,
        id: AccountId,
        old: &PasswordHash,
        new: &PasswordHash,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let update = changed(id, now)
            .col_expr(row::Column::PasswordHash, Expr::value(new.as_phc().to_owned()))
            .filter(row::Column::PasswordHash.eq(old.as_phc()));
        Ok(update.exec(&self.0.write).await?.rows_affected == 1)
    }

    /// Shuts the account (`Some`) or opens it again (`None`). Sessions that began before are over; revoking
    /// its tokens is the caller's part: see [`crate::manage`].
    pub(crate) async fn set_disabled(
        &self,
        id: AccountId,
        disabled_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let update = new_epoch(id, now)
            .col_expr(row::Column::DisabledAt, Expr::value(disabled_at.map(Timestamp::as_millis)));
        Ok(expect_rows(1, update.exec(&self.0.write).await?.rows_affected)?)
    }

    /// Gives the account these roles and no others. Sessions that began before are over.
    pub(crate) async fn set_roles(
        &self,
        id: AccountId,
        roles: &BTreeSet<Role>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let update =
            new_epoch(id, now).col_expr(row::Column::Roles, Expr::value(roles_to_text(roles)));
        Ok(expect_rows(1, update.exec(&self.0.write).await?.rows_affected)?)
    }
}

/// An update of one account that raises its version.
fn changed(id: AccountId, now: Timestamp) -> sea_orm::UpdateMany<row::Entity> {
    row::Entity::update_many()
        .col_expr(row::Column::UpdatedAt, Expr::value(now.as_millis()))
        .col_expr(row::Column::Version, Expr::col(row::Column::Version).add(1))
        .filter(row::Column::Id.eq(id.to_string()))
}

/// The same, and of everything that was signed in before nothing is left.
fn new_epoch(id: AccountId, now: Timestamp) -> sea_orm::UpdateMany<row::Entity> {
    changed(id, now).col_expr(row::Column::Epoch, Expr::col(row::Column::Epoch).add(1))
}

fn roles_to_text(roles: &BTreeSet<Role>) -> String {
    roles.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(" ")
}

impl TryFrom<row::Model> for Account {
    type Error = StoreError;

    fn try_from(row: row::Model) -> Result<Self, StoreError> {
        let broken = |column| StoreError::inconsistent("accounts", column, &row.id);
        Ok(Self {
            id: row.id.parse().map_err(|_| broken("id"))?,
            username: row.username.parse().map_err(|_| broken("username"))?,
            roles: row
                .roles
                .split_ascii_whitespace()
                .map(|role| role.parse().map_err(|_| broken("roles")))
                .collect::<Result<_, _>>()?,
            display_name: row.display_name,
            email: row.email,
            email_verified: row.email_verified,
            locale: row.locale,
            password: row.password_hash.map(PasswordHash::from_phc),
            disabled_at: row.disabled_at.map(Timestamp::from_millis),
            created_at: Timestamp::from_millis(row.created_at),
            updated_at: Timestamp::from_millis(row.updated_at),
            epoch: row.epoch,
            version: row.version,
        })
    }
}

mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, DeriveEntityModel)]
    #[sea_orm(table_name = "accounts")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: String,
        pub username: String,
        pub username_folded: String,
        pub display_name: String,
        pub email: Option<String>,
        pub email_verified: bool,
        pub locale: Option<String>,
        pub roles: String,
        pub password_hash: Option<String>,
        pub disabled_at: Option<i64>,
        pub created_at: i64,
        pub updated_at: i64,
        pub epoch: i64,
        pub version: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::{each_database, new_account};

    #[tokio::test]
    async fn a_username_is_unique_in_any_case_and_found_in_any_case() {
        for database in each_database().await {
            let accounts = Accounts::new(database.sql.clone());
            let account = new_account("Demo");
            accounts.insert(&account).await.expect("a first account");
            let refused = accounts.insert(&new_account("dEMO")).await;
            assert!(matches!(refused, Err(StoreError::Exists("the username"))), "{refused:?}");
            let found = accounts.find_by_username(" DEMO").await.expect("sql").expect("an account");
            assert_eq!(found.id, account.id);
            for nobody in ["demo\0", "", "d\u{435}mo"] {
                assert!(accounts.find_by_username(nobody).await.expect("sql").is_none());
            }
            assert_eq!(accounts.count().await.expect("sql"), 1);
        }
    }

    #[tokio::test]
    async fn a_rehash_never_overwrites_a_newer_password() {
        for database in each_database().await {
            let accounts = Accounts::new(database.sql.clone());
            let account = new_account("demo");
            accounts.insert(&account).await.expect("insert");
            let now = account.created_at;
            let hash = PasswordHash::from_phc;
            accounts.set_password(account.id, &hash("new"), now).await.expect("set");
            let raced =
                accounts.rehash_password(account.id, &hash("old"), &hash("old2"), now).await;
            assert!(!raced.expect("sql"));
            let found = accounts.find(account.id).await.expect("sql").expect("an account");
            assert_eq!(found.password, Some(hash("new")));
        }
    }
}
