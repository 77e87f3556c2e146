//! One client's connection, from welcome to goodbye: requests in, each handed to whoever does it.

use std::net::IpAddr;
use std::sync::Arc;

use foghorn_proto::link::Stage as WireStage;
use foghorn_transport::{
    ClientOutcome, ClientProgress, EndReason, Incoming, RefusalCode, Request, Session, Stage,
};
use foghorn_transport::{SessionKind, StreamError};
use foghorn_types::{ManifestId, chain};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, info, warn};

use super::Sessions;
use super::capture::Capture;
use super::deploy::Deploy;
use super::order::{OrderKind, SessionOrder};
use super::outcome::SessionOutcome;
use super::progress::{ClientReport, Meter};
use super::table::{Admission, Stop};
use crate::outbox::Recorded;

/// Bulk streams that one client may have at a time; each holds at most one chunk beyond the budget.
const LANES: usize = 8;

/// What a connection is for, with what it needs.
#[derive(Clone)]
enum Work {
    Deploy(Deploy),
    Capture(Capture),
}

/// One connection of one session.
struct Connection {
    sessions: Arc<Sessions>,
    order: SessionOrder,
    meter: Arc<Meter>,
    work: Work,
    /// This node's address on the connection.
    local: Option<IpAddr>,
    tasks: JoinSet<Result<(), StreamError>>,
}

/// Why the connection's loop ended.
enum ConnectionEnd {
    ByClient(EndReason),
    Stopped(Stop),
    ShuttingDown,
}

/// Serves the client until it leaves, its session ends, or the node goes down.
pub(super) async fn serve(
    sessions: Arc<Sessions>,
    admission: Admission,
    incoming: Incoming,
    cancel: CancellationToken,
) {
    let Admission {
        order,
        meter,
        number,
        stop,
    } = admission;
    let (task, remote) = (order.task, incoming.remote_address());
    let Some(work) = prepare(&sessions, &order, &meter, &incoming).await else {
        incoming.refuse(RefusalCode::NotOrdered, "this node does not hold the image");
        return;
    };
    let kind = match order.kind {
        OrderKind::Deploy { manifest } => SessionKind::Deploy { manifest },
        OrderKind::Capture => SessionKind::Capture,
    };
    let software = incoming.hello.software.clone();
    let welcomed = match order.multicast {
        Some(_) => incoming.welcome_to_multicast(kind).await,
        None => incoming.welcome(kind).await,
    };
    match welcomed {
        Ok(session) => {
            info!(%remote, software, "client connected");
            let tasks = JoinSet::new();
            let local = session.local_ip();
            let connection = Connection {
                sessions: sessions.clone(),
                order,
                meter,
                work,
                local,
                tasks,
            };
            connection.run(session, stop, cancel).await;
        }
        Err(problem) => {
            debug!(
                %remote,
                error = %chain(&problem),
                "the client disconnected before it was accepted"
            )
        }
    }
    sessions.table().disconnected(task, number);
}

async fn prepare(
    sessions: &Arc<Sessions>,
    order: &SessionOrder,
    meter: &Arc<Meter>,
    incoming: &Incoming,
) -> Option<Work> {
    match order.kind {
        OrderKind::Capture => Some(Work::Capture(Capture::new(
            sessions.clone(),
            order,
            meter.clone(),
        ))),
        OrderKind::Deploy { manifest } => match sessions.images.get(manifest).await {
            Ok(image) => Some(Work::Deploy(Deploy::new(
                sessions.clone(),
                order,
                image,
                meter.clone(),
            ))),
            Err(problem) => {
                warn!(peer = %incoming.peer, error = %chain(&problem), "could not serve the image");
                sessions.fail(order.task, chain(&problem).to_string(), true);
                None
            }
        },
    }
}

impl Connection {
    async fn run(
        mut self,
        mut session: Session,
        mut stop: watch::Receiver<Option<Stop>>,
        cancel: CancellationToken,
    ) {
        let left = loop {
            tokio::select! {
                biased;
                stopped = stopped(&mut stop) => break ConnectionEnd::Stopped(stopped),
                () = cancel.cancelled() => break ConnectionEnd::ShuttingDown,
                Some(done) = self.tasks.join_next() => {
                    if let Ok(Err(problem)) = done {
                        debug!(error = %chain(&problem), "could not answer a request completely");
                    }
                }
                request = session.next_request() => match request {
                    Ok(request) => self.handle(request, &session),
                    Err(reason) => break ConnectionEnd::ByClient(reason),
                },
            }
        };
        let mut expelled = false;
        match left {
            ConnectionEnd::ByClient(EndReason::Closed) => {
                debug!("the client closed the connection")
            }
            ConnectionEnd::ByClient(reason) => {
                info!(%reason, "the client's connection was lost; it may reconnect")
            }
            ConnectionEnd::Stopped(Stop::Cancelled { reason }) => {
                expelled = true;
                session.cancel(&reason);
            }
            ConnectionEnd::Stopped(Stop::Failed { reason }) => session.fail(&reason),
            ConnectionEnd::Stopped(Stop::Interrupted { reason }) => session.interrupt(&reason),
            ConnectionEnd::ShuttingDown => session.interrupt("the node is shutting down"),
        }
        // Chunks that were received may still become durable, but nobody waits for the answer any
        // more.
        self.tasks.shutdown().await;
        // Now it has left its multicast session, if it was in one; so the key that it knows must
        // become useless.
        if let (true, Some(terms)) = (expelled, &self.order.multicast) {
            self.sessions
                .multicasts
                .expel(terms.session, self.order.task);
        }
    }

