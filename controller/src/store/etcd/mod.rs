//! The etcd engine, through etcd-client.
//!
//! An empty etcd is at revision 1 and its first transaction makes 2. Here 0 is the empty store, so
//! every revision is one less than etcd's, on both ways (`theirs` and `ours`); nothing else is
//! translated.
//!
//! A call that ends without a definite answer (connection lost, time over) is
//! [`StoreError::Unavailable`]: whether a transaction took place is then unknown, unless it can be
//! found out (`fence`).

mod answer;
mod condition;
mod connect;
mod fence;
mod members;
mod pages;
mod watch;
mod window;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use etcd_client::{CompareOp, GetOptions, SortOrder, SortTarget, TxnOp, TxnResponse};
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;

use super::check::check_txn;
use super::{
    Compare, Condition, CopyError, Entry, MAX_OPS, Op, Revision, Snapshot, Store, StoreError, Txn,
    TxnOutcome, WatchBatch, WatchError,
};
use answer::{FULL, Refusal, unavailable};
use fence::Fence;
use members::{CallError, Members};
use pages::{Page, Pages};

pub(crate) use fence::PREFIX as FENCES;

pub use connect::{ConnectEtcdError, EtcdClientIdentity, EtcdLogin, EtcdOptions, EtcdTls};

/// How long one call may take. Longer than a change of etcd's leader.
const CALL: Duration = Duration::from_secs(5);
/// A watch that is far behind gets up to a thousand revisions in one message, a list a page of
/// entries.
const MAX_MESSAGE_BYTES: usize = 512 << 20;
/// A list that compaction overtakes is begun again this often.
const LIST_ATTEMPTS: usize = 3;

/// The etcd engine.
pub struct EtcdStore {
    members: Arc<Members>,
    fence: Fence,
    /// A revision that etcd had reached when it was last heard of.
    seen: AtomicU64,
}

impl EtcdStore {
    /// Makes the client. Connections are opened with the first call, and again whenever they are
    /// lost; only with [`EtcdOptions::login`] one member has to answer now.
    ///
    /// # Errors
    /// When an endpoint is no address, a file cannot be read, or the log-in fails.
    pub async fn connect(options: &EtcdOptions) -> Result<Self, ConnectEtcdError> {
        Ok(Self {
            members: Members::connect(options).await?,
            fence: Fence::default(),
            seen: AtomicU64::new(0),
        })
    }

    async fn get_entry(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        const DOING: &str = "read a key";
        let asked = self
            .members
            .read(|client| async move { client.kv_client().get(key, None).await });
        let mut found = asked.await.map_err(|error| unavailable(DOING, error))?;
        Ok(found.take_kvs().pop().and_then(entry))
    }

    /// Of every answer etcd says at which revision it is; the key need not exist.
    async fn newest_revision(&self, key: &str) -> Result<Revision, StoreError> {
        let asked = self.members.read(|client| async move {
            let options = GetOptions::new().with_keys_only();
            client.kv_client().get(key, Some(options)).await
        });
        let found = asked
            .await
            .map_err(|error| unavailable("read the newest revision", error))?;
        let newest = found.header().map_or(0, |header| ours(header.revision()));
        self.seen.store(newest, Ordering::Release);
        Ok(newest)
    }

    async fn list_entries(&self, prefix: &str) -> Result<Snapshot, StoreError> {
        for _ in 1..LIST_ATTEMPTS {
            if let Some(snapshot) = self.try_list(prefix).await? {
                return Ok(snapshot);
            }
        }
        self.try_list(prefix)
            .await?
            .ok_or_else(|| unavailable("list keys", "compaction overtook every attempt"))
    }

    /// Page after page at the revision of the first. `None` when that has been compacted away
    /// meanwhile.
    async fn try_list(&self, prefix: &str) -> Result<Option<Snapshot>, StoreError> {
        let mut pages = Pages::new(self.members.clone(), prefix);
        let mut all = Snapshot {
            revision: 0,
            entries: Vec::new(),
        };
        while let Some(page) = pages.next().await? {
            let Page::Entries(page) = page else {
                return Ok(None);
            };
            all.revision = page.revision;
            all.entries.extend(page.entries);
        }
        Ok(Some(all))
    }

