//! Little-endian fields of structures on disk, and checked reads of the structures themselves.

use super::error::ReadVolumeError;
use crate::read_at::ReadAt;

/// The two bytes at `at`. The caller has checked the length of `bytes`: structures are read whole.
pub(super) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

/// A partition that refuses reads outside itself before anything is allocated for them.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    partition: &'a dyn ReadAt,
    pub(super) size: u64,
    file_system: &'static str,
}

impl<'a> Source<'a> {
    pub(super) fn new(partition: &'a dyn ReadAt) -> Self {
        Self {
            partition,
            size: partition.size(),
            file_system: "unknown",
        }
    }

    /// The same, named in errors.
    pub(super) fn of(self, file_system: &'static str) -> Self {
        Self {
            file_system,
            ..self
        }
    }

    pub(super) fn fill(
        &self,
        offset: u64,
        buffer: &mut [u8],
        what: &'static str,
    ) -> Result<(), ReadVolumeError> {
        self.check(offset, buffer.len() as u64, what)?;
        self.partition
            .read_exact_at(offset, buffer)
            .map_err(|source| ReadVolumeError::Read {
                what,
                offset,
                length: buffer.len() as u64,
                source,
            })
    }

    pub(super) fn bytes(
        &self,
        offset: u64,
        length: u64,
        what: &'static str,
    ) -> Result<Vec<u8>, ReadVolumeError> {
        self.check(offset, length, what)?;
        let mut buffer = vec![0; length as usize];
        self.fill(offset, &mut buffer, what)?;
        Ok(buffer)
    }

    /// Whether `length` bytes from `offset` on lie inside the partition.
    pub(super) fn check(
        &self,
        offset: u64,
        length: u64,
        what: &'static str,
    ) -> Result<(), ReadVolumeError> {
        if offset.checked_add(length).is_none_or(|end| end > self.size) {
            return Err(ReadVolumeError::Outside {
                file_system: self.file_system,
                what,
                offset,
                size: self.size,
            });
        }
        Ok(())
    }
}
