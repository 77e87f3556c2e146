//! Contents of the section of parts.

use foghorn_types::PartId;

use super::DecodeManifestError;
use crate::cursor::{Cursor, put_varint};
use crate::part::{MAX_INLINE, MAX_PARTS, PartRef};

/// Entries, chunks, bytes, and the id.
const LEAST_PART: usize = 3 + 32;

pub(super) fn encode_parts(parts: &[PartRef]) -> Vec<u8> {
    let mut out = Vec::with_capacity(parts.len() * (LEAST_PART + 6) + 5);
    put_varint(&mut out, parts.len() as u64);
    for part in parts {
        put_varint(&mut out, u64::from(part.entries));
        put_varint(&mut out, u64::from(part.end.wrapping_sub(part.base)));
        put_varint(&mut out, u64::from(part.bytes));
        out.extend_from_slice(part.id.as_bytes());
    }
    out
}

pub(super) fn decode_parts(mut from: Cursor<'_>) -> Result<Vec<PartRef>, DecodeManifestError> {
    let count = from.count(LEAST_PART)?;
    if count > MAX_PARTS {
        return Err(from.malformed("are too many"));
    }
    let mut parts = Vec::with_capacity(count);
    let (mut base, mut bytes) = (0_u32, 0);
    for _ in 0..count {
        let entries = from.number()?;
        let end = base
            .checked_add(from.number()?)
            .ok_or(from.malformed("name chunks that no disk has"))?;
        let part = PartRef {
            entries,
            base,
            end,
            bytes: from.number()?,
            id: PartId::from_digest(from.array()?),
        };
        if !part.is_possible() {
            return Err(from.malformed("have impossible numbers"));
        }
        (base, bytes) = (end, bytes + u64::from(part.bytes));
        parts.push(part);
    }
    from.finish()?;
    if bytes <= MAX_INLINE {
        return Err(from.malformed("are so small that the manifest has to have the chunks itself"));
    }
    Ok(parts)
}
