//! Clients in SQL. A secret is kept as a hash that is sealed under the master key: whoever reads the
//! database cannot even guess at a weak one.

use std::sync::Arc;

use haetae_base::{
    clock::Timestamp,
    secret::SecretHash,
    sql::{Sql, expect_rows},
};
use haetae_keys::seal::{MasterKey, SealingKey};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, ExprTrait, QueryFilter,
    QueryOrder, sea_query::Expr,
};

use super::{StoreError, is_sql_text};
use crate::domain::client::{Client, ClientMetadata};

/// The clients table.
#[derive(Clone)]
pub struct Clients {
    sql: Sql,
    sealing: Arc<SealingKey>,
}

impl Clients {
    /// The table in `sql`, with secrets sealed under a key derived from `master`.
    pub fn new(sql: Sql, master: &MasterKey) -> Self {
        Self { sql, sealing: Arc::new(master.derive("client secrets")) }
    }

    /// The client of this id, shut ones too.
    pub async fn find(&self, client_id: &str) -> Result<Option<Client>, StoreError> {
        if !is_sql_text(client_id) {
            return Ok(None);
        }
        let row = row::Entity::find_by_id(client_id).one(&self.sql.read).await?;
        row.map(|row| self.open(row)).transpose()
    }

    /// All clients, in order of their ids.
    pub async fn list(&self) -> Result<Vec<Client>, StoreError> {
        let rows =
            row::Entity::find().order_by_asc(row::Column::ClientId).all(&self.sql.read).await?;
        rows.into_iter().map(|row| self.open(row)).collect()
    }

    /// Adds a client.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when there is one of this id.
    pub async fn insert(&self, client: &Client) -> Result<(), StoreError> {
        self.insert_in(&self.sql.write, client).await
    }

    /// Writes a client that was read at `client.version`, which the row has one more of afterwards.
    ///
    /// # Errors
    /// [`StoreError::Stale`] when it changed in the meantime.
    pub async fn update(&self, client: &Client, now: Timestamp) -> Result<(), StoreError> {
        let update = row::Entity::update_many()
            .col_expr(row::Column::Metadata, Expr::value(to_json(client)?))
            .col_expr(row::Column::SealedSecretHash, Expr::value(self.seal(client)))
            .col_expr(row::Column::FirstParty, Expr::value(client.first_party))
            .col_expr(
                row::Column::DisabledAt,
                Expr::value(client.disabled_at.map(Timestamp::as_millis)),
            )
            .col_expr(row::Column::UpdatedAt, Expr::value(now.as_millis()))
            .col_expr(row::Column::Version, Expr::col(row::Column::Version).add(1))
            .filter(row::Column::ClientId.eq(client.client_id.clone()))
            .filter(row::Column::Version.eq(client.version));
        Ok(expect_rows(1, update.exec(&self.sql.write).await?.rows_affected)?)
    }

    /// Adds clients: all or none.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when there is one of these ids.
    pub async fn insert_all(&self, clients: &[Client]) -> Result<(), StoreError> {
        let transaction = self.sql.begin_write().await?;
        for client in clients {
            self.insert_in(&transaction, client).await?;
        }
        Ok(transaction.commit().await?)
    }

    /// Removes a client. Whether there was one.
    pub async fn remove(&self, client_id: &str) -> Result<bool, StoreError> {
        let removed = row::Entity::delete_by_id(client_id).exec(&self.sql.write).await?;
        Ok(removed.rows_affected == 1)
    }

    async fn insert_in<C: ConnectionTrait>(
        &self,
        connection: &C,
        client: &Client,
    ) -> Result<(), StoreError> {
        let row = row::ActiveModel {
            client_id: Set(client.client_id.clone()),
            metadata: Set(to_json(client)?),
            sealed_secret_hash: Set(self.seal(client)),
            first_party: Set(client.first_party),
            disabled_at: Set(client.disabled_at.map(Timestamp::as_millis)),
            created_at: Set(client.created_at.as_millis()),
            updated_at: Set(client.updated_at.as_millis()),
            version: Set(client.version),
        };
        let inserted = row::Entity::insert(row)
            .exec_without_returning(connection)
            .await
            .map_err(|error| StoreError::on_insert(error, "the client"))?;
        Ok(expect_rows(1, inserted)?)
    }

