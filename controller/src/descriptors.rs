//! File descriptors: every connection needs one, and the default limit is low.

use foghorn_types::chain;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// Descriptors for other purposes than client connections: the store, the links of agents, logs.
const OWN: u64 = 512;

/// Raises the limit as far as permitted, and returns how many of `wanted` client connections are
/// possible.
pub(crate) fn room_for(wanted: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let allowed = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(error) => {
            warn!(error = %chain(&error), "could not raise the limit of open files");
            limit.current
        }
    };
    let room = callers(wanted, allowed);
    if room < wanted {
        warn!(
            wanted,
            room, "the limit of open files allows fewer connections than rest.max_connections"
        );
    }
    room
}

/// `allowed`: descriptors of the process; `None` for no limit.
fn callers(wanted: usize, allowed: Option<u64>) -> usize {
    let most = allowed.map_or(usize::MAX, |allowed| {
        let most = allowed.saturating_sub(OWN).max(allowed / 2).max(1);
        usize::try_from(most).unwrap_or(usize::MAX)
    });
    wanted.min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_leave_room_for_the_rest() {
        assert_eq!(callers(4096, None), 4096);
        assert_eq!(callers(4096, Some(20_000)), 4096);
        assert_eq!(callers(4096, Some(1024)), 512);
        assert_eq!(callers(4096, Some(64)), 32);
        assert_eq!(callers(4096, Some(0)), 1);
    }
}
