//! What is said to a session's thread, and how it is opened.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use bytes::Bytes;
use foghorn_multicast::{
    ChunkNumber, ChunkSet, Epoch, IpVersion, JoinError, KeyMaterial, Phase, Rate, ReceiverId, Report, Sender,
    SenderConfig, SenderStatus, SessionTag, Suite, Time, Unavailable, symbol_size_for,
};
use foghorn_transport::multicast::{GroupSender, InterfaceChoice, SessionTerms};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::courtesy::Courtesy;
use super::drive::Drive;
use super::order::MulticastTerms;
use super::start::StartRule;
use super::{OpenSessionError, loader};
use crate::disk::Disk;
use crate::sessions::ServedImage;

/// Commands that may wait for the thread; it looks after every burst of packets.
const COMMANDS: usize = 1024;
/// How soon a command that found no room is tried again.
const TRY_AGAIN: Duration = Duration::from_millis(5);
/// Receivers of one session may sit behind any Ethernet, so packets are not larger than that carries everywhere.
const LARGEST_MTU: usize = 1500;

/// What is said to the thread of a session.
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
    /// With a reason when it goes on by unicast.
    Leave {
        receiver: ReceiverId,
        membership: u64,
        reason: Option<String>,
    },
    Expel {
        receiver: ReceiverId,
    },
    Chunk {
        number: ChunkNumber,
        bytes: Result<Bytes, Unavailable>,
    },
    Settings {
        max_rate: Option<Rate>,
        start: StartRule,
    },
}

/// What the thread says to a member.
pub(super) enum News {
    Key(KeyMaterial),
    Fetch(ChunkSet),
    Demoted { reason: String, rest: Option<Duration> },
    Over { reason: String },
}

/// How a session does.
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
    courtesy: Courtesy,
    /// How many distinct chunks the image has.
    pub(super) chunks: u32,
}

impl SessionHandle {
    /// Says something that may get lost.
    pub(super) fn try_tell(&self, command: Command) {
        // Full: the thread is late, and what it hears next says more. Gone: the session is over.
        drop(self.commands.try_send(command));
    }

    /// Says something that must arrive; false when the session is over.
    pub(super) async fn tell(&self, command: Command) -> bool {
        deliver(&self.commands, command).await
    }

    pub(super) fn status(&self) -> SessionStatus {
        self.status.borrow().clone()
    }

    /// Whether it sends, and so needs its part of the budget.
    pub(super) fn is_busy(&self) -> bool {
        matches!(self.status.borrow().sender.phase, Phase::Sending | Phase::Settling)
    }

    /// Whether `bytes` may go to a client of this session now, and if not, how long that will take at least.
    pub(super) fn may_fetch(&self, receiver: ReceiverId, bytes: u64) -> Result<(), Duration> {
        let status = self.status.borrow();
        if status.sender.phase == Phase::Sending && status.unicast.contains_key(&receiver) {
            self.courtesy.ask(bytes, status.sender.rate, Instant::now())?;
            self.try_tell(Command::Beside { bytes });
        }
        Ok(())
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

/// All that a session is made of.
pub(super) struct Opening {
    pub(super) terms: MulticastTerms,
    pub(super) image: Arc<ServedImage>,
    pub(super) local: Option<IpAddr>,
    pub(super) max_rate: Option<Rate>,
    pub(super) cancel: CancellationToken,
}

impl Opening {
    /// Opens the group and starts the thread and the loader under `tasks`.
    pub(super) async fn open(self, disk: Disk, tasks: &TaskTracker) -> Result<SessionHandle, OpenSessionError> {
        let Self { terms, image, local, max_rate, cancel } = self;
        let interface = match (&terms.interface, local) {
            (Some(named), _) => named.clone(),
            (None, Some(local)) => InterfaceChoice::Address(local.to_canonical()),
            (None, None) => return Err(OpenSessionError::NoInterface),
        };
        let (group, ttl) = (terms.group, terms.ttl);
        // Reads tables of the kernel and decodes the manifest.
        let opened = tokio::task::spawn_blocking(move || -> Result<_, OpenSessionError> {
            let chunks = image.in_disk_order()?;
            Ok((GroupSender::open(group, &interface, ttl, true)?, chunks, image))
        });
        let (socket, chunks, image) = opened.await.map_err(|_| OpenSessionError::ShuttingDown)??;
        let count = u32::try_from(chunks.len()).unwrap_or(u32::MAX);
        let ip = if group.is_ipv4() { IpVersion::V4 } else { IpVersion::V6 };
        let mtu = socket.mtu().min(LARGEST_MTU);
        let symbol_size = symbol_size_for(mtu, ip).ok_or(OpenSessionError::Mtu(mtu))?;
        let mut config = SenderConfig::new(count, symbol_size, ip);
        (config.max_rate, config.floor) = (max_rate, terms.floor);
        let seed = random(getrandom::u64)?;
        let sender = Sender::new(config, seed, Time::default())?;
        let hears = SessionTerms {
            group,
            source: socket.source(),
            source_specific: terms.source_specific,
            symbol_size: u16::try_from(symbol_size).expect("a symbol is shorter than a packet"),
            key: new_key(SessionTag(random(getrandom::u32)?), Epoch(0))?,
        };
        let (commands, inbox) = sync_channel(COMMANDS);
        let (wanted, numbers) = mpsc::channel(COMMANDS);
        let status = SessionStatus { sender: sender.status(), unicast: BTreeMap::new() };
        let (status_sender, status) = watch::channel(status);
        tasks.spawn(loader::load(disk, chunks, image, numbers, commands.clone(), cancel.clone()));
        let drive = Drive::new(sender, socket, hears, terms.start, inbox, wanted, status_sender, cancel.clone());
        let span = tracing::info_span!("multicast", session = terms.session, group = %group);
        tasks.spawn_blocking(move || span.in_scope(|| drive.run()));
        Ok(SessionHandle { commands, status, over: cancel, courtesy: Courtesy::default(), chunks: count })
    }
}

/// A key that nobody has had before.
pub(super) fn new_key(session: SessionTag, epoch: Epoch) -> Result<KeyMaterial, OpenSessionError> {
    let mut secret = [0; 32];
    random(|| getrandom::fill(&mut secret))?;
    Ok(KeyMaterial { session, epoch, suite: Suite::for_this_processor(), secret })
}

fn random<T>(draw: impl FnOnce() -> Result<T, getrandom::Error>) -> Result<T, OpenSessionError> {
    draw().map_err(|error| OpenSessionError::Randomness(error.to_string()))
}
