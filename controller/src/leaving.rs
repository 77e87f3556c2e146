//! How far the end of this controller has come. Where others are there, it goes in steps, so that
//! nobody notices: first it says so, then it takes no more connections, then it ends.

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The steps of the end. None is taken back.
#[derive(Default)]
pub struct Leaving {
    begun: CancellationToken,
    closing: CancellationToken,
    /// Wakes background work.
    news: watch::Sender<u64>,
}

impl Leaving {
    /// `/readyz` says so from now on, answers end their connection, and agents look for another
    /// controller. Everything is still served.
    pub(crate) fn begin(&self) {
        self.begun.cancel();
        self.news.send_modify(|steps| *steps += 1);
    }

    /// From now on, no further connection is taken; what is under way is finished.
    pub(crate) fn close(&self) {
        self.begun.cancel();
        self.closing.cancel();
    }

    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.begun.is_cancelled()
    }

    /// Changes with [`Leaving::begin`].
    pub(crate) fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// Cancelled by [`Leaving::begin`].
    pub(crate) fn begun(&self) -> &CancellationToken {
        &self.begun
    }

    /// Cancelled by [`Leaving::close`].
    pub(crate) fn closing(&self) -> &CancellationToken {
        &self.closing
    }
}
