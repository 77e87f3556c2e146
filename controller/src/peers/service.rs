//! The side that is called: tells what the agents here say, and passes on orders for them.

use std::sync::Arc;
use std::time::Duration;

use foghorn_proto::link::controller_message::Message;
use foghorn_proto::link::peer_event::Event;
use foghorn_proto::link::peer_link_server::PeerLink;
use foghorn_proto::link::peer_order::Order;
use foghorn_proto::link::{FilePart, NodeOrder, PeerEvent, PeerOrder, file_part};
use foghorn_types::{CertificateName, StorageNodeId, chain};
use futures_util::{Stream, StreamExt as _};
use tokio::sync::{broadcast, mpsc};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status, Streaming};
use tracing::{Instrument, debug, info, info_span};

use crate::agents::files::{NODE_HEADER, PARTS};
use crate::ctx::Ctx;
use crate::link::reports;
use crate::trust::peer_name;

/// Time limit for the first message of a call.
const FIRST_WITHIN: Duration = Duration::from_secs(10);
/// How far this controller has come is told at least this often.
const TELL_EVERY: Duration = Duration::from_millis(500);
/// Events in flight to one caller; the rest waits in the mirror.
const IN_FLIGHT: usize = 256;

/// What another controller sends: over gRPC, or as a simulation has it.
pub(crate) trait Orders: Stream<Item = Result<PeerOrder, Status>> + Send + Unpin {}

impl<S: Stream<Item = Result<PeerOrder, Status>> + Send + Unpin> Orders for S {}

/// The gRPC service for other controllers.
pub struct PeerService {
    ctx: Arc<Ctx>,
    tasks: TaskTracker,
    cancel: CancellationToken,
}

impl PeerService {
    #[must_use]
    pub fn new(ctx: Arc<Ctx>, tasks: TaskTracker, cancel: CancellationToken) -> Self {
        Self { ctx, tasks, cancel }
    }

    /// Takes the call of another controller that has proved that it is one.
    ///
    /// # Errors
    /// When it calls somebody else, or does not say whom.
    pub(crate) async fn answer(
        &self,
        mut orders: impl Orders + 'static,
    ) -> Result<mpsc::Receiver<Result<PeerEvent, Status>>, Status> {
        let first = timeout(FIRST_WITHIN, orders.next()).await;
        let first = first.map_err(|_| Status::deadline_exceeded("the hello is missing"))?;
        let first = first.transpose()?;
        let Some(Order::Hello(hello)) = first.and_then(|first| first.order) else {
            return Err(Status::invalid_argument("the first order must be a hello"));
        };
        if hello.called != self.ctx.peers.own() {
            let why = "the controller that is called is gone, another one has its address";
            return Err(Status::failed_precondition(why));
        }
        let (events, stream) = mpsc::channel(IN_FLIGHT);
        let (ctx, cancel) = (self.ctx.clone(), self.cancel.child_token());
        let span = info_span!("caller", controller = hello.controller);
        let talk = async move {
            info!(software = hello.software, "another controller calls");
            let both = async {
                tokio::select! {
                    biased;
                    () = tell(&ctx, &events) => {}
                    () = obey(&ctx, &hello.controller, orders) => {}
                }
            };
            cancel.run_until_cancelled(both).await;
            debug!("the call of another controller has ended");
        };
        self.tasks.spawn(talk.instrument(span));
        Ok(stream)
    }
}

/// Whoever calls must be a controller.
fn only_controllers<T>(request: &Request<T>) -> Result<(), Status> {
    let certificates = request.peer_certs();
    let leaf = certificates.as_ref().and_then(|all| all.first());
    match leaf.map(|leaf| peer_name(leaf)) {
        Some(Ok(CertificateName::Controller)) => Ok(()),
        _ => {
            debug!("refused a call that is only for controllers");
            Err(Status::permission_denied("only controllers may call this"))
        }
    }
}

#[tonic::async_trait]
impl PeerLink for PeerService {
    type TalkStream = ReceiverStream<Result<PeerEvent, Status>>;
    type FileStream = ReceiverStream<Result<FilePart, Status>>;

