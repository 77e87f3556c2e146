//! Watching etcd: one stream for the caller, however often the connection has to be made anew.
//!
//! etcd sends the events of one revision in one message unless a watch asks for fragments, and this
//! one does not: so a [`WatchBatch`] is whole without further bookkeeping, and the limit on a
//! message is set high instead.

use std::collections::VecDeque;
use std::time::Duration;

use etcd_client::{Client, EventType, WatchOptions, WatchResponse, WatchStream};
use foghorn_types::chain;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use tracing::{debug, warn};

use super::answer::{in_time, unavailable};
use super::{CALL, MAX_MESSAGE_BYTES, entry, ours, range_end, range_start, theirs};
use crate::store::backoff::Backoff;
use crate::store::{Change, Revision, WatchBatch, WatchError};

const DOING: &str = "watch for changes";
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// After so many failures in a row, some five seconds when etcd is plainly gone, the caller is
/// told: it may want to say that what it shows is stale.
const ATTEMPTS: usize = 8;

struct Watcher {
    client: Client,
    prefix: String,
    /// The last revision that has been handed out, or was before the first that is wanted.
    at: Revision,
    stream: Option<WatchStream>,
    received: VecDeque<WatchBatch>,
    failures: usize,
    backoff: Backoff,
}

pub(super) fn watch(
    client: Client,
    prefix: &str,
    after: Revision,
) -> BoxStream<'static, Result<WatchBatch, WatchError>> {
    let watcher = Watcher {
        client,
        prefix: prefix.to_owned(),
        at: after,
        stream: None,
        received: VecDeque::new(),
        failures: 0,
        backoff: Backoff::new(FIRST_PAUSE, LONGEST_PAUSE),
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
            if let Some(batch) = self.received.pop_front() {
                self.at = batch.revision;
                return Ok(batch);
            }
            match self.receive().await {
                Ok(()) => {
                    self.failures = 0;
                    self.backoff.succeeded();
                }
                Err(WatchError::Store(error)) => {
                    self.stream = None;
                    self.failures += 1;
                    if self.failures >= ATTEMPTS {
                        return Err(error.into());
                    }
                    debug!(error = %chain(&error), after = self.at, "restarting the watch");
                    tokio::time::sleep(self.backoff.pause()).await;
                }
                Err(compacted) => return Err(compacted),
            }
        }
    }

    /// Takes in one message, over a new stream if there is none.
    async fn receive(&mut self) -> Result<(), WatchError> {
        if self.stream.is_none() {
            self.stream = Some(self.begin().await?);
        }
        let Some(stream) = &mut self.stream else {
            return Ok(());
        };
        let message = stream
            .message()
            .await
            .map_err(|error| unavailable(DOING, error))?;
        let message = message.ok_or_else(|| unavailable(DOING, "etcd has ended the watch"))?;
        check_cancelled(&message)?;
        self.received = batches(&message, self.at);
        Ok(())
    }

    /// Starts a watch at `at`, one revision earlier than is wanted; [`batches`] leaves that one
    /// out.
    ///
    /// After compaction etcd lets a watch start at the very revision that was compacted, although
    /// deletions at it are gone. With the earlier start it refuses exactly when something that
    /// is wanted may be missing.
    async fn begin(&self) -> Result<WatchStream, WatchError> {
        let mut watches = self
            .client
            .watch_client()
            .max_decoding_message_size(MAX_MESSAGE_BYTES);
        let options = WatchOptions::new()
            .with_range(range_end(&self.prefix))
            .with_start_revision(theirs(self.at));
        let mut stream = in_time(
            DOING,
            CALL,
            watches.watch(range_start(&self.prefix), Some(options)),
        )
        .await?;
        let first = in_time(DOING, CALL, stream.message()).await?;
        let first = first.ok_or_else(|| unavailable(DOING, "etcd has ended the watch"))?;
        check_cancelled(&first)?;
        Ok(stream)
    }
}

fn check_cancelled(message: &WatchResponse) -> Result<(), WatchError> {
    if !message.canceled() {
        return Ok(());
    }
    match message.compact_revision() {
        0 => Err(unavailable(
            DOING,
            format!("etcd has cancelled the watch: {}", message.cancel_reason()),
        )
        .into()),
        compacted => Err(WatchError::Compacted {
            compacted: ours(compacted),
        }),
    }
}

/// The events of a message that come after `after`, revision by revision.
fn batches(message: &WatchResponse, after: Revision) -> VecDeque<WatchBatch> {
    let mut batches: VecDeque<WatchBatch> = VecDeque::new();
    for change in message
        .events()
        .iter()
        .filter_map(change)
        .filter(|change| change.revision() > after)
    {
        let revision = change.revision();
        match batches.back_mut() {
            Some(batch) if batch.revision == revision => batch.changes.push(change),
            _ => batches.push_back(WatchBatch {
                revision,
                changes: vec![change],
            }),
        }
    }
    for batch in &mut batches {
        batch.changes.sort_by(|a, b| a.key().cmp(b.key()));
    }
    batches
}

fn change(event: &etcd_client::Event) -> Option<Change> {
    let found = event.kv()?;
    let change = match event.event_type() {
        EventType::Put => entry(found.clone()).map(Change::Put),
        EventType::Delete => {
            let key = String::from_utf8(found.key().to_vec()).ok();
            key.map(|key| Change::Delete {
                key,
                revision: ours(found.mod_revision()),
            })
        }
    };
    if change.is_none() {
        warn!(key = ?found.key(), "ignored a key in etcd that is not UTF-8 text");
    }
    change
}
