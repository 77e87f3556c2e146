//! Bodies about tokens for the API of a FoundriesFactory.

use foghorn_types::{FactoryTokenId, StorageGroupId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Named;
use crate::schema::Rfc3339;

/// A token to be made, with which somebody uses the API of a FoundriesFactory.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewFactoryToken {
    /// Name of the user who acts with it; default: the caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// For people; at most 200 bytes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// What it may do: some of `devices:read`, `devices:read-update`, `devices:create`, `devices:delete`, `targets:read`,
    /// `targets:read-update`, `ci:read`, `ci:read-update`. None that the user may not do.
    pub scopes: Vec<String>,
    /// Names of the factories, which are storage groups, that it is for; default: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub factories: Vec<String>,
    /// Lifetime of the token in seconds, 1 to 315360000; default: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 315_360_000))]
    pub ttl_seconds: Option<u32>,
}

/// A factory token that was made.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub struct FactoryTokenCreated {
    /// By which it is revoked.
    pub id: FactoryTokenId,
    /// The complete token. Shown once.
    pub token: String,
    /// When it expires; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Rfc3339>")]
    pub expires: Option<String>,
    /// Whether the API that takes it is served.
    pub served: bool,
}

/// The factory tokens.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct FactoryTokenList {
    /// In the order in which they were made, also those that have expired.
    pub tokens: Vec<FactoryTokenStatus>,
}

/// A factory token, without its secret.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct FactoryTokenStatus {
    /// By which it is revoked.
    pub id: FactoryTokenId,
    /// Name of the user who acts with it; empty when he does not exist any more.
    pub user: String,
    /// For people; may be empty.
    pub description: String,
    /// What it may do at most.
    pub scopes: Vec<String>,
    /// The factories that it is for; empty: all.
    pub factories: Vec<Named<StorageGroupId>>,
    /// When it was made.
    #[schemars(with = "Rfc3339")]
    pub created: String,
    /// When it expires, or has expired; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Rfc3339>")]
    pub expires: Option<String>,
}
