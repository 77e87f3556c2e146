//! Shows progress to people: a bar on a terminal, else a plain line about every second.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;

use foghorn_image::{Note, selected_notes};
use foghorn_types::ByteCount;
use indicatif::{ProgressBar, ProgressStyle};
use tokio_util::sync::CancellationToken;

use crate::progress::{Path, Progress, Snapshot};
use crate::report::stage_name;

/// Shows the progress of a transfer until `over` is cancelled, then a summary line.
pub(crate) async fn show(what: &'static str, progress: Arc<Progress>, over: CancellationToken) {
    let bar = std::io::stderr().is_terminal().then(new_bar);
    let period = if bar.is_some() {
        Duration::from_millis(200)
    } else {
        Duration::from_secs(1)
    };
    loop {
        tokio::select! {
            biased;
            () = over.cancelled() => break,
            () = tokio::time::sleep(period) => {}
        }
        let snapshot = progress.snapshot();
        match &bar {
            Some(bar) => {
                bar.set_length(snapshot.total.bytes());
                bar.set_position(snapshot.done.bytes());
                bar.set_message(format!(
                    "{} {}",
                    path_name(snapshot.path),
                    snapshot.limiting.map_or("", stage_name)
                ));
            }
            None => line(&status(what, &snapshot)),
        }
    }
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
}

fn new_bar() -> ProgressBar {
    let style = ProgressStyle::with_template(
        "{wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta} {msg}",
    );
    let bar = ProgressBar::no_length();
    style
        .map(|style| bar.clone().with_style(style))
        .unwrap_or(bar)
}

fn status(what: &str, snapshot: &Snapshot) -> String {
    let percent = (snapshot.done.bytes() * 100)
        .checked_div(snapshot.total.bytes())
        .unwrap_or(0);
    let limit = snapshot.limiting.map_or(String::new(), |stage| {
        format!(", limited by {}", stage_name(stage))
    });
    format!(
        "{what}: {percent} % ({} of {}), {} over the network by {}{limit}",
        snapshot.done,
        snapshot.total,
        snapshot.wire,
        path_name(snapshot.path)
    )
}

fn path_name(path: Path) -> &'static str {
    match path {
        Path::Unicast => "unicast",
        Path::Waiting => "multicast, which has yet to begin",
        Path::Multicast => "multicast",
    }
}

/// The last line of a run that did its task.
pub(crate) fn summary(what: &str, snapshot: &Snapshot) -> String {
    let seconds = snapshot.elapsed.as_secs_f64();
    let rate = ByteCount::from_bytes((snapshot.done.bytes() as f64 / seconds.max(0.001)) as u64);
    format!(
        "{what}: {} in {seconds:.1} s ({rate}/s), {} over the network ({} by multicast), {} reused, {} written",
        snapshot.done, snapshot.wire, snapshot.multicast, snapshot.reused, snapshot.written
    )
}

/// Most notes that are printed; the report has all of them.
const MOST_NOTES: usize = 20;

/// Prints what people should know about the image, each note once, and keeps it for the report.
pub(crate) fn notes<'n>(progress: &Progress, notes: impl IntoIterator<Item = &'n Note>) {
    let new = progress.add_notes(notes);
    for note in selected_notes(&new, MOST_NOTES) {
        line(&format!("note: {note}"));
    }
    if new.len() > MOST_NOTES {
        line(&format!("note: … and {} more", new.len() - MOST_NOTES));
    }
}

/// Prints a line. Imaging continues even when nobody reads it any more.
pub(crate) fn line(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
