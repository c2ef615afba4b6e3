//! Second factors in SQL: one code generator an account, and its recovery codes. Using a code up is one
//! conditional update, so that two sign-ins at once cannot both use it.

use haetae_base::{
    clock::Timestamp,
    sql::{Sql, expect_rows},
};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, ExprTrait, PaginatorTrait,
    QueryFilter, sea_query::Expr,
};

use super::StoreError;
use crate::domain::{
    account::AccountId,
    factor::{RecoveryCodeHash, TotpFactor},
};

/// The tables `totp_factors` and `recovery_codes`.
#[derive(Clone, Debug)]
pub struct Factors(Sql);

impl Factors {
    /// The tables in `sql`.
    pub const fn new(sql: Sql) -> Self {
        Self(sql)
    }

    /// The account's code generator, confirmed or not.
    pub async fn find_totp(&self, account: AccountId) -> Result<Option<TotpFactor>, StoreError> {
        let row = totp::Entity::find_by_id(account.to_string()).one(&self.0.read).await?;
        Ok(row.map(|row| TotpFactor {
            account,
            sealed_secret: row.sealed_secret,
            created_at: Timestamp::from_millis(row.created_at),
            confirmed_at: row.confirmed_at.map(Timestamp::from_millis),
            last_used_step: row.last_used_step,
        }))
    }

    /// Begins an enrolment, in place of one that was never confirmed.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when a confirmed generator is there: it has to be removed first.
    pub async fn begin_totp(
        &self,
        account: AccountId,
        sealed_secret: Vec<u8>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let transaction = self.0.begin_write().await?;
        totp::Entity::delete_many()
            .filter(totp::Column::AccountId.eq(account.to_string()))
            .filter(totp::Column::ConfirmedAt.is_null())
            .exec(&transaction)
            .await?;
        let inserted = totp::Entity::insert(totp::ActiveModel {
            account_id: Set(account.to_string()),
            sealed_secret: Set(sealed_secret),
            created_at: Set(now.as_millis()),
            confirmed_at: Set(None),
            last_used_step: Set(None),
        })
        .exec_without_returning(&transaction)
        .await
        .map_err(|error| StoreError::on_insert(error, "a confirmed code generator"))?;
        expect_rows(1, inserted)?;
        Ok(transaction.commit().await?)
    }

    /// Confirms the enrolment that holds exactly `sealed_secret`, with a first code of `step`, and stores
    /// the recovery codes that go with it: all or nothing.
    ///
    /// # Errors
    /// [`StoreError::Stale`] when that enrolment is gone or confirmed already.
    pub async fn confirm_totp(
        &self,
        factor: &TotpFactor,
        step: i64,
        recovery_codes: &[RecoveryCodeHash],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let transaction = self.0.begin_write().await?;
        let confirmed = totp::Entity::update_many()
            .col_expr(totp::Column::ConfirmedAt, Expr::value(now.as_millis()))
            .col_expr(totp::Column::LastUsedStep, Expr::value(step))
            .filter(totp::Column::AccountId.eq(factor.account.to_string()))
            .filter(totp::Column::SealedSecret.eq(factor.sealed_secret.clone()))
            .filter(totp::Column::ConfirmedAt.is_null())
            .exec(&transaction)
            .await?;
        expect_rows(1, confirmed.rows_affected)?;
        write_recovery_codes(&transaction, factor.account, recovery_codes).await?;
        Ok(transaction.commit().await?)
    }

    /// Uses up the code of time step `step`. `false` when a code of this step or a later one was used
    /// before: a replay.
    pub async fn use_totp_step(&self, account: AccountId, step: i64) -> Result<bool, StoreError> {
        let used = totp::Entity::update_many()
            .col_expr(totp::Column::LastUsedStep, Expr::value(step))
            .filter(totp::Column::AccountId.eq(account.to_string()))
            .filter(totp::Column::ConfirmedAt.is_not_null())
            .filter(totp::Column::LastUsedStep.is_null().or(totp::Column::LastUsedStep.lt(step)))
            .exec(&self.0.write)
            .await?;
        Ok(used.rows_affected == 1)
    }

    /// Removes the code generator and its recovery codes. Whether there was one.
    pub async fn remove_totp(&self, account: AccountId) -> Result<bool, StoreError> {
        let transaction = self.0.begin_write().await?;
        let removed =
            totp::Entity::delete_by_id(account.to_string()).exec(&transaction).await?.rows_affected;
        recovery::Entity::delete_many()
            .filter(recovery::Column::AccountId.eq(account.to_string()))
            .exec(&transaction)
            .await?;
        transaction.commit().await?;
        Ok(removed == 1)
    }

