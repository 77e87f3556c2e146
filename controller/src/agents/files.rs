//! Transfers of files between the controller and its agents.
//!
//! Agents open the connections, so a transfer starts with an order on the link and continues when
//! the agent calls back with the id of the transfer. The call transports the bytes in either
//! direction, a few parts at a time, so a slow end slows down the other one.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use foghorn_proto::link::controller_message::Message;
use foghorn_proto::link::file_part::Part;
use foghorn_proto::link::{
    DropFile, FileEnd, FileOrder, FilePart, SendFile, StoreFile, file_order,
};
use foghorn_types::{ByteCount, FileId, StorageNodeId};
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt};
use tokio::sync::{mpsc, oneshot};
use tonic::{Status, Streaming};

use super::links::{Links, SendError};

/// Time limit for an agent to call back.
const CALL_BACK_WITHIN: Duration = Duration::from_secs(10);
/// How long either side may be silent within a transfer; the agent flushes its disk in that time.
const SILENT_WITHIN: Duration = Duration::from_secs(60);
/// Parts in flight; each has at most 1 MiB.
pub(crate) const PARTS: usize = 4;

/// The node whose call one controller passes on to another, in the metadata.
pub(crate) const NODE_HEADER: &str = "foghorn-node";

/// Why a transfer to or from a node failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FileError {
    #[error("could not send the order to the storage node")]
    Offline(#[from] SendError),
    #[error("the storage node did not open the transfer")]
    NoCall,
    #[error("the transfer was interrupted")]
    Broken,
    #[error("the storage node reported an error: {0}")]
    Node(String),
    #[error("could not read the file: {0}")]
    Source(String),
}

/// Parts of a file as they arrive; an error is the last item, and an end without an error means
/// that the file is complete.
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
    /// The agent stores the file and reports the result.
    Store {
        parts: Parts,
        done: oneshot::Sender<Result<(), FileError>>,
    },
    /// The agent sends the file.
    Send { parts: mpsc::Sender<Incoming> },
    /// Another controller has ordered it, which knows it under this number.
    Elsewhere {
        controller: String,
        id: u64,
        since: Instant,
    },
}

/// A message from an agent that sends a file.
enum Incoming {
    Data(Bytes),
    End,
    Failed(FileError),
}

