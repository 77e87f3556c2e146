//! Work that a controller does by itself.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema::Rfc3339;

/// The work of the controller that answers. Every controller does its own.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct BackgroundList {
    /// In the order of their names.
    pub work: Vec<BackgroundWork>,
}

/// One kind of work, which goes in rounds.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct BackgroundWork {
    /// Name of the work, also in metrics and logs.
    pub name: String,
    /// Seconds between two rounds when nothing else asks for one.
    pub period_seconds: f64,
    /// Changes that ask for a round at once.
    pub woken_by: Vec<String>,
    /// Since when a round has been under way; absent when none is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Rfc3339>")]
    pub running_since: Option<String>,
    /// Rounds that have ended since the controller started.
    pub rounds: u64,
    /// Those of them that failed.
    pub failures: u64,
    /// The last round that has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<BackgroundRound>,
    /// The last round that failed, which later ones do not replace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<BackgroundRound>,
}

/// A round that has ended.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct BackgroundRound {
    /// When it began.
    #[schemars(with = "Rfc3339")]
    pub began: String,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// `period`, or the change that asked for it.
    pub reason: String,
    /// What it did, with how often; empty when there was nothing to do.
    pub did: BTreeMap<String, u64>,
    /// What went wrong; absent when nothing did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}
