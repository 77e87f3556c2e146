//! Receives chunks from a multicast session: one stream for many machines, beside the fetch lanes.
//!
//! As long as a session is joined, the board leaves to it what the session was told is wanted, and
//! lanes fetch only what will not come that way. Whatever goes wrong with the session ends in the
//! same: lanes fetch the rest.
//!
//! ```text
//! group ══ packets ══▶ listen (thread) ──▶ verify …        as chunks of a lane
//!                        │      ▲
//!          reports, have ▼      │ key, fetch
//! agent ◀═══ control stream (this module) ═══▶
//! ```

mod listen;

use std::sync::Arc;
use std::time::Duration;

use foghorn_multicast::{ChunkSet, MAX_CHUNKS, Report};
use foghorn_transport::client::{MulticastListener, MulticastMember, MulticastNews};
use foghorn_transport::multicast::{GroupReceiver, InterfaceChoice, SessionTerms, in_image};
use foghorn_transport::{AgentConnection, StreamError};
use foghorn_types::chain;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use self::listen::{FromAgent, Listen};
use super::Queues;
use super::shared::Shared;
use crate::progress::Path;

/// How long the agent may take to answer a join; it may have to open the session and decode a
/// manifest.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// When to look whether there is something to join for again, after a session has ended in the
/// normal way.
const SOON: Duration = Duration::from_secs(1);
/// Messages between the thread and this module.
const MESSAGES: usize = 64;

/// A message from the thread to the agent.
enum ToAgent {
    Report(Report),
    Have(ChunkSet),
    Want(ChunkSet),
    /// The session is of no use; continue by unicast.
    GiveUp(String),
}

/// How a membership ended.
enum MembershipEnd {
    /// The session may be joined again after this long.
    Again(Duration),
    /// Not on this connection any more, for this reason.
    Never(String),
    /// The connection is lost, which others notice and act on.
    Disconnected,
}

/// Leaves chunks to the agent's multicast session if it offers one. To be called before lanes are
/// opened on the connection, which would take the chunks otherwise.
pub(super) fn expect<'a>(shared: &'a Shared, connection: &AgentConnection) -> Option<Leaving<'a>> {
    // The chunks of a larger image have no numbers in a session.
    let fits = shared.plan.count() <= MAX_CHUNKS;
    (fits && connection.offers_multicast()).then(|| Leaving::begin(shared))
}

/// Takes chunks from the multicast session that was expected, as long as the connection lives. Does
/// not return.
pub(super) async fn hear(
    shared: &Arc<Shared>,
    connection: &AgentConnection,
    queues: &Queues,
    expected: Option<Leaving<'_>>,
) {
    if let Some(leaving) = expected {
        follow(shared, connection, queues, leaving).await;
    }
    std::future::pending().await
}

async fn follow(
    shared: &Arc<Shared>,
    connection: &AgentConnection,
    queues: &Queues,
    expected: Leaving<'_>,
) {
    let mut changes = shared.watch();
    let mut leaving = Some(expected);
    let mut first = true;
    loop {
        loop {
            // The first join also tells the agent that this machine is there.
            let (over, worth_it) = {
                let board = shared.board();
                (
                    board.complete(),
                    board.is_sampled() && (first || board.lacks_something()),
                )
            };
            if worth_it && !over {
                break;
            }
            if over || changes.changed().await.is_err() {
                return;
            }
        }
        first = false;
        let held = leaving.take().unwrap_or_else(|| Leaving::begin(shared));
        let wants = shared.update(super::board::Board::stream_wants);
        let left = membership(shared, connection, queues, wants).await;
        drop(held);
        shared.progress.set_path(Path::Unicast);
        match left {
            MembershipEnd::Again(rest) => tokio::time::sleep(rest).await,
            MembershipEnd::Never(reason) => {
                tracing::warn!(reason, "no multicast; continuing by unicast");
                shared.progress.set_unicast_reason(reason);
                return;
            }
            MembershipEnd::Disconnected => return,
        }
    }
}

/// While it lives, the board leaves chunks to the session.
pub(super) struct Leaving<'a>(&'a Shared);

impl<'a> Leaving<'a> {
    fn begin(shared: &'a Shared) -> Self {
        shared.update(super::board::Board::stream_begins);
        Self(shared)
    }
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.update(super::board::Board::stream_ends);
    }
}

