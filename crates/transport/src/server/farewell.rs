//! The goodbye to a client, and the tasks that wait until it has arrived.
//!
//! An ending with a reason is data first: on the stream of the hello for a client that is turned
//! away, on a stream of its own for a session. The client answers by closing; only a client that
//! does not is closed from here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foghorn_types::chain;
use quinn::{Connection, VarInt};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::debug;

use crate::frame::{FrameWriter, OnDrop, StreamError};
use crate::link::QuicLink;
use crate::session::{EndReason, RefusalCode};
use crate::wire::{AgentMessage, WireGoodbye, cut};

/// How long a client may take to hear last words; a round trip and a little, usually.
const FAREWELL_PATIENCE: Duration = Duration::from_secs(2);
/// Clients that are being told at a time. Beyond that connections are closed at once, which most
/// clients hear as well.
const FAREWELLS: usize = 1024;

/// All clients that are connected and have not been sent a goodbye, and the tasks that send the
/// goodbyes.
#[derive(Debug, Default)]
pub(crate) struct Farewells {
    state: Mutex<FarewellState>,
}

#[derive(Debug, Default)]
struct FarewellState {
    present: HashMap<usize, QuicLink>,
    tasks: JoinSet<()>,
}

impl Farewells {
    /// Takes on a client that has introduced itself.
    pub(super) fn guest(self: &Arc<Self>, link: QuicLink) -> Guest {
        self.state()
            .present
            .insert(link.connection.stable_id(), link.clone());
        Guest {
            link,
            farewells: self.clone(),
        }
    }

    /// Ends every session that is left.
    pub(super) fn end_all(&self, goodbye: &WireGoodbye) {
        let left: Vec<QuicLink> = self.state().present.drain().map(|(_, link)| link).collect();
        for link in left {
            self.part(link, goodbye.clone());
        }
    }

    /// Waits until everybody was told.
    pub(super) async fn drain(&self) {
        let tasks = std::mem::take(&mut self.state().tasks);
        tasks.join_all().await;
    }

    /// Turns a client away with the answer to its hello, in the background.
    pub(super) fn turn_away(
        &self,
        link: QuicLink,
        mut writer: FrameWriter,
        code: RefusalCode,
        reason: &str,
    ) {
        let reason = cut(reason.to_owned());
        let message = AgentMessage::Refused {
            code: code.into(),
            reason: reason.clone(),
        };
        let words = async move {
            writer.send(&message).await?;
            writer.finish();
            Ok(())
        };
        self.tell(link.connection, code.close_code(), reason, words);
    }

    fn part(&self, link: QuicLink, goodbye: WireGoodbye) {
        let reason = EndReason::from(goodbye.clone());
        let (code, text) = (goodbye.close_code(), goodbye.reason.clone());
        link.end(reason);
        let connection = link.connection.clone();
        let words = async move {
            let stream = link
                .connection
                .open_uni()
                .await
                .map_err(|error| link.lost(&error))?;
            // Whatever waits on the lanes waits on. Fails only when the stream is over, which the
            // next line says.
            let _ = stream.set_priority(i32::MAX);
            FrameWriter::of_last_words(link, stream)
                .send(&goodbye)
                .await
        };
        self.tell(connection, code, text, words);
    }

    /// Says `words`, waits for the client to close, and closes when it does not.
    fn tell(
        &self,
        connection: Connection,
        code: VarInt,
        reason: String,
        words: impl Future<Output = Result<(), StreamError>> + Send + 'static,
    ) {
        if connection.close_reason().is_some() {
            return;
        }
        let mut state = self.state();
        while state.tasks.try_join_next().is_some() {}
        // Without a runtime, as when the whole program unwinds, there is only QUIC's own way.
        let (true, Ok(runtime)) = (state.tasks.len() < FAREWELLS, Handle::try_current()) else {
            connection.close(code, reason.as_bytes());
            return;
        };
        let telling = async move {
            let heard = async {
                words.await?;
                connection.closed().await;
                Ok::<_, StreamError>(())
            };
            match timeout(FAREWELL_PATIENCE, heard).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => debug!(error = %chain(&error), "could not deliver the goodbye"),
                Err(_) => {
                    debug!(
                        remote = %connection.remote_address(),
                        "the client did not acknowledge the goodbye"
                    )
                }
            }
            connection.close(code, reason.as_bytes());
        };
        state.tasks.spawn_on(telling, &runtime);
    }

    fn state(&self) -> MutexGuard<'_, FarewellState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client that is here until it is told to go; only the first word counts.
#[derive(Clone, Debug)]
pub(super) struct Guest {
    pub(super) link: QuicLink,
    farewells: Arc<Farewells>,
}

impl Guest {
    /// Ends the session. Returns at once; the client is told in the background.
    pub(super) fn part(&self, goodbye: WireGoodbye) {
        if let Some(link) = self.leave() {
            self.farewells.part(link, goodbye);
        }
    }

    /// Turns the client away with the answer to its hello, in the background.
    pub(super) fn refuse(&self, writer: FrameWriter, code: RefusalCode, reason: &str) {
        if let Some(link) = self.leave() {
            self.farewells.turn_away(link, writer, code, reason);
        }
    }

    fn leave(&self) -> Option<QuicLink> {
        self.farewells
            .state()
            .present
            .remove(&self.link.connection.stable_id())
    }
}

impl FrameWriter {
    /// A writer that the end of the session does not stop.
    fn of_last_words(link: QuicLink, stream: quinn::SendStream) -> Self {
        let mut writer = Self::new(link, stream, OnDrop::Finish);
        writer.outlive_session();
        writer
    }
}
