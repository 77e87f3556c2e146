//! The current links: one per node, each with a bounded queue of outgoing orders.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use foghorn_proto::link::ControllerMessage;
use foghorn_proto::link::controller_message::Message;
use foghorn_types::StorageNodeId;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Maximum number of queued orders per agent, enough for a room of hosts. The link of an agent with
/// more is closed: it receives everything again when it reconnects.
pub const QUEUE: usize = 2048;

type Outgoing = mpsc::Sender<Result<ControllerMessage, tonic::Status>>;

/// Registry of links.
#[derive(Default)]
pub struct Links {
    next: AtomicU64,
    links: Mutex<HashMap<StorageNodeId, Link>>,
}

struct Link {
    number: u64,
    outgoing: Outgoing,
    cancel: CancellationToken,
}

/// The order could not be queued. The next reconciliation repeats what matters.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SendError {
    #[error("the storage node is not connected to this controller")]
    Offline,
    #[error("the storage node does not accept orders; its link was closed")]
    Congested,
}

impl Links {
    /// Registers a link, queues `first` as its first order, and closes the node's older link, if
    /// there is one.
    ///
    /// `first` is built under the registry's lock: an order sent for a change that it does not show
    /// yet follows it in the queue, so no order can be undone by an older snapshot.
    pub(crate) fn add(
        &self,
        node: StorageNodeId,
        outgoing: Outgoing,
        cancel: CancellationToken,
        first: impl FnOnce() -> Message,
    ) -> Result<u64, SendError> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut links = self.lock();
        outgoing
            .try_send(Ok(ControllerMessage {
                message: Some(first()),
            }))
            .map_err(|_| SendError::Offline)?;
        if let Some(older) = links.insert(
            node,
            Link {
                number,
                outgoing,
                cancel,
            },
        ) {
            older.cancel.cancel();
        }
        Ok(number)
    }

    /// Removes a link; returns whether it was still the current one of its node.
    pub(crate) fn remove(&self, node: StorageNodeId, number: u64) -> bool {
        let mut links = self.lock();
        let current = links.get(&node).is_some_and(|link| link.number == number);
        if current {
            links.remove(&node);
        }
        current
    }

    /// Queues an order without waiting.
    ///
    /// # Errors
    /// When the node has no link, or its queue is full.
    pub fn send(&self, node: StorageNodeId, message: Message) -> Result<(), SendError> {
        self.send_with(node, || Some(message))
    }

    /// Like [`Links::send`], with an order that contains a state which may change at any time.
    /// `build` runs under the registry's lock, so of two such orders the newer one is queued later.
    /// `None`: nothing to send.
    ///
    /// # Errors
    /// As [`Links::send`].
    pub(crate) fn send_with(
        &self,
        node: StorageNodeId,
        build: impl FnOnce() -> Option<Message>,
    ) -> Result<(), SendError> {
        let links = self.lock();
        let link = links.get(&node).ok_or(SendError::Offline)?;
        let Some(message) = build() else {
            return Ok(());
        };
        match link.outgoing.try_send(Ok(ControllerMessage {
            message: Some(message),
        })) {
            Ok(()) => Ok(()),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(SendError::Offline),
            Err(mpsc::error::TrySendError::Full(_)) => {
                link.cancel.cancel();
                Err(SendError::Congested)
            }
        }
    }

    /// Closes the node's link, for example because it was revoked.
    pub fn cut(&self, node: StorageNodeId) {
        if let Some(link) = self.lock().get(&node) {
            link.cancel.cancel();
        }
    }

    #[must_use]
    pub fn online(&self) -> Vec<StorageNodeId> {
        self.lock().keys().copied().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<StorageNodeId, Link>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use foghorn_proto::link::CancelSession;

    fn order() -> Message {
        Message::Cancel(CancelSession {
            task_id: 1,
            reason: String::new(),
        })
    }

    #[test]
    fn a_newer_link_replaces_the_older_and_outlives_its_end() {
        let (links, node) = (Links::default(), StorageNodeId::new(1).unwrap());
        let (old_end, new_end) = (CancellationToken::new(), CancellationToken::new());
        let (old, _old_queue) = mpsc::channel(2);
        let (new, _new_queue) = mpsc::channel(2);
        let first = links.add(node, old, old_end.clone(), order).unwrap();
        links.add(node, new, new_end.clone(), order).unwrap();
        assert!(old_end.is_cancelled() && !new_end.is_cancelled());
        assert!(!links.remove(node, first));
        assert_eq!(links.send(node, order()), Ok(()));
    }

    #[test]
    fn an_agent_that_takes_no_orders_is_cut_off() {
        let (links, node) = (Links::default(), StorageNodeId::new(1).unwrap());
        let end = CancellationToken::new();
        let (sender, _queue) = mpsc::channel(2);
        links.add(node, sender, end.clone(), order).unwrap();
        assert_eq!(links.send(node, order()), Ok(()));
        assert_eq!(links.send(node, order()), Err(SendError::Congested));
        assert!(end.is_cancelled());
        assert_eq!(links.send(node, order()), Err(SendError::Congested));
    }
}
