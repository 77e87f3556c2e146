//! The client's end: one connection to one agent for one task. Reconnecting and the choice of an
//! agent are the caller's.

mod connect;
mod lanes;
mod multicast;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use foghorn_image::ManifestPart;
use foghorn_multicast::{ChunkSet, Report};
use foghorn_types::{ByteCount, ChunkId, ManifestId, PartId, chain};
use quinn::Endpoint;
use tokio::task::JoinSet;
use tracing::debug;

pub use connect::{ConnectError, Source};
pub use lanes::{Ack, FetchRequests, Fetched, FetchedChunk, FetchedChunks, StoreAcks, StoreSender};
pub use multicast::{MulticastListener, MulticastMember, MulticastNews};

use crate::frame::{FrameReader, FrameWriter, OnDrop, StreamError};
use crate::identity::Identity;
use crate::link::QuicLink;
use crate::session::{CLOSE_DONE, ClientOutcome, ClientProgress, EndReason, Hello, SessionKind};
use crate::wire::{
    AgentMessage, ClientMessage, MAX_IDS, MAX_STORED_MANIFEST, WireDatagram, WireReport,
    decode_agent_message, decode_goodbye, encode,
};

/// How long a closing connection waits until the agent has heard of it.
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);

/// A session with an agent. Dropping it ends the session; the agent sees a client that went away.
#[derive(Debug)]
pub struct AgentConnection {
    endpoint: Endpoint,
    link: QuicLink,
    kind: SessionKind,
    offers_multicast: bool,
    reports: AtomicU64,
    last_report: Mutex<Option<ClientProgress>>,
    /// Listens for a goodbye.
    _tasks: JoinSet<()>,
}

/// The manifest could not be had.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what it is")]
pub enum FetchManifestError {
    #[error("could not fetch the manifest")]
    Stream(#[from] StreamError),
    #[error("the agent sent manifest {found}, but the session is for {expected}")]
    Mismatch {
        expected: ManifestId,
        found: ManifestId,
    },
    #[error("the agent sent part {found} of the manifest instead of part {expected}")]
    OtherPart { expected: PartId, found: PartId },
    #[error("a capture has no manifest to fetch")]
    Capture,
}

/// The agent's answer to which chunks it has could not be had.
#[derive(Debug, thiserror::Error)]
#[error("could not ask the agent which chunks it has")]
pub struct WhichAreStoredError(#[from] pub StreamError);

/// The manifest was not stored.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what it is")]
pub enum StoreManifestError {
    #[error("could not send the manifest")]
    Stream(#[from] StreamError),
    #[error("a manifest of {0} bytes is larger than an agent accepts")]
    TooLarge(usize),
    #[error("the agent stored manifest {found}, but {expected} was sent")]
    Mismatch {
        expected: ManifestId,
        found: ManifestId,
    },
    #[error("the agent stored part {found} of the manifest, but {expected} was sent")]
    OtherPart { expected: PartId, found: PartId },
}

/// Nobody confirmed that the end of the task was recorded; it may have been, or not.
#[derive(Debug, thiserror::Error)]
#[error("the end of the task was not confirmed")]
pub struct FinishError(#[from] pub StreamError);

impl FetchManifestError {
    /// Whether a new connection may succeed.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Stream(error) if error.is_transient())
    }
}

impl WhichAreStoredError {
    /// Whether a new connection may succeed.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.0.is_transient()
    }
}

impl StoreManifestError {
    /// Whether a new connection may succeed.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Stream(error) if error.is_transient())
    }
}

impl FinishError {
    /// Whether a new connection may succeed. Finishing twice does no harm.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.0.is_transient()
    }
}

impl AgentConnection {
    /// Bytes that came from the agent so far, of whatever kind: an agent that lives keeps sending,
    /// if only to say so.
    #[must_use]
    pub fn heard_bytes(&self) -> u64 {
        self.link.connection.stats().udp_rx.bytes
    }

