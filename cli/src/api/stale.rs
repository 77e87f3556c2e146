//! Says once that what the server shows may be old.

use std::sync::atomic::{AtomicBool, Ordering};

static SAID: AtomicBool = AtomicBool::new(false);

/// Warns on standard error if the answer says so.
pub(super) fn warn<B>(response: &ureq::http::Response<B>) {
    let stale = response.headers().get("foghorn-stale");
    let Some(seconds) = stale.and_then(|seconds| seconds.to_str().ok()) else {
        return;
    };
    if !SAID.swap(true, Ordering::AcqRel) {
        eprintln!(
            "warning: the state store of the server does not answer; what follows is {seconds} s old"
        );
    }
}
