//! The gRPC side of the links: authentication and the calls.

use std::sync::Arc;
use std::time::Duration;

use foghorn_proto::link::agent_link_server::AgentLink;
use foghorn_proto::link::{
    AgentMessage, ControllerMessage, FilePart, RenewCertificateRequest, RenewCertificateResponse,
    file_part,
};
use foghorn_types::{CertificateName, NodeName, StorageNodeId, chain};
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status, Streaming};
use tracing::{Instrument, info, info_span, warn};

use super::age::is_older_than_enrolment;
use super::session;
use crate::agents::files::{NODE_HEADER, PARTS};
use crate::agents::links::QUEUE;
use crate::app::enrolment;
use crate::ctx::Ctx;
use crate::state::classes::StorageNode;
use crate::state::enrolment::EnrolledNode;
use crate::trust::peer_name;

/// Time limit for the first message of a file transfer.
const FIRST_PART_WITHIN: Duration = Duration::from_secs(10);

/// The gRPC service. Each link is a task of `tasks` and ends with `cancel`.
pub struct LinkService {
    ctx: Arc<Ctx>,
    tasks: TaskTracker,
    cancel: CancellationToken,
}

impl LinkService {
    #[must_use]
    pub fn new(ctx: Arc<Ctx>, tasks: TaskTracker, cancel: CancellationToken) -> Self {
        Self { ctx, tasks, cancel }
    }

    /// The calling node. What it may do depends only on the name in its certificate.
    fn caller<T>(&self, request: &Request<T>) -> Result<Arc<EnrolledNode>, Status> {
        let certificates = request
            .peer_certs()
            .ok_or_else(|| Status::unauthenticated("a certificate is required"))?;
        let leaf = certificates
            .first()
            .ok_or_else(|| Status::unauthenticated("a certificate is required"))?;
        let name = match peer_name(leaf) {
            Ok(CertificateName::Node(name)) => name,
            Ok(other) => {
                return Err(refuse(
                    &other.to_string(),
                    "only storage nodes may open a link",
                ));
            }
            Err(error) => return Err(refuse("unknown", &error.to_string())),
        };
        let node = self.enrolled(&name)?;
        if is_older_than_enrolment(leaf, &node) {
            return Err(refuse(
                name.as_str(),
                "this certificate is older than the enrolment of the storage node",
            ));
        }
        Ok(node)
    }

    /// Opens the link of a node that has proved who it is, with this certificate.
    ///
    /// # Errors
    /// When this controller is about to end.
    pub(crate) fn open(
        &self,
        (node, leaf): (Arc<EnrolledNode>, Option<Vec<u8>>),
        messages: impl session::Messages + 'static,
    ) -> Result<mpsc::Receiver<Result<ControllerMessage, Status>>, Status> {
        if self.ctx.leaving.has_begun() {
            // Behind one address, the next call may reach another one.
            let why = "this controller is about to end: call another one";
            return Err(Status::unavailable(why));
        }
        let (outgoing, orders) = mpsc::channel(QUEUE);
        let span = info_span!("link", node = %node.name, node_id = %node.node);
        let session = session::run(
            self.ctx.clone(),
            (node, leaf),
            messages,
            outgoing,
            self.cancel.child_token(),
        );
        self.tasks.spawn(session.instrument(span));
        Ok(orders)
    }

    /// The node with this name, if it may open a link.
    ///
    /// # Errors
    /// When it may not.
    pub(crate) fn enrolled(&self, name: &NodeName) -> Result<Arc<EnrolledNode>, Status> {
        let node = self.ctx.state.read(|tables| {
            let node = tables.enrolled_nodes().by_name(name)?;
            // The enrolment of a storage node is deleted with the node.
            tables
                .of::<StorageNode>()
                .get(node.node.get())
                .map(|_| node.clone())
        });
        let is_cloned = |node: &EnrolledNode| {
            self.ctx.state.read(|tables| {
                let hold = tables.node_holds().get(&node.node);
                hold.is_some_and(|hold| hold.cloned.is_some())
            })
        };
        match node {
            Some(node) if is_cloned(&node) => Err(refuse(
                name.as_str(),
                "two machines use the certificate of this storage node: end one of them, then \
                 `foghorn node readmit` it on the server",
            )),
            Some(node) if node.is_revoked() => {
                Err(refuse(name.as_str(), "this storage node was revoked"))
            }
            Some(node) => Ok(node),
            None => Err(refuse(name.as_str(), "this storage node is not enrolled")),
        }
    }
}

fn refuse(peer: &str, why: &str) -> Status {
    warn!(peer, why, "refused a connection on the link");
    Status::permission_denied(why)
}

