//! `/inventory/{id}`: what an item is, and the form that reserves it.

use askama::Template;
use axum::{
    extract::{Path, State},
    response::Response,
};
use haetae_base::{clock::Timestamp, entropy, secret::ExposeSecret};
use http::StatusCode;
use serde_json::Value;

use super::{
    instead::Instead,
    visit::{Page, Visit},
};
use crate::{
    domain::{inventory::ItemId, money::Money, quantity::Quantity},
    http::{ApiState, id_or_not_found},
};

/// The simulated cards that a person can choose from, with the keys of their texts.
pub(super) const CARDS: [(&str, &str); 4] = [
    ("tok_ok", "card-ok"),
    ("tok_declined", "card-declined"),
    ("tok_flaky", "card-flaky"),
    ("tok_capture_refused", "card-capture-refused"),
];

#[derive(Template)]
#[template(path = "item.html")]
struct ItemPage {
    page: Page,
    id: ItemId,
    name: String,
    description: Option<String>,
    sku: Option<String>,
    available: u32,
    held: u32,
    quantity: u32,
    most: u32,
    price: Option<Money>,
    starts_at: Option<Timestamp>,
    attributes: Vec<(String, String)>,
    stale: bool,
    key: String,
    cards: Vec<(&'static str, String)>,
    filled: Filled,
    problem: Option<String>,
}

/// What a form was filled with, for when it has to be shown again.
#[derive(Clone, Debug)]
pub(super) struct Filled {
    pub(super) quantity: String,
    pub(super) pay: String,
    pub(super) note: String,
    /// The name of the field that has to be mended; empty: none.
    pub(super) wrong: &'static str,
}

impl Default for Filled {
    fn default() -> Self {
        Self { quantity: "1".to_owned(), pay: String::new(), note: String::new(), wrong: "" }
    }
}

/// The choices of a card, in the page's language.
pub(super) fn cards(page: &Page) -> Vec<(&'static str, String)> {
    CARDS.into_iter().map(|(token, key)| (token, page.t(key))).collect()
}

pub(super) async fn show(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    visit: Visit,
) -> Response {
    let shown = async {
        let id = id_or_not_found(&id)?;
        respond(&state, &visit, id, Filled::default(), None, StatusCode::OK).await
    };
    shown.await.unwrap_or_else(|instead| instead.respond(&visit))
}

pub(super) async fn respond(
    state: &ApiState,
    visit: &Visit,
    id: ItemId,
    filled: Filled,
    problem: Option<String>,
    status: StatusCode,
) -> Result<Response, Instead> {
    let browsed = state.look_at(id).await?;
    let item = browsed.found.ok_or(Instead::NotFound)?;
    let page = visit.page();
    let attributes = item.about.attributes.iter().filter_map(|(name, value)| {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Bool(_) | Value::Null | Value::Array(_) | Value::Object(_) => return None,
        };
        Some((name.replace('_', " "), text))
    });
    let template = ItemPage {
        id,
        name: item.about.name.clone(),
        description: item.about.description.clone(),
        sku: item.about.sku.clone(),
        available: item.stock.available(),
        held: item.stock.held(),
        quantity: item.stock.quantity(),
        most: item.stock.available().min(Quantity::MAX),
        price: item.about.price,
        starts_at: item.about.starts_at,
        attributes: attributes.collect(),
        stale: browsed.stale,
        // Random for each rendering: a double click, or the same form sent again, reserves once.
        key: entropy::token().expose_secret().to_owned(),
        cards: cards(&page),
        filled,
        problem,
        page,
    };
    Ok(visit.respond(status, &template))
}
