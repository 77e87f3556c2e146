//! Signatures that are short, and believed only together with what they belong to; BitLocker, whose
//! volumes look like FAT; partition tables inside a partition.

use super::pages::Pages;
use super::{Class, Findings};
use crate::volume::ReadVolumeError;
use crate::volume::ext;
use crate::volume::field::{u16_at, u32_at};

/// `INFORMATION_OFFSET_GUID` of BitLocker (MS-FVE volume header), as the bytes lie on the disk, and
/// the one of volumes whose used space alone was encrypted.
const BITLOCKER: [[u8; 16]; 2] = [
    [
        0x3b, 0xd6, 0x67, 0x49, 0x29, 0x2e, 0xd8, 0x4a, 0x83, 0x99, 0xf6, 0xa3, 0x39, 0xe3, 0xd0,
        0x01,
    ],
    [
        0x3b, 0x4d, 0xa8, 0x92, 0x80, 0xdd, 0x0e, 0x4d, 0x9e, 0x4e, 0xb1, 0xe3, 0x28, 0x4e, 0xae,
        0xd8,
    ],
];
/// Byte of the header where the GUID is: on fixed disks, and on sticks (BitLocker To Go).
const BITLOCKER_AT: [usize; 2] = [160, 424];
/// Superblocks of UFS start here, and have their magic at byte 1372.
const UFS: [u64; 4] = [0, 8 << 10, 64 << 10, 256 << 10];
const UFS_MAGIC_AT: u64 = 1372;
const UFS_MAGIC: [u32; 6] = [
    0x0001_1954,
    0x1954_0119,
    0x0009_5014,
    0x0061_2195,
    0x0019_5612,
    0x0523_1994,
];

pub(super) fn more_checks(pages: &Pages<'_>, found: &mut Findings) -> Result<(), ReadVolumeError> {
    let Some(start) = pages.bytes(0, 2048)? else {
        return Ok(());
    };
    if is_bitlocker(&start) {
        found.add("BitLocker", Class::BitLocker, 0);
    }
    if is_hfs(&start) {
        found.add("HFS", Class::Volume, 0);
    }
    if is_minix(&start) {
        found.add("Minix", Class::Volume, 0);
    }
    // Revision 2 with a superblock of a few hundred bytes.
    if u16_at(&start, 1024 + 6) == 0x3434
        && u32_at(&start, 1024) == 2
        && (64..=1024).contains(&u16_at(&start, 1024 + 8))
    {
        found.add("NILFS2", Class::Volume, 0);
    }
    // Core Storage (FileVault 2): version 1, block type 16.
    if start[88..90] == *b"CS" && u16_at(&start, 8) == 1 && u16_at(&start, 10) == 0x10 {
        found.add("FileVault", Class::Volume, 0);
    }
    for place in UFS {
        if let Some(magic) = pages.bytes(place + UFS_MAGIC_AT, 4)? {
            let magic = u32_at(&magic, 0);
            if UFS_MAGIC.contains(&magic) || UFS_MAGIC.contains(&magic.swap_bytes()) {
                found.add("UFS", Class::Volume, place);
            }
        }
    }
    Ok(())
}

fn is_bitlocker(start: &[u8]) -> bool {
    let has_guid = BITLOCKER_AT
        .iter()
        .any(|&at| BITLOCKER.iter().any(|guid| start[at..].starts_with(guid)));
    start[3..].starts_with(b"-FVE-FS-") || has_guid
}

/// HFS: signature, a length of the volume's name that there can be, whole sectors as blocks. HFS+:
/// signature, version, size of a block.
fn is_hfs(start: &[u8]) -> bool {
    let sb = &start[1024..];
    let be16 = |at| u16_at(sb, at).swap_bytes();
    let be32 = |at| u32_at(sb, at).swap_bytes();
    match &sb[..2] {
        b"BD" => (1..=27).contains(&sb[36]) && be16(18) > 0 && be32(20) > 0 && be32(20) % 512 == 0,
        b"H+" | b"HX" => matches!(be16(2), 4 | 5) && be32(40).is_power_of_two(),
        _ => false,
    }
}

/// The sizes in a superblock of Minix, in either byte order, must fit each other: the bitmaps their
/// numbers of inodes and zones, the first zone what lies in front of it.
fn is_minix(start: &[u8]) -> bool {
    let sb = &start[1024..];
    if ext::looks_like_ext(start) {
        return false;
    }
    [false, true].into_iter().any(|swapped| {
        let word = |at| {
            let word = u16_at(sb, at);
            u64::from(if swapped { word.swap_bytes() } else { word })
        };
        let long = |at| {
            let long = u32_at(sb, at);
            u64::from(if swapped { long.swap_bytes() } else { long })
        };
        // Versions 1 and 2, with file names of 14 or 30 bytes; version 3 has another superblock.
        match (word(16), word(24)) {
            (0x137f | 0x138f | 0x2468 | 0x2478, _) => {
                let (inodes, maps, first) = (word(0), word(4), word(8));
                inodes > 0 && maps == (inodes + 1).div_ceil(8192) && first > 2 + maps
            }
            (_, 0x4d5a) => long(0) > 0 && word(28).is_power_of_two() && word(28) >= 1024,
            _ => false,
        }
    })
}

/// A partition table where the boot sector of a file system would be.
///
/// `start`: the first 2048 bytes of the partition, filled with zeros when it is shorter.
pub(super) fn nested_table(
    pages: &Pages<'_>,
    start: &[u8],
    found: &mut Findings,
) -> Result<(), ReadVolumeError> {
    if u16_at(start, 508) == 0xbeda {
        found.add("a Sun disk label", Class::Table, 0);
    }
    if u16_at(start, 510) != 0xaa55 {
        return Ok(());
    }
    let entries: Vec<&[u8]> = start[446..510].chunks_exact(16).collect();
    let is_table = entries.iter().all(|entry| matches!(entry[0], 0 | 0x80));
    let used = |entry: &&&[u8]| entry[4] != 0 && u32_at(entry, 8) != 0 && u32_at(entry, 12) != 0;
    if !is_table || entries.iter().filter(used).count() == 0 {
        return Ok(());
    }
    let protective = entries.iter().any(|entry| entry[4] == 0xee);
    let gpt = pages.has(512, b"EFI PART")? || pages.has(4096, b"EFI PART")?;
    let name = if protective && gpt {
        "a GPT of its own"
    } else {
        "an MBR of its own"
    };
    found.add(name, Class::Table, 0);
    Ok(())
}
