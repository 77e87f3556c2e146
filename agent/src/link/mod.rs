//! The one connection to the controller: the agent connects, reports what it is doing, and takes
//! orders.
//!
//! A link comes and goes; what it serves does not. Nothing here is awaited by a transfer, and
//! everything that must reach the controller waits in the [`Outbox`] until it has.

mod complaint;
mod controllers;
mod dial;
mod elsewhere;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use foghorn_proto::link::agent_link_client::AgentLinkClient;
use foghorn_proto::link::controller_message::Message as FromController;
use foghorn_proto::link::{
    AgentMessage, ControllerMessage, Hello, RenewCertificateRequest, agent_message,
};
use foghorn_types::{Timestamp, chain};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tonic::{Status, Streaming};
use tracing::{debug, error, info, warn};

use self::complaint::Complaint;
pub(crate) use self::controllers::Controllers;
use self::controllers::Turn;
use self::elsewhere::Elsewhere;
use crate::backoff::Backoff;
use crate::files::Files;
use crate::identity::{NodeIdentity, RenewError, Renewal};
use crate::jobs::Jobs;
use crate::outbox::Outbox;
use crate::replicas::Replicas;
use crate::sessions::Sessions;
use crate::wake::Waker;

/// Name and version, as the controller sees it.
const SOFTWARE: &str = concat!("foghorn-agent ", env!("CARGO_PKG_VERSION"));

/// Messages on their way into the socket. Everything else stays in the outbox, where it can still
/// be replaced.
const IN_FLIGHT: usize = 16;
/// A controller that takes longer to accept a link, or to renew a certificate, is considered
/// unreachable.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// After a link that lasted this long, the next failure starts from the shortest wait.
const GOOD_AFTER: Duration = Duration::from_secs(5);
/// A link that was open is tried again at the latest after this time, so that a controller that goes
/// is not missed for long, and one that takes no link for long is not asked all the time.
const SOON: Duration = Duration::from_secs(2);
/// A renewal that was refused is asked for again after this long.
const RENEW_AGAIN: Duration = Duration::from_secs(10);

/// Keeps a link up until it is cancelled.
pub(crate) struct ControllerLink {
    pub state_dir: PathBuf,
    pub identity: watch::Sender<Arc<NodeIdentity>>,
    /// Where clients reach this node.
    pub quic_address: String,
    pub outbox: Arc<Outbox>,
    pub sessions: Arc<Sessions>,
    pub jobs: Arc<Jobs>,
    pub waker: Waker,
    pub files: Arc<Files>,
    pub replicas: Arc<Replicas>,
    pub redial: (Duration, Duration),
    /// Where the controllers are.
    pub controllers: Controllers,
    /// Tells this process from others with the same certificate.
    pub process: u64,
    /// Links that it has opened.
    pub dialled: AtomicU64,
    /// Whether a link is up, for whoever wants to know.
    pub linked: Arc<AtomicBool>,
    pub cancel: CancellationToken,
}

