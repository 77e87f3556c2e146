//! Imports of a whole state into the store (`crate::state_file`): what a controller sees of one.

use crate::store::{Change, Revision};

/// There while an import writes. No controller works on a store that has it.
pub const MARKER: &str = "/foghorn/v1/setting/import";
/// Written by the end of every import, so that controllers that run notice.
pub const IMPORTED: &str = "/foghorn/v1/setting/imported";
/// Names of the two as settings.
pub(super) const MARKER_NAME: &str = "import";
pub(super) const IMPORTED_NAME: &str = "imported";

/// What whoever uses the store meanwhile is told.
pub const REFUSED: &str = "a state is being imported into it, or an import was broken off: wait for its end, or import again with --replace, see docs/operations/growing.md";

/// The two keys as a controller sees them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Imports {
    /// An import writes, or was broken off: what the tables show is no state.
    pub under_way: bool,
    /// When the last one ended; 0 for never.
    pub last: Revision,
}

impl Imports {
    pub(super) fn apply_marker(&mut self, change: &Change) {
        self.under_way = matches!(change, Change::Put(_));
    }

    pub(super) fn apply_end(&mut self, change: &Change) {
        self.last = match change {
            Change::Put(entry) => entry.modified,
            Change::Delete { .. } => 0,
        };
    }
}
