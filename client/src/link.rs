//! The session with an agent, across lost connections: which agent, when to try again, when to give
//! up.

mod finder;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use foghorn_transport::client::{ConnectError, FinishError, StoreManifestError};
use foghorn_transport::{
    AgentConnection, ClientOutcome, ClientProgress, Hello, Identity, SessionKind, Source,
};
use foghorn_types::chain;

use foghorn_proto::http::{IS_COMPLETE, Order};

pub use self::finder::{Finder, Ways};
use crate::check_in::{CheckInError, Contact};
use crate::display;
use tokio_util::sync::CancellationToken;

/// How long a lost agent is looked for before the task fails.
pub const DEFAULT_PATIENCE: Duration = Duration::from_secs(300);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How often the controller hears that an agent is still silent; it may have been restarted.
const TELL_AGAIN: Duration = Duration::from_secs(30);
/// How often a connection is looked at, and after how long without a byte the controller is asked
/// whether another node serves the task. Both ends send something every two seconds.
const LISTEN_EVERY: Duration = Duration::from_millis(500);
const SILENT_AFTER: Duration = Duration::from_secs(3);
/// How long the controller may hold the question who serves the task.
const ORDER_WAIT: Duration = Duration::from_secs(20);
/// A connection that lasted this long was a good one.
const STEADY: Duration = Duration::from_secs(5);

/// What people at the machine and at the firewall look for.
fn blocked(address: &str) -> String {
    let (host, port) = address.rsplit_once(':').unwrap_or((address, "?"));
    format!("UDP {port} to {host} is blocked: the controller answers, the storage node does not")
}

