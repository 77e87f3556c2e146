//! Bodies of the audit log.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema::Rfc3339;

/// A part of the audit log, newest first.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AuditPage {
    /// Who changed what.
    pub entries: Vec<AuditEntry>,
    /// Where to continue, for the parameter `before`; absent at the end of the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// One change as it was requested.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AuditEntry {
    /// When.
    #[schemars(with = "Rfc3339")]
    pub at: String,
    /// Id of the user.
    pub user: u32,
    /// Name of the user.
    pub name: String,
    /// Address of the client.
    pub from: String,
    /// Method of the request.
    pub method: String,
    /// Path of the request.
    pub path: String,
    /// Id of the request in logs and traces; empty if it had none.
    pub request: String,
    /// Idempotency key of the request, if it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// What was changed.
    pub changes: Vec<AuditChange>,
    /// Number of changes that are not listed.
    pub more: u64,
}

/// One object that was changed. Its values are not recorded.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AuditChange {
    /// Class of the object; `state` is everything together.
    pub class: String,
    /// Id of the object, or the name of a setting; empty for what has neither.
    pub id: String,
    /// What happened to it.
    #[schemars(extend("enum" = ["created", "changed", "deleted", "exported", "imported"]))]
    pub what: String,
    /// Names of the fields that changed; for a new object, those that are not empty.
    pub fields: Vec<String>,
}
