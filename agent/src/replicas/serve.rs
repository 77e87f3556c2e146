//! The end of a copy that gives: the manifest and exactly its chunks, as they lie on disk, to the
//! one node that the controller has named.

use std::sync::Arc;

use foghorn_chunk_store::StoredChunk;
use foghorn_transport::server::{FetchLane, PartReply, WantedChunks};
use foghorn_transport::{Incoming, RefusalCode, Request, Session, SessionKind, StreamError};
use foghorn_types::{CertificateName, ChunkId, chain};
use futures_util::{Stream, StreamExt, TryStreamExt, pin_mut, stream};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, error, info, info_span, warn};

use super::Replicas;
use super::order::ServeOrder;
use crate::disk::ReadError;
use crate::served_image::ServedImage;

/// Chunks of one lane that are read before they are needed.
const READ_AHEAD: usize = 4;
/// Requests of one node at a time; each lane is one.
const REQUESTS: usize = 16;

/// Why a node is not served.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("no copy {0} is ordered from this node")]
    NotOrdered(u32),
    #[error("copy {copy} is ordered for {wanted}, not for {found}")]
    OtherNode {
        copy: u32,
        wanted: CertificateName,
        found: CertificateName,
    },
}

impl Refusal {
    fn code(&self) -> RefusalCode {
        match self {
            // The order may be on its way.
            Self::NotOrdered(_) => RefusalCode::NotReady,
            Self::OtherNode { .. } => RefusalCode::NotOrdered,
        }
    }
}

impl Replicas {
    /// Serves a node that came for a copy until it leaves, the order is withdrawn, or this node goes
    /// down.
    pub(crate) async fn serve(self: Arc<Self>, incoming: Incoming, cancel: CancellationToken) {
        let copy = incoming.hello.task.get();
        let span = info_span!("copy", copy, peer = %incoming.peer);
        let work = async move {
            match self.admitted(&incoming, copy).await {
                Ok((order, stop)) => self.give(incoming, order, stop, cancel).await,
                Err(refusal) => {
                    warn!(error = %chain(&refusal), "refused a node");
                    incoming.refuse(refusal.code(), &refusal.to_string());
                }
            }
        };
        work.instrument(span).await;
    }

    /// The order and the node travel different ways: one that is early waits a little.
    async fn admitted(
        &self,
        incoming: &Incoming,
        copy: u32,
    ) -> Result<(ServeOrder, CancellationToken), Refusal> {
        let until = Instant::now() + self.admission_wait;
        let mut changed = self.changed.subscribe();
        let (order, stop) = loop {
            if let Some(served) = self.served(copy) {
                break served;
            }
            if timeout_at(until, changed.changed()).await.is_err() {
                return Err(Refusal::NotOrdered(copy));
            }
        };
        let wanted = CertificateName::Node(order.node.clone());
        if wanted == incoming.peer {
            return Ok((order, stop));
        }
        Err(Refusal::OtherNode {
            copy,
            wanted,
            found: incoming.peer.clone(),
        })
    }

    async fn give(
        self: Arc<Self>,
        incoming: Incoming,
        order: ServeOrder,
        stop: CancellationToken,
        cancel: CancellationToken,
    ) {
        let image = match self.images.get(order.manifest).await {
            Ok(image) => image,
            Err(problem) => {
                let problem = chain(&problem).to_string();
                warn!(error = problem, "an image cannot be copied from here");
                return incoming.refuse(RefusalCode::NotOrdered, &problem);
            }
        };
        let kind = SessionKind::Deploy {
            manifest: order.manifest,
        };
        match incoming.welcome(kind).await {
            Ok(session) => {
                info!("a node copies an image from here");
                let giver = Giver {
                    replicas: self,
                    image,
                };
                giver.run(session, stop, cancel).await;
            }
            Err(problem) => debug!(error = %chain(&problem), "the node left again"),
        }
    }
}

/// Serves one connection.
#[derive(Clone)]
struct Giver {
    replicas: Arc<Replicas>,
    image: Arc<ServedImage>,
}

