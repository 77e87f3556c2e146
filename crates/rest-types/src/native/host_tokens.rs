//! Bodies about tokens with which machines enrol after imaging.

use foghorn_types::{HostId, HostTokenId, StorageGroupId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Named;
use crate::schema::Rfc3339;

/// A token to be made, with which machines enrol after imaging.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewHostToken {
    /// The only host that it is for, by id. The machine that enrols with it takes the place of the one that
    /// was this host before. Default: any machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostId>,
    /// Name of the factory, which is a storage group; default: that of the host's device, or the only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub factory: Option<String>,
    /// How many machines it lets in, 1 to 10000; default, and for one host always: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub count: Option<u32>,
    /// Lifetime of the token in seconds, 1 to 31536000; default: that of the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 31_536_000))]
    pub ttl_seconds: Option<u32>,
}

/// A machine token that was made.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub struct HostTokenCreated {
    /// By which it is deleted.
    pub id: HostTokenId,
    /// The complete token. Shown once.
    pub token: String,
    /// The factory that machines come to belong to.
    pub factory: Named<StorageGroupId>,
    /// When it expires.
    #[schemars(with = "Rfc3339")]
    pub expires: String,
    /// Whether this server has a gateway for the machines; without one nobody can enrol.
    pub served: bool,
}

/// The machine tokens.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct HostTokenList {
    /// In the order in which they were made, also those that have expired lately.
    pub tokens: Vec<HostTokenStatus>,
}

/// A machine token, without its secret.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct HostTokenStatus {
    /// By which it is deleted.
    pub id: HostTokenId,
    /// The factory that machines come to belong to.
    pub factory: Named<StorageGroupId>,
    /// The only host that it is for; null for any machine.
    pub host: Option<Named<HostId>>,
    /// How many machines it lets in.
    pub count: u32,
    /// How many more it lets in.
    pub left: u32,
    /// When it was made.
    #[schemars(with = "Rfc3339")]
    pub created: String,
    /// When it expires, or has expired.
    #[schemars(with = "Rfc3339")]
    pub expires: String,
}
