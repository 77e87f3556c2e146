//! Tokens with which machines enrol after imaging: each lets so many get a certificate as devices of one
//! factory, or the one machine that is a certain host. The secret is not stored, only its hash.

use std::sync::Arc;

use foghorn_types::{HostId, HostTokenId, StorageGroupId, TaskId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::state::settings::hash_token;
use crate::state::shelf::{Record, Shelf, numbered_by, stored_whole};
use crate::store::Revision;

/// Keys of these tokens: this and the number.
const PREFIX: &str = "/foghorn/v1/host-token/";
/// Under which their numbers are counted.
pub const SEQUENCE: &str = "hosttoken";

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HostToken {
    pub id: HostTokenId,
    /// BLAKE3 of the secret, in hexadecimal.
    pub hash: String,
    pub factory: StorageGroupId,
    /// The only host that it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostId>,
    /// The deploy that it is for, and as long as that goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
    /// How many machines it lets in.
    pub count: u32,
    /// How many it has let in.
    pub used: u32,
    /// Number of the user who made it, and owns what enrols with it.
    pub by: u32,
    pub created: Timestamp,
    pub expires: Timestamp,
    /// The store's revision of this record; 0 for one that was never stored.
    #[serde(skip)]
    pub modified: Revision,
}

impl HostToken {
    /// What is stored in place of a secret.
    #[must_use]
    pub fn hash_of(secret: &str) -> String {
        hash_token(secret)
    }

    /// How many it still lets in.
    #[must_use]
    pub fn left(&self) -> u32 {
        self.count.saturating_sub(self.used)
    }
}

impl Record for HostToken {
    const WHAT: &'static str = "machine token";
    type Index = ();

    numbered_by!(PREFIX, id: HostTokenId);
    stored_whole!();
}

/// They stay until somebody deletes them, or upkeep does after their time.
impl Shelf<HostToken> {
    /// The token with this secret. Hashes are compared, so the time it takes says nothing about
    /// stored secrets.
    #[must_use]
    pub fn find(&self, secret: &str) -> Option<&Arc<HostToken>> {
        let hash = HostToken::hash_of(secret);
        self.iter().find(|token| token.hash == hash)
    }

    /// Those that had expired before this time.
    pub fn expired(&self, before: Timestamp) -> impl Iterator<Item = &Arc<HostToken>> {
        self.iter().filter(move |token| token.expires < before)
    }
}