#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    #[error("stopped while looking for an agent")]
    Stopped,
    #[error("{what}, for {} s", patience.as_secs())]
    Blocked {
        /// In words.
        what: String,
        patience: Duration,
    },
    #[error("the task has ended: {reason}")]
    Ended { reason: String },
    #[error("no agent could be reached for {} s", patience.as_secs())]
    GaveUp {
        patience: Duration,
        source: ConnectError,
    },
    #[error("agents have accepted and lost connections for {} s", patience.as_secs())]
    Unsteady { patience: Duration },
    #[error("no agent serves this task")]
    Refused(#[source] ConnectError),
    #[error("the agent has a different order for this task: {found:?} instead of {expected:?}")]
    OtherOrder {
        expected: SessionKind,
        found: SessionKind,
    },
    #[error("the controller did not confirm the end of the task")]
    Finish(#[source] FinishError),
    #[error("the agent lost the image at the end of the task and did not accept it again")]
    StoreAgain(#[source] StoreManifestError),
}

/// What to connect to, as whom, for what.
#[derive(Clone, Debug)]
pub struct LinkConfig {
    /// Best first; never empty.
    pub sources: Vec<Source>,
    pub identity: Identity,
    pub hello: Hello,
    pub kind: SessionKind,
    pub patience: Duration,
}

/// The session: at most one connection at a time, made when needed.
#[derive(Debug)]
pub struct TaskLink {
    config: LinkConfig,
    at: usize,
    connection: Option<AgentConnection>,
    connected_at: Option<Instant>,
    /// Since when, and how many times, connections have come and gone without lasting.
    unsteady: Option<(Instant, u32)>,
    last_report: Option<ClientProgress>,
    had_connection: bool,
    /// Who is told when no agent answers.
    contact: Option<Contact>,
    /// Who knows further sources.
    finder: Option<Arc<dyn Finder>>,
    /// What was last said to have come from elsewhere.
    elsewhere: u64,
    stop: CancellationToken,
}

/// Where the sources of a task come from.
#[derive(Clone, Debug)]
pub struct Elsewhere {
    contact: Contact,
    sources: Vec<Source>,
}

/// The controller's word on who serves the task.
enum Word {
    /// Others than before.
    Moved(Vec<Source>),
    Same,
    /// Nobody for now.
    Nobody,
    /// The controller could not be asked.
    Unknown,
}

/// Who serves the task, as the controller says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Serves {
    /// Others than before, which are the sources now.
    Other,
    Same,
    /// Nobody for now, or the controller could not be asked.
    Unclear,
}

impl Elsewhere {
    async fn ask(&self, wait: Duration) -> Result<Word, LinkError> {
        let contact = self.contact.clone();
        let asked = tokio::task::spawn_blocking(move || contact.order(wait)).await;
        match asked {
            Ok(Ok(Some(order))) => {
                let sources = sources_of(&order, &self.contact);
                let known = |source: &Source| self.sources.contains(source);
                // In another order they are the same.
                if sources.is_empty() || sources.iter().all(known) {
                    return Ok(Word::Same);
                }
                Ok(Word::Moved(sources))
            }
            Ok(Ok(None)) => Ok(Word::Nobody),
            Ok(Err(CheckInError::NoTask { reason })) => Err(LinkError::Ended { reason }),
            Ok(Err(error)) => {
                tracing::warn!(error = %chain(&error), "the controller does not say who serves the task");
                Ok(Word::Unknown)
            }
            Err(_) => Ok(Word::Unknown),
        }
    }

    /// Asks the controller while nothing is heard on a connection (its `heard` bytes stay the same);
    /// returns the sources of the node that has taken the task over.
    ///
    /// # Errors
    /// The task has ended.
    pub async fn when_silent(self, heard: impl Fn() -> u64) -> Result<Vec<Source>, LinkError> {
        let (mut last, mut silent) = (heard(), Duration::ZERO);
        loop {
            tokio::time::sleep(LISTEN_EVERY).await;
            let now = heard();
            silent = if now == last {
                silent + LISTEN_EVERY
            } else {
                Duration::ZERO
            };
            last = now;
            if silent >= SILENT_AFTER
                && let Word::Moved(sources) = self.ask(Duration::ZERO).await?
            {
                return Ok(sources);
            }
        }
    }
}

/// The sources of an order, best first: of several addresses of a node, the one beside the
/// controller is in a network that this machine reaches.
#[must_use]
pub fn sources_of(order: &Order, contact: &Contact) -> Vec<Source> {
    best_first(&order.sources, contact)
}

fn best_first(sources: &[foghorn_proto::http::Source], contact: &Contact) -> Vec<Source> {
    let mut sources: Vec<Source> = sources
        .iter()
        .map(|source| Source {
            address: source.address.clone(),
            server_name: source.server_name.clone(),
        })
        .collect();
    sources.sort_by_key(|source| !contact.is_beside(&source.address));
    sources
}

/// Attempts that nobody answered.
#[derive(Debug, Default)]
struct Silence {
    /// In a row.
    attempts: usize,
    told_at: Option<Instant>,
    /// What is known about it, in words.
    what: Option<String>,
}

impl TaskLink {
    /// Connects nothing yet. `stop` ends waiting for an agent.
    #[must_use]
    pub fn new(config: LinkConfig, stop: CancellationToken) -> Self {
        Self {
            config,
            at: 0,
            connection: None,
            connected_at: None,
            unsteady: None,
            last_report: None,
            had_connection: false,
            contact: None,
            finder: None,
            elsewhere: 0,
            stop,
        }
    }

    /// Tells the controller when no agent answers, and asks it for further sources.
    #[must_use]
    pub fn telling(mut self, contact: Contact) -> Self {
        self.finder = Some(Arc::new(contact.clone()));
        self.contact = Some(contact);
        self
    }

    /// Asks another one for further sources.
    #[must_use]
    pub fn finding(mut self, finder: Arc<dyn Finder>) -> Self {
        self.finder = Some(finder);
        self
    }

    /// What it takes to fetch from further sources; `None` if nobody knows any.
    #[must_use]
    pub fn ways(&self) -> Option<Ways> {
        Some(Ways {
            finder: self.finder.clone()?,
            identity: self.config.identity.clone(),
            hello: self.config.hello.clone(),
            kind: self.config.kind,
        })
    }

    /// The name in the certificate of the node that is, or was last, connected.
    #[must_use]
    pub fn server_name(&self) -> &str {
        let source = self.config.sources.get(self.at);
        source.map_or("", |source| source.server_name.as_str())
    }

    /// Says how many compressed bytes came from other nodes than the one that has the task.
    pub fn report_elsewhere(&mut self, bytes: u64) {
        self.elsewhere = bytes;
        if let Some(connection) = &self.connection {
            connection.report_elsewhere(bytes);
        }
    }

    #[must_use]
    pub fn source_count(&self) -> usize {
        self.config.sources.len()
    }

    /// The connection, made now if there is none: each source in turn, with growing pauses, until
    /// patience ends.
    ///
    /// # Errors
    /// When no source can be reached in time, every source refuses for good, or the transfer was
    /// stopped.
    pub async fn connection(&mut self) -> Result<&AgentConnection, LinkError> {
        if self.connection.is_none() {
            self.connection = Some(self.connect().await?);
            self.had_connection = true;
            self.connected_at = Some(Instant::now());
        }
        Ok(self.connection.as_ref().expect("it was just put there"))
    }

    /// Sends a report on the connection there is; nobody waits for it.
    pub fn report(&mut self, progress: ClientProgress) {
        self.last_report = Some(progress);
        if let Some(connection) = &self.connection {
            connection.report(progress);
        }
    }

    /// What tells of another node that takes the task over; `None` if the controller is not told.
    #[must_use]
    pub fn elsewhere(&self) -> Option<Elsewhere> {
        Some(Elsewhere {
            contact: self.contact.clone()?,
            sources: self.config.sources.clone(),
        })
    }

    /// Drops the connection; the next one is made to one of these sources.
    pub fn move_to(&mut self, sources: Vec<Source>) {
        self.connection = None;
        self.note_end();
        self.take_over(sources);
    }

    fn take_over(&mut self, sources: Vec<Source>) {
        if let Some(first) = sources.first() {
            display::line(&format!(
                "another storage node takes over: {}",
                first.address
            ));
            (self.config.sources, self.at) = (sources, 0);
        }
    }

    /// Asks the controller who serves the task, and waits a while if nobody does.
    async fn ask_who_serves(&mut self) -> Result<Serves, LinkError> {
        let Some(elsewhere) = self.elsewhere() else {
            return Ok(Serves::Unclear);
        };
        let word = tokio::select! {
            biased;
            () = self.stop.cancelled() => return Err(LinkError::Stopped),
            word = elsewhere.ask(ORDER_WAIT) => word?,
        };
        match word {
            Word::Moved(sources) => {
                self.take_over(sources);
                Ok(Serves::Other)
            }
            Word::Same => Ok(Serves::Same),
            Word::Unknown => Ok(Serves::Unclear),
            Word::Nobody => {
                tracing::info!("the task waits for a storage node");
                Ok(Serves::Unclear)
            }
        }
    }

    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.connection.is_some()
    }

    /// Drops the connection; the next one is made to the next source.
    pub fn move_on(&mut self) {
        self.connection = None;
        self.note_end();
        self.at = (self.at + 1) % self.config.sources.len();
    }

    fn note_end(&mut self) {
        let lasted = self
            .connected_at
            .take()
            .map_or(Duration::ZERO, |at| at.elapsed());
        self.unsteady = match self.unsteady {
            _ if lasted >= STEADY => None,
            None => Some((Instant::now(), 1)),
            Some((since, times)) => Some((since, times + 1)),
        };
    }

    async fn pause(&self, length: Duration) -> Result<(), LinkError> {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(LinkError::Stopped),
            () = tokio::time::sleep(length) => Ok(()),
        }
    }

    async fn connect(&mut self) -> Result<AgentConnection, LinkError> {
        let begun = Instant::now();
        let patience = self.config.patience;
        let mut pause = FIRST_PAUSE;
        if let Some((since, times)) = self.unsteady {
            if since.elapsed() >= patience {
                return Err(LinkError::Unsteady { patience });
            }
            self.pause((FIRST_PAUSE * 2u32.saturating_pow(times.min(10) - 1)).min(LONGEST_PAUSE))
                .await?;
        }
        let (mut refusals, mut silence, mut attempts) = (0, Silence::default(), 0_usize);
        let mut reassured = false;
        // Whoever lost a connection may have lost the node.
        if self.had_connection {
            self.ask_who_serves().await?;
        }
        loop {
            let source = &self.config.sources[self.at];
            let attempt =
                AgentConnection::connect(source, &self.config.identity, self.config.hello.clone());
            let attempt = tokio::select! {
                biased;
                () = self.stop.cancelled() => return Err(LinkError::Stopped),
                attempt = attempt => attempt,
            };
            let error = match attempt {
                Ok(connection) => {
                    tracing::info!(address = source.address, "connected to the agent");
                    return self.accept(connection);
                }
                Err(error) => error,
            };
            tracing::warn!(
                address = source.address,
                error = %chain(&error),
                "could not connect to the agent"
            );
            refusals = if error.is_transient() {
                0
            } else {
                refusals + 1
            };
            attempts += 1;
            // Also of a refusal: a node that has given the task back does not serve it.
            let serves = if attempts.is_multiple_of(self.config.sources.len()) {
                self.ask_who_serves().await?
            } else {
                Serves::Unclear
            };
            if serves == Serves::Other {
                (refusals, attempts, silence) = (0, 0, Silence::default());
                pause = FIRST_PAUSE;
                continue;
            }
            if refusals >= self.config.sources.len() {
                // The node may not have heard yet what the controller has just said.
                if serves == Serves::Same && !reassured {
                    (reassured, refusals) = (true, 0);
                } else {
                    return Err(LinkError::Refused(error));
                }
            }
            let is_over = begun.elapsed() >= patience;
            let is_silent = matches!(error, ConnectError::NoAnswer { .. });
            self.note_silence(&mut silence, is_silent, is_over).await?;
            if is_over {
                return Err(match silence.what {
                    Some(what) => LinkError::Blocked { what, patience },
                    None => LinkError::GaveUp {
                        patience,
                        source: error,
                    },
                });
            }
            self.at = (self.at + 1) % self.config.sources.len();
            self.pause(pause).await?;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// When every source was silent, asks the controller whether the agent is there, which tells a
    /// blocked port from a node that is off.
    async fn note_silence(
        &self,
        silence: &mut Silence,
        is_silent: bool,
        is_over: bool,
    ) -> Result<(), LinkError> {
        if !is_silent {
            *silence = Silence::default();
            return Ok(());
        }
        silence.attempts += 1;
        let is_due = is_over || silence.told_at.is_none_or(|at| at.elapsed() >= TELL_AGAIN);
        let (Some(contact), true) = (
            &self.contact,
            is_due && silence.attempts >= self.config.sources.len(),
        ) else {
            return Ok(());
        };
        let address = self.config.sources[0].address.clone();
        let (contact, asked) = (contact.clone(), address.clone());
        let answer = tokio::task::spawn_blocking(move || contact.unreached(&asked, is_over));
        let answer = tokio::select! {
            biased;
            () = self.stop.cancelled() => return Err(LinkError::Stopped),
            answer = answer => answer,
        };
        silence.told_at = Some(Instant::now());
        let what = match answer {
            Ok(Ok(node)) if node.online => blocked(&address),
            Ok(Ok(node)) => format!("the storage node {} is offline", node.node),
            Ok(Err(CheckInError::NoTask { reason })) => return Err(LinkError::Ended { reason }),
            Ok(Err(CheckInError::Send { .. })) => {
                "neither the controller nor the storage node answers: check the network of this machine".to_owned()
            }
            // An older controller, or a node that was replaced just now.
            Ok(Err(_)) | Err(_) => return Ok(()),
        };
        if silence.what.as_ref() != Some(&what) {
            display::line(&format!("{what}; trying again"));
        }
        silence.what = Some(what);
        Ok(())
    }

    fn accept(&self, connection: AgentConnection) -> Result<AgentConnection, LinkError> {
        let (expected, found) = (self.config.kind, connection.kind());
        if found == expected {
            Ok(connection)
        } else {
            Err(LinkError::OtherOrder { expected, found })
        }
    }

    /// Tells how the task ended and waits until the controller has recorded it; tries again on a
    /// new connection when the old one is lost before the answer.
    ///
    /// # Errors
    /// When no agent could pass it on within the patience.
    pub async fn finish(&mut self, outcome: ClientOutcome) -> Result<(), LinkError> {
        self.conclude(outcome, None).await
    }

    /// As [`finish`](Self::finish) for a capture that is complete. On a new connection the manifest
    /// is stored once more before: an agent that was restarted does not remember whose it was,
    /// and would not believe that it is complete.
    ///
    /// # Errors
    /// When no agent could pass it on within the patience, or one will not have the manifest.
    pub async fn finish_capture(&mut self, manifest: Bytes) -> Result<(), LinkError> {
        self.conclude(ClientOutcome::Complete, Some(manifest)).await
    }

    async fn conclude(
        &mut self,
        outcome: ClientOutcome,
        manifest: Option<Bytes>,
    ) -> Result<(), LinkError> {
        loop {
            let is_new = self.connection.is_none();
            match self.connection().await {
                // The answer got lost, and the agent has forgotten what was recorded.
                Err(LinkError::Ended { reason })
                    if outcome == ClientOutcome::Complete && reason.ends_with(IS_COMPLETE) =>
                {
                    return Ok(());
                }
                Err(error) => return Err(error),
                Ok(_) => {}
            }
            let Some(connection) = self.connection.take() else {
                continue;
            };
            if let Some(manifest) = manifest.as_ref().filter(|_| is_new) {
                match connection.store_manifest(manifest.clone()).await {
                    Ok(_) => {}
                    Err(error) if error.is_transient() => {
                        tracing::warn!(error = %chain(&error), "the image is not confirmed yet");
                        self.note_end();
                        continue;
                    }
                    Err(error) => return Err(LinkError::StoreAgain(error)),
                }
            }
            if let Some(report) = self.last_report {
                connection.report(report);
            }
            if self.elsewhere > 0 {
                connection.report_elsewhere(self.elsewhere);
            }
            foghorn_faults::wait!("client.end.before");
            match connection.finish(outcome.clone()).await {
                // As if the answer had not come: the same end is told again.
                Ok(()) if foghorn_faults::lost!("client.end.confirmed") => self.note_end(),
                Ok(()) => return Ok(()),
                Err(error) if error.0.is_transient() => {
                    tracing::warn!(
                        error = %chain(&error),
                        "the end of the task is not confirmed yet"
                    );
                    self.note_end();
                }
                Err(error) => return Err(LinkError::Finish(error)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blocked_port_is_named_with_its_address() {
        assert_eq!(
            blocked("10.23.0.1:7472"),
            "UDP 7472 to 10.23.0.1 is blocked: the controller answers, the storage node does not"
        );
    }
}
