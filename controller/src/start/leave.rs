//! The end of a controller among others: nobody notices it.
//!
//! Whoever asks while it lasts is answered. Agents open a link to another controller before they let
//! this one go (`Leave`), so no report is lost and no order is late.

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tracing::{info, warn};

use super::Controller;
use crate::link::session;

/// Time for requests that are under way when no further ones are taken. Files are uploaded in it.
const REQUESTS_WITHIN: Duration = Duration::from_secs(10);
/// Time for agents to open a link elsewhere; those of earlier versions do not look for one.
const LINKS_WITHIN: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(20);

impl Controller {
    /// The longest that [`Controller::drain`] takes.
    #[must_use]
    pub fn drains_within(&self) -> Duration {
        self.notice.max(LINKS_WITHIN) + REQUESTS_WITHIN + Duration::from_secs(1)
    }

    /// Hands everything over to the other controllers, step by step: see [`crate::leaving`]. Without
    /// another one that is heard, it is over at once: nobody else can answer.
    pub async fn drain(&self) {
        let ctx = &self.ctx;
        let others = ctx.peers.heard_by_id().len();
        if others == 0 {
            return;
        }
        let began = Instant::now();
        info!(
            others,
            notice_seconds = self.notice.as_secs(),
            "this controller is leaving: agents are told to call another one, requests are still answered"
        );
        ctx.leaving.begin();
        for link in ctx.links.here() {
            session::tell_to_leave(ctx, link.node);
        }
        let moved = async {
            while !ctx.links.here().is_empty() {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            info!(took = ?began.elapsed(), "no storage node is linked here any more");
        };
        let (_, all_moved) = tokio::join!(
            sleep_until(began + self.notice),
            timeout_at(began + LINKS_WITHIN.max(self.notice), moved)
        );
        if all_moved.is_err() {
            let left = ctx.links.here().len();
            warn!(
                left,
                "storage nodes have not called another controller; their links are cut"
            );
        }
        ctx.leaving.close();
        ctx.events.closed.cancel();
        if timeout(REQUESTS_WITHIN, self.requests.wait())
            .await
            .is_err()
        {
            warn!("requests are still under way, although there was time for them");
        }
    }
}
