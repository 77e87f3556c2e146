//! What people at the machine see: a bar on a terminal, else a plain line about every second, and
//! lines that leave the bar where it is.

use std::error::Error;
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use foghorn_image::{Note, selected_notes};
use foghorn_types::{ByteCount, complaint};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::oneshot;

use crate::progress::{Path, Progress, Snapshot};
use crate::report::stage_name;

/// The bar on the terminal, while there is one.
static BAR: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// What a run does, in its own words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum What {
    Deploy,
    Capture,
}

impl What {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Deploy => "deploy",
            Self::Capture => "capture",
        }
    }
}

/// Shows the progress of a transfer until `over` says whether it has succeeded.
pub(crate) async fn show(what: What, progress: Arc<Progress>, mut over: oneshot::Receiver<bool>) {
    let bar = io::stderr().is_terminal().then(new_bar);
    set_bar(bar.clone());
    let period = if bar.is_some() {
        Duration::from_millis(200)
    } else {
        Duration::from_secs(1)
    };
    let succeeded = loop {
        tokio::select! {
            biased;
            ended = &mut over => break ended.unwrap_or(false),
            () = tokio::time::sleep(period) => {}
        }
        let snapshot = progress.snapshot();
        match &bar {
            Some(bar) => draw(bar, what, &snapshot),
            None => line(&status(what, &snapshot)),
        }
    };
    set_bar(None);
    if let Some(bar) = bar {
        draw(&bar, what, &progress.snapshot());
        end(&bar, succeeded);
    }
}

fn set_bar(bar: Option<ProgressBar>) {
    *BAR.lock().unwrap_or_else(PoisonError::into_inner) = bar;
}

fn new_bar() -> ProgressBar {
    let style = ProgressStyle::with_template(
        "{bar:24} {percent:>3} %  {bytes} of {total_bytes}  {bytes_per_sec}  {msg}",
    );
    let bar = ProgressBar::no_length();
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn draw(bar: &ProgressBar, what: What, snapshot: &Snapshot) {
    bar.set_length(snapshot.total.bytes());
    bar.set_position(snapshot.done.bytes());
    bar.set_message(message(what, snapshot));
}

/// A bar of something that is done is full; one of something that failed stays where it was.
fn end(bar: &ProgressBar, succeeded: bool) {
    bar.set_message("");
    if succeeded {
        let total = bar.length().unwrap_or(0).max(bar.position()).max(1);
        bar.set_length(total);
        bar.finish();
    } else {
        bar.abandon();
    }
}

fn message(what: What, snapshot: &Snapshot) -> String {
    let limit = snapshot
        .limiting
        .map(|stage| format!("limited by {}", stage_name(stage)));
    let way = way(what, snapshot.path).map(str::to_owned);
    let parts: Vec<String> = [way, limit].into_iter().flatten().collect();
    parts.join(", ")
}

/// By which way the bytes go, where there are several.
fn way(what: What, path: Path) -> Option<&'static str> {
    match (what, path) {
        (What::Capture, _) | (What::Deploy, Path::Unicast) => None,
        (What::Deploy, Path::Waiting) => Some("waiting for the multicast to begin"),
        (What::Deploy, Path::Multicast) => Some("by multicast"),
    }
}

fn status(what: What, snapshot: &Snapshot) -> String {
    let percent = (snapshot.done.bytes() * 100)
        .checked_div(snapshot.total.bytes())
        .unwrap_or(0);
    let sent = match what {
        What::Deploy => "received",
        What::Capture => "sent",
    };
    let mut text = format!(
        "{}: {percent} % ({} of {}), {} {sent}",
        what.word(),
        snapshot.done,
        snapshot.total,
        snapshot.wire,
    );
    let more = message(what, snapshot);
    if !more.is_empty() {
        text.push_str(&format!(", {more}"));
    }
    text
}

/// The last line of a run that did its task.
pub(crate) fn summary(what: What, snapshot: &Snapshot) -> String {
    let seconds = snapshot.elapsed.as_secs_f64();
    let rate = ByteCount::from_bytes((snapshot.done.bytes() as f64 / seconds.max(0.001)) as u64);
    let (done, wire, reused) = (snapshot.done, snapshot.wire, snapshot.reused);
    match what {
        What::Capture => format!(
            "capture complete: {done} in {seconds:.1} s ({rate}/s), {wire} sent; {reused} were on the storage node already"
        ),
        What::Deploy => {
            let multicast = if snapshot.multicast.bytes() > 0 {
                format!(" ({} by multicast)", snapshot.multicast)
            } else {
                String::new()
            };
            format!(
                "deploy complete: {done} in {seconds:.1} s ({rate}/s), {wire} received{multicast}, {} written; {reused} were right on the disk already",
                snapshot.written
            )
        }
    }
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

/// Prints a line above the bar. Imaging continues even when nobody reads it any more.
pub(crate) fn line(text: &str) {
    let _ = LogWriter.write_all(format!("{text}\n").as_bytes());
}

/// Prints what failed, why, and what to do.
pub fn failure(error: &(dyn Error + 'static), advice: Option<&str>) {
    line(&complaint(error).todo(advice).line());
}

/// Standard error, without disturbing the bar. What is written should be whole lines.
#[derive(Clone, Copy, Debug)]
pub struct LogWriter;

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let bar = BAR.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match bar {
            Some(bar) => bar.suspend(|| io::stderr().write_all(bytes))?,
            None => io::stderr().write_all(bytes)?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot() -> Snapshot {
        let progress = Progress::default();
        progress.set_total(ByteCount::from_mib(4));
        progress.add_done(2 << 20);
        progress.add_wire(1 << 20);
        progress.snapshot()
    }

    #[test]
    fn a_capture_is_told_in_words_of_a_capture() {
        let text = status(What::Capture, &snapshot());
        assert_eq!(text, "capture: 50 % (2.00 MiB of 4.00 MiB), 1.00 MiB sent");
        let text = summary(What::Capture, &snapshot());
        assert!(text.starts_with("capture complete: 2.00 MiB in "), "{text}");
        for word in ["written", "received", "unicast", "deploy"] {
            assert!(!text.contains(word), "{text}");
        }
        let deploy = summary(What::Deploy, &snapshot());
        assert!(
            deploy.contains("1.00 MiB received, 0 B written"),
            "{deploy}"
        );
    }

    #[test]
    fn a_failure_says_what_why_and_what_to_do() {
        let error = io::Error::other("the disk is gone");
        assert_eq!(
            complaint(&error).todo(Some("start it again")).line(),
            "error: the disk is gone\n  to do: start it again"
        );
    }
}
