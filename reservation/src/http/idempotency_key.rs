//! The field `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header-07) and the fingerprint of a
//! request: what must be the same for two requests to be the same.

use haetae_base::{problem::Problem, secret::SecretHash};
use http::{HeaderMap, HeaderName, StatusCode};
use serde::Serialize;

use super::ApiError;
use crate::{
    domain::{basket::Basket, inventory::ItemId},
    store::accept::IdempotencyKey,
};

const NAME: HeaderName = HeaderName::from_static("idempotency-key");

/// The longest key.
const LONGEST: usize = 255;

/// Reads the key. It is a string of structured fields (`"…"`); bare ones are taken as well, since most
/// clients send them so.
pub(super) fn key(headers: &HeaderMap) -> Result<String, ApiError> {
    let mut values = headers.get_all(NAME).iter();
    let Some(value) = values.next() else {
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "idempotency-key-missing",
            "The request needs an Idempotency-Key",
        )
        .detail(
            "Send a new random value with each new request, and the same one when you repeat it.",
        )
        .into());
    };
    let wrong = || {
        ApiError::parameter(
            "Idempotency-Key",
            format!("must be one text of 1 to {LONGEST} visible ASCII characters"),
        )
    };
    let text = value.to_str().map_err(|_| wrong())?.trim();
    let bare = match text.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"').ok_or_else(wrong)?,
        None => text,
    };
    let fits = !bare.is_empty()
        && bare.len() <= LONGEST
        && bare.bytes().all(|byte| (0x20..0x7f).contains(&byte) && !b"\"\\".contains(&byte));
    if !fits || values.next().is_some() {
        return Err(wrong());
    }
    Ok(bare.to_owned())
}

/// The fingerprint of a request for a reservation, and its key.
pub(crate) fn fingerprint(
    key: String,
    basket: &Basket,
    token: Option<&str>,
    note: Option<&str>,
) -> Result<IdempotencyKey, ApiError> {
    #[derive(Serialize)]
    struct Same<'a> {
        operation: &'static str,
        lines: Vec<(ItemId, u32)>,
        token: Option<&'a str>,
        note: Option<&'a str>,
    }
    let lines = basket.lines().iter().map(|line| (line.item, line.quantity.get())).collect();
    let same = Same { operation: "POST /api/v1/reservations", lines, token, note };
    let text = serde_json::to_string(&same).map_err(|_| Problem::internal())?;
    Ok(IdempotencyKey { key, fingerprint: SecretHash::of(&text).to_base64url() })
}

/// The key was used for another request.
pub(super) fn reused() -> ApiError {
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "idempotency-key-reused",
        "The idempotency key was used for another request",
    )
    .detail("Send a new key with a new request.")
    .into()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(value: &str) -> Result<String, ApiError> {
        let value = HeaderValue::from_str(value).expect("a value");
        key(&HeaderMap::from_iter([(NAME, value)]))
    }

    #[test]
    fn quoted_and_bare_are_the_same_key() {
        assert_eq!(read("\"8e03978e-40d5\"").expect("quoted"), "8e03978e-40d5");
        assert_eq!(read("8e03978e-40d5").expect("bare"), "8e03978e-40d5");
        for wrong in ["", "\"\"", "\"half", "a\"b", "a\\b", &"k".repeat(256)] {
            assert_eq!(read(wrong).expect_err(wrong).status(), 400);
        }
        assert_eq!(key(&HeaderMap::new()).expect_err("none").status(), 400);
    }
}
