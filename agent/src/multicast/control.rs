//! Commands to the thread of a session, messages from it to members, and the handle of a running
//! session.

use std::collections::BTreeMap;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::Duration;

use bytes::Bytes;
use foghorn_multicast::{
    ChunkSet, JoinError, KeyMaterial, Phase, ReceiverId, Report, SenderStatus, SessionChunk,
    Unavailable,
};
use foghorn_transport::multicast::SessionTerms;
use foghorn_types::BitRate;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::pace::Standing;
use super::start::StartRule;

/// How soon a command that found no room is tried again.
const TRY_AGAIN: Duration = Duration::from_millis(5);

/// A command to the thread of a session.
pub(super) enum Command {
    Join {
        receiver: ReceiverId,
        /// Tells one membership of a receiver from a later one.
        membership: u64,
        wants: ChunkSet,
        news: mpsc::Sender<News>,
        answer: oneshot::Sender<Result<SessionTerms, JoinError>>,
    },
    Want {
        receiver: ReceiverId,
        chunks: ChunkSet,
    },
    Have {
        receiver: ReceiverId,
        chunks: ChunkSet,
    },
    Report {
        receiver: ReceiverId,
        report: Report,
        /// Bytes that its connection has carried to it so far, headers included.
        carried: u64,
    },
    /// So many bytes are about to go to a receiver that is not a member.
    Beside {
        bytes: u64,
    },
    /// With a reason when it continues by unicast.
    Leave {
        receiver: ReceiverId,
        membership: u64,
        reason: Option<String>,
    },
    Expel {
        receiver: ReceiverId,
    },
    Chunk {
        number: SessionChunk,
        bytes: Result<Bytes, Unavailable>,
    },
    Settings {
        max_rate: Option<BitRate>,
        start: StartRule,
    },
}

fn is_member(status: &SessionStatus, receiver: ReceiverId) -> bool {
    let mut receivers = status.sender.receivers.iter();
    receivers.any(|member| member.receiver == receiver)
}

/// A message from the thread to a member.
pub(super) enum News {
    Key(KeyMaterial),
    Fetch(ChunkSet),
    Demoted {
        reason: String,
        rest: Option<Duration>,
    },
    Over {
        reason: String,
    },
}

/// The state of a session.
#[derive(Clone, Debug)]
pub(super) struct SessionStatus {
    pub(super) sender: SenderStatus,
    /// Receivers that went on by unicast, and why.
    pub(super) unicast: BTreeMap<ReceiverId, String>,
}

/// A running session.
pub(super) struct SessionHandle {
    commands: SyncSender<Command>,
    status: watch::Receiver<SessionStatus>,
    over: CancellationToken,
    /// How many distinct chunks the image has.
    pub(super) chunks: u32,
}

impl SessionHandle {
    /// `over` ends the session's thread when it is cancelled, and is cancelled by the thread when
    /// the session is over.
    pub(super) fn new(
        commands: SyncSender<Command>,
        status: watch::Receiver<SessionStatus>,
        over: CancellationToken,
        chunks: u32,
    ) -> Self {
        Self {
            commands,
            status,
            over,
            chunks,
        }
    }

    /// Sends a command that may get lost.
    pub(super) fn try_tell(&self, command: Command) {
        // Full: the thread is late, and what it hears next says more. Gone: the session is over.
        drop(self.commands.try_send(command));
    }

    /// Sends a command that must arrive; false when the session is over.
    pub(super) async fn tell(&self, command: Command) -> bool {
        deliver(&self.commands, command).await
    }

    pub(super) fn status(&self) -> SessionStatus {
        self.status.borrow().clone()
    }

    /// Whether it sends, and so needs its part of the budget.
    pub(super) fn is_busy(&self) -> bool {
        matches!(
            self.status.borrow().sender.phase,
            Phase::Sending | Phase::Settling
        )
    }

    /// How a client of this session stands to its stream now.
    pub(super) fn standing(&self, receiver: ReceiverId) -> Standing {
        let status = self.status.borrow();
        match status.sender.phase {
            Phase::Sending if status.unicast.contains_key(&receiver) => Standing::Outside {
                stream: status.sender.rate,
            },
            Phase::Sending if is_member(&status, receiver) => Standing::Inside,
            _ => Standing::Alone,
        }
    }

    /// So many bytes are about to go out beside the stream, which makes room for them.
    pub(super) fn make_room(&self, bytes: u64) {
        self.try_tell(Command::Beside { bytes });
    }

    /// Whether it has begun to send.
    pub(super) fn has_started(&self) -> bool {
        self.status.borrow().sender.phase != Phase::Waiting
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.is_cancelled()
    }

    /// Ends the session; its thread notices within a few milliseconds.
    pub(super) fn end(&self) {
        self.over.cancel();
    }
}

impl Drop for SessionHandle {
    fn drop(&mut self) {
        self.over.cancel();
    }
}

/// Waits for room in the queue of a thread; false when the thread is gone.
pub(super) async fn deliver(commands: &SyncSender<Command>, mut command: Command) -> bool {
    loop {
        match commands.try_send(command) {
            Ok(()) => return true,
            Err(TrySendError::Disconnected(_)) => return false,
            Err(TrySendError::Full(back)) => command = back,
        }
        tokio::time::sleep(TRY_AGAIN).await;
    }
}
