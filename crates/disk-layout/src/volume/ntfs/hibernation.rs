//! Whether Windows sleeps on the volume.
//!
//! A hibernated Windows (and one shut down with fast startup) continues with what it remembers of
//! the volume and would destroy a restored one. Its memory is in `hiberfil.sys` in the root
//! directory, which begins with `hibr` while it counts.

use super::record::{apply_fixups, kind};
use super::{Ntfs, PIECE, ReadVolumeError};
use crate::volume::field::{u16_at, u32_at, u64_at};

const ROOT_DIRECTORY: u64 = 5;
const FILE: &str = "hiberfil.sys";
const ENTRY_IS_LAST: u16 = 2;
/// Bytes of a record number; the rest counts how often the record was used.
const RECORD_BITS: u64 = (1 << 48) - 1;

/// A root directory so large and scattered that one record cannot describe it is not searched.
pub(super) fn is_hibernated(ntfs: &Ntfs<'_>) -> Result<bool, ReadVolumeError> {
    let Some(record) = find(ntfs)? else {
        return Ok(false);
    };
    let file = ntfs.record(record)?;
    let start = match file.stream_start(kind::DATA, &ntfs.boot)? {
        Some(stream) => stream.read(&ntfs.source, 0, 4, "the hibernation file")?,
        None => return Ok(false),
    };
    Ok(start.eq_ignore_ascii_case(b"hibr"))
}

/// The record of the hibernation file. Every block of the index is searched, in the order they are
/// stored in.
fn find(ntfs: &Ntfs<'_>) -> Result<Option<u64>, ReadVolumeError> {
    let root = ntfs.record(ROOT_DIRECTORY)?;
    if let Some(value) = root.resident(kind::INDEX_ROOT)?
        && let Some(record) = value.get(16..).and_then(search)
    {
        return Ok(Some(record));
    }
    let Some(index) = root.stream_start(kind::INDEX_ALLOCATION, &ntfs.boot)? else {
        return Ok(None);
    };
    let block_size = root
        .resident(kind::INDEX_ROOT)?
        .filter(|value| value.len() >= 12)
        .map(|value| u32_at(value, 8));
    let Some(block_size) = block_size
        .map(u64::from)
        .filter(|size| size.is_power_of_two() && (512..=PIECE).contains(size))
    else {
        return Ok(None);
    };
    for offset in (0..index.size).step_by(block_size as usize) {
        // Also where a damaged size would have it go on for ever: reading fails at the end of the
        // runs.
        let Ok(mut block) = index.read(&ntfs.source, offset, block_size, "the root directory")
        else {
            break;
        };
        if block.starts_with(b"INDX")
            && apply_fixups(&mut block)
            && let Some(record) = search(&block[24..])
        {
            return Ok(Some(record));
        }
    }
    Ok(None)
}

/// Searches the entries of one node; `node` starts with the header that says where they are.
fn search(node: &[u8]) -> Option<u64> {
    let used = node.get(..16).map(|header| u32_at(header, 4) as usize)?;
    let mut at = u32_at(node, 0) as usize;
    let node = node.get(..used)?;
    loop {
        let entry = node.get(at..).filter(|rest| rest.len() >= 16)?;
        let length = usize::from(u16_at(entry, 8));
        if u16_at(entry, 12) & ENTRY_IS_LAST != 0 || length < 16 {
            return None;
        }
        if entry.get(16..length).is_some_and(is_the_file) {
            return Some(u64_at(entry, 0) & RECORD_BITS);
        }
        at += length;
    }
}

/// `key`: a file name as directories keep it.
fn is_the_file(key: &[u8]) -> bool {
    let Some(&length) = key.get(64) else {
        return false;
    };
    let Some(name) = key.get(66..66 + 2 * usize::from(length)) else {
        return false;
    };
    let name: Vec<u16> = name
        .chunks_exact(2)
        .map(|unit| u16::from_le_bytes([unit[0], unit[1]]))
        .collect();
    String::from_utf16_lossy(&name).eq_ignore_ascii_case(FILE)
}
