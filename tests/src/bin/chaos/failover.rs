//! How long a killed controller is missed: by its storage nodes, until others have their links, and by
//! whoever asks through the one address.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Result;
use foghorn_tests::rest::Rest;
use foghorn_tests::writers::Gate;
use serde_json::json;

/// Between two requests of the one who asks all the time.
const ASK_EVERY: Duration = Duration::from_millis(20);
const LOOK_EVERY: Duration = Duration::from_millis(30);
/// A link that has not come back by then is not waited for any more.
const GIVE_UP: Duration = Duration::from_secs(15);
/// How long after a kill the gap between two answers counts as its own.
const WINDOW: Duration = Duration::from_secs(4);

/// When requests through the one address were answered well.
#[derive(Clone, Default)]
pub(crate) struct Answers(Arc<Mutex<Vec<Instant>>>);

impl Answers {
    /// Asks until the gate stops; every second request is a write.
    pub(crate) fn collect(&self, rest: Rest, host: u32, gate: Arc<Gate>) -> JoinHandle<()> {
        let answers = self.clone();
        std::thread::spawn(move || {
            let mut turn = 0_u64;
            while !gate.is_stopped() {
                turn += 1;
                let path = format!("/fog/host/{host}");
                let answer = if turn.is_multiple_of(2) {
                    rest.get(&path)
                } else {
                    let body = json!({"description": format!("turn {turn}")});
                    rest.put(&format!("{path}/edit"), &body)
                };
                if answer.is_ok_and(|answer| answer.status == 200) {
                    let mut all = answers.0.lock().unwrap_or_else(PoisonError::into_inner);
                    all.push(Instant::now());
                }
                std::thread::sleep(ASK_EVERY);
            }
        })
    }

    /// The longest time between two good answers around a kill.
    fn gap(&self, killed: Instant) -> Option<Duration> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let first = all.partition_point(|at| *at < killed).checked_sub(1)?;
        let pairs = all[first..].windows(2);
        let near = pairs.take_while(|pair| pair[0] < killed + WINDOW);
        near.map(|pair| pair[1] - pair[0]).max()
    }
}

/// One kill.
#[derive(Clone, Debug)]
struct Miss {
    killed: Instant,
    links: Option<Duration>,
}

#[derive(Default)]
pub(crate) struct Failover {
    /// Kills whose links are not back yet.
    open: Arc<AtomicUsize>,
    misses: Arc<Mutex<Vec<Miss>>>,
    threads: Vec<JoinHandle<()>>,
}

/// Figures in seconds; 0 when there was none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    pub measured: usize,
    pub links: Vec<f64>,
    pub requests: Vec<f64>,
}

impl Failover {
    /// A controller is killed now; its links are expected at the others. `rests` are not patient.
    pub(crate) fn watch(&mut self, rests: Vec<Rest>, nodes: u64) {
        let (killed, misses, open) = (Instant::now(), self.misses.clone(), self.open.clone());
        open.fetch_add(1, Ordering::SeqCst);
        self.threads.push(std::thread::spawn(move || {
            let links = loop {
                let there: u64 = rests.iter().filter_map(|rest| links_of(rest).ok()).sum();
                if there >= nodes {
                    break Some(killed.elapsed());
                }
                if killed.elapsed() > GIVE_UP {
                    break None;
                }
                std::thread::sleep(LOOK_EVERY);
            };
            let mut misses = misses.lock().unwrap_or_else(PoisonError::into_inner);
            misses.push(Miss { killed, links });
            open.fetch_sub(1, Ordering::SeqCst);
        }));
    }

    /// Whether a controller is missed now: nothing else is to go wrong with servers and nodes.
    pub(crate) fn is_measuring(&self) -> bool {
        self.open.load(Ordering::SeqCst) > 0
    }

    pub(crate) fn figures(self, answers: &Answers) -> Figures {
        for thread in self.threads {
            let _ = thread.join();
        }
        let misses = self.misses.lock().unwrap_or_else(PoisonError::into_inner);
        let seconds = |duration: Option<Duration>| duration.unwrap_or(GIVE_UP).as_secs_f64();
        Figures {
            measured: misses.len(),
            links: misses.iter().map(|miss| seconds(miss.links)).collect(),
            requests: misses
                .iter()
                .map(|miss| seconds(answers.gap(miss.killed)))
                .collect(),
        }
    }
}

/// Storage nodes that are linked to the controller that answers.
pub(crate) fn links_of(rest: &Rest) -> Result<u64> {
    let list = rest.get("/foghorn/v1/controllers")?.ok()?;
    let rows = list["controllers"].as_array().into_iter().flatten();
    let own = rows.filter(|row| row["answers"] == true);
    Ok(own.filter_map(|row| row["nodes"].as_u64()).sum())
}

/// The middle one and the largest.
pub(crate) fn middle_and_most(figures: &[f64]) -> (f64, f64) {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.get(sorted.len().saturating_sub(1) / 2);
    (
        middle.copied().unwrap_or(0.0),
        sorted.last().copied().unwrap_or(0.0),
    )
}
