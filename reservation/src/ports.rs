//! What the use cases need of the outside, named for what it does.

use async_trait::async_trait;

use crate::domain::{money::Money, payment::PaymentId};

/// Somebody who moves money. Every call carries the payment attempt's id as its idempotency key: the same
/// call under the same key happens once, however often it is made, and always gets the same answer.
#[async_trait]
pub trait PaymentProvider: Send + Sync {
    /// Sets the money aside.
    ///
    /// # Errors
    /// When nobody knows whether it happened.
    async fn authorize(
        &self,
        key: PaymentId,
        token: &str,
        amount: Option<Money>,
    ) -> Result<Authorization, ProviderError>;

    /// Takes the money that was set aside.
    ///
    /// # Errors
    /// When nobody knows whether it happened.
    async fn capture(&self, key: PaymentId) -> Result<Capture, ProviderError>;

    /// Lets the money go that was set aside, and forbids to set it aside under this key later.
    ///
    /// # Errors
    /// When nobody knows whether it happened.
    async fn void(&self, key: PaymentId) -> Result<Void, ProviderError>;

    /// Gives the money back that was taken.
    ///
    /// # Errors
    /// When nobody knows whether it happened.
    async fn refund(&self, key: PaymentId) -> Result<(), ProviderError>;
}

/// The answer to [`PaymentProvider::authorize`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authorization {
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
}

/// The answer to [`PaymentProvider::capture`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Capture {
    /// The money was taken.
    Captured,
    /// It cannot be taken any more.
    Refused {
        /// Why, for the person who pays.
        reason: String,
    },
}

/// The answer to [`PaymentProvider::void`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Void {
    /// Nothing is set aside any more, or never was.
    Voided,
    /// The money was taken already: it has to be refunded.
    AlreadyCaptured,
}

/// A provider that gave no answer, or one that says to try again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// No answer in time.
    #[error("the payment provider did not answer in time")]
    Timeout,
    /// It cannot answer now.
    #[error("the payment provider cannot answer now: {0}")]
    Unavailable(String),
}
