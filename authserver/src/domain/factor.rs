//! A second factor of an account: a one-time-code generator (TOTP, RFC 6238) and the recovery codes that
//! stand in for it.

use haetae_base::clock::Timestamp;

use super::account::AccountId;

/// A one-time-code generator. Until it is confirmed by a first code it protects nothing and may be
/// replaced; afterwards it is asked for at every sign-in.
#[derive(Clone, Debug)]
pub struct TotpFactor {
    /// Whose.
    pub account: AccountId,
    /// The shared secret, sealed under the master key. Unseal with the account's id as associated data.
    pub sealed_secret: Vec<u8>,
    /// When enrolment began.
    pub created_at: Timestamp,
    /// When a first right code proved that the person's device has the secret.
    pub confirmed_at: Option<Timestamp>,
    /// The time step of the last code that was accepted. A code of that step or an earlier one is a
    /// replay (RFC 6238 5.2).
    pub last_used_step: Option<i64>,
}

impl TotpFactor {
    /// Whether sign-in asks for it.
    pub const fn is_confirmed(&self) -> bool {
        self.confirmed_at.is_some()
    }
}

/// A recovery code as stored. The code itself is shown once and then forgotten.
pub type RecoveryCodeHash = [u8; 32];
