//! Whether SQL answers, asked beside the requests, so that those that need it don't each find out by waiting.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use haetae_base::{shutdown::Shutdown, sql::Sql};
use sea_orm::{DbErr, RuntimeErr};

use crate::store::StoreError;

/// How often SQL is asked.
const TICK: Duration = Duration::from_secs(1);
/// How long it may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// After so many answers that did not come in a row, requests are told at once. One may be missing because all
/// connections were busy.
const AWAY: u32 = 2;

/// What is known of SQL. Up until something else is found out.
#[derive(Debug, Default)]
pub(crate) struct SqlHealth {
    missed: AtomicU32,
}

impl SqlHealth {
    /// Asks until shutdown.
    pub(crate) async fn watch(&self, sql: &Sql, shutdown: &Shutdown) {
        // It was used a moment ago, or the authserver had not come so far.
        self.note(true);
        loop {
            tokio::select! {
                () = tokio::time::sleep(TICK) => {}
                () = shutdown.requested() => return,
            }
            self.note(matches!(tokio::time::timeout(PATIENCE, sql.ping()).await, Ok(true)));
        }
    }

    /// Whether it answered, the last time that it was asked.
    pub(crate) fn answers(&self) -> bool {
        self.missed.load(Ordering::Relaxed) == 0
    }

    /// To be asked before a request waits for SQL in vain.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] while SQL is known to be away.
    pub(crate) fn expect(&self) -> Result<(), StoreError> {
        if self.missed.load(Ordering::Relaxed) < AWAY {
            return Ok(());
        }
        let reason = RuntimeErr::Internal("SQL has not answered for some seconds".to_owned());
        Err(StoreError::Unavailable(DbErr::Conn(reason)))
    }

    /// Notes whether it answered.
    pub(crate) fn note(&self, answered: bool) {
        metrics::gauge!("haetae_auth_sql_up").set(if answered { 1.0 } else { 0.0 });
        // Written by the watch alone.
        let missed = self.missed.load(Ordering::Relaxed);
        self.missed.store(if answered { 0 } else { missed.saturating_add(1) }, Ordering::Relaxed);
    }
}
