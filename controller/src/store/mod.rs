//! Where the state of the fleet is kept: ordered keys with revisions, transactions with compares,
//! watch.
//!
//! Two engines stand behind one trait: [`etcd`] for installations that outgrow one machine,
//! [`embedded`] (redb) for one box. A conformance suite runs the same generated histories on both.
//! Nothing but [`cache`] reads from an engine in normal operation: every reader uses the watch
//! cache.
//!
//! The vocabulary and the guarantees are etcd's (<https://etcd.io/docs/v3.5/learning/api/>): one global revision that every
//! committed transaction raises by one, an entry remembers the revisions at which it was created
//! and last modified, a watch delivers every change after a revision exactly once and in order.

pub mod backoff;
pub mod cache;
mod check;
pub mod embedded;
pub mod etcd;
pub(crate) mod measured;
pub mod open;
pub mod probe;

use std::path::{Path, PathBuf};

use bytes::Bytes;
use foghorn_types::ByteCount;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;

/// Number of the last committed transaction that changed something. 0 is the empty store.
pub type Revision = u64;

/// One key as stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    pub key: String,
    pub value: Bytes,
    pub created: Revision,
    pub modified: Revision,
}

/// Most operations, and most compares, in one transaction: etcd's default (`--max-txn-ops`), held
/// by both engines so that what works on one works on the other.
pub const MAX_OPS: usize = 128;

/// Most bytes of keys and values in one transaction. etcd refuses requests above 1.5 MiB; the rest
/// is room for framing.
pub const MAX_TXN_BYTES: usize = 1 << 20;

/// What must hold for a transaction to be applied.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Compare {
    /// The key does not exist.
    Absent(String),
    /// The key exists.
    Present(String),
    /// The key exists and was last modified at exactly this revision.
    ModifiedAt(String, Revision),
}

/// One change. A key may be named by at most one operation of a transaction, as in etcd.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Op {
    Put {
        key: String,
        value: Bytes,
    },
    /// Deleting a key that does not exist is no change.
    Delete {
        key: String,
    },
}

/// All or nothing: every compare holds and every operation is applied at one new revision, or
/// nothing is changed.
///
/// At most [`MAX_OPS`] operations, [`MAX_OPS`] compares and [`MAX_TXN_BYTES`] of keys and values:
/// larger work is cut into steps that each leave a valid state. A transaction that changes nothing
/// raises no revision; it answers with the present one.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Txn {
    pub compares: Vec<Compare>,
    pub ops: Vec<Op>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TxnOutcome {
    /// Durable at this revision before the call returns.
    Committed(Revision),
    /// A compare did not hold; nothing was changed.
    Conflict,
}

/// One change as a watcher sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    Put(Entry),
    Delete { key: String, revision: Revision },
}

impl Change {
    #[must_use]
    pub fn key(&self) -> &str {
        match self {
            Self::Put(entry) => &entry.key,
            Self::Delete { key, .. } => key,
        }
    }

    #[must_use]
    pub fn revision(&self) -> Revision {
        match self {
            Self::Put(entry) => entry.modified,
            Self::Delete { revision, .. } => *revision,
        }
    }
}

/// All changes of one revision under the watched prefix, in key order. Never empty.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WatchBatch {
    pub revision: Revision,
    pub changes: Vec<Change>,
}

/// Entries at one revision, in key order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Snapshot {
    pub revision: Revision,
    pub entries: Vec<Entry>,
}

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The engine cannot be reached or has failed; trying again may help. Whether a transaction
    /// took place is unknown.
    #[error("the state store is not available while trying to {doing}")]
    Unavailable {
        doing: &'static str,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The engine knows why it does not work now; the text also says what to do. Trying again helps
    /// once that is done.
    #[error("the state store cannot {doing}: {why}")]
    Unwritable { doing: &'static str, why: String },
    /// The transaction itself is wrong (a key named twice, too large); trying again will not help.
    #[error("the state store refused to {doing}: {why}")]
    Invalid { doing: &'static str, why: String },
}

/// Why a watch ended.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// History before `compacted` is gone: read a snapshot and watch from its revision.
    #[error("revisions up to {compacted} have been compacted away")]
    Compacted { compacted: Revision },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why no copy could be made.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    #[error("could not write a copy of the store to {path}", path = path.display())]
    Failed {
        path: PathBuf,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The engine has means of its own.
    #[error("the store is in etcd, which is backed up by `etcdctl snapshot save FILE`")]
    NotHere,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Where an engine keeps its data, how much room is left there, and what prevents it from writing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Condition {
    /// `embedded` or `etcd`.
    pub engine: &'static str,
    /// The file, or the endpoints.
    pub place: String,
    /// Room on the file system of the embedded store, and its size.
    pub free: Option<ByteCount>,
    pub total: Option<ByteCount>,
    /// Size of the file or of etcd's database.
    pub used: Option<ByteCount>,
    /// What is wrong as far as the engine knows without writing.
    pub problem: Option<String>,
    /// The alarm of etcd, `NOSPACE` or `CORRUPT`.
    pub alarm: Option<&'static str>,
    /// The members of etcd that are configured.
    pub members: Vec<MemberCondition>,
}

/// One member of etcd.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MemberCondition {
    pub endpoint: String,
    /// It leads the others.
    pub leads: bool,
    /// Of etcd; empty when it does not answer.
    pub version: String,
    /// Why it does not serve.
    pub problem: Option<String>,
}

/// An engine. Cheap to share behind `Arc<dyn Store>`.
pub trait Store: Send + Sync + 'static {
    /// The entry under `key`, linearizable.
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Entry>, StoreError>>;

    /// The revision of the last change of any key, linearizable. `key` is one that may be read.
    fn newest<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Revision, StoreError>>;

    /// Every entry whose key starts with `prefix`, at one revision, linearizable.
    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Snapshot, StoreError>>;

    /// The same in pieces, so that memory does not grow with the store: all are of one revision. An
    /// error is the last piece.
    fn pages(&self, prefix: &str) -> BoxStream<'static, Result<Snapshot, StoreError>>;

    /// At most `limit` entries with `from` ≤ key < `to`, linearizable; the last ones first when
    /// `backwards`. For what the watch cache does not keep.
    fn range<'a>(
        &'a self,
        from: &'a str,
        to: &'a str,
        limit: usize,
        backwards: bool,
    ) -> BoxFuture<'a, Result<Vec<Entry>, StoreError>>;

    /// Applies `txn` if all its compares hold. Durable when it returns.
    fn commit(&self, txn: Txn) -> BoxFuture<'_, Result<TxnOutcome, StoreError>>;

    /// Every change under `prefix` with a revision greater than `after`, in order, without end.
    fn watch(
        &self,
        prefix: &str,
        after: Revision,
    ) -> BoxStream<'static, Result<WatchBatch, WatchError>>;

    /// Forgets history up to and including `revision`. Current entries are not touched.
    fn compact(&self, revision: Revision) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Writes every present entry, at one revision, to a new file that the embedded engine can
    /// open. The file is durable when this returns; what is left after an error is the caller's.
    fn copy_to<'a>(&'a self, file: &'a Path) -> BoxFuture<'a, Result<Revision, CopyError>>;

    /// How the engine is. Answers also when it does not work.
    fn condition(&self) -> BoxFuture<'_, Condition>;

    /// Whether a watch is being begun again after an interruption, which its reader does not see.
    fn is_interrupted(&self) -> bool {
        false
    }
}
