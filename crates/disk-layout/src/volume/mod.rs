//! Which bytes of a partition are in use, by the account of the file system in it.

mod bitmap;
mod error;
mod ext;
mod fat;
mod field;
mod ntfs;

use foghorn_image::{ByteRange, ByteRanges, FileSystemKind};
use foghorn_types::ByteCount;

pub use error::ReadVolumeError;

use crate::read_at::ReadAt;
use field::Source;

/// What to do with a file system that was not cleanly unmounted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DirtyPolicy {
    /// It is an error: its bitmaps may be behind its data.
    Refuse,
    /// Take it as it is. A journal that was not replayed comes along and can be replayed later.
    Accept,
}

/// What a partition holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Volume {
    /// What was recognised.
    pub kind: FileSystemKind,
    /// Bytes in `ranges`.
    pub used: ByteCount,
    /// Used bytes, counted from the start of the partition.
    pub ranges: ByteRanges,
}

impl Volume {
    /// A volume of this size of which every byte is in use.
    #[must_use]
    pub fn raw(size: ByteCount) -> Self {
        Self {
            kind: FileSystemKind::Raw,
            used: size,
            ranges: [ByteRange::new(0, size.bytes())].into_iter().collect(),
        }
    }
}

/// Finds out which bytes of a partition are in use.
///
/// What no reader here recognises is [`FileSystemKind::Raw`], and so is what more than one
/// recognises, or an ext file system with a feature that may change where its bitmaps are: all of
/// it is in use. Bytes behind the end of a file system, but inside its partition, are in use as
/// well: NTFS keeps its backup boot sector there, RAID its metadata.
///
/// # Errors
///
/// When the partition cannot be read, when metadata on the way to the bitmaps is damaged, or when
/// the file system was not cleanly unmounted and `dirty` says to refuse that.
pub fn read_volume(partition: &dyn ReadAt, dirty: DirtyPolicy) -> Result<Volume, ReadVolumeError> {
    let size = partition.size();
    let mut start = vec![0; size.min(2048) as usize];
    let source = Source::new(partition);
    source.fill(0, &mut start, "the start of the partition")?;
    start.resize(2048, 0);
    let kinds: Vec<FileSystemKind> = [
        (FileSystemKind::Ext, ext::looks_like_ext(&start)),
        (FileSystemKind::Ntfs, ntfs::looks_like_ntfs(&start)),
        (FileSystemKind::Fat, fat::looks_like_fat(&start)),
    ]
    .into_iter()
    .filter_map(|(kind, found)| found.then_some(kind))
    .collect();
    let ranges = match kinds[..] {
        [FileSystemKind::Ext] => ext::used_ranges(&source, &start, dirty)?,
        [FileSystemKind::Ntfs] => Some(ntfs::used_ranges(&source, &start, dirty)?),
        [FileSystemKind::Fat] => Some(fat::used_ranges(&source, &start, dirty)?),
        _ => None,
    };
    Ok(match (ranges, kinds.first()) {
        (Some(ranges), Some(&kind)) => Volume {
            kind,
            used: ranges.total(),
            ranges,
        },
        _ => Volume::raw(ByteCount::from_bytes(size)),
    })
}
