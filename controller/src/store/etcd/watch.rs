//! Watching etcd: one stream for the caller, however often the connection has to be made anew.
//!
//! etcd sends the events of one revision in one message unless a watch asks for fragments, and this
//! one does not: so a [`WatchBatch`] is whole without further bookkeeping, and the limit on a
//! message is set high instead.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use etcd_client::{EventType, WatchOptions, WatchResponse, WatchStream};
use foghorn_types::chain;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use tokio::time::timeout;
use tracing::{debug, warn};

use super::answer::unavailable;
use super::members::{CallError, Interrupted, Members};
use super::{CALL, MAX_MESSAGE_BYTES, entry, ours, range_end, range_start, theirs};
use crate::store::backoff::Backoff;
use crate::store::{Change, Revision, StoreError, WatchBatch, WatchError};

const DOING: &str = "watch for changes";
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// After so many failures in a row, some five seconds when etcd is plainly gone, the caller is
/// told: it may want to say that what it shows is stale.
const ATTEMPTS: usize = 8;

struct Watcher {
    members: Arc<Members>,
    /// Which of them is used.
    used: tokio::sync::watch::Receiver<usize>,
    /// What it was when the stream began.
    member: usize,
    /// There while there is no stream, after the first.
    interrupted: Option<Interrupted>,
    prefix: String,
    /// The last revision that has been handed out, or was before the first that is wanted.
    at: Revision,
    stream: Option<WatchStream>,
    received: VecDeque<WatchBatch>,
    failures: usize,
    backoff: Backoff,
}

pub(super) fn watch(
    members: Arc<Members>,
    prefix: &str,
    after: Revision,
) -> BoxStream<'static, Result<WatchBatch, WatchError>> {
    let watcher = Watcher {
        used: members.used(),
        members,
        member: 0,
        interrupted: None,
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
                    self.interrupt();
                    self.members.leave(self.member);
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

    fn interrupt(&mut self) {
        if self.stream.take().is_some() {
            self.interrupted = Some(self.members.interrupted());
        }
    }

    /// Takes in one message, over a new stream if there is none.
    async fn receive(&mut self) -> Result<(), WatchError> {
        if self.stream.is_none() {
            self.stream = Some(self.begin().await?);
            self.interrupted = None;
        }
        let Some(stream) = &mut self.stream else {
            return Ok(());
        };
        let message = tokio::select! {
            message = stream.message() => message.map_err(|error| unavailable(DOING, error))?,
            _ = self.used.changed() => {
                // The member may be silent for ever. What it has not sent comes from another.
                self.interrupt();
                return Ok(());
            }
        };
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
    async fn begin(&mut self) -> Result<WatchStream, WatchError> {
        self.member = *self.used.borrow_and_update();
        let client = self.members.client(self.member);
        let mut watches = in_time(client)
            .await?
            .watch_client()
            .max_decoding_message_size(MAX_MESSAGE_BYTES);
        let options = WatchOptions::new()
            .with_range(range_end(&self.prefix))
            .with_start_revision(theirs(self.at));
        let mut stream = in_time(async {
            let watching = watches.watch(range_start(&self.prefix), Some(options));
            Ok(watching.await?)
        })
        .await?;
        let first = in_time(async { Ok(stream.message().await?) }).await?;
        let first = first.ok_or_else(|| unavailable(DOING, "etcd has ended the watch"))?;
        check_cancelled(&first)?;
        Ok(stream)
    }
}

async fn in_time<T>(call: impl Future<Output = Result<T, CallError>>) -> Result<T, StoreError> {
    match timeout(CALL, call).await {
        Ok(done) => done.map_err(|error| unavailable(DOING, error)),
        Err(late) => Err(unavailable(DOING, late)),
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
