//! What is sent and answered, for whoever looks for a fault: with `--verbose`, or when
//! `FOGHORN_LOG` asks for `debug`.

use std::sync::atomic::{AtomicBool, Ordering};

static ON: AtomicBool = AtomicBool::new(false);

/// Called once, with the flag of the command line.
pub fn set(asked: bool) {
    let log = std::env::var("FOGHORN_LOG").unwrap_or_default();
    ON.store(asked || asks(&log), Ordering::Relaxed);
}

fn asks(log: &str) -> bool {
    log.split(',')
        .filter_map(|directive| directive.rsplit('=').next())
        .any(|level| matches!(level.trim(), "debug" | "trace"))
}

/// One exchange; never what was in the bodies, where passwords are.
pub(super) fn exchange(method: &str, url: &str, status: u16, problem: Option<&str>) {
    if ON.load(Ordering::Relaxed) {
        let problem = problem.map_or_else(String::new, |problem| format!(" ({problem})"));
        eprintln!("debug: {method} {url}: {status}{problem}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_filter_asks_too() {
        assert!(asks("debug") && asks("info,foghorn_cli=debug") && asks("trace"));
        assert!(!asks("") && !asks("info,foghorn_agent=warn"));
    }
}
