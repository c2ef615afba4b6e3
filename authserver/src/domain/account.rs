//! An account: who signs in.

use std::{collections::BTreeSet, fmt, str::FromStr};

use haetae_base::{
    clock::Timestamp,
    id::{Id, Kind},
};

/// The id of an account, `usr_…`: the `sub` of every token about it (OIDC Core 2).
pub type AccountId = Id<Account>;

/// A person who can sign in.
#[derive(Clone, Debug)]
pub struct Account {
    /// Stable for ever, never given to another person.
    pub id: AccountId,
    /// What the person types to sign in.
    pub username: Username,
    /// What the pages and the claim `name` show.
    pub display_name: String,
    /// An address, if one is known.
    pub email: Option<String>,
    /// Whether somebody proved that the address is theirs.
    pub email_verified: bool,
    /// The language of choice, `ko` or `en`: the one in which the person registered.
    pub locale: Option<String>,
    /// What the account may do beyond a customer.
    pub roles: BTreeSet<Role>,
    /// The password as hashed; none when the account has no password (yet).
    pub password: Option<PasswordHash>,
    /// Since when the account is shut. Nobody signs in to it, and its tokens are revoked.
    pub disabled_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Raised when all that was signed in before is over: by a new password, new roles, shutting the account,
    /// signing out everywhere. A session or a code of another epoch is worthless.
    pub epoch: i64,
    /// Raised by every change; an update states the version that it saw.
    pub version: i64,
}

impl Account {
    /// Whether the account is shut.
    pub const fn is_disabled(&self) -> bool {
        self.disabled_at.is_some()
    }

    /// Whether the account has the role.
    pub fn has_role(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }
}

impl Kind for Account {
    const PREFIX: &'static str = "usr";
}

/// What an account may do beyond a customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Runs the installation: accounts, clients, keys, inventory.
    Admin,
}

impl Role {
    /// The role as tokens, SQL and the command line write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A text that names no role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a role; the one role is \"admin\"")]
pub struct UnknownRole;

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        if text == Self::Admin.as_str() { Ok(Self::Admin) } else { Err(UnknownRole) }
    }
}

/// A name to sign in with: 2 to 64 ASCII letters, digits and `. _ - + @`, begun by a letter or a digit.
/// ASCII only, so that two names that look alike are the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Username(String);

impl Username {
    /// The name as the person wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form that is unique: the same for every mix of upper and lower case.
    pub fn folded(&self) -> String {
        fold(&self.0)
    }
}

/// The form of a name in which two names are compared.
pub(crate) fn fold(name: &str) -> String {
    name.to_ascii_lowercase()
}

impl fmt::Display for Username {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A text that cannot be a name to sign in with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUsername {
    /// Shorter than 2 or longer than 64 characters.
    #[error("a username has 2 to 64 characters")]
    Length,
    /// A character that is not allowed there.
    #[error("a username has letters, digits and . _ - + @ only, and begins with a letter or digit")]
    Character,
}

impl FromStr for Username {
    type Err = InvalidUsername;

    fn from_str(text: &str) -> Result<Self, InvalidUsername> {
        let text = text.trim();
        if !text.starts_with(|first: char| first.is_ascii_alphanumeric()) && !text.is_empty() {
            return Err(InvalidUsername::Character);
        }
        if !text.chars().all(|c| c.is_ascii_alphanumeric() || "._-+@".contains(c)) {
            return Err(InvalidUsername::Character);
        }
        if !(2..=64).contains(&text.len()) {
            return Err(InvalidUsername::Length);
        }
        Ok(Self(text.to_owned()))
    }
}

/// A password as stored: a PHC string (`$argon2id$v=19$m=…`). Neither printed nor logged.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// Wraps a PHC string that the hasher made or SQL held.
    pub fn from_phc(phc: impl Into<String>) -> Self {
        Self(phc.into())
    }

    /// The PHC string.
    pub fn as_phc(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PasswordHash(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_username_is_trimmed_and_unique_without_case() {
        let name: Username = " Demo.User+1@Example ".parse().expect("a good name");
        assert_eq!(name.as_str(), "Demo.User+1@Example");
        assert_eq!(name.folded(), "demo.user+1@example");
    }

    #[test]
    fn look_alikes_markup_and_lengths_are_refused() {
        for (text, why) in [
            ("", InvalidUsername::Length),
            ("a", InvalidUsername::Length),
            ("аdmin", InvalidUsername::Character), // the first letter is Cyrillic
            ("<b>", InvalidUsername::Character),
            (".hidden", InvalidUsername::Character),
            ("two words", InvalidUsername::Character),
        ] {
            assert_eq!(text.parse::<Username>(), Err(why), "{text}");
        }
        assert_eq!("x".repeat(65).parse::<Username>(), Err(InvalidUsername::Length));
    }

    #[test]
    fn a_password_hash_is_never_printed() {
        let hash = PasswordHash::from_phc("$argon2id$v=19$secret");
        assert!(!format!("{hash:?}").contains("secret"));
    }
}
