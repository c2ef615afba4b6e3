//! Who asks: the address, the browser and the id of a request, as the layers of [`crate::http_stack`]
//! established them.

use std::{convert::Infallible, net::IpAddr, sync::Arc};

use axum::{extract::FromRequestParts, http::request::Parts};
use haetae_base::{
    clock::Timestamp,
    id::{Id, Kind},
};

/// Who asks. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct RequestContext(Arc<Facts>);

#[derive(Debug)]
struct Facts {
    request_id: String,
    address: Option<IpAddr>,
    user_agent: Option<String>,
}

/// A `User-Agent` is stored and shown; longer ones are cut.
const MAX_USER_AGENT: usize = 256;

impl RequestContext {
    pub(crate) fn new(
        request_id: String,
        address: Option<IpAddr>,
        user_agent: Option<&str>,
    ) -> Self {
        let user_agent = user_agent.map(|text| {
            text.chars().filter(|c| !c.is_control()).take(MAX_USER_AGENT).collect::<String>()
        });
        Self(Arc::new(Facts { request_id, address, user_agent }))
    }

    /// Under which the log knows this request.
    pub(crate) fn request_id(&self) -> &str {
        &self.0.request_id
    }

    /// The client's address, seen past trusted proxies; none only when a test calls without a socket.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.0.address
    }

    /// What the browser calls itself, without control characters, at most 256 characters.
    pub(crate) fn user_agent(&self) -> Option<&str> {
        self.0.user_agent.as_deref()
    }
}

impl<S: Sync> FromRequestParts<S> for RequestContext {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_else(|| {
            // Only a router without the layers gets here.
            Self::new(new_request_id(Timestamp::default()), None, None)
        }))
    }
}

#[derive(Debug)]
enum Request {}

impl Kind for Request {
    const PREFIX: &'static str = "req";
}

/// An id for a request that came without one.
pub(crate) fn new_request_id(now: Timestamp) -> String {
    Id::<Request>::new(now).to_string()
}
