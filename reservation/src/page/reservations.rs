//! `/reservations`: one's own, the newest first.

use askama::Template;
use axum::{extract::State, response::Response};
use http::StatusCode;
use url::form_urlencoded;

use super::{
    instead::Instead,
    visit::{Page, Visit},
};
use crate::{
    http::{ApiState, Cursor},
    store::reservations::{Record, Scope},
};

/// How many a page shows.
const LIMIT: u32 = 20;

#[derive(Template)]
#[template(path = "reservations.html")]
struct List {
    page: Page,
    records: Vec<Record>,
    next: Option<String>,
    later: bool,
}

pub(super) async fn list(State(state): State<ApiState>, visit: Visit) -> Response {
    show(&state, &visit).await.unwrap_or_else(|instead| instead.respond(&visit))
}

async fn show(state: &ApiState, visit: &Visit) -> Result<Response, Instead> {
    let caller = visit.reader()?;
    let before = Cursor::read(visit.parameter("cursor").as_deref(), "my reservations")
        .ok()
        .flatten()
        .and_then(|cursor| cursor.place().ok());
    let whose = Scope::Of(caller.subject());
    let mut records = state.store.list_reservations(whose, None, before, LIMIT + 1).await?;
    let more = records.len() > LIMIT as usize;
    records.truncate(LIMIT as usize);
    let next = records.last().filter(|_| more).map(|last| {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("cursor", &Cursor::new(&last.id).write("my reservations"));
        format!("/reservations?{}", query.finish())
    });
    let template = List { page: visit.page(), records, next, later: before.is_some() };
    Ok(visit.respond(StatusCode::OK, &template))
}
