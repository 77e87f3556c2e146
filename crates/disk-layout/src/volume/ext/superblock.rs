//! The superblock: sizes, features, and where things are by arithmetic alone.

use super::checksum::crc32c;
use super::{NAME, ReadVolumeError};
use crate::volume::field::{u16_at, u32_at};

const STATE_CLEAN: u16 = 1;
const STATE_ERRORS: u16 = 2;

const INCOMPAT_RECOVER: u32 = 0x4;
const INCOMPAT_META_BG: u32 = 0x10;
const INCOMPAT_64BIT: u32 = 0x80;
const INCOMPAT_CSUM_SEED: u32 = 0x2000;
/// Features of which it is known that they do not change where bitmaps are or what they mean: file
/// types, recovery, meta_bg, extents, 64 bit, MMP, flex_bg, inodes for attributes, data in
/// directories, checksum seed, large directories, inline data, encryption, case folding. Not among
/// them: compression, external journals.
const INCOMPAT_KNOWN: u32 = 0x2
    | 0x4
    | 0x10
    | 0x40
    | 0x80
    | 0x100
    | 0x200
    | 0x400
    | 0x1000
    | 0x2000
    | 0x4000
    | 0x8000
    | 0x1_0000
    | 0x2_0000;

const RO_SPARSE_SUPER: u32 = 0x1;
const RO_GDT_CSUM: u32 = 0x10;
const RO_BIGALLOC: u32 = 0x200;
const RO_METADATA_CSUM: u32 = 0x400;
const RO_ORPHAN_PRESENT: u32 = 0x1_0000;
const COMPAT_SPARSE_SUPER2: u32 = 0x200;

/// Inodes are numbered from 1.
#[derive(Debug)]
pub(super) struct Inodes {
    pub(super) per_group: u64,
    /// Bytes of one; at least 128.
    pub(super) size: u64,
}

#[derive(Debug)]
pub(super) struct Superblock {
    pub(super) block_size: u64,
    pub(super) blocks: u64,
    pub(super) first_data_block: u64,
    pub(super) blocks_per_group: u64,
    pub(super) clusters_per_group: u64,
    pub(super) blocks_per_cluster: u64,
    pub(super) groups: u64,
    pub(super) inodes: Inodes,
    pub(super) inode_table_blocks: u64,
    pub(super) descriptor_size: usize,
    /// Whether descriptors say which bitmaps were never written.
    pub(super) has_uninitialised: bool,
    /// Seed of all checksums, with metadata_csum.
    pub(super) checksum_seed: Option<u32>,
    pub(super) uuid: [u8; 16],
    /// Why the file system is not clean.
    pub(super) dirty: Option<&'static str>,
    /// First group of descriptors that is kept apart, with meta_bg.
    first_meta_bg: Option<u64>,
    reserved_descriptor_blocks: u64,
    backups: Backups,
}

/// Which groups start with a copy of the superblock.
#[derive(Debug)]
enum Backups {
    All,
    /// 0, 1 and powers of 3, 5 and 7.
    Sparse,
    /// 0 and these two.
    Two([u64; 2]),
}

impl Backups {
    fn parse(raw: &[u8; 1024], compat: u32, ro_compat: u32) -> Self {
        if compat & COMPAT_SPARSE_SUPER2 != 0 {
            Self::Two([u64::from(u32_at(raw, 0x24c)), u64::from(u32_at(raw, 0x250))])
        } else if ro_compat & RO_SPARSE_SUPER != 0 {
            Self::Sparse
        } else {
            Self::All
        }
    }
}

pub(super) fn has_magic(raw: &[u8]) -> bool {
    u16_at(raw, 56) == 0xef53 && u32_at(raw, 24) <= 6
}

