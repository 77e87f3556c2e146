//! Background work runs in rounds: one driver for all of them, which also records what each did
//! last.
//!
//! A round is notified *that* something may have changed, never *what*: it reads the state and does
//! what is missing. A round that fails, or panics, costs only a delay: it is logged and shown, and
//! the next one runs after the period or with the next change.

use std::any::Any;
use std::collections::BTreeMap;
use std::error::Error;
use std::panic::AssertUnwindSafe;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use foghorn_types::{Timestamp, chain};
use futures_util::FutureExt as _;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, error, info_span};

/// When rounds of some work begin.
pub struct Rhythm {
    /// Of the work, in the status, in logs and in metrics.
    pub name: &'static str,
    /// Between two rounds, when nothing else asks for one.
    pub period: Duration,
    /// What also asks for one.
    pub wakes: Vec<(&'static str, watch::Receiver<u64>)>,
}

/// One kind of background work, with what it remembers between two rounds.
pub trait Work: Send {
    /// Does what there is to do now. It is dropped half-way when the controller stops.
    fn round(&mut self, why: Why, report: &mut Report) -> impl Future<Output = ()> + Send;
}

/// Why a round began.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// Time has passed.
    Period,
    /// Something has changed: the name from [`Rhythm::wakes`].
    Change(&'static str),
}

/// What a round did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    did: BTreeMap<String, u64>,
    errors: Vec<String>,
}

/// Errors of one round that are kept; more are counted.
const MOST_ERRORS: usize = 8;

impl Report {
    /// Counts what was done, such as 3 "tasks moved".
    pub fn did(&mut self, what: &str, number: u64) {
        if number > 0 {
            *self.did.entry(what.to_owned()).or_default() += number;
        }
    }

    /// Notes what went wrong; the round may go on with other things. Whoever knows more about it
    /// logs it.
    pub fn failed(&mut self, what: &str, error: &(dyn Error + 'static)) {
        self.errors.push(format!("{what}: {}", chain(error)));
    }

    /// `None` when nothing went wrong.
    fn error(&self) -> Option<String> {
        let more = self.errors.len().saturating_sub(MOST_ERRORS);
        let text = self
            .errors
            .iter()
            .take(MOST_ERRORS)
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join("; ");
        match (self.errors.is_empty(), more) {
            (true, _) => None,
            (false, 0) => Some(text),
            (false, more) => Some(format!("{text}; and {more} more")),
        }
    }
}

/// How some work is getting on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Status {
    pub period: Duration,
    pub wakes: Vec<&'static str>,
    /// Since when a round has been under way.
    pub running_since: Option<Timestamp>,
    /// Rounds that have ended since the controller started.
    pub rounds: u64,
    /// Those of them that failed.
    pub failures: u64,
    pub last: Option<Round>,
    /// The last one that failed, which later ones do not replace.
    pub last_failure: Option<Round>,
}

/// A round that has ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Round {
    pub began: Timestamp,
    pub took: Duration,
    pub why: Why,
    pub did: BTreeMap<String, u64>,
    pub error: Option<String>,
}

/// All background work of a controller.
#[derive(Default)]
pub struct Background {
    known: Mutex<BTreeMap<&'static str, Status>>,
}

