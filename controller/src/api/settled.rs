//! Who has written may ask another controller next, and finds there what was written.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;

use crate::ctx::Ctx;

/// A controller that follows the store slower than this is one that its callers notice anyway.
const WITHIN: Duration = Duration::from_secs(1);

/// Answers a change when the readers of every controller that is heard see it.
pub(super) async fn settle(State(ctx): State<Arc<Ctx>>, request: Request, next: Next) -> Response {
    let only_reads = request.method().is_safe();
    let response = next.run(request).await;
    if !only_reads {
        let revision = ctx.state.read_at(|_, revision| revision);
        ctx.peers.wait_for(revision, WITHIN).await;
    }
    response
}
