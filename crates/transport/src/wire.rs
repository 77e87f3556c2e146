//! Messages as they travel: wire-only structs in postcard, each in a frame (`u32` little endian
//! length, then the body).
//!
//! Nothing outside this crate builds or keeps these; they are public so that their decoders can be
//! fuzzed.

#![allow(
    missing_docs,
    reason = "`session` documents the same terms, docs/protocol/quic.md the forms that travel"
)]

mod multicast;

use foghorn_multicast::Stage;
use foghorn_types::{ByteCount, ChunkId, ManifestId, PartId, TaskId};
use serde::{Deserialize, Serialize};

use crate::session::{
    CLOSE_CANCELLED, CLOSE_FAILED, CLOSE_INTERRUPTED, ClientOutcome, ClientProgress, EndReason,
    Hello, RefusalCode, SessionKind,
};

pub use multicast::{WireDatagram, WireKey, WireTerms, decode_datagram};
pub(crate) use multicast::{decode_chunks, encode_chunks};

/// Version of everything in this module. Goes up with every change of meaning.
pub const PROTOCOL_VERSION: u16 = 3;
/// Application protocol in the TLS handshake; changes only when even `Hello` cannot be read any
/// more.
pub const ALPN: &[u8] = b"foghorn/1";
/// Most bytes in a frame. Raw chunk and manifest bytes follow their frame and have limits of their
/// own.
pub const MAX_FRAME: usize = 256 << 10;
/// Most ids in one message; 32 bytes each, so a full message stays well below [`MAX_FRAME`].
pub const MAX_IDS: usize = 4096;
/// Most bytes of a chunk before compression.
pub const MAX_PLAIN: u32 = foghorn_image::CHUNK_SIZE as u32;
/// Most bytes of a chunk on the wire: zstd makes incompressible data a little larger (its bound is
/// 1/256 and a header).
pub const MAX_COMPRESSED: u32 = MAX_PLAIN + MAX_PLAIN / 128;
/// Most bytes of an encoded manifest that an agent sends: of version 1, as clients stored it up to
/// version 2 of the protocol.
pub const MAX_MANIFEST: u32 = 64 << 20;
/// Most bytes of an encoded manifest that a client may store: entries or parts, and room for all
/// notes and the largest table.
pub const MAX_STORED_MANIFEST: u32 = foghorn_image::MAX_INLINE as u32 + (8 << 20);
/// Most bytes of a part of a manifest.
pub const MAX_PART: u32 = foghorn_image::MAX_PART as u32;
/// Most bytes of a reason given in words; longer ones are cut.
pub const MAX_REASON: usize = 1024;

/// The first message of a client, on its first stream. The version comes before the body so that it
/// can always be read.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WireHello {
    pub task: TaskId,
    pub software: String,
    pub traceparent: String,
}

/// What a client sends: the first frame of a stream says what the stream is for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ClientMessage {
    /// Opens a stream: send me the manifest of this session.
    FetchManifest,
    /// Opens a fetch lane. `Want` frames follow.
    OpenFetch,
    /// On a fetch lane: send these chunks, in this order.
    Want { ids: Vec<ChunkId> },
    /// Opens a stream: which of these do you have?
    WhichAreStored { ids: Vec<ChunkId> },
    /// Opens a store lane. `Chunk` frames follow.
    OpenStore,
    /// On a store lane: `compressed_len` raw bytes follow the frame.
    Chunk {
        id: ChunkId,
        plain_len: u32,
        compressed_len: u32,
    },
    /// Opens a stream: `len` raw bytes follow the frame.
    StoreManifest { len: u32 },
    /// Opens a stream: I am through; `progress` is how far I came.
    Finished {
        outcome: WireOutcome,
        progress: Option<WireProgress>,
    },
    /// Opens the control stream of a multicast session: I would hear it, I want these of the
    /// image's `chunks`.
    JoinMulticast { chunks: u32, wants: Vec<u8> },
    /// On a control stream: these are right.
    MulticastHave { chunks: Vec<u8> },
    /// On a control stream: I want these, too.
    MulticastWant { chunks: Vec<u8> },
    /// On a control stream: I continue by unicast.
    MulticastLeave { reason: String },
    /// Opens a stream: send me this part of the session's manifest, counted from 0.
    FetchPart { number: u32 },
    /// Opens a stream: a part of the manifest to come, of a disk of `disk` bytes. `len` raw bytes
    /// follow the frame.
    StorePart { disk: ByteCount, len: u32 },
}

