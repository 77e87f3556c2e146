//! Which part of a disk an image, or a task, is about.

use std::fmt;
use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The part of a disk that is read or written; nothing else of the disk is touched.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "what", content = "number")]
#[schemars(inline)]
pub enum DiskPart {
    /// The whole disk.
    #[default]
    Everything,
    /// The partition table, the boot code, and what lies between the partitions; not the
    /// partitions.
    Table,
    /// One partition, by its number as Linux counts, from 1.
    Partition(NonZeroU32),
}

impl DiskPart {
    /// The partition with this number; `None` for 0.
    #[must_use]
    pub fn partition(number: u32) -> Option<Self> {
        NonZeroU32::new(number).map(Self::Partition)
    }

    /// Whether it is the whole disk.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        *self == Self::Everything
    }

    /// Whether an image that contains `self` contains `wanted` as well, as far as that is known
    /// without the image's table.
    #[must_use]
    pub fn contains(self, wanted: Self) -> bool {
        self.is_everything() || self == wanted
    }
}

impl fmt::Display for DiskPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => f.write_str("the whole disk"),
            Self::Table => f.write_str("the partition table and boot code"),
            Self::Partition(number) => write!(f, "partition {number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_contains_itself_and_a_whole_disk_everything() {
        let [one, two] = [1, 2].map(|number| DiskPart::partition(number).unwrap());
        let all = [DiskPart::Everything, DiskPart::Table, one, two];
        for has in all {
            for wanted in all {
                let expected = has == DiskPart::Everything || has == wanted;
                assert_eq!(has.contains(wanted), expected, "{has} {wanted}");
            }
        }
        assert_eq!(DiskPart::partition(0), None);
    }
}