impl Background {
    /// How all work is getting on, by name.
    #[must_use]
    pub fn status(&self) -> BTreeMap<&'static str, Status> {
        self.lock().clone()
    }

    /// Begins one round after the other until `cancel`. The first comes at once.
    pub async fn drive(&self, mut rhythm: Rhythm, mut work: impl Work, cancel: CancellationToken) {
        self.enter(&rhythm);
        let mut tick = tokio::time::interval(rhythm.period);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let why = tokio::select! {
                // In order, so that a simulation repeats what it did.
                biased;
                () = cancel.cancelled() => return,
                _ = tick.tick() => Why::Period,
                name = changed(&mut rhythm.wakes) => Why::Change(name),
            };
            // What changes from here on is for the next round.
            rhythm
                .wakes
                .iter_mut()
                .for_each(|(_, wake)| wake.mark_unchanged());
            let round = self
                .round(rhythm.name, &mut work, why)
                .instrument(info_span!("round", work = rhythm.name));
            if cancel.run_until_cancelled(round).await.is_none() {
                return;
            }
        }
    }

    async fn round(&self, name: &'static str, work: &mut impl Work, why: Why) {
        let (began, started) = (Timestamp::now(), Instant::now());
        self.change(name, |status| status.running_since = Some(began));
        let mut report = Report::default();
        // What the work remembers may be half-way changed by a panic; its next round looks at
        // everything afresh.
        if let Err(panic) = AssertUnwindSafe(work.round(why, &mut report))
            .catch_unwind()
            .await
        {
            let text = format!("panic: {}", text_of(&*panic));
            error!(
                work = name,
                error = text,
                "a round of background work panicked"
            );
            report.errors.push(text);
        }
        let error = report.error();
        let round = Round {
            began,
            took: started.elapsed(),
            why,
            did: report.did,
            error,
        };
        measure(name, &round);
        self.change(name, |status| {
            status.running_since = None;
            status.rounds += 1;
            if round.error.is_some() {
                status.failures += 1;
                status.last_failure = Some(round.clone());
            }
            status.last = Some(round);
        });
    }

    fn enter(&self, rhythm: &Rhythm) {
        let status = Status {
            period: rhythm.period,
            wakes: rhythm.wakes.iter().map(|(name, _)| *name).collect(),
            running_since: None,
            rounds: 0,
            failures: 0,
            last: None,
            last_failure: None,
        };
        self.lock().insert(rhythm.name, status);
        for outcome in OUTCOMES {
            metrics::counter!("foghorn_background_rounds_total", "work" => rhythm.name, "outcome" => outcome)
                .increment(0);
        }
    }

    fn change(&self, name: &'static str, change: impl FnOnce(&mut Status)) {
        if let Some(status) = self.lock().get_mut(name) {
            change(status);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Status>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for any of them. One whose sender is gone never changes again. Cancel safe.
async fn changed(wakes: &mut [(&'static str, watch::Receiver<u64>)]) -> &'static str {
    if wakes.is_empty() {
        return std::future::pending().await;
    }
    let each = wakes.iter_mut().map(|(name, wake)| {
        Box::pin(async {
            match wake.changed().await {
                Ok(()) => *name,
                Err(_) => std::future::pending().await,
            }
        })
    });
    futures_util::future::select_all(each).await.0
}

fn text_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}

/// Of a round, as a label: it went well, or it did not.
const OUTCOMES: [&str; 2] = ["ok", "failed"];

fn measure(name: &'static str, round: &Round) {
    let outcome = OUTCOMES[usize::from(round.error.is_some())];
    metrics::counter!("foghorn_background_rounds_total", "work" => name, "outcome" => outcome)
        .increment(1);
    metrics::histogram!("foghorn_background_round_duration_seconds", "work" => name)
        .record(round.took.as_secs_f64());
    let ended = round.began.as_millis() as f64 / 1000.0 + round.took.as_secs_f64();
    metrics::gauge!("foghorn_background_last_round_timestamp_seconds", "work" => name).set(ended);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::mpsc;

    use super::*;

    /// Does in each round what the next word says, and tells that it has begun.
    struct Script {
        words: Vec<&'static str>,
        begun: mpsc::UnboundedSender<Why>,
    }

    impl Work for Script {
        async fn round(&mut self, why: Why, report: &mut Report) {
            self.begun.send(why).unwrap();
            match self.words.pop() {
                Some("panic") => panic!("the table is gone"),
                Some("fail") => {
                    report.failed("could not tidy", &std::io::Error::other("disk full"))
                }
                Some("hang") => std::future::pending().await,
                _ => report.did("rows tidied", 2),
            }
        }
    }

    struct Running {
        background: Arc<Background>,
        begun: mpsc::UnboundedReceiver<Why>,
        change: watch::Sender<u64>,
        cancel: CancellationToken,
        task: tokio::task::JoinHandle<()>,
    }

    fn start(words: &[&'static str]) -> Running {
        let (begin, begun) = mpsc::unbounded_channel();
        let (change, changes) = watch::channel(0);
        let (background, cancel) = (Arc::new(Background::default()), CancellationToken::new());
        let rhythm = Rhythm {
            name: "tidying",
            period: Duration::from_secs(60),
            wakes: vec![("tables", changes)],
        };
        let script = Script {
            words: words.iter().rev().copied().collect(),
            begun: begin,
        };
        let (driver, stop) = (background.clone(), cancel.clone());
        let task = tokio::spawn(async move { driver.drive(rhythm, script, stop).await });
        Running {
            background,
            begun,
            change,
            cancel,
            task,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_round_that_panics_or_fails_is_visible_and_the_next_one_runs() {
        let mut running = start(&["panic", "fail", "work", "hang"]);
        for _ in 0..4 {
            assert_eq!(running.begun.recv().await, Some(Why::Period));
        }
        let status = running.background.status().remove("tidying").unwrap();
        assert_eq!((status.rounds, status.failures), (3, 2));
        assert!(status.running_since.is_some(), "the fourth is under way");
        let last = status.last.unwrap();
        assert_eq!(
            (last.did, last.error),
            (BTreeMap::from([("rows tidied".to_owned(), 2)]), None)
        );
        assert_eq!(
            status.last_failure.unwrap().error.unwrap(),
            "could not tidy: disk full"
        );
        running.cancel.cancel();
        running.task.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_is_shown_with_its_message() {
        let mut running = start(&["panic", "hang"]);
        for _ in 0..2 {
            running.begun.recv().await;
        }
        let status = running.background.status().remove("tidying").unwrap();
        assert_eq!(
            status.last.unwrap().error.unwrap(),
            "panic: the table is gone"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_asks_for_a_round_and_a_vanished_sender_does_not() {
        let mut running = start(&[]);
        assert_eq!(running.begun.recv().await, Some(Why::Period));
        running.change.send_modify(|count| *count += 1);
        assert_eq!(running.begun.recv().await, Some(Why::Change("tables")));
        drop(running.change);
        let started = tokio::time::Instant::now();
        assert_eq!(running.begun.recv().await, Some(Why::Period));
        assert!(
            started.elapsed() > Duration::from_secs(50),
            "only time has passed"
        );
    }

    #[test]
    fn errors_of_a_round_are_bounded() {
        let mut report = Report::default();
        assert_eq!(report.error(), None);
        (0..10).for_each(|number| report.failed(&number.to_string(), &std::fmt::Error));
        assert!(
            report.error().unwrap().ends_with("; and 2 more"),
            "{:?}",
            report.error()
        );
    }
}
