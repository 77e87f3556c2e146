//! What is measured: polls when they are due, and then as many requests as possible.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::device::{Answer, Device};

/// Until all devices wait for their turn.
const BEGIN_IN: Duration = Duration::from_millis(500);

/// Answers, and how long they took.
#[derive(Default)]
pub(crate) struct Seen {
    /// Of each good answer, in milliseconds; of a poll from the moment in which it was due.
    pub(crate) whole_ms: Vec<f64>,
    /// The same of the requests alone, without their connections.
    pub(crate) request_ms: Vec<f64>,
    pub(crate) not_modified: u64,
    pub(crate) errors: u64,
    /// One of the errors.
    pub(crate) trouble: Option<String>,
    pub(crate) took: Duration,
}

impl Seen {
    pub(crate) fn answers(&self) -> usize {
        self.whole_ms.len()
    }

    fn note(&mut self, whole: Duration, polled: Result<(Answer, Duration)>) {
        match polled {
            Ok((answer, request)) => {
                self.whole_ms.push(whole.as_secs_f64() * 1000.0);
                self.request_ms.push(request.as_secs_f64() * 1000.0);
                self.not_modified += u64::from(answer == Answer::NotModified);
            }
            Err(error) => {
                self.errors += 1;
                self.trouble = Some(format!("{error:#}"));
            }
        }
    }

    fn add(&mut self, other: Self) {
        self.whole_ms.extend(other.whole_ms);
        self.request_ms.extend(other.request_ms);
        self.not_modified += other.not_modified;
        self.errors += other.errors;
        self.trouble = self.trouble.take().or(other.trouble);
    }
}

/// Every device polls once in a period, each at its own moment in it.
pub(crate) async fn polls(
    devices: &Arc<[Arc<Device>]>,
    gateway: SocketAddr,
    period: Duration,
    rounds: u32,
) -> Result<Seen> {
    let begin = Instant::now() + BEGIN_IN;
    let mut tasks = JoinSet::new();
    for (place, device) in devices.iter().enumerate() {
        let first = begin + period.mul_f64(place as f64 / devices.len() as f64);
        let device = device.clone();
        tasks.spawn(async move {
            let mut seen = Seen::default();
            for round in 0..rounds {
                let due = first + period * round;
                sleep_until(due).await;
                let polled = device.poll(gateway).await;
                seen.note(due.elapsed(), polled);
            }
            seen
        });
    }
    gather(tasks, begin).await
}

/// As many conditional requests as possible, over connections that stay open.
pub(crate) async fn burst(
    devices: &Arc<[Arc<Device>]>,
    gateway: SocketAddr,
    connections: u32,
    duration: Duration,
) -> Result<Seen> {
    let mut lines = Vec::new();
    for device in devices.iter().cycle().take(connections as usize) {
        lines.push((device.clone(), device.connect(gateway).await?));
    }
    let begin = Instant::now();
    let mut tasks = JoinSet::new();
    for (device, mut line) in lines {
        tasks.spawn(async move {
            let mut seen = Seen::default();
            while begin.elapsed() < duration {
                let asked = Instant::now();
                let answer = device.ask(&mut line).await;
                let took = asked.elapsed();
                let is_over = answer.is_err();
                seen.note(took, answer.map(|answer| (answer, took)));
                if is_over {
                    break;
                }
            }
            seen
        });
    }
    gather(tasks, begin).await
}

async fn gather(mut tasks: JoinSet<Seen>, begin: Instant) -> Result<Seen> {
    let mut all = Seen::default();
    while let Some(ended) = tasks.join_next().await {
        all.add(ended.context("a task panicked")?);
    }
    all.took = begin.elapsed();
    ensure!(
        all.answers() > 0,
        "nothing was answered: {}",
        all.trouble.as_deref().unwrap_or("no request was sent")
    );
    Ok(all)
}
