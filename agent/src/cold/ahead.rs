//! The next pack is fetched while one is read: whoever deploys an image needs them in a row.

use std::sync::{Arc, Mutex, PoisonError};

use foghorn_types::chain;
use tokio::sync::mpsc;
use tracing::debug;

use super::Cold;
use super::objects::PACK_SIZE;

/// A cache that holds fewer packs would lose the one that is read.
const LEAST_PACKS: u64 = 6;
/// What waits here beyond this is forgotten: it is fetched when it is read.
const WAITING: usize = 4;

/// Numbers of packs that will be needed soon.
pub(super) struct Ahead {
    numbers: mpsc::Sender<u32>,
    /// Taken by who fetches.
    taken: Mutex<Option<mpsc::Receiver<u32>>>,
}

impl Default for Ahead {
    fn default() -> Self {
        let (numbers, receiver) = mpsc::channel(WAITING);
        Self {
            numbers,
            taken: Mutex::new(Some(receiver)),
        }
    }
}

impl Ahead {
    /// This pack is being read.
    pub(super) fn reads(&self, number: u32) {
        let _ = self.numbers.try_send(number.saturating_add(1));
    }

    fn receiver(&self) -> Option<mpsc::Receiver<u32>> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.take()
    }
}

impl Cold {
    /// Fetches ahead until cancelled.
    pub(super) async fn fetch_ahead(self: &Arc<Self>) {
        let (_, limit) = self.packs.size();
        let Some(mut numbers) = self.ahead.receiver() else {
            return std::future::pending().await;
        };
        let mut last = None;
        while let Some(number) = numbers.recv().await {
            if last == Some(number) || limit < LEAST_PACKS * PACK_SIZE as u64 {
                continue;
            }
            last = Some(number);
            // An error is of interest to who needs it.
            if let Ok(Some(pack)) = self.index.pack(number)
                && let Err(error) = self.packs.bring(&self.bucket, pack).await
            {
                debug!(error = %chain(&error), "could not fetch a pack ahead");
            }
        }
        std::future::pending().await
    }
}
