//! An inventory item as somebody describes it, in a request or in a line of a file: parsed, and every
//! bound checked, once.

use haetae_base::{clock::Timestamp, problem::FieldError};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::{
    domain::{
        inventory::Stock,
        money::{Currency, Money},
    },
    object,
    store::inventory::{
        Description, ItemPatch, MAX_ATTRIBUTES, MAX_ATTRIBUTES_BYTES, attributes_fit,
        weigh_attributes,
    },
};

/// The longest name, in characters.
pub const MAX_NAME: usize = 200;
/// The longest sku, in characters.
pub const MAX_SKU: usize = 100;
/// The longest description, in characters.
pub const MAX_DESCRIPTION: usize = 4000;

/// A new item.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ItemInput {
    /// The seller's own key, unique; an import finds the item by it.
    #[schema(min_length = 1, max_length = 100)]
    pub sku: Option<String>,
    /// What it is called.
    #[schema(min_length = 1, max_length = 200)]
    pub name: String,
    /// More about it.
    #[schema(max_length = 4000)]
    pub description: Option<String>,
    /// How many there are.
    #[schema(maximum = 1_000_000_000)]
    pub quantity: u32,
    /// What one unit costs.
    #[serde(default, deserialize_with = "object::maybe")]
    pub price: Option<PriceInput>,
    /// When it takes place (RFC 3339).
    #[schema(format = DateTime)]
    pub starts_at: Option<String>,
    /// Whatever else is known about it. Texts and numbers in it can be searched for.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub attributes: Option<Map<String, Value>>,
}

/// An amount of money.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PriceInput {
    /// In minor units: cents, won.
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    pub amount_minor: i64,
    /// Three capital letters (ISO 4217).
    #[schema(pattern = "^[A-Z]{3}$")]
    pub currency: String,
}

/// A change of an item (RFC 7396 merge patch): what is left out stays, `null` removes.
#[derive(Clone, Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ItemPatchInput {
    /// The seller's own key.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 100)]
    pub sku: Option<Option<String>>,
    /// What it is called.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = String, required = false, min_length = 1, max_length = 200)]
    pub name: Option<Option<String>>,
    /// More about it.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, max_length = 4000)]
    pub description: Option<Option<String>>,
    /// How many there are; what is held and sold stays.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = u32, required = false, maximum = 1_000_000_000)]
    pub quantity: Option<Option<u32>>,
    /// What one unit costs.
    #[serde(default, deserialize_with = "present_object")]
    #[schema(value_type = Option<PriceInput>)]
    pub price: Option<Option<PriceInput>>,
    /// When it takes place (RFC 3339).
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub starts_at: Option<Option<String>>,
    /// Attributes to merge: `null` removes one, or all.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Object>)]
    pub attributes: Option<Option<Map<String, Value>>>,
}

/// Tells `null` (`Some(None)`) from absence (`None`).
#[expect(clippy::option_option, reason = "three cases, as a merge patch has them")]
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

#[expect(clippy::option_option, reason = "three cases, as a merge patch has them")]
fn present_object<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    object::maybe(deserializer).map(Some)
}

impl ItemInput {
    /// The item, if everything is within bounds.
    ///
    /// # Errors
    /// Every field that is not.
    pub fn check(self) -> Result<(Description, Stock), Vec<FieldError>> {
        let mut errors = Errors::default();
        let about = Description {
            sku: self.sku.and_then(|sku| errors.text("/sku", sku, MAX_SKU)),
            name: errors.text("/name", self.name, MAX_NAME).unwrap_or_default(),
            description: self
                .description
                .and_then(|text| errors.long_text("/description", text, MAX_DESCRIPTION)),
            price: self.price.and_then(|price| errors.price(&price)),
            starts_at: self.starts_at.and_then(|text| errors.instant(&text)),
            attributes: self
                .attributes
                .map(|attributes| errors.attributes(attributes))
                .unwrap_or_default(),
        };
        let stock = Stock::new(self.quantity);
        if let Err(error) = &stock {
            errors.add("/quantity", error.to_string());
        }
        match (errors.0.is_empty(), stock) {
            (true, Ok(stock)) => Ok((about, stock)),
            _ => Err(errors.0),
        }
    }
}

impl ItemPatchInput {
    /// The change, if everything is within bounds.
    ///
    /// # Errors
    /// Every field that is not.
    pub fn check(self) -> Result<ItemPatch, Vec<FieldError>> {
        let mut errors = Errors::default();
        let patch = ItemPatch {
            sku: self.sku.map(|sku| sku.and_then(|sku| errors.text("/sku", sku, MAX_SKU))),
            name: self
                .name
                .and_then(|name| errors.kept("/name", name))
                .and_then(|name| errors.text("/name", name, MAX_NAME)),
            description: self.description.map(|text| {
                text.and_then(|text| errors.long_text("/description", text, MAX_DESCRIPTION))
            }),
            quantity: self.quantity.and_then(|quantity| errors.kept("/quantity", quantity)),
            price: self.price.map(|price| price.and_then(|price| errors.price(&price))),
            starts_at: self.starts_at.map(|text| text.and_then(|text| errors.instant(&text))),
            attributes: self
                .attributes
                .map(|attributes| attributes.map(|attributes| errors.attributes(attributes))),
        };
        // Whether it is enough for what is held and sold is seen where that is known.
        if let Some(Err(error)) = patch.quantity.map(Stock::new) {
            errors.add("/quantity", error.to_string());
        }
        if errors.0.is_empty() { Ok(patch) } else { Err(errors.0) }
    }
}

