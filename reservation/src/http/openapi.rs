//! The description of the API, generated from the code. What is the same for every operation is added here:
//! how each of them can be refused, and the shape of a refusal.

use std::sync::Arc;

use serde::Serialize;
use utoipa::{
    OpenApi, ToSchema,
    openapi::{
        Content, Ref, RefOr, Required, Response,
        path::{Operation, PathItem},
        security::{Http, HttpAuthScheme, SecurityScheme},
    },
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Haetae reservation API",
        description = "Inventory that is never oversold, and reservations of it: accepted at once, decided \
                       in a moment, followed live. Errors are RFC 9457 `application/problem+json`.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    tags(
        (name = "inventory", description = "What can be reserved"),
        (name = "reservations", description = "One's own reservations"),
    ),
    components(schemas(ProblemShape))
)]
struct Base;

/// Why a request was refused (RFC 9457). Some types have members of their own.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
struct ProblemShape {
    /// What kind of problem it is: `urn:haetae:problem:…`, never changed.
    r#type: String,
    /// The type in words.
    title: String,
    /// The status code.
    status: u16,
    /// What happened this time.
    detail: Option<String>,
    /// The request, as the logs name it.
    request_id: Option<String>,
    /// How many seconds to wait before the request is repeated.
    retry_after: Option<u64>,
    /// The fields that were refused.
    errors: Option<Vec<FieldErrorShape>>,
}

/// A field that was refused.
#[derive(Serialize, ToSchema)]
#[schema(as = FieldError)]
struct FieldErrorShape {
    /// A JSON pointer into the body, or the name of a parameter.
    field: String,
    /// What is wrong with it.
    detail: String,
}

/// The refusals that any operation of a kind may meet, apart from those that it describes itself.
const OF_ALL: [(&str, &str); 3] = [
    ("400", "The request is malformed, or a parameter is not valid"),
    ("429", "Too many requests; `Retry-After` says how long to wait"),
    ("503", "A part that this needs is away; `Retry-After` says how long to wait"),
];
const OF_CALLERS: [(&str, &str); 2] = [
    ("401", "No access token, or one that is not valid"),
    ("403", "The access token does not permit this"),
];
const OF_ONE: (&str, &str) = ("404", "There is nothing of this id for the caller");
const OF_BODIES: [(&str, &str); 3] = [
    ("413", "The body is too large"),
    ("415", "The body is of another type than this takes"),
    ("422", "A field is not valid"),
];

pub(super) fn base() -> utoipa::openapi::OpenApi {
    Base::openapi()
}

/// The description, complete.
pub(super) fn finish(mut description: utoipa::openapi::OpenApi) -> Arc<utoipa::openapi::OpenApi> {
    let mut http = Http::new(HttpAuthScheme::Bearer);
    http.bearer_format = Some("JWT (RFC 9068)".to_owned());
    let components = description.components.get_or_insert_default();
    components.add_security_scheme("bearer", SecurityScheme::Http(http));
    for (path, item) in &mut description.paths.paths {
        let PathItem { get, post, patch, .. } = item;
        for operation in [get, post, patch].into_iter().flatten() {
            let decides = path.ends_with("/confirm") || path.ends_with("/cancel");
            if let Some(RefOr::T(body)) = operation.request_body.as_mut().filter(|_| decides) {
                body.required = Some(Required::False);
            }
            add_refusals(operation, path.contains("{id}"));
        }
    }
    Arc::new(description)
}

fn add_refusals(operation: &mut Operation, of_one: bool) {
    let mut refusals = OF_ALL.to_vec();
    if operation.security.is_some() {
        refusals.extend(OF_CALLERS);
    }
    if of_one {
        refusals.push(OF_ONE);
    }
    if operation.request_body.is_some() {
        refusals.extend(OF_BODIES);
    }
    for (status, meaning) in refusals {
        let described = &mut operation.responses.responses;
        described.entry(status.to_owned()).or_insert_with(|| Response::new(meaning).into());
    }
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else { continue };
        if status.starts_with(['4', '5']) {
            let shape = Content::new(Some(Ref::from_schema_name("Problem")));
            response.content.clear();
            let media = haetae_base::problem::MEDIA_TYPE.to_owned();
            response.content.insert(media, shape.into());
        }
    }
}
