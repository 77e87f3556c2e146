//! Finding a source that answers: the sources of the order in turn, at each of their addresses,
//! until one does.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use foghorn_transport::{AgentConnection, Hello, SessionKind, Source as Address};
use foghorn_types::{NodeName, chain};
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{debug, info};

use super::meter::Meter;
use super::order::{FetchOrder, Source, as_task};
use super::{Shared, called};

/// Name and version, for the log of the other node.
const SOFTWARE: &str = concat!("foghorn-agent ", env!("CARGO_PKG_VERSION"));
/// Between two rounds through all sources, at first and at most.
const AGAIN: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));

/// A connection to a source.
#[derive(Clone)]
pub(super) struct Link {
    pub node: NodeName,
    pub connection: Arc<AgentConnection>,
}

/// The sources of one copy.
pub(super) struct Sources {
    shared: Arc<Shared>,
    orders: watch::Receiver<FetchOrder>,
    meter: Arc<Meter>,
    present: Option<Link>,
    /// How long to wait before the next round.
    wait: Duration,
}

impl Sources {
    pub(super) fn new(
        shared: Arc<Shared>,
        orders: watch::Receiver<FetchOrder>,
        meter: Arc<Meter>,
    ) -> Self {
        Self {
            shared,
            orders,
            meter,
            present: None,
            wait: AGAIN.0,
        }
    }

    /// A connection to the best source that answers and is not in `except`. Waits until there is
    /// one; `None` when `except` leaves none.
    pub(super) async fn link(&mut self, except: &BTreeSet<NodeName>) -> Option<Link> {
        loop {
            let order = self.orders.borrow_and_update().clone();
            let usable: Vec<&Source> = order
                .sources
                .iter()
                .filter(|source| !except.contains(&source.node))
                .collect();
            if usable.is_empty() && !order.sources.is_empty() {
                return None;
            }
            let is_usable = |link: &&Link| usable.iter().any(|source| source.node == link.node);
            if let Some(link) = self.present.as_ref().filter(is_usable) {
                return Some(link.clone());
            }
            let mut problem = "no storage node that has the image is connected".to_owned();
            for source in usable {
                match self.try_source(&order, source).await {
                    Ok(link) => {
                        self.meter.copying_from(&link.node);
                        return Some(self.present.insert(link).clone());
                    }
                    Err(why) => problem = format!("{}: {why}", called(&source.node)),
                }
            }
            debug!(problem, "no source answers");
            self.meter.waiting(&problem);
            self.pause().await;
        }
    }

    /// Waits a little longer each time, and not when there are other orders.
    async fn pause(&mut self) {
        // The sender is gone only when this copy is about to be stopped.
        let _ = timeout(self.wait, self.orders.changed()).await;
        self.wait = (self.wait * 2).min(AGAIN.1);
    }

    async fn try_source(&self, order: &FetchOrder, source: &Source) -> Result<Link, String> {
        let identity = self.shared.identity.borrow().for_transport();
        let identity = identity.map_err(|error| chain(&error).to_string())?;
        let mut problem = "it has no address".to_owned();
        for address in &source.addresses {
            let at = Address {
                address: address.clone(),
                server_name: source.node.tls_name(),
            };
            let hello = Hello {
                task: as_task(order.copy).ok_or("the copy has no number")?,
                software: SOFTWARE.to_owned(),
                traceparent: String::new(),
            };
            match AgentConnection::connect(&at, &identity, hello).await {
                Ok(connection) => {
                    let expected = SessionKind::Deploy {
                        manifest: order.manifest,
                    };
                    if connection.kind() != expected {
                        return Err("it offers other content".to_owned());
                    }
                    info!(source = %source.node, address, "connected to a source");
                    return Ok(Link {
                        node: source.node.clone(),
                        connection: Arc::new(connection),
                    });
                }
                Err(error) => problem = chain(&error).to_string(),
            }
        }
        Err(problem)
    }

    /// Something came over the connection: the next trouble begins with a short wait.
    pub(super) fn works(&mut self) {
        self.wait = AGAIN.0;
    }

    /// The connection is of no more use; waits a little, so that a source that accepts and breaks
    /// off is not asked in a circle.
    pub(super) async fn broke(&mut self, problem: &str) {
        if let Some(link) = self.present.take() {
            let problem = format!("{}: {problem}", called(&link.node));
            info!(problem, "lost a source");
            self.meter.waiting(&problem);
        }
        self.pause().await;
    }
}
