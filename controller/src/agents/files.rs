//! Contents of files between the controller and its agents.
//!
//! Agents dial in, so a transfer begins with an order on the link and goes on when the agent calls back with the transfer's
//! number. The call carries the bytes in either direction, a few parts at a time: whoever is slow slows the other end.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use foghorn_proto::link::controller_message::Message;
use foghorn_proto::link::file_part::Part;
use foghorn_proto::link::{DropFile, FileEnd, FileOrder, FilePart, SendFile, StoreFile, file_order};
use foghorn_types::{ByteCount, FileId, StorageNodeId};
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt};
use tokio::sync::{mpsc, oneshot};
use tonic::{Status, Streaming};

use super::links::{Links, SendError};

/// An agent that has not called back by then is not well.
const CALL_BACK_WITHIN: Duration = Duration::from_secs(10);
/// The longest that either side may be silent within a transfer; the agent flushes its disk meanwhile.
const SILENT_WITHIN: Duration = Duration::from_secs(60);
/// Parts under way; each has at most 1 MiB.
pub(crate) const PARTS: usize = 4;

/// Why a file did not get to a node, or not from it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FileError {
    #[error("the storage node could not be told")]
    Offline(#[from] SendError),
    #[error("the storage node did not call back")]
    NoCall,
    #[error("the transfer broke off")]
    Broken,
    #[error("the storage node could not do it: {0}")]
    Node(String),
    #[error("the file cannot be read here: {0}")]
    Source(String),
}

/// Parts of a file as they come; an error is the last item, and the end without one means that all of it was given.
pub type Parts = BoxStream<'static, Result<Bytes, FileError>>;

/// Transfers that wait for their agent to call back.
#[derive(Default)]
pub struct Files {
    next: AtomicU64,
    waiting: Mutex<HashMap<u64, Waiting>>,
}

struct Waiting {
    node: StorageNodeId,
    what: What,
}

enum What {
    /// The agent stores it and says how that went.
    Store { parts: Parts, done: oneshot::Sender<Result<(), FileError>> },
    /// The agent sends it.
    Send { parts: mpsc::Sender<Incoming> },
}

/// What comes from an agent that sends.
enum Incoming {
    Data(Bytes),
    End,
    Failed(FileError),
}

impl Files {
    /// Has a node store a file, and returns when it has verified and flushed all of it.
    ///
    /// # Errors
    /// See [`FileError`].
    pub(crate) async fn store(
        &self,
        links: &Links,
        node: StorageNodeId,
        file: FileId,
        size: ByteCount,
        parts: Parts,
    ) -> Result<(), FileError> {
        let (done, mut answer) = oneshot::channel();
        let id = self.wait_for(node, What::Store { parts, done });
        let _entry = Entry { files: self, id };
        order(links, node, id, file, file_order::Work::Store(StoreFile { size_bytes: size.bytes() }))?;
        match tokio::time::timeout(CALL_BACK_WITHIN, &mut answer).await {
            Ok(answer) => answer.map_err(|_| FileError::Broken)?,
            Err(_) if self.is_waiting(id) => Err(FileError::NoCall),
            // Under way: the call itself ends when either side is silent for too long.
            Err(_) => answer.await.map_err(|_| FileError::Broken)?,
        }
    }

    /// A file as a node has it. Returns when the first part is there.
    ///
    /// # Errors
    /// See [`FileError`].
    pub(crate) async fn fetch(&self, links: &Links, node: StorageNodeId, file: FileId) -> Result<Parts, FileError> {
        let (sender, mut receiver) = mpsc::channel(PARTS);
        let id = self.wait_for(node, What::Send { parts: sender });
        let _entry = Entry { files: self, id };
        order(links, node, id, file, file_order::Work::Send(SendFile {}))?;
        let first = tokio::time::timeout(CALL_BACK_WITHIN, receiver.recv()).await.map_err(|_| FileError::NoCall)?;
        match first {
            Some(Incoming::Data(bytes)) => Ok(stream::once(async { Ok(bytes) }).chain(rest(receiver)).boxed()),
            Some(Incoming::End) => Ok(stream::empty().boxed()),
            Some(Incoming::Failed(error)) => Err(error),
            None => Err(FileError::Broken),
        }
    }

