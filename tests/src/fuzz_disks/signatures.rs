//! Superblocks of what cannot be made without its own kernel module, written as its tools leave
//! them. Layouts: the kernel's `md_p.h` for RAID, the on-disk format specifications of LVM2 and ZFS.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::Result;

use super::rng::Rng;
use super::shape::{Content, MIB};
use super::table::crc32_plain;

/// Writes the superblocks of the content over the part of a disk that starts at `start`, and
/// nothing else. Contents that have files are not known here: the answer is false.
///
/// # Errors
/// When the disk cannot be written.
pub fn write(disk: &Path, start: u64, size: u64, content: Content, rng: &mut Rng) -> Result<bool> {
    let pieces = match content {
        Content::RaidMember { version: 9 } => vec![raid_09(size, rng)],
        Content::RaidMember { version } => vec![raid_1(size, version, rng)],
        Content::LvmMember => vec![lvm(size, rng)],
        Content::ZfsMember => zfs(size, rng),
        Content::Swap => vec![swap(size, rng)],
        Content::Btrfs => vec![(0x10000 + 0x40, b"_BHRfS_M".to_vec())],
        Content::Xfs => vec![(0, b"XFSB\0\0\x10\0".to_vec())],
        _ => return Ok(false),
    };
    let file = OpenOptions::new().write(true).open(disk)?;
    for (at, bytes) in pieces {
        if at + bytes.len() as u64 <= size {
            file.write_all_at(&bytes, start + at)?;
        }
    }
    Ok(true)
}

fn put<const N: usize>(bytes: &mut [u8], at: usize, value: [u8; N]) {
    bytes[at..at + N].copy_from_slice(&value);
}

/// 64 KiB aligned, in the last 128 KiB.
fn raid_09(size: u64, rng: &mut Rng) -> (u64, Vec<u8>) {
    let at = (size & !0xffff).saturating_sub(0x10000);
    let mut block = vec![0; 4096];
    let words: [(usize, u32); 14] = [
        (0, 0xa92b_4efc),
        (4, 0),
        (8, 90),
        (24, 1_600_000_000),
        (28, 1),
        (32, (at / 1024) as u32),
        (36, 2),
        (40, 2),
        (128, 1_600_000_000),
        (132, 1),
        (136, 2),
        (140, 2),
        // Word 3992 / 4 of the block: this disk's own number and state.
        (3968, 0),
        (3984, 6),
    ];
    for (place, value) in words {
        put(&mut block, place, value.to_le_bytes());
    }
    put(&mut block, 20, rng.bytes::<4>());
    put(&mut block, 52, rng.bytes::<12>());
    put(&mut block, 156, 5_u32.to_le_bytes());
    let sum: u64 = block
        .chunks_exact(4)
        .map(|word| u64::from(u32::from_le_bytes(word.try_into().expect("four bytes"))))
        .sum();
    put(
        &mut block,
        152,
        ((sum as u32).wrapping_add((sum >> 32) as u32)).to_le_bytes(),
    );
    (at, block)
}

/// Versions 1.0 (8 KiB before the end), 1.1 (start) and 1.2 (4 KiB behind the start).
fn raid_1(size: u64, version: u8, rng: &mut Rng) -> (u64, Vec<u8>) {
    let sectors = size / 512;
    let (place, data, length) = match version {
        10 => {
            let place = sectors.saturating_sub(16) & !7;
            (place, 0_u64, place.saturating_sub(8))
        }
        11 => (0, 2048, sectors - 2048),
        _ => (8, 2048, sectors - 2048),
    };
    let devices = 2_u32;
    let mut block = vec![0; 256 + 2 * devices as usize];
    put(&mut block, 0, 0xa92b_4efc_u32.to_le_bytes());
    put(&mut block, 4, 1_u32.to_le_bytes());
    put(&mut block, 16, rng.bytes::<16>());
    put(&mut block, 32, *b"host:0");
    put(&mut block, 64, 1_600_000_000_u64.to_le_bytes());
    put(&mut block, 72, 1_u32.to_le_bytes());
    put(&mut block, 80, length.to_le_bytes());
    put(&mut block, 92, devices.to_le_bytes());
    put(&mut block, 128, data.to_le_bytes());
    put(&mut block, 136, length.to_le_bytes());
    put(&mut block, 144, place.to_le_bytes());
    put(&mut block, 168, rng.bytes::<16>());
    put(&mut block, 192, 1_600_000_000_u64.to_le_bytes());
    put(&mut block, 200, 5_u64.to_le_bytes());
    put(&mut block, 208, u64::MAX.to_le_bytes());
    put(&mut block, 220, devices.to_le_bytes());
    put(&mut block, 256, 0_u16.to_le_bytes());
    put(&mut block, 258, 1_u16.to_le_bytes());
    let sum: u64 = block
        .chunks_exact(4)
        .map(|word| u64::from(u32::from_le_bytes(word.try_into().expect("four bytes"))))
        .sum();
    put(
        &mut block,
        216,
        ((sum as u32).wrapping_add((sum >> 32) as u32)).to_le_bytes(),
    );
    (place * 512, block)
}

