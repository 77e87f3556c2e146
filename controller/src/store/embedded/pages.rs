//! Every entry under a prefix, page after page, from one snapshot of the file.

use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use redb::{ReadTransaction, ReadableDatabase};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio_stream::wrappers::ReceiverStream;

use super::file::Trouble;
use super::tables::{KEYS, NUMBERS, REVISION, entry, number};
use super::{Copying, Shared};
use crate::store::{Entry, Snapshot, StoreError};

const DOING: &str = "list keys";
/// A page ends when it has so many entries, or so many bytes.
const ENTRIES: usize = 1000;
const BYTES: usize = 1 << 20;
/// How often it is looked whether a slow reader has taken a page.
const LOOK_EVERY: Duration = Duration::from_millis(5);

type Piece = Result<Snapshot, StoreError>;

/// Pages that wait for a reader. It may be slow, but one that is not does not wait for us.
const AHEAD: usize = 4;

/// Reads on a thread of its own, a few pages ahead.
pub(super) fn pages(
    shared: &Arc<Shared>,
    copying: Arc<Copying>,
    prefix: &str,
) -> BoxStream<'static, Piece> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    let (shared, prefix) = (Arc::downgrade(shared), prefix.to_owned());
    tokio::task::spawn_blocking(move || {
        let _reading = copying.paging.read();
        let hand_over = |page: Piece| hand_over(&sender, &copying, page);
        // redb panics on some damage; whoever reads must not take what came before for everything.
        let done = catch_unwind(AssertUnwindSafe(|| {
            let txn = begin(&shared)?;
            read(&txn, &prefix, hand_over).map_err(|error| unavailable(error.into()))
        }));
        let error = match done {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error,
            Err(_) => unavailable("reading the file panicked, see the log".into()),
        };
        if let Some(shared) = shared.upgrade() {
            shared.suspect.store(true, Ordering::Release);
        }
        hand_over(Err(error));
    });
    ReceiverStream::new(receiver).boxed()
}

fn unavailable(source: Box<dyn Error + Send + Sync>) -> StoreError {
    let doing = DOING;
    StoreError::Unavailable { doing, source }
}

fn begin(shared: &Weak<Shared>) -> Result<ReadTransaction, StoreError> {
    let shared = shared.upgrade();
    let shared = shared.ok_or_else(|| unavailable("the store has been closed".into()))?;
    let file = shared.file.read().unwrap_or_else(PoisonError::into_inner);
    match &*file {
        Ok(db) => db
            .begin_read()
            .map_err(|error| Trouble::of_write(&shared.path, &error.into()).while_doing(DOING)),
        Err(trouble) => Err(trouble.while_doing(DOING)),
    }
}

/// Ends early when `hand_over` says that nobody wants more.
fn read(
    txn: &ReadTransaction,
    prefix: &str,
    hand_over: impl Fn(Piece) -> bool,
) -> Result<(), redb::Error> {
    let revision = number(&txn.open_table(NUMBERS)?, REVISION)?;
    let (mut entries, mut bytes) = (Vec::new(), 0);
    let page = |entries: &mut Vec<Entry>| {
        let entries = std::mem::take(entries);
        hand_over(Ok(Snapshot { revision, entries }))
    };
    for row in txn.open_table(KEYS)?.range(prefix..)? {
        let (key, stored) = row?;
        if !key.value().starts_with(prefix) {
            break;
        }
        let found = entry(key.value(), stored.value());
        bytes += found.key.len() + found.value.len();
        entries.push(found);
        if entries.len() >= ENTRIES || bytes >= BYTES {
            if !page(&mut entries) {
                return Ok(());
            }
            bytes = 0;
        }
    }
    page(&mut entries);
    Ok(())
}

/// Waits until the reader has room. `false` when it is gone, or the store is being dropped.
fn hand_over(sender: &mpsc::Sender<Piece>, copying: &Copying, page: Piece) -> bool {
    let mut page = page;
    loop {
        if copying.is_over.load(Ordering::Acquire) {
            return false;
        }
        match sender.try_send(page) {
            Ok(()) => return true,
            Err(TrySendError::Closed(_)) => return false,
            Err(TrySendError::Full(again)) => page = again,
        }
        std::thread::sleep(LOOK_EVERY);
    }
}