#[derive(Debug, thiserror::Error)]
enum LinkError {
    #[error("could not reach the controller at {address}")]
    Dial {
        address: String,
        source: dial::DialError,
    },
    #[error("the controller did not accept the link")]
    Open(#[source] Box<Status>),
    #[error("the controller did not answer in time")]
    Silent,
    #[error("the link was lost")]
    Broken(#[source] Box<Status>),
    #[error("the controller closed the link")]
    Closed,
}

/// Why a link that was up came to its end without a fault.
enum LinkEnd {
    Cancelled,
    /// A new certificate is there; the next link shows it.
    Renewed,
    /// The controller leaves, and another one has taken the link.
    Moved(Box<OpenLink>),
}

/// Whatever can happen on a link.
enum Event {
    Cancelled,
    Received(Result<Option<ControllerMessage>, Status>),
    Sent(bool),
    RenewalDue,
    Renewed(Result<NodeIdentity, RenewCallError>),
    /// A link to another controller is open.
    Elsewhere(OpenLink),
}

#[derive(Debug, thiserror::Error)]
enum RenewCallError {
    #[error("the controller did not renew the certificate")]
    Call(#[source] Box<Status>),
    #[error("the controller did not answer in time")]
    Silent,
    #[error(transparent)]
    Renew(#[from] RenewError),
}

impl ControllerLink {
    /// Runs until cancelled.
    pub(crate) async fn run(self) {
        let mut backoff = Backoff::new(self.redial.0, self.redial.1);
        let mut complaint = Complaint::default();
        while !self.cancel.is_cancelled() {
            let started = Instant::now();
            match self.one_link().await {
                Ok(LinkEnd::Cancelled) => return,
                Ok(LinkEnd::Renewed | LinkEnd::Moved(_)) => {
                    backoff.reset();
                    continue;
                }
                Err(problem) => {
                    if started.elapsed() >= GOOD_AFTER {
                        complaint = Complaint::default();
                    }
                    complaint.about(&problem, Instant::now());
                }
            }
            if started.elapsed() >= GOOD_AFTER {
                backoff.reset();
            }
            let wait = self.wait(&mut backoff);
            debug!(?wait, "connecting again");
            tokio::select! {
                () = sleep(wait) => {}
                () = self.cancel.cancelled() => {}
            }
        }
    }

    /// The back-off grows with each round through all controllers, not with each of them.
    fn wait(&self, backoff: &mut Backoff) -> Duration {
        let random = getrandom::u32().unwrap_or(u32::MAX / 2);
        let turn = self.controllers.turn(&self.identity.borrow().link_address);
        match turn {
            Turn::Other => self.redial.0,
            Turn::Again => {
                backoff.ease(SOON);
                backoff.next(random)
            }
            Turn::Round => backoff.next(random),
        }
    }

    async fn one_link(&self) -> Result<LinkEnd, LinkError> {
        let identity = self.identity.borrow().clone();
        let opened = tokio::select! {
            opened = self.open(&identity) => opened?,
            () = self.cancel.cancelled() => return Ok(LinkEnd::Cancelled),
        };
        info!(controller = opened.address, "link to the controller is up");
        self.linked.store(true, Ordering::Relaxed);
        let ended = self.driven_on(opened, &identity).await;
        self.linked.store(false, Ordering::Relaxed);
        ended
    }

    /// Drives a link, and the ones to which controllers that leave hand it over.
    async fn driven_on(
        &self,
        opened: OpenLink,
        identity: &Arc<NodeIdentity>,
    ) -> Result<LinkEnd, LinkError> {
        let mut ended = self.driven(opened, identity).await?;
        while let LinkEnd::Moved(next) = ended {
            info!(
                controller = next.address,
                "the controller leaves; the link is at another one"
            );
            // What the old link may have swallowed is due again, although the new one was opened
            // before.
            self.outbox.moved();
            ended = self.driven(*next, identity).await?;
        }
        Ok(ended)
    }

    async fn open(&self, identity: &NodeIdentity) -> Result<OpenLink, LinkError> {
        let address = self.controllers.next(&identity.link_address);
        self.open_at(identity, address).await
    }

    async fn open_at(
        &self,
        identity: &NodeIdentity,
        address: String,
    ) -> Result<OpenLink, LinkError> {
        let channel = dial::dial(identity, &address)
            .await
            .map_err(|source| LinkError::Dial {
                address: address.clone(),
                source,
            })?;
        let mut client = AgentLinkClient::new(channel);
        let (sender, receiver) = mpsc::channel(IN_FLIGHT);
        sender
            .try_send(self.hello())
            .expect("the queue is new and empty");
        let answer = timeout(ANSWER_WITHIN, client.link(ReceiverStream::new(receiver))).await;
        let inbound = answer
            .map_err(|_| LinkError::Silent)?
            .map_err(|status| LinkError::Open(Box::new(status)))?
            .into_inner();
        self.controllers.works(&address);
        Ok(OpenLink {
            address,
            client,
            sender,
            inbound,
        })
    }

    fn hello(&self) -> AgentMessage {
        let status = self.outbox.begin_link();
        let mut sessions: Vec<u32> = self
            .sessions
            .open_tasks()
            .into_iter()
            .map(foghorn_types::TaskId::get)
            .collect();
        sessions.extend(
            self.outbox
                .unrecorded()
                .into_iter()
                .map(foghorn_types::TaskId::get),
        );
        let hello = Hello {
            software: SOFTWARE.to_owned(),
            quic_address: self.quic_address.clone(),
            sessions,
            status,
            process: self.process,
            dialled: self.dialled.fetch_add(1, Ordering::Relaxed) + 1,
            gives_further: true,
        };
        AgentMessage {
            message: Some(agent_message::Message::Hello(hello)),
        }
    }

    /// As [`ControllerLink::drive`]. One whose link breaks may hang, and is not the first to be asked.
    async fn driven(
        &self,
        open: OpenLink,
        identity: &Arc<NodeIdentity>,
    ) -> Result<LinkEnd, LinkError> {
        let ended = self.drive(open, identity).await;
        if ended.is_err() {
            self.controllers.broke(&identity.link_address);
        }
        ended
    }

    async fn drive(
        &self,
        mut open: OpenLink,
        identity: &Arc<NodeIdentity>,
    ) -> Result<LinkEnd, LinkError> {
        let mut renew_at = Instant::now() + identity.renew_at().since(Timestamp::now());
        let mut renewal = tokio::task::JoinSet::new();
        let mut elsewhere = Elsewhere::default();
        loop {
            let idle = renewal.is_empty();
            let event = tokio::select! {
                () = self.cancel.cancelled() => Event::Cancelled,
                message = open.inbound.message() => Event::Received(message),
                sent = self.send_next(&open.sender) => Event::Sent(sent),
                () = tokio::time::sleep_until(renew_at), if idle => Event::RenewalDue,
                next = elsewhere.opened() => Event::Elsewhere(next),
                Some(done) = renewal.join_next() => Event::Renewed(done.unwrap_or(Err(RenewCallError::Silent))),
            };
            match event {
                Event::Cancelled => return Ok(LinkEnd::Cancelled),
                Event::Received(Ok(Some(ControllerMessage {
                    message: Some(FromController::Leave(leave)),
                }))) => {
                    info!(others = leave.links.len(), "the controller leaves");
                    elsewhere.look(self, identity, leave.links);
                }
                Event::Received(Ok(Some(message))) => self.obey(message, &open.client),
                Event::Received(Ok(None)) => return elsewhere.last(LinkError::Closed).await,
                Event::Received(Err(status)) => {
                    return elsewhere.last(LinkError::Broken(Box::new(status))).await;
                }
                Event::Sent(true) => {}
                Event::Sent(false) => return elsewhere.last(LinkError::Closed).await,
                Event::Elsewhere(next) => return Ok(LinkEnd::Moved(Box::new(next))),
                Event::RenewalDue => {
                    renewal.spawn(renew(
                        open.client.clone(),
                        identity.clone(),
                        self.state_dir.clone(),
                    ));
                }
                Event::Renewed(Ok(renewed)) => {
                    info!(expires = %renewed.expires, "certificate renewed");
                    self.identity.send_replace(Arc::new(renewed));
                    return Ok(LinkEnd::Renewed);
                }
                Event::Renewed(Err(problem)) => {
                    error!(
                        error = %chain(&problem),
                        expires = %identity.expires,
                        "could not renew the certificate"
                    );
                    renew_at = Instant::now() + RENEW_AGAIN;
                }
            }
        }
    }

    /// Moves one message from the outbox into the socket's queue; false when the link no longer
    /// takes any. Cancel-safe.
    async fn send_next(&self, sender: &mpsc::Sender<AgentMessage>) -> bool {
        let Ok(place) = sender.reserve().await else {
            return false;
        };
        // The place comes first: what has left the outbox could no longer be replaced by something
        // newer.
        place.send(self.outbox.next().await);
        true
    }

    fn obey(&self, message: ControllerMessage, client: &AgentLinkClient<Channel>) {
        match message.message {
            Some(FromController::Reconcile(all)) => {
                self.sessions.reconcile(all.sessions, all.behind);
                self.jobs.compare(&all.keep);
                self.controllers
                    .learn(all.controllers.unwrap_or_default().links);
                // A controller of an earlier version copies nothing.
                self.replicas.obey(all.replicas.unwrap_or_default());
                if !all.behind {
                    self.sessions.serve_further(all.further.unwrap_or_default());
                }
            }
            Some(FromController::Open(order)) => self.sessions.open(order),
            Some(FromController::Admit(admit)) => self.sessions.admit(admit),
            Some(FromController::Cancel(cancel)) => self.sessions.cancel(cancel),
            Some(FromController::EndedRecorded(recorded)) => self.sessions.recorded(recorded),
            Some(FromController::Job(job)) => self.jobs.start(job),
            Some(FromController::Controllers(all)) => self.controllers.learn(all.links),
            Some(FromController::Wake(order)) => self.waker.wake(order),
            Some(FromController::Replicas(orders)) => self.replicas.obey(orders),
            Some(FromController::Further(orders)) => self.sessions.serve_further(orders),
            Some(FromController::File(order)) => self.files.obey(order, client.clone()),
            // Taken where the link is driven.
            Some(FromController::Leave(_)) => {}
            None => warn!("the controller sent a message that this version does not know"),
        }
    }
}

/// A link that the controller has accepted.
struct OpenLink {
    /// Of the controller.
    address: String,
    client: AgentLinkClient<Channel>,
    sender: mpsc::Sender<AgentMessage>,
    inbound: Streaming<ControllerMessage>,
}

async fn renew(
    mut client: AgentLinkClient<Channel>,
    present: Arc<NodeIdentity>,
    state_dir: PathBuf,
) -> Result<NodeIdentity, RenewCallError> {
    let renewal = Renewal::start()?;
    let request = RenewCertificateRequest {
        csr_der: renewal.csr_der().to_vec(),
    };
    foghorn_faults::wait!("agent.renew.before-request");
    let answer = timeout(ANSWER_WITHIN, client.renew_certificate(request)).await;
    let chain = answer
        .map_err(|_| RenewCallError::Silent)?
        .map_err(|status| RenewCallError::Call(Box::new(status)))?;
    let chain = chain.into_inner().chain_der;
    let finished =
        tokio::task::spawn_blocking(move || renewal.finish(&state_dir, &present, &chain)).await;
    Ok(finished.map_err(|_| RenewCallError::Silent)??)
}
