//! Used blocks of ext2, ext3 and ext4: the block bitmaps of all groups, found through the group
//! descriptors.
//!
//! Bitmaps that the file system never wrote (`BLOCK_UNINIT`) are computed: in such a group only
//! metadata is in use. The places of all metadata are known anyway, and are taken as used whatever
//! the bitmaps say. Blocks on the list of bad blocks are not in use, although the bitmaps say so.

mod bad;
mod checksum;
mod groups;
mod inode;
mod owners;
mod superblock;

use foghorn_image::{ByteRange, ByteRanges, UnorderedRanges};

use super::bitmap::runs_of_ones;
use super::field::Source;
use super::{Account, ReadVolumeError};
pub(super) use owners::owners;

use groups::{Group, GroupReader};
use superblock::Superblock;

pub(super) const NAME: &str = "ext2/3/4";

/// `start`: the first 2048 bytes of the partition.
pub(super) fn looks_like_ext(start: &[u8]) -> bool {
    superblock::has_magic(&start[1024..2048])
}

/// While a journal waits to be replayed the bitmaps are older than the files: blocks that the
/// journal gives to files are free in them.
pub(super) fn account(source: &Source<'_>, start: &[u8]) -> Result<Account, ReadVolumeError> {
    let source = source.of(NAME);
    let raw = start[1024..2048].try_into().expect("1024 bytes");
    let Some(sb) = Superblock::parse(raw, source.size)? else {
        return Ok(Account::Unknown(
            "it has features that may change where its bitmaps are",
        ));
    };
    if let Some(why) = sb.dirty {
        return Ok(Account::Unclean(why));
    }
    used_ranges(&source, &sb).map(Account::Used)
}

/// The same without its blocks.
pub(super) fn why_unclean(
    source: &Source<'_>,
    start: &[u8],
) -> Result<Option<&'static str>, ReadVolumeError> {
    let raw = start[1024..2048].try_into().expect("1024 bytes");
    let sb = Superblock::parse(raw, source.size)?;
    Ok(sb.and_then(|sb| sb.dirty))
}

fn used_ranges(source: &Source<'_>, sb: &Superblock) -> Result<ByteRanges, ReadVolumeError> {
    // Groups come in order and so do runs in a bitmap, but not the metadata of groups.
    let mut blocks = UnorderedRanges::default();
    let mut use_blocks = |first: u64, end: u64| {
        blocks.add(ByteRange::new(
            first * sb.block_size,
            end.min(sb.blocks) * sb.block_size,
        ));
    };
    let mut reader = GroupReader::new(*source, sb);
    let start = sb.first_data_block + sb.base_metadata(0);
    let mut needed = vec![ByteRange::new(0, start * sb.block_size)];
    for number in 0..sb.groups {
        let group = reader.read(number)?;
        let first = sb.first_block_of(number);
        match bitmap(source, sb, &group)? {
            Some(bits) => runs_of_ones(&bits, sb.clusters_in(number), |run| {
                use_blocks(
                    first + run.start * sb.blocks_per_cluster,
                    first + run.end * sb.blocks_per_cluster,
                );
            }),
            None => use_blocks(first, first + sb.base_metadata(number)),
        }
        for (metadata, length) in group.metadata(sb) {
            source.check(
                metadata.saturating_mul(sb.block_size),
                length * sb.block_size,
                "metadata of a block group",
            )?;
            // By whole clusters, which is how the file system accounts for it.
            let from = sb.round_down_to_cluster(metadata);
            use_blocks(from, sb.round_up_to_cluster(metadata + length));
            needed.push(ByteRange::new(
                metadata * sb.block_size,
                (metadata + length) * sb.block_size,
            ));
        }
    }
    blocks.add(ByteRange::new(0, sb.first_data_block * sb.block_size));
    blocks.add(ByteRange::new(sb.blocks * sb.block_size, source.size));
    let used = blocks.finish();
    let bad = bad::blocks(source, sb)?;
    if bad.is_empty() {
        return Ok(used);
    }
    // No list can make metadata unneeded.
    Ok(used.without(&bad.without(&needed.into_iter().collect())))
}

/// The block bitmap of a group, or `None` when it was never written.
fn bitmap(
    source: &Source<'_>,
    sb: &Superblock,
    group: &Group,
) -> Result<Option<Vec<u8>>, ReadVolumeError> {
    if group.uninitialised {
        return Ok(None);
    }
    let offset = group.block_bitmap.saturating_mul(sb.block_size);
    let bits = source.bytes(offset, sb.block_size, "the block bitmap of a group")?;
    let covered = (sb.clusters_per_group / 8) as usize;
    if let (Some(seed), Some(expected)) = (sb.checksum_seed, group.bitmap_checksum) {
        let found = checksum::crc32c(seed, &bits[..covered]) & expected.mask;
        if found != expected.value {
            let what = format!(
                "the checksum of the block bitmap of group {} does not match",
                group.number
            );
            return Err(ReadVolumeError::damaged(NAME, what));
        }
    }
    Ok(Some(bits))
}
