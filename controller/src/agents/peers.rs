//! The other controllers that this one hears: how far each has come, and how to call it.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use foghorn_proto::link::peer_link_client::PeerLinkClient;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tonic::transport::Channel;

use crate::store::Revision;

/// A controller that is heard at present.
pub(crate) struct Peer {
    pub(crate) reached: watch::Receiver<Revision>,
    /// For calls that transfer files.
    pub(crate) client: Option<PeerLinkClient<Channel>>,
}

/// By id.
#[derive(Default)]
pub struct Peers {
    /// Id of this controller, where there may be others.
    own: OnceLock<String>,
    known: Mutex<HashMap<String, Peer>>,
    /// Those that have ever been heard.
    met: Mutex<HashSet<String>>,
}

impl Peers {
    /// This controller has an id, among others.
    pub(crate) fn name(&self, own: &str) {
        let _is_the_same = self.own.set(own.to_owned());
    }

    /// Id of this controller; empty where there are no others.
    #[must_use]
    pub fn own(&self) -> &str {
        self.own.get().map_or("", String::as_str)
    }

    /// A controller is heard from now on.
    pub(crate) fn heard(&self, id: &str, peer: Peer) {
        self.lock().insert(id.to_owned(), peer);
        self.met().insert(id.to_owned());
    }

    /// Whether the controller has been heard since this one began.
    #[must_use]
    pub fn has_met(&self, id: &str) -> bool {
        self.met().contains(id)
    }

    fn met(&self) -> MutexGuard<'_, HashSet<String>> {
        self.met.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A controller is no longer heard.
    pub(crate) fn lost(&self, id: &str) {
        self.lock().remove(id);
    }

    /// Whether a controller is heard.
    pub(crate) fn is_heard(&self, id: &str) -> bool {
        self.lock().contains_key(id)
    }

    /// For calls to it.
    pub(crate) fn client(&self, id: &str) -> Option<PeerLinkClient<Channel>> {
        self.lock().get(id).and_then(|peer| peer.client.clone())
    }

    /// Those that are heard, and how far each has come.
    #[must_use]
    pub fn heard_by_id(&self) -> Vec<(String, Revision)> {
        let known = self.lock();
        known
            .iter()
            .map(|(id, peer)| (id.clone(), *peer.reached.borrow()))
            .collect()
    }

    /// Waits until readers of every controller that is heard see `revision`, but no longer than
    /// `within`: who has written may ask any of them next.
    pub(crate) async fn wait_for(&self, revision: Revision, within: Duration) {
        let waiting: Vec<_> = self
            .lock()
            .values()
            .filter(|peer| *peer.reached.borrow() < revision)
            .map(|peer| peer.reached.clone())
            .collect();
        let deadline = Instant::now() + within;
        for mut reached in waiting {
            // One that is no longer heard has no readers that matter.
            let _late_or_gone =
                timeout_at(deadline, reached.wait_for(|reached| *reached >= revision)).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Peer>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
