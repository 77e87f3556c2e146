//! Who may join: one-time tokens for agents and clients, and the nodes that have joined or been shut out.
//!
//! A token is stored under the BLAKE3 of its secret, never itself. A used or expired one is kept for a while, so that a
//! replay is told from a token that never existed.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use foghorn_types::{HostId, NodeName, StorageNodeId, TaskId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::store::{Change, Compare, Op, Revision};

/// Keys of tokens: this, `join` or `boot`, a slash and the hash.
pub const TOKEN_PREFIX: &str = "/foghorn/v1/token/";
/// Keys of enrolled nodes: this and the node's id in ten digits.
pub const NODE_PREFIX: &str = "/foghorn/v1/node/";

/// What a token is good for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "for")]
pub enum Purpose {
    Join { node: StorageNodeId, name: NodeName },
    Boot { host: HostId, task: TaskId },
}

impl Purpose {
    fn kind(&self) -> &'static str {
        match self {
            Self::Join { .. } => "join",
            Self::Boot { .. } => "boot",
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OneTimeToken {
    /// BLAKE3 of the secret.
    pub hash: blake3::Hash,
    pub purpose: Purpose,
    pub expires: Timestamp,
    pub used: Option<Timestamp>,
    /// BLAKE3 of the public key for which a boot token was used. Its holder may ask once more: the answer may be lost.
    pub used_by: Option<String>,
    /// The store's revision of this record; 0 for one that was never stored.
    pub modified: Revision,
}

impl OneTimeToken {
    #[must_use]
    pub fn new(secret: &str, purpose: Purpose, expires: Timestamp) -> Self {
        Self { hash: blake3::hash(secret.as_bytes()), purpose, expires, used: None, used_by: None, modified: 0 }
    }

    #[must_use]
    pub fn key(&self) -> String {
        format!("{TOKEN_PREFIX}{}/{}", self.purpose.kind(), self.hash.to_hex())
    }

    #[must_use]
    pub fn put_op(&self) -> Op {
        let (purpose, used_by) = (self.purpose.clone(), self.used_by.clone());
        let record = TokenRecord { v: VERSION, purpose, expires: self.expires, used: self.used, used_by };
        let value = serde_json::to_vec(&record).expect("a token record holds nothing that JSON cannot express");
        Op::Put { key: self.key(), value: Bytes::from(value), lease: None }
    }

    /// Holds as long as nobody else has used the token since it was read.
    #[must_use]
    pub fn unchanged(&self) -> Compare {
        if self.modified == 0 { Compare::Absent(self.key()) } else { Compare::ModifiedAt(self.key(), self.modified) }
    }
}

/// Every token that upkeep has not removed yet.
#[derive(Default)]
pub struct Tokens {
    by_hash: HashMap<blake3::Hash, Arc<OneTimeToken>>,
}

impl Tokens {
    /// # Errors
    /// When the key or the record cannot be read.
    pub fn apply(&mut self, change: &Change) -> Result<(), String> {
        match change {
            Change::Put(entry) => {
                let hash = hash_in(&entry.key)?;
                let record: TokenRecord = serde_json::from_slice(&entry.value).map_err(|error| error.to_string())?;
                check_version(record.v)?;
                let token = OneTimeToken {
                    hash,
                    purpose: record.purpose,
                    expires: record.expires,
                    used: record.used,
                    used_by: record.used_by,
                    modified: entry.modified,
                };
                self.by_hash.insert(hash, Arc::new(token));
            }
            Change::Delete { key, .. } => {
                self.by_hash.remove(&hash_in(key)?);
            }
        }
        Ok(())
    }

    /// The token with this secret. Looked up by hash, so the time it takes says nothing about stored secrets.
    #[must_use]
    pub fn find(&self, secret: &str) -> Option<&Arc<OneTimeToken>> {
        self.by_hash.get(&blake3::hash(secret.as_bytes()))
    }

    #[must_use]
    pub fn by_hash(&self, hash: &blake3::Hash) -> Option<&Arc<OneTimeToken>> {
        self.by_hash.get(hash)
    }

    /// Join tokens of this node that nobody has used.
    pub fn unused_of(&self, node: StorageNodeId) -> impl Iterator<Item = &Arc<OneTimeToken>> {
        self.by_hash.values().filter(move |token| {
            token.used.is_none() && matches!(&token.purpose, Purpose::Join { node: named, .. } if *named == node)
        })
    }

    /// Tokens that were used or had expired before this time.
    pub fn spent(&self, before: Timestamp) -> impl Iterator<Item = &Arc<OneTimeToken>> {
        self.by_hash.values().filter(move |token| token.used.unwrap_or(token.expires).min(token.expires) < before)
    }
}

/// A storage node that has joined.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EnrolledNode {
    pub node: StorageNodeId,
    pub name: NodeName,
    pub standing: Standing,
    pub modified: Revision,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Standing {
    Enrolled {
        at: Timestamp,
    },
    /// Refused on every link until it joins again with a new token.
    Revoked {
        at: Timestamp,
    },
}

impl EnrolledNode {
    #[must_use]
    pub fn key_of(node: StorageNodeId) -> String {
        format!("{NODE_PREFIX}{:010}", node.get())
    }

    #[must_use]
    pub fn is_revoked(&self) -> bool {
        matches!(self.standing, Standing::Revoked { .. })
    }

    #[must_use]
    pub fn put_op(&self) -> Op {
        let record = NodeRecord { v: VERSION, node: self.node, name: self.name.clone(), standing: self.standing };
        let value = serde_json::to_vec(&record).expect("a node record holds nothing that JSON cannot express");
        Op::Put { key: Self::key_of(self.node), value: Bytes::from(value), lease: None }
    }

    #[must_use]
    pub fn unchanged(&self) -> Compare {
        let key = Self::key_of(self.node);
        if self.modified == 0 { Compare::Absent(key) } else { Compare::ModifiedAt(key, self.modified) }
    }

    /// Part of the transaction that deletes the storage node.
    #[must_use]
    pub fn delete_op(node: StorageNodeId) -> Op {
        Op::Delete { key: Self::key_of(node) }
    }
}

/// Every node that has ever joined and whose storage node still exists.
#[derive(Default)]
pub struct EnrolledNodes {
    by_id: BTreeMap<StorageNodeId, Arc<EnrolledNode>>,
}

impl EnrolledNodes {
    /// # Errors
    /// When the key or the record cannot be read.
    pub fn apply(&mut self, change: &Change) -> Result<(), String> {
        match change {
            Change::Put(entry) => {
                let record: NodeRecord = serde_json::from_slice(&entry.value).map_err(|error| error.to_string())?;
                check_version(record.v)?;
                let node = EnrolledNode {
                    node: record.node,
                    name: record.name,
                    standing: record.standing,
                    modified: entry.modified,
                };
                self.by_id.insert(node.node, Arc::new(node));
            }
            Change::Delete { key, .. } => {
                let id =
                    key.strip_prefix(NODE_PREFIX).and_then(|id| id.parse::<u32>().ok()).and_then(StorageNodeId::new);
                self.by_id.remove(&id.ok_or_else(|| format!("{key} names no node"))?);
            }
        }
        Ok(())
    }

    #[must_use]
    pub fn get(&self, node: StorageNodeId) -> Option<&Arc<EnrolledNode>> {
        self.by_id.get(&node)
    }

    /// The node that bears this name. A name may have been used before, by a storage node that is gone: the last to join
    /// or to be revoked under it counts.
    #[must_use]
    pub fn by_name(&self, name: &NodeName) -> Option<&Arc<EnrolledNode>> {
        self.by_id.values().filter(|node| node.name == *name).max_by_key(|node| node.modified)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<EnrolledNode>> {
        self.by_id.values()
    }
}

const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct TokenRecord {
    v: u32,
    purpose: Purpose,
    expires: Timestamp,
    used: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    used_by: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct NodeRecord {
    v: u32,
    node: StorageNodeId,
    name: NodeName,
    standing: Standing,
}

fn check_version(found: u32) -> Result<(), String> {
    if found == VERSION { Ok(()) } else { Err(format!("record of version {found}, this program reads {VERSION}")) }
}

fn hash_in(key: &str) -> Result<blake3::Hash, String> {
    let hex = key.rsplit('/').next().unwrap_or_default();
    blake3::Hash::from_hex(hex).map_err(|_| format!("{key} ends in no hash"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Entry;

    fn stored(op: Op) -> Change {
        let Op::Put { key, value, .. } = op else { panic!("not a put") };
        Change::Put(Entry { key, value, created: 7, modified: 7, lease: None })
    }

    #[test]
    fn a_token_is_found_by_its_secret_only() {
        let purpose = Purpose::Boot { host: HostId::new(1).unwrap(), task: TaskId::new(2).unwrap() };
        let token = OneTimeToken::new("s3cret", purpose, Timestamp::from_millis(10));
        let mut tokens = Tokens::default();
        let change = stored(token.put_op());
        tokens.apply(&change).unwrap();
        assert_eq!(tokens.find("s3cret").unwrap().modified, 7);
        assert!(tokens.find("other").is_none());
        let Change::Put(entry) = &change else { panic!() };
        assert!(!entry.key.contains("s3cret") && !String::from_utf8_lossy(&entry.value).contains("s3cret"));
        assert_eq!(tokens.spent(Timestamp::from_millis(10)).count(), 0);
        assert_eq!(tokens.spent(Timestamp::from_millis(11)).count(), 1);
    }

    #[test]
    fn a_node_is_found_by_id_and_name() {
        let id = StorageNodeId::new(4).unwrap();
        let name: NodeName = "north".parse().unwrap();
        let node = EnrolledNode {
            node: id,
            name: name.clone(),
            standing: Standing::Revoked { at: Timestamp::default() },
            modified: 7,
        };
        let mut nodes = EnrolledNodes::default();
        nodes.apply(&stored(node.put_op())).unwrap();
        assert_eq!(**nodes.get(id).unwrap(), node);
        assert!(nodes.by_name(&name).unwrap().is_revoked());
    }
}
