//! JSON objects, and nothing that could pass for one: serde takes a list for a struct as well, field by field
//! in the order in which they happen to be declared.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};

/// A struct that is read from an object only.
#[derive(Debug)]
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfMap<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for OfMap<T> {
            type Value = Object<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        deserializer.deserialize_map(OfMap(PhantomData))
    }
}

/// A list of them, for `deserialize_with`.
pub(crate) fn each<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    let objects = Vec::<Object<T>>::deserialize(deserializer)?;
    Ok(objects.into_iter().map(|Object(value)| value).collect())
}

/// One or `null`, for `deserialize_with` beside `default`.
pub(crate) fn maybe<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    let object = Option::<Object<T>>::deserialize(deserializer)?;
    Ok(object.map(|Object(value)| value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize, PartialEq, Eq)]
    struct Line {
        id: String,
        #[serde(default, deserialize_with = "maybe")]
        inner: Option<Inner>,
        #[serde(default, deserialize_with = "each")]
        list: Vec<Inner>,
    }

    #[derive(Debug, Deserialize, PartialEq, Eq)]
    struct Inner {
        number: u32,
    }

    #[test]
    fn a_list_is_no_object_at_any_depth() {
        let read = |text: &str| serde_json::from_str::<Object<Line>>(text).map(|Object(line)| line);
        let good = r#"{"id": "a", "inner": {"number": 1}, "list": [{"number": 2}]}"#;
        assert_eq!(read(good).expect("good").list, [Inner { number: 2 }]);
        assert_eq!(read(r#"{"id": "a", "inner": null}"#).expect("good").inner, None);
        for wrong in [
            r#"["a", null, []]"#,
            r#"{"id": "a", "inner": [1]}"#,
            r#"{"id": "a", "list": [[2]]}"#,
            r#"{"id": "a", "list": {"number": 2}}"#,
            "null",
        ] {
            let error = read(wrong).expect_err(wrong).to_string();
            assert!(error.contains("an object") || error.contains("a sequence"), "{error}");
        }
    }
}