async fn membership(
    shared: &Arc<Shared>,
    connection: &AgentConnection,
    queues: &Queues,
    wants: ChunkSet,
) -> MembershipEnd {
    shared.progress.set_path(Path::Waiting);
    let chunks = shared.plan.count();
    let Ok((member, mut news)) = connection.join_multicast(chunks, &wants).await else {
        return MembershipEnd::Disconnected;
    };
    let terms = match timeout(ANSWER_WITHIN, news.next()).await {
        Ok(Some(Ok(MulticastNews::Joined(terms)))) => terms,
        Ok(answer) => return not_joined(answer),
        Err(_) => {
            return MembershipEnd::Never("the agent did not answer the request to join".to_owned());
        }
    };
    tracing::info!(group = %terms.group, wanted = wants.len(), "joining the multicast session");
    match open(connection, &terms).await {
        Ok(socket) => {
            let stop = CancellationToken::new();
            let _stop = stop.clone().drop_guard();
            let (to_agent, from_thread) = mpsc::channel(MESSAGES);
            let (to_thread, from_agent) = mpsc::channel(MESSAGES);
            let listen = Listen::new(shared.clone(), &terms, chunks, wants, socket, queues);
            let Some(listen) = listen else {
                return MembershipEnd::Never(
                    "the parameters of the session are not valid".to_owned(),
                );
            };
            // The thread ends with the token, whatever becomes of this future.
            let mut thread = JoinSet::new();
            thread.spawn_blocking(move || listen.run(&to_agent, from_agent, &stop));
            converse(shared, connection, member, news, from_thread, &to_thread)
                .instrument(tracing::info_span!("receive", group = %terms.group))
                .await
        }
        Err(reason) => {
            // The connection may be lost, too; then the agent knows.
            let _ = member.leave(&reason).await;
            MembershipEnd::Never(reason)
        }
    }
}

fn not_joined(answer: Option<Result<MulticastNews, StreamError>>) -> MembershipEnd {
    match answer {
        Some(Ok(MulticastNews::Demoted { reason, rest })) => demoted(reason, rest),
        Some(Ok(MulticastNews::Over { .. })) | None => MembershipEnd::Again(SOON),
        Some(Ok(_)) => MembershipEnd::Never(
            "the agent's answer to the request to join is not valid".to_owned(),
        ),
        Some(Err(StreamError::Refused { reason })) => MembershipEnd::Never(reason),
        Some(Err(_)) => MembershipEnd::Disconnected,
    }
}

fn demoted(reason: String, rest: Option<Duration>) -> MembershipEnd {
    match rest {
        Some(rest) => {
            tracing::warn!(
                reason,
                rest_s = rest.as_secs(),
                "left the multicast session for a while"
            );
            MembershipEnd::Again(rest)
        }
        None => MembershipEnd::Never(reason),
    }
}

async fn open(connection: &AgentConnection, terms: &SessionTerms) -> Result<GroupReceiver, String> {
    let local = connection
        .local_ip()
        .ok_or("there is no route to the agent any more")?;
    let (group, source, specific) = (terms.group, terms.source, terms.source_specific);
    let joining =
        move || GroupReceiver::join(group, source, specific, &InterfaceChoice::Address(local));
    match tokio::task::spawn_blocking(joining).await {
        Ok(joined) => joined.map_err(|error| chain(&error).to_string()),
        Err(_) => Err("the system is shutting down".to_owned()),
    }
}

/// Carries messages between the thread and the agent until one of them has had enough.
async fn converse(
    shared: &Shared,
    connection: &AgentConnection,
    mut member: MulticastMember,
    mut news: MulticastListener,
    mut from_thread: mpsc::Receiver<ToAgent>,
    to_thread: &mpsc::Sender<FromAgent>,
) -> MembershipEnd {
    loop {
        tokio::select! {
            message = from_thread.recv() => {
                let told = match message {
                    Some(ToAgent::Report(report)) => {
                        connection.report_multicast(&report);
                        Ok(())
                    }
                    Some(ToAgent::Have(chunks)) => member.have(&chunks).await,
                    Some(ToAgent::Want(chunks)) => member.want(&chunks).await,
                    Some(ToAgent::GiveUp(reason)) => {
                        let _ = member.leave(&reason).await;
                        return MembershipEnd::Never(reason);
                    }
                    None => return MembershipEnd::Again(SOON),
                };
                // What the agent has said before it ended the stream is still to be read.
                if told.is_err() {
                    from_thread.close();
                }
            }
            said = news.next() => match said {
                Some(Ok(MulticastNews::Key(key))) => drop(to_thread.send(FromAgent::Key(key)).await),
                Some(Ok(MulticastNews::Fetch(chunks))) => {
                    shared.update(|board| board.released(chunks.iter().map(in_image)));
                    drop(to_thread.send(FromAgent::Fetch(chunks)).await);
                }
                said => return not_joined(said),
            }
        }
    }
}