    /// Has a node forget a file.
    ///
    /// # Errors
    /// When the node cannot be told.
    pub(crate) fn forget(&self, links: &Links, node: StorageNodeId, file: FileId) -> Result<(), FileError> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        order(links, node, id, file, file_order::Work::Drop(DropFile {}))
    }

    /// Serves the call of an agent whose first message names a transfer. Other nodes' transfers do not exist for it.
    pub(crate) fn call(
        &self,
        node: StorageNodeId,
        id: u64,
        inbound: Streaming<FilePart>,
        outgoing: mpsc::Sender<Result<FilePart, Status>>,
    ) -> Result<impl Future<Output = ()> + Send + use<>, Status> {
        let mut waiting = self.lock();
        if waiting.get(&id).is_none_or(|entry| entry.node != node) {
            return Err(Status::not_found("no such transfer"));
        }
        let entry = waiting.remove(&id).ok_or_else(|| Status::not_found("no such transfer"))?;
        Ok(async move {
            match entry.what {
                What::Store { parts, done } => {
                    // Nobody waiting any more is no concern of the agent.
                    let _gone = done.send(give(parts, inbound, outgoing).await);
                }
                What::Send { parts } => take(inbound, parts, outgoing).await,
            }
        })
    }

    fn wait_for(&self, node: StorageNodeId, what: What) -> u64 {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.lock().insert(id, Waiting { node, what });
        id
    }

    fn is_waiting(&self, id: u64) -> bool {
        self.lock().contains_key(&id)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a transfer off the list when whoever asked for it gives up.
struct Entry<'f> {
    files: &'f Files,
    id: u64,
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.files.lock().remove(&self.id);
    }
}

fn order(
    links: &Links,
    node: StorageNodeId,
    transfer_id: u64,
    file: FileId,
    work: file_order::Work,
) -> Result<(), FileError> {
    let order = FileOrder { transfer_id, file_id: file.as_bytes().to_vec(), work: Some(work) };
    Ok(links.send(node, Message::File(order))?)
}

/// Gives the parts to the agent and returns what it says in the end.
async fn give(
    mut parts: Parts,
    mut inbound: Streaming<FilePart>,
    outgoing: mpsc::Sender<Result<FilePart, Status>>,
) -> Result<(), FileError> {
    let mut failed = None;
    while let Some(part) = parts.next().await {
        let part = match part {
            Ok(data) => Part::Data(data.to_vec()),
            Err(error) => {
                failed = Some(error);
                break;
            }
        };
        let sent = tokio::time::timeout(SILENT_WITHIN, outgoing.send(Ok(FilePart { part: Some(part) }))).await;
        // An agent that hangs up early says why on its own stream.
        if !sent.is_ok_and(|sent| sent.is_ok()) {
            break;
        }
    }
    let error = failed.as_ref().map(ToString::to_string).unwrap_or_default();
    let end = FilePart { part: Some(Part::End(FileEnd { error })) };
    let _answered_anyway = tokio::time::timeout(SILENT_WITHIN, outgoing.send(Ok(end))).await;
    let answer = tokio::time::timeout(SILENT_WITHIN, inbound.message()).await;
    if let Some(error) = failed {
        return Err(error);
    }
    match answer {
        Ok(Ok(Some(FilePart { part: Some(Part::End(end)) }))) if end.error.is_empty() => Ok(()),
        Ok(Ok(Some(FilePart { part: Some(Part::End(end)) }))) => Err(FileError::Node(end.error)),
        _ => Err(FileError::Broken),
    }
}

/// Takes the parts that the agent sends. The agent's call lasts as long as `_open` does.
async fn take(
    mut inbound: Streaming<FilePart>,
    parts: mpsc::Sender<Incoming>,
    _open: mpsc::Sender<Result<FilePart, Status>>,
) {
    loop {
        let message = tokio::time::timeout(SILENT_WITHIN, inbound.message()).await;
        let (item, last) = match message {
            Ok(Ok(Some(FilePart { part: Some(Part::Data(data)) }))) => (Incoming::Data(Bytes::from(data)), false),
            Ok(Ok(Some(FilePart { part: Some(Part::End(end)) }))) if end.error.is_empty() => (Incoming::End, true),
            Ok(Ok(Some(FilePart { part: Some(Part::End(end)) }))) => {
                (Incoming::Failed(FileError::Node(end.error)), true)
            }
            _ => (Incoming::Failed(FileError::Broken), true),
        };
        if parts.send(item).await.is_err() || last {
            return;
        }
    }
}

/// What follows the first part. A sender that vanishes without an end is an error, not an end.
fn rest(receiver: mpsc::Receiver<Incoming>) -> impl Stream<Item = Result<Bytes, FileError>> + Send + 'static {
    stream::unfold(Some(receiver), |receiver| async {
        let mut receiver = receiver?;
        match receiver.recv().await {
            Some(Incoming::Data(bytes)) => Some((Ok(bytes), Some(receiver))),
            Some(Incoming::End) => None,
            Some(Incoming::Failed(error)) => Some((Err(error), None)),
            None => Some((Err(FileError::Broken), None)),
        }
    })
}
