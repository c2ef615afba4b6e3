//! The durable side of the denylist: every revocation is committed here before it is acknowledged.

use async_trait::async_trait;
use haetae_base::{clock::Timestamp, sql::Sql};
use haetae_session::denylist::{Entry, LogError, Recorded, RevocationLog};
use sea_orm::{
    ActiveValue::{NotSet, Set},
    ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::Expr,
};

use super::StoreError;

/// The revocations table.
#[derive(Clone, Debug)]
pub struct Revocations(Sql);

impl Revocations {
    /// The table in `sql`.
    pub const fn new(sql: Sql) -> Self {
        Self(sql)
    }

    async fn select(&self, which: Condition, limit: u64) -> Result<Vec<Recorded>, LogError> {
        let rows = row::Entity::find()
            .filter(which)
            .order_by_asc(row::Column::Id)
            .limit(limit)
            .all(&self.0.read)
            .await
            .map_err(LogError::new)?;
        rows.into_iter().map(|row| Recorded::try_from(row).map_err(LogError::new)).collect()
    }
}

#[async_trait]
impl RevocationLog for Revocations {
    async fn append(&self, entries: &[Entry], now: Timestamp) -> Result<Vec<i64>, LogError> {
        let transaction = self.0.begin_write().await.map_err(LogError::new)?;
        let mut ids = Vec::with_capacity(entries.len());
        for entry in entries {
            let row = row::ActiveModel {
                id: NotSet,
                kind: Set(entry.kind.as_str().to_owned()),
                value: Set(entry.value.clone()),
                issued_before: Set(entry.issued_before.as_millis()),
                until: Set(entry.until.as_millis()),
                created_at: Set(now.as_millis()),
                published: Set(false),
            };
            let inserted =
                row::Entity::insert(row).exec(&transaction).await.map_err(LogError::new)?;
            ids.push(inserted.last_insert_id);
        }
        transaction.commit().await.map_err(LogError::new)?;
        Ok(ids)
    }

    async fn unpublished(
        &self,
        recorded_before: Timestamp,
        limit: u64,
    ) -> Result<Vec<Recorded>, LogError> {
        let which = Condition::all()
            .add(row::Column::Published.eq(false))
            .add(row::Column::CreatedAt.lt(recorded_before.as_millis()));
        self.select(which, limit).await
    }

    async fn mark_published(&self, ids: &[i64]) -> Result<(), LogError> {
        // No number of rows to expect: an entry may be marked already, or over and gone.
        row::Entity::update_many()
            .col_expr(row::Column::Published, Expr::value(true))
            .filter(row::Column::Id.is_in(ids.iter().copied()))
            .exec(&self.0.write)
            .await
            .map_err(LogError::new)?;
        Ok(())
    }

    async fn live(
        &self,
        ending_after: Timestamp,
        after: i64,
        limit: u64,
    ) -> Result<Vec<Recorded>, LogError> {
        let which = Condition::all()
            .add(row::Column::Until.gt(ending_after.as_millis()))
            .add(row::Column::Id.gt(after));
        self.select(which, limit).await
    }

    async fn forget(&self, ended: Timestamp) -> Result<u64, LogError> {
        let deleted = row::Entity::delete_many()
            .filter(row::Column::Until.lte(ended.as_millis()))
            .exec(&self.0.write)
            .await
            .map_err(LogError::new)?;
        Ok(deleted.rows_affected)
    }
}

impl TryFrom<row::Model> for Recorded {
    type Error = StoreError;

    fn try_from(row: row::Model) -> Result<Self, StoreError> {
        let kind = row
            .kind
            .parse()
            .map_err(|_| StoreError::inconsistent("revocations", "kind", &row.id.to_string()))?;
        Ok(Self {
            id: row.id,
            entry: Entry {
                kind,
                value: row.value,
                issued_before: Timestamp::from_millis(row.issued_before),
                until: Timestamp::from_millis(row.until),
            },
        })
    }
}

mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, DeriveEntityModel)]
    #[sea_orm(table_name = "revocations")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i64,
        pub kind: String,
        pub value: String,
        pub issued_before: i64,
        pub until: i64,
        pub created_at: i64,
        pub published: bool,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

#[cfg(test)]
mod tests {
    use haetae_session::denylist::Kind;

    use super::*;
    use crate::store::testing::each_database;

    #[tokio::test]
    async fn an_entry_is_unpublished_until_marked_and_live_until_it_is_over() {
        for database in each_database().await {
            let log = Revocations::new(database.sql.clone());
            let at = Timestamp::from_millis;
            let entry = |value: &str, until| Entry {
                kind: Kind::Sid,
                value: value.to_owned(),
                issued_before: at(10),
                until: at(until),
            };
            let entries = [entry("a", 100), entry("b", 200)];
            let ids = log.append(&entries, at(10)).await.expect("append");
            assert!(ids.len() == 2 && ids[0] < ids[1]);
            assert!(log.unpublished(at(10), 9).await.expect("sql").is_empty());
            let open = log.unpublished(at(11), 9).await.expect("sql");
            assert_eq!(open.iter().map(|one| one.id).collect::<Vec<_>>(), ids);
            assert_eq!(open[1].entry, entries[1]);
            log.mark_published(&ids[..1]).await.expect("mark");
            assert_eq!(log.unpublished(at(11), 9).await.expect("sql").len(), 1);
            assert_eq!(log.live(at(50), 0, 9).await.expect("sql").len(), 2);
            assert_eq!(log.live(at(100), 0, 9).await.expect("sql").len(), 1);
            assert_eq!(log.live(at(50), ids[0], 9).await.expect("sql").len(), 1);
            assert_eq!(log.forget(at(100)).await.expect("sql"), 1);
            assert_eq!(log.live(at(0), 0, 9).await.expect("sql").len(), 1);
        }
    }
}
