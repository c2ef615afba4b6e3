//! A payment provider that moves no money but behaves like one: it keeps a book of its own, in its own
//! table, so that a call that is made again after a crash finds what it did the first time. The token says
//! how the card behaves:
//!
//! | token | behaves |
//! |---|---|
//! | `tok_declined`, and `worker.payment.decline_tokens` | is refused |
//! | `tok_capture_refused` | can be authorized, but the money cannot be taken |
//! | `tok_timeout` | the first call of each kind happens, but its answer is lost |
//! | `tok_flaky` | the first two calls fail before anything happens |
//! | `tok_broken` | never gets an answer |
//! | `tok_refund_broken` | can be paid with, but a refund never gets an answer |
//! | any other `tok_…` | works |
//!
//! Half of the configured latency passes before a call takes effect and half after it, so a process that
//! is killed while it waits dies on either side of the effect.

use std::{collections::HashSet, time::Duration};

use async_trait::async_trait;
use haetae_base::sql::{Sql, expect_rows};
use sea_orm::{ConnectionTrait, DatabaseTransaction, FromQueryResult, Statement, Value};

use crate::{
    domain::{money::Money, payment::PaymentId},
    ports::{Authorization, Capture, PaymentProvider, ProviderError, Void},
};

/// The simulator.
#[derive(Clone, Debug)]
pub struct PaymentSimulator {
    sql: Sql,
    latency: Duration,
    declined: HashSet<String>,
}

#[derive(FromQueryResult)]
struct ChargeRow {
    token: String,
    state: String,
    reference: Option<String>,
    reason: Option<String>,
    calls: i64,
}

impl PaymentSimulator {
    /// A provider with its book in `sql`, whose every answer takes `latency`, and that refuses the tokens
    /// `declined` besides `tok_declined`.
    pub fn new(sql: Sql, latency: Duration, declined: impl IntoIterator<Item = String>) -> Self {
        let mut declined: HashSet<String> = declined.into_iter().collect();
        declined.insert("tok_declined".to_owned());
        Self { sql, latency, declined }
    }

    async fn open(
        &self,
        key: PaymentId,
        beginning: Option<(&str, Option<Money>)>,
    ) -> Result<(DatabaseTransaction, ChargeRow), ProviderError> {
        tokio::time::sleep(self.latency / 2).await;
        let transaction = self.sql.begin_write().await.map_err(away)?;
        let (token, amount) = beginning.unwrap_or(("", None));
        self.execute(
            &transaction,
            "INSERT INTO simulated_charges (charge_key, token, amount_minor, currency, state, calls, \
             captures, refunds) VALUES ($1, $2, $3, $4, 'new', 0, 0, 0) ON CONFLICT DO NOTHING",
            vec![
                key.to_string().into(),
                token.to_owned().into(),
                amount.map_or(0, Money::minor).into(),
                amount.map(|amount| String::from(amount.currency())).into(),
            ],
        )
        .await?;
        let row = ChargeRow::find_by_statement(Statement::from_sql_and_values(
            self.sql.backend(),
            "UPDATE simulated_charges SET calls = calls + 1 WHERE charge_key = $1 \
             RETURNING token, state, reference, reason, calls",
            [key.to_string().into()],
        ))
        .one(&transaction)
        .await
        .map_err(away)?
        .ok_or_else(|| ProviderError::Unavailable("the book lost a charge".to_owned()))?;
        Ok((transaction, row))
    }

    async fn close(
        &self,
        key: PaymentId,
        transaction: DatabaseTransaction,
        state: &str,
        extra: &str,
        reason: Option<&str>,
    ) -> Result<(), ProviderError> {
        let changed = self
            .execute(
                &transaction,
                &format!(
                    "UPDATE simulated_charges SET state = $2, reason = COALESCE($3, reason){extra} \
                     WHERE charge_key = $1"
                ),
                vec![
                    key.to_string().into(),
                    state.to_owned().into(),
                    reason.map(ToOwned::to_owned).into(),
                ],
            )
            .await?;
        expect_rows(1, changed).map_err(|error| ProviderError::Unavailable(error.to_string()))?;
        transaction.commit().await.map_err(away)?;
        tokio::time::sleep(self.latency / 2).await;
        Ok(())
    }

    async fn execute(
        &self,
        on: &DatabaseTransaction,
        text: &str,
        values: Vec<Value>,
    ) -> Result<u64, ProviderError> {
        let statement = Statement::from_sql_and_values(self.sql.backend(), text, values);
        Ok(on.execute_raw(statement).await.map_err(away)?.rows_affected())
    }

