//! What has become of a transaction that nobody has answered: its member of etcd has ended, hangs, or
//! has passed it to a leader that went.
//!
//! Every transaction goes behind a fence: it compares that a key with a name of this process is absent.
//! To find out, the fence is shut, which is to say that the key is put, by a member that serves. From
//! then on no transaction behind it is carried out any more, however late somebody gets to it. So what
//! is there then is the answer: if every key is as the transaction would have left it, at one and the
//! same revision, it was applied; if a key is still as the transaction compared it to be, it was not,
//! and never will be. Others that were behind the same fence are refused, and sent again behind the next.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use etcd_client::{PutOptions, TxnOp, TxnOpResponse};
use tokio::time::timeout;
use tracing::info;

use super::{EtcdStore, entry};
use crate::store::{Compare, Entry, MAX_OPS, Op, Txn, TxnOutcome};

/// Outside the prefix of the watch cache. Fences belong to their store: no state file has them.
pub(crate) const PREFIX: &str = "/foghorn/fence/v1/";
/// How long it may take; the call itself has taken its time before.
const WITHIN: Duration = Duration::from_secs(3);
/// How long a fence stays shut, in seconds: longer than anything hangs and goes on.
const STAYS: i64 = 24 * 60 * 60;

/// The fence of the transactions that are sent now.
pub(super) struct Fence(Mutex<String>);

impl Default for Fence {
    fn default() -> Self {
        Self(Mutex::new(fresh()))
    }
}

impl Fence {
    pub(super) fn present(&self) -> String {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Another one is used from now on, unless that is so already.
    fn leave(&self, old: &str) {
        let mut present = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if *present == old {
            *present = fresh();
        }
    }
}

/// A name that nobody has had.
fn fresh() -> String {
    format!("{PREFIX}{:032x}", rand_number())
}

fn rand_number() -> u128 {
    let mut bytes = [0; 16];
    // Without randomness of the system nothing else of a controller works either.
    let _ = getrandom::fill(&mut bytes);
    u128::from_be_bytes(bytes)
}

impl EtcdStore {
    /// What has become of a transaction that was sent behind this fence, if that can be found out.
    pub(super) async fn find_out(&self, txn: &Txn, fence: &str) -> Option<TxnOutcome> {
        // One without room for it has no fence.
        if txn.compares.len() >= MAX_OPS || !self.members.is_any_up() {
            return None;
        }
        let found = timeout(WITHIN, async {
            self.fence.leave(fence);
            self.shut(fence).await?;
            outcome(txn, &self.look_for(txn).await?)
        });
        let outcome = found.await.ok().flatten()?;
        info!(
            ?outcome,
            "etcd did not answer a transaction; it was found out what has become of it"
        );
        Some(outcome)
    }

    /// Both calls may be made again: a second time they change nothing.
    async fn shut(&self, fence: &str) -> Option<()> {
        let lease = self.members.read(|client| async move {
            let mut leases = client.lease_client();
            leases.grant(STAYS, None).await
        });
        let options = PutOptions::new().with_lease(lease.await.ok()?.id());
        let put = self.members.read(|client| {
            let options = options.clone();
            async move { client.kv_client().put(fence, "", Some(options)).await }
        });
        put.await.ok().map(drop)
    }

    /// What is under the keys that the transaction changes, at one revision.
    async fn look_for(&self, txn: &Txn) -> Option<Vec<Option<Entry>>> {
        let reads: Vec<_> = txn
            .ops
            .iter()
            .map(|op| TxnOp::get(op.key(), None))
            .collect();
        let request = etcd_client::Txn::new().and_then(reads);
        let asked = self.members.read(|client| {
            let request = request.clone();
            async move { client.kv_client().txn(request).await }
        });
        let answers = asked.await.ok()?.op_responses();
        let found = answers.into_iter().map(|answer| match answer {
            TxnOpResponse::Get(mut read) => Some(read.take_kvs().pop().and_then(entry)),
            _ => None,
        });
        found.collect()
    }
}

/// `found` has what is under the keys of its operations, in their order. `None` when it does not tell.
fn outcome(txn: &Txn, found: &[Option<Entry>]) -> Option<TxnOutcome> {
    if txn.ops.len() != found.len() {
        return None;
    }
    let mut revision = None;
    let mut is_as_left = true;
    for (op, found) in txn.ops.iter().zip(found) {
        if is_untouched(txn, op, found.as_ref()) {
            return Some(TxnOutcome::Conflict);
        }
        is_as_left &= match (op, found) {
            (Op::Delete { .. }, None) => true,
            (Op::Put { value, .. }, Some(entry)) => {
                entry.value == *value && *revision.get_or_insert(entry.modified) == entry.modified
            }
            _ => false,
        };
    }
    revision.filter(|_| is_as_left).map(TxnOutcome::Committed)
}

/// Whether a key is still as the transaction compared it to be, before it would have changed it.
fn is_untouched(txn: &Txn, op: &Op, found: Option<&Entry>) -> bool {
    txn.compares.iter().any(|compare| match (compare, op) {
        (Compare::Absent(key), Op::Put { key: put, .. }) => key == put && found.is_none(),
        (Compare::ModifiedAt(key, revision), op) => {
            key == op.key() && found.is_some_and(|entry| entry.modified == *revision)
        }
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::store::Revision;

    fn put(key: &str, value: &'static str) -> Op {
        Op::Put {
            key: key.to_owned(),
            value: Bytes::from(value),
        }
    }

    fn entry(value: &'static str, modified: Revision) -> Option<Entry> {
        Some(Entry {
            key: String::new(),
            value: Bytes::from(value),
            created: 1,
            modified,
        })
    }

    #[test]
    fn a_key_that_is_as_it_was_says_that_nothing_was_applied() {
        let txn = |compare: Compare, op: Op| Txn {
            compares: vec![compare],
            ops: vec![op],
        };
        let absent = txn(Compare::Absent("a".to_owned()), put("a", "x"));
        assert_eq!(outcome(&absent, &[None]), Some(TxnOutcome::Conflict));
        let at = || Compare::ModifiedAt("a".to_owned(), 7);
        let changed = txn(at(), put("a", "x"));
        assert_eq!(
            outcome(&changed, &[entry("w", 7)]),
            Some(TxnOutcome::Conflict)
        );
        assert_eq!(outcome(&changed, &[entry("w", 8)]), None, "by somebody");
        assert_eq!(outcome(&changed, &[None]), None);
        let delete = Op::Delete {
            key: "a".to_owned(),
        };
        let deleted = txn(at(), delete);
        assert_eq!(
            outcome(&deleted, &[entry("w", 7)]),
            Some(TxnOutcome::Conflict)
        );
        assert_eq!(outcome(&deleted, &[None]), None, "by somebody");
    }

    #[test]
    fn what_is_there_was_left_by_it_if_all_of_it_is_of_one_revision() {
        let delete = Op::Delete {
            key: "b".to_owned(),
        };
        let txn = Txn {
            compares: Vec::new(),
            ops: vec![put("a", "x"), delete, put("c", "y")],
        };
        let whole = [entry("x", 9), None, entry("y", 9)];
        assert_eq!(outcome(&txn, &whole), Some(TxnOutcome::Committed(9)));
        for other in [
            [entry("x", 9), None, entry("y", 10)],
            [entry("x", 9), None, entry("z", 9)],
            [entry("x", 9), entry("b", 3), entry("y", 9)],
            [entry("x", 9), None, None],
        ] {
            assert_eq!(outcome(&txn, &other), None, "{other:?}");
        }
        assert_eq!(outcome(&txn, &whole[..2]), None);
    }
}
