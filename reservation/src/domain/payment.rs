//! One attempt to be paid for a reservation: what the provider said about it so far.

use haetae_base::id::{Id, Kind};
use serde::{Deserialize, Serialize};

use super::money::Money;

/// Marks the ids of payment attempts (`pay_…`).
#[derive(Clone, Copy, Debug)]
pub struct PaymentKind;

impl Kind for PaymentKind {
    const PREFIX: &'static str = "pay";
}

/// The id of a payment attempt. It is the provider's idempotency key: the attempt, not the reservation,
/// or a second card could never be tried (alfio-event/alf.io#1254).
pub type PaymentId = Id<PaymentKind>;

/// What is known about a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentState {
    /// Nothing is known yet: the provider may have been asked or not.
    Started,
    /// The provider refused the card. Nothing is to be undone.
    Declined,
    /// The money is set aside.
    Authorized,
    /// The money was set aside and then could not be taken: it must be let go.
    CaptureRefused,
    /// The money was taken.
    Captured,
    /// The money is free again. Nothing is to be undone.
    Voided,
    /// The money was given back.
    Refunded,
}

impl PaymentState {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Started,
        Self::Declined,
        Self::Authorized,
        Self::CaptureRefused,
        Self::Captured,
        Self::Voided,
        Self::Refunded,
    ];

    /// Its name in SQL and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Declined => "declined",
            Self::Authorized => "authorized",
            Self::CaptureRefused => "capture_refused",
            Self::Captured => "captured",
            Self::Voided => "voided",
            Self::Refunded => "refunded",
        }
    }

    /// The state of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }

    /// Whether the provider can still owe or keep money because of it.
    pub const fn is_settled(self) -> bool {
        matches!(self, Self::Declined | Self::Voided | Self::Refunded)
    }
}

/// A payment attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    /// Its id, and its key at the provider.
    pub id: PaymentId,
    /// What stands for the card at the provider.
    pub token: String,
    /// How much. `None` when nothing in the basket has a price.
    pub amount: Option<Money>,
    /// What is known.
    pub state: PaymentState,
    /// The provider's own name for it, once there is one.
    pub reference: Option<String>,
    /// Why it was refused, for the person who pays.
    pub refusal: Option<String>,
}

/// What is asked of the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// Set the money aside.
    Authorize,
    /// Take it.
    Capture,
    /// Let it go.
    Void,
    /// Give it back.
    Refund,
}

impl Call {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Authorize, Self::Capture, Self::Void, Self::Refund];

    /// Its name in logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Authorize => "authorize",
            Self::Capture => "capture",
            Self::Void => "void",
            Self::Refund => "refund",
        }
    }
}

/// What the provider answered, or that it did not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The money is set aside, under this name.
    Authorized {
        /// The provider's own name for the payment.
        reference: String,
    },
    /// The card was refused.
    Declined {
        /// Why, for the person who pays.
        reason: String,
    },
    /// The money was taken.
    Captured,
    /// The money that was set aside cannot be taken any more.
    CaptureRefused {
        /// Why, for the person who pays.
        reason: String,
    },
    /// Nothing is set aside any more, or never was.
    Voided,
    /// The money was given back.
    Refunded,
    /// Nobody knows: no answer, or one that says to try again. The same call, under the same key, will
    /// tell.
    Unknown {
        /// What happened, for an operator.
        error: String,
    },
}

/// An outcome that does not fit what was known: another worker was faster, or the provider contradicts
/// itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a payment that is {state:?} cannot get that answer")]
pub struct Unfitting {
    /// What was known.
    pub state: PaymentState,
}

impl Payment {
    /// The payment with the provider's answer. The same answer a second time changes nothing.
    ///
    /// # Errors
    /// [`Unfitting`] when the answer does not fit.
    pub fn answered(mut self, outcome: &Outcome) -> Result<Self, Unfitting> {
        use PaymentState::{
            Authorized, CaptureRefused, Captured, Declined, Refunded, Started, Voided,
        };
        let unfitting = Unfitting { state: self.state };
        self.state = match (self.state, outcome) {
            (state, Outcome::Unknown { .. }) => state,
            (Started | Authorized, Outcome::Authorized { reference }) => {
                self.reference = Some(reference.clone());
                Authorized
            }
            (Started | Declined, Outcome::Declined { reason }) => {
                self.refusal = Some(reason.clone());
                Declined
            }
            // A void that comes too late is answered with `Captured`: the money was taken by a call
            // whose answer nobody lived to write down.
            (Authorized | Captured, Outcome::Captured) => Captured,
            (Authorized | CaptureRefused, Outcome::CaptureRefused { reason }) => {
                self.refusal = Some(reason.clone());
                CaptureRefused
            }
            (Started | Authorized | CaptureRefused | Voided, Outcome::Voided) => Voided,
            (Captured | Refunded, Outcome::Refunded) => Refunded,
            _ => return Err(unfitting),
        };
        Ok(self)
    }
}