    async fn range_entries(
        &self,
        from: &str,
        to: &str,
        limit: usize,
        backwards: bool,
    ) -> Result<Vec<Entry>, StoreError> {
        if from >= to {
            return Ok(Vec::new());
        }
        let order = if backwards {
            SortOrder::Descend
        } else {
            SortOrder::Ascend
        };
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let options = GetOptions::new()
            .with_range(to)
            .with_limit(limit)
            .with_sort(SortTarget::Key, order);
        let asked = self.members.read(|client| {
            let (from, options) = (range_start(from), options.clone());
            async move { reading(&client).get(from, Some(options)).await }
        });
        let mut page = asked
            .await
            .map_err(|error| unavailable("read a range of keys", error))?;
        Ok(page.take_kvs().into_iter().filter_map(entry).collect())
    }

    async fn commit_txn(&self, txn: Txn) -> Result<TxnOutcome, StoreError> {
        const DOING: &str = "commit a transaction";
        check_txn(&txn)?;
        let before = self.seen.load(Ordering::Acquire);
        let mut fence = self.fence.present();
        let done = loop {
            let done = match self.send(request(&txn, &fence)).await {
                Err(error) if error.is_unsure() => {
                    let found = self.find_out(&txn, &fence, before).await;
                    return found.ok_or_else(|| unavailable(DOING, error));
                }
                Err(error) if error.refusal() == Some(Refusal::Full) => {
                    match self.carried_out(&txn, before).await {
                        Some(outcome) => return Ok(outcome),
                        None => Err(error),
                    }
                }
                done => done,
            };
            let present = self.fence.present();
            let is_shut_out = matches!(&done, Ok(done) if !done.succeeded()) && present != fence;
            if !is_shut_out {
                break done;
            }
            // It was not carried out, and perhaps for nothing but the fence, which another one has shut.
            fence = present;
        };
        let done = done.map_err(|error| match error.refusal() {
            Some(Refusal::Invalid(why)) => StoreError::Invalid { doing: DOING, why },
            Some(Refusal::Full) => StoreError::Unwritable {
                doing: DOING,
                why: FULL.to_owned(),
            },
            _ => unavailable(DOING, error),
        })?;
        if !done.succeeded() {
            return Ok(TxnOutcome::Conflict);
        }
        let header = done
            .header()
            .ok_or_else(|| unavailable(DOING, "an answer without a revision"))?;
        let revision = ours(header.revision());
        // Of transactions at the same time, an earlier one may be answered later.
        self.seen.fetch_max(revision, Ordering::AcqRel);
        Ok(TxnOutcome::Committed(revision))
    }

    async fn send(&self, request: etcd_client::Txn) -> Result<TxnResponse, CallError> {
        let asked = self.members.write(|client| {
            let request = request.clone();
            async move { client.kv_client().txn(request).await }
        });
        asked.await
    }

    async fn compact_to(&self, revision: Revision) -> Result<(), StoreError> {
        const DOING: &str = "compact the history";
        if revision == 0 {
            return Ok(());
        }
        let asked = self.members.read(|client| async move {
            let mut kv = client.kv_client();
            kv.compact(theirs(revision), None).await
        });
        match asked.await {
            Ok(_) => Ok(()),
            Err(error) => match error.refusal() {
                Some(Refusal::Compacted) => Ok(()), // It is already.
                Some(Refusal::YetToCome) => Err(StoreError::Invalid {
                    doing: DOING,
                    why: format!("revision {revision} is in the future"),
                }),
                _ => Err(unavailable(DOING, error)),
            },
        }
    }
}

/// A client that takes long answers.
fn reading(client: &etcd_client::Client) -> etcd_client::KvClient {
    client
        .kv_client()
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
}

impl Store for EtcdStore {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Entry>, StoreError>> {
        Box::pin(self.get_entry(key))
    }

