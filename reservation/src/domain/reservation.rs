//! A reservation's states and the only ways from one to the next. A transition consumes the reservation
//! and returns it in its next state, so what happened cannot happen again; a state never moves backwards.

use haetae_base::{
    clock::Timestamp,
    id::{Id, Kind},
};
use serde::{Deserialize, Serialize};

use super::{hold::HoldPolicy, inventory::ItemId, version::Version};

/// Marks the ids of reservations (`rsv_…`).
#[derive(Clone, Copy, Debug)]
pub struct ReservationKind;

impl Kind for ReservationKind {
    const PREFIX: &'static str = "rsv";
}

/// The id of a reservation.
pub type ReservationId = Id<ReservationKind>;

/// The state of a reservation, as the API names it.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Accepted, not yet looked at.
    Pending,
    /// The stock is kept until `hold_expires_at`.
    Held,
    /// Sold.
    Confirmed,
    /// There was not enough stock.
    Rejected,
    /// The payment was refused; everything is undone.
    Failed,
    /// The hold ran out.
    Expired,
    /// Being undone on request.
    Cancelling,
    /// Undone on request: the stock is back, the money too.
    Cancelled,
    /// A step keeps failing; an administrator decides.
    Attention,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Pending,
        Self::Held,
        Self::Confirmed,
        Self::Rejected,
        Self::Failed,
        Self::Expired,
        Self::Cancelling,
        Self::Cancelled,
        Self::Attention,
    ];

    /// Its name in SQL and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Held => "held",
            Self::Confirmed => "confirmed",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Cancelling => "cancelling",
            Self::Cancelled => "cancelled",
            Self::Attention => "attention",
        }
    }

    /// The status of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }

    /// Whether nothing can follow.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Rejected | Self::Failed | Self::Expired | Self::Cancelled)
    }
}

/// Where the units of a reservation are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Keeps {
    /// It has none.
    Nothing,
    /// They are held.
    Held,
    /// They are sold.
    Sold,
}

/// What is being worked towards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Goal {
    /// Nothing: the person decides.
    Wait,
    /// Sell, after the payment if there is one.
    Confirm,
    /// Undo everything.
    Cancel,
}

/// The state with what belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Accepted, not yet looked at.
    Pending,
    /// The stock is kept.
    Held {
        /// Until when, unless a payment runs.
        until: Timestamp,
        /// Whether it is being confirmed.
        confirming: bool,
    },
    /// Sold.
    Confirmed,
    /// Not enough stock.
    Rejected,
    /// Payment refused.
    Failed,
    /// The hold ran out.
    Expired,
    /// Being undone.
    Cancelling {
        /// What is still to be given back.
        keeps: Keeps,
    },
    /// Undone.
    Cancelled,
    /// A step keeps failing.
    Attention {
        /// What it keeps meanwhile.
        keeps: Keeps,
        /// What was being worked towards.
        goal: Goal,
    },
}

/// Why a reservation did not come about, for its owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Refusal {
    /// Not enough stock of an item.
    NotEnoughStock {
        /// Which.
        item: ItemId,
        /// How many were asked for.
        wanted: u32,
        /// How many there were.
        available: u32,
    },
    /// The payment was refused.
    PaymentRefused {
        /// What the provider says.
        reason: String,
    },
}

/// How the stock of the basket's items changes with a transition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StockMove {
    /// Not at all.
    None,
    /// Available becomes held.
    Hold,
    /// Held becomes available.
    Release,
    /// Held becomes sold.
    Sell,
    /// Sold becomes available.
    TakeBack,
}

/// A transition that the state does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a reservation that is {} cannot do that", status.as_str())]
pub struct Illegal {
    /// The state that it is in.
    pub status: Status,
}

/// A reservation as far as its states go. What is in its basket, and what it costs, never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// Its id.
    pub id: ReservationId,
    /// Grows with every change.
    pub version: Version,
    /// Where it is.
    pub state: State,
}

/// A reservation after a transition, and what has to happen with the stock in the same transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The reservation.
    pub reservation: Reservation,
    /// The stock.
    pub stock: StockMove,
}

impl State {
    /// Its public name.
    pub const fn status(self) -> Status {
        match self {
            Self::Pending => Status::Pending,
            Self::Held { .. } => Status::Held,
            Self::Confirmed => Status::Confirmed,
            Self::Rejected => Status::Rejected,
            Self::Failed => Status::Failed,
            Self::Expired => Status::Expired,
            Self::Cancelling { .. } => Status::Cancelling,
            Self::Cancelled => Status::Cancelled,
            Self::Attention { .. } => Status::Attention,
        }
    }

