//! Superblocks that only a kernel or a program that is not at hand would write, by the description
//! of each format.

use super::{MIB, SIZE};
use crate::support::Image;

/// A name for the contents and what writes them.
type Made = (&'static str, fn(&Image));

pub(crate) const ALL: &[Made] = &[
    ("md-0.90", |image| {
        image.write((SIZE & !0xffff) - 0x1_0000, &md_old())
    }),
    ("md-1.0", |image| {
        let at = (SIZE / 512 - 16) & !7;
        image.write(at * 512, &md(at));
    }),
    ("md-1.1", |image| image.write(0, &md(0))),
    ("md-1.2", |image| image.write(4096, &md(8))),
    ("lvm", lvm),
    ("zfs", zfs),
    ("bitlocker", |image| image.write(0, &bitlocker())),
    ("bitlocker-to-go", |image| {
        image.write(0, &bitlocker_to_go())
    }),
    ("isw", |image| {
        image.write(SIZE - 1024, b"Intel Raid ISM Cfg Sig. 1.3.00")
    }),
    ("ddf", |image| {
        image.write(SIZE - 512, &[0xde, 0x11, 0xde, 0x11])
    }),
    ("promise", |image| {
        image.write(SIZE - 63 * 512, b"Promise Technology, Inc.")
    }),
    ("apfs", |image| image.write(32, b"NXSB")),
    ("refs", |image| image.write(3, b"ReFS\0\0\0\0")),
    ("vmfs", |image| image.write(MIB, &[0x0d, 0xd0, 0x01, 0xc0])),
    ("bluestore", |image| {
        image.write(0, b"bluestore block device\n")
    }),
    ("vdo", |image| image.write(0, b"dmvdo001")),
    ("integrity", |image| image.write(0, b"integrt\0\x01")),
];

fn put(block: &mut [u8], at: usize, bytes: &[u8]) {
    block[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Sum of 32-bit words, with what overflows added again, as both versions of md use it.
fn word_sum(bytes: &[u8]) -> u32 {
    let words = bytes.chunks_exact(4);
    let sum: u64 = words
        .map(|word| u64::from(u32::from_le_bytes(word.try_into().unwrap())))
        .sum();
    (sum as u32).wrapping_add((sum >> 32) as u32)
}

/// `struct mdp_superblock_1` (`linux/raid/md_p.h`) of a RAID1 with two members, in sector `at`.
fn md(at: u64) -> Vec<u8> {
    let mut block = vec![0; 512];
    let sectors = SIZE / 512;
    let (start, size) = if at < 16 {
        (2048_u64, sectors - 2048)
    } else {
        (0, at - 8)
    };
    put(&mut block, 0, &0xa92b_4efc_u32.to_le_bytes());
    put(&mut block, 4, &1_u32.to_le_bytes());
    put(&mut block, 16, &[0x5a; 16]);
    put(&mut block, 32, b"lab:0");
    put(&mut block, 64, &1_700_000_000_u64.to_le_bytes());
    put(&mut block, 72, &1_u32.to_le_bytes());
    put(&mut block, 80, &size.to_le_bytes());
    put(&mut block, 92, &2_u32.to_le_bytes());
    put(&mut block, 128, &start.to_le_bytes());
    put(&mut block, 136, &size.to_le_bytes());
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
    let sum = word_sum(&block);
    put(&mut block, 216, &sum.to_le_bytes());
    block
}

/// `mdp_super_t`: 1024 words.
fn md_old() -> Vec<u8> {
    let mut block = vec![0; 4096];
    let fields: [(usize, u32); 17] = [
        (0, 0xa92b_4efc),
        (2, 90),
        (5, 0x1234_5678),
        (6, 1_700_000_000),
        (7, 1),
        (8, 32_768),
        (9, 2),
        (10, 2),
        (13, 0x2345_6789),
        (14, 0x3456_789a),
        (15, 0x4567_89ab),
        (32, 1_700_000_000),
        (33, 1),
        (34, 2),
        (35, 2),
        (39, 7),
        (38, 0),
    ];
    for (word, value) in fields {
        put(&mut block, word * 4, &value.to_le_bytes());
    }
    let sum = word_sum(&block);
    put(&mut block, 38 * 4, &sum.to_le_bytes());
    block
}

/// The label of an LVM2 physical volume, with its checksum.
fn lvm(image: &Image) {
    let mut block = vec![0; 512];
    put(&mut block, 0, b"LABELONE");
    put(&mut block, 8, &1_u64.to_le_bytes());
    put(&mut block, 20, &32_u32.to_le_bytes());
    put(&mut block, 24, b"LVM2 001");
    put(&mut block, 32, b"abcdefABCDEFghijGHIJklmnKLMNopqr");
    put(&mut block, 64, &SIZE.to_le_bytes());
    put(&mut block, 72, &MIB.to_le_bytes());
    // CRC-32 with LVM's own start value, over everything behind it.
    let mut sum = 0xf597_a6cf_u32;
    for &byte in &block[20..] {
        sum ^= u32::from(byte);
        for _ in 0..8 {
            let carry = if sum & 1 == 1 { 0xedb8_8320 } else { 0 };
            sum = sum >> 1 ^ carry;
        }
    }
    put(&mut block, 16, &sum.to_le_bytes());
    image.write(512, &block);
}

/// The rings of uberblocks in the four labels of a pool.
fn zfs(image: &Image) {
    const LABEL: u64 = 256 << 10;
    for label in [0, LABEL, SIZE - 2 * LABEL, SIZE - LABEL] {
        let mut ring = vec![0; 128 << 10];
        for (nth, block) in (100_u64..).zip(ring.chunks_exact_mut(1024)) {
            put(block, 0, &0x00ba_b10c_u64.to_le_bytes());
            put(block, 8, &5000_u64.to_le_bytes());
            put(block, 16, &nth.to_le_bytes());
            put(block, 24, &0x7777_u64.to_le_bytes());
        }
        image.write(label + (128 << 10), &ring);
    }
}

const BITLOCKER: [u8; 16] = [
    0x3b, 0xd6, 0x67, 0x49, 0x29, 0x2e, 0xd8, 0x4a, 0x83, 0x99, 0xf6, 0xa3, 0x39, 0xe3, 0xd0, 0x01,
];

/// The volume header since Windows 7.
fn bitlocker() -> Vec<u8> {
    let mut block = vec![0; 512];
    put(&mut block, 0, b"\xeb\x58\x90-FVE-FS-");
    put(&mut block, 11, &[0, 2, 8]);
    block[21] = 0xf8;
    put(&mut block, 82, b"FAT32   ");
    put(&mut block, 160, &BITLOCKER);
    put(&mut block, 510, &[0x55, 0xaa]);
    block
}

/// The header of a stick: a FAT32 for computers that do not know BitLocker.
fn bitlocker_to_go() -> Vec<u8> {
    let mut block = vec![0; 512];
    put(&mut block, 0, b"\xeb\x58\x90MSWIN4.1");
    put(&mut block, 11, &[0, 2, 8, 0x20, 0, 2]);
    block[21] = 0xf8;
    put(&mut block, 32, &90_000_u32.to_le_bytes());
    put(&mut block, 36, &700_u32.to_le_bytes());
    put(&mut block, 82, b"FAT32   ");
    put(&mut block, 424, &BITLOCKER);
    put(&mut block, 510, &[0x55, 0xaa]);
    block
}