    fn handle(&mut self, request: Request, session: &Session) {
        if let Request::Progress(progress) = request {
            self.meter.client_says(to_report(progress));
            return;
        }
        if let Request::Elsewhere(bytes) = request {
            self.meter.fetched_elsewhere(bytes);
            return;
        }
        if let Request::MulticastReport(report) = request {
            if let Some(terms) = &self.order.multicast {
                self.sessions.multicasts.report(
                    terms.session,
                    self.order.task,
                    report,
                    session.carried(),
                );
            }
            return;
        }
        // Ten times the lanes for the small questions; a client that has more open at a time is not
        // ours.
        if self.tasks.len() >= LANES * 10 {
            warn!("the client makes too many requests at a time; dropping one");
            return;
        }
        let answer = answer(
            self.sessions.clone(),
            self.order.clone(),
            self.work.clone(),
            self.local,
            request,
        );
        self.tasks.spawn(answer.in_current_span());
    }
}

/// Waits for the table's word that this connection must close.
async fn stopped(stop: &mut watch::Receiver<Option<Stop>>) -> Stop {
    let forgotten = Stop::Interrupted {
        reason: "the session has ended".to_owned(),
    };
    match stop.wait_for(Option::is_some).await {
        Ok(stop) => stop.clone().unwrap_or(forgotten),
        Err(_) => forgotten,
    }
}

async fn answer(
    sessions: Arc<Sessions>,
    order: SessionOrder,
    work: Work,
    local: Option<IpAddr>,
    request: Request,
) -> Result<(), StreamError> {
    match (request, work) {
        (Request::Finished(outcome, reply), _) => finish(&sessions, &order, outcome, reply).await,
        (Request::FetchManifest(reply), Work::Deploy(deploy)) => deploy.send_manifest(reply).await,
        (Request::Fetch(lane), Work::Deploy(deploy)) => deploy.serve_lane(lane).await,
        (Request::WhichAreStored(ids, reply), Work::Capture(capture)) => {
            capture.which_are_stored(ids, reply).await
        }
        (Request::Store(lane), Work::Capture(capture)) => capture.serve_lane(lane).await,
        (Request::StoreManifest(bytes, reply), Work::Capture(capture)) => {
            capture.store_manifest(bytes, reply).await
        }
        (Request::FetchPart(number, reply), Work::Deploy(deploy)) => {
            deploy.send_part(number, reply).await
        }
        (Request::StorePart(disk, bytes, reply), Work::Capture(capture)) => {
            capture.store_part(disk, bytes, reply).await
        }
        (Request::FetchPart(_, reply), Work::Capture(_)) => {
            reply.refuse("a capture has no manifest yet").await
        }
        (Request::StorePart(_, _, reply), Work::Deploy(_)) => {
            reply.refuse("a deploy stores nothing").await
        }
        (Request::FetchManifest(reply), Work::Capture(_)) => {
            reply.refuse("a capture has no manifest yet").await
        }
        (Request::WhichAreStored(_, reply), Work::Deploy(_)) => {
            reply.refuse("a deploy stores nothing").await
        }
        (Request::StoreManifest(_, reply), Work::Deploy(_)) => {
            reply.refuse("a deploy stores nothing").await
        }
        // Dropping a lane unanswered resets it, which is all that can be said on one.
        (Request::Fetch(_), Work::Capture(_)) | (Request::Store(_), Work::Deploy(_)) => {
            warn!("the client opened a stream that does not match its session");
            Ok(())
        }
        (Request::JoinMulticast(lane), Work::Deploy(deploy)) => {
            deploy.join_multicast(lane, order.multicast, local).await
        }
        (Request::JoinMulticast(lane), Work::Capture(_)) => {
            lane.notices
                .refuse("a capture is not sent to a group")
                .await
        }
        (Request::Progress(_) | Request::Elsewhere(_) | Request::MulticastReport(_), _) => Ok(()),
    }
}

