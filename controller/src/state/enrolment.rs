//! Who may join: one-time tokens for agents and clients, and the nodes that have joined or been
//! shut out.
//!
//! A token is stored under the BLAKE3 of its secret, never itself. A used or expired one is kept
//! for a while, so that a replay is told from a token that never existed.

use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use foghorn_types::{Digest, HostId, NodeName, StorageNodeId, TaskId, Timestamp};
use serde::{Deserialize, Serialize};

use super::shelf::{Record, Shelf, numbered_by, stored_whole};
use crate::store::Revision;

/// Keys of tokens: one of these and the hash.
const JOIN_PREFIX: &str = "/foghorn/v1/token/join/";
const BOOT_PREFIX: &str = "/foghorn/v1/token/boot/";
/// Keys of enrolled nodes: this and the node's id.
const NODE_PREFIX: &str = "/foghorn/v1/node/";

/// What a token is good for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "for")]
pub enum Purpose {
    Join {
        node: StorageNodeId,
        name: NodeName,
    },
    Boot {
        host: HostId,
        task: TaskId,
    },
    /// For several hosts. Each has a token of its own, whose secret follows from this one's; this
    /// one is never used up.
    Room {
        /// A short code and the secret of this token, encrypted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<String>,
    },
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OneTimeToken {
    /// BLAKE3 of the secret.
    #[serde(skip)]
    pub hash: Digest,
    pub purpose: Purpose,
    pub expires: Timestamp,
    pub used: Option<Timestamp>,
    /// BLAKE3 of the public key for which a boot token was used. Its holder may ask once more: the
    /// answer may be lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_by: Option<String>,
    /// What it was used for, until it is forgotten: its holder gets the same answer again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answered>,
    /// The store's revision of this record; 0 for one that was never stored.
    #[serde(skip)]
    pub modified: Revision,
}

/// The answer to a check-in, as far as it was made up for it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Answered {
    /// Random. The client's bearer is derived from it and from the secret of the token, which is
    /// not stored: neither of them alone is of use.
    pub salt: String,
    /// The client's certificate.
    pub chain_pem: String,
}

impl Answered {
    /// The bearer of the client that holds the token with this secret.
    #[must_use]
    pub fn session(&self, secret: &str) -> String {
        let mut hash = blake3::Hasher::new_derive_key("foghorn 2026-11 session of a client");
        hash.update(self.salt.as_bytes());
        hash.update(secret.as_bytes());
        BASE64URL_NOPAD.encode(hash.finalize().as_bytes())
    }
}

/// What tells tokens from one another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum TokenId {
    Join(Digest),
    Boot(Digest),
}

impl OneTimeToken {
    #[must_use]
    pub fn new(secret: &str, purpose: Purpose, expires: Timestamp) -> Self {
        let hash = *blake3::hash(secret.as_bytes()).as_bytes();
        Self {
            hash,
            purpose,
            expires,
            used: None,
            used_by: None,
            answer: None,
            modified: 0,
        }
    }
}

impl Record for OneTimeToken {
    const WHAT: &'static str = "one-time token";
    type Id = TokenId;
    type Body = Self;
    type Index = ();

    fn id(&self) -> TokenId {
        match self.purpose {
            Purpose::Join { .. } => TokenId::Join(self.hash),
            Purpose::Boot { .. } | Purpose::Room { .. } => TokenId::Boot(self.hash),
        }
    }

    fn key_of(id: &TokenId) -> String {
        let (prefix, hash) = match id {
            TokenId::Join(hash) => (JOIN_PREFIX, hash),
            TokenId::Boot(hash) => (BOOT_PREFIX, hash),
        };
        format!("{prefix}{}", blake3::Hash::from_bytes(*hash).to_hex())
    }

    fn id_in(key: &str) -> Option<TokenId> {
        let hash = |hex: &str| {
            blake3::Hash::from_hex(hex)
                .ok()
                .map(|hash| *hash.as_bytes())
        };
        match key.strip_prefix(JOIN_PREFIX) {
            Some(hex) => hash(hex).map(TokenId::Join),
            None => key
                .strip_prefix(BOOT_PREFIX)
                .and_then(hash)
                .map(TokenId::Boot),
        }
    }

    fn modified(&self) -> Revision {
        self.modified
    }

    fn to_body(&self) -> Self {
        self.clone()
    }

    fn from_body(id: TokenId, body: Self, modified: Revision) -> Self {
        let (TokenId::Join(hash) | TokenId::Boot(hash)) = id;
        Self {
            hash,
            modified,
            ..body
        }
    }
}

