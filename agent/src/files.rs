//! Files that the controller gives, wants or no longer needs: snapins. Each transfer is a call of
//! its own beside the link, so a long one holds nothing up.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use foghorn_chunk_store::Store;
use foghorn_proto::link::agent_link_client::AgentLinkClient;
use foghorn_proto::link::file_order::Work;
use foghorn_proto::link::file_part::Part;
use foghorn_proto::link::{FileEnd, FileOrder, FilePart};
use foghorn_types::{FileId, chain};
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::transport::Channel;
use tonic::{Status, Streaming};
use tracing::{Instrument, debug, info, info_span, warn};

/// Transfers at a time; further ones wait, and the controller gives up on those that wait too long.
const AT_ONCE: usize = 4;
/// Parts under way; each has at most 1 MiB.
const PARTS: usize = 4;
/// The longest that the controller may be silent within a transfer.
const SILENT_WITHIN: Duration = Duration::from_secs(60);

/// Does what file orders say.
pub(crate) struct Files {
    store: Arc<Store>,
    /// Woken when other files are here than before, so that the controller hears of it soon.
    store_changed: Arc<Notify>,
    places: Arc<Semaphore>,
    tasks: TaskTracker,
    cancel: CancellationToken,
}

#[derive(Debug, thiserror::Error)]
enum TransferError {
    #[error("the controller did not accept the call")]
    Call(#[source] Box<Status>),
    #[error("the call was interrupted")]
    Broken,
    #[error("the controller aborted the transfer: {0}")]
    Refused(String),
    #[error("this version does not understand the order")]
    Order,
    #[error("{0}")]
    Store(String),
}

impl Files {
    pub(crate) fn new(
        store: Arc<Store>,
        store_changed: Arc<Notify>,
        cancel: CancellationToken,
    ) -> Self {
        let places = Arc::new(Semaphore::new(AT_ONCE));
        Self {
            store,
            store_changed,
            places,
            tasks: TaskTracker::new(),
            cancel,
        }
    }

    /// Starts what the order says; `client` is the link's.
    pub(crate) fn obey(&self, order: FileOrder, client: AgentLinkClient<Channel>) {
        let span = info_span!("file", transfer = order.transfer_id);
        let (store, changed) = (self.store.clone(), self.store_changed.clone());
        let (places, cancel) = (self.places.clone(), self.cancel.clone());
        let work = async move {
            let Ok(_place) = places.acquire_owned().await else {
                return;
            };
            match transfer(order, client, store).await {
                Ok(()) => changed.notify_one(),
                Err(problem) => warn!(error = %chain(&problem), "a file transfer failed"),
            }
        };
        self.tasks
            .spawn(async move { cancel.run_until_cancelled(work).await }.instrument(span));
    }

