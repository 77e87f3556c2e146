//! SIGHUP: a service reads its configuration again.

use std::error::Error;
use std::fs::File;
use std::io;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info, warn};

use crate::filter::LogFilter;

/// What a configuration says when it is read again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reread {
    /// What is to be logged from now on.
    pub filter: String,
    /// Other settings that are not those of the start.
    pub others: Vec<String>,
}

/// What reads a configuration again.
pub type Read = dyn Fn() -> Result<Reread, Box<dyn Error + Send + Sync>> + Send + Sync;

/// From now on, SIGHUP calls `read`, and what is logged follows. A process that belongs to a
/// terminal, wherever it writes to, is ended by SIGHUP as ever: its terminal is gone then.
///
/// To be called in a runtime of tokio.
///
/// # Errors
/// When the signal cannot be watched.
pub fn reread_on_hangup(filter: LogFilter, read: Arc<Read>) -> io::Result<()> {
    if has_terminal() {
        return Ok(());
    }
    let mut hangups = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            let read = read.clone();
            let done = tokio::task::spawn_blocking(move || read()).await;
            match done {
                Ok(Ok(reread)) => follow(&filter, &reread),
                Ok(Err(problem)) => error!(
                    error = in_one_line(&*problem),
                    "the configuration was not read again: everything goes on as before"
                ),
                Err(problem) => error!(error = %problem, "the configuration was not read again"),
            }
        }
    });
    Ok(())
}

/// This name is the terminal of whoever opens it; for a process that has none, it cannot be opened.
fn has_terminal() -> bool {
    File::open("/dev/tty").is_ok()
}

fn follow(filter: &LogFilter, reread: &Reread) {
    match filter.set(&reread.filter) {
        Ok(true) => info!(
            filter = reread.filter,
            "the configuration was read again: what is logged follows it"
        ),
        Ok(false) => info!(
            "the configuration was read again: what is logged does not follow it, but {}",
            crate::LOG_VARIABLE
        ),
        Err(problem) => {
            error!(error = in_one_line(&problem), "the log goes on as before");
            return;
        }
    }
    if !reread.others.is_empty() {
        warn!(
            keys = reread.others.join(", "),
            "these settings are not those of the start: they take effect with the next one"
        );
    }
}

/// An error with its causes. This crate names no other of ours.
fn in_one_line(problem: &(dyn Error + 'static)) -> String {
    let mut text = problem.to_string();
    let mut cause = problem.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}