/// The fields that were refused so far.
#[derive(Debug, Default)]
pub(crate) struct Errors(pub(crate) Vec<FieldError>);

impl Errors {
    pub(crate) fn add(&mut self, field: &str, detail: impl Into<String>) {
        self.0.push(FieldError { field: field.to_owned(), detail: detail.into() });
    }

    /// What every item has, and no patch removes.
    fn kept<T>(&mut self, field: &str, value: Option<T>) -> Option<T> {
        if value.is_none() {
            self.add(field, "cannot be removed");
        }
        value
    }

    /// One line: no control characters, not only blanks.
    pub(crate) fn text(&mut self, field: &str, text: String, longest: usize) -> Option<String> {
        if text.trim().is_empty() {
            self.add(field, "must not be empty");
        } else if text.chars().any(char::is_control) {
            self.add(field, "must not contain control characters");
        } else if text.chars().count() > longest {
            self.add(field, format!("must have at most {longest} characters"));
        } else {
            return Some(text);
        }
        None
    }

    /// Several lines: of the control characters, only line breaks and tabs.
    pub(crate) fn long_text(
        &mut self,
        field: &str,
        text: String,
        longest: usize,
    ) -> Option<String> {
        let wrong = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
        if text.chars().any(wrong) {
            self.add(field, "must not contain control characters");
        } else if text.chars().count() > longest {
            self.add(field, format!("must have at most {longest} characters"));
        } else if !text.trim().is_empty() {
            return Some(text);
        }
        None
    }

    fn price(&mut self, price: &PriceInput) -> Option<Money> {
        let currency: Currency = match price.currency.parse() {
            Ok(currency) => currency,
            Err(error) => {
                self.add("/price/currency", error.to_string());
                return None;
            }
        };
        match Money::new(price.amount_minor, currency) {
            Ok(money) => Some(money),
            Err(error) => {
                self.add("/price/amount_minor", error.to_string());
                None
            }
        }
    }

    fn instant(&mut self, text: &str) -> Option<Timestamp> {
        let instant = Timestamp::parse_rfc3339(text);
        if instant.is_none() {
            self.add("/starts_at", "must be an RFC 3339 instant, such as 2026-11-20T09:00:00Z");
        }
        instant
    }

    fn attributes(&mut self, attributes: Map<String, Value>) -> Map<String, Value> {
        match weigh_attributes(&attributes) {
            None => self.add("/attributes", "must not contain the character NUL"),
            Some(_) if !attributes_fit(&attributes) => {
                self.add(
                    "/attributes",
                    format!(
                        "must have at most {MAX_ATTRIBUTES} members and {MAX_ATTRIBUTES_BYTES} bytes"
                    ),
                );
            }
            Some(_) => {}
        }
        attributes
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(value: Value) -> Vec<String> {
        let input: ItemInput = serde_json::from_value(value).expect("the right types");
        let errors = input.check().expect_err("something is wrong");
        errors.into_iter().map(|error| error.field).collect()
    }

    #[test]
    fn every_wrong_field_is_named_at_once() {
        let fields = refused(json!({
            "name": " ", "sku": "a\nb", "quantity": 2_000_000_000, "starts_at": "tomorrow",
            "price": {"amount_minor": -5, "currency": "KRW"}, "attributes": {"a": "\0"},
        }));
        assert_eq!(
            fields,
            ["/sku", "/name", "/price/amount_minor", "/starts_at", "/attributes", "/quantity"]
        );
        let money =
            json!({"name": "x", "quantity": 1, "price": {"amount_minor": 5, "currency": "won"}});
        assert_eq!(refused(money), ["/price/currency"]);
        assert_eq!(refused(json!({"name": "x".repeat(201), "quantity": 1})), ["/name"]);
    }

    #[test]
    fn null_removes_and_absence_keeps() {
        let patch: ItemPatchInput =
            serde_json::from_value(json!({"price": null, "quantity": 3})).expect("a patch");
        let patch = patch.check().expect("within bounds");
        assert_eq!((patch.price, patch.description, patch.quantity), (Some(None), None, Some(3)));
        let patch: ItemPatchInput =
            serde_json::from_value(json!({"quantity": Stock::MAX + 1})).expect("a patch");
        assert_eq!(patch.check().expect_err("too many")[0].field, "/quantity");
    }
}
