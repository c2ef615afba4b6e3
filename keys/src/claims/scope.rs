//! What a token permits.

use std::{borrow::Cow, collections::BTreeSet, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A set of scopes (RFC 6749 3.3), in order, each once. May be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Scope(BTreeSet<String>);

/// A text that is not a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a scope: names of visible ASCII characters without \" and \\, one space between them")]
pub struct InvalidScope;

impl Scope {
    /// Whether `name` is in the set.
    pub fn contains(&self, name: &str) -> bool {
        self.0.contains(name)
    }

    /// Whether every scope of `other` is in this set.
    pub fn covers(&self, other: &Self) -> bool {
        other.0.is_subset(&self.0)
    }

    /// The scopes that are in both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        Self(self.0.intersection(&other.0).cloned().collect())
    }

    /// The set without `name`.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.0.remove(name);
        self
    }

    /// Adds a scope.
    ///
    /// # Errors
    /// [`InvalidScope`] when `name` is not one scope name.
    pub fn insert(&mut self, name: &str) -> Result<(), InvalidScope> {
        if !is_name(name) {
            return Err(InvalidScope);
        }
        self.0.insert(name.to_owned());
        Ok(())
    }

    /// The names, in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// How many scopes there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromStr for Scope {
    type Err = InvalidScope;

    /// Reads names with one space between them. The empty text is the empty set.
    fn from_str(text: &str) -> Result<Self, InvalidScope> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        text.split(' ')
            .map(|name| is_name(name).then(|| name.to_owned()).ok_or(InvalidScope))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

/// `scope-token = 1*( %x21 / %x23-5B / %x5D-7E )` (RFC 6749 3.3).
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
}

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, name) in self.0.iter().enumerate() {
            if at > 0 {
                formatter.write_str(" ")?;
            }
            formatter.write_str(name)?;
        }
        Ok(())
    }
}

impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(text: &str) -> Scope {
        text.parse().expect(text)
    }

    #[test]
    fn is_a_set_in_order() {
        let read = scope("openid reservations:write reservations:read openid");
        assert_eq!(read.to_string(), "openid reservations:read reservations:write");
        assert_eq!(read, scope("reservations:read reservations:write openid"));
        assert!(
            read.contains("openid") && !read.contains("OpenID") && !read.contains("reservations")
        );
        assert!(read.covers(&scope("openid")) && !scope("openid").covers(&read));
        assert!(read.covers(&Scope::default()));
        assert_eq!(read.intersection(&scope("openid x")), scope("openid"));
        assert_eq!(read.without("openid").len(), 2);
        assert!(scope("").is_empty());
    }

    #[test]
    fn refuses_what_the_grammar_does_not_have() {
        for text in [" ", "a ", " a", "a  b", "a\tb", "a\nb", "a\"b", "a\\b", "é", "a\u{a0}b", "\0"]
        {
            assert_eq!(text.parse::<Scope>(), Err(InvalidScope), "{text:?}");
        }
        assert_eq!(Scope::default().insert("two words"), Err(InvalidScope));
        assert_eq!(Scope::default().insert(""), Err(InvalidScope));
        assert!(serde_json::from_str::<Scope>(r#""a\"b""#).is_err());
        assert!(serde_json::from_str::<Scope>(r#"["a"]"#).is_err());
    }
}
