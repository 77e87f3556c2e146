//! A QUIC connection together with the reason that was given for its end.
//!
//! The reason travels as ordinary data, because QUIC's own close does not always arrive: quinn
//! holds it back while the congestion window is full, and a connection that is closing hears no
//! acknowledgements that could empty the window.

use std::sync::Arc;
use std::time::Duration;

use quinn::{Connection, ConnectionError, ReadError, VarInt, WriteError};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::frame::StreamError;
use crate::session::{CLOSE_DONE, EndReason};

/// Code of a stream that its owner abandoned before it was done.
pub(crate) const RESET_ABANDONED: VarInt = VarInt::from_u32(1);
/// Code of a stream that was abandoned because the session is over; why comes on a stream of its
/// own.
pub(crate) const RESET_ENDED: VarInt = VarInt::from_u32(2);

/// How long a client waits for the reason after an agent has said that there is one.
const REASON_PATIENCE: Duration = Duration::from_secs(3);
/// How long a client waits for a reason when a stream was abandoned without a word: often the
/// session ends with it, and whether to come back is told only there.
const ABANDONED_PATIENCE: Duration = Duration::from_millis(300);

/// Both ends of a session hold one; clones mean the same connection.
#[derive(Clone, Debug)]
pub(crate) struct QuicLink {
    pub(crate) connection: Connection,
    end: Arc<watch::Sender<Option<EndReason>>>,
    /// Clients hear reasons, agents give them.
    hears_reasons: bool,
}

impl QuicLink {
    pub(crate) fn of_client(connection: Connection) -> Self {
        Self {
            connection,
            end: Arc::default(),
            hears_reasons: true,
        }
    }

    pub(crate) fn of_agent(connection: Connection) -> Self {
        Self {
            connection,
            end: Arc::default(),
            hears_reasons: false,
        }
    }

    /// From now on this is why the session ended; the first reason counts.
    pub(crate) fn end(&self, reason: EndReason) {
        self.end.send_if_modified(|end| {
            let first = end.is_none();
            end.get_or_insert(reason);
            first
        });
    }

    /// The reason that was given, if the session is over by somebody's word.
    pub(crate) fn told(&self) -> Option<EndReason> {
        self.end.borrow().clone()
    }

    pub(crate) fn is_told(&self) -> bool {
        self.end.borrow().is_some()
    }

    /// Waits until a reason was given. Cancel-safe.
    pub(crate) async fn until_told(&self) -> EndReason {
        let mut end = self.end.subscribe();
        match end.wait_for(Option::is_some).await.map(|end| end.clone()) {
            Ok(Some(reason)) => reason,
            // The sender lives in self.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    /// Waits until a reason was given or the connection has ended. Cancel-safe.
    pub(crate) async fn ended(&self) -> EndReason {
        tokio::select! {
            biased;
            reason = self.until_told() => reason,
            error = self.connection.closed() => self.reason_of(&error),
        }
    }

    /// Client: notes why the agent ends the session, and confirms by closing.
    pub(crate) fn end_and_close(&self, reason: EndReason) {
        self.end(reason);
        self.connection.close(CLOSE_DONE, b"");
    }

    /// What the end of the connection means; a reason that was given before says more than how QUIC
    /// ended.
    pub(crate) fn reason_of(&self, error: &ConnectionError) -> EndReason {
        self.told().unwrap_or_else(|| EndReason::from(error))
    }

    pub(crate) fn lost(&self, error: &ConnectionError) -> StreamError {
        StreamError::Ended(self.reason_of(error))
    }

    /// Waits a moment for the reason when the agent gave up the stream at `since`.
    pub(crate) async fn read_failed(&self, error: ReadError, since: Instant) -> StreamError {
        match error {
            ReadError::ConnectionLost(error) => self.lost(&error),
            ReadError::Reset(code) => self.abandoned(code, since).await,
            ReadError::ClosedStream
            | ReadError::IllegalOrderedRead
            | ReadError::ZeroRttRejected => self
                .told()
                .map_or(StreamError::Truncated, StreamError::Ended),
        }
    }

    /// Like [`read_failed`](Self::read_failed).
    pub(crate) async fn write_failed(&self, error: WriteError, since: Instant) -> StreamError {
        match error {
            WriteError::ConnectionLost(error) => self.lost(&error),
            WriteError::Stopped(code) => self.abandoned(code, since).await,
            WriteError::ClosedStream | WriteError::ZeroRttRejected => {
                self.told().map_or(StreamError::Reset, StreamError::Ended)
            }
        }
    }

    /// The other end gave up a stream: with the whole session, or this one alone?
    async fn abandoned(&self, code: VarInt, since: Instant) -> StreamError {
        if let Some(reason) = self.told() {
            return StreamError::Ended(reason);
        }
        if !self.hears_reasons {
            return StreamError::Reset;
        }
        let patience = if code == RESET_ENDED {
            REASON_PATIENCE
        } else {
            ABANDONED_PATIENCE
        };
        timeout_at(since + patience, self.ended())
            .await
            .map_or(StreamError::Reset, StreamError::Ended)
    }
}
