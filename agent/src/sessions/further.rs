//! Clients of tasks that other nodes have, and that fetch a part of their image from here (decision 23).
//!
//! Nothing is reported of them and nothing outlives the process: the controller's list says who is
//! served, and the client's own node tells how the task goes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foghorn_proto::link::{FurtherOrder as WireOrder, FurtherOrders};
use foghorn_transport::{Incoming, RefusalCode, Request, Session, SessionKind, StreamError};
use foghorn_types::{CertificateName, HostId, ImageId, ManifestId, TaskId, Timestamp, chain};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, info, info_span, warn};

use super::Sessions;
use super::deploy::Deploy;
use super::order::{self, CheckOrderError, Fingerprint, Incarnation, OrderKind, SessionOrder};
use super::progress::Meter;

/// Requests of one client at a time; each lane is one.
const REQUESTS: usize = 16;

/// A client that is served beside the node that has its task.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Order {
    task: TaskId,
    host: HostId,
    image: ImageId,
    manifest: ManifestId,
    client: Fingerprint,
}

impl TryFrom<WireOrder> for Order {
    type Error = CheckOrderError;

    fn try_from(wire: WireOrder) -> Result<Self, Self::Error> {
        Ok(Self {
            task: TaskId::new(wire.task_id).ok_or(CheckOrderError::NoId("task"))?,
            host: HostId::new(wire.host_id).ok_or(CheckOrderError::NoId("host"))?,
            image: ImageId::new(wire.image_id).ok_or(CheckOrderError::NoId("image"))?,
            manifest: order::manifest_id(&wire.manifest_id)?,
            client: order::fingerprint(&wire.client_fingerprint)?,
        })
    }
}

/// Whom this node serves beside its own sessions.
#[derive(Default)]
pub(super) struct Further {
    orders: Mutex<HashMap<TaskId, (Order, CancellationToken)>>,
    connected: AtomicU32,
}

/// A client that may be served.
pub(super) struct Allowed {
    order: Order,
    stop: CancellationToken,
}

impl Further {
    fn orders(&self) -> MutexGuard<'_, HashMap<TaskId, (Order, CancellationToken)>> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the controller's list. Who is no longer in it is told to go on elsewhere.
    fn obey(&self, all: FurtherOrders) {
        let mut present = self.orders();
        let mut before = std::mem::take(&mut *present);
        for wire in all.orders {
            match Order::try_from(wire) {
                Ok(order) => {
                    let kept = before.remove(&order.task);
                    let kept = kept.filter(|(known, stop)| {
                        let same = *known == order;
                        if !same {
                            stop.cancel();
                        }
                        same
                    });
                    let stop = kept.map_or_else(CancellationToken::new, |(_, stop)| stop);
                    present.insert(order.task, (order, stop));
                }
                Err(problem) => {
                    warn!(error = %chain(&problem), "the controller sent an order that is not valid");
                }
            }
        }
        for (_, stop) in before.into_values() {
            stop.cancel();
        }
    }

    /// Whether somebody who proved to be `peer` is served here beside the node that has the task.
    pub(super) fn allows(&self, peer: &CertificateName, shown: &Fingerprint) -> Option<Allowed> {
        let CertificateName::Client { host, task } = *peer else {
            return None;
        };
        let orders = self.orders();
        let (order, stop) = orders.get(&task)?;
        (order.host == host && order.client == *shown).then(|| Allowed {
            order: order.clone(),
            stop: stop.clone(),
        })
    }

    /// Clients that are connected.
    pub(super) fn connected(&self) -> u32 {
        self.connected.load(Ordering::Relaxed)
    }
}

/// Counts a client as long as it lives.
struct Connected<'f>(&'f Further);

impl<'f> Connected<'f> {
    fn new(further: &'f Further) -> Self {
        further.connected.fetch_add(1, Ordering::Relaxed);
        Self(further)
    }
}