    async fn talk(
        &self,
        request: Request<Streaming<PeerOrder>>,
    ) -> Result<Response<Self::TalkStream>, Status> {
        only_controllers(&request)?;
        let events = self.answer(request.into_inner()).await?;
        Ok(Response::new(ReceiverStream::new(events)))
    }

    async fn file(
        &self,
        request: Request<Streaming<FilePart>>,
    ) -> Result<Response<Self::FileStream>, Status> {
        only_controllers(&request)?;
        let node = request.metadata().get(NODE_HEADER);
        let node = node
            .and_then(|node| node.to_str().ok()?.parse().ok())
            .and_then(StorageNodeId::new)
            .ok_or_else(|| Status::invalid_argument("the node is missing"))?;
        let mut inbound = request.into_inner();
        let first = timeout(FIRST_WITHIN, inbound.message()).await;
        let first =
            first.map_err(|_| Status::deadline_exceeded("the transfer id is missing"))??;
        let Some(file_part::Part::TransferId(id)) = first.and_then(|first| first.part) else {
            return Err(Status::invalid_argument("the transfer id is missing"));
        };
        let (outgoing, parts) = mpsc::channel(PARTS);
        let transfer = self.ctx.files.call(node, id, inbound, outgoing)?;
        let cancel = self.cancel.child_token();
        self.tasks
            .spawn(async move { cancel.run_until_cancelled(transfer).await });
        Ok(Response::new(ReceiverStream::new(parts)))
    }
}

type Events = mpsc::Sender<Result<PeerEvent, Status>>;

/// Tells all that is known, and then what comes, until the caller no longer listens or is too far
/// behind: then it calls again and begins anew.
async fn tell(ctx: &Ctx, events: &Events) {
    let (all, mut news) = ctx.mirror.listen();
    for event in all.into_iter().chain([Event::AllTold(true)]) {
        if !send(events, event).await {
            return;
        }
    }
    let mut tables = ctx.state.changed();
    let mut tick = tokio::time::interval(TELL_EVERY);
    loop {
        let event = tokio::select! {
            biased;
            event = news.recv() => match event {
                Ok(event) => Event::clone(&event),
                Err(broadcast::error::RecvError::Lagged(missed)) => {
                    return debug!(missed, "another controller is too far behind");
                }
                Err(broadcast::error::RecvError::Closed) => return,
            },
            changed = tables.changed() => {
                if changed.is_err() {
                    return;
                }
                Event::Reached(*tables.borrow_and_update())
            }
            _ = tick.tick() => Event::Reached(*tables.borrow()),
        };
        if !send(events, event).await {
            return;
        }
    }
}

async fn send(events: &Events, event: Event) -> bool {
    let event = PeerEvent { event: Some(event) };
    events.send(Ok(event)).await.is_ok()
}

/// Passes on orders, as long as they come.
async fn obey(ctx: &Ctx, controller: &str, mut orders: impl Orders) {
    while let Some(Ok(order)) = orders.next().await {
        match order.order {
            Some(Order::Node(order)) => pass_on(ctx, controller, order),
            Some(Order::CutNodeId(node)) => {
                if let Some(node) = StorageNodeId::new(node) {
                    ctx.links.cut(node);
                }
            }
            Some(Order::Hello(_)) | None => debug!("an order that this version does not know"),
        }
    }
}

fn pass_on(ctx: &Ctx, controller: &str, order: NodeOrder) {
    let node = StorageNodeId::new(order.node_id);
    let message = order.message.and_then(|message| message.message);
    let (Some(node), Some(message)) = (node, message) else {
        return;
    };
    // The link may have moved on in the meantime; two controllers must not pass it to each other.
    if !ctx.links.here().iter().any(|here| here.node == node) {
        return debug!(%node, "the storage node is no longer linked here");
    }
    let message = match message {
        Message::File(order) => Message::File(ctx.files.passed_on(node, controller, order)),
        Message::Job(job) => {
            if let Ok(work) = reports::work_of(&job) {
                let now = foghorn_types::Timestamp::now();
                ctx.jobs.learn(job.job_id, node, work, now);
            }
            Message::Job(job)
        }
        other => other,
    };
    if let Err(refused) = ctx.links.send(node, message) {
        debug!(%node, error = %chain(&refused), "could not pass on an order");
    }
}
