//! The latest time that a controller took for right, so that one whose clock is wrong notices.

use foghorn_types::Timestamp;
use serde::{Deserialize, Serialize};

use super::key;
use super::shelf::Record;
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

/// There is one.
impl Record for Clock {
    const WHAT: &'static str = "time last seen";
    type Id = ();
    type Body = Self;
    type Index = ();

    fn id(&self) {}

    fn key_of((): &()) -> String {
        key::setting(Self::NAME)
    }

    fn id_in(key: &str) -> Option<()> {
        (key == key::setting(Self::NAME)).then_some(())
    }

    fn modified(&self) -> Revision {
        self.modified
    }

    fn to_body(&self) -> Self {
        self.clone()
    }

    fn from_body((): (), body: Self, modified: Revision) -> Self {
        Self { modified, ..body }
    }
}
