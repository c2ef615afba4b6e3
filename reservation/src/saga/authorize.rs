//! Setting money aside, and letting it go again.

use crate::{
    domain::payment::{Outcome, Payment},
    ports::{Authorization, PaymentProvider, ProviderError, Void},
};

pub(super) async fn run(
    provider: &dyn PaymentProvider,
    payment: &Payment,
) -> Result<Outcome, ProviderError> {
    let answer = provider.authorize(payment.id, &payment.token, payment.amount).await?;
    Ok(match answer {
        Authorization::Authorized { reference } => Outcome::Authorized { reference },
        Authorization::Declined { reason } => Outcome::Declined { reason },
    })
}

/// When the money was taken meanwhile, by a capture whose answer was lost, that is the answer, and
/// [`super::capture::undo`] comes next.
pub(super) async fn undo(
    provider: &dyn PaymentProvider,
    payment: &Payment,
) -> Result<Outcome, ProviderError> {
    Ok(match provider.void(payment.id).await? {
        Void::Voided => Outcome::Voided,
        Void::AlreadyCaptured => Outcome::Captured,
    })
}
