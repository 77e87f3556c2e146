//! A controller leaves: the link to another one is opened while the old one is still in use.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use foghorn_types::chain;
use tokio::time::{sleep, timeout};
use tracing::debug;

use super::{ControllerLink, LinkEnd, LinkError, OpenLink};
use crate::identity::NodeIdentity;

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(100);
/// How long is looked on when the old link has ended meanwhile, as it does when the other controller
/// has told that it has a newer one.
const LAST_WITHIN: Duration = Duration::from_secs(3);

/// The search for another controller, if there is one.
#[derive(Default)]
pub(super) struct Elsewhere<'a>(Option<Pin<Box<dyn Future<Output = OpenLink> + Send + 'a>>>);

impl<'a> Elsewhere<'a> {
    /// Begins to look. `links` are those of the other controllers.
    pub(super) fn look(
        &mut self,
        link: &'a ControllerLink,
        identity: &'a Arc<NodeIdentity>,
        links: Vec<String>,
    ) {
        if self.0.is_none() && !links.is_empty() {
            self.0 = Some(Box::pin(open(link, identity, links)));
        }
    }

    /// The link that was opened; never, when nobody looks for one. Cancel safe.
    pub(super) async fn opened(&mut self) -> OpenLink {
        match &mut self.0 {
            Some(looking) => looking.await,
            None => std::future::pending().await,
        }
    }

    /// The old link has ended with `error`. A new one that is about to be there counts.
    pub(super) async fn last(mut self, error: LinkError) -> Result<LinkEnd, LinkError> {
        if self.0.is_none() {
            return Err(error);
        }
        match timeout(LAST_WITHIN, self.opened()).await {
            Ok(open) => Ok(LinkEnd::Moved(Box::new(open))),
            Err(_) => Err(error),
        }
    }
}

/// Agents that are told at once do not all call the same one: each begins elsewhere.
async fn open(link: &ControllerLink, identity: &Arc<NodeIdentity>, links: Vec<String>) -> OpenLink {
    let first = getrandom::u32().unwrap_or_default() as usize % links.len();
    for address in links.iter().cycle().skip(first) {
        match link.open_at(identity, address.clone()).await {
            Ok(open) => return open,
            Err(problem) => {
                debug!(error = %chain(&problem), "still looking for another controller")
            }
        }
        sleep(PAUSE).await;
    }
    std::future::pending().await
}