    /// Puts new recovery codes in the place of all old ones.
    pub async fn replace_recovery_codes(
        &self,
        account: AccountId,
        codes: &[RecoveryCodeHash],
    ) -> Result<(), StoreError> {
        let transaction = self.0.begin_write().await?;
        write_recovery_codes(&transaction, account, codes).await?;
        Ok(transaction.commit().await?)
    }

    /// Uses up a recovery code. `false` when there is no such code or it was used before.
    pub async fn use_recovery_code(
        &self,
        account: AccountId,
        code: &RecoveryCodeHash,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let used = recovery::Entity::update_many()
            .col_expr(recovery::Column::UsedAt, Expr::value(now.as_millis()))
            .filter(recovery::Column::AccountId.eq(account.to_string()))
            .filter(recovery::Column::CodeHash.eq(code.to_vec()))
            .filter(recovery::Column::UsedAt.is_null())
            .exec(&self.0.write)
            .await?;
        Ok(used.rows_affected == 1)
    }

    /// How many recovery codes are left.
    pub async fn count_recovery_codes(&self, account: AccountId) -> Result<u64, StoreError> {
        Ok(recovery::Entity::find()
            .filter(recovery::Column::AccountId.eq(account.to_string()))
            .filter(recovery::Column::UsedAt.is_null())
            .count(&self.0.read)
            .await?)
    }
}

async fn write_recovery_codes<C: ConnectionTrait>(
    connection: &C,
    account: AccountId,
    codes: &[RecoveryCodeHash],
) -> Result<(), StoreError> {
    recovery::Entity::delete_many()
        .filter(recovery::Column::AccountId.eq(account.to_string()))
        .exec(connection)
        .await?;
    let rows = codes.iter().map(|code| recovery::ActiveModel {
        account_id: Set(account.to_string()),
        code_hash: Set(code.to_vec()),
        used_at: Set(None),
    });
    let inserted = recovery::Entity::insert_many(rows).exec_without_returning(connection).await?;
    Ok(expect_rows(u64::try_from(codes.len()).unwrap_or(u64::MAX), inserted)?)
}

mod totp {
    #![expect(unreachable_pub, reason = "the derive wants the row as visible as what it makes")]

    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, DeriveEntityModel)]
    #[sea_orm(table_name = "totp_factors")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub account_id: String,
        pub sealed_secret: Vec<u8>,
        pub created_at: i64,
        pub confirmed_at: Option<i64>,
        pub last_used_step: Option<i64>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

mod recovery {
    #![expect(unreachable_pub, reason = "the derive wants the row as visible as what it makes")]

    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, DeriveEntityModel)]
    #[sea_orm(table_name = "recovery_codes")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub account_id: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub code_hash: Vec<u8>,
        pub used_at: Option<i64>,
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
    async fn a_code_and_a_recovery_code_work_once() {
        for database in each_database().await {
            let account = new_account("demo");
            Accounts::new(database.sql.clone()).insert(&account).await.expect("account");
            let factors = Factors::new(database.sql.clone());
            let now = account.created_at;
            factors.begin_totp(account.id, vec![1], now).await.expect("begin");
            factors.begin_totp(account.id, vec![2], now).await.expect("begin anew");
            assert!(!factors.use_totp_step(account.id, 7).await.expect("sql"), "unconfirmed");
            let factor = factors.find_totp(account.id).await.expect("sql").expect("a factor");
            let codes = [[1; 32], [2; 32]];
            factors.confirm_totp(&factor, 10, &codes, now).await.expect("confirm");
            let again = factors.confirm_totp(&factor, 10, &codes, now).await;
            assert!(matches!(again, Err(StoreError::Stale)));
            let replaced = factors.begin_totp(account.id, vec![3], now).await;
            assert!(matches!(replaced, Err(StoreError::Exists(_))));

            assert!(!factors.use_totp_step(account.id, 10).await.expect("sql"), "a replay");
            assert!(factors.use_totp_step(account.id, 11).await.expect("sql"));
            assert!(!factors.use_totp_step(account.id, 11).await.expect("sql"), "a replay");

            assert!(factors.use_recovery_code(account.id, &[1; 32], now).await.expect("sql"));
            assert!(!factors.use_recovery_code(account.id, &[1; 32], now).await.expect("sql"));
            assert!(!factors.use_recovery_code(account.id, &[9; 32], now).await.expect("sql"));
            assert_eq!(factors.count_recovery_codes(account.id).await.expect("sql"), 1);

            assert!(factors.remove_totp(account.id).await.expect("sql"));
            assert_eq!(factors.count_recovery_codes(account.id).await.expect("sql"), 0);
        }
    }
}
