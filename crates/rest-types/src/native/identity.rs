//! Bodies about the identity that a deploy puts on a disk.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether a deploy puts an identity of the machine on its disk.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IdentityEdit {
    /// Whether it does; null: a host does as its image says, an image does not.
    #[serde(default)]
    pub identity: Option<bool>,
}
