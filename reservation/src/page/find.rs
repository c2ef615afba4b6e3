//! `/`: everything that can be reserved, page by page, and what a search finds.

use askama::Template;
use axum::{extract::State, response::Response};
use haetae_base::clock::Timestamp;
use http::StatusCode;
use url::form_urlencoded;

use super::{
    instead::Instead,
    visit::{Page, Visit},
};
use crate::{
    domain::{inventory::ItemId, money::Money},
    http::{ApiState, Cursor},
    store::inventory::InventoryItem,
};

/// How many items a page shows.
const LIMIT: u32 = 24;

/// The longest search, in characters; the rest is not looked at.
const MAX_SEARCH: usize = 100;

/// An item in a list.
pub(super) struct Entry {
    pub(super) id: ItemId,
    pub(super) name: String,
    pub(super) description: Option<String>,
    pub(super) available: u32,
    pub(super) price: Option<Money>,
    pub(super) starts_at: Option<Timestamp>,
}

#[derive(Template)]
#[template(path = "find.html")]
struct Find {
    page: Page,
    search: String,
    entries: Vec<Entry>,
    next: Option<String>,
    /// Whether this is not the first page.
    later: bool,
    /// Whether the numbers are from memory.
    stale: bool,
}

impl From<&InventoryItem> for Entry {
    fn from(item: &InventoryItem) -> Self {
        Self {
            id: item.id,
            name: item.about.name.clone(),
            description: item.about.description.clone(),
            available: item.stock.available(),
            price: item.about.price,
            starts_at: item.about.starts_at,
        }
    }
}

pub(super) async fn find(State(state): State<ApiState>, visit: Visit) -> Response {
    show(&state, &visit).await.unwrap_or_else(|instead| instead.respond(&visit))
}

async fn show(state: &ApiState, visit: &Visit) -> Result<Response, Instead> {
    let search = visit.parameter("q").unwrap_or_default();
    let search: String = search.trim().chars().take(MAX_SEARCH).collect();
    let list = format!("inventory {search}");
    let after = match Cursor::read(visit.parameter("cursor").as_deref(), &list) {
        Ok(Some(cursor)) => cursor.place().unwrap_or(0),
        // An old link leads to the first page.
        Ok(None) | Err(_) => 0,
    };
    let query = (!search.is_empty()).then_some(search.as_str());
    let browsed = state.browse(query, after, LIMIT + 1).await?;
    let more = browsed.found.len() > LIMIT as usize;
    let shown = browsed.found.iter().take(LIMIT as usize);
    let next = shown.clone().next_back().filter(|_| more).map(|last| {
        let mut query = form_urlencoded::Serializer::new(String::new());
        if !search.is_empty() {
            query.append_pair("q", &search);
        }
        query.append_pair("cursor", &Cursor::new(&last.num).write(&list));
        format!("/?{}", query.finish())
    });
    let template = Find {
        page: visit.page(),
        entries: shown.map(Into::into).collect(),
        search,
        next,
        later: after > 0,
        stale: browsed.stale,
    };
    Ok(visit.respond(StatusCode::OK, &template))
}
