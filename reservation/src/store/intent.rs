//! What a person decides about a reservation: to confirm it, or to cancel it. Written here and now; a
//! worker does what follows from it.

use haetae_base::clock::Timestamp;
use sea_orm::FromQueryResult;

use super::{
    Store, StoreError,
    accept::NewPayment,
    batch::{BatchTransaction, Change, Loaded, Reached},
    mapping,
};
use crate::domain::{
    fence::Partition,
    hold::HoldPolicy,
    money::Money,
    reservation::{Goal, Reservation, ReservationId, State, Status},
};

/// Who decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decider<'a> {
    /// The owner, by subject.
    Owner(&'a str),
    /// An administrator, about a reservation that needs attention, or of their own.
    Administrator(&'a str),
}

/// What came of the decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is written; the worker of this partition has to know.
    Written(Partition),
    /// It was decided before, or is done already.
    Already,
    /// The state does not allow it.
    Illegal(Status),
    /// The hold ran out, though no worker has got to it yet.
    HoldOver,
    /// There is no such reservation for this person.
    NotFound,
}

#[derive(FromQueryResult)]
struct OwnerRow {
    subject: String,
    total_minor: Option<i64>,
    currency: Option<String>,
}

impl Store {
    /// Decides to confirm, paying with `token` if there is one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn decide_confirm(
        &self,
        id: ReservationId,
        decider: Decider<'_>,
        token: Option<&str>,
        policy: HoldPolicy,
        now: Timestamp,
    ) -> Result<Decision, StoreError> {
        let batch = self.begin_batch().await?;
        let Some((loaded, total)) = self.open(&batch, id, decider).await? else {
            return Ok(Decision::NotFound);
        };
        let reservation = loaded.reservation;
        let after = match reservation.state {
            State::Confirmed | State::Held { confirming: true, .. } => {
                return Ok(Decision::Already);
            }
            State::Held { until, .. } if until <= now => return Ok(Decision::HoldOver),
            // The step that kept failing is tried again; the state stays what it is meanwhile.
            State::Attention { goal: Goal::Confirm, .. } if decider.is_administrator() => {
                Reservation { version: reservation.version.next(), ..reservation }
            }
            _ => match reservation.begin_confirm(now, policy) {
                Ok(moved) => moved.reservation,
                Err(illegal) => return Ok(Decision::Illegal(illegal.status)),
            },
        };
        if let (Some(token), None) = (token, &loaded.payment) {
            let payment = NewPayment::new(id, token, total, now);
            self.insert_new_payments(&batch.transaction, &[payment]).await?;
        }
        write_decision(batch, &loaded, after, Vec::new(), now).await
    }

    /// Decides to cancel.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn decide_cancel(
        &self,
        id: ReservationId,
        decider: Decider<'_>,
        reason: Option<String>,
        now: Timestamp,
    ) -> Result<Decision, StoreError> {
        let batch = self.begin_batch().await?;
        let Some((loaded, _)) = self.open(&batch, id, decider).await? else {
            return Ok(Decision::NotFound);
        };
        let reservation = loaded.reservation;
        match reservation.state {
            State::Cancelling { .. } | State::Cancelled => return Ok(Decision::Already),
            // What an administrator has to decide about, its owner can no longer decide.
            State::Attention { .. } if !decider.is_administrator() => {
                return Ok(Decision::Illegal(Status::Attention));
            }
            _ => {}
        }
        let after = match reservation.begin_cancel() {
            Ok(moved) => moved.reservation,
            Err(illegal) => return Ok(Decision::Illegal(illegal.status)),
        };
        let reached = vec![Reached { version: after.version, state: after.state, reason }];
        write_decision(batch, &loaded, after, reached, now).await
    }

    async fn open(
        &self,
        batch: &BatchTransaction,
        id: ReservationId,
        decider: Decider<'_>,
    ) -> Result<Option<(Loaded, Option<Money>)>, StoreError> {
        let Some(loaded) = batch.reservations(&[id]).await?.remove(&id) else { return Ok(None) };
        let owner: Option<OwnerRow> = self
            .one(
                &batch.transaction,
                "SELECT subject, total_minor, currency FROM reservations WHERE id = $1",
                [id.to_string().into()],
            )
            .await?;
        let Some(owner) = owner else { return Ok(None) };
        let attention = matches!(loaded.reservation.state, State::Attention { .. });
        let permitted = match decider {
            Decider::Owner(subject) => subject == owner.subject,
            Decider::Administrator(subject) => subject == owner.subject || attention,
        };
        if !permitted {
            return Ok(None);
        }
        let currency = owner.currency.as_deref();
        let total = mapping::money("reservations", &id.to_string(), owner.total_minor, currency)?;
        Ok(Some((loaded, total)))
    }
}

impl Decider<'_> {
    const fn is_administrator(self) -> bool {
        matches!(self, Self::Administrator(_))
    }
}

async fn write_decision(
    batch: BatchTransaction,
    loaded: &Loaded,
    after: Reservation,
    reached: Vec<Reached>,
    now: Timestamp,
) -> Result<Decision, StoreError> {
    let change = Change {
        before: loaded.reservation.version,
        after,
        reached,
        refusal: None,
        due_at: Some(now),
        attempts: 0,
        payment: None,
    };
    batch.write(&[change], now).await?;
    batch.commit().await?;
    Ok(Decision::Written(loaded.partition))
}
