//! Records of the master file table and their attributes.

use super::boot::BootSector;
use super::runs::{Stream, decode_runs};
use super::{NAME, ReadVolumeError};
use crate::volume::field::{u16_at, u32_at, u64_at};

/// Types of attributes.
pub(super) mod kind {
    pub(crate) const ATTRIBUTE_LIST: u32 = 0x20;
    pub(crate) const VOLUME_INFORMATION: u32 = 0x70;
    pub(crate) const DATA: u32 = 0x80;
    pub(crate) const INDEX_ROOT: u32 = 0x90;
    pub(crate) const INDEX_ALLOCATION: u32 = 0xa0;
}

const END: u32 = 0xffff_ffff;
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

    fn damaged(&self) -> ReadVolumeError {
        ReadVolumeError::damaged(
            NAME,
            format!(
                "record {} of the master file table has a damaged attribute",
                self.number
            ),
        )
    }

    /// For when [`stream`](Self::stream) finds nothing.
    pub(super) fn lacks_data(&self, elsewhere: &'static str) -> ReadVolumeError {
        match self.attribute(kind::ATTRIBUTE_LIST) {
            Ok(Some(_)) => ReadVolumeError::Unsupported {
                file_system: NAME,
                what: elsewhere,
            },
            _ => self.damaged(),
        }
    }

    /// The first attribute of this type; `$DATA` only without a name, because named ones are other
    /// streams.
    fn attribute(&self, kind: u32) -> Result<Option<&[u8]>, ReadVolumeError> {
        let mut at = usize::from(u16_at(&self.raw, 20));
        while at + 8 <= self.raw.len() {
            let found = u32_at(&self.raw, at);
            if found == END {
                return Ok(None);
            }
            let length = u32_at(&self.raw, at + 4) as usize;
            let attribute = self.raw[at..]
                .get(..length)
                .filter(|_| length >= 24)
                .ok_or_else(|| self.damaged())?;
            if found == kind && (kind != kind::DATA || attribute[9] == 0) {
                return Ok(Some(attribute));
            }
            at += length;
        }
        Err(self.damaged())
    }

    /// The value of an attribute that is kept in the record itself.
    pub(super) fn resident(&self, kind: u32) -> Result<Option<&[u8]>, ReadVolumeError> {
        let Some(attribute) = self.attribute(kind)?.filter(|attribute| attribute[8] == 0) else {
            return Ok(None);
        };
        let (length, offset) = (
            u32_at(attribute, 16) as usize,
            usize::from(u16_at(attribute, 20)),
        );
        attribute
            .get(offset..)
            .and_then(|rest| rest.get(..length))
            .map(Some)
            .ok_or_else(|| self.damaged())
    }

    /// Where the value of an attribute is that is kept outside the record, all of it.
    pub(super) fn stream(
        &self,
        kind: u32,
        boot: &BootSector,
    ) -> Result<Option<Stream>, ReadVolumeError> {
        let stream = self.stream_start(kind, boot)?;
        match stream {
            Some(stream) if !stream.is_complete() => match self.attribute(kind::ATTRIBUTE_LIST)? {
                Some(_) => {
                    Err(self.lacks_data("a file that is needed is described by an attribute list"))
                }
                None => Err(self.damaged()),
            },
            stream => Ok(stream),
        }
    }

    /// As [`stream`](Self::stream), but the record may know only the beginning, as with a
    /// fragmented master file table.
    pub(super) fn stream_start(
        &self,
        kind: u32,
        boot: &BootSector,
    ) -> Result<Option<Stream>, ReadVolumeError> {
        let Some(attribute) = self.attribute(kind)?.filter(|attribute| attribute[8] != 0) else {
            return Ok(None);
        };
        if attribute.len() < 64 || u64_at(attribute, 16) != 0 {
            return Err(self.damaged());
        }
        let runs = attribute
            .get(usize::from(u16_at(attribute, 32))..)
            .and_then(decode_runs);
        let runs = runs.ok_or_else(|| self.damaged())?;
        Ok(Some(Stream {
            runs,
            size: u64_at(attribute, 48),
            cluster_size: boot.cluster_size,
        }))
    }
}
