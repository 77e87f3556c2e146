//! Meeting clients: who they are was proved by the transport; whether anything was ordered for them
//! is decided here.

use std::sync::Arc;

use foghorn_transport::{Incoming, Listener, RefusalCode};
use foghorn_types::{CertificateName, Timestamp, chain};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, error, info, info_span, warn};

use super::Sessions;
use super::further::Allowed;
use super::table::{Admission, Refusal};
use crate::identity::NodeIdentity;
use crate::replicas::Replicas;

/// Takes clients until cancelled, then tells those that are left to come back later. `identity` is
/// followed: a renewed certificate is shown to new clients and leaves the present ones alone. Other
/// nodes come the same way, for copies.
pub(crate) async fn accept_all(
    sessions: Arc<Sessions>,
    replicas: Arc<Replicas>,
    mut listener: Listener,
    mut identity: watch::Receiver<Arc<NodeIdentity>>,
    cancel: CancellationToken,
) {
    let mut clients = JoinSet::new();
    loop {
        tokio::select! {
            () = cancel.cancelled() => break,
            Ok(()) = identity.changed() => {
                let renewed = identity.borrow_and_update().clone();
                show(&listener, &renewed);
            }
            Some(_) = clients.join_next() => {}
            incoming = listener.accept() => match incoming {
                Some(incoming) if clients.len() >= sessions.limits.connections => {
                    warn!(
                        peer = %incoming.peer,
                        limit = sessions.limits.connections,
                        "refused a client: too many connections"
                    );
                    incoming.refuse(RefusalCode::Busy,
                        "this node already serves as many clients as it is allowed to");
                }
                Some(incoming) if matches!(incoming.peer, CertificateName::Node(_)) => {
                    clients.spawn(replicas.clone().serve(incoming, cancel.child_token()));
                }
                Some(incoming) => {
                    clients.spawn(meet(sessions.clone(), incoming, cancel.child_token()));
                }
                None => break,
            },
        }
    }
    // Each client's task sees the same token and ends by itself; closing tells clients that did not
    // get that far.
    while clients.join_next().await.is_some() {}
    listener.close().await;
}

fn show(listener: &Listener, identity: &NodeIdentity) {
    let rotated = match identity.for_transport() {
        Ok(key_material) => listener.set_identity(&key_material),
        Err(problem) => Err(problem),
    };
    if let Err(problem) = rotated {
        error!(
            error = %chain(&problem),
            "could not switch to the new certificate; clients still see the old one"
        );
    }
}

/// Whom a client is to this node.
enum Welcome {
    /// One of its own.
    Own(Box<Admission>),
    /// It has its task from another node.
    Further(Allowed),
}

async fn meet(sessions: Arc<Sessions>, incoming: Incoming, cancel: CancellationToken) {
    match sessions.admission(&incoming, &cancel).await {
        Ok(Welcome::Further(allowed)) => {
            super::further::serve(sessions, allowed, incoming, cancel).await;
        }
        Ok(Welcome::Own(admission)) => {
            let order = &admission.order;
            let span = info_span!("session", task = %order.task, host = %order.host,
                image = %order.image, node = %sessions.node);
            // The order's context comes from the controller; the client's own word is second best.
            let parent = order
                .traceparent
                .as_deref()
                .unwrap_or(&incoming.hello.traceparent);
            foghorn_telemetry::set_parent(&span, parent);
            super::serve::serve(sessions, *admission, incoming, cancel)
                .instrument(span)
                .await;
        }
        Err(refusal) => refuse(incoming, &refusal),
    }
}

fn refuse(incoming: Incoming, refusal: &Refusal) {
    let (peer, task, remote) = (
        &incoming.peer,
        incoming.hello.task,
        incoming.remote_address(),
    );
    match refusal {
        Refusal::Cancelled { how, .. } => {
            info!(%peer, %task, %remote, how, "a client came back for a cancelled task");
        }
        refusal => warn!(%peer, %task, %remote, error = %chain(&refusal), "refused a client"),
    }
    let code = match refusal {
        // The controller's word may be late by more than we could wait, such as while the link is
        // down.
        Refusal::NotOrdered(_) | Refusal::NobodyAdmitted(_) => RefusalCode::NotReady,
        _ => RefusalCode::NotOrdered,
    };
    incoming.refuse(code, &refusal.to_string());
}

impl Sessions {
    /// The order and the client travel different ways: one that is early waits a little.
    async fn admission(
        &self,
        incoming: &Incoming,
        cancel: &CancellationToken,
    ) -> Result<Welcome, Refusal> {
        let until = Instant::now() + self.timing.admission_wait;
        let mut changed = self.changed.subscribe();
        loop {
            let answer = {
                let mut table = self.table();
                table.connect(
                    &incoming.peer,
                    &incoming.fingerprint,
                    incoming.hello.task,
                    Timestamp::now(),
                )
            };
            let answer = answer
                .map(|own| Welcome::Own(Box::new(own)))
                .or_else(|refusal| {
                    let allowed = self.further.allows(&incoming.peer, &incoming.fingerprint);
                    allowed.map(Welcome::Further).ok_or(refusal)
                });
            match answer {
                Err(refusal) if refusal.may_be_early() && incoming.is_connected() => {
                    let waited = tokio::select! {
                        waited = timeout_at(until, changed.changed()) => waited.is_ok(),
                        () = cancel.cancelled() => false,
                    };
                    if !waited {
                        return Err(refusal);
                    }
                }
                answer => return answer,
            }
        }
    }
}
