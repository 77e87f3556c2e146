//! Further sources: storage nodes from which chunks come beside the one that has the task, as long
//! as that is faster (decision 23), or when a chunk is wanted that nobody else has intact.
//!
//! Whatever goes wrong here ends in the same: what a source owed is back on the board, and the others
//! go on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foghorn_transport::{AgentConnection, Source, StreamError};
use foghorn_types::chain;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::fetch::{FetchEnd, fetch};
use super::growth::{Growth, Seen, Step};
use super::shared::{Role, Shared};
use super::{Queues, short_name};
use crate::check_in::CheckInError;
use crate::display;
use crate::link::Ways;
use crate::progress::{Path, Snapshot, limiting_stage};

/// No controller gives more.
const MOST: usize = 7;
const TICK: Duration = Duration::from_secs(1);
/// How often a connection is looked at, and after how long without a byte it is given up. Both ends
/// send something every two seconds.
const LISTEN_EVERY: Duration = Duration::from_millis(500);
const SILENT_AFTER: Duration = Duration::from_secs(3);
/// How long a node is not asked for again that was of no use.
const AVOID: Duration = Duration::from_secs(300);

/// What becomes of a source.
enum Event {
    Connected(String, Result<Box<AgentConnection>, String>),
    Left {
        name: String,
        reason: String,
        avoid: bool,
    },
}

type Found = Result<Vec<Vec<Source>>, CheckInError>;

/// What is known of further sources.
struct Manager {
    shared: Arc<Shared>,
    ways: Ways,
    queues: Queues,
    growth: Growth,
    tasks: JoinSet<Event>,
    /// Those that are connected, oldest first.
    connected: Vec<(String, CancellationToken)>,
    /// Those that are being connected to.
    expected: Vec<String>,
    finding: Option<JoinHandle<Found>>,
    /// More are looked for than there are.
    is_seeking: bool,
    /// Somebody waits for a chunk that only another source can bring.
    is_wanted: bool,
    /// The controller does not know the question.
    is_useless: bool,
    avoid: BTreeMap<String, Instant>,
    before: Snapshot,
}

/// Looks after further sources until it is dropped. Does not return.
pub(super) async fn run(shared: Arc<Shared>, ways: Option<Ways>, queues: Queues) {
    let Some(ways) = ways else {
        return std::future::pending().await;
    };
    let before = shared.progress.snapshot();
    let manager = Manager {
        shared,
        ways,
        queues,
        growth: Growth::new(MOST),
        tasks: JoinSet::new(),
        connected: Vec::new(),
        expected: Vec::new(),
        finding: None,
        is_seeking: false,
        is_wanted: false,
        is_useless: false,
        avoid: BTreeMap::new(),
        before,
    };
    manager.run().await;
}

/// The answer to a question that may not have been asked.
async fn answer(finding: &mut Option<JoinHandle<Found>>) -> Option<Found> {
    match finding {
        Some(asked) => {
            let answer = asked.await.ok();
            *finding = None;
            answer
        }
        None => std::future::pending().await,
    }
}

