//! What is unusual about how a disk is divided.

use foghorn_image::{ByteRange, Note, NoteKind};

use super::{Partition, ReadGptCopyError};

/// Something that people should hear about, although the disk could be read.
#[derive(Debug, PartialEq, Eq)]
pub enum LayoutNote {
    /// The primary GPT is damaged; the backup at the end of the disk was used.
    PrimaryGptDamaged(ReadGptCopyError),
    /// The backup GPT is not at the end of the disk or is damaged; the primary was used.
    BackupGptDamaged(ReadGptCopyError),
    /// Both copies of the GPT are intact but say different things; the primary was used, as
    /// firmware does.
    GptCopiesDiffer,
    /// Something has taken the whole disk, named here, and the table on it is older or its own.
    Owned(&'static str),
    /// There is a GPT that nothing points to: the MBR beside it has partitions of its own and
    /// counts, as it does for Linux.
    StaleGpt,
    /// The entries of the GPT do not follow its header, and are kept where they are.
    GptEntriesMoved {
        /// First sector of the entries.
        lba: u64,
    },
    /// An MBR entry of type 0 with a place and a size.
    TypelessEntry {
        /// What it describes.
        partition: Partition,
        /// Whether it was taken as a partition, as Linux does; otherwise it lies outside the disk
        /// or in another partition and means nothing.
        taken: bool,
    },
    /// Windows' dynamic disk: a database of volumes is kept at the end of the disk.
    DynamicDisk,
    /// An ISO file system that covers the disk, and a partition table inside it; the disk was taken
    /// raw.
    HybridIso,
    /// An MBR with ordinary partitions and a GPT at once; the disk was taken raw.
    HybridMbr,
    /// The table could not be read, and why; the disk was taken raw.
    UnreadableTable(String),
    /// The table cannot be used, named here why; the disk was taken raw, as ordered.
    Unusable(String),
    /// Data behind the last partition, which is not taken.
    DataBehindPartitions {
        /// From the first to the last byte that is not zero, in blocks.
        range: ByteRange,
        /// Bytes of blocks in it that are not zero.
        bytes: u64,
        /// Whether only samples of the place were read.
        sampled: bool,
    },
}

impl LayoutNote {
    /// The notes that an image keeps about it.
    #[must_use]
    pub fn to_notes(&self) -> Vec<Note> {
        let table = |text: &str| vec![Note::of_disk(NoteKind::Table, text)];
        let tied = |text: &str| Note::of_disk(NoteKind::SizeTied, text);
        match self {
            Self::PrimaryGptDamaged(why) => table(&format!(
                "the primary GPT is damaged, and the backup at the end of the disk was used: {why}"
            )),
            Self::BackupGptDamaged(why) => table(&format!(
                "the backup GPT at the end of the disk is missing or damaged, and the primary was \
                 used: {why}"
            )),
            Self::GptCopiesDiffer => table(
                "both copies of the GPT are intact but differ, and the primary was used, as \
                 firmware does",
            ),
            Self::Owned(owner) => table(&format!(
                "the disk as a whole has the marks of {owner}: its partition table was not used \
                 (if it should be: wipefs removes marks that are old)"
            )),
            Self::StaleGpt => table(
                "there is an old GPT, but the MBR has partitions of its own and was used, as Linux \
                 does",
            ),
            Self::GptEntriesMoved { lba } => table(&format!(
                "the entries of the GPT start in sector {lba} instead of sector 2, and a deploy \
                 puts them there"
            )),
            Self::TypelessEntry { partition, taken } => vec![of_typeless(partition, *taken)],
            Self::DynamicDisk => vec![tied(
                "this is a dynamic disk of Windows, whose database of volumes belongs to a disk of \
                 exactly this size",
            )],
            Self::HybridIso => table(
                "the disk is an ISO file system with a partition table inside, as sticks that \
                 install systems are, and was taken raw as a whole",
            ),
            Self::HybridMbr => {
                let mut notes = table(
                    "the disk has a hybrid MBR (ordinary partitions beside a GPT) and was taken \
                     raw as a whole",
                );
                notes.push(tied(
                    "a hybrid MBR and its GPT mean the same only on a disk of exactly this size",
                ));
                notes
            }
            Self::UnreadableTable(why) => {
                let mut notes = table(&format!(
                    "the partition table could not be read, so the disk was taken raw as a whole: \
                     {why}"
                ));
                notes.push(tied(
                    "a partition table that could not be read may belong to a disk of exactly this \
                     size",
                ));
                notes
            }
            Self::Unusable(why) => table(&format!(
                "the partition table cannot be used, and the disk was taken raw as a whole, as \
                 ordered: {why}"
            )),
            Self::DataBehindPartitions {
                range,
                bytes,
                sampled,
            } => {
                let least = if *sampled {
                    "at least (only samples were read) "
                } else {
                    ""
                };
                let text = format!(
                    "{least}{bytes} bytes of data behind the last partition, between bytes {} and \
                     {} of the disk, are not in the image",
                    range.start, range.end
                );
                vec![Note::new(NoteKind::LeftOut, 0, *range, &text)]
            }
        }
    }
}

fn of_typeless(partition: &Partition, taken: bool) -> Note {
    let number = partition.number;
    // What lies outside the disk is no range of it.
    let (range, what) = if taken {
        (
            partition.range(),
            "yet a size, and was taken as a partition, as Linux does",
        )
    } else {
        (
            ByteRange::new(0, 0),
            "a size outside the disk or inside another partition, and was ignored",
        )
    };
    let text = format!("entry {number} of the MBR has type 0 (unused) and {what}");
    Note::new(NoteKind::Table, number, range, &text)
}
