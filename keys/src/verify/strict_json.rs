//! JSON objects without a second reading: a member that stands twice, at any depth, is refused, because two
//! parsers may each believe another one of them (RFC 7519 4, RFC 8725 2.4).

use std::{borrow::Cow, cell::Cell, fmt};

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Why a text is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    NotAnObject,
    Duplicate,
}

/// Reads a JSON object. The nesting is bounded (128 levels) and numbers must fit.
pub(crate) fn object(text: &[u8]) -> Result<Map<String, Value>, Fault> {
    let duplicate = Cell::new(false);
    let mut reader = serde_json::Deserializer::from_slice(text);
    let scanned = Scan(&duplicate).deserialize(&mut reader).and_then(|()| reader.end());
    match scanned {
        Ok(()) => serde_json::from_slice(text).map_err(|_| Fault::NotAnObject),
        Err(_) if duplicate.get() => Err(Fault::Duplicate),
        Err(_) => Err(Fault::NotAnObject),
    }
}

/// Walks a JSON value and keeps nothing but the names of the objects that it is in.
#[derive(Clone, Copy)]
struct Scan<'a>(&'a Cell<bool>);

impl<'de> DeserializeSeed<'de> for Scan<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Scan<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        while elements.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut names: Vec<Cow<'de, str>> = Vec::new();
        while let Some(name) = members.next_key_seed(Name)? {
            names.push(name);
            members.next_value_seed(self)?;
        }
        // Sorting keeps an object of thousands of members from costing millions of comparisons.
        names.sort_unstable();
        if names.is_sorted_by(|left, right| left < right) {
            return Ok(());
        }
        self.0.set(true);
        Err(de::Error::custom("a member stands twice"))
    }
}

/// The name of a member, borrowed unless it is written with escapes; compared after unescaping.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the name of a member")
    }

    fn visit_borrowed_str<E: de::Error>(self, name: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_objects_and_nothing_else() {
        assert_eq!(object(br#"{"a":[1,{"b":null}],"c":-1.5}"#).map(|map| map.len()), Ok(2));
        for text in [
            "",
            "[]",
            "1",
            "\"a\"",
            "null",
            "{",
            "{}{}",
            "{} x",
            "{'a':1}",
            "{\"a\":1,}",
            "\u{feff}{}",
            "{\"a\":NaN}",
            "{\"a\":1e400}",
            "{\"a\":01}",
            "{\"a\":\"\\ud800\"}",
        ] {
            assert_eq!(object(text.as_bytes()), Err(Fault::NotAnObject), "{text}");
        }
        assert_eq!(object(b"{\"a\":\"\xff\"}"), Err(Fault::NotAnObject));
    }

    #[test]
    fn refuses_a_second_member_at_any_depth_and_in_any_spelling() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"exp":1,"b":2,"e\u0078p":3}"#,
            r#"{"a":[{"b":{"c":1,"c":2}}]}"#,
        ] {
            assert_eq!(object(text.as_bytes()), Err(Fault::Duplicate), "{text}");
        }
        assert!(object(r#"{"a":{"b":1},"b":{"a":1}}"#.as_bytes()).is_ok());
    }

    #[test]
    fn nesting_is_bounded() {
        let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
        assert_eq!(object(deep.as_bytes()), Err(Fault::NotAnObject));
    }
}
