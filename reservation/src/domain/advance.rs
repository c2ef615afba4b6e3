//! What has to happen next with a reservation. The whole saga is this one function of what is known:
//! whoever picks a reservation up after a crash asks it again and goes on where the other one died.

use haetae_base::clock::Timestamp;

use super::{
    payment::{Call, Payment, PaymentState},
    reservation::{Goal, Keeps, Reservation, State},
};

/// The next step of a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Take the stock, or refuse.
    Hold,
    /// Give the stock back: the hold ran out.
    Expire,
    /// Sell.
    Confirm,
    /// Give the stock back: the payment was refused.
    Fail,
    /// Give the stock back: everything else is undone.
    FinishCancel,
    /// Ask the payment provider. It changes no state; its answer does.
    Pay(Call),
    /// Nothing before this instant.
    Sleep(Timestamp),
    /// Nothing, unless somebody asks for it.
    Rest,
}

/// The next step of `reservation`, whose latest payment attempt is `payment`.
///
/// Forwards: hold, authorize, capture, sell. Backwards, in reverse order: what was captured is refunded,
/// or what was authorized voided, and only then the stock goes back.
pub fn next(reservation: &Reservation, payment: Option<&Payment>, now: Timestamp) -> Next {
    let paid = payment.map(|payment| payment.state);
    match reservation.state {
        State::Pending => Next::Hold,
        State::Held { until, confirming: false } if until <= now => Next::Expire,
        State::Held { until, confirming: false } => Next::Sleep(until),
        State::Held { confirming: true, .. }
        | State::Attention { keeps: Keeps::Held, goal: Goal::Confirm } => forwards(paid),
        State::Cancelling { .. } => backwards(paid),
        State::Attention { .. }
        | State::Confirmed
        | State::Rejected
        | State::Failed
        | State::Expired
        | State::Cancelled => Next::Rest,
    }
}

const fn forwards(payment: Option<PaymentState>) -> Next {
    match payment {
        Some(PaymentState::Started) => Next::Pay(Call::Authorize),
        Some(PaymentState::Authorized) => Next::Pay(Call::Capture),
        Some(PaymentState::CaptureRefused) => Next::Pay(Call::Void),
        None | Some(PaymentState::Captured) => Next::Confirm,
        Some(PaymentState::Declined | PaymentState::Voided | PaymentState::Refunded) => Next::Fail,
    }
}

const fn backwards(payment: Option<PaymentState>) -> Next {
    match payment {
        // Of a payment that was started nobody knows whether the provider heard of it. To void it under
        // its key undoes what may have happened and forbids what has not happened yet.
        Some(PaymentState::Started | PaymentState::Authorized | PaymentState::CaptureRefused) => {
            Next::Pay(Call::Void)
        }
        Some(PaymentState::Captured) => Next::Pay(Call::Refund),
        None | Some(PaymentState::Declined | PaymentState::Voided | PaymentState::Refunded) => {
            Next::FinishCancel
        }
    }
}