impl Files {
    /// Stores a file on a node, and returns when the node has verified and flushed all of it.
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
        order(
            links,
            node,
            id,
            file,
            file_order::Work::Store(StoreFile {
                size_bytes: size.bytes(),
            }),
        )?;
        match tokio::time::timeout(CALL_BACK_WITHIN, &mut answer).await {
            Ok(answer) => answer.map_err(|_| FileError::Broken)?,
            Err(_) if self.is_waiting(id) => Err(FileError::NoCall),
            // In progress: the call itself ends when either side is silent for too long.
            Err(_) => answer.await.map_err(|_| FileError::Broken)?,
        }
    }

    /// Reads a file from a node. Returns when the first part has arrived.
    ///
    /// # Errors
    /// See [`FileError`].
    pub(crate) async fn fetch(
        &self,
        links: &Links,
        node: StorageNodeId,
        file: FileId,
    ) -> Result<Parts, FileError> {
        let (sender, mut receiver) = mpsc::channel(PARTS);
        let id = self.wait_for(node, What::Send { parts: sender });
        let _entry = Entry { files: self, id };
        order(links, node, id, file, file_order::Work::Send(SendFile {}))?;
        let first = tokio::time::timeout(CALL_BACK_WITHIN, receiver.recv())
            .await
            .map_err(|_| FileError::NoCall)?;
        match first {
            Some(Incoming::Data(bytes)) => Ok(stream::once(async { Ok(bytes) })
                .chain(rest(receiver))
                .boxed()),
            Some(Incoming::End) => Ok(stream::empty().boxed()),
            Some(Incoming::Failed(error)) => Err(error),
            None => Err(FileError::Broken),
        }
    }

    /// Deletes a file from a node.
    ///
    /// # Errors
    /// When the order cannot be sent to the node.
    pub(crate) fn forget(
        &self,
        links: &Links,
        node: StorageNodeId,
        file: FileId,
    ) -> Result<(), FileError> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        order(links, node, id, file, file_order::Work::Drop(DropFile {}))
    }

    /// The order of another controller, with a number of this one: the agent's call comes here and is
    /// passed on.
    pub(crate) fn passed_on(
        &self,
        node: StorageNodeId,
        controller: &str,
        order: FileOrder,
    ) -> FileOrder {
        if matches!(order.work, Some(file_order::Work::Drop(_)) | None) {
            return order; // no call follows
        }
        self.lock().retain(|_, waiting| {
            !matches!(waiting.what, What::Elsewhere { since, .. } if since.elapsed() > CALL_BACK_WITHIN)
        });
        let what = What::Elsewhere {
            controller: controller.to_owned(),
            id: order.transfer_id,
            since: Instant::now(),
        };
        FileOrder {
            transfer_id: self.wait_for(node, what),
            ..order
        }
    }

    /// Where the call of an agent belongs, if that is another controller: its id, and the number of
    /// the transfer there.
    pub(crate) fn elsewhere(&self, node: StorageNodeId, transfer: u64) -> Option<(String, u64)> {
        let mut waiting = self.lock();
        match waiting.get(&transfer) {
            Some(Waiting {
                node: own,
                what: What::Elsewhere { controller, id, .. },
            }) if *own == node => {
                let found = (controller.clone(), *id);
                waiting.remove(&transfer);
                Some(found)
            }
            _ => None,
        }
    }

    /// Serves the call of an agent whose first message contains a transfer id. Transfers of other
    /// nodes are not visible to it.
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
        let entry = waiting
            .remove(&id)
            .ok_or_else(|| Status::not_found("no such transfer"))?;
        Ok(async move {
            match entry.what {
                What::Store { parts, done } => {
                    // That the caller no longer waits does not concern the agent.
                    let _gone = done.send(give(parts, inbound, outgoing).await);
                }
                What::Send { parts } => take(inbound, parts, outgoing).await,
                // Asked for before.
                What::Elsewhere { .. } => {}
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

/// Removes a transfer from the list when its caller gives up.
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
    let order = FileOrder {
        transfer_id,
        file_id: file.as_bytes().to_vec(),
        work: Some(work),
    };
    Ok(links.send(node, Message::File(order))?)
}

/// Sends the parts to the agent and returns its result.
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
        let sent = tokio::time::timeout(
            SILENT_WITHIN,
            outgoing.send(Ok(FilePart { part: Some(part) })),
        )
        .await;
        // An agent that ends the call early reports the reason on its own stream.
        if !sent.is_ok_and(|sent| sent.is_ok()) {
            break;
        }
    }
    let error = failed.as_ref().map(ToString::to_string).unwrap_or_default();
    let end = FilePart {
        part: Some(Part::End(FileEnd { error })),
    };
    let _answered_anyway = tokio::time::timeout(SILENT_WITHIN, outgoing.send(Ok(end))).await;
    let answer = tokio::time::timeout(SILENT_WITHIN, inbound.message()).await;
    if let Some(error) = failed {
        return Err(error);
    }
    match answer {
        Ok(Ok(Some(FilePart {
            part: Some(Part::End(end)),
        }))) if end.error.is_empty() => Ok(()),
        Ok(Ok(Some(FilePart {
            part: Some(Part::End(end)),
        }))) => Err(FileError::Node(end.error)),
        _ => Err(FileError::Broken),
    }
}

/// Receives the parts that the agent sends. The agent's call lasts as long as `_open` exists.
async fn take(
    mut inbound: Streaming<FilePart>,
    parts: mpsc::Sender<Incoming>,
    _open: mpsc::Sender<Result<FilePart, Status>>,
) {
    loop {
        let message = tokio::time::timeout(SILENT_WITHIN, inbound.message()).await;
        let (item, last) = match message {
            Ok(Ok(Some(FilePart {
                part: Some(Part::Data(data)),
            }))) => (Incoming::Data(Bytes::from(data)), false),
            Ok(Ok(Some(FilePart {
                part: Some(Part::End(end)),
            }))) if end.error.is_empty() => (Incoming::End, true),
            Ok(Ok(Some(FilePart {
                part: Some(Part::End(end)),
            }))) => (Incoming::Failed(FileError::Node(end.error)), true),
            _ => (Incoming::Failed(FileError::Broken), true),
        };
        if parts.send(item).await.is_err() || last {
            return;
        }
    }
}

/// The parts after the first one. A sender that disappears without an end is an error, not an end.
fn rest(
    receiver: mpsc::Receiver<Incoming>,
) -> impl Stream<Item = Result<Bytes, FileError>> + Send + 'static {
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
