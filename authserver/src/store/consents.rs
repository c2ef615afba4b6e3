//! Consents in SQL: one row an account and client.

use haetae_base::{
    clock::Timestamp,
    sql::{Sql, expect_rows},
};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder, sea_query::OnConflict,
};

use super::{StoreError, is_sql_text};
use crate::domain::{account::AccountId, consent::Consent};

/// The consents table.
#[derive(Clone, Debug)]
pub struct Consents(Sql);

impl Consents {
    /// The table in `sql`.
    pub const fn new(sql: Sql) -> Self {
        Self(sql)
    }

    /// What the account allowed the client.
    pub async fn find(
        &self,
        account: AccountId,
        client_id: &str,
    ) -> Result<Option<Consent>, StoreError> {
        let row = row::Entity::find_by_id((account.to_string(), client_id.to_owned()))
            .one(&self.0.read)
            .await?;
        row.map(Consent::try_from).transpose()
    }

    /// Everything that the account allowed.
    pub async fn list(&self, account: AccountId) -> Result<Vec<Consent>, StoreError> {
        let rows = row::Entity::find()
            .filter(row::Column::AccountId.eq(account.to_string()))
            .order_by_asc(row::Column::ClientId)
            .all(&self.0.read)
            .await?;
        rows.into_iter().map(Consent::try_from).collect()
    }

    /// Writes a consent, in place of an older one of the same account and client.
    pub async fn put(&self, consent: &Consent) -> Result<(), StoreError> {
        let row = row::ActiveModel {
            account_id: Set(consent.account.to_string()),
            client_id: Set(consent.client_id.clone()),
            scope: Set(consent.scope.to_string()),
            granted_at: Set(consent.granted_at.as_millis()),
        };
        let written = row::Entity::insert(row)
            .on_conflict(
                OnConflict::columns([row::Column::AccountId, row::Column::ClientId])
                    .update_columns([row::Column::Scope, row::Column::GrantedAt])
                    .to_owned(),
            )
            .exec_without_returning(&self.0.write)
            .await?;
        Ok(expect_rows(1, written)?)
    }

    /// Takes a consent back. Whether there was one. Revoking what was issued under it is the caller's
    /// part.
    pub async fn remove(&self, account: AccountId, client_id: &str) -> Result<bool, StoreError> {
        if !is_sql_text(client_id) {
            return Ok(false);
        }
        let removed = row::Entity::delete_by_id((account.to_string(), client_id.to_owned()))
            .exec(&self.0.write)
            .await?;
        Ok(removed.rows_affected == 1)
    }
}

impl TryFrom<row::Model> for Consent {
    type Error = StoreError;

    fn try_from(row: row::Model) -> Result<Self, StoreError> {
        let broken = |column| StoreError::inconsistent("consents", column, &row.client_id);
        Ok(Self {
            account: row.account_id.parse().map_err(|_| broken("account_id"))?,
            scope: row.scope.parse().map_err(|_| broken("scope"))?,
            client_id: row.client_id,
            granted_at: Timestamp::from_millis(row.granted_at),
        })
    }
}

mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, DeriveEntityModel)]
    #[sea_orm(table_name = "consents")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub account_id: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub client_id: String,
        pub scope: String,
        pub granted_at: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{
        accounts::Accounts,
        testing::{each_database, new_account},
    };

    #[tokio::test]
    async fn a_consent_grows_in_its_place_and_can_be_taken_back() {
        for database in each_database().await {
            let account = new_account("demo");
            Accounts::new(database.sql.clone()).insert(&account).await.expect("account");
            let consents = Consents::new(database.sql.clone());
            for scope in ["openid", "openid profile"] {
                let consent = Consent {
                    account: account.id,
                    client_id: "app".to_owned(),
                    scope: scope.parse().expect("a scope"),
                    granted_at: account.created_at,
                };
                consents.put(&consent).await.expect("put");
                let found = consents.find(account.id, "app").await.expect("sql");
                assert_eq!(found, Some(consent));
            }
            assert_eq!(consents.list(account.id).await.expect("sql").len(), 1);
            assert!(consents.remove(account.id, "app").await.expect("sql"));
            assert!(!consents.remove(account.id, "app").await.expect("sql"));
            assert!(!consents.remove(account.id, "app\0").await.expect("sql"));
        }
    }
}
