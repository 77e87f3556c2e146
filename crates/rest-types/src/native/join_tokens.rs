//! Bodies about join tokens for many storage nodes.

use foghorn_types::{JoinTokenId, NamePattern, StorageGroupId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Named;
use crate::schema::Rfc3339;

/// Storage nodes that may enrol with one token, each under the name that its agent says.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewJoinToken {
    /// Their names: a name in which `*` stands for any characters.
    pub names: NamePattern,
    /// How many.
    #[schemars(range(min = 1, max = 10_000))]
    pub count: u32,
    /// Storage group of nodes that do not exist yet; default: the default group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_group: Option<StorageGroupId>,
    /// Lifetime of the token in seconds, 1 to 31536000; default: that of the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 31_536_000))]
    pub ttl_seconds: Option<u32>,
}

/// A join token for many storage nodes that was made.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub struct JoinTokenCreated {
    /// By which it is deleted.
    pub id: JoinTokenId,
    /// The complete token. Shown once.
    pub token: String,
    /// Names of the nodes that it lets in.
    pub names: NamePattern,
    /// How many it lets in.
    pub count: u32,
    /// When it expires.
    #[schemars(with = "Rfc3339")]
    pub expires: String,
}

impl std::fmt::Debug for JoinTokenCreated {
    /// Without the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JoinTokenCreated")
            .field("id", &self.id)
            .field("names", &self.names)
            .field("count", &self.count)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

/// The join tokens for many storage nodes.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct JoinTokenList {
    /// In the order in which they were made. Those that have expired are removed after an hour.
    pub tokens: Vec<JoinTokenStatus>,
}

/// A join token for many storage nodes, without its secret.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct JoinTokenStatus {
    /// By which it is deleted.
    pub id: JoinTokenId,
    /// Names of the nodes that it lets in.
    pub names: NamePattern,
    /// How many it lets in.
    pub count: u32,
    /// How many it still lets in.
    pub left: u32,
    /// Storage group of nodes that do not exist yet; absent: the default group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_group: Option<Named<StorageGroupId>>,
    /// When it was made.
    #[schemars(with = "Rfc3339")]
    pub created: String,
    /// When it expires, or has expired.
    #[schemars(with = "Rfc3339")]
    pub expires: String,
}
