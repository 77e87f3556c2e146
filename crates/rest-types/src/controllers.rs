//! The controllers that share a store.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The controllers that share the store of the one that answers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ControllerList {
    /// In the order of their ids. Empty with the embedded store, which only one controller uses.
    pub controllers: Vec<ControllerStatus>,
}

/// One controller, as the one that answers knows it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ControllerStatus {
    /// Random, of one process: 16 hexadecimal digits.
    pub id: String,
    /// It is the one that answers.
    pub answers: bool,
    /// Whether the one that answers hears it. What another one says of its storage nodes is only
    /// as fresh as that.
    pub heard: bool,
    /// It is about to end, and hands over what it has.
    #[serde(default)]
    pub leaving: bool,
    /// Changes of the store that its readers do not see yet, by the revisions of the store; absent
    /// when it is not heard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behind: Option<u64>,
    /// `host:port` at which other controllers call it.
    pub peers: String,
    /// `host:port` at which agents call it.
    pub link: String,
    /// Name and version.
    pub software: String,
    /// Storage nodes that are linked to it, as far as the one that answers knows.
    pub nodes: u32,
}
