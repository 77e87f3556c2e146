//! What makes a disk look valid: wiped first, written last.
//!
//! A disk on which a deploy has not finished has no partition table and no boot sector, so nothing
//! boots from it or mounts it by mistake. Everything else stays (but for [`stale`] superblocks),
//! because the scan may find right chunks in it.

use std::collections::BTreeMap;

use foghorn_disk_layout::render_gpt;
use foghorn_image::{ByteRange, ByteRanges, Manifest, PartitionTable};
use foghorn_types::{ByteOffset, ChunkIndex, chain};

use super::part::Placement;
use super::plan::Plan;
use super::{DeployError, stale};
use crate::disk::{Disk, DiskError, DiskSet};

/// Covers the first two sectors for both sector sizes.
const HEAD: u64 = 2 * 4096;

/// What is zeroed of the target before anything is written.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Wiped {
    /// The first sectors of the disk, or of the only partition that is written, also where the
    /// image uses them: they are written last.
    head: ByteRanges,
    /// Places where earlier contents may have superblocks and the image has nothing.
    stale: ByteRanges,
}

impl Wiped {
    pub(super) fn all(&self) -> ByteRanges {
        let mut all = self.head.clone();
        all.extend_from(&self.stale);
        all
    }

    /// Adds what is zeroed of the disk that starts at `start`.
    pub(super) fn add(&mut self, disk: &Self, start: u64) {
        self.head.extend_from(&disk.head.shifted(start));
        self.stale.extend_from(&disk.stale.shifted(start));
    }
}

/// Finds out what has to be zeroed. Pure.
pub(super) fn wiped(disk: &Disk, manifest: &Manifest, placement: &Placement) -> Wiped {
    let (start, stale) = match placement {
        Placement::Everything | Placement::Disks(_) | Placement::Table { .. } => (
            0,
            stale::unused_places(manifest, disk.disk_size())
                .into_iter()
                .collect(),
        ),
        Placement::Partition { source, target, .. } => (
            target.start,
            stale::unused_of_partition(manifest, *source, *target),
        ),
    };
    let head = ByteRange::new(start, (start + HEAD).min(disk.disk_size().bytes()));
    Wiped {
        head: placement.allowed(&[head].into_iter().collect()),
        stale: placement.allowed(&stale),
    }
}

/// Makes the disk, or the only partition that is written, one without contents, durably: no boot
/// sector, no GPT header, no superblock of earlier contents where the image has none.
pub(super) fn wipe(disk: &DiskSet, wiped: &Wiped) -> Result<(), DiskError> {
    for range in &wiped.head {
        disk.zero(range.start, range.size().bytes())?;
    }
    stale::clear(disk, &wiped.stale)?;
    disk.flush()
}

/// The pieces that make the disk valid. Computed before the first byte is written, so that a table
/// that does not fit the disk is found while nothing is lost.
pub(super) fn render(
    disk: &Disk,
    manifest: &Manifest,
    placement: &Placement,
) -> Result<Vec<(ByteOffset, Vec<u8>)>, DeployError> {
    match &manifest.table {
        _ if matches!(placement, Placement::Partition { .. }) => Ok(Vec::new()),
        PartitionTable::Gpt(table) => Ok(render_gpt(table, disk.sector_size(), disk.disk_size())?),
        PartitionTable::Mbr | PartitionTable::None => Ok(Vec::new()),
    }
}

/// The last writes of a deploy: flush the data, write the tables from the back (so that sector 0 is
/// the very last of each disk), flush, read them again and compare. `boot_chunks` has the chunks that
/// are boot entries of the plan.
pub(super) fn complete(
    disk: &DiskSet,
    plan: &Plan,
    pieces: &[(ByteOffset, Vec<u8>)],
    boot_chunks: &BTreeMap<ChunkIndex, Vec<u8>>,
) -> Result<(), DeployError> {
    disk.flush()?;
    let mut written: Vec<(u64, &[u8])> = Vec::new();
    for (index, plain) in boot_chunks {
        let mut entries = plan.manifest().chunks.iter_from(*index);
        let Some(entry) = entries.next().filter(|entry| entry.index == *index) else {
            continue;
        };
        written.extend(
            entry
                .used
                .byte_ranges(plain.len())
                .map(|range| (plan.offset(&entry, range.start), &plain[range])),
        );
    }
    written.extend(
        pieces
            .iter()
            .map(|(offset, bytes)| (offset.bytes(), bytes.as_slice())),
    );
    written.sort_by_key(|(offset, _)| std::cmp::Reverse(*offset));
    foghorn_faults::point!("client.deploy.before-table");
    for (offset, bytes) in &written {
        disk.write_at(*offset, bytes)?;
    }
    foghorn_faults::point!("client.deploy.table-written");
    disk.flush()?;
    for (offset, bytes) in &written {
        let mut found = vec![0; bytes.len()];
        disk.forget(*offset, bytes.len());
        disk.read_at(*offset, &mut found)?;
        if found != *bytes {
            let (disk, at) = disk.at(*offset);
            return Err(DeployError::TableReadsBackWrong {
                path: disk.path().to_owned(),
                offset: ByteOffset::from_bytes(at),
            });
        }
    }
    if matches!(plan.placement(), Placement::Partition { .. }) {
        return Ok(());
    }
    for (_, disk) in disk.iter() {
        if let Err(error) = disk.reread_partition_table() {
            // The disk is right; only the kernel's idea of it is old, which matters to nobody before
            // the next boot.
            tracing::warn!(path = %disk.path().display(), error = %chain(&error),
                "the kernel did not read the new partition table");
        }
    }
    Ok(())
}