    fn seal(&self, client: &Client) -> Option<Vec<u8>> {
        let hash = client.secret?;
        Some(self.sealing.seal(hash.as_bytes(), client.client_id.as_bytes()))
    }

    fn open(&self, row: row::Model) -> Result<Client, StoreError> {
        let broken = |column| StoreError::inconsistent("clients", column, &row.client_id);
        let metadata: ClientMetadata =
            serde_json::from_str(&row.metadata).map_err(|_| broken("metadata"))?;
        let secret = row
            .sealed_secret_hash
            .as_ref()
            .map(|sealed| {
                let opened = self.sealing.open(sealed, row.client_id.as_bytes()).ok()?;
                Some(SecretHash::from_bytes(opened.as_slice().try_into().ok()?))
            })
            .map(|hash| hash.ok_or_else(|| broken("sealed_secret_hash")))
            .transpose()?;
        Ok(Client {
            client_id: row.client_id,
            metadata,
            secret,
            first_party: row.first_party,
            disabled_at: row.disabled_at.map(Timestamp::from_millis),
            created_at: Timestamp::from_millis(row.created_at),
            updated_at: Timestamp::from_millis(row.updated_at),
            version: row.version,
        })
    }
}

impl std::fmt::Debug for Clients {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Clients")
    }
}

fn to_json(client: &Client) -> Result<String, StoreError> {
    serde_json::to_string(&client.metadata)
        .map_err(|_| StoreError::inconsistent("clients", "metadata", &client.client_id))
}

mod row {
    #![expect(unreachable_pub, reason = "the derive wants the row as visible as what it makes")]

    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, DeriveEntityModel)]
    #[sea_orm(table_name = "clients")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub client_id: String,
        pub metadata: String,
        pub sealed_secret_hash: Option<Vec<u8>>,
        pub first_party: bool,
        pub disabled_at: Option<i64>,
        pub created_at: i64,
        pub updated_at: i64,
        pub version: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::client::tests::metadata, store::testing::each_database};

    fn client() -> Client {
        Client {
            client_id: "app".to_owned(),
            metadata: metadata(r#"{"redirect_uris":["https://a.example/cb"]}"#),
            secret: Some(SecretHash::of("s3cret")),
            first_party: false,
            disabled_at: None,
            created_at: Timestamp::from_millis(1),
            updated_at: Timestamp::from_millis(1),
            version: 1,
        }
    }

    #[tokio::test]
    async fn of_several_clients_all_are_added_or_none() {
        let master = MasterKey::from_secret(&MasterKey::generate()).expect("a key");
        for database in each_database().await {
            let clients = Clients::new(database.sql.clone(), &master);
            clients.insert(&client()).await.expect("insert");
            let other = Client { client_id: "other".to_owned(), ..client() };
            let added = clients.insert_all(&[other.clone(), client()]).await;
            assert!(matches!(added, Err(StoreError::Exists(_))), "{added:?}");
            assert_eq!(clients.list().await.expect("sql").len(), 1);
            clients.insert_all(&[other]).await.expect("insert");
            assert_eq!(clients.list().await.expect("sql").len(), 2);
        }
    }

    #[tokio::test]
    async fn a_client_comes_back_as_it_was_and_its_secret_only_under_the_master_key() {
        let master = MasterKey::from_secret(&MasterKey::generate()).expect("a key");
        let other = MasterKey::from_secret(&MasterKey::generate()).expect("a key");
        for database in each_database().await {
            let clients = Clients::new(database.sql.clone(), &master);
            clients.insert(&client()).await.expect("insert");
            assert!(matches!(clients.insert(&client()).await, Err(StoreError::Exists(_))));
            let found = clients.find("app").await.expect("sql").expect("the client");
            assert!(found.has_secret("s3cret") && !found.has_secret("s3cret "));
            assert_eq!(found.metadata, client().metadata);
            let stranger = Clients::new(database.sql.clone(), &other).find("app").await;
            assert!(matches!(stranger, Err(StoreError::Inconsistent { .. })), "{stranger:?}");
            assert!(clients.find("app\0").await.expect("sql").is_none());
            clients.update(&found, found.updated_at).await.expect("update");
            assert!(matches!(
                clients.update(&found, found.updated_at).await,
                Err(StoreError::Stale)
            ));
        }
    }
}
