//! Moving money in steps that can be undone: each file holds a step and its undoing. Which of them is due
//! is decided by [`crate::domain::advance::next`]; here the provider is asked, outside of any lock and
//! any transaction, and what it says becomes an [`Outcome`].

mod authorize;
mod capture;

use std::time::Duration;

use crate::{
    domain::{
        payment::{Call, Outcome, Payment},
        reservation::ReservationId,
    },
    ports::{PaymentProvider, ProviderError},
};

/// A call that is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    /// The reservation that waits for the answer.
    pub reservation: ReservationId,
    /// The payment.
    pub payment: Payment,
    /// What is asked.
    pub call: Call,
}

/// Makes the call and waits at most `patience` for the answer.
pub async fn run(provider: &dyn PaymentProvider, charge: &Charge, patience: Duration) -> Outcome {
    let payment = &charge.payment;
    let call = async {
        match charge.call {
            Call::Authorize => authorize::run(provider, payment).await,
            Call::Void => authorize::undo(provider, payment).await,
            Call::Capture => capture::run(provider, payment).await,
            Call::Refund => capture::undo(provider, payment).await,
        }
    };
    let answer = tokio::time::timeout(patience, call).await;
    answer
        .unwrap_or(Err(ProviderError::Timeout))
        .unwrap_or_else(|error| Outcome::Unknown { error: error.to_string() })
}
