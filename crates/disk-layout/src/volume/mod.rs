//! Which bytes of a partition are in use, by the account of the file system in it.

mod bitmap;
mod declared;
mod error;
mod ext;
mod fat;
mod field;
mod ntfs;
mod owners;
mod probe;
mod sentences;

use foghorn_image::{ByteRange, ByteRanges, FileSystemKind, NoteKind};
use foghorn_types::ByteCount;

pub use error::ReadVolumeError;
pub use owners::{Owners, owners};
pub(crate) use probe::{TableState, whole_disk_owner};

use crate::layout::DeclaredType;
use crate::read_at::ReadAt;
use field::Source;
use probe::{Claims, Class, Finding};

/// What to do with a file system that was not cleanly unmounted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DirtyPolicy {
    /// It is an error.
    Refuse,
    /// Take every block of it: its bitmaps may be behind its data.
    Accept,
}

/// What a partition holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Volume {
    /// By whose account bytes are in use. [`FileSystemKind::Raw`]: by nobody's, all of them are.
    pub kind: FileSystemKind,
    /// Bytes in `ranges`.
    pub used: ByteCount,
    /// Used bytes, counted from the start of the partition.
    pub ranges: ByteRanges,
    /// What people should know about it.
    pub notes: Vec<VolumeNote>,
}

/// A note about one volume.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VolumeNote {
    /// What it is about.
    pub kind: NoteKind,
    /// A sentence without its full stop.
    pub text: String,
}

impl VolumeNote {
    fn new(kind: NoteKind, text: impl Into<String>) -> Self {
        Self {
            kind,
            text: text.into(),
        }
    }
}

impl Volume {
    fn of(kind: FileSystemKind, ranges: ByteRanges) -> Self {
        Self {
            kind,
            used: ranges.total(),
            ranges,
            notes: Vec::new(),
        }
    }

    /// A partition of `size` bytes, all of which are in use.
    pub(crate) fn raw(size: u64, note: Option<VolumeNote>) -> Self {
        Self {
            notes: note.into_iter().collect(),
            ..Self::of(
                FileSystemKind::Raw,
                [ByteRange::new(0, size)].into_iter().collect(),
            )
        }
    }

    /// A partition of `size` bytes whose file system cannot be read.
    pub(crate) fn raw_by_necessity(size: u64, error: &ReadVolumeError) -> Self {
        Self::raw(
            size,
            Some(VolumeNote::new(
                NoteKind::TakenRaw,
                sentences::unreadable(&error.to_string()),
            )),
        )
    }

    /// A partition all of which is in use, because someone ordered so. What can be found out about it
    /// is noted.
    pub(crate) fn raw_by_order(partition: &dyn ReadAt) -> Self {
        let source = Source::new(partition);
        let mut volume = Self::raw(source.size, None);
        volume
            .notes
            .push(VolumeNote::new(NoteKind::TakenRaw, sentences::BY_ORDER));
        let Ok(Claims { found, .. }) = probe::find_all(&source) else {
            return volume;
        };
        let of_one = match &found[..] {
            [only] => sentences::of_one(only).filter(|note| note.kind == NoteKind::Encrypted),
            _ => None,
        };
        volume.notes.extend(of_one);
        let unclean =
            why_unclean(&source, &found).map(|(name, why)| sentences::unclean_by_order(name, why));
        volume.notes.extend(unclean);
        volume.notes.extend(sentences::of_end(&found));
        volume
    }

    /// A disk that is taken raw because no table describes it.
    pub(crate) fn raw_disk(disk: &dyn ReadAt) -> Self {
        let source = Source::new(disk);
        let found = probe::find_all(&source).map(|claims| claims.found);
        Self::raw(
            source.size,
            found.ok().and_then(|found| sentences::of_end(&found)),
        )
    }
}

/// Why a partition is not clean, and what is in it, as far as that can be read.
fn why_unclean(source: &Source<'_>, found: &[Finding]) -> Option<(&'static str, &'static str)> {
    if found.iter().any(|one| one.class == Class::Suspended) {
        return Some((SWAP, SUSPENDED));
    }
    let [Finding { class, name, .. }] = *found else {
        return None;
    };
    let mut start = source.bytes(0, source.size.min(2048), START).ok()?;
    start.resize(2048, 0);
    let why = match class {
        Class::Ext => ext::why_unclean(source, &start),
        Class::Ntfs => ntfs::why_unclean(source, &start),
        Class::Fat => fat::why_unclean(source, &start),
        _ => return None,
    };
    Some((name, why.ok()??))
}

const SWAP: &str = "swap";
const SUSPENDED: &str = "a Linux is suspended to it and would go on where it was";
const START: &str = "the start of the partition";

