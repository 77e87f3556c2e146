//! Tokens for the API of factories: each belongs to a user, and may do some of what that user may.
//! The secret is not stored, only its hash.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use foghorn_types::{FactoryTokenId, StorageGroupId, Timestamp};
use serde::{Deserialize, Serialize};

use super::scope::Scope;
use crate::state::settings::hash_token;
use crate::state::shelf::{Index, Record, Shelf, numbered_by, stored_whole};
use crate::store::Revision;

/// Keys of tokens: this and the number.
const PREFIX: &str = "/foghorn/v1/factory-token/";
/// Under which their numbers are counted.
pub const SEQUENCE: &str = "factorytoken";

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FactoryToken {
    pub id: FactoryTokenId,
    /// BLAKE3 of the secret, in hexadecimal.
    pub hash: String,
    /// Number of the user who acts with it.
    pub user: u32,
    /// For people; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    pub scopes: BTreeSet<Scope>,
    /// The factories that it is for; empty: all.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub factories: BTreeSet<StorageGroupId>,
    pub created: Timestamp,
    /// `None`: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// The store's revision of this record; 0 for one that was never stored.
    #[serde(skip)]
    pub modified: Revision,
}

impl FactoryToken {
    /// Whether its time is over.
    #[must_use]
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

impl Record for FactoryToken {
    const WHAT: &'static str = "factory token";
    type Index = ByHash;

    numbered_by!(PREFIX, id: FactoryTokenId);
    stored_whole!();
}

/// Tokens by their hash.
#[derive(Default)]
pub struct ByHash(BTreeMap<String, FactoryTokenId>);

impl Index<FactoryToken> for ByHash {
    fn add(&mut self, token: &FactoryToken) {
        self.0.insert(token.hash.clone(), token.id);
    }

    fn remove(&mut self, token: &FactoryToken) {
        self.0.remove(&token.hash);
    }
}

impl Shelf<FactoryToken> {
    /// The token with this secret. Hashes are compared, so the time it takes says nothing about
    /// stored secrets.
    #[must_use]
    pub fn find(&self, secret: &str) -> Option<&Arc<FactoryToken>> {
        self.get(self.index().0.get(&hash_token(secret))?)
    }

    /// Those that had expired before this time.
    pub fn expired(&self, before: Timestamp) -> impl Iterator<Item = &Arc<FactoryToken>> {
        self.iter()
            .filter(move |token| token.expires.is_some_and(|expires| expires < before))
    }
}
