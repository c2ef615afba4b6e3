//! How sure a sign-in was: the authentication context classes, in order.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize};

/// An authentication context class (`acr`), ordered from weak to strong: a route that asks for one is
/// satisfied by it and by every stronger one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Acr {
    /// One factor, such as a password.
    #[serde(rename = "1fa")]
    OneFactor,
    /// Two factors, such as a password and a one-time code.
    #[serde(rename = "2fa")]
    TwoFactor,
    /// A factor that cannot be phished, such as a passkey.
    #[serde(rename = "phr")]
    PhishingResistant,
}

impl Acr {
    /// Every class, the weakest first.
    pub const ALL: [Self; 3] = [Self::OneFactor, Self::TwoFactor, Self::PhishingResistant];

    /// The value on the wire: `1fa`, `2fa`, `phr`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OneFactor => "1fa",
            Self::TwoFactor => "2fa",
            Self::PhishingResistant => "phr",
        }
    }
}

impl fmt::Display for Acr {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A text that names none of the classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an acr value that Haetae knows; use 1fa, 2fa or phr")]
pub struct UnknownAcr;

impl FromStr for Acr {
    type Err = UnknownAcr;

    fn from_str(text: &str) -> Result<Self, UnknownAcr> {
        Self::ALL.into_iter().find(|known| known.as_str() == text).ok_or(UnknownAcr)
    }
}

/// Another issuer may use classes of its own. They promise nothing that Haetae could check, so they count
/// as no assurance at all.
pub(super) fn known_or_none<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Acr>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.and_then(|text| text.parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stronger_is_greater_and_names_are_exact() {
        assert!(Acr::PhishingResistant > Acr::TwoFactor && Acr::TwoFactor > Acr::OneFactor);
        for acr in Acr::ALL {
            assert_eq!(acr.as_str().parse(), Ok(acr));
            assert_eq!(serde_json::to_value(acr).expect("json"), acr.as_str());
        }
        assert_eq!("2FA".parse::<Acr>(), Err(UnknownAcr));
    }
}