/// What a file system says about its blocks.
enum Account {
    /// These are in use.
    Used(ByteRanges),
    /// The same, and the file system was not cleanly unmounted, which does not matter for it.
    UsedThough(ByteRanges, &'static str),
    /// It was not cleanly unmounted, so that what it says cannot be relied on.
    Unclean(&'static str),
    /// It cannot be said, and why.
    Unknown(&'static str),
}

/// Finds out which bytes of a partition are in use.
///
/// A file system is asked only when it is alone in the partition: see `probe`. Everything else is
/// [`FileSystemKind::Raw`], all of it in use, with a note that says why: what no reader here knows,
/// what may be two things, what is damaged, an ext file system with a feature that may change where
/// its bitmaps are. Bytes behind the end of a file system, but inside its partition, are in use as
/// well: NTFS keeps its backup boot sector there, RAID its metadata.
///
/// # Errors
///
/// When the partition cannot be read, or when a file system was not cleanly unmounted, or a system
/// is suspended to the partition, and `dirty` says to refuse that.
pub fn read_volume(partition: &dyn ReadAt, dirty: DirtyPolicy) -> Result<Volume, ReadVolumeError> {
    read_declared(partition, DeclaredType::Unknown, dirty)
}

/// The same for a partition about which its table says something.
pub(crate) fn read_declared(
    partition: &dyn ReadAt,
    declared: DeclaredType,
    dirty: DirtyPolicy,
) -> Result<Volume, ReadVolumeError> {
    let source = Source::new(partition);
    let claims = probe::find_all(&source)?;
    let mut volume = read_claimed(&source, &claims, declared, dirty)?;
    volume.notes.extend(sentences::of_end(&claims.found));
    Ok(volume)
}

fn read_claimed(
    source: &Source<'_>,
    Claims { found, unreadable }: &Claims,
    declared: DeclaredType,
    dirty: DirtyPolicy,
) -> Result<Volume, ReadVolumeError> {
    let size = source.size;
    if found
        .iter()
        .any(|finding| finding.class == Class::Suspended)
    {
        return unclean(size, SWAP, SUSPENDED, dirty);
    }
    if let Some(name) = declared::other_than_a_file_system(declared) {
        return Ok(Volume::raw(size, sentences::of_declared(name, found)));
    }
    let [Finding { class, name, .. }] = found[..] else {
        return Ok(Volume::raw(size, Some(sentences::of_many(found))));
    };
    let kind = match class {
        Class::Ext => FileSystemKind::Ext,
        Class::Ntfs => FileSystemKind::Ntfs,
        Class::Fat => FileSystemKind::Fat,
        _ => return Ok(Volume::raw(size, sentences::of_one(&found[0]))),
    };
    let raw = |text| Volume::raw(size, Some(VolumeNote::new(NoteKind::TakenRaw, text)));
    match account(source, kind) {
        Ok(Account::Used(ranges) | Account::UsedThough(ranges, _))
            if !ranges.within(unreadable).is_empty() =>
        {
            Ok(raw(sentences::not_understood(
                name,
                sentences::MARKS_UNREADABLE,
            )))
        }
        Ok(Account::Used(ranges)) => Ok(Volume::of(kind, ranges)),
        Ok(Account::UsedThough(ranges, why)) => Ok(Volume {
            notes: vec![sentences::unclean_but_whole(name, why)],
            ..Volume::of(kind, ranges)
        }),
        Ok(Account::Unclean(why)) => unclean(size, name, why, dirty),
        Ok(Account::Unknown(why)) => Ok(raw(sentences::not_understood(name, why))),
        Err(error @ ReadVolumeError::Read { .. }) => Err(error),
        Err(error) => Ok(raw(sentences::not_understood(name, &error.to_string()))),
    }
}

fn account(source: &Source<'_>, kind: FileSystemKind) -> Result<Account, ReadVolumeError> {
    let mut start = source.bytes(0, source.size.min(2048), START)?;
    start.resize(2048, 0);
    match kind {
        FileSystemKind::Ext => ext::account(source, &start),
        FileSystemKind::Ntfs => ntfs::account(source, &start),
        FileSystemKind::Fat => fat::account(source, &start),
        FileSystemKind::Raw => Ok(Account::Unknown("it is none")),
    }
}

fn unclean(
    size: u64,
    file_system: &'static str,
    why: &'static str,
    dirty: DirtyPolicy,
) -> Result<Volume, ReadVolumeError> {
    match dirty {
        DirtyPolicy::Refuse => Err(ReadVolumeError::Dirty { file_system, why }),
        DirtyPolicy::Accept => Ok(Volume::raw(
            size,
            Some(sentences::unclean(file_system, why)),
        )),
    }
}
