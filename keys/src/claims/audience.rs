//! Whom a token is for.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The `aud` claim (RFC 7519 4.1.3): on the wire one string, or an array of them. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audience(Vec<String>);

impl Audience {
    /// One audience.
    pub fn one(audience: impl Into<String>) -> Self {
        Self(vec![audience.into()])
    }

    /// Several audiences. `None` when there are none.
    pub fn many(audiences: Vec<String>) -> Option<Self> {
        (!audiences.is_empty()).then_some(Self(audiences))
    }

    /// Whether `audience` is one of them, compared character by character.
    pub fn contains(&self, audience: &str) -> bool {
        self.0.iter().any(|one| one == audience)
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// The only one; `None` when there are several.
    pub fn only(&self) -> Option<&str> {
        match self.0.as_slice() {
            [one] => Some(one),
            _ => None,
        }
    }
}

impl From<String> for Audience {
    fn from(audience: String) -> Self {
        Self::one(audience)
    }
}

impl From<&str> for Audience {
    fn from(audience: &str) -> Self {
        Self::one(audience)
    }
}

impl Serialize for Audience {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [one] => one.serialize(serializer),
            many => many.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Audience {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Wire {
            One(String),
            Many(Vec<String>),
        }
        let audiences = match Wire::deserialize(deserializer)? {
            Wire::One(one) => vec![one],
            Wire::Many(many) => many,
        };
        Self::many(audiences).ok_or_else(|| de::Error::custom("an audience must not be empty"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_one_or_many_and_writes_the_shorter_form() {
        let read = |text| serde_json::from_str::<Audience>(text);
        assert_eq!(read(r#""a""#).expect("one"), Audience::one("a"));
        assert_eq!(read(r#"["a"]"#).expect("one in an array"), Audience::one("a"));
        let two = read(r#"["a","b"]"#).expect("two");
        assert!(two.contains("a") && two.contains("b") && !two.contains("A"));
        assert_eq!((two.only(), Audience::one("a").only()), (None, Some("a")));
        assert_eq!(serde_json::to_string(&two).expect("json"), r#"["a","b"]"#);
        assert_eq!(serde_json::to_string(&Audience::one("a")).expect("json"), r#""a""#);
        for wrong in ["[]", "null", "1", r#"["a",1]"#, r#"{"a":1}"#] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