    /// Lets the card misbehave before anything happened. The call is counted all the same.
    async fn fail_before(
        &self,
        transaction: DatabaseTransaction,
        row: &ChargeRow,
    ) -> Result<DatabaseTransaction, ProviderError> {
        let fails = match row.token.as_str() {
            "tok_flaky" => row.calls <= 2,
            "tok_broken" => true,
            _ => false,
        };
        if !fails {
            return Ok(transaction);
        }
        transaction.commit().await.map_err(away)?;
        tokio::time::sleep(self.latency / 2).await;
        Err(ProviderError::Unavailable("simulated failure".to_owned()))
    }
}

/// Whether the answer to a call that took effect just now gets lost.
fn lost_after(row: &ChargeRow) -> Result<(), ProviderError> {
    if row.token == "tok_timeout" { Err(ProviderError::Timeout) } else { Ok(()) }
}

#[expect(clippy::needless_pass_by_value, reason = "what map_err hands over")]
fn away(error: sea_orm::DbErr) -> ProviderError {
    ProviderError::Unavailable(error.to_string())
}

#[async_trait]
impl PaymentProvider for PaymentSimulator {
    async fn authorize(
        &self,
        key: PaymentId,
        token: &str,
        amount: Option<Money>,
    ) -> Result<Authorization, ProviderError> {
        let (transaction, row) = self.open(key, Some((token, amount))).await?;
        let transaction = self.fail_before(transaction, &row).await?;
        let reference = row.reference.clone().unwrap_or_else(|| format!("sim_{key}"));
        match row.state.as_str() {
            "new" => {}
            "declined" | "voided" => {
                let reason = row.reason.unwrap_or_else(|| "voided".to_owned());
                return Ok(Authorization::Declined { reason });
            }
            _ => return Ok(Authorization::Authorized { reference }),
        }
        if self.declined.contains(token) || !token.starts_with("tok_") {
            let reason = if token.starts_with("tok_") { "card declined" } else { "unknown card" };
            self.close(key, transaction, "declined", "", Some(reason)).await?;
            return Ok(Authorization::Declined { reason: reason.to_owned() });
        }
        let named = format!(", reference = '{reference}'");
        self.close(key, transaction, "authorized", &named, None).await?;
        lost_after(&row)?;
        Ok(Authorization::Authorized { reference })
    }

    async fn capture(&self, key: PaymentId) -> Result<Capture, ProviderError> {
        let (transaction, row) = self.open(key, None).await?;
        let transaction = self.fail_before(transaction, &row).await?;
        match row.state.as_str() {
            "captured" => return Ok(Capture::Captured),
            "authorized" => {}
            other => return Ok(Capture::Refused { reason: format!("the charge is {other}") }),
        }
        if row.token == "tok_capture_refused" {
            transaction.commit().await.map_err(away)?;
            return Ok(Capture::Refused { reason: "the card was blocked meanwhile".to_owned() });
        }
        self.close(key, transaction, "captured", ", captures = captures + 1", None).await?;
        lost_after(&row)?;
        Ok(Capture::Captured)
    }

    async fn void(&self, key: PaymentId) -> Result<Void, ProviderError> {
        let (transaction, row) = self.open(key, None).await?;
        let transaction = self.fail_before(transaction, &row).await?;
        match row.state.as_str() {
            "captured" => return Ok(Void::AlreadyCaptured),
            "voided" | "declined" | "refunded" => return Ok(Void::Voided),
            _ => {}
        }
        self.close(key, transaction, "voided", "", None).await?;
        lost_after(&row)?;
        Ok(Void::Voided)
    }

    async fn refund(&self, key: PaymentId) -> Result<(), ProviderError> {
        let (transaction, row) = self.open(key, None).await?;
        if row.token == "tok_refund_broken" {
            transaction.commit().await.map_err(away)?;
            return Err(ProviderError::Unavailable("simulated failure".to_owned()));
        }
        let transaction = self.fail_before(transaction, &row).await?;
        match row.state.as_str() {
            "refunded" => return Ok(()),
            "captured" => {}
            other => return Err(ProviderError::Unavailable(format!("the charge is {other}"))),
        }
        self.close(key, transaction, "refunded", ", refunds = refunds + 1", None).await?;
        lost_after(&row)
    }
}