impl Superblock {
    /// `None`: it has features that this reader does not know. `size`: bytes of the partition.
    pub(super) fn parse(raw: &[u8; 1024], size: u64) -> Result<Option<Self>, ReadVolumeError> {
        let damaged = |what: &str| Err(ReadVolumeError::damaged(NAME, what));
        // Revision 0 had none of these fields.
        let dynamic = u32_at(raw, 76) >= 1;
        let feature = |at| if dynamic { u32_at(raw, at) } else { 0 };
        let (compat, incompat, ro_compat) = (feature(92), feature(96), feature(100));
        if incompat & !INCOMPAT_KNOWN != 0 {
            return Ok(None);
        }
        let metadata_csum = ro_compat & RO_METADATA_CSUM != 0;
        if metadata_csum && crc32c(!0, &raw[..1020]) != u32_at(raw, 1020) {
            return damaged("the checksum of the superblock does not match");
        }
        let block_size = 1024_u64 << u32_at(raw, 24).min(6);
        let is_64bit = incompat & INCOMPAT_64BIT != 0;
        let high = if is_64bit {
            u64::from(u32_at(raw, 0x150))
        } else {
            0
        };
        let blocks = u64::from(u32_at(raw, 4)) | high << 32;
        let first_data_block = u64::from(u32_at(raw, 20));
        let blocks_per_group = u64::from(u32_at(raw, 32));
        let (clusters_per_group, blocks_per_cluster) = if ro_compat & RO_BIGALLOC != 0 {
            (
                u64::from(u32_at(raw, 36)),
                1 << u32_at(raw, 28).saturating_sub(u32_at(raw, 24)).min(30),
            )
        } else {
            (blocks_per_group, 1)
        };
        let inodes = Inodes {
            per_group: u64::from(u32_at(raw, 40)),
            size: if dynamic {
                u64::from(u16_at(raw, 88))
            } else {
                128
            },
        };
        let superblock = Self {
            block_size,
            blocks,
            first_data_block,
            blocks_per_group,
            clusters_per_group,
            blocks_per_cluster,
            groups: blocks
                .saturating_sub(first_data_block)
                .div_ceil(blocks_per_group.max(1)),
            inode_table_blocks: (inodes.per_group * inodes.size).div_ceil(block_size),
            inodes,
            descriptor_size: if is_64bit {
                usize::from(u16_at(raw, 254))
            } else {
                32
            },
            has_uninitialised: ro_compat & (RO_GDT_CSUM | RO_METADATA_CSUM) != 0,
            checksum_seed: metadata_csum.then(|| checksum_seed(raw, incompat)),
            uuid: raw[104..120].try_into().expect("sixteen bytes"),
            dirty: dirty(u16_at(raw, 58), incompat, ro_compat),
            first_meta_bg: (incompat & INCOMPAT_META_BG != 0)
                .then(|| u64::from(u32_at(raw, 0x104))),
            reserved_descriptor_blocks: u64::from(u16_at(raw, 206)),
            backups: Backups::parse(raw, compat, ro_compat),
        };
        superblock.check(size).map_or(Ok(Some(superblock)), damaged)
    }

