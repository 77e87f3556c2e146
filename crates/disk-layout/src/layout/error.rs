//! Why a partition table could not be read.

use std::io;

use foghorn_image::ByteRange;

/// Why one copy of a GPT is not usable.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what it is")]
pub enum ReadGptCopyError {
    #[error("there is no GPT header in sector {lba}")]
    NoSignature { lba: u64 },
    #[error("sector {lba} or the entries it points to could not be read: {why}")]
    Unreadable { lba: u64, why: String },
    #[error("the GPT header in sector {lba} is damaged: {what}")]
    Header { lba: u64, what: String },
    #[error("the GPT header in sector {lba} says that it belongs in sector {claimed}")]
    Misplaced { lba: u64, claimed: u64 },
    #[error("a GPT with {slots} entries of {size} bytes is not supported")]
    EntryFormat { slots: u32, size: u32 },
    #[error(
        "the table is truncated: its entries start in sector {entries_lba}, the disk has {sectors} sectors"
    )]
    EntriesOutside { entries_lba: u64, sectors: u64 },
    #[error("the GPT entries are damaged: {what}")]
    Entries { what: String },
}

/// Why the partition table of a disk could not be read, or cannot be believed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what it is")]
pub enum ReadLayoutError {
    #[error("could not read the disk at byte {offset}")]
    Read { offset: u64, source: io::Error },
    #[error("a disk of {size} bytes has no room for a partition table or a file system")]
    TooSmall { size: u64 },
    #[error(
        "the disk is marked as a GPT disk, but no copy of its GPT can be used; the backup: {backup}"
    )]
    GptUnreadable {
        source: ReadGptCopyError,
        backup: ReadGptCopyError,
    },
    #[error("there is a GPT, but the protective MBR that belongs in front of it is missing")]
    GptWithoutProtectiveMbr,
    #[error(
        "the disk is divided by a GPT for sectors of {table} bytes, but its sectors have {disk}: capture it where its sectors have {table} bytes (a file: without --sector-size, or with --sector-size {table})"
    )]
    GptOtherSectors { table: u64, disk: u64 },
    #[error("the GPT lets partitions start in sector {first_usable}, inside the table itself")]
    GptFirstUsable { first_usable: u64 },
    #[error(
        "partition {number} (bytes {start} to {end}) is empty or not between bytes {first} and {last} of the disk",
        start = range.start, end = range.end, first = usable.start, last = usable.end
    )]
    PartitionOutside {
        number: u32,
        range: ByteRange,
        usable: ByteRange,
    },
    #[error("partitions {first} and {second} overlap")]
    PartitionsOverlap { first: u32, second: u32 },
    #[error("the extended boot record in sector {lba} is damaged: {what}")]
    ExtendedBootRecord { lba: u64, what: &'static str },
}

impl ReadLayoutError {
    /// Whether the disk failed, and not what is on it.
    #[must_use]
    pub fn is_unreadable(&self) -> bool {
        let failed = |copy: &ReadGptCopyError| matches!(copy, ReadGptCopyError::Unreadable { .. });
        match self {
            Self::Read { .. } => true,
            Self::GptUnreadable { source, backup } => failed(source) || failed(backup),
            _ => false,
        }
    }

    /// Whether the disk can be read, and what it says about its partitions cannot be true.
    #[must_use]
    pub fn is_about_the_table(&self) -> bool {
        match self {
            _ if self.is_unreadable() => false,
            Self::Read { .. } | Self::TooSmall { .. } | Self::GptOtherSectors { .. } => false,
            Self::GptUnreadable { .. }
            | Self::GptWithoutProtectiveMbr
            | Self::GptFirstUsable { .. }
            | Self::PartitionOutside { .. }
            | Self::PartitionsOverlap { .. }
            | Self::ExtendedBootRecord { .. } => true,
        }
    }
}