/// Tokens stay until upkeep removes them.
impl Shelf<OneTimeToken> {
    /// The token with this secret. Looked up by hash, so the time it takes says nothing about
    /// stored secrets.
    #[must_use]
    pub fn find(&self, secret: &str) -> Option<&Arc<OneTimeToken>> {
        let hash = *blake3::hash(secret.as_bytes()).as_bytes();
        self.get(&TokenId::Join(hash))
            .or_else(|| self.get(&TokenId::Boot(hash)))
    }

    /// Join tokens of this node that nobody has used.
    pub fn unused_of(&self, node: StorageNodeId) -> impl Iterator<Item = &Arc<OneTimeToken>> {
        self.iter().filter(move |token| {
            token.used.is_none()
                && matches!(&token.purpose, Purpose::Join { node: named, .. } if *named == node)
        })
    }

    /// Tokens that were used or had expired before this time.
    pub fn spent(&self, before: Timestamp) -> impl Iterator<Item = &Arc<OneTimeToken>> {
        self.iter()
            .filter(move |token| token.used.unwrap_or(token.expires).min(token.expires) < before)
    }
}

/// A storage node that has joined.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct EnrolledNode {
    pub node: StorageNodeId,
    pub name: NodeName,
    pub standing: Standing,
    /// BLAKE3 of the public key with which it has enrolled, in hexadecimal; later certificates are for
    /// other keys. `None`: an earlier version has stored it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Whether a Kubernetes cluster has vouched for the name, and not a join token: only then may its word
    /// give the name to another key.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub vouched: bool,
    /// What the cluster calls the node or pod that the name is of, where it vouches for that very name:
    /// two of its names can become one here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub named_after: Option<String>,
    #[serde(skip)]
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
    pub fn is_revoked(&self) -> bool {
        matches!(self.standing, Standing::Revoked { .. })
    }

    /// Since when it is enrolled with this key, if it is.
    #[must_use]
    pub fn enrolled_with(&self, key: &str) -> Option<Timestamp> {
        match self.standing {
            Standing::Enrolled { at } if self.key.as_deref() == Some(key) => Some(at),
            Standing::Enrolled { .. } | Standing::Revoked { .. } => None,
        }
    }
}

impl Record for EnrolledNode {
    const WHAT: &'static str = "enrolled node";
    type Index = ();

    numbered_by!(NODE_PREFIX, node: StorageNodeId);
    stored_whole!();
}

/// Nodes stay, revoked or not, as long as their storage node exists.
impl Shelf<EnrolledNode> {
    /// The node that bears this name. A name may have been used before, by a storage node that is
    /// gone: the last to join or to be revoked under it counts.
    #[must_use]
    pub fn by_name(&self, name: &NodeName) -> Option<&Arc<EnrolledNode>> {
        self.iter()
            .filter(|node| node.name == *name)
            .max_by_key(|node| node.modified)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Change, Entry, Op};

    fn stored(op: Op) -> Change {
        let Op::Put { key, value, .. } = op else {
            panic!("not a put")
        };
        Change::Put(Entry {
            key,
            value,
            created: 7,
            modified: 7,
        })
    }

    #[test]
    fn a_token_is_found_by_its_secret_only() {
        let purpose = Purpose::Boot {
            host: HostId::new(1).unwrap(),
            task: TaskId::new(2).unwrap(),
        };
        let token = OneTimeToken::new("s3cret", purpose, Timestamp::from_millis(10));
        let mut tokens = Shelf::<OneTimeToken>::default();
        let change = stored(token.put_op());
        tokens.apply(&change).unwrap();
        assert_eq!(tokens.find("s3cret").unwrap().modified, 7);
        assert!(tokens.find("other").is_none());
        let Change::Put(entry) = &change else {
            panic!()
        };
        assert!(
            !entry.key.contains("s3cret")
                && !String::from_utf8_lossy(&entry.value).contains("s3cret")
        );
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
            standing: Standing::Revoked {
                at: Timestamp::default(),
            },
            key: None,
            vouched: false,
            named_after: None,
            modified: 7,
        };
        let mut nodes = Shelf::<EnrolledNode>::default();
        nodes.apply(&stored(node.put_op())).unwrap();
        assert_eq!(**nodes.get(&id).unwrap(), node);
        assert!(nodes.by_name(&name).unwrap().is_revoked());
    }
}
