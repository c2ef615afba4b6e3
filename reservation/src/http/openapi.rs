//! The description of the API, generated from the code.

use std::sync::Arc;

use utoipa::{
    OpenApi,
    openapi::security::{Http, HttpAuthScheme, SecurityScheme},
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
    )
)]
struct Base;

pub(super) fn base() -> utoipa::openapi::OpenApi {
    Base::openapi()
}

/// The description, complete.
pub(super) fn finish(mut description: utoipa::openapi::OpenApi) -> Arc<utoipa::openapi::OpenApi> {
    let mut http = Http::new(HttpAuthScheme::Bearer);
    http.bearer_format = Some("JWT (RFC 9068)".to_owned());
    let components = description.components.get_or_insert_default();
    components.add_security_scheme("bearer", SecurityScheme::Http(http));
    Arc::new(description)
}
