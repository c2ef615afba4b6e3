//! The scopes that Haetae gives a meaning to. A registration may name others: they go into the token as
//! they are, for routes of the operator's own.

use haetae_keys::claims::Scope;

use super::account::{Account, Role};

/// Asks for an ID token (OIDC Core 3.1.2.1).
pub const OPENID: &str = "openid";
/// The claims `name`, `preferred_username`, `locale`, `updated_at` (OIDC Core 5.4).
pub const PROFILE: &str = "profile";
/// The claims `email`, `email_verified` (OIDC Core 5.4).
pub const EMAIL: &str = "email";
/// A refresh token that outlives the sign-in session (OIDC Core 11).
pub const OFFLINE_ACCESS: &str = "offline_access";
/// Reading one's own reservations.
pub const RESERVATIONS_READ: &str = "reservations:read";
/// Making, confirming and cancelling one's own reservations.
pub const RESERVATIONS_WRITE: &str = "reservations:write";
/// Changing the inventory: for administrators, and for clients that are registered with it.
pub const INVENTORY_WRITE: &str = "inventory:write";

/// All of them, as discovery lists them.
pub const ALL: [&str; 7] = [
    OPENID,
    PROFILE,
    EMAIL,
    OFFLINE_ACCESS,
    RESERVATIONS_READ,
    RESERVATIONS_WRITE,
    INVENTORY_WRITE,
];

/// What a registration without `scope` gets (RFC 7591 2).
pub(crate) fn default_scope() -> Scope {
    [OPENID, PROFILE, EMAIL, OFFLINE_ACCESS].join(" ").parse().unwrap_or_default()
}

/// What of `scope` this person may hand on: some scopes need a role.
pub(crate) fn permitted_to(account: &Account, scope: Scope) -> Scope {
    if account.has_role(Role::Admin) { scope } else { scope.without(INVENTORY_WRITE) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::new_account;

    #[test]
    fn only_an_administrator_hands_on_the_inventory() {
        let scope: Scope = "openid inventory:write".parse().expect("a scope");
        let mut account = new_account("demo");
        assert_eq!(permitted_to(&account, scope.clone()).to_string(), "openid");
        account.roles.insert(Role::Admin);
        assert_eq!(permitted_to(&account, scope.clone()), scope);
    }

    #[test]
    fn the_default_scope_is_not_empty() {
        assert_eq!(default_scope().len(), 4);
    }
}
