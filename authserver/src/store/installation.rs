//! Facts about the installation as a whole, by name: whether it is a demo, the revision of the key ring.

use haetae_base::sql::{Sql, expect_rows};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, sea_query::Expr,
};

use super::StoreError;

/// The name of the fact that an installation is a demo.
const DEMO: &str = "demo";

/// The installation table.
#[derive(Clone, Debug)]
pub struct Installation(Sql);

impl Installation {
    /// The table in `sql`.
    pub const fn new(sql: Sql) -> Self {
        Self(sql)
    }

    /// Whether this is a demo.
    pub async fn is_demo(&self) -> Result<bool, StoreError> {
        Ok(find(&self.0.read, DEMO).await?.is_some())
    }

    /// Marks the installation as a demo.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when it is marked already.
    pub async fn mark_as_demo(&self) -> Result<(), StoreError> {
        insert(&self.0.write, DEMO, "true").await
    }
}

pub(super) async fn find<C: ConnectionTrait>(
    connection: &C,
    name: &str,
) -> Result<Option<String>, StoreError> {
    Ok(row::Entity::find_by_id(name).one(connection).await?.map(|row| row.value))
}

pub(super) async fn insert<C: ConnectionTrait>(
    connection: &C,
    name: &str,
    value: &str,
) -> Result<(), StoreError> {
    let row = row::ActiveModel { name: Set(name.to_owned()), value: Set(value.to_owned()) };
    let inserted = row::Entity::insert(row)
        .exec_without_returning(connection)
        .await
        .map_err(|error| StoreError::on_insert(error, "the fact"))?;
    Ok(expect_rows(1, inserted)?)
}

/// Replaces `old` by `new`.
///
/// # Errors
/// [`StoreError::Stale`] when the value is not `old`.
pub(super) async fn replace<C: ConnectionTrait>(
    connection: &C,
    name: &str,
    old: &str,
    new: &str,
) -> Result<(), StoreError> {
    let updated = row::Entity::update_many()
        .col_expr(row::Column::Value, Expr::value(new))
        .filter(row::Column::Name.eq(name))
        .filter(row::Column::Value.eq(old))
        .exec(connection)
        .await?;
    Ok(expect_rows(1, updated.rows_affected)?)
}

mod row {
    #![expect(unreachable_pub, reason = "the derive wants the row as visible as what it makes")]

    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, DeriveEntityModel)]
    #[sea_orm(table_name = "installation")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub name: String,
        pub value: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}
