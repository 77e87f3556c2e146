//! Turns contents into the bytes of a file.

use data_encoding::HEXLOWER;

use super::content::Content;
use super::key::Sealer;
use super::{FORMAT, Header};

/// What zstd's default gives; these records are text that repeats itself.
const LEVEL: i32 = 3;

pub(super) struct Writer {
    sealer: Sealer,
    number: u64,
    whole: blake3::Hasher,
}

#[derive(Debug, thiserror::Error)]
#[error("a block could not be compressed or encrypted")]
pub struct BlockError;

impl Writer {
    /// `first_line`: the header as it was given to the sealer.
    pub(super) fn new(sealer: Sealer, first_line: &[u8]) -> (Self, Vec<u8>) {
        let mut writer = Self {
            sealer,
            number: 0,
            whole: blake3::Hasher::new(),
        };
        let bytes = [first_line, b"\n"].concat();
        writer.whole.update(&bytes);
        (writer, bytes)
    }

    pub(super) fn block(&mut self, content: &Content) -> Result<Vec<u8>, BlockError> {
        let packed = zstd::bulk::compress(&content.to_bytes(), LEVEL).map_err(|_| BlockError)?;
        let sealed = self.sealer.seal(self.number, packed).ok_or(BlockError)?;
        let length = u32::try_from(sealed.len()).map_err(|_| BlockError)?;
        self.number += 1;
        let bytes = [&length.to_be_bytes(), &sealed[..]].concat();
        self.whole.update(&bytes);
        Ok(bytes)
    }

    /// What follows the last block.
    pub(super) fn end(&mut self) -> Vec<u8> {
        let none = 0_u32.to_be_bytes();
        self.whole.update(&none);
        let checksum = HEXLOWER.encode(self.whole.finalize().as_bytes());
        [&none[..], format!("blake3:{checksum}\n").as_bytes()].concat()
    }
}

/// The header as the first line, without its end. `None` never happens: its fields are plain.
pub(super) fn first_line(header: &Header) -> Option<Vec<u8>> {
    debug_assert_eq!(header.foghorn_state, FORMAT);
    serde_json::to_vec(header).ok()
}
