//! `GET /api/v1/reservations/{id}/events`: every change of state as a server-sent event. The number of an
//! event is its place in the outbox, so a client that comes back with `Last-Event-ID` misses nothing.

use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    extract::State,
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures::Stream;
use haetae_base::{clock::Timestamp, problem::Problem};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use super::{
    ApiError, ApiState, Caller, authenticate::scope, extract::IdPath, reservations::find_own,
};
use crate::{
    domain::reservation::{ReservationId, Status},
    queue::changes::Waiter,
    store::outbox,
};

/// How often a silent stream says that it lives: below the idle timeouts of what stands between.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// How long a stream relies on being told before it looks by itself.
const LOOK: Duration = Duration::from_secs(2);

/// How soon a client comes back when a stream broke, in milliseconds.
const RETRY: Duration = Duration::from_secs(1);

/// How many streams are open at most.
const MOST: usize = 10_000;

/// How many of them are one person's at most: many tabs, but nobody else's.
const MOST_OF_ONE: usize = 32;

/// How many streams are open, and whose they are. Clones count together.
#[derive(Clone, Debug, Default)]
pub(crate) struct EventStreams(Arc<Mutex<Open>>);

#[derive(Debug, Default)]
struct Open {
    all: usize,
    by_subject: HashMap<String, usize>,
}

/// One of them, as long as it is open.
#[derive(Debug)]
struct OpenStream {
    streams: EventStreams,
    subject: String,
}

impl EventStreams {
    /// Counts one more of `subject`.
    fn open(&self, subject: &str) -> Result<OpenStream, ApiError> {
        let mut open = self.counted();
        if open.by_subject.get(subject).is_some_and(|theirs| *theirs >= MOST_OF_ONE) {
            return Err(Problem::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too-many-streams",
                "Too many event streams are open",
            )
            .detail(format!("At most {MOST_OF_ONE} are open at a time; close one first."))
            .retry_after(5)
            .into());
        }
        if open.all >= MOST {
            return Err(Problem::unavailable(5).into());
        }
        open.all += 1;
        *open.by_subject.entry(subject.to_owned()).or_default() += 1;
        drop(open);
        metrics::gauge!("haetae_reservation_event_streams").increment(1);
        Ok(OpenStream { streams: self.clone(), subject: subject.to_owned() })
    }

    fn counted(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let mut open = self.streams.counted();
        open.all = open.all.saturating_sub(1);
        if let Some(theirs) = open.by_subject.get_mut(&self.subject) {
            *theirs = theirs.saturating_sub(1);
            if *theirs == 0 {
                open.by_subject.remove(&self.subject);
            }
        }
        drop(open);
        metrics::gauge!("haetae_reservation_event_streams").decrement(1);
    }
}

/// Follow a reservation.
#[utoipa::path(
    get, path = "/api/v1/reservations/{id}/events", tag = "reservations",
    params(
        ("id" = String, Path, description = "`rsv_…`",
            pattern = "^rsv_[0-7][0-9A-HJKMNP-TV-Z]{25}$"),
        ("Last-Event-ID" = Option<String>, Header, description = "The `id:` of the last event that was received"),
    ),
    security(("bearer" = ["reservations:read"])),
    responses(
        (status = 200, description = "Server-sent events; `data` is JSON. Ends after a final state, when the token ends, and when the service stops.",
            body = outbox::EventBody, content_type = "text/event-stream"),
        (status = 204, description = "Nothing will follow any more: do not come back"),
        (status = 404, description = "The caller has no such reservation"),
        (status = 429, description = "The caller follows too many already"),
    )
)]
pub(super) async fn events(
    State(state): State<ApiState>,
    caller: Caller,
    IdPath(id): IdPath<ReservationId>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    caller.needs(scope::READ)?;
    stream_of(state, &caller, id, &headers).await
}

/// The stream of a reservation, for the API and for the page.
pub(crate) async fn stream_of(
    state: ApiState,
    caller: &Caller,
    id: ReservationId,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let last = match headers.get("last-event-id") {
        None => 0,
        Some(value) => value
            .to_str()
            .ok()
            .and_then(|text| text.trim().parse::<i64>().ok())
            .filter(|number| *number >= 0)
            .ok_or_else(|| ApiError::parameter("Last-Event-ID", "must be the id of an event"))?,
    };
    // Before it is read, so that nothing that follows is missed.
    let waiter = state.waiters.wait_for(id);
    let record = find_own(&state, caller, id).await?;
    let first: VecDeque<outbox::Event> = state.store.events_after(id, last).await?.into();
    if first.is_empty() && record.status.is_final() {
        // 204 tells an EventSource not to come back.
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let follow = Follow {
        _open: state.streams.open(caller.subject())?,
        ends_at: caller.expires_at(),
        state,
        id,
        waiter,
        last,
        waiting: first,
        over: false,
        greeted: false,
    };
    let mut response = Sse::new(stream(follow))
        .keep_alive(KeepAlive::new().interval(HEARTBEAT).text("here"))
        .into_response();
    let fields = response.headers_mut();
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies that gather answers before they pass them on must not.
    fields.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    Ok(response)
}

struct Follow {
    state: ApiState,
    id: ReservationId,
    waiter: Waiter,
    last: i64,
    waiting: VecDeque<outbox::Event>,
    ends_at: Timestamp,
    over: bool,
    greeted: bool,
    _open: OpenStream,
}

fn stream(follow: Follow) -> impl Stream<Item = Result<Event, Infallible>> {
    futures::stream::unfold(follow, async |mut follow| {
        let event = follow.next().await?;
        Some((Ok(event), follow))
    })
}

impl Follow {
    async fn next(&mut self) -> Option<Event> {
        if !self.greeted {
            self.greeted = true;
            return Some(Event::default().retry(RETRY).comment("following"));
        }
        loop {
            if let Some(event) = self.waiting.pop_front() {
                self.last = event.sequence;
                self.over = ends(&event);
                return Some(Event::default().id(event.sequence.to_string()).data(event.payload));
            }
            if self.over || self.state.shutdown.is_requested() {
                return None;
            }
            if self.ends_at <= self.state.clock.now() {
                // Whoever comes back needs a token that is still valid.
                return None;
            }
            tokio::select! {
                () = self.waiter.changed(LOOK) => {}
                () = self.state.shutdown.requested() => return None,
            }
            match self.state.store.events_after(self.id, self.last).await {
                Ok(events) => self.waiting = events.into(),
                Err(error) => tracing::debug!(%error, "events cannot be read for now"),
            }
        }
    }
}

/// Whether nothing follows this event.
fn ends(event: &outbox::Event) -> bool {
    let status = event.kind.strip_prefix("reservation.").and_then(Status::parse);
    status.is_some_and(Status::is_final)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_person_cannot_take_the_streams_of_others() {
        let streams = EventStreams::default();
        let open = |subject: &str| streams.open(subject);
        let theirs: Vec<OpenStream> =
            (0..MOST_OF_ONE).map(|_| open("usr_kim").expect("a stream")).collect();
        let refused = open("usr_kim").expect_err("one too many");
        assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
        let other = open("usr_lee").expect("a stream of another person");
        drop(theirs);
        let again = open("usr_kim").expect("what is closed is given back");
        drop((other, again));
        let open = streams.counted();
        assert_eq!((open.all, open.by_subject.len()), (0, 0), "nothing is kept of who is gone");
    }
}
