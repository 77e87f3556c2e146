//! Join tokens for many nodes: whoever has one may enrol as a storage node whose name fits, until so
//! many have, or until its time is over (decision 25).
//!
//! They are apart from one-time tokens, in whose record a program of an earlier version would find a
//! purpose that it cannot read. A token is stored under a number, by which people name it, with the
//! BLAKE3 of its secret, never the secret itself.

use std::sync::Arc;

use foghorn_types::{JoinTokenId, NamePattern, StorageGroupId, Timestamp};
use serde::{Deserialize, Serialize};

use super::shelf::{Record, Shelf, numbered_by, stored_whole};
use crate::store::Revision;

/// Keys of these tokens: this and the number.
const PREFIX: &str = "/foghorn/v1/join-many/";
/// Under which their numbers are counted.
pub const SEQUENCE: &str = "jointoken";

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ManyToken {
    pub id: JoinTokenId,
    /// BLAKE3 of the secret, in hexadecimal.
    pub hash: String,
    /// The nodes that it lets in.
    pub names: NamePattern,
    /// How many it lets in.
    pub count: u32,
    /// How many it has let in.
    pub used: u32,
    /// Of nodes that it makes; `None`: the first group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_group: Option<StorageGroupId>,
    pub created: Timestamp,
    pub expires: Timestamp,
    /// The store's revision of this record; 0 for one that was never stored.
    #[serde(skip)]
    pub modified: Revision,
}

impl ManyToken {
    /// What is stored in place of a secret.
    #[must_use]
    pub fn hash_of(secret: &str) -> String {
        blake3::hash(secret.as_bytes()).to_hex().to_string()
    }

    /// How many it still lets in.
    #[must_use]
    pub fn left(&self) -> u32 {
        self.count.saturating_sub(self.used)
    }
}

impl Record for ManyToken {
    const WHAT: &'static str = "join token for many nodes";
    type Index = ();

    numbered_by!(PREFIX, id: JoinTokenId);
    stored_whole!();
}

/// They stay until somebody deletes them, or upkeep does after their time.
impl Shelf<ManyToken> {
    /// The token with this secret. Hashes are compared, so the time it takes says nothing about
    /// stored secrets.
    #[must_use]
    pub fn find(&self, secret: &str) -> Option<&Arc<ManyToken>> {
        let hash = ManyToken::hash_of(secret);
        self.iter().find(|token| token.hash == hash)
    }

    /// Those that had expired before this time.
    pub fn expired(&self, before: Timestamp) -> impl Iterator<Item = &Arc<ManyToken>> {
        self.iter().filter(move |token| token.expires < before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Change, Entry, Op};

    #[test]
    fn a_token_is_found_by_its_secret_which_is_not_stored() {
        let token = ManyToken {
            id: JoinTokenId::new(3).unwrap(),
            hash: ManyToken::hash_of("s3cret"),
            names: "store-*".parse().unwrap(),
            count: 5,
            used: 2,
            storage_group: None,
            created: Timestamp::from_millis(1),
            expires: Timestamp::from_millis(10),
            modified: 0,
        };
        let Op::Put { key, value, .. } = token.put_op() else {
            panic!("not a put")
        };
        assert!(!String::from_utf8_lossy(&value).contains("s3cret"));
        let change = Change::Put(Entry {
            key,
            value,
            created: 7,
            modified: 7,
        });
        let mut tokens = Shelf::<ManyToken>::default();
        tokens.apply(&change).unwrap();
        let found = tokens.find("s3cret").unwrap();
        assert_eq!((found.left(), found.modified), (3, 7));
        assert!(tokens.find("other").is_none());
        assert_eq!(tokens.expired(Timestamp::from_millis(10)).count(), 0);
        assert_eq!(tokens.expired(Timestamp::from_millis(11)).count(), 1);
    }
}
