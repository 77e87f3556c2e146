//! The end of a process that was told to stop: soon, whatever it waits for.

use std::time::Duration;

/// Less than the five seconds within which every program ends.
const ENDS_WITHIN: Duration = Duration::from_millis(4500);
/// How long a runtime waits for its blocking calls, once nobody needs them any more. One may wait
/// for a name server that does not answer, for which there is no time limit of ours.
pub const BLOCKING_CALLS: Duration = Duration::from_millis(500);

/// From now on the process ends within five seconds: if it has not by then, with `code`. What was
/// acknowledged is on disk at any time, so nothing is lost by that.
pub fn end_soon(code: u8) {
    end_within(code, ENDS_WITHIN);
}

/// As [`end_soon`], with another bound: for a process that hands over what it has before it ends.
pub fn end_within(code: u8, within: Duration) {
    let watch = move || {
        std::thread::sleep(within);
        tracing::warn!("ended before everything had stopped, because it took too long");
        std::process::exit(code.into());
    };
    let started = std::thread::Builder::new()
        .name("end-soon".to_owned())
        .spawn(watch);
    if let Err(error) = started {
        tracing::warn!(%error, "could not bound the time that stopping takes");
    }
}
