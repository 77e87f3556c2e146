//! What has become of a transaction whose answer was lost, because the member of etcd that had it
//! ended.
//!
//! It is carried out a second time, by another member, where the two exclude each other: both
//! compare the state of a key and change that key, so that at most one of them is applied. When the
//! second one is refused, what the first would have written is looked for. If every key is as it
//! would have left it, at one and the same revision, then it is what has happened. Everything else
//! stays unknown.

use std::time::Duration;

use etcd_client::{TxnOp, TxnOpResponse};
use tokio::time::timeout;
use tracing::info;

use super::{EtcdStore, entry, ours};
use crate::store::{Compare, Entry, Op, Revision, Txn};

/// How long it may take; the call itself has taken its time before.
const WITHIN: Duration = Duration::from_secs(3);

impl EtcdStore {
    /// The revision at which the transaction was applied, if that can be found out. `again` is the
    /// request, unless the member that had it still lives: one that hangs may carry it out much
    /// later.
    pub(super) async fn find_out(
        &self,
        txn: &Txn,
        again: Option<etcd_client::Txn>,
    ) -> Option<Revision> {
        if !excludes_itself(txn) {
            return None;
        }
        let found = timeout(WITHIN, async {
            if let Some(request) = again
                && let Ok(done) = self.send(request).await
                && done.succeeded()
            {
                return Some(ours(done.header()?.revision()));
            }
            self.look_for(txn).await
        });
        let revision = found.await.ok().flatten()?;
        info!(
            revision,
            "a member of etcd ended during a transaction, which was carried out all the same"
        );
        Some(revision)
    }

    /// All keys that the transaction changes, at one revision.
    async fn look_for(&self, txn: &Txn) -> Option<Revision> {
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
        let found: Vec<Option<Entry>> = answers
            .into_iter()
            .map(|answer| match answer {
                TxnOpResponse::Get(mut read) => read.take_kvs().pop().and_then(entry),
                _ => None,
            })
            .collect();
        left_by(txn, &found)
    }
}

/// Whether at most one of two equal transactions is applied. A key that has to be absent and is put
/// is there afterwards; one that has to be of a revision has a later one, or none.
fn excludes_itself(txn: &Txn) -> bool {
    let is_compared = |key: &str| {
        txn.compares.iter().any(|compare| match compare {
            Compare::Absent(other) | Compare::ModifiedAt(other, _) => other == key,
            Compare::Present(_) => false,
        })
    };
    txn.ops
        .iter()
        .any(|op| matches!(op, Op::Put { key, .. } if is_compared(key)))
}

/// The revision of all entries, if the keys are as the transaction leaves them. `found` has what is
/// under the keys of its operations, in their order.
fn left_by(txn: &Txn, found: &[Option<Entry>]) -> Option<Revision> {
    if txn.ops.len() != found.len() {
        return None;
    }
    let mut revision = None;
    for (op, found) in txn.ops.iter().zip(found) {
        match (op, found) {
            (Op::Delete { .. }, None) => {}
            (Op::Put { value, .. }, Some(entry)) if entry.value == *value => {
                if *revision.get_or_insert(entry.modified) != entry.modified {
                    return None;
                }
            }
            _ => return None,
        }
    }
    revision
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn put(key: &str, value: &'static str) -> Op {
        Op::Put {
            key: key.to_owned(),
            value: Bytes::from(value),
        }
    }

    fn delete(key: &str) -> Op {
        Op::Delete {
            key: key.to_owned(),
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
    fn two_attempts_exclude_each_other_where_a_key_is_compared_and_put() {
        let txn = |compare: Compare, op: Op| Txn {
            compares: vec![compare],
            ops: vec![op],
        };
        let absent = || Compare::Absent("a".to_owned());
        let at = || Compare::ModifiedAt("a".to_owned(), 7);
        let present = || Compare::Present("a".to_owned());
        assert!(excludes_itself(&txn(absent(), put("a", "x"))));
        assert!(excludes_itself(&txn(at(), put("a", "x"))));
        assert!(!excludes_itself(&txn(present(), put("a", "x"))));
        assert!(!excludes_itself(&txn(absent(), put("b", "x"))));
        // That a key is gone does not say who has deleted it.
        assert!(!excludes_itself(&txn(at(), delete("a"))));
    }

    #[test]
    fn what_is_there_was_left_by_it_if_all_of_it_is_of_one_revision() {
        let txn = Txn {
            compares: Vec::new(),
            ops: vec![put("a", "x"), delete("b"), put("c", "y")],
        };
        let whole = [entry("x", 9), None, entry("y", 9)];
        assert_eq!(left_by(&txn, &whole), Some(9));
        for other in [
            [entry("x", 9), None, entry("y", 10)],
            [entry("x", 9), None, entry("z", 9)],
            [entry("x", 9), entry("b", 3), entry("y", 9)],
            [entry("x", 9), None, None],
        ] {
            assert_eq!(left_by(&txn, &other), None, "{other:?}");
        }
        assert_eq!(left_by(&txn, &whole[..2]), None);
    }
}