    /// Connects, proves who both ends are, and waits until the agent says what the session is for.
    ///
    /// # Errors
    /// See [`ConnectError`]; its `is_transient` says whether trying again makes sense.
    pub async fn connect(
        source: &Source,
        identity: &Identity,
        hello: Hello,
    ) -> Result<Self, ConnectError> {
        let (endpoint, link, welcome) = connect::connect(source, identity, &hello).await?;
        let mut tasks = JoinSet::new();
        tasks.spawn(hear_goodbye(link.clone()));
        let (reports, last_report) = (AtomicU64::new(0), Mutex::new(None));
        let connect::Welcome {
            kind,
            multicast: offers_multicast,
        } = welcome;
        Ok(Self {
            endpoint,
            link,
            kind,
            offers_multicast,
            reports,
            last_report,
            _tasks: tasks,
        })
    }

    /// What the agent says this session is for.
    #[must_use]
    pub fn kind(&self) -> SessionKind {
        self.kind
    }

    /// Whether the image is also sent to a group that this client may join.
    #[must_use]
    pub fn offers_multicast(&self) -> bool {
        self.offers_multicast
    }

    /// Joins the multicast session of this deploy: `wants` are the chunks that this client lacks,
    /// by their number among the image's `chunks` distinct data chunks. At most one membership
    /// at a time.
    ///
    /// # Errors
    /// When the connection fails.
    pub async fn join_multicast(
        &self,
        chunks: u32,
        wants: &ChunkSet,
    ) -> Result<(MulticastMember, MulticastListener), StreamError> {
        let (mut writer, reader) = self.streams().await?;
        writer.set_on_drop(OnDrop::Finish);
        multicast::join(writer, reader, chunks, wants).await
    }

    /// Says how the multicast session arrives here. Never waits, and may be lost.
    pub fn report_multicast(&self, report: &Report) {
        let datagram = encode(&WireDatagram::Multicast(report.encode()));
        // Fails when the connection is over, which every other call will say.
        let _ = self.link.connection.send_datagram(datagram.into());
    }

    /// This machine's address towards the agent; `None` when there is no route any more.
    #[must_use]
    pub fn local_ip(&self) -> Option<IpAddr> {
        let remote = self.link.connection.remote_address();
        let any: IpAddr = if remote.is_ipv4() {
            Ipv4Addr::UNSPECIFIED.into()
        } else {
            Ipv6Addr::UNSPECIFIED.into()
        };
        // The connection's own socket is bound to no address; the kernel chooses one for a socket
        // that connects.
        let socket = std::net::UdpSocket::bind((any, 0)).ok()?;
        socket.connect(remote).ok()?;
        Some(socket.local_addr().ok()?.ip())
    }

    /// The encoded manifest of a deploy, checked against the id that the session names.
    ///
    /// # Errors
    /// When the connection fails, the agent cannot read the manifest, or what it sent is not that
    /// manifest.
    pub async fn fetch_manifest(&self) -> Result<Bytes, FetchManifestError> {
        let SessionKind::Deploy { manifest: expected } = self.kind else {
            return Err(FetchManifestError::Capture);
        };
        let (_writer, mut reader) = self.open(ClientMessage::FetchManifest).await?;
        let bytes = match reader.expect(decode_agent_message).await? {
            AgentMessage::Manifest { len } => reader.raw(len as usize).await?,
            other => return Err(refused(other, &reader, "a manifest").into()),
        };
        let found = ManifestId::of(&bytes);
        if found == expected {
            Ok(bytes)
        } else {
            Err(FetchManifestError::Mismatch { expected, found })
        }
    }

    /// A part of the manifest of a deploy, by its number; checked against the id that the manifest
    /// names.
    ///
    /// # Errors
    /// When the connection fails, the agent cannot read the part, or what it sent is not that part.
    pub async fn fetch_part(
        &self,
        number: u32,
        expected: PartId,
    ) -> Result<Bytes, FetchManifestError> {
        let (_writer, mut reader) = self.open(ClientMessage::FetchPart { number }).await?;
        let bytes = match reader.expect(decode_agent_message).await? {
            AgentMessage::Part { len } => reader.raw(len as usize).await?,
            other => return Err(refused(other, &reader, "a part of the manifest").into()),
        };
        match PartId::of(&bytes) {
            found if found == expected => Ok(bytes),
            found => Err(FetchManifestError::OtherPart { expected, found }),
        }
    }

