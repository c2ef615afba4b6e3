//! When something breaks: whether to try again, whose fault it is, and what the client is told.

use std::io;

use haetae_base::problem::Problem;
use http::StatusCode;
use pingora::{
    Error, ErrorSource,
    ErrorType::{
        ConnectError, ConnectNoRoute, ConnectRefused, ConnectTimedout, ConnectionClosed, H2Error,
        HTTPStatus, InvalidHTTPHeader, ReadError, ReadTimedout, WriteError, WriteTimedout,
    },
    http::RequestHeader,
    proxy::{FailToProxy, Session},
};

use crate::{
    answer,
    clean::Refusal,
    ctx::Ctx,
    metrics::{self, Blame},
    proxy::Gateway,
};

/// An instance could not be connected to: nothing was sent, so another one may be tried, whatever the
/// method.
#[expect(clippy::unnecessary_box_returns, reason = "the form that Pingora asks for")]
pub(crate) fn connecting(gateway: &Gateway, ctx: &mut Ctx, mut error: Box<Error>) -> Box<Error> {
    let Some(authorized) = &ctx.authorized else { return error };
    let pool = &authorized.request().routed().route().upstream;
    let now = gateway.clock.now();
    if let Some(endpoint) = ctx.endpoint.take() {
        endpoint.failed(pool, now);
        ctx.tried.push(endpoint.address());
    }
    error.set_retry(pool.has_another(&ctx.tried));
    ctx.blame = Blame::Upstream;
    ctx.failure = Some(Problem::unavailable(pool.retry_after(now)));
    error
}

/// A connection broke after something was sent. Again only what may be sent twice, and only when the
/// connection was an old one that the instance had just closed. When it closed one, it may have closed all:
/// the next attempt takes a new one, which is refused at once when nobody lives there any more.
#[expect(clippy::unnecessary_box_returns, reason = "the form that Pingora asks for")]
pub(crate) fn proxying(
    gateway: &Gateway,
    session: &mut Session,
    ctx: &mut Ctx,
    mut error: Box<Error>,
    reused: bool,
) -> Box<Error> {
    let answered = session.response_written().is_some();
    let may_repeat =
        session.req_header().method.is_idempotent() && !session.retry_buffer_truncated();
    let died = *error.esource() == ErrorSource::Upstream
        && matches!(error.etype(), ConnectionClosed | ReadError | WriteError);
    let again = died && reused && may_repeat && !answered;
    error.set_retry(again);
    if again {
        ctx.fresh_connection = true;
        // The body passes once more from its beginning.
        ctx.body_bytes = 0;
        ctx.body_complete = false;
    }
    // An instance that still waits for the client's body owes no answer yet: whoever sends a body slowly
    // would shut the service for everybody. One that does not take what is sent is to blame all the same.
    let owes_an_answer = ctx.body_complete || *error.etype() == WriteTimedout;
    if !owes_an_answer && !answered && *error.etype() == ReadTimedout {
        ctx.failure = Some(Refusal::BodyTooSlow.problem());
    }
    if died && !answered && !again && client_may_repeat(session.req_header()) {
        ctx.failure = Some(Problem::unavailable(1));
    }
    if *error.esource() == ErrorSource::Upstream
        && owes_an_answer
        && !error.retry()
        && let (Some(endpoint), Some(authorized)) = (&ctx.endpoint, &ctx.authorized)
    {
        let route = authorized.request().routed().route();
        // A stream that is cut because its time is up says nothing about the instance.
        if !answered {
            endpoint.failed(&route.upstream, gateway.clock.now());
        }
    }
    error
}

/// Whether a request that was cut off before an answer is for the client to send once more. Then the service
/// is away for the moment (503); else nobody can tell whether it was done (502, RFC 9110 9.2.2). We send
/// nothing again on the strength of an `Idempotency-Key`: not every service behind need know it.
fn client_may_repeat(request: &RequestHeader) -> bool {
    request.method.is_idempotent() || request.headers.contains_key("idempotency-key")
}

/// Answers for a request that failed.
pub(crate) async fn answer(session: &mut Session, error: &Error, ctx: &mut Ctx) -> FailToProxy {
    let over = |error_code| FailToProxy { error_code, can_reuse_downstream: false };
    let refusal = broken_rule(error);
    if let Some(refusal) = refusal {
        metrics::front_door_refusal(refusal);
    }
    let problem = refusal.map(Refusal::problem).or_else(|| ctx.failure.take());
    let Some(problem) = problem.or_else(|| diagnose(error)) else {
        // The client has gone: nobody is left to be told.
        ctx.blame = Blame::Client;
        return over(0);
    };
    let status = problem.status();
    ctx.blame = match error.esource() {
        _ if status.is_client_error() => Blame::Client,
        ErrorSource::Upstream => Blame::Upstream,
        _ => Blame::Gateway,
    };
    if session.response_written().is_some_and(|written| !written.status.is_informational()) {
        // Too late for another answer: the connection is cut, which says that this one is not whole.
        return over(status.as_u16());
    }
    if ctx.blame == Blame::Gateway {
        tracing::error!(request_id = ctx.request_id.as_str(), %error, "a request failed");
    }
    session.set_keepalive(None);
    if let Err(gone) = answer::problem(session, ctx, problem).await {
        tracing::debug!(error = %gone, "the client has gone");
    }
    over(status.as_u16())
}

/// The rule of the front door that the body broke while it was being read.
fn broken_rule(error: &Error) -> Option<Refusal> {
    let cause = error.root_cause().downcast_ref::<io::Error>()?;
    cause.get_ref()?.downcast_ref::<Refusal>().copied()
}

fn diagnose(error: &Error) -> Option<Problem> {
    let bad_gateway = || {
        Problem::new(
            StatusCode::BAD_GATEWAY,
            "bad-gateway",
            "The service behind did not answer as it should",
        )
        .retry_after(1)
    };
    Some(match (error.esource(), error.etype()) {
        (_, HTTPStatus(508)) => Problem::new(
            StatusCode::LOOP_DETECTED,
            "loop-detected",
            "The request goes round in circles",
        ),
        (ErrorSource::Upstream, kind) => match kind {
            ReadTimedout | WriteTimedout => Problem::new(
                StatusCode::GATEWAY_TIMEOUT,
                "gateway-timeout",
                "The service behind did not answer in time",
            ),
            ConnectTimedout | ConnectRefused | ConnectNoRoute | ConnectError => {
                Problem::unavailable(1)
            }
            _ => bad_gateway(),
        },
        (ErrorSource::Downstream, kind) => match kind {
            ReadTimedout => Refusal::BodyTooSlow.problem(),
            WriteError | ReadError | ConnectionClosed | WriteTimedout | H2Error => return None,
            InvalidHTTPHeader => Refusal::FieldValue.problem(),
            _ => Problem::new(
                StatusCode::BAD_REQUEST,
                "malformed-request",
                "The request is malformed",
            ),
        },
        (ErrorSource::Internal | ErrorSource::Unset, _) => Problem::internal(),
    })
}
