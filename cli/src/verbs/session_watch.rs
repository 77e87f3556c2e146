//! `foghorn session watch`: a table that stays in its place on a terminal, lines that say something
//! new elsewhere.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use foghorn_rest_types::multicast::{MulticastPath, MulticastStatus};
use foghorn_types::SessionId;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::session::{ask, heading, known, receiver_line, receivers, summary_line};
use crate::api::{Api, ApiError};
use crate::exit::{Exit, Failure, of_many};
use crate::output::{Format, Output, is_decorated};

/// Agents send a report once a second.
const ROUND: Duration = Duration::from_secs(1);
/// A controller that restarts is available again within seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// Follows a session to its end and prints the result for each host.
///
/// # Errors
/// When the timeout expires, the session does not exist, or the server stays unreachable.
pub(super) fn watch(
    api: &Api,
    output: Output,
    session: SessionId,
    timeout: Option<Duration>,
) -> Result<Exit, Failure> {
    let started = Instant::now();
    let (mut display, mut heard) = (Display::new(output), started);
    loop {
        match ask(api, session) {
            Ok(status) => {
                heard = Instant::now();
                display.show(&status);
                if has_ended(&status) {
                    display.end();
                    return conclude(output, &status);
                }
            }
            Err(ApiError::Unreachable { .. } | ApiError::Server { .. })
                if heard.elapsed() < PATIENCE => {}
            Err(error) => return Err(known(session, error)),
        }
        if timeout.is_some_and(|limit| started.elapsed() >= limit) {
            display.end();
            return Err(Failure::new(Exit::Failed,
                format!("the timeout expired before session {session} ended"))
                .advise(format!(
                    "the session continues: watch it with `foghorn session watch {session}`, or cancel it"
                )));
        }
        std::thread::sleep(ROUND);
    }
}

/// The row of the session changes some time after its last task has ended.
fn has_ended(status: &MulticastStatus) -> bool {
    let ended = |path: MulticastPath| matches!(path, MulticastPath::Done | MulticastPath::Failed);
    status.summary.phase.is_finished()
        || (!status.receivers.is_empty()
            && status.receivers.iter().all(|receiver| ended(receiver.path)))
}

fn conclude(output: Output, status: &MulticastStatus) -> Result<Exit, Failure> {
    output.show(&receivers(status), status)?;
    if status.receivers.is_empty() {
        return Ok(Exit::Failed);
    }
    let done = status
        .receivers
        .iter()
        .filter(|receiver| receiver.path == MulticastPath::Done)
        .count();
    Ok(of_many(done, status.receivers.len() - done))
}

/// On standard error, so that standard output contains only the result.
enum Display {
    Silent,
    /// By receiver, and under 0 the session; each is printed only when it has changed.
    Lines(HashMap<u32, String>),
    Table {
        all: MultiProgress,
        lines: Vec<ProgressBar>,
    },
}

impl Display {
    fn new(output: Output) -> Self {
        if output.quiet {
            Self::Silent
        } else if is_decorated() && output.format == Format::Table {
            let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
            Self::Table {
                all,
                lines: Vec::new(),
            }
        } else {
            Self::Lines(HashMap::new())
        }
    }

    fn show(&mut self, status: &MulticastStatus) {
        match self {
            Self::Silent => {}
            Self::Lines(last) => {
                let session = (0, summary_line(&status.summary));
                let receivers = status
                    .receivers
                    .iter()
                    .map(|receiver| (receiver.task.get(), receiver_line(receiver)));
                for (key, text) in std::iter::once(session).chain(receivers) {
                    if last.get(&key) != Some(&text) {
                        eprintln!("{text}");
                        last.insert(key, text);
                    }
                }
            }
            Self::Table { all, lines } => {
                let text = format!("{}{}", heading(status), receivers(status).render());
                let wanted: Vec<&str> = text.lines().collect();
                while lines.len() < wanted.len() {
                    lines.push(all.add(new_line()));
                }
                // Fewer lines than before: the rest stays, empty.
                for (number, line) in lines.iter().enumerate() {
                    line.set_message(wanted.get(number).copied().unwrap_or_default().to_owned());
                }
            }
        }
    }

    /// Clears the display for the result, which contains the same.
    fn end(&mut self) {
        if let Self::Table { lines, .. } = self {
            lines.iter().for_each(ProgressBar::finish_and_clear);
        }
    }
}

/// A line that is truncated at the width of the terminal.
fn new_line() -> ProgressBar {
    let style =
        ProgressStyle::with_template("{wide_msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(1).with_style(style)
}