    /// What about the sizes cannot be. After this, arithmetic with them neither overflows nor
    /// divides by zero.
    fn check(&self, size: u64) -> Option<&'static str> {
        let inodes = &self.inodes;
        let descriptors = self.descriptor_size == 32 || (64..=1024).contains(&self.descriptor_size);
        let bitmap_bits = self.block_size * 8;
        if self
            .blocks
            .checked_mul(self.block_size)
            .is_none_or(|bytes| bytes > size)
        {
            Some("it says that it is larger than its partition")
        } else if self.first_data_block > 1 || self.first_data_block >= self.blocks {
            Some("its first data block is none")
        } else if self.clusters_per_group == 0
            || !self.clusters_per_group.is_multiple_of(8)
            || self.clusters_per_group > bitmap_bits
            || self.clusters_per_group.checked_mul(self.blocks_per_cluster)
                != Some(self.blocks_per_group)
        {
            Some("the size of its block groups is not valid")
        } else if !inodes.size.is_power_of_two()
            || !(128..=self.block_size).contains(&inodes.size)
            || inodes.per_group > bitmap_bits
        {
            Some("the size of its inodes is not valid")
        } else if !descriptors || !self.descriptor_size.is_power_of_two() {
            Some("the size of its group descriptors is not valid")
        } else {
            None
        }
    }

    pub(super) fn first_block_of(&self, group: u64) -> u64 {
        self.first_data_block + group * self.blocks_per_group
    }

    /// Clusters of a group that exist: the last group may be short.
    pub(super) fn clusters_in(&self, group: u64) -> u64 {
        let blocks = (self.blocks - self.first_block_of(group)).min(self.blocks_per_group);
        blocks.div_ceil(self.blocks_per_cluster)
    }

    pub(super) fn round_down_to_cluster(&self, block: u64) -> u64 {
        self.first_data_block
            + block.saturating_sub(self.first_data_block) / self.blocks_per_cluster
                * self.blocks_per_cluster
    }

    pub(super) fn round_up_to_cluster(&self, block: u64) -> u64 {
        self.round_down_to_cluster(block + self.blocks_per_cluster - 1)
    }

    pub(super) fn descriptors_per_block(&self) -> u64 {
        self.block_size / self.descriptor_size as u64
    }

    /// The block that holds the descriptors `index * descriptors_per_block()` and on.
    pub(super) fn descriptor_block(&self, index: u64) -> u64 {
        // The superblock itself is in block 1 when blocks have 1 KiB, also where (with bigalloc)
        // block 0 counts as data.
        let superblock = 1024 / self.block_size;
        if self.first_meta_bg.is_none_or(|first| index < first) {
            return superblock + 1 + index;
        }
        let group = index * self.descriptors_per_block();
        let behind_block_0 = self.block_size == 1024 && index == 0 && self.first_data_block == 0;
        self.first_block_of(group)
            + u64::from(self.has_superblock(group))
            + u64::from(behind_block_0)
    }

    fn has_superblock(&self, group: u64) -> bool {
        match self.backups {
            _ if group == 0 => true,
            Backups::All => true,
            Backups::Two(groups) => groups.contains(&group),
            Backups::Sparse => {
                group == 1 || [3, 5, 7].into_iter().any(|base| is_power_of(base, group))
            }
        }
    }

    /// Blocks at the start of a group that its copy of superblock and descriptors takes, by whole
    /// clusters.
    pub(super) fn base_metadata(&self, group: u64) -> u64 {
        let superblock = u64::from(self.has_superblock(group));
        let per_block = self.descriptors_per_block();
        let blocks = match self.first_meta_bg {
            Some(first) if group >= first * per_block => {
                let place = group % per_block;
                superblock + u64::from(place == 0 || place == 1 || place == per_block - 1)
            }
            _ if superblock == 0 => 0,
            Some(first) => 1 + first + self.reserved_descriptor_blocks,
            None => 1 + self.groups.div_ceil(per_block) + self.reserved_descriptor_blocks,
        };
        blocks.next_multiple_of(self.blocks_per_cluster)
    }
}

fn checksum_seed(raw: &[u8; 1024], incompat: u32) -> u32 {
    if incompat & INCOMPAT_CSUM_SEED != 0 {
        u32_at(raw, 0x270)
    } else {
        crc32c(!0, &raw[104..120])
    }
}

fn dirty(state: u16, incompat: u32, ro_compat: u32) -> Option<&'static str> {
    if incompat & INCOMPAT_RECOVER != 0 {
        Some("its journal needs to be replayed")
    } else if state & STATE_ERRORS != 0 {
        Some("errors were found in it and not repaired")
    } else if state & STATE_CLEAN == 0 {
        Some("it is not marked clean")
    } else if ro_compat & RO_ORPHAN_PRESENT != 0 {
        Some("it has deleted files that are still to be cleared")
    } else {
        None
    }
}

fn is_power_of(base: u64, number: u64) -> bool {
    let mut power = base;
    while power < number {
        power *= base;
    }
    power == number
}
