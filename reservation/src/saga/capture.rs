//! Taking the money, and giving it back.

use crate::{
    domain::payment::{Outcome, Payment},
    ports::{Capture, PaymentProvider, ProviderError},
};

pub(super) async fn run(
    provider: &dyn PaymentProvider,
    payment: &Payment,
) -> Result<Outcome, ProviderError> {
    Ok(match provider.capture(payment.id).await? {
        Capture::Captured => Outcome::Captured,
        Capture::Refused { reason } => Outcome::CaptureRefused { reason },
    })
}

pub(super) async fn undo(
    provider: &dyn PaymentProvider,
    payment: &Payment,
) -> Result<Outcome, ProviderError> {
    provider.refund(payment.id).await.map(|()| Outcome::Refunded)
}
