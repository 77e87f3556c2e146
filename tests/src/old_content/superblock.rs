//! Superblocks written by their on-disk formats.

use crate::disks::MIB;

fn put(block: &mut [u8], at: usize, bytes: &[u8]) {
    block[at..at + bytes.len()].copy_from_slice(bytes);
}

/// The version-1 superblock of md (`linux/raid/md_p.h`, `struct mdp_superblock_1`) of a RAID1 with
/// two members, for a device of `sectors`; it lies in sector `at`.
pub(super) fn md(at: u64, sectors: u64) -> Vec<u8> {
    let mut block = vec![0; 512];
    let (data_offset, data_size): (u64, u64) = if at < 16 {
        (2048, sectors - 2048)
    } else {
        (0, at - 8)
    };
    put(&mut block, 0, &0xa92b_4efc_u32.to_le_bytes());
    put(&mut block, 4, &1_u32.to_le_bytes());
    put(&mut block, 16, &[0x5a; 16]);
    put(&mut block, 32, b"lab:0");
    put(&mut block, 64, &1_700_000_000_u64.to_le_bytes());
    put(&mut block, 72, &1_u32.to_le_bytes());
    put(&mut block, 80, &data_size.to_le_bytes());
    put(&mut block, 92, &2_u32.to_le_bytes());
    put(&mut block, 128, &data_offset.to_le_bytes());
    put(&mut block, 136, &data_size.to_le_bytes());
    put(&mut block, 144, &at.to_le_bytes());
    put(&mut block, 168, &[0xa5; 16]);
    put(&mut block, 192, &1_700_000_000_u64.to_le_bytes());
    put(&mut block, 200, &5_u64.to_le_bytes());
    put(&mut block, 208, &u64::MAX.to_le_bytes());
    put(&mut block, 220, &128_u32.to_le_bytes());
    for role in 0..128_u16 {
        let state = if role < 2 { role } else { 0xffff };
        put(
            &mut block,
            256 + 2 * usize::from(role),
            &state.to_le_bytes(),
        );
    }
    let sum: u64 = block
        .chunks_exact(4)
        .map(|word| u64::from(u32::from_le_bytes([word[0], word[1], word[2], word[3]])))
        .sum();
    put(
        &mut block,
        216,
        &((sum as u32).wrapping_add((sum >> 32) as u32)).to_le_bytes(),
    );
    block
}

/// The version-0.90 superblock of md (`mdp_super_t`): 1024 words.
pub(super) fn md_old() -> Vec<u8> {
    let mut words = [0_u32; 1024];
    // magic, major, minor, patch, words in use, uuid0, ctime, level, size, disks: twice.
    words[..5].copy_from_slice(&[0xa92b_4efc, 0, 90, 0, 0]);
    words[5] = 0x1234_5678;
    words[6] = 1_700_000_000;
    words[7] = 1;
    words[8] = 4096;
    words[9] = 2;
    words[10] = 2;
    words[13] = 0x2345_6789;
    words[14] = 0x3456_789a;
    words[15] = 0x4567_89ab;
    words[32] = 1_700_000_000;
    words[33] = 1;
    words[34] = 2;
    words[35] = 2;
    words[39] = 7;
    // The sum of all words, with this one as zero.
    let sum: u64 = words.iter().map(|&word| u64::from(word)).sum();
    words[38] = (sum as u32).wrapping_add((sum >> 32) as u32);
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// The label sector of an LVM2 physical volume, with its checksum.
pub(super) fn lvm(size: u64) -> Vec<u8> {
    let mut block = vec![0; 512];
    put(&mut block, 0, b"LABELONE");
    put(&mut block, 8, &1_u64.to_le_bytes());
    put(&mut block, 20, &32_u32.to_le_bytes());
    put(&mut block, 24, b"LVM2 001");
    put(&mut block, 32, b"abcdefABCDEFghijGHIJklmnKLMNopqr");
    put(&mut block, 64, &size.to_le_bytes());
    put(&mut block, 72, &MIB.to_le_bytes());
    // CRC-32 with LVM's own start value, over everything behind it.
    let mut sum = 0xf597_a6cf_u32;
    for &byte in &block[20..] {
        sum ^= u32::from(byte);
        for _ in 0..8 {
            sum = if sum & 1 == 1 {
                sum >> 1 ^ 0xedb8_8320
            } else {
                sum >> 1
            };
        }
    }
    put(&mut block, 16, &sum.to_le_bytes());
    block
}

/// The superblock of a bcache backing device, with its checksum (CRC-64 of ECMA-182, as bcache uses
/// it).
pub(super) fn bcache() -> Vec<u8> {
    const MAGIC: [u8; 16] = [
        0xc6, 0x85, 0x73, 0xf6, 0x4e, 0x1a, 0x45, 0xca, 0x82, 0x65, 0xf5, 0x7f, 0x48, 0xba, 0x6d,
        0x81,
    ];
    let mut block = vec![0; 4096];
    put(&mut block, 8, &8_u64.to_le_bytes());
    put(&mut block, 16, &1_u64.to_le_bytes());
    put(&mut block, 24, &MAGIC);
    put(&mut block, 40, &[0x33; 16]);
    put(&mut block, 56, &[0x44; 16]);
    let mut sum = u64::MAX;
    // Up to the list of journal buckets, of which there are none.
    for &byte in &block[8..208] {
        sum ^= u64::from(byte) << 56;
        for _ in 0..8 {
            sum = if sum >> 63 == 1 {
                sum << 1 ^ 0x42f0_e1eb_a9ea_3693
            } else {
                sum << 1
            };
        }
    }
    put(&mut block, 0, &(sum ^ u64::MAX).to_le_bytes());
    block
}

/// The uberblocks of the four labels of a ZFS pool: two at the start, two at the end.
pub(super) fn zfs(size: u64) -> Vec<(u64, Vec<u8>)> {
    const LABEL: u64 = 256 << 10;
    let end = size & !(LABEL - 1);
    let mut pieces = Vec::new();
    for label in [0, LABEL, end - 2 * LABEL, end - LABEL] {
        let mut ring = vec![0; 128 << 10];
        for (nth, block) in (0..).zip(ring.chunks_exact_mut(1024)) {
            put(block, 0, &0x00ba_b10c_u64.to_le_bytes());
            put(block, 8, &5000_u64.to_le_bytes());
            put(block, 16, &(100_u64 + nth).to_le_bytes());
            put(block, 24, &0x7777_u64.to_le_bytes());
        }
        pieces.push((label + (128 << 10), ring));
    }
    pieces
}

/// Where the first copy of BitLocker's metadata is.
pub(super) const BITLOCKER_METADATA: u64 = 512 << 10;

/// The volume header of BitLocker on a fixed disk: a boot sector with the OEM name `-FVE-FS-`.
pub(super) fn bitlocker() -> Vec<u8> {
    let mut block = vec![0; 512];
    put(&mut block, 0, &[0xeb, 0x58, 0x90]);
    put(&mut block, 3, b"-FVE-FS-");
    put(&mut block, 11, &512_u16.to_le_bytes());
    block[13] = 8;
    block[21] = 0xf8;
    put(
        &mut block,
        160,
        &[
            0x3b, 0xd6, 0x67, 0x49, 0x29, 0x2e, 0xd8, 0x4a, 0x83, 0x99, 0xf6, 0xa3, 0x39, 0xe3,
            0xd0, 0x01,
        ],
    );
    put(&mut block, 176, &BITLOCKER_METADATA.to_le_bytes());
    put(&mut block, 510, &[0x55, 0xaa]);
    block
}
