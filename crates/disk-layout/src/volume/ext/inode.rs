//! Inodes, and which blocks they have: by extents, or by the older lists of blocks.

use std::ops::Range;

use super::superblock::Superblock;
use super::{NAME, ReadVolumeError};
use crate::volume::field::{Source, u16_at, u32_at};

const TYPE: u16 = 0xf000;
const DIRECTORY: u16 = 0x4000;
const REGULAR: u16 = 0x8000;
const LINK: u16 = 0xa000;
const HAS_EXTENTS: u32 = 0x8_0000;
const HAS_INLINE_DATA: u32 = 0x1000_0000;
/// The 15 places in an inode where its blocks are listed.
const BLOCKS_AT: usize = 40;
const BLOCKS_LEN: usize = 60;
const EXTENT_MAGIC: u16 = 0xf30a;
/// Longest extent with data; longer ones stand for blocks that were never written.
const MOST_WRITTEN: u16 = 1 << 15;
/// Deepest tree that the kernel makes.
const DEEPEST: u16 = 5;

/// What a run of blocks holds for its inode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Holds {
    /// Contents.
    Data,
    /// Where the contents are.
    Map,
    /// Extended attributes, which inodes may share.
    Attributes,
}

pub(super) struct Inode<'a>(pub(super) &'a [u8]);

impl Inode<'_> {
    pub(super) fn is_in_use(&self) -> bool {
        u16_at(self.0, 26) > 0 && self.kind() != 0
    }

    fn kind(&self) -> u16 {
        u16_at(self.0, 0) & TYPE
    }

    pub(super) fn is_directory(&self) -> bool {
        self.kind() == DIRECTORY
    }

    fn flags(&self) -> u32 {
        u32_at(self.0, 32)
    }

    /// Whether its list of blocks is one, and not its contents or a device number.
    fn has_blocks(&self) -> bool {
        let kind = self.kind();
        // Short links are kept in place of the list; those with blocks have room for 60 bytes.
        let fits = kind == LINK && u32_at(self.0, 4) < BLOCKS_LEN as u32;
        self.flags() & HAS_INLINE_DATA == 0
            && (matches!(kind, DIRECTORY | REGULAR) || kind == LINK && !fits)
    }
}

/// Follows the lists of blocks of inodes, as far as its budget goes.
pub(super) struct BlockWalk<'a> {
    source: Source<'a>,
    sb: &'a Superblock,
    /// Blocks that may still be read.
    budget: u64,
}

impl<'a> BlockWalk<'a> {
    pub(super) fn new(source: Source<'a>, sb: &'a Superblock, budget: u64) -> Self {
        Self { source, sb, budget }
    }

    pub(super) fn is_exhausted(&self) -> bool {
        self.budget == 0
    }

    /// Gives every run of blocks of the inode. `inode` is as on the disk.
    pub(super) fn runs(
        &mut self,
        inode: &Inode<'_>,
        found: &mut dyn FnMut(Holds, Range<u64>),
    ) -> Result<(), ReadVolumeError> {
        let attributes = u64::from(u32_at(inode.0, 104)) | u64::from(u16_at(inode.0, 118)) << 32;
        if attributes != 0 {
            found(Holds::Attributes, attributes..attributes + 1);
        }
        if inode.has_blocks() {
            self.listed(inode, found)?;
        }
        Ok(())
    }

    /// The same for an inode of which it is known that it has a list of blocks.
    pub(super) fn listed(
        &mut self,
        inode: &Inode<'_>,
        found: &mut dyn FnMut(Holds, Range<u64>),
    ) -> Result<(), ReadVolumeError> {
        let list = &inode.0[BLOCKS_AT..BLOCKS_AT + BLOCKS_LEN];
        if inode.flags() & HAS_EXTENTS != 0 {
            return self.extents(list, DEEPEST, found);
        }
        for (place, number) in list.chunks_exact(4).enumerate() {
            let block = u64::from(u32_at(number, 0));
            self.old_list(block, place.saturating_sub(11) as u32, found)?;
        }
        Ok(())
    }

    /// `depth`: how many lists are between this block and the data.
    fn old_list(
        &mut self,
        block: u64,
        depth: u32,
        found: &mut dyn FnMut(Holds, Range<u64>),
    ) -> Result<(), ReadVolumeError> {
        if block == 0 {
            return Ok(());
        }
        if depth == 0 {
            found(Holds::Data, block..block + 1);
            return Ok(());
        }
        found(Holds::Map, block..block + 1);
        let list = self.block(block)?;
        for number in list.chunks_exact(4) {
            self.old_list(u64::from(u32_at(number, 0)), depth - 1, found)?;
        }
        Ok(())
    }

    fn extents(
        &mut self,
        node: &[u8],
        deepest: u16,
        found: &mut dyn FnMut(Holds, Range<u64>),
    ) -> Result<(), ReadVolumeError> {
        let damaged = || ReadVolumeError::damaged(NAME, "an extent tree is not valid");
        let (count, depth) = (usize::from(u16_at(node, 2)), u16_at(node, 6));
        let entries = node.get(12..12 + 12 * count).ok_or_else(damaged)?;
        if u16_at(node, 0) != EXTENT_MAGIC || depth > deepest {
            return Err(damaged());
        }
        for entry in entries.chunks_exact(12) {
            if depth == 0 {
                let first = u64::from(u32_at(entry, 8)) | u64::from(u16_at(entry, 6)) << 32;
                let length = u16_at(entry, 4);
                let length = if length > MOST_WRITTEN {
                    length - MOST_WRITTEN
                } else {
                    length
                };
                found(Holds::Data, first..first + u64::from(length));
            } else {
                let child = u64::from(u32_at(entry, 4)) | u64::from(u16_at(entry, 8)) << 32;
                found(Holds::Map, child..child + 1);
                let child = self.block(child)?;
                self.extents(&child, depth - 1, found)?;
            }
        }
        Ok(())
    }

    pub(super) fn block(&mut self, block: u64) -> Result<Vec<u8>, ReadVolumeError> {
        self.budget = self.budget.checked_sub(1).ok_or_else(|| {
            ReadVolumeError::damaged(NAME, "it has more blocks of metadata than are looked at")
        })?;
        self.source.bytes(
            block.saturating_mul(self.sb.block_size),
            self.sb.block_size,
            "a list of blocks",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_with_contents_elsewhere_have_blocks() {
        let inode = |mode: u16, size: u32, flags: u32| {
            let mut raw = [0; 128];
            raw[..2].copy_from_slice(&mode.to_le_bytes());
            raw[4..8].copy_from_slice(&size.to_le_bytes());
            raw[32..36].copy_from_slice(&flags.to_le_bytes());
            Inode(&raw).has_blocks()
        };
        assert!(inode(0x81a4, 0, 0) && inode(0x41ed, 0, HAS_EXTENTS));
        assert!(inode(0xa1ff, 60, 0) && !inode(0xa1ff, 59, 0));
        assert!(!inode(0x81a4, 0, HAS_INLINE_DATA));
        // A device, a pipe, a socket.
        assert!(!inode(0x61b0, 0, 0) && !inode(0x1180, 0, 0) && !inode(0xc1ed, 0, 0));
    }
}
