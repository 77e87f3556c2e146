//! What has become of a transaction that nobody has answered: its member of etcd has ended, hangs, or
//! has passed it to a leader that went.
//!
//! Every transaction goes behind a fence: it compares that a key with a name of this process is absent.
//! To find out, the fence is shut, which is to say that the key is put, by a member that serves. From
//! then on no transaction behind it is carried out any more, however late somebody gets to it. So what
//! is there then is the answer: if every key is as the transaction would have left it, at one and the
//! same revision, it was applied; if a key is still as it was before, it was not, and never will be. A
//! key that is not there may also have been made by the transaction and deleted since: that it is absent
//! counts only while nothing else that the transaction would have made is there. Others that were behind
//! the same fence are refused, and sent again behind the next.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use etcd_client::{PutOptions, TxnOp, TxnOpResponse};
use tokio::time::timeout;
use tracing::info;

use super::{EtcdStore, entry, ours};
use crate::store::{Compare, Entry, MAX_OPS, Op, Revision, Txn, TxnOutcome};

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
    /// What has become of a transaction that was sent behind this fence, after etcd had reached the
    /// revision `before`, if that can be found out.
    pub(super) async fn find_out(
        &self,
        txn: &Txn,
        fence: &str,
        before: Revision,
    ) -> Option<TxnOutcome> {
        // One without room for it has no fence.
        if txn.compares.len() >= MAX_OPS || !self.members.is_any_up() {
            return None;
        }
        let found = timeout(WITHIN, async {
            self.fence.leave(fence);
            self.shut(fence).await?;
            self.look(txn, before).await
        });
        let outcome = found.await.ok().flatten()?;
        info!(
            ?outcome,
            "etcd did not answer a transaction; it was found out what has become of it"
        );
        Some(outcome)
    }

    /// [`TxnOutcome::Committed`] if a transaction was carried out of which etcd has said that there was no
    /// room for it. It has been answered, so that no fence is needed, for which there would be no room.
    pub(super) async fn carried_out(&self, txn: &Txn, before: Revision) -> Option<TxnOutcome> {
        let found = timeout(WITHIN, self.look(txn, before)).await.ok().flatten();
        found.filter(|outcome| matches!(outcome, TxnOutcome::Committed(_)))
    }

    /// What the keys of a transaction tell of it that will not be carried out any more.
    async fn look(&self, txn: &Txn, before: Revision) -> Option<TxnOutcome> {
        let (revision, found) = self.look_for(txn).await?;
        // A store that was put back to an older state counts anew.
        let before = if revision < before { 0 } else { before };
        outcome(txn, &found, before)
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
    async fn look_for(&self, txn: &Txn) -> Option<(Revision, Vec<Option<Entry>>)> {
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
        let answer = asked.await.ok()?;
        let revision = ours(answer.header()?.revision());
        let reads = answer.op_responses().into_iter();
        let found = reads.map(|read| match read {
            TxnOpResponse::Get(mut read) => Some(read.take_kvs().pop().and_then(entry)),
            _ => None,
        });
        Some((revision, found.collect::<Option<_>>()?))
    }
}

/// `found` has what is under the keys of its operations, in their order. `None` when it does not tell.
fn outcome(txn: &Txn, found: &[Option<Entry>], before: Revision) -> Option<TxnOutcome> {
    if txn.ops.len() != found.len() {
        return None;
    }
    let keys = || txn.ops.iter().zip(found.iter().map(Option::as_ref));
    let is_untouched = keys().any(|(op, found)| is_untouched(txn, op, found, before));
    let is_made = keys().any(|(op, found)| is_as_made(op, found, before));
    let is_unmade = keys().any(|(op, found)| is_still_absent(txn, op, found));
    // What compares nothing has no conflicts.
    if !txn.compares.is_empty() && (is_untouched || (is_unmade && !is_made)) {
        return Some(TxnOutcome::Conflict);
    }
    let revision = left_at(txn, found)?;
    // As it would have left them they may have been before, if it compared none of those that it writes.
    let is_since = revision > before || txn.ops.iter().any(|op| is_compared(txn, op));
    is_since.then_some(TxnOutcome::Committed(revision))
}

/// The revision at which all keys became what the transaction would have left, if they are that.
fn left_at(txn: &Txn, found: &[Option<Entry>]) -> Option<Revision> {
    let mut revision = None;
    let is_as_left = txn
        .ops
        .iter()
        .zip(found)
        .all(|(op, found)| match (op, found) {
            (Op::Delete { .. }, None) => true,
            (Op::Put { value, .. }, Some(entry)) => {
                entry.value == *value && *revision.get_or_insert(entry.modified) == entry.modified
            }
            _ => false,
        });
    revision.filter(|_| is_as_left)
}

/// Whether a key was certainly not changed since before the transaction was sent.
fn is_untouched(txn: &Txn, op: &Op, found: Option<&Entry>, before: Revision) -> bool {
    let Some(found) = found else {
        return false;
    };
    let is_as_compared = txn.compares.iter().any(|compare| {
        matches!(compare, Compare::ModifiedAt(key, revision)
            if key == op.key() && found.modified == *revision)
    });
    is_as_compared || found.modified <= before
}