/// Passes the call of an agent on to the controller that ordered the transfer.
async fn pass_on(
    ctx: &Ctx,
    controller: &str,
    node: StorageNodeId,
    id: u64,
    inbound: Streaming<FilePart>,
) -> Result<Streaming<FilePart>, Status> {
    let client = ctx.peers.client(controller);
    let mut client = client.ok_or_else(|| {
        Status::unavailable("the controller that ordered the transfer cannot be reached")
    })?;
    let first = FilePart {
        part: Some(file_part::Part::TransferId(id)),
    };
    // An error of the agent's stream ends the passed on one early, which the other end notices.
    let rest = inbound.map_while(Result::ok);
    let mut request = Request::new(tokio_stream::iter([first]).chain(rest));
    request
        .metadata_mut()
        .insert(NODE_HEADER, node.get().into());
    Ok(client.file(request).await?.into_inner())
}

/// Gives the agent what the other controller sends.
async fn relay(mut from: Streaming<FilePart>, to: mpsc::Sender<Result<FilePart, Status>>) {
    while let Some(part) = from.message().await.transpose() {
        if to.send(part).await.is_err() {
            return;
        }
    }
}

#[tonic::async_trait]
impl AgentLink for LinkService {
    type LinkStream = ReceiverStream<Result<ControllerMessage, Status>>;
    type FileStream = ReceiverStream<Result<FilePart, Status>>;

    async fn link(
        &self,
        request: Request<Streaming<AgentMessage>>,
    ) -> Result<Response<Self::LinkStream>, Status> {
        let node = self.caller(&request)?;
        let leaf = request
            .peer_certs()
            .and_then(|certificates| Some(certificates.first()?.to_vec()));
        let orders = self.open((node, leaf), request.into_inner())?;
        Ok(Response::new(ReceiverStream::new(orders)))
    }

    async fn file(
        &self,
        request: Request<Streaming<FilePart>>,
    ) -> Result<Response<Self::FileStream>, Status> {
        let node = self.caller(&request)?;
        let mut inbound = request.into_inner();
        let first = tokio::time::timeout(FIRST_PART_WITHIN, inbound.message()).await;
        let first =
            first.map_err(|_| Status::deadline_exceeded("the transfer id is missing"))??;
        let Some(file_part::Part::TransferId(id)) = first.and_then(|first| first.part) else {
            return Err(Status::invalid_argument(
                "the first part must contain the transfer id",
            ));
        };
        let (outgoing, parts) = mpsc::channel(PARTS);
        if let Some((controller, id)) = self.ctx.files.elsewhere(node.node, id) {
            let passed_on = pass_on(&self.ctx, &controller, node.node, id, inbound).await?;
            let cancel = self.cancel.child_token();
            self.tasks.spawn(async move {
                cancel.run_until_cancelled(relay(passed_on, outgoing)).await;
            });
            return Ok(Response::new(ReceiverStream::new(parts)));
        }
        let transfer = self.ctx.files.call(node.node, id, inbound, outgoing)?;
        let (cancel, span) = (
            self.cancel.child_token(),
            info_span!("file", node = %node.name, transfer = id),
        );
        self.tasks
            .spawn(async move { cancel.run_until_cancelled(transfer).await }.instrument(span));
        Ok(Response::new(ReceiverStream::new(parts)))
    }

    async fn renew_certificate(
        &self,
        request: Request<RenewCertificateRequest>,
    ) -> Result<Response<RenewCertificateResponse>, Status> {
        let node = self.caller(&request)?;
        foghorn_faults::wait!("controller.renew.before");
        let issued = self
            .ctx
            .trust
            .issue_node_der(&node.name, &request.get_ref().csr_der)
            .map_err(|error| {
                warn!(node = %node.name, error = %chain(&error), "could not renew a certificate");
                if error.is_bad_request() {
                    Status::invalid_argument(error.to_string())
                } else {
                    Status::internal("could not sign the certificate")
                }
            })?;
        // A controller that is behind does not know yet that somebody else has the place of this agent. The
        // certificate has its time by now: what changes after this look is later than it, and refuses it.
        match enrolment::is_current(&**self.ctx.state.store(), &node).await {
            Ok(true) => {}
            Ok(false) => {
                let why = "the enrolment of this storage node has changed: try again";
                return Err(Status::unavailable(why));
            }
            Err(error) => {
                warn!(node = %node.name, error = %chain(&error), "could not renew a certificate");
                return Err(Status::unavailable("the store does not answer: try again"));
            }
        }
        if foghorn_faults::lost!("controller.renew.issued") {
            return Err(Status::unavailable("the answer was made to get lost"));
        }
        info!(node = %node.name, not_after = %issued.not_after, "renewed a certificate");
        self.ctx.live.update_node(node.node, |live| {
            live.certificate_ends = Some(issued.not_after);
        });
        Ok(Response::new(RenewCertificateResponse {
            chain_der: vec![issued.der.to_vec()],
        }))
    }
}
