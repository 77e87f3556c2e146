//! Who has written may ask another controller next, and finds there what was written.
//!
//! The answer to a change waits for the other controllers that are heard. Whoever wants to be sure
//! also when one of them is cut off or hangs sends the revision of that answer with what it asks next.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use foghorn_proto::http::Problem;

use crate::ctx::Ctx;
use crate::store::Revision;

/// In the answer to a change: the revision of the state that shows it. In a request: what is read
/// and written is at least as new.
const REVISION: HeaderName = HeaderName::from_static("foghorn-revision");

/// A controller that follows the store slower than this is one that its callers notice anyway.
const WITHIN: Duration = Duration::from_secs(1);

/// Answers when the tables show what the caller has seen; and a change when the readers of every
/// controller that is heard see it.
pub(super) async fn settle(State(ctx): State<Arc<Ctx>>, request: Request, next: Next) -> Response {
    if let Some(seen) = request.headers().get(&REVISION)
        && let Err(refused) = wait_for(&ctx, seen).await
    {
        return refused.into_response();
    }
    let only_reads = request.method().is_safe();
    let mut response = next.run(request).await;
    if !only_reads {
        let revision = ctx.state.read_at(|_, revision| revision);
        ctx.peers.wait_for(revision, WITHIN).await;
        let reached = HeaderValue::from(revision);
        response.headers_mut().insert(REVISION, reached);
    }
    response
}

/// Why a request is not answered.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("the header foghorn-revision is not a number that a change was answered with")]
    NoRevision,
    #[error("this controller has not seen the change of revision {0} yet; ask again")]
    Behind(Revision),
}

async fn wait_for(ctx: &Ctx, seen: &HeaderValue) -> Result<(), Refused> {
    let seen: Option<Revision> = seen.to_str().ok().and_then(|text| text.parse().ok());
    let seen = seen.ok_or(Refused::NoRevision)?;
    let mut tables = ctx.state.changed();
    let reached = tables.wait_for(|revision| *revision >= seen);
    match tokio::time::timeout(WITHIN, reached).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(Refused::Behind(seen)),
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let problem = Problem {
            error: self.to_string(),
            field: None,
        };
        match self {
            Self::NoRevision => (StatusCode::BAD_REQUEST, Json(problem)).into_response(),
            Self::Behind(_) => {
                let again = [(RETRY_AFTER, HeaderValue::from(1))];
                (StatusCode::SERVICE_UNAVAILABLE, again, Json(problem)).into_response()
            }
        }
    }
}