/// A label in sector 1 and the header of a physical volume behind it.
fn lvm(size: u64, rng: &mut Rng) -> (u64, Vec<u8>) {
    let mut sector = vec![0; 512];
    put(&mut sector, 0, *b"LABELONE");
    put(&mut sector, 8, 1_u64.to_le_bytes());
    put(&mut sector, 20, 32_u32.to_le_bytes());
    put(&mut sector, 24, *b"LVM2 001");
    for byte in &mut sector[32..64] {
        *byte = rng.pick(b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
    }
    put(&mut sector, 64, size.to_le_bytes());
    put(&mut sector, 72, MIB.to_le_bytes());
    // An empty entry ends the list of data areas; the one area of metadata follows.
    put(&mut sector, 104, 4096_u64.to_le_bytes());
    put(&mut sector, 112, (MIB - 4096).to_le_bytes());
    let sum = crc32_plain(&sector[20..], 0xf597_a6cf);
    put(&mut sector, 16, sum.to_le_bytes());
    (512, sector)
}

/// Four labels of 256 KiB, two at each end, with rings of uberblocks in their second half.
fn zfs(size: u64, rng: &mut Rng) -> Vec<(u64, Vec<u8>)> {
    const LABEL: u64 = 256 << 10;
    let end = size / LABEL * LABEL;
    let guid = rng.number();
    let places = [
        0,
        LABEL,
        end.saturating_sub(2 * LABEL),
        end.saturating_sub(LABEL),
    ];
    places
        .into_iter()
        .map(|place| {
            let mut ring = vec![0; 128 << 10];
            for (number, block) in ring.chunks_mut(1024).take(12).enumerate() {
                put(block, 0, 0x00ba_b10c_u64.to_le_bytes());
                put(block, 8, 5000_u64.to_le_bytes());
                put(block, 16, (number as u64 + 4).to_le_bytes());
                put(block, 24, guid.to_le_bytes());
                put(block, 32, 1_600_000_000_u64.to_le_bytes());
            }
            (place + (128 << 10), ring)
        })
        .collect()
}

/// Version 1, pages of 4 KiB.
fn swap(size: u64, rng: &mut Rng) -> (u64, Vec<u8>) {
    let mut page = vec![0; 4096];
    put(&mut page, 1024, 1_u32.to_le_bytes());
    put(
        &mut page,
        1028,
        ((size / 4096).saturating_sub(1) as u32).to_le_bytes(),
    );
    put(&mut page, 1036, rng.bytes::<16>());
    put(&mut page, 4086, *b"SWAPSPACE2");
    (0, page)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz_disks::{judge, sparse};

    #[test]
    fn blkid_recognises_what_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let disk = folder.path().join("disk");
        let raid = |version| (Content::RaidMember { version }, "linux_raid_member");
        for (content, kind) in [
            raid(9),
            raid(10),
            raid(11),
            raid(12),
            (Content::LvmMember, "LVM2_member"),
            (Content::ZfsMember, "zfs_member"),
            (Content::Swap, "swap"),
        ] {
            // libblkid does not look for ZFS on less than 64 MiB.
            sparse::blank(&disk, 80 * MIB).unwrap();
            assert!(write(&disk, MIB, 70 * MIB, content, &mut Rng::new(1, 1)).unwrap());
            let facts = judge::blkid(&disk, MIB, 70 * MIB).unwrap();
            assert_eq!(facts.kind(), Some(kind), "{content:?}: {facts:?}");
        }
    }
}