/// Takes the client's word for how it ended, and answers when the controller has recorded it, or when
/// that has lasted too long.
async fn finish(
    sessions: &Sessions,
    order: &SessionOrder,
    outcome: ClientOutcome,
    reply: foghorn_transport::server::FinishedReply,
) -> Result<(), StreamError> {
    foghorn_faults::wait!("agent.end.before-report");
    let mut recorded = match sessions.finish(order, outcome) {
        Ok(recorded) => recorded,
        Err(reason) => return reply.refuse(&reason).await,
    };
    // Fails only when the outcome was replaced by another before it was sent; resetting the stream
    // makes the client ask again.
    let spoken = recorded.wait_for(|word| *word != Recorded::NotYet);
    let within = sessions.timing.confirm_within;
    match tokio::time::timeout(within, spoken)
        .await
        .map(|word| word.map(|word| *word))
    {
        // Dropping the reply resets the stream, and the client asks again.
        Ok(Ok(Recorded::Yes)) if foghorn_faults::lost!("agent.end.recorded") => Ok(()),
        Ok(Ok(Recorded::Yes)) => reply.recorded().await,
        Ok(Ok(_)) => {
            let kept = sessions.kept(order);
            reply
                .refuse(&format!(
                    "the controller does not know this task, as after an older backup of its store was restored{kept}"
                ))
                .await
        }
        Ok(Err(_)) => Ok(()),
        Err(_) => {
            // The promise holds if this program ends meanwhile, too.
            sessions.settled().await;
            let kept = sessions.kept(order);
            reply
                .refuse(&format!(
                    "the controller has not answered storage node {} for {} s; the node tells it \
                     when it is back, and then the task is complete{kept}",
                    sessions.node,
                    within.as_secs()
                ))
                .await
        }
    }
}

impl Sessions {
    /// Where a captured image is that the controller may not know, and what to do with it; continues
    /// a sentence.
    fn kept(&self, order: &SessionOrder) -> String {
        let mut table = self.table();
        let captured = table
            .facts(order.task)
            .and_then(|facts| facts.captured.as_ref()?.manifest_id.clone().try_into().ok());
        let Some(manifest) = captured.map(ManifestId::from_digest) else {
            return String::new();
        };
        let (node, image) = (&self.node, order.image);
        format!(
            "; storage node {node} keeps the captured image as content {manifest:#} of image {image}. \
             If the server does not have it: `foghorn image orphans` lists it, and \
             `foghorn image orphans adopt {node} {manifest:#} --name NAME` makes it a new image"
        )
    }

    /// Ends the session as its client says.
    ///
    /// # Errors
    /// What to tell a client whose word cannot be taken.
    fn finish(
        &self,
        order: &SessionOrder,
        said: ClientOutcome,
    ) -> Result<watch::Receiver<Recorded>, String> {
        let task = order.task;
        let (captured, unavailable) = {
            let mut table = self.table();
            let facts = table.facts(task).ok_or("the session has ended")?;
            (facts.captured.clone(), facts.unavailable.first().cloned())
        };
        let outcome = match (said, order.kind) {
            (ClientOutcome::Complete, OrderKind::Deploy { .. }) => SessionOutcome::Complete(None),
            (ClientOutcome::Complete, OrderKind::Capture) => match captured {
                Some(captured) => SessionOutcome::Complete(Some(captured)),
                None => {
                    return Err(
                        "a capture is complete when its manifest is stored, and it is not"
                            .to_owned(),
                    );
                }
            },
            (ClientOutcome::Failed { reason }, _) => match unavailable {
                Some(problem) => {
                    let reason = format!("node {}: {problem}; the client: {reason}", self.node);
                    SessionOutcome::Failed {
                        reason,
                        node_at_fault: true,
                    }
                }
                None => SessionOutcome::Failed {
                    reason,
                    node_at_fault: false,
                },
            },
        };
        // Not stopped: the connection stays until the client has its answer.
        let complete = outcome.problem().is_none();
        if let Some(recorded) = self.end(task, outcome, None) {
            return Ok(recorded);
        }
        // It came back after its connection broke in just the wrong moment; the same word gets the
        // same answer.
        match self.table().ended(task) {
            Some(ended) if ended.problem.is_none() == complete => Ok(ended.recorded),
            Some(ended) => Err(format!(
                "the task has ended: {}",
                ended.problem.unwrap_or("complete".to_owned())
            )),
            None => Err("the session has ended".to_owned()),
        }
    }

    /// Ends the session for a reason of this node's own or because its client broke the rules; the
    /// client is told.
    pub(super) fn fail(&self, task: foghorn_types::TaskId, reason: String, node_at_fault: bool) {
        let stop = Stop::Failed {
            reason: reason.clone(),
        };
        self.end(
            task,
            SessionOutcome::Failed {
                reason,
                node_at_fault,
            },
            Some(stop),
        );
    }
}

fn to_report(progress: ClientProgress) -> ClientReport {
    ClientReport {
        bytes_done: progress.bytes_done.bytes(),
        bytes_total: progress.bytes_total.bytes(),
        bytes_reused: progress.bytes_reused.bytes(),
        limiting: match progress.limiting_stage {
            None => WireStage::Unspecified,
            Some(Stage::Network) => WireStage::Network,
            Some(Stage::Compression) => WireStage::Compression,
            Some(Stage::Disk) => WireStage::Disk,
        },
    }
}
