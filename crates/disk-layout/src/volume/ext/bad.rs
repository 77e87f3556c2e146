//! The list of bad blocks, which is kept as if they were the blocks of inode 1.

use foghorn_image::{ByteRange, ByteRanges};

use super::groups::GroupReader;
use super::inode::{BlockWalk, Holds, Inode};
use super::superblock::Superblock;
use super::{ReadVolumeError, Source};

const LIST: u64 = 1;
/// Most blocks with numbers of bad blocks that are read: with blocks of 1 KiB, a million bad ones.
const MOST_BLOCKS: u64 = 4096;

/// Bytes of the partition that are on the list. A list that is not valid counts as empty: then
/// everything that the bitmaps call used is taken.
pub(super) fn blocks(source: &Source<'_>, sb: &Superblock) -> Result<ByteRanges, ReadVolumeError> {
    let group = GroupReader::new(*source, sb).read(0)?;
    let raw = source.bytes(
        group.inode(sb, LIST - 1),
        sb.inodes.size,
        "the list of bad blocks",
    )?;
    let mut list: Vec<ByteRange> = Vec::new();
    let mut is_valid = true;
    let mut walk = BlockWalk::new(*source, sb, MOST_BLOCKS);
    let walked = walk.listed(&Inode(&raw), &mut |holds, run| {
        is_valid &= run.end <= sb.blocks;
        if holds == Holds::Data && is_valid {
            list.push(ByteRange::new(
                run.start * sb.block_size,
                run.end * sb.block_size,
            ));
        }
    });
    match walked {
        Err(error) if error.is_unreadable() => Err(error),
        Ok(()) if is_valid => Ok(list.into_iter().collect()),
        _ => Ok(ByteRanges::new()),
    }
}
