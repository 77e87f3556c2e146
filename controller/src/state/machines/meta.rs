//! Who made something, and who changed it last.

use foghorn_types::Timestamp;
use serde::{Deserialize, Serialize};

/// See the module. A user is named by number; 0 is nobody: a device did it itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ChangeMeta {
    pub created_by: u32,
    pub created_at: Timestamp,
    pub updated_by: u32,
    pub updated_at: Timestamp,
}

impl ChangeMeta {
    #[must_use]
    pub const fn new(by: u32, now: Timestamp) -> Self {
        Self {
            created_by: by,
            created_at: now,
            updated_by: by,
            updated_at: now,
        }
    }

    pub const fn touch(&mut self, by: u32, now: Timestamp) {
        self.updated_by = by;
        self.updated_at = now;
    }
}
