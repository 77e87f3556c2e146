//! Dry runs: a request is carried out up to the point where it would be stored.
//!
//! Whatever is checked for a change is checked for its rehearsal, by the same code: the transaction
//! is drafted as usual and not committed. Nothing between the request and the store passes the wish
//! on, so no path to the store can forget it.

use tokio::task_local;

task_local! {
    static REHEARSAL: ();
}

/// Runs `work` without storing anything: its first commit is refused as
/// [`super::Refusal::Rehearsed`].
pub async fn rehearse<F: Future>(work: F) -> F::Output {
    REHEARSAL.scope((), work).await
}

/// Whether the present task only rehearses.
#[must_use]
pub fn is_on() -> bool {
    REHEARSAL.try_with(|()| ()).is_ok()
}
