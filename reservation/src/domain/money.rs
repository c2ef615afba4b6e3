//! Amounts of money: whole minor units of one currency, never a float.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A currency: three capital letters (ISO 4217 alphabetic code).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency([u8; 3]);

/// Text that is not a currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a currency is three capital letters, such as KRW")]
pub struct InvalidCurrency;

impl Currency {
    /// The three letters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("XXX")
    }

    /// How many decimal places a person writes: minor units are that many digits of the whole.
    pub fn decimals(&self) -> usize {
        match self.as_str() {
            "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF"
            | "UGX" | "VND" | "VUV" | "XAF" | "XOF" | "XPF" => 0,
            "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
            _ => 2,
        }
    }
}

impl FromStr for Currency {
    type Err = InvalidCurrency;

    fn from_str(text: &str) -> Result<Self, InvalidCurrency> {
        let letters: [u8; 3] = text.as_bytes().try_into().map_err(|_| InvalidCurrency)?;
        if letters.iter().all(u8::is_ascii_uppercase) {
            Ok(Self(letters))
        } else {
            Err(InvalidCurrency)
        }
    }
}

impl TryFrom<String> for Currency {
    type Error = InvalidCurrency;

    fn try_from(text: String) -> Result<Self, InvalidCurrency> {
        text.parse()
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> Self {
        currency.as_str().to_owned()
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// An amount of money, never negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Money {
    minor: i64,
    currency: Currency,
}

/// An amount that is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMoney {
    /// Less than nothing, or more than [`Money::MAX_MINOR`].
    #[error("an amount is from 0 to {} minor units", Money::MAX_MINOR)]
    Bounds,
    /// Two currencies cannot be added.
    #[error("amounts in {left} and {right} cannot be added")]
    MixedCurrencies {
        /// The one.
        left: Currency,
        /// The other.
        right: Currency,
    },
}

impl Money {
    /// The largest amount, in minor units: a sum that a JavaScript client still counts exactly.
    pub const MAX_MINOR: i64 = 9_007_199_254_740_991;

    /// `minor` minor units of `currency`.
    ///
    /// # Errors
    /// [`InvalidMoney::Bounds`].
    pub const fn new(minor: i64, currency: Currency) -> Result<Self, InvalidMoney> {
        if minor < 0 || minor > Self::MAX_MINOR {
            Err(InvalidMoney::Bounds)
        } else {
            Ok(Self { minor, currency })
        }
    }

    /// The amount in minor units.
    pub const fn minor(self) -> i64 {
        self.minor
    }

    /// The currency.
    pub const fn currency(self) -> Currency {
        self.currency
    }

    /// This amount `times` times.
    ///
    /// # Errors
    /// [`InvalidMoney::Bounds`].
    pub fn times(self, times: u32) -> Result<Self, InvalidMoney> {
        let minor = self.minor.checked_mul(i64::from(times)).ok_or(InvalidMoney::Bounds)?;
        Self::new(minor, self.currency)
    }

    /// Both together.
    ///
    /// # Errors
    /// [`InvalidMoney`] when the currencies differ or the sum is too large.
    pub fn plus(self, other: Self) -> Result<Self, InvalidMoney> {
        if self.currency != other.currency {
            return Err(InvalidMoney::MixedCurrencies {
                left: self.currency,
                right: other.currency,
            });
        }
        let minor = self.minor.checked_add(other.minor).ok_or(InvalidMoney::Bounds)?;
        Self::new(minor, self.currency)
    }
}

impl fmt::Display for Money {
    /// As a person reads it: `1,234.50 USD`, `12,000 KRW`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = self.currency.decimals();
        let digits = format!("{:0>width$}", self.minor, width = decimals + 1);
        let (whole, fraction) = digits.split_at(digits.len() - decimals);
        let mut grouped = String::with_capacity(whole.len() + whole.len() / 3);
        for (index, digit) in whole.chars().enumerate() {
            if index > 0 && (whole.len() - index).is_multiple_of(3) {
                grouped.push(',');
            }
            grouped.push(digit);
        }
        if decimals > 0 {
            grouped.push('.');
            grouped.push_str(fraction);
        }
        write!(formatter, "{grouped} {}", self.currency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(minor: i64, currency: &str) -> Money {
        Money::new(minor, currency.parse().expect("a currency")).expect("an amount")
    }

    #[test]
    fn reads_as_a_person_writes_it() {
        assert_eq!(money(1_234_567, "KRW").to_string(), "1,234,567 KRW");
        assert_eq!(money(1_234_567, "USD").to_string(), "12,345.67 USD");
        assert_eq!(money(5, "USD").to_string(), "0.05 USD");
        assert_eq!(money(0, "KRW").to_string(), "0 KRW");
    }

    #[test]
    fn neither_overflows_nor_mixes() {
        assert_eq!(money(Money::MAX_MINOR, "USD").times(2), Err(InvalidMoney::Bounds));
        assert_eq!(money(i64::MAX / 2_000_000, "USD").times(u32::MAX), Err(InvalidMoney::Bounds));
        assert!(matches!(
            money(1, "USD").plus(money(1, "KRW")),
            Err(InvalidMoney::MixedCurrencies { .. })
        ));
        assert_eq!(money(1, "USD").plus(money(2, "USD")), Ok(money(3, "USD")));
    }

    #[test]
    fn a_currency_is_three_capitals() {
        for wrong in ["", "usd", "US", "USDX", "U1D", "원화"] {
            assert!(wrong.parse::<Currency>().is_err(), "{wrong}");
        }
    }
}
