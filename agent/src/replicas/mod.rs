//! Copies of images from node to node.
//!
//! The controller says, complete and again with every change, which copies this node makes and
//! which it gives ([`Replicas::obey`]). A copy is a session of a deploy in which the client is a
//! node: [`serve`] is the end that gives, [`copy`] the end that takes. Whoever takes asks its own
//! store first, so a copy that was interrupted goes on with what is missing, and one of what is here
//! already moves no chunks. Nothing is ever removed.

mod copy;
mod error;
mod fetch;
mod held;
mod limit;
mod meter;
mod order;
mod serve;
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foghorn_proto::link::ReplicaOrders;
use foghorn_types::{NodeName, chain};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, info, info_span, warn};

use self::copy::ImageCopy;
use self::limit::Limit;
use self::meter::Meter;
use self::order::{FetchOrder, ServeOrder};
use crate::disk::Disk;
use crate::healing::Healing;
use crate::identity::NodeIdentity;
use crate::marks::Marks;
use crate::outbox::Outbox;
use crate::served_image::ServedImages;

/// All copies of the node, both ways, and what they share.
pub(crate) struct Replicas {
    state: Mutex<State>,
    /// Woken when what is given changes, for nodes that came before their order.
    changed: watch::Sender<()>,
    shared: Arc<Shared>,
    images: ServedImages,
    /// Of all that is given.
    serving: Limit,
    /// How long a node that comes before its order waits for it.
    admission_wait: Duration,
    tasks: TaskTracker,
    cancel: CancellationToken,
}

/// What every copy to this node works with.
struct Shared {
    disk: Disk,
    outbox: Arc<Outbox>,
    identity: watch::Receiver<Arc<NodeIdentity>>,
    /// Of all that is taken.
    fetching: Limit,
    /// Woken when the store holds another image, so that the controller hears of it soon.
    store_changed: Arc<Notify>,
    /// Told of what comes, for those who wait for it.
    healing: Arc<Healing>,
    marks: Arc<Marks>,
    progress_every: Duration,
}

#[derive(Default)]
struct State {
    serves: BTreeMap<u32, Serve>,
    copies: BTreeMap<u32, Running>,
}

/// A copy that another node may make from here.
struct Serve {
    order: ServeOrder,
    stop: CancellationToken,
}

/// A copy that is being made here, or has ended and is still ordered.
struct Running {
    order: watch::Sender<FetchOrder>,
    stop: CancellationToken,
}

/// What [`Replicas::new`] is built from.
pub(crate) struct Parts {
    pub disk: Disk,
    pub outbox: Arc<Outbox>,
    pub identity: watch::Receiver<Arc<NodeIdentity>>,
    pub store_changed: Arc<Notify>,
    pub healing: Arc<Healing>,
    pub marks: Arc<Marks>,
    pub progress_every: Duration,
    pub admission_wait: Duration,
    pub cancel: CancellationToken,
}

impl Replicas {
    #[must_use]
    pub(crate) fn new(parts: Parts) -> Arc<Self> {
        let images = ServedImages::new(parts.disk.clone());
        let shared = Arc::new(Shared {
            disk: parts.disk,
            outbox: parts.outbox,
            identity: parts.identity,
            fetching: Limit::default(),
            store_changed: parts.store_changed,
            healing: parts.healing,
            marks: parts.marks,
            progress_every: parts.progress_every,
        });
        Arc::new(Self {
            state: Mutex::default(),
            changed: watch::Sender::new(()),
            shared,
            images,
            serving: Limit::default(),
            admission_wait: parts.admission_wait,
            tasks: TaskTracker::new(),
            cancel: parts.cancel,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The maps are whole between any two statements here.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The controller's complete word: what is not in it ends, what is new begins, and the rest goes
    /// on.
    pub(crate) fn obey(&self, orders: ReplicaOrders) {
        self.shared.fetching.set(orders.max_fetch_bytes_per_second);
        self.serving.set(orders.max_serve_bytes_per_second);
        let no_source = orders.no_source.iter();
        let no_source = no_source.filter_map(|bytes| order::manifest(bytes).ok());
        self.shared.healing.no_source(no_source.collect());
        self.set_serves(orders.serve.into_iter().filter_map(checked).collect());
        self.set_copies(orders.fetch.into_iter().filter_map(checked).collect());
    }

    fn set_serves(&self, orders: Vec<ServeOrder>) {
        let mut state = self.state();
        let wanted: BTreeMap<u32, ServeOrder> = orders
            .into_iter()
            .map(|order| (order.copy, order))
            .collect();
        state.serves.retain(|copy, serve| {
            let stays = wanted.get(copy) == Some(&serve.order);
            if !stays {
                serve.stop.cancel();
            }
            stays
        });
        for (copy, order) in wanted {
            let stop = self.cancel.child_token();
            let serve = || Serve { order, stop };
            state.serves.entry(copy).or_insert_with(serve);
        }
        drop(state);
        self.changed.send_replace(());
    }

    fn set_copies(&self, orders: Vec<FetchOrder>) {
        let wanted: BTreeSet<u32> = orders.iter().map(|order| order.copy).collect();
        let mut state = self.state();
        state.copies.retain(|copy, running| {
            let stays = wanted.contains(copy);
            if !stays {
                running.stop.cancel();
            }
            stays
        });
        self.shared.outbox.keep_replicas(&wanted);
        for order in orders {
            if let Some(running) = state.copies.get(&order.copy) {
                running.order.send_if_modified(|present| {
                    let differs = *present != order;
                    *present = order;
                    differs
                });
                continue;
            }
            let running = self.start(order);
            let copy = running.order.borrow().copy;
            state.copies.insert(copy, running);
        }
    }

    fn start(&self, order: FetchOrder) -> Running {
        let (image, manifest, number) = (order.image, order.manifest, order.copy);
        let span = info_span!("copy", copy = number, %image, manifest = %format!("{manifest:#}"));
        span.in_scope(|| {
            info!(
                sources = order.sources.len(),
                "copying an image to this node"
            )
        });
        let (order, orders) = watch::channel(order);
        // Before the order counts as heard: who waits for a chunk must see that it is on its way.
        self.shared.healing.copying(number, manifest);
        let healing = self.shared.healing.clone();
        let stop = self.cancel.child_token();
        let meter = Arc::new(Meter::new(number));
        let copy = ImageCopy::new(self.shared.clone(), orders, meter);
        let ended = stop.clone();
        let work = async move {
            let end = ended.run_until_cancelled(copy.run()).await;
            let why_not = end.unwrap_or_else(|| Some("the copy was stopped".to_owned()));
            healing.ended(number, why_not);
        };
        self.tasks.spawn(work.instrument(span));
        Running { order, stop }
    }

    /// What may be given under this number, and to whom; changes with the orders.
    fn served(&self, copy: u32) -> Option<(ServeOrder, CancellationToken)> {
        let state = self.state();
        let serve = state.serves.get(&copy)?;
        Some((serve.order.clone(), serve.stop.clone()))
    }

    /// Waits for the copies under way. The token must be cancelled already.
    pub(crate) async fn stopped(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// An order that is not valid is left out: the controller sees that nothing comes of it.
fn checked<W, O>(wire: W) -> Option<O>
where
    O: TryFrom<W>,
    O::Error: std::error::Error + 'static,
{
    let order = O::try_from(wire);
    order
        .inspect_err(|error| warn!(error = %chain(error), "an order was ignored"))
        .ok()
}

/// How a source is called in messages for people.
fn called(node: &NodeName) -> String {
    format!("storage node {node}")
}
