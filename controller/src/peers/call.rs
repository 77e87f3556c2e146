//! The call of one other controller, kept up as long as that is there.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use foghorn_proto::link::peer_event::Event;
use foghorn_proto::link::peer_order::Order;
use foghorn_proto::link::{PeerEvent, PeerHello, PeerOrder};
use foghorn_types::chain;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tonic::{Code, Status};
use tracing::{debug, info, warn};

use super::apply::{self, Teller};
use super::dial::{Dial, DialError};
use super::{Own, SOFTWARE};
use crate::agents::links::QUEUE;
use crate::agents::peers::Peer;
use crate::ctx::Ctx;
use crate::state::controller_record::ControllerRecord;

/// Between two attempts.
const AGAIN: Duration = Duration::from_millis(500);
/// Time in which a call is taken.
const TAKEN_WITHIN: Duration = Duration::from_secs(4);
/// A controller tells how far it is twice a second; one that is silent for longer hangs, or the
/// network between does.
const SILENT_WITHIN: Duration = Duration::from_secs(2);

/// Why another controller is not heard.
#[derive(Debug, thiserror::Error)]
enum CallError {
    #[error(transparent)]
    Dial(#[from] DialError),
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
    dial: Arc<dyn Dial>,
    controller: Arc<ControllerRecord>,
    replaced: Arc<AtomicBool>,
) {
    let mut complained = false;
    loop {
        let error = talk(&ctx, &own, &*dial, &controller).await;
        let by_another = matches!(&error, CallError::Dial(DialError::Refused(status)) if status.code() == Code::FailedPrecondition);
        replaced.store(by_another, Ordering::Relaxed);
        let was_heard = ctx.peers.is_heard(&controller.id);
        ctx.peers.lost(&controller.id);
        ctx.links.not_heard(&controller.id);
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

/// One call, from its beginning to its end, which is always an error.
async fn talk(
    ctx: &Arc<Ctx>,
    own: &Own,
    dial: &dyn Dial,
    controller: &ControllerRecord,
) -> CallError {
    match try_talk(ctx, own, dial, controller).await {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

async fn try_talk(
    ctx: &Arc<Ctx>,
    own: &Own,
    dial: &dyn Dial,
    controller: &ControllerRecord,
) -> Result<std::convert::Infallible, CallError> {
    let (orders, queue) = mpsc::channel(QUEUE);
    let hello = Order::Hello(PeerHello {
        controller: own.id.clone(),
        software: SOFTWARE.to_owned(),
        called: controller.id.clone(),
    });
    let _fits = orders.try_send(PeerOrder { order: Some(hello) });
    let taken = timeout(TAKEN_WITHIN, dial.call(ctx, &controller.peers, queue)).await;
    let call = taken.map_err(|_| CallError::Silent)??;
    let (mut events, client) = (call.events, call.client);
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

async fn next(
    events: &mut BoxStream<'static, Result<PeerEvent, Status>>,
) -> Result<Option<Event>, CallError> {
    let message = timeout(SILENT_WITHIN, events.next())
        .await
        .map_err(|_| CallError::Silent)?
        .transpose()
        .map_err(|status| CallError::Broken(Box::new(status)))?;
    Ok(message.ok_or(CallError::Ended)?.event)
}
