//! The ring of signing keys in SQL. The revision of the ring is one row that every change raises, so that
//! of two servers that change the ring at once one has to look again.

use async_trait::async_trait;
use haetae_base::{
    clock::Timestamp,
    sql::{Sql, expect_rows},
};
use haetae_keys::ring::{Change, KeyState, KeyStore, StoreError, StoredKey, StoredRing, Update};
use sea_orm::{
    AccessMode, ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, IsolationLevel,
    QueryFilter, QueryOrder, TransactionTrait, sea_query::Expr,
};

use super::{StoreError as AuthStoreError, installation};

const REVISION: &str = "key_ring_revision";

/// The table of the signing keys.
#[derive(Clone, Debug)]
pub struct SigningKeys(Sql);

impl SigningKeys {
    /// The table in `sql`.
    pub const fn new(sql: Sql) -> Self {
        Self(sql)
    }
}

#[async_trait]
impl KeyStore for SigningKeys {
    async fn load(&self) -> Result<StoredRing, StoreError> {
        // One snapshot for the revision and the rows. SQLite gives that to every transaction.
        let isolation = match self.0.backend() {
            sea_orm::DbBackend::Postgres => Some(IsolationLevel::RepeatableRead),
            _ => None,
        };
        let snapshot = self
            .0
            .read
            .begin_with_config(isolation, isolation.map(|_| AccessMode::ReadOnly))
            .await
            .map_err(StoreError::failed)?;
        let revision = read_revision(&snapshot).await?;
        let found = row::Entity::find()
            .order_by_asc(row::Column::CreatedAt)
            .order_by_asc(row::Column::Kid)
            .all(&snapshot)
            .await
            .map_err(StoreError::failed)?;
        snapshot.commit().await.map_err(StoreError::failed)?;
        let keys = found.into_iter().map(StoredKey::try_from).collect::<Result<_, _>>();
        Ok(StoredRing { revision, keys: keys.map_err(StoreError::failed)? })
    }

    async fn apply(&self, expected: i64, changes: &[Change]) -> Result<(), StoreError> {
        let transaction = self.0.begin_write().await.map_err(StoreError::failed)?;
        raise_revision(&transaction, expected).await?;
        for change in changes {
            let rows = match change {
                Change::Insert(key) => insert(&transaction, key).await,
                Change::Update(change) => update(&transaction, change).await,
                Change::Remove { kid } => row::Entity::delete_by_id(kid.clone())
                    .exec(&transaction)
                    .await
                    .map(|deleted| deleted.rows_affected),
            };
            expect_rows(1, rows.map_err(StoreError::failed)?).map_err(StoreError::failed)?;
        }
        transaction.commit().await.map_err(StoreError::failed)
    }
}

async fn read_revision<C: ConnectionTrait>(connection: &C) -> Result<i64, StoreError> {
    match installation::find(connection, REVISION).await.map_err(StoreError::failed)? {
        None => Ok(0),
        Some(text) => text.parse().map_err(StoreError::failed),
    }
}

async fn raise_revision<C: ConnectionTrait>(
    connection: &C,
    expected: i64,
) -> Result<(), StoreError> {
    let next = (expected + 1).to_string();
    let written = if expected == 0 {
        installation::insert(connection, REVISION, &next).await
    } else {
        installation::replace(connection, REVISION, &expected.to_string(), &next).await
    };
    written.map_err(|error| match error {
        AuthStoreError::Exists(_) | AuthStoreError::Stale => StoreError::Conflict,
        error => StoreError::failed(error),
    })
}

async fn insert<C: ConnectionTrait>(
    connection: &C,
    key: &StoredKey,
) -> Result<u64, sea_orm::DbErr> {
    let row = row::ActiveModel {
        kid: Set(key.kid.clone()),
        algorithm: Set(key.algorithm.as_str().to_owned()),
        state: Set(key.state.as_str().to_owned()),
        sealed_private: Set(key.sealed_private.clone()),
        public_jwk: Set(serde_json::to_string(&key.public_jwk)
            .map_err(|error| sea_orm::DbErr::Json(error.to_string()))?),
        created_at: Set(key.created_at.as_millis()),
        activate_at: Set(key.activate_at.as_millis()),
        retire_at: Set(key.retire_at.map(Timestamp::as_millis)),
        remove_at: Set(key.remove_at.map(Timestamp::as_millis)),
    };
    row::Entity::insert(row).exec_without_returning(connection).await
}

async fn update<C: ConnectionTrait>(
    connection: &C,
    change: &Update,
) -> Result<u64, sea_orm::DbErr> {
    let mut update = row::Entity::update_many()
        .col_expr(row::Column::State, Expr::value(change.state.as_str()))
        .col_expr(row::Column::ActivateAt, Expr::value(change.activate_at.as_millis()))
        .col_expr(row::Column::RetireAt, Expr::value(change.retire_at.map(Timestamp::as_millis)))
        .col_expr(row::Column::RemoveAt, Expr::value(change.remove_at.map(Timestamp::as_millis)))
        .filter(row::Column::Kid.eq(change.kid.clone()));
    if change.destroy_private {
        update = update.col_expr(row::Column::SealedPrivate, Expr::value(Vec::<u8>::new()));
    }
    Ok(update.exec(connection).await?.rows_affected)
}

impl TryFrom<row::Model> for StoredKey {
    type Error = AuthStoreError;

    fn try_from(row: row::Model) -> Result<Self, AuthStoreError> {
        let broken = |column| AuthStoreError::inconsistent("signing_keys", column, &row.kid);
        Ok(Self {
            algorithm: row.algorithm.parse().map_err(|_| broken("algorithm"))?,
            state: KeyState::parse(&row.state).ok_or_else(|| broken("state"))?,
            public_jwk: serde_json::from_str(&row.public_jwk).map_err(|_| broken("public_jwk"))?,
            kid: row.kid,
            sealed_private: row.sealed_private,
            created_at: Timestamp::from_millis(row.created_at),
            activate_at: Timestamp::from_millis(row.activate_at),
            retire_at: row.retire_at.map(Timestamp::from_millis),
            remove_at: row.remove_at.map(Timestamp::from_millis),
        })
    }
}

mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, DeriveEntityModel)]
    #[sea_orm(table_name = "signing_keys")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub kid: String,
        pub algorithm: String,
        pub state: String,
        pub sealed_private: Vec<u8>,
        pub public_jwk: String,
        pub created_at: i64,
        pub activate_at: i64,
        pub retire_at: Option<i64>,
        pub remove_at: Option<i64>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}
