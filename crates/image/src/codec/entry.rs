//! The encoding of one chunk entry. Entries follow one another in the order of the disk, so each is
//! encoded in relation to the one before it.

use foghorn_types::{ChunkId, ChunkIndex};

use super::DecodeManifestError;
use crate::cursor::{Cursor, put_varint};
use crate::manifest::{ChunkContent, ChunkEntry};
use crate::mask::{MAX_RANGES, SectorRange, UsedMask};

const HAS_DATA: u64 = 1;
const HAS_RANGES: u64 = 2;
const FLAG_BITS: u32 = 2;

/// Most bytes of one entry: the head, the number of ranges, two bytes for every second unit of
/// 512 bytes, and the id.
pub(crate) const MAX_ENTRY: u64 = 5 + 2 + 2 * MAX_RANGES as u64 + 1 + 32;

/// Appends an entry. `expected` is the index behind the entry before it, 0 for the first; the index
/// must not be smaller.
pub(crate) fn put_entry(out: &mut Vec<u8>, expected: u64, entry: &ChunkEntry) {
    let data = match entry.content {
        ChunkContent::Data(_) => HAS_DATA,
        ChunkContent::Zero => 0,
    };
    let ranges = match entry.used {
        UsedMask::Ranges(_) => HAS_RANGES,
        UsedMask::Whole => 0,
    };
    let gap = u64::from(entry.index.get()).wrapping_sub(expected);
    put_varint(out, (gap << FLAG_BITS) | data | ranges);
    if let UsedMask::Ranges(ranges) = &entry.used {
        put_ranges(out, ranges);
    }
    if let ChunkContent::Data(id) = &entry.content {
        out.extend_from_slice(id.as_bytes());
    }
}

fn put_ranges(out: &mut Vec<u8>, ranges: &[SectorRange]) {
    put_varint(out, ranges.len() as u64);
    let mut at = 0_u64;
    for range in ranges {
        // Ranges out of order give a gap or a length that no decoder takes.
        put_varint(out, u64::from(range.start).wrapping_sub(at));
        put_varint(
            out,
            u64::from(range.end).wrapping_sub(u64::from(range.start)),
        );
        at = u64::from(range.end);
    }
}

/// Reads the next entry. Takes memory only for the ranges of this one chunk.
pub(crate) fn take_entry(
    from: &mut Cursor<'_>,
    expected: u64,
) -> Result<ChunkEntry, DecodeManifestError> {
    let head = from.varint()?;
    let index = expected
        .checked_add(head >> FLAG_BITS)
        .and_then(|index| u32::try_from(index).ok());
    let index = index.ok_or(from.malformed("name a chunk that no disk has"))?;
    let used = if head & HAS_RANGES != 0 {
        take_ranges(from)?
    } else {
        UsedMask::Whole
    };
    let content = if head & HAS_DATA != 0 {
        ChunkContent::Data(ChunkId::from_digest(from.array()?))
    } else {
        ChunkContent::Zero
    };
    Ok(ChunkEntry {
        index: ChunkIndex::new(index),
        used,
        content,
    })
}

fn take_ranges(from: &mut Cursor<'_>) -> Result<UsedMask, DecodeManifestError> {
    let count = from.count(2)?;
    if count > MAX_RANGES {
        return Err(from.malformed("have more ranges than a chunk has room for"));
    }
    let mut ranges = Vec::with_capacity(count);
    let mut at = 0_u16;
    for _ in 0..count {
        let (gap, len): (u16, u16) = (from.number()?, from.number()?);
        let start = at
            .checked_add(gap)
            .ok_or(from.malformed("have a range beyond the chunk"))?;
        let end = start
            .checked_add(len)
            .ok_or(from.malformed("have a range beyond the chunk"))?;
        ranges.push(SectorRange { start, end });
        at = end;
    }
    Ok(UsedMask::Ranges(ranges))
}
