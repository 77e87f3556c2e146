//! Disks that are several things at once, so that no table describes them: sticks written from ISO
//! images that are also divided (isohybrid, xorriso), and MBRs with partitions beside a GPT.

use foghorn_types::SectorSize;
use mbrman::MBRHeader;

use super::{Layout, LayoutNote, gpt, mbr, undivided};
use crate::read_at::ReadAt;

/// Where the first volume descriptor of an ISO file system is (ECMA-119, 6.2.1: sector 16 of 2048
/// bytes).
const ISO_DESCRIPTOR: u64 = 16 * 2048;

/// The layout of such a disk, `None` for all others.
pub(super) fn read(
    disk: &dyn ReadAt,
    sector_size: SectorSize,
    header: &MBRHeader,
) -> Option<Layout> {
    let note = if is_divided_iso(disk, sector_size, header) {
        LayoutNote::HybridIso
    } else if mbr::is_protective(header) && mbr::is_hybrid(header) {
        LayoutNote::HybridMbr
    } else {
        return None;
    };
    Some(Layout {
        raw_disk: true,
        notes: vec![note],
        ..undivided(disk)
    })
}

/// Whether there is an ISO file system, and a partition that has its descriptor: a disk that was
/// divided anew keeps old descriptors in front of its first partition.
fn is_divided_iso(disk: &dyn ReadAt, sector_size: SectorSize, header: &MBRHeader) -> bool {
    let mut descriptor = [0; 7];
    // The type of any descriptor, the name of the standard, and its version.
    let found = disk.read_exact_at(ISO_DESCRIPTOR, &mut descriptor).is_ok()
        && &descriptor[1..] == b"CD001\x01";
    found
        && (mbr::covers(header, sector_size, ISO_DESCRIPTOR)
            || mbr::is_protective(header) && gpt::covers(disk, sector_size, ISO_DESCRIPTOR))
}
