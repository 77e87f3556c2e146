//! Whether Windows sleeps on the volume.
//!
//! A hibernated Windows (and one shut down with fast startup) continues with what it remembers of
//! the volume and would destroy a restored one. Its memory is in `hiberfil.sys` in the root
//! directory, which begins with `hibr` while it counts. Volumes beside the one that Windows starts
//! from have a short file of that name.

use std::collections::BTreeSet;

use super::record::{RECORD_BITS, apply_fixups, kind};
use super::table::{Ntfs, Value};
use super::{NAME, PIECE, ReadVolumeError, Stream};
use crate::volume::field::{u16_at, u32_at, u64_at};

const ROOT_DIRECTORY: u64 = 5;
const INDEX: &str = "$I30";
const FILE: &str = "hiberfil.sys";
const ENTRY_HAS_CHILD: u16 = 1;
const ENTRY_IS_LAST: u16 = 2;
/// The header of a hibernation file that Windows starts from; what is shorter is a mark.
const HEADER: u64 = 4096;

pub(super) fn is_hibernated(ntfs: &Ntfs<'_>) -> Result<bool, ReadVolumeError> {
    let Some(record) = find(ntfs)? else {
        return Ok(false);
    };
    let file = ntfs.record(record)?;
    Ok(match ntfs.value(&file, kind::DATA, "")? {
        None => false,
        Some(Value::Resident(_)) => true,
        Some(Value::Stream(stream)) if stream.size < HEADER => true,
        Some(Value::Stream(stream)) => {
            let start = stream.contents(&ntfs.source, 4, "the hibernation file")?;
            // What is compressed or encrypted is not read here.
            let unreadable = stream.is_packed && start != [0; 4];
            start == b"hibr" || start == b"HIBR" || unreadable
        }
    })
}

/// Nodes of the index of the root directory.
struct Index<'a> {
    ntfs: &'a Ntfs<'a>,
    blocks: Option<Stream>,
    block_size: u64,
}

/// The record of the hibernation file. The whole tree is walked: what is in it says which blocks of
/// the index are in use, and names that differ only in case are anywhere.
fn find(ntfs: &Ntfs<'_>) -> Result<Option<u64>, ReadVolumeError> {
    let damaged = || ReadVolumeError::damaged(NAME, "the index of its root directory is not valid");
    let root = ntfs.record(ROOT_DIRECTORY)?;
    let Some(Value::Resident(top)) = ntfs.value(&root, kind::INDEX_ROOT, INDEX)? else {
        return Err(damaged());
    };
    if top.len() < 32 {
        return Err(damaged());
    }
    let index = Index {
        ntfs,
        blocks: match ntfs.value(&root, kind::INDEX_ALLOCATION, INDEX)? {
            Some(Value::Stream(blocks)) => Some(blocks),
            _ => None,
        },
        block_size: u64::from(u32_at(&top, 8)),
    };
    if !index.block_size.is_power_of_two() || !(512..=PIECE).contains(&index.block_size) {
        return Err(damaged());
    }
    let mut children = Vec::new();
    if let Some(record) = search(&top[16..], &mut children).ok_or_else(damaged)? {
        return Ok(Some(record));
    }
    let mut visited = BTreeSet::new();
    while let Some(child) = children.pop() {
        if !visited.insert(child) {
            return Err(damaged());
        }
        let block = index.block(child)?.ok_or_else(damaged)?;
        if let Some(record) = search(&block[24..], &mut children).ok_or_else(damaged)? {
            return Ok(Some(record));
        }
    }
    Ok(None)
}

impl Index<'_> {
    /// The block with this number, which counts clusters, or sectors of 512 bytes where clusters are
    /// larger than blocks. `None` when it is damaged.
    fn block(&self, number: u64) -> Result<Option<Vec<u8>>, ReadVolumeError> {
        let cluster = self.ntfs.boot.cluster_size;
        let unit = if self.block_size < cluster {
            512
        } else {
            cluster
        };
        let Some(blocks) = &self.blocks else {
            return Ok(None);
        };
        let mut block = blocks.read(
            &self.ntfs.source,
            number.saturating_mul(unit),
            self.block_size,
            "the root directory",
        )?;
        let intact = block.starts_with(b"INDX") && apply_fixups(&mut block);
        Ok(intact.then_some(block))
    }
}

/// Searches the entries of one node and adds the numbers of the nodes below it to `children`.
/// `node` starts with the header that says where the entries are. `None` when it is not valid.
fn search(node: &[u8], children: &mut Vec<u64>) -> Option<Option<u64>> {
    let used = node.get(..16).map(|header| u32_at(header, 4) as usize)?;
    let mut at = u32_at(node, 0) as usize;
    let node = node.get(..used)?;
    loop {
        let entry = node.get(at..).filter(|rest| rest.len() >= 16)?;
        let (length, flags) = (usize::from(u16_at(entry, 8)), u16_at(entry, 12));
        let entry = entry.get(..length).filter(|entry| entry.len() >= 16)?;
        if flags & ENTRY_HAS_CHILD != 0 {
            let child = length.checked_sub(8).filter(|&at| at >= 16)?;
            children.push(u64_at(entry, child));
        }
        if flags & ENTRY_IS_LAST != 0 {
            return Some(None);
        }
        if is_the_file(&entry[16..]) {
            return Some(Some(u64_at(entry, 0) & RECORD_BITS));
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
