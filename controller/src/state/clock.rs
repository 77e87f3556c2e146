//! The latest time that a controller took for right, so that one whose clock is wrong notices.

use foghorn_types::Timestamp;
use serde::{Deserialize, Serialize};

use super::shelf::{Record, one_setting, stored_whole};
use crate::store::Revision;

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Clock {
    pub seen: Timestamp,
    /// The store's revision of this record; 0 for one that was never stored.
    #[serde(skip)]
    pub modified: Revision,
}

impl Clock {
    /// Name of the setting.
    pub const NAME: &'static str = "clock";
}

impl Record for Clock {
    const WHAT: &'static str = "time last seen";
    type Index = ();

    one_setting!();
    stored_whole!();
}
