//! Watching: reading the history table again and again.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use tokio::sync::watch;

use super::Shared;
use super::tables::{self, Page};
use crate::store::{Revision, StoreError, WatchBatch, WatchError};

const DOING: &str = "watch for changes";

struct Watcher {
    /// Weak, so that a forgotten watch does not keep the file locked.
    shared: Weak<Shared>,
    committed: watch::Receiver<Revision>,
    prefix: String,
    /// Everything up to here has been read.
    at: Revision,
    read: VecDeque<WatchBatch>,
    started: bool,
}

pub(super) fn watch(
    shared: &Arc<Shared>,
    prefix: &str,
    after: Revision,
) -> BoxStream<'static, Result<WatchBatch, WatchError>> {
    let watcher = Watcher {
        shared: Arc::downgrade(shared),
        committed: shared.committed.clone(),
        prefix: prefix.to_owned(),
        at: after,
        read: VecDeque::new(),
        started: false,
    };
    stream::unfold(Some(watcher), |watcher| async {
        let mut watcher = watcher?;
        match watcher.next().await {
            Ok(batch) => Some((Ok(batch), Some(watcher))),
            Err(end) => Some((Err(end), None)),
        }
    })
    .boxed()
}

impl Watcher {
    async fn next(&mut self) -> Result<WatchBatch, WatchError> {
        loop {
            if let Some(batch) = self.read.pop_front() {
                return Ok(batch);
            }
            // The first read is made at once: a watch from a compacted revision has to say so
            // without waiting for a write.
            if self.started {
                let at = self.at;
                self.committed
                    .wait_for(|committed| *committed > at)
                    .await
                    .map_err(|_| closed())?;
            }
            self.started = true;
            let shared = self.shared.upgrade().ok_or_else(closed)?;
            let (prefix, after) = (self.prefix.clone(), self.at);
            match shared
                .reading(DOING, move |db| tables::history(db, &prefix, after))
                .await?
            {
                Page::Compacted { compacted } => return Err(WatchError::Compacted { compacted }),
                Page::Read { batches, up_to } => {
                    self.read = batches.into();
                    self.at = up_to;
                }
            }
        }
    }
}

fn closed() -> StoreError {
    StoreError::Unavailable {
        doing: DOING,
        source: "the store has been closed".into(),
    }
}
