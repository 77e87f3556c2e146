//! Disks that belong to something else as a whole, although there is a partition table.

use foghorn_image::PartitionTable;

use super::{Layout, LayoutNote, ReadLayoutError, undivided};
use crate::read_at::ReadAt;
use crate::volume::{ReadVolumeError, TableState, whole_disk_owner};

/// Replaces a layout that is not the disk's, or the complaint about one, by that of an undivided
/// disk: what is left of a table counts only when nothing has taken the whole disk since.
pub(super) fn overrule(
    disk: &dyn ReadAt,
    read: Result<Layout, ReadLayoutError>,
) -> Result<Layout, ReadLayoutError> {
    let Some(state) = state(&read) else {
        return read;
    };
    let partitions = read.as_ref().map_or(&[][..], |layout| &layout.partitions);
    let owner = match whole_disk_owner(disk, state, partitions) {
        Ok(owner) => owner,
        Err(ReadVolumeError::Read { offset, source, .. }) => {
            return Err(ReadLayoutError::Read { offset, source });
        }
        Err(_) => None,
    };
    match owner {
        Some(owner) => {
            let mut layout = undivided(disk);
            layout.notes.push(LayoutNote::Owned(owner));
            Ok(layout)
        }
        None => read,
    }
}

fn state(read: &Result<Layout, ReadLayoutError>) -> Option<TableState> {
    match read {
        Ok(layout) => match &layout.table {
            PartitionTable::None => None,
            PartitionTable::Mbr => Some(TableState::Mbr),
            PartitionTable::Gpt(_) => Some(gpt_state(&layout.notes)),
        },
        Err(ReadLayoutError::GptUnreadable { .. } | ReadLayoutError::GptWithoutProtectiveMbr) => {
            Some(TableState::RestOfGpt)
        }
        Err(
            ReadLayoutError::PartitionOutside { .. }
            | ReadLayoutError::PartitionsOverlap { .. }
            | ReadLayoutError::ExtendedBootRecord { .. },
        ) => Some(TableState::Mbr),
        Err(_) => None,
    }
}

fn gpt_state(notes: &[LayoutNote]) -> TableState {
    let has = |wanted: fn(&LayoutNote) -> bool| notes.iter().any(wanted);
    if has(|note| matches!(note, LayoutNote::PrimaryGptDamaged(_))) {
        TableState::RestOfGpt
    } else if has(|note| matches!(note, LayoutNote::BackupGptDamaged(_))) {
        TableState::GptAtStart
    } else {
        TableState::WholeGpt
    }
}