    /// Waits for what is under way. The token must be cancelled already.
    pub(crate) async fn stopped(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

async fn transfer(
    order: FileOrder,
    client: AgentLinkClient<Channel>,
    store: Arc<Store>,
) -> Result<(), TransferError> {
    let digest = order.file_id.try_into().map_err(|_| TransferError::Order)?;
    let file = FileId::from_digest(digest);
    match order.work.ok_or(TransferError::Order)? {
        Work::Store(_) => take(order.transfer_id, file, client, store).await,
        Work::Send(_) => give(order.transfer_id, file, client, store).await,
        Work::Drop(_) => {
            let dropped = tokio::task::spawn_blocking(move || store.drop_file(file)).await;
            match dropped.map_err(|_| TransferError::Broken)? {
                Ok(was_there) => {
                    info!(%file, was_there, "file dropped; a later sweep removes its chunks")
                }
                Err(problem) => return Err(TransferError::Store(chain(&problem).to_string())),
            }
            Ok(())
        }
    }
}

/// Opens the call of a transfer. What is put into the sender goes to the controller.
async fn call(
    id: u64,
    mut client: AgentLinkClient<Channel>,
) -> Result<(mpsc::Sender<FilePart>, Streaming<FilePart>), TransferError> {
    let (sender, receiver) = mpsc::channel(PARTS);
    sender
        .try_send(FilePart {
            part: Some(Part::TransferId(id)),
        })
        .expect("the queue is new and empty");
    let answer = client.file(ReceiverStream::new(receiver)).await;
    let inbound = answer
        .map_err(|status| TransferError::Call(Box::new(status)))?
        .into_inner();
    Ok((sender, inbound))
}

fn end(error: String) -> FilePart {
    FilePart {
        part: Some(Part::End(FileEnd { error })),
    }
}

/// Stores what the controller sends and tells it how that went.
async fn take(
    id: u64,
    file: FileId,
    client: AgentLinkClient<Channel>,
    store: Arc<Store>,
) -> Result<(), TransferError> {
    let (sender, mut inbound) = call(id, client).await?;
    let (parts, source) = mpsc::channel(PARTS);
    let writing = tokio::task::spawn_blocking(move || {
        let mut source = Source {
            parts: source,
            part: Bytes::new(),
            ended: false,
        };
        store
            .put_file(file, &mut source)
            .map_err(|problem| chain(&problem).to_string())
    });
    let received = receive(&mut inbound, &parts).await;
    drop(parts);
    let written = writing.await.map_err(|_| TransferError::Broken)?;
    let result = match (received, written) {
        (Err(error), _) => Err(error),
        (Ok(()), Err(problem)) => Err(TransferError::Store(problem)),
        (Ok(()), Ok(size)) => {
            info!(%file, %size, "file stored");
            foghorn_faults::wait!("agent.snapin.stored");
            Ok(())
        }
    };
    let told = sender
        .send(end(result
            .as_ref()
            .err()
            .map(ToString::to_string)
            .unwrap_or_default()))
        .await;
    told.map_err(|_| TransferError::Broken)?;
    // The controller hangs up when it has read the answer; leaving earlier could take it away
    // again.
    while let Ok(Some(_)) = inbound.message().await {}
    result
}

/// Passes parts on until the end, which is passed on too: a source that just stops is not whole.
async fn receive(
    inbound: &mut Streaming<FilePart>,
    parts: &mpsc::Sender<Option<Bytes>>,
) -> Result<(), TransferError> {
    loop {
        let message = tokio::time::timeout(SILENT_WITHIN, inbound.message()).await;
        let message = message
            .map_err(|_| TransferError::Broken)?
            .map_err(|_| TransferError::Broken)?;
        match message.and_then(|message| message.part) {
            // When the store has given up it says why itself.
            Some(Part::Data(data)) => {
                if parts.send(Some(Bytes::from(data))).await.is_err() {
                    return Ok(());
                }
            }
            Some(Part::End(end)) if end.error.is_empty() => {
                let _given_up = parts.send(None).await;
                return Ok(());
            }
            Some(Part::End(end)) => return Err(TransferError::Refused(end.error)),
            Some(Part::TransferId(_)) | None => return Err(TransferError::Broken),
        }
    }
}

/// Sends a file to the controller.
async fn give(
    id: u64,
    file: FileId,
    client: AgentLinkClient<Channel>,
    store: Arc<Store>,
) -> Result<(), TransferError> {
    let (sender, mut inbound) = call(id, client).await?;
    let parts = sender.clone();
    let reading = tokio::task::spawn_blocking(move || {
        let mut take = |part: Bytes| {
            parts
                .blocking_send(FilePart {
                    part: Some(Part::Data(part.to_vec())),
                })
                .is_ok()
        };
        store
            .read_file(file, &mut take)
            .map_err(|problem| chain(&problem).to_string())
    });
    let result = reading.await.map_err(|_| TransferError::Broken)?;
    let told = sender
        .send(end(result.as_ref().err().cloned().unwrap_or_default()))
        .await;
    drop(sender);
    while let Ok(Some(_)) = inbound.message().await {}
    debug!(%file, "file sent");
    match (result, told) {
        (Err(problem), _) => Err(TransferError::Store(problem)),
        (Ok(_), Err(_)) => Err(TransferError::Broken),
        (Ok(_), Ok(())) => Ok(()),
    }
}

/// Parts from a queue as something to read. `None` in the queue is the end; a queue that closes
/// before it has lost the rest.
struct Source {
    parts: mpsc::Receiver<Option<Bytes>>,
    part: Bytes,
    ended: bool,
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.part.is_empty() && !self.ended {
            match self.parts.blocking_recv() {
                Some(Some(part)) => self.part = part,
                Some(None) => self.ended = true,
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
        let len = self.part.len().min(buffer.len());
        buffer[..len].copy_from_slice(&self.part.split_to(len));
        Ok(len)
    }
}
