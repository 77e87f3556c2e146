//! The current links: one per node, each with a bounded queue of outgoing orders. The link of a
//! node may also be at another controller, which passes orders on.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use foghorn_proto::link::controller_message::Message;
use foghorn_proto::link::peer_order::Order;
use foghorn_proto::link::{ControllerMessage, Hello, NodeOrder, PeerOrder};
use foghorn_types::{StorageNodeId, TaskId, Timestamp};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::mirror::Mirror;
use super::opened::Opened;
use crate::store::Revision;

/// Maximum number of queued orders per agent, enough for a room of hosts. The link of an agent with
/// more is closed: it receives everything again when it reconnects.
pub const QUEUE: usize = 2048;

type Outgoing = mpsc::Sender<Result<ControllerMessage, tonic::Status>>;

/// Registry of links.
pub struct Links {
    mirror: Arc<Mirror>,
    next: AtomicU64,
    links: Mutex<HashMap<StorageNodeId, Vec<Link>>>,
}

/// What is known of the links of a node: the last one counts. Those before it are claims of other
/// controllers that were overtaken by the claim of one that may be wrong: a controller that hung
/// tells of links that it had, before it notices that they are gone.
enum Link {
    Here {
        number: u64,
        dialled: Dialled,
        /// What its first order shows.
        reconciled: Revision,
        opened: Opened,
        outgoing: Outgoing,
        cancel: CancellationToken,
    },
    Away {
        /// Id of the controller.
        controller: String,
        dialled: Dialled,
        orders: mpsc::Sender<PeerOrder>,
        /// It has said that the node is linked to yet another controller, which we do not know yet.
        is_over: bool,
        /// The controller is not heard since it said so.
        is_old: bool,
    },
}

/// Which process of the agent opened a link, and as its how manieth.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Dialled {
    process: u64,
    count: u64,
}

impl From<&Hello> for Dialled {
    fn from(hello: &Hello) -> Self {
        Self {
            process: hello.process,
            count: hello.dialled,
        }
    }
}

impl Dialled {
    /// Whether this link was opened after the other, as far as that can be told: the links of one
    /// process are counted, and no clock is trusted.
    fn is_newer_than(self, other: Self) -> bool {
        self.process == other.process && self.process != 0 && self.count > other.count
    }
}

/// A link of this controller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Here {
    pub(crate) node: StorageNodeId,
    pub(crate) number: u64,
    pub(crate) reconciled: Revision,
}

