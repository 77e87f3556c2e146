//! `Idempotency-Key` on requests that create something: sent again under the same key, the request
//! is answered again and not carried out again.

use axum::body::to_bytes;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use foghorn_types::chain;
use tracing::{error, warn};

use super::endpoint::Endpoint;
use super::path::Route;
use super::request::Incoming;
use super::{answer, make, show, tasking};
use crate::app::idempotent::{self, Begun, KeyError, Ticket};
use crate::ctx::Ctx;
use crate::state::Refusal;
use crate::state::keyed::KeptAnswer;

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Says that an answer is that of an earlier request.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const LONGEST_KEY: usize = 255;
/// A larger answer is not kept; a replay then shows the object as it is.
const MOST_KEPT: usize = 64 << 10;
/// Seconds after which a request that came while another was being carried out may be sent again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

/// The key of the request, if it has one.
pub(super) fn key(incoming: &Incoming) -> Result<Option<&str>, Refusal> {
    let Some(value) = incoming.headers.get(KEY) else {
        return Ok(None);
    };
    match value.to_str().map(str::trim) {
        Ok(key) if !key.is_empty() && key.len() <= LONGEST_KEY => Ok(Some(key)),
        _ => {
            let why = format!("expected 1 to {LONGEST_KEY} printable ASCII characters");
            Err(Refusal::Parameter {
                name: "Idempotency-Key",
                why,
            })
        }
    }
}

/// Carries the request out, or answers it as it was answered before.
pub(super) async fn carry_out(
    ctx: &Ctx,
    endpoint: &dyn Endpoint,
    route: &Route<'_>,
    incoming: &Incoming,
    key: &str,
) -> Result<Response, Refusal> {
    match idempotent::begin(
        &ctx.state,
        incoming.caller.user,
        key,
        &incoming.fingerprint(),
    )
    .await
    {
        Ok(Begun::Go(ticket)) => {
            let result = make(ctx, endpoint, route, incoming, Some(&ticket)).await;
            settle(ctx, &ticket, result).await
        }
        Ok(Begun::Done(kept)) => Ok(replayed(again(kept))),
        Ok(Begun::Applied { made }) => Ok(replayed(match (route, made) {
            (Route::Task { .. }, _) => tasking::created(incoming)?,
            (_, Some(id)) => show(ctx, endpoint, id, "", incoming),
            (_, None) => answer::problem(
                StatusCode::CONFLICT,
                "the request was carried out, but its answer was not stored",
            ),
        })),
        Err(KeyError::State(refusal)) => Err(refusal),
        Err(error) => Ok(refused(&error)),
    }
}

/// Keeps the answer of what was done, or frees the key of what was refused.
async fn settle(
    ctx: &Ctx,
    ticket: &Ticket,
    result: Result<Response, Refusal>,
) -> Result<Response, Refusal> {
    let response = match result {
        Ok(response) if response.status().is_success() => response,
        // Whether it was stored is not known: the key stays claimed for a while, or is marked.
        Err(refusal @ (Refusal::Store(_) | Refusal::Lagging)) => return Err(refusal),
        refused => {
            if let Err(error) = ticket.release(&ctx.state).await {
                warn!(error = %chain(&error), "could not release an idempotency key");
            }
            return refused;
        }
    };
    let (parts, body) = response.into_parts();
    let Ok(body) = to_bytes(body, usize::MAX).await else {
        return Ok(answer::problem(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the answer could not be written",
        ));
    };
    if let (true, Ok(text)) = (body.len() <= MOST_KEPT, std::str::from_utf8(&body)) {
        let header = |name| {
            let value = parts.headers.get(name)?;
            Some(value.to_str().ok()?.to_owned())
        };
        let kept = KeptAnswer {
            status: parts.status.as_u16(),
            etag: header(header::ETAG),
            problem: header(answer::PROBLEM),
            body: text.to_owned(),
        };
        if let Err(error) = ticket.complete(&ctx.state, kept).await {
            warn!(
                error = %chain(&error),
                "could not store the answer of a request with an idempotency key"
            );
        }
    }
    Ok(Response::from_parts(parts, body.into()))
}

fn again(kept: KeptAnswer) -> Response {
    let mut response = answer::with_status(
        StatusCode::from_u16(kept.status).unwrap_or(StatusCode::OK),
        kept.body,
    );
    if let Some(etag) = kept.etag.and_then(|text| HeaderValue::try_from(text).ok()) {
        response.headers_mut().insert(header::ETAG, etag);
    }
    if let Some(problem) = kept.problem {
        answer::explain(&mut response, &problem);
    }
    response
}

fn replayed(mut response: Response) -> Response {
    response
        .headers_mut()
        .insert(REPLAYED, HeaderValue::from_static("true"));
    response
}

fn refused(why: &KeyError) -> Response {
    let status = match why {
        KeyError::State(refusal) => return answer::refused(refusal),
        KeyError::OtherRequest => StatusCode::UNPROCESSABLE_ENTITY,
        KeyError::Busy => StatusCode::CONFLICT,
        KeyError::TooMany => StatusCode::SERVICE_UNAVAILABLE,
        KeyError::TooManyOfUser => StatusCode::TOO_MANY_REQUESTS,
        KeyError::Unreadable(_) | KeyError::Randomness(_) => {
            error!(error = %chain(why), "a request with an idempotency key failed");
            StatusCode::INTERNAL_SERVER_ERROR
        }
    };
    let mut response = answer::problem(status, &why.to_string());
    if status == StatusCode::CONFLICT {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, RETRY_AFTER);
    }
    response
}
