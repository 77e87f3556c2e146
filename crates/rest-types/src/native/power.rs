//! Power actions of hosts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema::Rfc3339;

/// The current power actions of a host.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PowerActions {
    /// Each is told once.
    pub actions: Vec<PowerAction>,
}

/// One power action.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PowerAction {
    /// Id of the rule of power management.
    #[schemars(range(min = 1))]
    pub rule: u32,
    /// What to do.
    #[schemars(extend("enum" = ["shutdown", "reboot"]))]
    pub action: String,
    /// Since when.
    #[schemars(with = "Rfc3339")]
    pub due: String,
}