/// What became of a node when one of its links ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Left {
    /// That was none of its links any longer.
    Unknown,
    /// It has another one.
    Elsewhere,
    Offline,
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
    /// Jobs that are ordered are told to other controllers by `mirror`.
    #[must_use]
    pub fn new(mirror: Arc<Mirror>) -> Self {
        Self {
            mirror,
            next: AtomicU64::default(),
            links: Mutex::default(),
        }
    }

    /// Registers a link, queues `first` as its first order, and closes the node's older link, if
    /// there is one.
    ///
    /// `first` is built under the registry's lock: an order sent for a change that it does not show
    /// yet follows it in the queue, so no order can be undone by an older snapshot. `has` are the tasks
    /// of which the agent has sessions. `up` is called before the link can be replaced or lost.
    pub(crate) fn add(
        &self,
        node: StorageNodeId,
        (dialled, has): (Dialled, &[u32]),
        outgoing: Outgoing,
        cancel: CancellationToken,
        first: impl FnOnce() -> (Message, Revision),
        up: impl FnOnce(),
    ) -> Result<u64, SendError> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut links = self.lock();
        let (first, reconciled) = first();
        let mut opened = Opened::of(has);
        opened.note(&first);
        outgoing
            .try_send(Ok(ControllerMessage {
                message: Some(first),
            }))
            .map_err(|_| SendError::Offline)?;
        let link = Link::Here {
            number,
            dialled,
            reconciled,
            opened,
            outgoing,
            cancel,
        };
        let known = links.entry(node).or_default();
        for older in known.iter() {
            if let Link::Here { cancel, .. } = older {
                cancel.cancel();
            }
        }
        known.retain(|older| matches!(older, Link::Away { .. }) && !older.is_over(dialled));
        known.push(link);
        up();
        Ok(number)
    }

    /// Removes a link of this controller, and tells the others. `gone` is called, before anything can
    /// be added, when the node has no other.
    pub(crate) fn remove(&self, node: StorageNodeId, number: u64, gone: impl FnOnce()) -> Left {
        let is_it = |link: &Link| matches!(link, Link::Here { number: own, .. } if *own == number);
        let mut links = self.lock();
        let left = Self::drop_link(&mut links, node, is_it, gone);
        if left != Left::Unknown {
            self.mirror.down(node);
        }
        left
    }

    fn drop_link(
        links: &mut HashMap<StorageNodeId, Vec<Link>>,
        node: StorageNodeId,
        is_it: impl Fn(&Link) -> bool,
        gone: impl FnOnce(),
    ) -> Left {
        let Some(known) = links.get_mut(&node) else {
            return Left::Unknown;
        };
        let before = known.len();
        known.retain(|link| !is_it(link));
        if known.is_empty() {
            links.remove(&node);
            gone();
            return Left::Offline;
        }
        match known.len() == before {
            true => Left::Unknown,
            false => Left::Elsewhere,
        }
    }

    /// The node is linked to another controller, which takes `orders` for it. A link here that is
    /// not newer is closed. If that is the link that counts, `up` is called before it can be replaced
    /// or lost.
    pub(crate) fn moved_away(
        &self,
        node: StorageNodeId,
        dialled: Dialled,
        (controller, orders): (&str, &mpsc::Sender<PeerOrder>),
        up: impl FnOnce(),
    ) -> bool {
        let mut links = self.lock();
        let known = links.entry(node).or_default();
        if known.iter().any(|own| own.dialled().is_newer_than(dialled)) {
            return false;
        }
        for own in known.iter() {
            if let Link::Here { cancel, .. } = own {
                cancel.cancel();
                self.mirror.moved(node);
            }
        }
        known.retain(|own| own.is_of_another(controller) && !own.is_over(dialled));
        known.push(Link::Away {
            controller: controller.to_owned(),
            dialled,
            orders: orders.clone(),
            is_over: false,
            is_old: false,
        });
        up();
        true
    }

    /// The other controller says that the node has dialled yet another one.
    pub(crate) fn overtaken(&self, node: StorageNodeId, controller: &str) {
        let mut links = self.lock();
        let Some(known) = links.get_mut(&node) else {
            return;
        };
        if known.iter().any(|link| !link.is_at(controller)) {
            known.retain(|link| !link.is_at(controller));
        } else if let Some(Link::Away { is_over, .. }) = known.first_mut() {
            // Until that one says so itself, it is not taken for lost.
            *is_over = true;
        }
    }

    /// Whether the node is linked to this other controller.
    pub(crate) fn is_at(&self, node: StorageNodeId, controller: &str) -> bool {
        let links = self.lock();
        current(&links, node).is_some_and(|link| link.is_at(controller))
    }

    /// The node is no longer linked to the other controller. Returns whether it is now linked
    /// nowhere; then `gone` is called, before anything can be added.
    pub(crate) fn left(&self, node: StorageNodeId, controller: &str, gone: impl FnOnce()) -> bool {
        let is_it = |link: &Link| link.is_at(controller);
        Self::drop_link(&mut self.lock(), node, is_it, gone) == Left::Offline
    }

    /// As [`Links::left`], unless the controller has said since it is heard again that the node is there.
    pub(crate) fn left_unheard(
        &self,
        node: StorageNodeId,
        controller: &str,
        gone: impl FnOnce(),
    ) -> bool {
        let is_it = |link: &Link| link.is_at(controller) && link.is_unheard();
        Self::drop_link(&mut self.lock(), node, is_it, gone) == Left::Offline
    }

    /// The controller is not heard any longer: what it said may be old.
    pub(crate) fn not_heard(&self, controller: &str) {
        let mut links = self.lock();
        for link in links.values_mut().flatten() {
            if let Link::Away {
                controller: own,
                is_old,
                ..
            } = link
                && own == controller
            {
                *is_old = true;
            }
        }
    }

    /// The nodes that have left a controller, by its word, for another one that is not known yet.
    pub(crate) fn moved(&self) -> Vec<StorageNodeId> {
        let links = self.lock();
        let moved = links.iter().filter(|(_, known)| {
            let last = known.last();
            last.is_some_and(|link| matches!(link, Link::Away { is_over: true, .. }))
        });
        moved.map(|(node, _)| *node).collect()
    }

    /// Such a node is linked nowhere, as far as anybody says: then `gone` is called.
    pub(crate) fn end_moved(&self, node: StorageNodeId, gone: impl FnOnce()) {
        let is_it = |link: &Link| matches!(link, Link::Away { is_over: true, .. });
        let _left = Self::drop_link(&mut self.lock(), node, is_it, gone);
    }

    /// The nodes of whose links nothing is heard at present: the controller that has them is not heard,
    /// or not known yet.
    #[must_use]
    pub fn unheard(&self) -> HashSet<StorageNodeId> {
        let links = self.lock();
        let unheard = links
            .iter()
            .filter(|(_, known)| known.last().is_some_and(Link::is_unheard));
        unheard.map(|(node, _)| *node).collect()
    }

    /// The nodes that the other controller claims to be linked to.
    pub(crate) fn at(&self, controller: &str) -> Vec<StorageNodeId> {
        let links = self.lock();
        let at = links
            .iter()
            .filter(|(_, known)| known.iter().any(|link| link.is_at(controller)));
        at.map(|(node, _)| *node).collect()
    }

    /// How many nodes are linked to each controller; this one is "".
    pub(crate) fn counts(&self) -> HashMap<String, usize> {
        let links = self.lock();
        let mut counts = HashMap::new();
        for link in links.values().filter_map(|known| known.last()) {
            let at = match link {
                Link::Here { .. } => "",
                Link::Away { controller, .. } => controller,
            };
            *counts.entry(at.to_owned()).or_default() += 1;
        }
        counts
    }

    /// The links of this controller.
    pub(crate) fn here(&self) -> Vec<Here> {
        let links = self.lock();
        let counts = links
            .iter()
            .filter_map(|(node, known)| Some((node, known.last()?)));
        let here = counts.filter_map(|(node, link)| match link {
            Link::Here {
                number, reconciled, ..
            } => Some(Here {
                node: *node,
                number: *number,
                reconciled: *reconciled,
            }),
            Link::Away { .. } => None,
        });
        here.collect()
    }

    /// Queues an order without waiting.
    ///
    /// # Errors
    /// When the node has no link, or its queue is full.
    pub fn send(&self, node: StorageNodeId, message: Message) -> Result<(), SendError> {
        let mut links = self.lock();
        let link = current_mut(&mut links, node).ok_or(SendError::Offline)?;
        if let Message::Job(job) = &message {
            // Before the agent can say anything of it.
            self.mirror.ordered(node, job, Timestamp::now());
        }
        link.send(node, message)
    }

    /// Like [`Links::send`], with an order that contains a state which may change at any time.
    /// `build` runs under the registry's lock, so of two such orders the newer one is queued later.
    /// `None`: nothing to send.
    ///
    /// For a node that is linked to another controller nothing is sent: that one sees the same
    /// state, and sends the order by itself ([`crate::link::follow`]).
    ///
    /// # Errors
    /// As [`Links::send`].
    pub(crate) fn send_with(
        &self,
        node: StorageNodeId,
        build: impl FnOnce() -> Option<Message>,
    ) -> Result<(), SendError> {
        let mut links = self.lock();
        match current_mut(&mut links, node) {
            None => Err(SendError::Offline),
            Some(Link::Away { .. }) => Ok(()),
            Some(link) => build().map_or(Ok(()), |message| link.send(node, message)),
        }
    }

    /// The sessions that the agents which are linked here were told to serve, and not to end, without
    /// those that they had before.
    pub(crate) fn opened(&self) -> Vec<(StorageNodeId, TaskId)> {
        self.sessions(|opened| opened.ordered().collect())
    }

    /// The sessions that agents have from before they called this controller, when it was behind.
    pub(crate) fn had(&self) -> Vec<(StorageNodeId, TaskId)> {
        self.sessions(|opened| opened.had().collect())
    }

    fn sessions(&self, of: impl Fn(&Opened) -> Vec<TaskId>) -> Vec<(StorageNodeId, TaskId)> {
        let links = self.lock();
        let here = links
            .iter()
            .filter_map(|(node, known)| match known.last()? {
                Link::Here { opened, .. } => Some((*node, opened)),
                Link::Away { .. } => None,
            });
        here.flat_map(|(node, opened)| of(opened).into_iter().map(move |task| (node, task)))
            .collect()
    }

    /// Closes the node's link, for example because it was revoked.
    pub fn cut(&self, node: StorageNodeId) {
        match current(&self.lock(), node) {
            None => {}
            Some(Link::Here { cancel, .. }) => cancel.cancel(),
            Some(Link::Away { orders, .. }) => {
                let order = Order::CutNodeId(node.get());
                // When the queue is full, that link is about to break.
                let _full = orders.try_send(PeerOrder { order: Some(order) });
            }
        }
    }

    /// The nodes that are linked to this controller or to another one that this one hears.
    #[must_use]
    pub fn online(&self) -> Vec<StorageNodeId> {
        self.lock().keys().copied().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<StorageNodeId, Vec<Link>>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The link that counts.
fn current(links: &HashMap<StorageNodeId, Vec<Link>>, node: StorageNodeId) -> Option<&Link> {
    links.get(&node)?.last()
}

fn current_mut(
    links: &mut HashMap<StorageNodeId, Vec<Link>>,
    node: StorageNodeId,
) -> Option<&mut Link> {
    links.get_mut(&node)?.last_mut()
}

impl Link {
    const fn dialled(&self) -> Dialled {
        match self {
            Self::Here { dialled, .. } | Self::Away { dialled, .. } => *dialled,
        }
    }

    /// Whether the agent has opened this one, or any other, since.
    fn is_over(&self, dialled: Dialled) -> bool {
        let is_known = matches!(self, Self::Away { is_over: true, .. });
        is_known || dialled.is_newer_than(self.dialled())
    }

    fn is_unheard(&self) -> bool {
        matches!(
            self,
            Self::Away {
                is_over,
                is_old,
                ..
            } if *is_over || *is_old
        )
    }

    fn is_at(&self, controller: &str) -> bool {
        matches!(self, Self::Away { controller: own, .. } if own == controller)
    }

    fn is_of_another(&self, controller: &str) -> bool {
        matches!(self, Self::Away { controller: own, .. } if own != controller)
    }

    fn send(&mut self, node: StorageNodeId, message: Message) -> Result<(), SendError> {
        if let Self::Here { opened, .. } = self {
            opened.note(&message);
        }
        let message = ControllerMessage {
            message: Some(message),
        };
        match self {
            Self::Here {
                outgoing, cancel, ..
            } => outgoing.try_send(Ok(message)).map_err(|error| {
                if matches!(error, mpsc::error::TrySendError::Full(_)) {
                    cancel.cancel();
                    return SendError::Congested;
                }
                SendError::Offline
            }),
            Self::Away { orders, .. } => {
                let order = Order::Node(NodeOrder {
                    node_id: node.get(),
                    message: Some(message),
                });
                orders
                    .try_send(PeerOrder { order: Some(order) })
                    .map_err(|error| match error {
                        mpsc::error::TrySendError::Full(_) => SendError::Congested,
                        mpsc::error::TrySendError::Closed(_) => SendError::Offline,
                    })
            }
        }
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
            withdrawn: false,
        })
    }

    fn dialled(process: u64, count: u64) -> Dialled {
        Dialled { process, count }
    }

    fn add(links: &Links, outgoing: Outgoing, end: &CancellationToken) -> u64 {
        let node = StorageNodeId::new(1).unwrap();
        links
            .add(
                node,
                (dialled(1, 5), &[]),
                outgoing,
                end.clone(),
                || (order(), 1),
                || {},
            )
            .unwrap()
    }

    #[test]
    fn a_link_at_another_controller_takes_orders_and_ends_an_older_one_here() {
        let (links, node) = (
            Links::new(Arc::new(Mirror::new(false))),
            StorageNodeId::new(1).unwrap(),
        );
        let (outgoing, _queue) = mpsc::channel(2);
        let end = CancellationToken::new();
        let number = add(&links, outgoing, &end);
        let (orders, mut passed_on) = mpsc::channel(2);
        // What the other one has is older: the agent has dialled here since.
        assert!(!links.moved_away(node, dialled(1, 4), ("b", &orders), || {}));
        assert!(!end.is_cancelled());
        assert!(links.moved_away(node, dialled(1, 6), ("b", &orders), || {}));
        assert!(end.is_cancelled() && links.is_at(node, "b"));
        let ended = links.remove(node, number, || {});
        assert_eq!(ended, Left::Unknown, "it does not count any longer");
        assert_eq!(links.send(node, order()), Ok(()));
        let Some(Order::Node(passed)) = passed_on.try_recv().unwrap().order else {
            panic!("no order")
        };
        assert_eq!((passed.node_id, links.online()), (1, vec![node]));
        // An order that follows from the state is sent by the other one.
        assert_eq!(links.send_with(node, || panic!("it is not built")), Ok(()));
        assert!(!links.left(node, "c", || {}) && links.left(node, "b", || {}));
        assert_eq!(links.send(node, order()), Err(SendError::Offline));
    }

    #[test]
    fn a_controller_that_hung_takes_no_link_from_the_one_that_has_it() {
        let (links, node) = (
            Links::new(Arc::new(Mirror::new(false))),
            StorageNodeId::new(1).unwrap(),
        );
        let (orders, _passed_on) = mpsc::channel(2);
        let says = |controller: &str, dialled| {
            links.moved_away(node, dialled, (controller, &orders), || {})
        };
        // While "hung" hung, the agent has dialled "well".
        assert!(says("hung", dialled(1, 5)) && says("well", dialled(1, 6)));
        assert!(!says("hung", dialled(1, 5)), "an older call of the agent");
        assert!(!links.left(node, "hung", || {}) && links.is_at(node, "well"));
        // Or the agent was started again: which process is the later one nobody can tell.
        assert!(says("hung", dialled(2, 9)) && links.is_at(node, "hung"));
        assert!(!links.left(node, "hung", || {}) && links.is_at(node, "well"));
        assert_eq!((links.at("well"), links.at("hung")), (vec![node], vec![]));
        assert!(links.left(node, "well", || {}) && links.online().is_empty());
        // Who says that it has no longer got the link may be heard before who has it, or after.
        assert!(says("a", dialled(3, 1)));
        links.overtaken(node, "a");
        assert!(links.is_at(node, "a") && says("b", dialled(4, 1)) && says("c", dialled(5, 1)));
        links.overtaken(node, "b");
        assert!(links.left(node, "c", || {}) && links.online().is_empty());
    }

    #[test]
    fn a_newer_link_replaces_the_older_and_outlives_its_end() {
        let (links, node) = (
            Links::new(Arc::new(Mirror::new(false))),
            StorageNodeId::new(1).unwrap(),
        );
        let (old_end, new_end) = (CancellationToken::new(), CancellationToken::new());
        let (old, _old_queue) = mpsc::channel(2);
        let (new, _new_queue) = mpsc::channel(2);
        let first = add(&links, old, &old_end);
        add(&links, new, &new_end);
        assert!(old_end.is_cancelled() && !new_end.is_cancelled());
        assert_eq!(links.remove(node, first, || {}), Left::Unknown);
        assert_eq!(links.send(node, order()), Ok(()));
    }

    #[test]
    fn an_agent_that_takes_no_orders_is_cut_off() {
        let (links, node) = (
            Links::new(Arc::new(Mirror::new(false))),
            StorageNodeId::new(1).unwrap(),
        );
        let end = CancellationToken::new();
        let (sender, _queue) = mpsc::channel(2);
        add(&links, sender, &end);
        assert_eq!(links.send(node, order()), Ok(()));
        assert_eq!(links.send(node, order()), Err(SendError::Congested));
        assert!(end.is_cancelled());
        assert_eq!(links.send(node, order()), Err(SendError::Congested));
    }
}
