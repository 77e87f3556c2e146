//! The call of one other controller, kept up as long as that is there.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use foghorn_proto::link::peer_event::Event;
use foghorn_proto::link::peer_link_client::PeerLinkClient;
use foghorn_proto::link::peer_order::Order;
use foghorn_proto::link::{PeerEvent, PeerHello, PeerOrder};
use foghorn_types::chain;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Status, Streaming};
use tracing::{debug, info, warn};

use super::apply::{self, Teller};
use super::{Own, SOFTWARE};
use crate::agents::links::QUEUE;
use crate::agents::peers::Peer;
use crate::ctx::Ctx;
use crate::state::controller_record::ControllerRecord;
use crate::trust::{CONTROLLER_TLS_NAME, IssueError};

/// Between two attempts.
const AGAIN: Duration = Duration::from_millis(500);
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// A controller tells how far it is twice a second; one that is silent for longer hangs, or the
/// network between does.
const SILENT_WITHIN: Duration = Duration::from_secs(2);

/// Why another controller is not heard.
#[derive(Debug, thiserror::Error)]
enum CallError {
    #[error("could not make a certificate for the call")]
    Issue(#[from] IssueError),
    #[error("could not reach the other controller")]
    Connect(#[from] tonic::transport::Error),
    #[error("the other controller did not take the call")]
    Refused(#[source] Box<Status>),
    #[error("the call broke off")]
    Broken(#[source] Box<Status>),
    #[error("the other controller says nothing")]
    Silent,
    #[error("the other controller ended the call")]
    Ended,
}

/// Calls again and again; ends only with its task. `replaced` says whether another controller has
/// answered at the address.
pub(super) async fn keep(
    ctx: Arc<Ctx>,
    own: Own,
    controller: Arc<ControllerRecord>,
    replaced: Arc<AtomicBool>,
) {
    let mut complained = false;
    loop {
        let error = talk(&ctx, &own, &controller).await;
        let by_another = matches!(&error, CallError::Refused(status) if status.code() == Code::FailedPrecondition);
        replaced.store(by_another, Ordering::Relaxed);
        let was_heard = ctx.peers.client(&controller.id).is_some();
        ctx.peers.lost(&controller.id);
        // What was told of its agents stays: they are still linked there, as far as we know. If it
        // is dead, that shows in the store.
        if was_heard || !complained {
            warn!(error = %chain(&error), "another controller is not heard");
            complained = true;
        } else {
            debug!(error = %chain(&error), "another controller is not heard");
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn connect(ctx: &Ctx, address: &str) -> Result<PeerLinkClient<Channel>, CallError> {
    let (certificate, key) = ctx.trust.issue_caller()?;
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(ctx.trust.ca_pem()))
        .identity(Identity::from_pem(certificate.chain_pem, key))
        .domain_name(CONTROLLER_TLS_NAME);
    let channel = Endpoint::from_shared(format!("https://{address}"))?
        .tls_config(tls)?
        .connect_timeout(CONNECT_WITHIN)
        .tcp_nodelay(true)
        .connect()
        .await?;
    Ok(PeerLinkClient::new(channel))
}

/// One call, from its beginning to its end, which is always an error.
async fn talk(ctx: &Arc<Ctx>, own: &Own, controller: &ControllerRecord) -> CallError {
    match try_talk(ctx, own, controller).await {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

async fn try_talk(
    ctx: &Arc<Ctx>,
    own: &Own,
    controller: &ControllerRecord,
) -> Result<std::convert::Infallible, CallError> {
    // With the handshake: the kernel takes connections for a process that hangs.
    let connecting = timeout(CONNECT_WITHIN, connect(ctx, &controller.peers));
    let mut client = connecting.await.map_err(|_| CallError::Silent)??;
    let (orders, queue) = mpsc::channel(QUEUE);
    let hello = Order::Hello(PeerHello {
        controller: own.id.clone(),
        software: SOFTWARE.to_owned(),
        called: controller.id.clone(),
    });
    let _fits = orders.try_send(PeerOrder { order: Some(hello) });
    let answer = timeout(SILENT_WITHIN, client.talk(ReceiverStream::new(queue))).await;
    let mut events = answer
        .map_err(|_| CallError::Silent)?
        .map_err(|status| CallError::Refused(Box::new(status)))?
        .into_inner();
    let (reached, receiver) = watch::channel(0);
    let mut teller = Teller {
        controller: controller.id.clone(),
        orders,
        named: Some(HashSet::new()),
    };
    loop {
        match next(&mut events).await? {
            Some(Event::Reached(revision)) => {
                reached.send_replace(revision);
            }
            Some(event @ Event::AllTold(_)) => {
                apply::take_or_log(ctx, &mut teller, event);
                let (reached, client) = (receiver.clone(), client.clone());
                ctx.peers.heard(&controller.id, Peer { reached, client });
                info!("another controller is heard");
            }
            Some(event) => apply::take_or_log(ctx, &mut teller, event),
            None => debug!("an event that this version does not know"),
        }
    }
}

async fn next(events: &mut Streaming<PeerEvent>) -> Result<Option<Event>, CallError> {
    let message = timeout(SILENT_WITHIN, events.message())
        .await
        .map_err(|_| CallError::Silent)?
        .map_err(|status| CallError::Broken(Box::new(status)))?;
    Ok(message.ok_or(CallError::Ended)?.event)
}