impl Giver {
    async fn run(self, mut session: Session, stop: CancellationToken, cancel: CancellationToken) {
        let mut tasks = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                () = cancel.cancelled() => return session.interrupt("this node goes down"),
                () = stop.cancelled() => return session.cancel("this copy is no longer ordered"),
                Some(done) = tasks.join_next() => {
                    if let Ok(Err(problem)) = done {
                        debug!(error = %chain(&problem), "could not answer a node completely");
                    }
                }
                request = session.next_request() => match request {
                    Ok(_) if tasks.len() >= REQUESTS => warn!("a node makes too many requests"),
                    Ok(request) => {
                        tasks.spawn(self.clone().answer(request).in_current_span());
                    }
                    Err(reason) => return debug!(%reason, "the node has left"),
                },
            }
        }
    }

    async fn answer(self, request: Request) -> Result<(), StreamError> {
        const NOTHING: &str = "a copy stores nothing here";
        match request {
            Request::FetchManifest(reply) => reply.send(self.image.encoded.clone()).await,
            Request::FetchPart(number, reply) => self.send_part(number, reply).await,
            Request::Fetch(lane) => self.serve_lane(lane).await,
            Request::Finished(_, reply) => reply.recorded().await,
            Request::WhichAreStored(_, reply) => reply.refuse(NOTHING).await,
            Request::StoreManifest(_, reply) => reply.refuse(NOTHING).await,
            Request::StorePart(_, _, reply) => reply.refuse(NOTHING).await,
            Request::JoinMulticast(lane) => lane.notices.refuse("a copy has no group").await,
            // Dropping a lane unanswered resets it.
            Request::Store(_)
            | Request::Progress(_)
            | Request::Elsewhere(_)
            | Request::MulticastReport(_) => Ok(()),
        }
    }

    async fn send_part(&self, number: u32, reply: PartReply) -> Result<(), StreamError> {
        let Some(id) = self.image.parts.get(number as usize).copied() else {
            return reply.refuse("the manifest has no such part").await;
        };
        let disk = &self.replicas.shared.disk;
        match disk.run(move |store| store.read_part(id)).await {
            Ok(part) => {
                self.replicas.serving.take(part.len() as u64).await;
                reply.send(part).await
            }
            Err(problem) => {
                let problem = chain(&problem).to_string();
                error!(error = problem, "a part of a manifest cannot be given");
                reply.refuse(&problem).await
            }
        }
    }

    async fn serve_lane(self, lane: FetchLane) -> Result<(), StreamError> {
        let FetchLane { wanted, mut chunks } = lane;
        let reads = ids(wanted)
            .and_then(|id| std::future::ready(self.allow(id)))
            .map_ok(|id| self.read(id))
            .try_buffered(READ_AHEAD);
        pin_mut!(reads);
        while let Some(read) = reads.next().await {
            let (id, chunk) = read?;
            match chunk {
                Ok(chunk) => {
                    let bytes = chunk.compressed.len() as u64;
                    self.replicas.serving.take(bytes).await;
                    chunks.send(id, chunk.plain_len, chunk.compressed).await?;
                }
                Err(problem) => {
                    let problem = chain(&problem).to_string();
                    error!(chunk = %id, error = problem, "a chunk cannot be copied from here");
                    chunks.unavailable(id, &problem).await?;
                }
            }
        }
        chunks.finish();
        Ok(())
    }

    /// A node has no business with chunks outside the image.
    fn allow(&self, id: ChunkId) -> Result<ChunkId, StreamError> {
        if self.image.chunks.number(&id).is_some() {
            return Ok(id);
        }
        warn!(chunk = %id, "a node requested a chunk outside the image that it copies");
        let reason = format!("chunk {id} is not part of the image");
        Err(StreamError::Refused { reason })
    }

    async fn read(
        &self,
        id: ChunkId,
    ) -> Result<(ChunkId, Result<StoredChunk, ReadError>), StreamError> {
        let disk = &self.replicas.shared.disk;
        Ok((id, disk.read(self.image.manifest, id).await))
    }
}

/// The ids that come in on a lane, one by one.
fn ids(wanted: WantedChunks) -> impl Stream<Item = Result<ChunkId, StreamError>> {
    stream::unfold(wanted, async |mut wanted| {
        let ids = wanted.next().await?;
        Some((ids, wanted))
    })
    .map_ok(|ids| stream::iter(ids.into_iter().map(Ok)))
    .try_flatten()
}