impl Manager {
    async fn run(mut self) {
        let shared = self.shared.clone();
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => self.tick(),
                () = shared.another_wanted() => {
                    self.is_wanted = true;
                    self.look_for(self.connected.len() + 1);
                }
                Some(event) = self.tasks.join_next() => {
                    // A task that panicked has given back what it owed.
                    if let Ok(event) = event {
                        self.heed(event);
                    }
                }
                found = answer(&mut self.finding) => self.found(found),
            }
        }
    }

    fn tick(&mut self) {
        let now = self.shared.progress.snapshot();
        let passed = now.elapsed.saturating_sub(self.before.elapsed);
        self.shared.board().sharing().tick(passed);
        let seen = self.seen(&now);
        self.before = now;
        match self.growth.tick(&seen) {
            Step::Stay => {}
            Step::Add => self.look_for(self.connected.len() + 1),
            Step::Drop => {
                if let Some((name, stop)) = self.connected.last() {
                    tracing::info!(name, "a further source brings no more; letting it go");
                    stop.cancel();
                }
            }
        }
        if self.is_wanted && self.finding.is_none() && self.expected.is_empty() {
            self.look_for(self.connected.len() + 1);
        }
    }

    fn seen(&self, now: &Snapshot) -> Seen {
        let stages = [Stage::Network, Stage::Other, Stage::Other];
        let waits = self.shared.board().lacks_something();
        let is_unicast = now.path == Path::Unicast;
        let done = now.done.bytes().saturating_sub(self.before.done.bytes());
        let left = now.total.bytes().saturating_sub(now.done.bytes());
        Seen {
            network_limits: waits
                && is_unicast
                && limiting_stage(stages, self.queues.fill()) == Stage::Network,
            wire: now.wire.bytes().saturating_sub(self.before.wire.bytes()),
            left: Duration::from_secs(left.checked_div(done).unwrap_or(u64::from(u32::MAX))),
            further: self.connected.len(),
            expected: self.expected.len() + usize::from(self.finding.is_some()),
        }
    }

    /// Asks for so many further sources in all.
    fn look_for(&mut self, wanted: usize) {
        if self.finding.is_some() {
            return;
        }
        self.is_seeking = wanted > self.connected.len() + self.expected.len();
        if self.is_useless {
            return self.found_none();
        }
        self.avoid.retain(|_, since| since.elapsed() < AVOID);
        let (finder, without) = (self.ways.finder.clone(), self.avoid.keys().cloned());
        let without: Vec<String> = without.collect();
        let wanted = u8::try_from(wanted.min(MOST)).unwrap_or(u8::MAX);
        let find = move || finder.find(wanted, &without);
        self.finding = Some(tokio::task::spawn_blocking(find));
    }

    fn found(&mut self, found: Option<Found>) {
        let nodes = match found {
            Some(Ok(nodes)) => nodes,
            Some(Err(error)) => {
                // An older controller, for good; all others for now.
                self.is_useless = matches!(
                    error,
                    CheckInError::Refused {
                        status: 404 | 405,
                        ..
                    }
                );
                tracing::info!(error = %chain(&error), "no further sources");
                return self.found_none();
            }
            None => return self.found_none(),
        };
        let name = |sources: &[Source]| sources.first().map(|source| source.server_name.clone());
        let mut is_new = false;
        for sources in nodes {
            let Some(name) = name(&sources) else { continue };
            let known = self
                .connected
                .iter()
                .any(|(connected, _)| *connected == name);
            if known || self.expected.contains(&name) {
                continue;
            }
            is_new = true;
            self.expected.push(name.clone());
            let ways = self.ways.clone();
            self.tasks
                .spawn(async move { Event::Connected(name, connect(&ways, sources).await) });
        }
        if !is_new && self.expected.is_empty() {
            self.found_none();
        }
    }

    fn found_none(&mut self) {
        if !self.is_seeking {
            return;
        }
        self.growth.found_none();
        if std::mem::take(&mut self.is_wanted) {
            self.shared.nobody_else();
        }
    }

    fn heed(&mut self, event: Event) {
        match event {
            Event::Connected(name, Ok(connection)) => {
                self.expected.retain(|expected| *expected != name);
                self.is_wanted = false;
                display::line(&format!("also fetching from {}", short_name(&name)));
                let stop = self.shared.stop.child_token();
                self.connected.push((name.clone(), stop.clone()));
                self.growth.joined(self.connected.len());
                let (shared, queues) = (self.shared.clone(), self.queues.clone());
                self.tasks
                    .spawn(fetch_from(shared, name, connection, queues, stop));
            }
            Event::Connected(name, Err(problem)) => {
                tracing::info!(name, error = problem, "a further source is of no use");
                self.expected.retain(|expected| *expected != name);
                self.avoid.insert(name, Instant::now());
                self.growth.lost();
                self.give_back();
            }
            Event::Left {
                name,
                reason,
                avoid,
            } => {
                tracing::info!(name, reason, "a further source has gone");
                self.connected.retain(|(connected, _)| *connected != name);
                if avoid {
                    self.avoid.insert(name, Instant::now());
                }
                self.growth.lost();
                self.give_back();
            }
        }
    }

    /// Tells the controller which places are needed.
    fn give_back(&mut self) {
        if !self.is_wanted && !self.shared.stop.is_cancelled() {
            self.look_for(self.connected.len() + self.expected.len());
        }
    }
}

/// What `limiting_stage` is asked about here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Network,
    Other,
}

/// One attempt at each address.
async fn connect(ways: &Ways, sources: Vec<Source>) -> Result<Box<AgentConnection>, String> {
    let mut problem = "it has no address".to_owned();
    for source in sources {
        let attempt = AgentConnection::connect(&source, &ways.identity, ways.hello.clone());
        match attempt.await {
            Ok(connection) if connection.kind() == ways.kind => return Ok(Box::new(connection)),
            Ok(_) => problem = "it has a different order for this task".to_owned(),
            Err(error) => problem = chain(&error).to_string(),
        }
    }
    Err(problem)
}

/// Fetches from one further source until that is over, for whatever reason.
async fn fetch_from(
    shared: Arc<Shared>,
    name: String,
    connection: Box<AgentConnection>,
    queues: Queues,
    stop: CancellationToken,
) -> Event {
    let way = shared.joins(short_name(&name), Role::Further);
    let end = tokio::select! {
        end = fetch(&shared, &way, &connection, &queues.verify) => end,
        () = silent(&connection) => {
            drop(way);
            return Event::Left { name, reason: "nothing comes from it any more".to_owned(), avoid: true };
        }
        reason = connection.ended() => FetchEnd::Lost(StreamError::Ended(reason)),
        () = stop.cancelled() => {
            drop(way);
            return Event::Left { name, reason: "it was let go".to_owned(), avoid: false };
        }
    };
    drop(way);
    let (reason, avoid) = match end {
        FetchEnd::Over => ("everything is there".to_owned(), false),
        // It serves others for now, or goes down: it may be asked again.
        FetchEnd::Lost(error) => (chain(&error).to_string(), false),
        FetchEnd::Disorder => ("it sent a chunk that was not requested".to_owned(), true),
        FetchEnd::Distrusted | FetchEnd::Moved(_) | FetchEnd::Gone(_) => {
            ("it is of no use".to_owned(), true)
        }
    };
    Event::Left {
        name,
        reason,
        avoid,
    }
}

/// Waits until nothing has come for a while.
async fn silent(connection: &AgentConnection) {
    let (mut last, mut silent) = (connection.heard_bytes(), Duration::ZERO);
    while silent < SILENT_AFTER {
        tokio::time::sleep(LISTEN_EVERY).await;
        let now = connection.heard_bytes();
        silent = if now == last {
            silent + LISTEN_EVERY
        } else {
            Duration::ZERO
        };
        last = now;
    }
}
