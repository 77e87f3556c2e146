//! Shows answers to the plugins that want to see them, just before they are sent.

use axum::body::{Body, Bytes, to_bytes};
use axum::http::{StatusCode, header};
use axum::response::Response;

use super::etag;
use super::path::Route;
use crate::ctx::Ctx;
use crate::plugins::Answer;

/// What a search in one class has found, as plugins leave it.
pub(super) async fn found(ctx: &Ctx, class: &'static str, list: Vec<u8>) -> Vec<u8> {
    if !ctx.plugins.look_at(class) {
        return list;
    }
    let list = Bytes::from(list);
    ctx.plugins
        .rewrite(class, Answer::List, list.clone())
        .await
        .unwrap_or_else(|| list.to_vec())
}

/// The answer as plugins leave it. Costs one atomic load when nobody wants to see answers about the
/// class.
pub(super) async fn finished(
    ctx: &Ctx,
    class: &'static str,
    route: &Route<'_>,
    response: Response,
) -> Response {
    if !ctx.plugins.look_at(class) || response.status() != StatusCode::OK {
        return response;
    }
    let answer = match route {
        Route::Get { .. } | Route::Create { .. } | Route::Edit { .. } => Answer::Object,
        Route::List { .. } | Route::Active { .. } | Route::Search { .. } => Answer::List,
        _ => return response,
    };
    let (mut parts, body) = response.into_parts();
    // Bodies are in memory already: nothing is waited for and nothing can fail.
    let Ok(body) = to_bytes(body, usize::MAX).await else {
        return super::answer::empty(StatusCode::INTERNAL_SERVER_ERROR);
    };
    match ctx.plugins.rewrite(class, answer, body.clone()).await {
        None => Response::from_parts(parts, Body::from(body)),
        Some(changed) => {
            parts.headers.remove(header::CONTENT_LENGTH);
            etag::mark_rewritten(&mut parts.headers, &changed);
            Response::from_parts(parts, Body::from(changed))
        }
    }
}
