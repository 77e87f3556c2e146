//! Records of the master file table and their attributes.

use super::runs::{Stream, decode_runs};
use super::{NAME, ReadVolumeError};
use crate::volume::field::{u16_at, u32_at, u64_at};

/// Types of attributes.
pub(super) mod kind {
    pub(crate) const ATTRIBUTE_LIST: u32 = 0x20;
    pub(crate) const FILE_NAME: u32 = 0x30;
    pub(crate) const VOLUME_INFORMATION: u32 = 0x70;
    pub(crate) const DATA: u32 = 0x80;
    pub(crate) const INDEX_ROOT: u32 = 0x90;
    pub(crate) const INDEX_ALLOCATION: u32 = 0xa0;
}

/// Bytes of a record number in a reference; the rest counts how often the record was used.
pub(super) const RECORD_BITS: u64 = (1 << 48) - 1;
const END: u32 = 0xffff_ffff;
/// Compression (the low byte says how) and encryption; not: sparse.
const PACKED: u16 = 0x40ff;
/// Stride of the update sequence, whatever the sector size.
const STRIDE: usize = 512;

/// Puts back the last two bytes of every 512, which carry a sequence number on disk: where one
/// differs, the structure was not written as a whole. `false` when it does, or the place of the
/// sequence is not valid.
pub(super) fn apply_fixups(raw: &mut [u8]) -> bool {
    let (offset, count) = (usize::from(u16_at(raw, 4)), usize::from(u16_at(raw, 6)));
    if count != raw.len() / STRIDE + 1 || offset + count * 2 > STRIDE - 2 || offset < 8 {
        return false;
    }
    let sequence = [raw[offset], raw[offset + 1]];
    for index in 1..count {
        let (saved, end) = (offset + index * 2, index * STRIDE);
        if raw[end - 2..end] != sequence {
            return false;
        }
        raw.copy_within(saved..saved + 2, end - 2);
    }
    true
}

/// One record, with its fixups applied.
pub(super) struct FileRecord {
    number: u64,
    raw: Vec<u8>,
}

impl FileRecord {
    pub(super) fn parse(mut raw: Vec<u8>, number: u64) -> Result<Self, ReadVolumeError> {
        if raw.starts_with(b"FILE") && apply_fixups(&mut raw) {
            return Ok(Self { number, raw });
        }
        Err(ReadVolumeError::damaged(
            NAME,
            format!("record {number} of the master file table is damaged"),
        ))
    }

    pub(super) fn damaged(&self) -> ReadVolumeError {
        ReadVolumeError::damaged(
            NAME,
            format!(
                "record {} of the master file table has a damaged attribute",
                self.number
            ),
        )
    }

    pub(super) fn is_in_use(&self) -> bool {
        u16_at(&self.raw, 22) & 1 != 0
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// The first record of the file, where this is a further one.
    pub(super) fn base(&self) -> Option<u64> {
        Some(u64_at(&self.raw, 32) & RECORD_BITS).filter(|_| u64_at(&self.raw, 32) != 0)
    }

    /// The attribute of this type and name; with `lowest_cluster`, of its parts that which starts
    /// there (one that is kept in the record starts at 0).
    pub(super) fn find(
        &self,
        kind: u32,
        name: &str,
        lowest_cluster: Option<u64>,
    ) -> Result<Option<Attribute<'_>>, ReadVolumeError> {
        let mut at = usize::from(u16_at(&self.raw, 20));
        while at + 8 <= self.raw.len() {
            let found = u32_at(&self.raw, at);
            if found == END {
                return Ok(None);
            }
            let length = u32_at(&self.raw, at + 4) as usize;
            let raw = self.raw[at..]
                .get(..length)
                .filter(|_| length >= 24)
                .ok_or_else(|| self.damaged())?;
            let attribute = Attribute { raw };
            if found == kind {
                let found = attribute.name().ok_or_else(|| self.damaged())?;
                let start = attribute.lowest_cluster().ok_or_else(|| self.damaged())?;
                if is_named(found, name) && lowest_cluster.is_none_or(|wanted| wanted == start) {
                    return Ok(Some(attribute));
                }
            }
            at += length;
        }
        Err(self.damaged())
    }

    /// All attributes in the record.
    pub(super) fn attributes(&self) -> Result<Vec<Attribute<'_>>, ReadVolumeError> {
        let mut found = Vec::new();
        let mut at = usize::from(u16_at(&self.raw, 20));
        while at + 8 <= self.raw.len() && u32_at(&self.raw, at) != END {
            let length = u32_at(&self.raw, at + 4) as usize;
            let raw = self.raw[at..].get(..length).filter(|_| length >= 24);
            found.push(Attribute {
                raw: raw.ok_or_else(|| self.damaged())?,
            });
            at += length;
        }
        Ok(found)
    }

    /// The value of an attribute that is kept in the record itself.
    pub(super) fn resident(&self, kind: u32, name: &str) -> Result<Option<&[u8]>, ReadVolumeError> {
        match self.find(kind, name, None)? {
            Some(attribute) if attribute.is_resident() => {
                attribute.resident().map(Some).ok_or_else(|| self.damaged())
            }
            _ => Ok(None),
        }
    }
}

/// Whether a name in UTF-16, as it is on the disk, is this one (of ASCII letters).
pub(super) fn is_named(found: &[u8], name: &str) -> bool {
    found.len() == 2 * name.len()
        && found
            .chunks_exact(2)
            .zip(name.bytes())
            .all(|(unit, letter)| unit == [letter, 0])
}

/// An attribute in a record: at least 24 bytes.
pub(super) struct Attribute<'a> {
    raw: &'a [u8],
}

impl<'a> Attribute<'a> {
    pub(super) fn kind(&self) -> u32 {
        u32_at(self.raw, 0)
    }

    pub(super) fn is_resident(&self) -> bool {
        self.raw[8] == 0
    }

    fn name(&self) -> Option<&'a [u8]> {
        self.raw
            .get(usize::from(u16_at(self.raw, 10))..)?
            .get(..2 * usize::from(self.raw[9]))
    }

    fn lowest_cluster(&self) -> Option<u64> {
        match (self.is_resident(), self.raw.len()) {
            (true, _) => Some(0),
            (false, 64..) => Some(u64_at(self.raw, 16)),
            _ => None,
        }
    }

    /// `None` when it is not valid, or not kept in the record.
    pub(super) fn resident(&self) -> Option<&'a [u8]> {
        if !self.is_resident() {
            return None;
        }
        let (length, offset) = (
            u32_at(self.raw, 16) as usize,
            usize::from(u16_at(self.raw, 20)),
        );
        self.raw.get(offset..)?.get(..length)
    }

    /// Where the part of the value is that this attribute describes. Sizes are only in the part that
    /// starts at cluster 0. `None` when it is not valid, or kept in the record.
    pub(super) fn stream(&self, cluster_size: u64) -> Option<Stream> {
        if self.is_resident() || self.raw.len() < 64 {
            return None;
        }
        let runs = self.raw.get(usize::from(u16_at(self.raw, 32))..)?;
        Some(Stream {
            runs: decode_runs(runs)?,
            size: u64_at(self.raw, 48),
            initialised: u64_at(self.raw, 56),
            is_packed: u16_at(self.raw, 12) & PACKED != 0,
            cluster_size,
        })
    }
}