impl Drop for Connected<'_> {
    fn drop(&mut self) {
        self.0.connected.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Sessions {
    /// Whom this node is to serve beside its own sessions, complete.
    pub(crate) fn serve_further(&self, all: FurtherOrders) {
        self.further.obey(all);
        self.changed.send_replace(());
    }
}

/// Serves a client until it leaves, is not to be served any more, or the node goes down.
pub(super) async fn serve(
    sessions: Arc<Sessions>,
    allowed: Allowed,
    incoming: Incoming,
    cancel: CancellationToken,
) {
    let Allowed { order, stop } = allowed;
    let span = info_span!("further", task = %order.task, host = %order.host, image = %order.image);
    let work = async move {
        let image = match sessions.images.get(order.manifest).await {
            Ok(image) => image,
            Err(problem) => {
                let problem = chain(&problem).to_string();
                warn!(error = problem, "an image cannot be given from here");
                return incoming.refuse(RefusalCode::NotOrdered, &problem);
            }
        };
        let deploy = Deploy::new(
            sessions.clone(),
            &as_session(&order),
            image,
            Arc::new(Meter::default()),
        );
        let kind = SessionKind::Deploy {
            manifest: order.manifest,
        };
        match incoming.welcome(kind).await {
            Ok(session) => {
                info!("a client of another node's task fetches from here, too");
                let _connected = Connected::new(&sessions.further);
                give(session, deploy, stop, cancel).await;
            }
            Err(problem) => debug!(error = %chain(&problem), "the client left again"),
        }
    };
    work.instrument(span).await;
}

/// What gives chunks is made for sessions.
fn as_session(order: &Order) -> SessionOrder {
    SessionOrder {
        task: order.task,
        incarnation: Incarnation::default(),
        kind: OrderKind::Deploy {
            manifest: order.manifest,
        },
        host: order.host,
        host_name: String::new(),
        image: order.image,
        deadline: Timestamp::from_millis(i64::MAX),
        traceparent: None,
        admitted: Some(order.client),
        multicast: None,
        limit: None,
    }
}

async fn give(
    mut session: Session,
    deploy: Deploy,
    stop: CancellationToken,
    cancel: CancellationToken,
) {
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = cancel.cancelled() => return session.interrupt("the node is shutting down"),
            () = stop.cancelled() => {
                return session.interrupt("this node does not serve the task beside its own any more");
            }
            Some(done) = tasks.join_next() => {
                if let Ok(Err(problem)) = done {
                    debug!(error = %chain(&problem), "could not answer a request completely");
                }
            }
            request = session.next_request() => match request {
                Ok(_) if tasks.len() >= REQUESTS => {
                    warn!("the client makes too many requests at a time; dropping one");
                }
                Ok(request) => {
                    tasks.spawn(answer(deploy.clone(), request).in_current_span());
                }
                Err(reason) => return debug!(%reason, "the client has left"),
            },
        }
    }
}

async fn answer(deploy: Deploy, request: Request) -> Result<(), StreamError> {
    const NOTHING: &str = "another node has this task";
    match request {
        Request::FetchManifest(reply) => deploy.send_manifest(reply).await,
        Request::FetchPart(number, reply) => deploy.send_part(number, reply).await,
        Request::Fetch(lane) => deploy.serve_lane(lane).await,
        Request::Finished(_, reply) => reply.refuse(NOTHING).await,
        Request::WhichAreStored(_, reply) => reply.refuse(NOTHING).await,
        Request::StoreManifest(_, reply) => reply.refuse(NOTHING).await,
        Request::StorePart(_, _, reply) => reply.refuse(NOTHING).await,
        Request::JoinMulticast(lane) => lane.notices.refuse(NOTHING).await,
        // Dropping a lane unanswered resets it.
        Request::Store(_) => Ok(()),
        Request::Progress(_) | Request::Elsewhere(_) | Request::MulticastReport(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(task: u32, client: u8) -> WireOrder {
        WireOrder {
            task_id: task,
            host_id: 7,
            image_id: 3,
            manifest_id: vec![1; 32],
            client_fingerprint: vec![client; 32],
        }
    }

    fn client(host: u32, task: u32) -> CertificateName {
        CertificateName::Client {
            host: HostId::new(host).unwrap(),
            task: TaskId::new(task).unwrap(),
        }
    }

    fn list(orders: Vec<WireOrder>) -> FurtherOrders {
        FurtherOrders { orders }
    }

    #[test]
    fn only_who_is_in_the_list_is_served_and_who_leaves_it_is_told() {
        let further = Further::default();
        assert!(further.allows(&client(7, 1), &[5; 32]).is_none());
        further.obey(list(vec![wire(1, 5), wire(2, 5)]));
        assert!(
            further.allows(&client(8, 1), &[5; 32]).is_none(),
            "another host"
        );
        assert!(
            further.allows(&client(7, 1), &[6; 32]).is_none(),
            "another certificate"
        );
        let (one, two) = (
            further.allows(&client(7, 1), &[5; 32]).unwrap(),
            further.allows(&client(7, 2), &[5; 32]).unwrap(),
        );
        further.obey(list(vec![wire(1, 5), wire(2, 5)]));
        assert!(
            !one.stop.is_cancelled() && !two.stop.is_cancelled(),
            "the same list"
        );
        further.obey(list(vec![wire(1, 6)]));
        assert!(one.stop.is_cancelled(), "its certificate was replaced");
        assert!(two.stop.is_cancelled(), "it is no longer in the list");
        assert!(further.allows(&client(7, 1), &[6; 32]).is_some());
    }

    #[test]
    fn incomplete_orders_are_left_out() {
        let further = Further::default();
        let short = WireOrder {
            client_fingerprint: vec![5; 31],
            ..wire(1, 5)
        };
        further.obey(list(vec![short, wire(0, 5)]));
        assert!(further.orders().is_empty());
    }
}
