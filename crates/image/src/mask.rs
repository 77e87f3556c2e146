//! Which bytes of a chunk are in use.

/// A run of 512-byte sectors inside one chunk: `start..end`, `end` at most 2048.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SectorRange {
    pub start: u16,
    pub end: u16,
}

/// The used bytes of one chunk, in units of 512 bytes whatever the disk's sector size.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum UsedMask {
    /// Every byte of the chunk.
    Whole,
    /// Ascending, not empty, not touching each other, and not the whole chunk (that is [`UsedMask::Whole`]).
    Ranges(Vec<SectorRange>),
}
