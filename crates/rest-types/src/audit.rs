//! Bodies of the audit log.

use serde::{Deserialize, Serialize};

/// `GET /foghorn/v1/audit`, the newest first.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AuditPage {
    pub entries: Vec<AuditEntry>,
    /// Where to go on, as the parameter `before`; absent at the end of the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// One change as somebody asked for it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AuditEntry {
    /// RFC 3339 in UTC.
    pub at: String,
    pub user: u32,
    pub name: String,
    /// Address that asked.
    pub from: String,
    pub method: String,
    pub path: String,
    /// Name of the request in logs and traces; empty when it had none.
    pub request: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    pub changes: Vec<AuditChange>,
    /// Changes beside those that are listed.
    pub more: u64,
}

/// One object that was changed. Never a value.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AuditChange {
    pub class: String,
    /// Number of the object, or the name of a setting; empty for what has neither.
    pub id: String,
    /// `created`, `changed` or `deleted`.
    pub what: String,
    /// Names of the fields that changed; for a new object those that are not empty.
    pub fields: Vec<String>,
}
