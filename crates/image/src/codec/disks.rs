//! Contents of the section of disks.

use foghorn_types::ByteCount;

use super::{DecodeManifestError, put_sector_size, sections, take_sector_size};
use crate::cursor::{Cursor, put_varint};
use crate::disks::{ImageDisk, MAX_DISKS};

/// Size, sector size, length and kind of the table, length and one byte of the name.
const LEAST_DISK: usize = 6;

pub(super) fn encode_disks(disks: &[ImageDisk]) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint(&mut out, disks.len() as u64);
    for disk in disks {
        put_varint(&mut out, disk.size.bytes());
        put_sector_size(&mut out, disk.sector_size);
        for part in [&*sections::encode_table(&disk.table), disk.name.as_bytes()] {
            put_varint(&mut out, part.len() as u64);
            out.extend_from_slice(part);
        }
    }
    out
}

pub(super) fn decode_disks(mut from: Cursor<'_>) -> Result<Vec<ImageDisk>, DecodeManifestError> {
    let count = from.count(LEAST_DISK)?;
    if count > MAX_DISKS {
        return Err(from.malformed("are too many"));
    }
    let mut disks = Vec::with_capacity(count);
    for _ in 0..count {
        let size = ByteCount::from_bytes(from.varint()?);
        let sector_size = take_sector_size(&mut from)?;
        let len = from.number()?;
        let table = sections::decode_table(Cursor::new(from.bytes(len)?, "table of a disk"))?;
        let len = from.number()?;
        let name = std::str::from_utf8(from.bytes(len)?)
            .map_err(|_| from.malformed("have a name that is not UTF-8"))?;
        disks.push(ImageDisk {
            size,
            sector_size,
            table,
            name: name.into(),
        });
    }
    from.finish()?;
    Ok(disks)
}
