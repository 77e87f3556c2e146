//! On whose behalf the present task changes the state.
//!
//! It is set once, where a request is let in, and read once, where a transaction is made: nothing
//! between the two passes it on, so no path to the store can forget the audit log. What runs
//! outside a request has no actor; it is the system itself.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::task_local;

/// Who asked for a change, from where, and with which request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Actor {
    pub user: u32,
    pub name: String,
    pub from: IpAddr,
    pub method: String,
    /// Path of the request without its query.
    pub path: String,
    /// Names the request in the logs and traces; empty when it has no name.
    pub request: String,
    pub idempotency_key: Option<String>,
}

task_local! {
    static ACTOR: Arc<Actor>;
}

/// Runs `work` on behalf of `actor`.
pub async fn on_behalf<F: Future>(actor: Actor, work: F) -> F::Output {
    ACTOR.scope(Arc::new(actor), work).await
}

/// Who the present task works for.
#[must_use]
pub fn current() -> Option<Arc<Actor>> {
    ACTOR.try_with(Clone::clone).ok()
}