/// What an agent sends on a stream that a client opened.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum AgentMessage {
    /// Answers `Hello`.
    Welcome { kind: WireKind, multicast: bool },
    /// Answers `FetchManifest`: `len` raw bytes follow the frame.
    Manifest { len: u32 },
    /// On a fetch lane: `compressed_len` raw bytes follow the frame.
    Chunk {
        id: ChunkId,
        plain_len: u32,
        compressed_len: u32,
    },
    /// On a fetch lane: this chunk cannot be had here.
    Unavailable { id: ChunkId, reason: String },
    /// Answers `WhichAreStored`, in the order asked.
    Stored { stored: Vec<bool> },
    /// On a store lane: these survive a loss of power from now on.
    Durable { ids: Vec<ChunkId> },
    /// On a store lane: this chunk was not taken.
    ChunkRefused { id: ChunkId, reason: String },
    /// Answers `StoreManifest`.
    ManifestStored { id: ManifestId },
    /// Answers any request that could not be done.
    RequestRefused { reason: String },
    /// Answers `Finished`: the controller has it in its store.
    Recorded,
    /// Answers `Hello`: the client is not served.
    Refused { code: WireRefusal, reason: String },
    /// Answers `JoinMulticast`.
    MulticastJoined(WireTerms),
    /// On a control stream: packets under this key follow.
    MulticastKey(WireKey),
    /// On a control stream: fetch what you lack, you are out. After `rest_ms` you may join again;
    /// `None`: not in this session.
    MulticastDemoted {
        reason: String,
        rest_ms: Option<u32>,
    },
    /// On a control stream: fetch these, they will not come any more.
    MulticastFetch { chunks: Vec<u8> },
    /// On a control stream: fetch what you lack, the session has ended.
    MulticastOver { reason: String },
    /// Answers `FetchPart`: `len` raw bytes follow the frame.
    Part { len: u32 },
    /// Answers `StorePart`.
    PartStored { id: PartId },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum WireRefusal {
    Version,
    NotOrdered,
    NotReady,
    Busy,
    ShuttingDown,
}

/// The one message on the one stream that an agent opens: why it ends the session.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WireGoodbye {
    pub kind: WireGoodbyeKind,
    pub reason: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum WireGoodbyeKind {
    Cancelled,
    Interrupted,
    Failed,
}

impl WireGoodbye {
    /// `reason` is cut to [`MAX_REASON`].
    pub(crate) fn new(kind: WireGoodbyeKind, reason: &str) -> Self {
        Self {
            kind,
            reason: cut(reason.to_owned()),
        }
    }

