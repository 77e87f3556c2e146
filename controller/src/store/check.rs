//! What both engines refuse before they try, so that they refuse the same.

use std::collections::HashSet;

use super::{Compare, MAX_OPS, MAX_TXN_BYTES, Op, StoreError, Txn};

impl Op {
    #[must_use]
    pub fn key(&self) -> &str {
        match self {
            Self::Put { key, .. } | Self::Delete { key } => key,
        }
    }
}

impl Compare {
    #[must_use]
    pub fn key(&self) -> &str {
        match self {
            Self::Absent(key) | Self::Present(key) | Self::ModifiedAt(key, _) => key,
        }
    }
}

/// Refuses transactions that could never be applied.
pub(super) fn check_txn(txn: &Txn) -> Result<(), StoreError> {
    let refuse = |why: String| {
        Err(StoreError::Invalid {
            doing: "commit a transaction",
            why,
        })
    };
    if txn.ops.len() > MAX_OPS || txn.compares.len() > MAX_OPS {
        return refuse(format!(
            "{} operations and {} compares, but at most {MAX_OPS} of each are allowed",
            txn.ops.len(),
            txn.compares.len()
        ));
    }
    if txn
        .ops
        .iter()
        .map(Op::key)
        .chain(txn.compares.iter().map(Compare::key))
        .any(str::is_empty)
    {
        return refuse("a key is empty".to_owned());
    }
    let mut named = HashSet::with_capacity(txn.ops.len());
    if let Some(twice) = txn.ops.iter().map(Op::key).find(|key| !named.insert(*key)) {
        return refuse(format!("key {twice:?} is in two operations"));
    }
    let bytes = txn_bytes(txn);
    if bytes > MAX_TXN_BYTES {
        return refuse(format!(
            "{bytes} bytes of keys and values, but at most {MAX_TXN_BYTES} are allowed"
        ));
    }
    Ok(())
}

/// Bytes of all keys and values.
pub(super) fn txn_bytes(txn: &Txn) -> usize {
    txn.ops.iter().map(op_bytes).sum::<usize>()
        + txn.compares.iter().map(|c| c.key().len()).sum::<usize>()
}

fn op_bytes(op: &Op) -> usize {
    match op {
        Op::Put { key, value, .. } => key.len() + value.len(),
        Op::Delete { key } => key.len(),
    }
}
