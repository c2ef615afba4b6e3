//! The audit trail in SQL: rows are added, read, and in the end forgotten, never changed. Ids are ULIDs, so their order is the
//! order of time.

use haetae_base::{
    clock::Timestamp,
    sql::{Sql, expect_rows},
};
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::StoreError;
use crate::audit::{AuditEventId, Outcome, Recorded};

/// How many events are forgotten in one statement.
const FORGOTTEN_AT_ONCE: u64 = 500;

/// The audit table.
#[derive(Clone, Debug)]
pub struct AuditTrail(Sql);

/// Which events are wanted. What is `None` does not matter.
#[derive(Clone, Debug, Default)]
pub struct AuditQuery {
    /// Not before.
    pub from: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
    /// About this account.
    pub subject: Option<String>,
    /// About this client.
    pub client_id: Option<String>,
    /// Of this kind, such as `sign_in.failed`.
    pub event: Option<String>,
    /// Only those after this one.
    pub after: Option<AuditEventId>,
    /// At most so many: the newest, unless `after` is set; then the oldest after it.
    pub limit: u64,
}

impl AuditTrail {
    /// The table in `sql`.
    pub const fn new(sql: Sql) -> Self {
        Self(sql)
    }

    /// Adds events, all or none.
    pub async fn append(&self, events: &[Recorded]) -> Result<(), StoreError> {
        let rows = events.iter().map(|event| row::ActiveModel {
            id: Set(event.id.to_string()),
            at: Set(event.at.as_millis()),
            event: Set(event.event.clone()),
            outcome: Set(event.outcome.as_str().to_owned()),
            subject: Set(event.subject.clone()),
            client_id: Set(event.client_id.clone()),
            sid: Set(event.sid.clone()),
            address: Set(event.address.clone()),
            user_agent: Set(event.user_agent.clone()),
            request_id: Set(event.request_id.clone()),
            detail: Set(serde_json::Value::Object(event.detail.clone()).to_string()),
        });
        let inserted = row::Entity::insert_many(rows).exec_without_returning(&self.0.write).await?;
        Ok(expect_rows(u64::try_from(events.len()).unwrap_or(u64::MAX), inserted)?)
    }

    /// Forgets events from before `before`, a batch at a time so that nobody waits for it. Whether there may be
    /// more.
    pub(crate) async fn forget(&self, before: Timestamp) -> Result<bool, StoreError> {
        let old: Vec<String> = row::Entity::find()
            .select_only()
            .column(row::Column::Id)
            .filter(row::Column::At.lt(before.as_millis()))
            .order_by_asc(row::Column::At)
            .limit(FORGOTTEN_AT_ONCE)
            .into_tuple()
            .all(&self.0.read)
            .await?;
        if old.is_empty() {
            return Ok(false);
        }
        let found = u64::try_from(old.len()).unwrap_or(u64::MAX);
        // Another authserver may be at the same; then fewer are left to delete here.
        let deleted = row::Entity::delete_many()
            .filter(row::Column::Id.is_in(old))
            .exec(&self.0.write)
            .await?
            .rows_affected;
        metrics::counter!("haetae_auth_audit_forgotten_total").increment(deleted);
        Ok(found == FORGOTTEN_AT_ONCE)
    }

    /// The events that `query` asks for, the oldest first.
    pub async fn list(&self, query: &AuditQuery) -> Result<Vec<Recorded>, StoreError> {
        let mut select = row::Entity::find().limit(query.limit);
        if let Some(from) = query.from {
            select = select.filter(row::Column::At.gte(from.as_millis()));
        }
        if let Some(until) = query.until {
            select = select.filter(row::Column::At.lt(until.as_millis()));
        }
        if let Some(subject) = &query.subject {
            select = select.filter(row::Column::Subject.eq(subject));
        }
        if let Some(client_id) = &query.client_id {
            select = select.filter(row::Column::ClientId.eq(client_id));
        }
        if let Some(event) = &query.event {
            select = select.filter(row::Column::Event.eq(event));
        }
        let newest_first = query.after.is_none();
        select = match query.after {
            Some(after) => {
                select.filter(row::Column::Id.gt(after.to_string())).order_by_asc(row::Column::Id)
            }
            None => select.order_by_desc(row::Column::Id),
        };
        let mut events = select
            .all(&self.0.read)
            .await?
            .into_iter()
            .map(Recorded::try_from)
            .collect::<Result<Vec<_>, _>>()?;
        if newest_first {
            events.reverse();
        }
        Ok(events)
    }
}

impl TryFrom<row::Model> for Recorded {
    type Error = StoreError;

    fn try_from(row: row::Model) -> Result<Self, StoreError> {
        let broken = |column| StoreError::inconsistent("audit_events", column, &row.id);
        Ok(Self {
            id: row.id.parse().map_err(|_| broken("id"))?,
            outcome: Outcome::parse(&row.outcome).ok_or_else(|| broken("outcome"))?,
            detail: serde_json::from_str(&row.detail).map_err(|_| broken("detail"))?,
            at: Timestamp::from_millis(row.at),
            event: row.event,
            subject: row.subject,
            client_id: row.client_id,
            sid: row.sid,
            address: row.address,
            user_agent: row.user_agent,
            request_id: row.request_id,
        })
    }
}

mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, DeriveEntityModel)]
    #[sea_orm(table_name = "audit_events")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: String,
        pub at: i64,
        pub event: String,
        pub outcome: String,
        pub subject: Option<String>,
        pub client_id: Option<String>,
        pub sid: Option<String>,
        pub address: Option<String>,
        pub user_agent: Option<String>,
        pub request_id: Option<String>,
        pub detail: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        audit::{Event, What},
        store::testing::each_database,
    };

    #[tokio::test]
    async fn what_is_too_old_is_forgotten_and_nothing_else() {
        for database in each_database().await {
            let trail = AuditTrail::new(database.sql.clone());
            let start = Timestamp::from_seconds(1_800_000_000);
            let event = |second| {
                Event::success(What::SignIn)
                    .subject("usr_old")
                    .at(start.plus(Duration::from_secs(second)))
            };
            let events: Vec<Recorded> = (0..600).map(event).collect();
            trail.append(&events).await.expect("sql");
            let bound = start.plus(Duration::from_secs(590));
            assert!(trail.forget(bound).await.expect("sql"), "500 at once");
            assert!(!trail.forget(bound).await.expect("sql"));
            assert!(!trail.forget(bound).await.expect("sql"));
            let query = AuditQuery {
                subject: Some("usr_old".to_owned()),
                limit: 1000,
                ..AuditQuery::default()
            };
            let left = trail.list(&query).await.expect("sql");
            assert_eq!(left.len(), 10);
            assert!(left.iter().all(|event| event.at >= bound));
        }
    }
}