    /// Stores a part of the manifest of a disk of `disk` bytes; returns when it is durable. All
    /// parts must be stored before the manifest that names them.
    ///
    /// # Errors
    /// When the connection fails, or the agent refuses: the parts are more than a disk of this size
    /// can have, its disk is full.
    pub async fn store_part(
        &self,
        disk: ByteCount,
        part: &ManifestPart,
    ) -> Result<(), StoreManifestError> {
        let len = part.bytes.len() as u32;
        let (mut writer, mut reader) = self.streams().await?;
        writer
            .send_with(&ClientMessage::StorePart { disk, len }, part.bytes.clone())
            .await?;
        match reader.expect(decode_agent_message).await? {
            AgentMessage::PartStored { id } if id == part.id => Ok(()),
            AgentMessage::PartStored { id: found } => Err(StoreManifestError::OtherPart {
                expected: part.id,
                found,
            }),
            other => Err(refused(other, &reader, "an answer to a part").into()),
        }
    }

    /// Opens a lane on which the agent sends chunks as they are asked for. Several lanes may be
    /// open at once.
    ///
    /// # Errors
    /// When the connection fails.
    pub async fn fetch_lane(&self) -> Result<(FetchRequests, FetchedChunks), StreamError> {
        let (mut writer, reader) = self.open(ClientMessage::OpenFetch).await?;
        writer.set_on_drop(OnDrop::Finish);
        Ok(lanes::fetch_lane(writer, reader))
    }

    /// Which of these chunks the agent has, in the order asked. Those it has stay until this
    /// capture ends.
    ///
    /// # Errors
    /// When the connection fails or the agent cannot tell.
    pub async fn which_are_stored(
        &self,
        ids: &[ChunkId],
    ) -> Result<Vec<bool>, WhichAreStoredError> {
        let mut all = Vec::with_capacity(ids.len());
        for ids in ids.chunks(MAX_IDS) {
            let (_writer, mut reader) = self
                .open(ClientMessage::WhichAreStored { ids: ids.to_vec() })
                .await?;
            match reader.expect(decode_agent_message).await? {
                AgentMessage::Stored { stored } if stored.len() == ids.len() => all.extend(stored),
                other => {
                    return Err(refused(other, &reader, "one answer per chunk asked about").into());
                }
            }
        }
        Ok(all)
    }

    /// Opens a lane on which chunks are sent to the agent and acknowledged when they are durable.
    ///
    /// # Errors
    /// When the connection fails.
    pub async fn store_lane(&self) -> Result<(StoreSender, StoreAcks), StreamError> {
        let (writer, reader) = self.open(ClientMessage::OpenStore).await?;
        Ok(lanes::store_lane(writer, reader))
    }

    /// Stores an encoded manifest; returns when it is durable. Every chunk it names must be stored
    /// before.
    ///
    /// # Errors
    /// When the connection fails, or the agent refuses: a chunk is missing, the bytes are not a
    /// manifest, its disk is full.
    pub async fn store_manifest(&self, manifest: Bytes) -> Result<ManifestId, StoreManifestError> {
        let len = u32::try_from(manifest.len())
            .ok()
            .filter(|len| *len <= MAX_STORED_MANIFEST);
        let len = len.ok_or(StoreManifestError::TooLarge(manifest.len()))?;
        let expected = ManifestId::of(&manifest);
        let (mut writer, mut reader) = self.streams().await?;
        writer
            .send_with(&ClientMessage::StoreManifest { len }, manifest)
            .await?;
        match reader.expect(decode_agent_message).await? {
            AgentMessage::ManifestStored { id } if id == expected => Ok(id),
            AgentMessage::ManifestStored { id: found } => {
                Err(StoreManifestError::Mismatch { expected, found })
            }
            other => Err(refused(other, &reader, "an answer to a manifest").into()),
        }
    }

