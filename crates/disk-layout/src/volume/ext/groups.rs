//! Group descriptors: where the metadata of each group is.

use super::checksum::{crc16, crc32c};
use super::superblock::Superblock;
use super::{NAME, ReadVolumeError};
use crate::volume::field::{Source, u16_at, u32_at};

const INODE_UNINIT: u16 = 1;
const BLOCK_UNINIT: u16 = 2;
const CHECKSUM_AT: usize = 30;

pub(super) struct Group {
    pub(super) number: u64,
    pub(super) block_bitmap: u64,
    inode_bitmap: u64,
    inode_table: u64,
    /// Inodes at the start of the table that were ever used.
    pub(super) inodes: u64,
    /// Its block bitmap was never written: only metadata is in use.
    pub(super) uninitialised: bool,
    pub(super) bitmap_checksum: Option<BitmapChecksum>,
}

/// A checksum of which short descriptors keep only the lower half.
#[derive(Clone, Copy)]
pub(super) struct BitmapChecksum {
    pub(super) value: u32,
    pub(super) mask: u32,
}

impl Group {
    /// Byte of the partition where the inode at this place in the table starts.
    pub(super) fn inode(&self, sb: &Superblock, place: u64) -> u64 {
        self.inode_table
            .saturating_mul(sb.block_size)
            .saturating_add(place * sb.inodes.size)
    }

    /// First block and number of blocks of each piece of metadata, wherever it is.
    pub(super) fn metadata(&self, sb: &Superblock) -> [(u64, u64); 3] {
        [
            (self.block_bitmap, 1),
            (self.inode_bitmap, 1),
            (self.inode_table, sb.inode_table_blocks),
        ]
    }
}

/// Reads descriptors in order, a block of them at a time.
pub(super) struct GroupReader<'a> {
    source: Source<'a>,
    sb: &'a Superblock,
    block: Vec<u8>,
    /// Which block of descriptors `block` is.
    index: Option<u64>,
}

impl<'a> GroupReader<'a> {
    pub(super) fn new(source: Source<'a>, sb: &'a Superblock) -> Self {
        Self {
            source,
            sb,
            block: Vec::new(),
            index: None,
        }
    }

    pub(super) fn read(&mut self, number: u64) -> Result<Group, ReadVolumeError> {
        let sb = self.sb;
        let index = number / sb.descriptors_per_block();
        if self.index != Some(index) {
            let offset = sb.descriptor_block(index).saturating_mul(sb.block_size);
            self.block =
                self.source
                    .bytes(offset, sb.block_size, "a block of group descriptors")?;
            self.index = Some(index);
        }
        let at = (number % sb.descriptors_per_block()) as usize * sb.descriptor_size;
        let raw = &self.block[at..at + sb.descriptor_size];
        if !checksum_matches(sb, number, raw) {
            let what = format!("the checksum of the descriptor of group {number} does not match");
            return Err(ReadVolumeError::damaged(NAME, what));
        }
        Ok(parse(sb, number, raw))
    }
}

fn parse(sb: &Superblock, number: u64, raw: &[u8]) -> Group {
    let long = raw.len() >= 64;
    let block = |low, high| {
        u64::from(u32_at(raw, low))
            | if long {
                u64::from(u32_at(raw, high)) << 32
            } else {
                0
            }
    };
    let checksum = if long {
        BitmapChecksum {
            value: u32::from(u16_at(raw, 24)) | u32::from(u16_at(raw, 56)) << 16,
            mask: !0,
        }
    } else {
        BitmapChecksum {
            value: u32::from(u16_at(raw, 24)),
            mask: 0xffff,
        }
    };
    let unused = u64::from(u16_at(raw, 28))
        | if long {
            u64::from(u16_at(raw, 50)) << 16
        } else {
            0
        };
    let flags = u16_at(raw, 18);
    let inodes = match (sb.has_uninitialised, flags & INODE_UNINIT != 0) {
        (false, _) => sb.inodes.per_group,
        (true, true) => 0,
        (true, false) => sb.inodes.per_group.saturating_sub(unused),
    };
    Group {
        number,
        block_bitmap: block(0, 32),
        inode_bitmap: block(4, 36),
        inode_table: block(8, 40),
        inodes,
        uninitialised: sb.has_uninitialised && flags & BLOCK_UNINIT != 0,
        bitmap_checksum: sb.checksum_seed.map(|_| checksum),
    }
}

fn checksum_matches(sb: &Superblock, number: u64, raw: &[u8]) -> bool {
    if !sb.has_uninitialised {
        return true;
    }
    let number = (number as u32).to_le_bytes();
    let (before, after) = (&raw[..CHECKSUM_AT], &raw[CHECKSUM_AT + 2..]);
    let found = match sb.checksum_seed {
        // Here the field itself counts as zero; in the older sum it is left out.
        Some(seed) => [&number[..], before, &[0, 0], after]
            .iter()
            .fold(seed, |sum, part| crc32c(sum, part)) as u16,
        None => crc16(&[&sb.uuid, &number, before, after]),
    };
    found == u16_at(raw, CHECKSUM_AT)
}