    /// Where its units are.
    pub const fn keeps(self) -> Keeps {
        match self {
            Self::Held { .. } => Keeps::Held,
            Self::Confirmed => Keeps::Sold,
            Self::Cancelling { keeps } | Self::Attention { keeps, .. } => keeps,
            Self::Pending | Self::Rejected | Self::Failed | Self::Expired | Self::Cancelled => {
                Keeps::Nothing
            }
        }
    }

    /// What is being worked towards.
    pub const fn goal(self) -> Goal {
        match self {
            Self::Held { confirming: true, .. } => Goal::Confirm,
            Self::Cancelling { .. } => Goal::Cancel,
            Self::Attention { goal, .. } => goal,
            _ => Goal::Wait,
        }
    }
}

impl Reservation {
    /// A reservation that was just accepted.
    pub const fn accepted(id: ReservationId) -> Self {
        Self { id, version: Version::FIRST, state: State::Pending }
    }

    /// The stock is kept until `until`. With a payment it goes on to be confirmed by itself.
    ///
    /// # Errors
    /// [`Illegal`] unless pending.
    pub fn hold(self, until: Timestamp, confirming: bool) -> Result<Moved, Illegal> {
        match self.state {
            State::Pending => Ok(self.to(State::Held { until, confirming }, StockMove::Hold)),
            _ => Err(self.illegal()),
        }
    }

    /// There is not enough stock.
    ///
    /// # Errors
    /// [`Illegal`] unless pending.
    pub fn reject(self) -> Result<Moved, Illegal> {
        match self.state {
            State::Pending => Ok(self.to(State::Rejected, StockMove::None)),
            _ => Err(self.illegal()),
        }
    }

    /// The hold ran out.
    ///
    /// # Errors
    /// [`Illegal`] unless held, not being confirmed, and `now` is not before its end.
    pub fn expire(self, now: Timestamp) -> Result<Moved, Illegal> {
        match self.state {
            State::Held { until, confirming: false } if until <= now => {
                Ok(self.to(State::Expired, StockMove::Release))
            }
            _ => Err(self.illegal()),
        }
    }

    /// Its owner wants it. The hold is extended, for paying takes time.
    ///
    /// # Errors
    /// [`Illegal`] unless held, not being confirmed yet, and its end is still to come.
    pub fn begin_confirm(self, now: Timestamp, policy: HoldPolicy) -> Result<Moved, Illegal> {
        match self.state {
            State::Held { until, confirming: false } if now < until => {
                let until = policy.extended(until, now);
                Ok(self.to(State::Held { until, confirming: true }, StockMove::None))
            }
            _ => Err(self.illegal()),
        }
    }

    /// It is sold.
    ///
    /// # Errors
    /// [`Illegal`] unless it is being confirmed and keeps held stock.
    pub fn confirm(self) -> Result<Moved, Illegal> {
        match (self.state.goal(), self.state.keeps()) {
            (Goal::Confirm, Keeps::Held) => Ok(self.to(State::Confirmed, StockMove::Sell)),
            _ => Err(self.illegal()),
        }
    }

    /// The payment was refused.
    ///
    /// # Errors
    /// [`Illegal`] unless it is being confirmed and keeps held stock.
    pub fn fail(self) -> Result<Moved, Illegal> {
        match (self.state.goal(), self.state.keeps()) {
            (Goal::Confirm, Keeps::Held) => Ok(self.to(State::Failed, StockMove::Release)),
            _ => Err(self.illegal()),
        }
    }

    /// A step failed so often that trying again by itself makes no sense.
    ///
    /// # Errors
    /// [`Illegal`] unless something is being worked towards.
    pub fn call_for_attention(self) -> Result<Moved, Illegal> {
        match self.state {
            State::Held { confirming: true, .. } | State::Cancelling { .. } => {
                let (keeps, goal) = (self.state.keeps(), self.state.goal());
                Ok(self.to(State::Attention { keeps, goal }, StockMove::None))
            }
            _ => Err(self.illegal()),
        }
    }

    pub(super) fn to(self, state: State, stock: StockMove) -> Moved {
        let reservation = Self { state, version: self.version.next(), ..self };
        Moved { reservation, stock }
    }

    pub(super) const fn illegal(self) -> Illegal {
        Illegal { status: self.state.status() }
    }
}