    fn newest<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Revision, StoreError>> {
        Box::pin(self.newest_revision(key))
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Snapshot, StoreError>> {
        Box::pin(self.list_entries(prefix))
    }

    fn range<'a>(
        &'a self,
        from: &'a str,
        to: &'a str,
        limit: usize,
        backwards: bool,
    ) -> BoxFuture<'a, Result<Vec<Entry>, StoreError>> {
        Box::pin(self.range_entries(from, to, limit, backwards))
    }

    fn commit(&self, txn: Txn) -> BoxFuture<'_, Result<TxnOutcome, StoreError>> {
        Box::pin(self.commit_txn(txn))
    }

    fn watch(
        &self,
        prefix: &str,
        after: Revision,
    ) -> BoxStream<'static, Result<WatchBatch, WatchError>> {
        watch::watch(self.members.clone(), prefix, after)
    }

    fn compact(&self, revision: Revision) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.compact_to(revision))
    }

    fn copy_to<'a>(&'a self, _: &'a Path) -> BoxFuture<'a, Result<Revision, CopyError>> {
        Box::pin(async { Err(CopyError::NotHere) })
    }

    fn condition(&self) -> BoxFuture<'_, Condition> {
        Box::pin(self.find_condition())
    }

    fn pages(&self, prefix: &str) -> BoxStream<'static, Result<Snapshot, StoreError>> {
        Pages::new(self.members.clone(), prefix).into_stream()
    }

    fn is_interrupted(&self) -> bool {
        self.members.is_interrupted()
    }
}

/// etcd's number for a revision of ours.
fn theirs(revision: Revision) -> i64 {
    i64::try_from(revision)
        .unwrap_or(i64::MAX)
        .saturating_add(1)
}

/// Our number for a revision of etcd's.
fn ours(revision: i64) -> Revision {
    u64::try_from(revision - 1).unwrap_or(0)
}

/// A transaction behind its fence, if there is room for that.
fn request(txn: &Txn, fence: &str) -> etcd_client::Txn {
    let is_open = Compare::Absent(fence.to_owned());
    let compares = txn.compares.iter().cloned().chain([is_open]).take(MAX_OPS);
    let compares: Vec<_> = compares.map(compare).collect();
    let ops: Vec<_> = txn.ops.iter().cloned().map(operation).collect();
    etcd_client::Txn::new().when(compares).and_then(ops)
}

fn compare(compare: Compare) -> etcd_client::Compare {
    match compare {
        Compare::Absent(key) => etcd_client::Compare::create_revision(key, CompareOp::Equal, 0),
        Compare::Present(key) => etcd_client::Compare::create_revision(key, CompareOp::Greater, 0),
        Compare::ModifiedAt(key, revision) => {
            etcd_client::Compare::mod_revision(key, CompareOp::Equal, theirs(revision))
        }
    }
}

fn operation(op: Op) -> TxnOp {
    match op {
        Op::Put { key, value } => TxnOp::put(key, value, None),
        Op::Delete { key } => TxnOp::delete(key, None),
    }
}

/// An entry, or nothing for a key that is no text: no key of ours, whoever put it there.
fn entry(found: etcd_client::KeyValue) -> Option<Entry> {
    let (created, modified) = (ours(found.create_revision()), ours(found.mod_revision()));
    let (key, value) = found.into_key_value();
    Some(Entry {
        key: String::from_utf8(key).ok()?,
        value: Bytes::from(value),
        created,
        modified,
    })
}

/// The smallest key with `prefix`; etcd has no empty keys and takes a zero byte for "from the
/// first".
fn range_start(prefix: &str) -> Vec<u8> {
    if prefix.is_empty() {
        vec![0]
    } else {
        prefix.as_bytes().to_vec()
    }
}

/// The smallest key after all that start with `prefix`; a zero byte for "to the last".
fn range_end(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    match end.last_mut() {
        Some(last) => *last += 1, // Text in UTF-8 has no byte 0xff.
        None => end.push(0),
    }
    end
}