/// Whether a key that the transaction would have made is not there.
fn is_still_absent(txn: &Txn, op: &Op, found: Option<&Entry>) -> bool {
    let is_made = |compare: &Compare| matches!(compare, Compare::Absent(key) if key == op.key());
    found.is_none() && matches!(op, Op::Put { .. }) && txn.compares.iter().any(is_made)
}

/// Whether a key was made since the transaction was sent, and is what it would have made.
fn is_as_made(op: &Op, found: Option<&Entry>, before: Revision) -> bool {
    match (op, found) {
        (Op::Put { value, .. }, Some(entry)) => entry.created > before && entry.value == *value,
        _ => false,
    }
}

/// Whether the transaction writes a key, and compared what it was.
fn is_compared(txn: &Txn, op: &Op) -> bool {
    let is_its_own =
        |compare: &Compare| !matches!(compare, Compare::Present(_)) && compare.key() == op.key();
    matches!(op, Op::Put { .. }) && txn.compares.iter().any(is_its_own)
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

    fn entry(value: &'static str, modified: Revision) -> Option<Entry> {
        Some(Entry {
            key: String::new(),
            value: Bytes::from(value),
            created: 1,
            modified,
        })
    }

    fn made(value: &'static str, at: Revision) -> Option<Entry> {
        entry(value, at).map(|entry| Entry {
            created: at,
            ..entry
        })
    }

    #[test]
    fn a_key_that_is_as_it_was_says_that_nothing_was_applied() {
        let txn = |compare: Compare, op: Op| Txn {
            compares: vec![compare],
            ops: vec![op],
        };
        let absent = txn(Compare::Absent("a".to_owned()), put("a", "x"));
        assert_eq!(outcome(&absent, &[None], 5), Some(TxnOutcome::Conflict));
        let at = || Compare::ModifiedAt("a".to_owned(), 7);
        let changed = txn(at(), put("a", "x"));
        assert_eq!(
            outcome(&changed, &[entry("w", 7)], 5),
            Some(TxnOutcome::Conflict)
        );
        assert_eq!(outcome(&changed, &[entry("w", 8)], 5), None, "by somebody");
        assert_eq!(outcome(&changed, &[None], 5), None);
        let delete = Op::Delete {
            key: "a".to_owned(),
        };
        let deleted = txn(at(), delete);
        assert_eq!(
            outcome(&deleted, &[entry("w", 7)], 5),
            Some(TxnOutcome::Conflict)
        );
        assert_eq!(outcome(&deleted, &[None], 5), None, "by somebody");
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
        assert_eq!(outcome(&txn, &whole, 5), Some(TxnOutcome::Committed(9)));
        for other in [
            [entry("x", 9), None, entry("y", 10)],
            [entry("x", 9), None, entry("z", 9)],
            [entry("x", 9), entry("b", 3), entry("y", 9)],
            [entry("x", 9), None, None],
        ] {
            assert_eq!(outcome(&txn, &other, 5), None, "{other:?}");
        }
        assert_eq!(outcome(&txn, &whole[..2], 5), None);
    }

    #[test]
    fn what_was_made_and_deleted_since_is_not_called_a_conflict() {
        let txn = Txn {
            compares: vec![
                Compare::Absent("name".to_owned()),
                Compare::Absent("host".to_owned()),
            ],
            ops: vec![put("name", "1"), put("host", "x"), put("turn", "t")],
        };
        let conflict = Some(TxnOutcome::Conflict);
        // Somebody has given the host another name.
        assert_eq!(outcome(&txn, &[None, made("x", 9), entry("t", 9)], 5), None);
        assert_eq!(outcome(&txn, &[None, None, made("t", 9)], 5), None);
        // Others write the turn, and always the same.
        assert_eq!(outcome(&txn, &[None, None, entry("t", 9)], 5), conflict);
        assert_eq!(outcome(&txn, &[None, made("y", 9), None], 5), conflict);
    }

    #[test]
    fn what_was_there_before_is_not_of_the_transaction() {
        let there = |compares| Txn {
            compares,
            ops: vec![put("a", "x")],
        };
        let blind = there(Vec::new());
        assert_eq!(outcome(&blind, &[entry("x", 5)], 5), None);
        let beside = there(vec![Compare::Present("b".to_owned())]);
        let old = outcome(&beside, &[entry("x", 5)], 5);
        assert_eq!(old, Some(TxnOutcome::Conflict));
        for txn in [blind, beside] {
            let new = outcome(&txn, &[entry("x", 6)], 5);
            assert_eq!(new, Some(TxnOutcome::Committed(6)));
        }
        // Nobody has asked for a revision: it is known by what was compared.
        let changed = there(vec![Compare::ModifiedAt("a".to_owned(), 3)]);
        let new = outcome(&changed, &[entry("x", 6)], 0);
        assert_eq!(new, Some(TxnOutcome::Committed(6)));
    }
}