    /// Says how far the client is. Never waits; a report may be lost, a newer one replaces it, and
    /// the last one is repeated by [`finish`](Self::finish).
    pub fn report(&self, progress: ClientProgress) {
        *self
            .last_report
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(progress);
        let number = self.reports.fetch_add(1, Ordering::Relaxed) + 1;
        let report = encode(&WireDatagram::Progress(WireReport {
            number,
            progress: progress.into(),
        }));
        // Fails only when the connection is over, which every other call will say.
        let _ = self.link.connection.send_datagram(report.into());
    }

    /// Says how many compressed bytes came from other agents so far. Never waits, and may be lost; the
    /// greatest one counts.
    pub fn report_elsewhere(&self, bytes: u64) {
        let report = encode(&WireDatagram::Elsewhere(bytes));
        // As above.
        let _ = self.link.connection.send_datagram(report.into());
    }

    /// Says how the client's part ended. Returns only after the agent said that the controller has
    /// recorded it, then closes the connection.
    ///
    /// # Errors
    /// When the connection ended before that; the end may have been recorded nevertheless.
    pub async fn finish(self, outcome: ClientOutcome) -> Result<(), FinishError> {
        let progress = *self
            .last_report
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let message = ClientMessage::Finished {
            outcome: outcome.into(),
            progress: progress.map(Into::into),
        };
        let (_writer, mut reader) = self.open(message).await?;
        match reader.expect(decode_agent_message).await? {
            AgentMessage::Recorded => {}
            other => return Err(refused(other, &reader, "that the end is recorded").into()),
        }
        self.link.connection.close(CLOSE_DONE, b"");
        // The agent has all it needs; this only spares it the wait for a silent peer.
        let _ = tokio::time::timeout(CLOSE_PATIENCE, self.endpoint.wait_idle()).await;
        Ok(())
    }

    /// Waits until the connection has ended and says why. Cancel-safe.
    pub async fn ended(&self) -> EndReason {
        self.link.ended().await
    }

    /// Bytes of UDP payload received and sent so far.
    #[must_use]
    pub fn wire_bytes(&self) -> (u64, u64) {
        let stats = self.link.connection.stats();
        (stats.udp_rx.bytes, stats.udp_tx.bytes)
    }

    async fn streams(&self) -> Result<(FrameWriter, FrameReader), StreamError> {
        let (send, receive) = self
            .link
            .connection
            .open_bi()
            .await
            .map_err(|error| self.link.lost(&error))?;
        let writer = FrameWriter::new(self.link.clone(), send, OnDrop::Reset);
        Ok((writer, FrameReader::new(self.link.clone(), receive)))
    }

    async fn open(&self, first: ClientMessage) -> Result<(FrameWriter, FrameReader), StreamError> {
        let (mut writer, reader) = self.streams().await?;
        writer.send(&first).await?;
        Ok((writer, reader))
    }
}

impl Drop for AgentConnection {
    fn drop(&mut self) {
        self.link.connection.close(CLOSE_DONE, b"");
    }
}

/// Waits for the one stream that an agent opens, which says why the session ends. What the lanes
/// still carry is of no use then, so the connection is closed at once, which also tells the agent
/// that it was heard.
async fn hear_goodbye(link: QuicLink) {
    let Ok(stream) = link.connection.accept_uni().await else {
        return;
    };
    let mut reader = FrameReader::new(link.clone(), stream);
    match reader.expect(decode_goodbye).await {
        Ok(goodbye) => link.end_and_close(goodbye.into()),
        Err(error) => debug!(error = %chain(&error), "the agent's goodbye could not be read"),
    }
}

/// An answer other than the one hoped for: a refusal in words, or a violation.
fn refused(message: AgentMessage, reader: &FrameReader, expected: &'static str) -> StreamError {
    match message {
        AgentMessage::RequestRefused { reason } => StreamError::Refused { reason },
        _ => reader.unexpected(expected),
    }
}