    /// For a client that does not answer.
    pub(crate) fn close_code(&self) -> quinn::VarInt {
        match self.kind {
            WireGoodbyeKind::Cancelled => CLOSE_CANCELLED,
            WireGoodbyeKind::Interrupted => CLOSE_INTERRUPTED,
            WireGoodbyeKind::Failed => CLOSE_FAILED,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum WireKind {
    Deploy { manifest: ManifestId },
    Capture,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum WireStage {
    Network,
    Compression,
    Disk,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WireProgress {
    pub bytes_done: ByteCount,
    pub bytes_total: ByteCount,
    pub bytes_reused: ByteCount,
    pub limiting_stage: Option<WireStage>,
}

/// Progress in a datagram. Later numbers win, because datagrams may overtake each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WireReport {
    pub number: u64,
    pub progress: WireProgress,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum WireOutcome {
    Complete,
    Failed { reason: String },
}

/// Bytes that are not a message of this protocol.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what it is")]
pub enum DecodeMessageError {
    #[error("the bytes are not a message of this protocol")]
    Malformed(#[source] postcard::Error),
    #[error("{0} bytes follow the message")]
    TrailingBytes(usize),
    #[error("the peer uses version {0} of the protocol, this end uses version {PROTOCOL_VERSION}")]
    Version(u16),
    #[error("the hello is too short to contain a version")]
    NoVersion,
    #[error("{0} ids in one message, at most {MAX_IDS} are allowed")]
    TooManyIds(usize),
    #[error("a length of {found} bytes exceeds the limit of {limit}")]
    TooLong { found: u32, limit: u32 },
    #[error("a multicast message is not valid: {0}")]
    Multicast(String),
}

/// # Errors
/// When the bytes are not exactly one message, or the message goes beyond a limit.
pub fn decode_client_message(bytes: &[u8]) -> Result<ClientMessage, DecodeMessageError> {
    let message = decode(bytes)?;
    match &message {
        ClientMessage::Want { ids } | ClientMessage::WhichAreStored { ids } => {
            check_ids(ids.len())?
        }
        ClientMessage::Chunk {
            plain_len,
            compressed_len,
            ..
        } => check_chunk(*plain_len, *compressed_len)?,
        ClientMessage::StoreManifest { len } => check_len(*len, MAX_STORED_MANIFEST)?,
        ClientMessage::StorePart { len, .. } => check_len(*len, MAX_PART)?,
        ClientMessage::JoinMulticast { chunks, .. } => {
            check_len(*chunks, foghorn_multicast::MAX_CHUNKS)?
        }
        _ => {}
    }
    Ok(message)
}

/// # Errors
/// When the bytes are not exactly one message, or the message goes beyond a limit.
pub fn decode_agent_message(bytes: &[u8]) -> Result<AgentMessage, DecodeMessageError> {
    let message = decode(bytes)?;
    match &message {
        AgentMessage::Chunk {
            plain_len,
            compressed_len,
            ..
        } => check_chunk(*plain_len, *compressed_len)?,
        AgentMessage::Manifest { len } => check_len(*len, MAX_MANIFEST)?,
        AgentMessage::Part { len } => check_len(*len, MAX_PART)?,
        AgentMessage::Stored { stored } => check_ids(stored.len())?,
        AgentMessage::Durable { ids } => check_ids(ids.len())?,
        AgentMessage::Refused { reason, .. } => check_reason(reason)?,
        _ => {}
    }
    Ok(message)
}

/// # Errors
/// When the bytes are not exactly one goodbye, or its reason is too long.
pub fn decode_goodbye(bytes: &[u8]) -> Result<WireGoodbye, DecodeMessageError> {
    let goodbye: WireGoodbye = decode(bytes)?;
    check_reason(&goodbye.reason)?;
    Ok(goodbye)
}

/// # Errors
/// [`DecodeMessageError::Version`] before anything else, so that a newer client learns why it is
/// turned away.
pub fn decode_hello(bytes: &[u8]) -> Result<WireHello, DecodeMessageError> {
    let (version, body) = bytes
        .split_first_chunk::<2>()
        .ok_or(DecodeMessageError::NoVersion)?;
    match u16::from_le_bytes(*version) {
        PROTOCOL_VERSION => decode(body),
        other => Err(DecodeMessageError::Version(other)),
    }
}

pub(crate) fn encode_hello(hello: &Hello) -> Vec<u8> {
    let wire = WireHello {
        task: hello.task,
        software: cut(hello.software.clone()),
        traceparent: cut(hello.traceparent.clone()),
    };
    let mut bytes = PROTOCOL_VERSION.to_le_bytes().to_vec();
    bytes.extend(encode(&wire));
    bytes
}

/// A message of this module as bytes.
pub(crate) fn encode<M: Serialize>(message: &M) -> Vec<u8> {
    postcard::to_stdvec(message).expect("wire messages hold nothing that postcard cannot write")
}

/// Cuts a reason to [`MAX_REASON`] bytes, at a character boundary.
pub(crate) fn cut(mut reason: String) -> String {
    let mut end = reason.len().min(MAX_REASON);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    reason.truncate(end);
    reason
}

fn decode<'a, M: Deserialize<'a>>(bytes: &'a [u8]) -> Result<M, DecodeMessageError> {
    let (message, rest) =
        postcard::take_from_bytes(bytes).map_err(DecodeMessageError::Malformed)?;
    if rest.is_empty() {
        Ok(message)
    } else {
        Err(DecodeMessageError::TrailingBytes(rest.len()))
    }
}

fn check_ids(count: usize) -> Result<(), DecodeMessageError> {
    if count <= MAX_IDS {
        Ok(())
    } else {
        Err(DecodeMessageError::TooManyIds(count))
    }
}

fn check_reason(reason: &str) -> Result<(), DecodeMessageError> {
    check_len(
        u32::try_from(reason.len()).unwrap_or(u32::MAX),
        MAX_REASON as u32,
    )
}

fn check_chunk(plain: u32, compressed: u32) -> Result<(), DecodeMessageError> {
    check_len(plain, MAX_PLAIN)?;
    check_len(compressed, MAX_COMPRESSED)
}

fn check_len(found: u32, limit: u32) -> Result<(), DecodeMessageError> {
    if found <= limit {
        Ok(())
    } else {
        Err(DecodeMessageError::TooLong { found, limit })
    }
}

impl From<WireHello> for Hello {
    fn from(wire: WireHello) -> Self {
        Self {
            task: wire.task,
            software: cut(wire.software),
            traceparent: cut(wire.traceparent),
        }
    }
}

impl From<WireGoodbye> for EndReason {
    fn from(goodbye: WireGoodbye) -> Self {
        let reason = goodbye.reason;
        match goodbye.kind {
            WireGoodbyeKind::Cancelled => Self::Cancelled { reason },
            WireGoodbyeKind::Interrupted => Self::Interrupted { reason },
            WireGoodbyeKind::Failed => Self::Failed { reason },
        }
    }
}

impl From<RefusalCode> for WireRefusal {
    fn from(code: RefusalCode) -> Self {
        match code {
            RefusalCode::Version => Self::Version,
            RefusalCode::NotOrdered => Self::NotOrdered,
            RefusalCode::NotReady => Self::NotReady,
            RefusalCode::Busy => Self::Busy,
            RefusalCode::ShuttingDown => Self::ShuttingDown,
        }
    }
}

impl From<WireRefusal> for RefusalCode {
    fn from(code: WireRefusal) -> Self {
        match code {
            WireRefusal::Version => Self::Version,
            WireRefusal::NotOrdered => Self::NotOrdered,
            WireRefusal::NotReady => Self::NotReady,
            WireRefusal::Busy => Self::Busy,
            WireRefusal::ShuttingDown => Self::ShuttingDown,
        }
    }
}

impl From<SessionKind> for WireKind {
    fn from(kind: SessionKind) -> Self {
        match kind {
            SessionKind::Deploy { manifest } => Self::Deploy { manifest },
            SessionKind::Capture => Self::Capture,
        }
    }
}

impl From<WireKind> for SessionKind {
    fn from(kind: WireKind) -> Self {
        match kind {
            WireKind::Deploy { manifest } => Self::Deploy { manifest },
            WireKind::Capture => Self::Capture,
        }
    }
}

impl From<ClientProgress> for WireProgress {
    fn from(progress: ClientProgress) -> Self {
        let stage = |stage| match stage {
            Stage::Network => WireStage::Network,
            Stage::Compression => WireStage::Compression,
            Stage::Disk => WireStage::Disk,
        };
        Self {
            bytes_done: progress.bytes_done,
            bytes_total: progress.bytes_total,
            bytes_reused: progress.bytes_reused,
            limiting_stage: progress.limiting_stage.map(stage),
        }
    }
}

impl From<WireProgress> for ClientProgress {
    fn from(wire: WireProgress) -> Self {
        let stage = |stage| match stage {
            WireStage::Network => Stage::Network,
            WireStage::Compression => Stage::Compression,
            WireStage::Disk => Stage::Disk,
        };
        Self {
            bytes_done: wire.bytes_done,
            bytes_total: wire.bytes_total,
            bytes_reused: wire.bytes_reused,
            limiting_stage: wire.limiting_stage.map(stage),
        }
    }
}

impl From<ClientOutcome> for WireOutcome {
    fn from(outcome: ClientOutcome) -> Self {
        match outcome {
            ClientOutcome::Complete => Self::Complete,
            ClientOutcome::Failed { reason } => Self::Failed {
                reason: cut(reason),
            },
        }
    }
}

impl From<WireOutcome> for ClientOutcome {
    fn from(wire: WireOutcome) -> Self {
        match wire {
            WireOutcome::Complete => Self::Complete,
            // What a client says is passed on and kept, so its length is ours to bound.
            WireOutcome::Failed { reason } => Self::Failed {
                reason: cut(reason),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_reason_is_cut_between_characters() {
        assert_eq!(cut("short".to_owned()), "short");
        assert_eq!(cut("é".repeat(MAX_REASON)).len(), MAX_REASON);
        assert_eq!(
            cut(format!("x{}", "é".repeat(MAX_REASON))).len(),
            MAX_REASON - 1
        );
    }

    #[test]
    fn what_a_client_says_in_words_is_bounded_whatever_it_sends() {
        let reason = "x".repeat(MAX_FRAME / 2);
        let bytes = encode(&ClientMessage::Finished {
            outcome: WireOutcome::Failed { reason },
            progress: None,
        });
        let Ok(ClientMessage::Finished { outcome, .. }) = decode_client_message(&bytes) else {
            panic!("it is one")
        };
        assert!(matches!(
            ClientOutcome::from(outcome),
            ClientOutcome::Failed { reason } if reason.len() == MAX_REASON
        ));
    }

    #[test]
    fn lengths_beyond_the_limits_are_refused() {
        let id = ChunkId::of(b"x");
        for message in [
            ClientMessage::Chunk {
                id,
                plain_len: MAX_PLAIN + 1,
                compressed_len: 1,
            },
            ClientMessage::Chunk {
                id,
                plain_len: 1,
                compressed_len: MAX_COMPRESSED + 1,
            },
            ClientMessage::StoreManifest {
                len: MAX_STORED_MANIFEST + 1,
            },
            ClientMessage::StorePart {
                disk: ByteCount::from_mib(1),
                len: MAX_PART + 1,
            },
            ClientMessage::Want {
                ids: vec![id; MAX_IDS + 1],
            },
        ] {
            assert!(decode_client_message(&encode(&message)).is_err());
        }
        let full = ClientMessage::WhichAreStored {
            ids: vec![id; MAX_IDS],
        };
        let bytes = encode(&full);
        assert!(bytes.len() < MAX_FRAME);
        assert_eq!(decode_client_message(&bytes).unwrap(), full);
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode_client_message(&bytes);
            let _ = decode_agent_message(&bytes);
            let _ = decode_hello(&bytes);
            let _ = decode_datagram(&bytes);
            let _ = decode_goodbye(&bytes);
        }

        #[test]
        fn what_is_decoded_was_encoded_so_or_equally(tag in 0_u8..18,
            rest in proptest::collection::vec(any::<u8>(), 0..100)) {
            let bytes = [&[tag][..], &rest].concat();
            if let Ok(message) = decode_client_message(&bytes) {
                prop_assert_eq!(decode_client_message(&encode(&message)).unwrap(), message);
            }
            if let Ok(message) = decode_agent_message(&bytes) {
                prop_assert_eq!(decode_agent_message(&encode(&message)).unwrap(), message);
            }
        }
    }
}
