//! The terms in which both ends describe a session to the rest of the program. `wire` has the forms
//! that travel.

use foghorn_multicast::Stage;
use foghorn_types::{ByteCount, ManifestId, TaskId};
use quinn::{ApplicationClose, ConnectionError, VarInt};

/// How a client introduces itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hello {
    /// The task that the client came for; its certificate must name the same one.
    pub task: TaskId,
    /// Name and version of the client's software, for logs.
    pub software: String,
    /// W3C trace context; empty when there is none.
    pub traceparent: String,
}

/// What a session is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the variants say what their fields are")]
pub enum SessionKind {
    /// The client writes this image to its disk.
    Deploy { manifest: ManifestId },
    /// The client reads its disk into an image.
    Capture,
}

/// How far the client is. All counts are plain bytes of the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ClientProgress {
    /// Right on the disk (deploy) or safe on the agent (capture).
    pub bytes_done: ByteCount,
    /// What has to be right in the end.
    pub bytes_total: ByteCount,
    /// Found in place by hash (deploy) or already stored (capture). Part of `bytes_done`.
    pub bytes_reused: ByteCount,
    /// `None` until enough has happened to tell.
    pub limiting_stage: Option<Stage>,
}

/// How the client says its part ended.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the variants say what their fields are")]
pub enum ClientOutcome {
    /// Every chunk was verified and the disk was flushed (deploy), or the manifest is stored
    /// (capture).
    Complete,
    /// It could not be done.
    Failed { reason: String },
}

/// Why an agent would not serve a client.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum RefusalCode {
    /// The two ends speak different versions of the protocol.
    Version,
    /// Nothing was ordered for this certificate and task.
    NotOrdered,
    /// The order may still be under way from the controller; a retry makes sense.
    NotReady,
    /// The agent has as many sessions as it may; a retry makes sense.
    Busy,
    /// The agent is going down; another node, or a retry, makes sense.
    ShuttingDown,
}

impl RefusalCode {
    const ALL: [Self; 5] = [
        Self::Version,
        Self::NotOrdered,
        Self::NotReady,
        Self::Busy,
        Self::ShuttingDown,
    ];

    /// Whether the same connection attempt may succeed a little later.
    #[must_use]
    pub const fn is_transient(self) -> bool {
        matches!(self, Self::NotReady | Self::Busy | Self::ShuttingDown)
    }

    pub(crate) fn close_code(self) -> VarInt {
        VarInt::from_u32(match self {
            Self::Version => 16,
            Self::NotOrdered => 17,
            Self::NotReady => 18,
            Self::Busy => 19,
            Self::ShuttingDown => 20,
        })
    }

    pub(crate) fn from_close_code(code: VarInt) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|known| known.close_code() == code)
    }
}

/// The client has all it wanted.
pub(crate) const CLOSE_DONE: VarInt = VarInt::from_u32(0);
/// The agent ended the session on the controller's word.
pub(crate) const CLOSE_CANCELLED: VarInt = VarInt::from_u32(1);
/// The agent cannot go on now, the task itself stands.
pub(crate) const CLOSE_INTERRUPTED: VarInt = VarInt::from_u32(2);
/// The agent ended the task as failed.
pub(crate) const CLOSE_FAILED: VarInt = VarInt::from_u32(4);
/// The peer sent what the protocol does not allow.
pub(crate) const CLOSE_VIOLATION: VarInt = VarInt::from_u32(3);

/// How a connection came to its end.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the variants say what their fields are")]
pub enum EndReason {
    /// The client closed it, having finished or given up.
    Closed,
    /// The agent says that the task was cancelled: do not come back.
    Cancelled { reason: String },
    /// The agent had to stop (shutdown, fault of its own); the task stands and may be taken up
    /// again.
    Interrupted { reason: String },
    /// The agent ended the task as failed, for a reason of its own (its disk is full, the image is
    /// damaged): do not come back.
    Failed { reason: String },
    /// One end broke the protocol.
    Violation { reason: String },
    /// The agent closed it instead of serving.
    Refused { code: RefusalCode, reason: String },
    /// One end did not accept the other's certificate.
    Untrusted { problem: String },
    /// The peer fell silent, restarted, or the network failed.
    ConnectionLost { problem: String },
}

impl EndReason {
    /// Whether connecting again makes sense.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Interrupted { .. } | Self::ConnectionLost { .. } => true,
            Self::Refused { code, .. } => code.is_transient(),
            Self::Closed
            | Self::Cancelled { .. }
            | Self::Failed { .. }
            | Self::Violation { .. }
            | Self::Untrusted { .. } => false,
        }
    }

    fn from_close(close: &ApplicationClose) -> Self {
        let reason = String::from_utf8_lossy(&close.reason).into_owned();
        match close.error_code {
            CLOSE_DONE => Self::Closed,
            CLOSE_CANCELLED => Self::Cancelled { reason },
            CLOSE_INTERRUPTED => Self::Interrupted { reason },
            CLOSE_FAILED => Self::Failed { reason },
            CLOSE_VIOLATION => Self::Violation { reason },
            code => match RefusalCode::from_close_code(code) {
                Some(code) => Self::Refused { code, reason },
                None => Self::Violation {
                    reason: format!("closed with unknown code {code}: {reason}"),
                },
            },
        }
    }
}

impl From<&ConnectionError> for EndReason {
    fn from(error: &ConnectionError) -> Self {
        match error {
            ConnectionError::ApplicationClosed(close) => Self::from_close(close),
            ConnectionError::LocallyClosed => Self::Closed,
            other if is_about_trust(other) => Self::Untrusted {
                problem: other.to_string(),
            },
            other => Self::ConnectionLost {
                problem: other.to_string(),
            },
        }
    }
}

/// Whether TLS broke the connection off; QUIC gives its alerts codes of their own (RFC 9001 §4.8).
pub(crate) fn is_about_trust(error: &ConnectionError) -> bool {
    let code = match error {
        ConnectionError::TransportError(error) => u64::from(error.code),
        ConnectionError::ConnectionClosed(close) => u64::from(close.error_code),
        _ => return false,
    };
    (0x100..0x200).contains(&code)
}

impl std::fmt::Display for EndReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Closed => f.write_str("the connection was closed"),
            Self::Cancelled { reason } => write!(f, "the task was cancelled: {reason}"),
            Self::Interrupted { reason } => write!(f, "the agent had to stop: {reason}"),
            Self::Failed { reason } => write!(f, "the agent ended the task as failed: {reason}"),
            Self::Violation { reason } => write!(f, "the protocol was violated: {reason}"),
            Self::Refused { code, reason } => write!(f, "the agent refused ({code:?}): {reason}"),
            Self::Untrusted { problem } => write!(f, "a certificate was not accepted: {problem}"),
            Self::ConnectionLost { problem } => write!(f, "the connection was lost: {problem}"),
        }
    }
}
