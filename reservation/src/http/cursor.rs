//! Cursors: where a page of a list ended. Opaque to clients, and only good for the list that gave them.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use haetae_base::secret::SecretHash;

use super::ApiError;

/// The place after which a page begins: `list` says of which list, with everything that selects it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    place: String,
}

impl Cursor {
    /// The place after which the next page begins.
    pub(crate) fn new(place: &impl ToString) -> Self {
        Self { place: place.to_string() }
    }

    /// As it is given to the client.
    pub(crate) fn write(&self, list: &str) -> String {
        URL_SAFE_NO_PAD.encode(format!("{} {}", tag(list), self.place))
    }

    /// As the client gives it back. An empty one is none.
    pub(crate) fn read(text: Option<&str>, list: &str) -> Result<Option<Self>, ApiError> {
        let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
        let decoded =
            URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let place = decoded
            .as_deref()
            .and_then(|text| text.split_once(' '))
            .filter(|(tagged, _)| *tagged == tag(list))
            .map(|(_, place)| Self { place: place.to_owned() });
        place.map(Some).ok_or_else(wrong)
    }

    /// The place.
    pub(crate) fn place<T: std::str::FromStr>(&self) -> Result<T, ApiError> {
        self.place.parse().map_err(|_| wrong())
    }
}

fn wrong() -> ApiError {
    ApiError::parameter("cursor", "not a cursor of this list; begin again without one")
}

fn tag(list: &str) -> String {
    SecretHash::of(list).to_base64url().chars().take(8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_good_for_its_own_list_only() {
        let text = Cursor::new(&42).write("inventory q=jfk");
        let read = Cursor::read(Some(&text), "inventory q=jfk").expect("its own list");
        assert_eq!(read.expect("a place").place::<i64>().expect("a number"), 42);
        assert!(Cursor::read(Some(&text), "inventory q=lax").is_err());
        for junk in ["forged", "eyJpZCI6IicgT1IgMT0xIC0tIn0", "%00", "=", "\u{1F3AB}"] {
            assert!(Cursor::read(Some(junk), "inventory q=jfk").is_err(), "{junk}");
        }
        assert_eq!(Cursor::read(Some(""), "x").expect("none"), None);
        let text = Cursor::new(&"' OR 1=1 --").write("x");
        let cursor = Cursor::read(Some(&text), "x").expect("well formed").expect("there");
        assert!(cursor.place::<i64>().is_err());
    }
}
