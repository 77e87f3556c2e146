//! How chunks lie in a group: a table of segments, then their bytes back to back, then zeros up to
//! a whole symbol.

use bytes::Bytes;

use crate::chunks::SessionChunk;
use crate::cursor::{Cursor, Malformed};
use crate::rope::Rope;

/// Bytes of the table before its first segment.
pub(crate) const TABLE_HEAD: usize = 2;
/// Bytes of one segment in the table.
pub(crate) const TABLE_ENTRY: usize = 16;
/// Most bytes of a compressed chunk: 1 MiB of plain bytes that zstd could not make smaller, and
/// what it adds.
pub const MAX_CHUNK_BYTES: u32 = (1 << 20) + (1 << 13);

/// Part of a compressed chunk that lies in a group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Segment {
    pub(crate) chunk: SessionChunk,
    /// Compressed length of the whole chunk.
    pub(crate) total: u32,
    /// Where in the chunk the segment begins.
    pub(crate) offset: u32,
    pub(crate) length: u32,
}

/// A group being filled.
#[derive(Debug)]
pub(crate) struct Packer {
    capacity: usize,
    used: usize,
    parts: Vec<(Segment, Bytes)>,
}

impl Packer {
    /// `capacity`: bytes that a full group carries.
    pub(crate) const fn new(capacity: usize) -> Self {
        Self {
            capacity,
            used: TABLE_HEAD,
            parts: Vec::new(),
        }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// No further byte would fit.
    pub(crate) const fn is_full(&self) -> bool {
        self.used + TABLE_ENTRY >= self.capacity
    }

    /// Takes as much of the chunk from `offset` on as fits; returns how much that is.
    pub(crate) fn push(&mut self, chunk: SessionChunk, bytes: &Bytes, offset: usize) -> usize {
        let room = self.capacity.saturating_sub(self.used + TABLE_ENTRY);
        let length = room.min(bytes.len() - offset);
        if length > 0 {
            let segment = Segment {
                chunk,
                total: bytes.len() as u32,
                offset: offset as u32,
                length: length as u32,
            };
            self.parts
                .push((segment, bytes.slice(offset..offset + length)));
            self.used += TABLE_ENTRY + length;
        }
        length
    }

    /// The group's bytes, a whole number of symbols, and its first chunk. Leaves an empty group
    /// behind.
    pub(crate) fn finish(&mut self, symbol_size: usize) -> (Rope, SessionChunk) {
        let parts = std::mem::take(&mut self.parts);
        let mut table = Vec::with_capacity(TABLE_HEAD + parts.len() * TABLE_ENTRY);
        table.extend_from_slice(&(parts.len() as u16).to_le_bytes());
        for (segment, _) in &parts {
            for number in [
                segment.chunk.0,
                segment.total,
                segment.offset,
                segment.length,
            ] {
                table.extend_from_slice(&number.to_le_bytes());
            }
        }
        let first = parts
            .first()
            .map_or(SessionChunk(0), |(segment, _)| segment.chunk);
        let pieces = std::iter::once(table.into()).chain(parts.into_iter().map(|(_, bytes)| bytes));
        let rope = Rope::new(pieces, self.used.next_multiple_of(symbol_size));
        self.used = TABLE_HEAD;
        (rope, first)
    }
}

/// Reads the table at the start of a group of `group_size` bytes of which `bytes` are the first:
/// each segment and where its bytes begin. `Ok(None)` when more bytes are needed.
pub(crate) fn read_table(
    bytes: &[u8],
    group_size: usize,
    chunks: u32,
) -> Result<Option<Vec<(Segment, usize)>>, Malformed> {
    let mut cursor = Cursor::new(bytes, "table of a group");
    if bytes.len() < TABLE_HEAD {
        return Ok(None);
    }
    let count = usize::from(cursor.u16()?);
    let mut at = TABLE_HEAD + count * TABLE_ENTRY;
    if count == 0 || at > group_size {
        return Err(cursor.malformed("number of segments"));
    }
    if bytes.len() < at {
        return Ok(None);
    }
    let mut segments = Vec::with_capacity(count);
    for _ in 0..count {
        let segment = Segment {
            chunk: SessionChunk(cursor.u32()?),
            total: cursor.u32()?,
            offset: cursor.u32()?,
            length: cursor.u32()?,
        };
        let end = u64::from(segment.offset) + u64::from(segment.length);
        if segment.chunk.0 >= chunks
            || segment.total > MAX_CHUNK_BYTES
            || segment.length == 0
            || end > u64::from(segment.total)
        {
            return Err(cursor.malformed("a segment outside its chunk"));
        }
        segments.push((segment, at));
        at += segment.length as usize;
        if at > group_size {
            return Err(cursor.malformed("segments beyond the group's end"));
        }
    }
    Ok(Some(segments))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_come_out_as_they_went_in() {
        let chunks: Vec<Bytes> = [100, 5000, 1, 300]
            .map(|size| (0..size).map(|n| n as u8).collect())
            .into();
        let (mut packer, mut found) = (Packer::new(10 * 64), vec![Vec::new(); 4]);
        let mut unpack = |packer: &mut Packer| {
            let (rope, first) = packer.finish(64);
            let mut scratch = Vec::new();
            let bytes = rope.slice(0, rope.len(), &mut scratch);
            assert!(bytes.len() % 64 == 0 && bytes.len() <= 640);
            let table = read_table(bytes, bytes.len(), 4).unwrap().unwrap();
            assert_eq!(table[0].0.chunk, first);
            assert_eq!(read_table(&bytes[..TABLE_HEAD], bytes.len(), 4), Ok(None));
            for (segment, at) in table {
                let chunk: &mut Vec<u8> = &mut found[segment.chunk.0 as usize];
                assert_eq!(chunk.len(), segment.offset as usize);
                chunk.extend_from_slice(&bytes[at..at + segment.length as usize]);
            }
        };
        for (number, bytes) in chunks.iter().enumerate() {
            let mut offset = 0;
            while offset < bytes.len() {
                offset += packer.push(SessionChunk(number as u32), bytes, offset);
                if packer.is_full() {
                    unpack(&mut packer);
                }
            }
        }
        unpack(&mut packer);
        assert_eq!(found, chunks);
    }

    #[test]
    fn any_table_is_refused_or_within_the_group() {
        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..20_000 {
            let mut bytes = vec![0; random.usize(0..200)];
            bytes
                .iter_mut()
                .for_each(|byte| *byte = if random.bool() { 0 } else { random.u8(..) });
            if let Ok(Some(table)) = read_table(&bytes, bytes.len(), 70_000) {
                assert!(
                    table
                        .iter()
                        .all(|(segment, at)| at + segment.length as usize <= bytes.len())
                );
            }
        }
    }
}
