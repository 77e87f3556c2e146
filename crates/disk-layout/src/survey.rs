//! Everything that a capture has to know about a disk, in one call.

use std::collections::BTreeSet;

use foghorn_image::{ByteRange, ByteRanges, FileSystem, Note, NoteKind, PartitionTable};
use foghorn_types::{DiskPart, SectorSize};

use crate::layout::{Layout, LayoutNote, Partition, ReadLayoutError, read_layout};
use crate::read_at::{ReadAt, Window};
use crate::volume::{DirtyPolicy, ReadVolumeError, Volume, read_declared};

/// Some partitions of a disk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PartitionSet {
    /// All, also where the disk has no table.
    All,
    /// These, as Linux counts; 0 is a disk without a table.
    Only(BTreeSet<u32>),
}

impl Default for PartitionSet {
    /// None.
    fn default() -> Self {
        Self::Only(BTreeSet::new())
    }
}

impl PartitionSet {
    /// Whether the partition is one of them.
    #[must_use]
    pub fn contains(&self, number: u32) -> bool {
        match self {
            Self::All => true,
            Self::Only(numbers) => numbers.contains(&number),
        }
    }
}

/// What of a disk is surveyed, and how.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct SurveyOptions {
    /// Partitions that are taken although they were not cleanly unmounted.
    pub dirty: PartitionSet,
    /// Partitions that are taken raw, whatever is in them. All of them: every block between and behind
    /// them that is not zero is in use too.
    pub raw: PartitionSet,
    /// Nothing else is in use, and no other file system is read.
    pub part: DiskPart,
    /// What says how the disk is divided, or what a partition uses, may be unreadable: then the whole
    /// of it counts as used.
    pub rescue: bool,
}

/// What is on a disk and which of its bytes are in use.
#[derive(Debug)]
pub struct DiskContents {
    /// The table as data.
    pub table: PartitionTable,
    /// One per partition, ascending by start.
    pub file_systems: Vec<FileSystem>,
    /// Used bytes of the disk: of every volume, and the raw areas beside them.
    pub used: ByteRanges,
    /// Where of the used bytes only those matter that are not zero, see [`Layout::sparse_areas`].
    pub sparse: ByteRanges,
    /// Used bytes that nothing is known to need, see [`Layout::idle_areas`].
    pub idle: ByteRanges,
    /// What whoever deploys the image should know.
    pub notes: Vec<Note>,
}

/// Why a disk could not be surveyed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what it is")]
pub enum SurveyDiskError {
    #[error("could not read the partition table")]
    Layout(#[source] ReadLayoutError),
    #[error(
        "the partition table cannot be used: repair it, or take the whole disk raw (--raw all, into an image of everything)"
    )]
    UnusableTable(#[source] ReadLayoutError),
    #[error("could not read partition {number}", number = partition.number)]
    Volume {
        partition: Partition,
        source: ReadVolumeError,
    },
    #[error("{named_by} names partition {number}, but {found}", found = numbers(.found))]
    NoSuchPartition {
        /// The option that names it, or the image.
        named_by: &'static str,
        number: u32,
        found: Vec<u32>,
    },
    #[error(
        "{named_by} names partition {number}, but the image is only of {part}, so that it would have no effect"
    )]
    OutsidePart {
        /// The option that names it.
        named_by: &'static str,
        number: u32,
        part: DiskPart,
    },
    #[error("the disk has no partition table, so there is only the whole disk to capture")]
    NoTable,
}

impl SurveyDiskError {
    /// Which bytes of the disk could not be read, and what they say; `None` when it was not the disk
    /// that failed.
    #[must_use]
    pub fn unreadable(&self) -> Option<(String, ByteRange)> {
        match self {
            Self::Layout(ReadLayoutError::Read { offset, .. }) => {
                let what = "which may say how the disk is divided".to_owned();
                // Tables are read by sectors.
                Some((what, ByteRange::new(*offset, offset.saturating_add(512))))
            }
            Self::Volume {
                partition,
                source:
                    ReadVolumeError::Read {
                        what,
                        offset,
                        length,
                        ..
                    },
            } => {
                let range = ByteRange::new(*offset, offset.saturating_add(*length));
                let text = format!(
                    "which are {what} and say what partition {} uses",
                    partition.number
                );
                Some((text, range.shifted(partition.start.bytes())))
            }
            _ => None,
        }
    }
}

fn numbers(found: &[u32]) -> String {
    let found: Vec<String> = found.iter().map(ToString::to_string).collect();
    match found.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => "the disk has no partitions".to_owned(),
        ["0"] => "the disk has no partition table; as a whole it has number 0".to_owned(),
        _ => format!("the disk has {}", found.join(", ")),
    }
}

/// Reads the partition table and the bitmaps of every file system that is in the part.
///
/// A partition that cannot be understood is taken raw, with a note. So is a whole disk with a table
/// that cannot be believed, if all of it is to be raw.
///
/// # Errors
///
/// When the table cannot be read or believed, a partition cannot be read, a file system was not
/// cleanly unmounted and the options do not accept that, or the disk does not have the part, or a
/// partition that the options name.
pub fn survey_disk(
    disk: &dyn ReadAt,
    sector_size: SectorSize,
    options: &SurveyOptions,
) -> Result<DiskContents, SurveyDiskError> {
    let layout = layout_of(disk, sector_size, options)?;
    let partitions = chosen(&layout, options)?;
    let beside = Beside::of(&layout, options);
    let mut notes: Vec<Note> = layout.notes.iter().flat_map(LayoutNote::to_notes).collect();
    if beside.is_complete {
        notes.retain(|note| note.kind != NoteKind::LeftOut);
    }
    notes.extend(note_of_part(options.part, &partitions));
    let mut file_systems = Vec::with_capacity(partitions.len());
    let mut used = ByteRanges::new();
    for partition in partitions {
        let volume = survey_partition(disk, &partition, layout.raw_disk, options)?;
        let start = partition.start.bytes();
        notes.extend(volume.notes.iter().map(|note| {
            let kind = match note.kind {
                NoteKind::PartitionSizeTied if partition.number == 0 => NoteKind::SizeTied,
                kind => kind,
            };
            Note::new(kind, partition.number, partition.range(), &note.text)
        }));
        volume
            .ranges
            .iter()
            .for_each(|range| used.push(range.shifted(start)));
        file_systems.push(FileSystem {
            partition: partition.number,
            start: partition.start,
            size: partition.size,
            kind: volume.kind,
            used: volume.used,
        });
    }
    used.extend_from(&beside.used);
    Ok(DiskContents {
        table: layout.table,
        file_systems,
        used,
        sparse: beside.sparse,
        idle: beside.idle,
        notes,
    })
}

/// Whether the disk has the part and the partitions that the options name, for whoever wants to know
/// that before anything else is read. A table that cannot be read is nothing for this.
///
/// # Errors
/// [`SurveyDiskError::NoSuchPartition`], [`SurveyDiskError::OutsidePart`] or
/// [`SurveyDiskError::NoTable`].
pub fn check_options(
    disk: &dyn ReadAt,
    sector_size: SectorSize,
    options: &SurveyOptions,
) -> Result<(), SurveyDiskError> {
    match layout_of(disk, sector_size, options) {
        Ok(layout) => chosen(&layout, options).map(drop),
        Err(_) => Ok(()),
    }
}

/// The partitions that are in the part; the options name no others.
fn chosen(layout: &Layout, options: &SurveyOptions) -> Result<Vec<Partition>, SurveyDiskError> {
    let named = [("--accept-dirty", &options.dirty), ("--raw", &options.raw)];
    for (named_by, set) in named {
        check_numbers(named_by, set, &layout.partitions)?;
    }
    let partitions = partitions_of(layout, options.part)?;
    for (named_by, set) in named {
        check_part(named_by, set, options.part, &partitions)?;
    }
    Ok(partitions)
}

/// Refuses numbers of partitions that are not read.
fn check_part(
    named_by: &'static str,
    set: &PartitionSet,
    part: DiskPart,
    partitions: &[Partition],
) -> Result<(), SurveyDiskError> {
    let PartitionSet::Only(numbers) = set else {
        return Ok(());
    };
    let is_read =
        |number: u32| part != DiskPart::Table && partitions.iter().any(|one| one.number == number);
    match numbers.iter().find(|&&number| !is_read(number)) {
        Some(&number) => Err(SurveyDiskError::OutsidePart {
            named_by,
            number,
            part,
        }),
        None => Ok(()),
    }
}

/// The layout of the disk. One whose table cannot be believed has none for those who want everything
/// raw.
fn layout_of(
    disk: &dyn ReadAt,
    sector_size: SectorSize,
    options: &SurveyOptions,
) -> Result<Layout, SurveyDiskError> {
    match read_layout(disk, sector_size) {
        Err(why) if options.rescue && why.is_unreadable() => Ok(Layout::unreadable(disk, &why)),
        Err(why) if !why.is_about_the_table() => Err(SurveyDiskError::Layout(why)),
        Err(why) if options.raw == PartitionSet::All && options.part.is_everything() => {
            Ok(Layout::in_spite_of(disk, &why))
        }
        Err(why) => Err(SurveyDiskError::UnusableTable(why)),
        Ok(layout) => Ok(layout),
    }
}

fn survey_partition(
    disk: &dyn ReadAt,
    partition: &Partition,
    raw_disk: bool,
    options: &SurveyOptions,
) -> Result<Volume, SurveyDiskError> {
    let size = partition.size.bytes();
    if options.part == DiskPart::Table {
        // Named, because the table needs a disk with room for it; nothing of it is in use.
        return Ok(Volume {
            ranges: ByteRanges::new(),
            ..Volume::raw(size, None)
        });
    }
    let window = Window::new(disk, partition.start.bytes(), size);
    if options.raw.contains(partition.number) {
        return Ok(Volume::raw_by_order(&window));
    }
    if raw_disk {
        return Ok(Volume::raw_disk(&window));
    }
    let dirty = if options.dirty.contains(partition.number) {
        DirtyPolicy::Accept
    } else {
        DirtyPolicy::Refuse
    };
    match read_declared(&window, partition.declared, dirty) {
        Err(error) if options.rescue && error.is_unreadable() => {
            Ok(Volume::raw_by_necessity(size, &error))
        }
        read => read.map_err(|source| SurveyDiskError::Volume {
            partition: *partition,
            source,
        }),
    }
}

/// Refuses numbers that no partition has.
fn check_numbers(
    named_by: &'static str,
    set: &PartitionSet,
    partitions: &[Partition],
) -> Result<(), SurveyDiskError> {
    let PartitionSet::Only(numbers) = set else {
        return Ok(());
    };
    let found: Vec<u32> = partitions
        .iter()
        .map(|partition| partition.number)
        .collect();
    match numbers.iter().find(|number| !found.contains(number)) {
        Some(&number) => Err(SurveyDiskError::NoSuchPartition {
            named_by,
            number,
            found,
        }),
        None => Ok(()),
    }
}

/// The partitions that are in the part.
fn partitions_of(layout: &Layout, part: DiskPart) -> Result<Vec<Partition>, SurveyDiskError> {
    let all = &layout.partitions;
    match part {
        DiskPart::Table if layout.table == PartitionTable::None => Err(SurveyDiskError::NoTable),
        DiskPart::Everything | DiskPart::Table => Ok(all.clone()),
        DiskPart::Partition(number) => {
            let number = number.get();
            let only = all.iter().find(|one| one.number == number);
            let only = only.ok_or_else(|| SurveyDiskError::NoSuchPartition {
                named_by: "the image",
                number,
                found: all.iter().map(|one| one.number).collect(),
            })?;
            Ok(vec![*only])
        }
    }
}

/// What lies outside of the partitions.
struct Beside {
    used: ByteRanges,
    /// See [`DiskContents::sparse`].
    sparse: ByteRanges,
    /// See [`DiskContents::idle`].
    idle: ByteRanges,
    /// Nothing is left out that the image is about.
    is_complete: bool,
}

impl Beside {
    fn of(layout: &Layout, options: &SurveyOptions) -> Self {
        let is_raw = options.raw == PartitionSet::All;
        let (mut used, mut sparse) = (layout.raw_areas.clone(), layout.sparse_areas.clone());
        let mut idle = layout.idle_areas.clone();
        match options.part {
            DiskPart::Everything if is_raw => {
                used.extend_from(&layout.left_out);
                sparse.extend_from(&layout.left_out);
                // Somebody wants every byte.
                idle = ByteRanges::new();
            }
            DiskPart::Everything | DiskPart::Table => {}
            DiskPart::Partition(_) => {
                (used, sparse, idle) = (ByteRanges::new(), ByteRanges::new(), ByteRanges::new());
            }
        }
        Self {
            used,
            sparse,
            idle,
            is_complete: is_raw || !options.part.is_everything(),
        }
    }
}

/// Says what is in the image, and what therefore is not. Deploys read it as well
/// ([`Manifest::part`](foghorn_image::Manifest::part)).
fn note_of_part(part: DiskPart, partitions: &[Partition]) -> Option<Note> {
    let kind = NoteKind::PartOfDisk;
    match part {
        DiskPart::Everything => None,
        DiskPart::Table => Some(Note::of_disk(
            kind,
            "the image holds only the partition table, the boot code and what lies between the \
             partitions, and nothing that is inside a partition",
        )),
        DiskPart::Partition(number) => Some(Note::new(
            kind,
            number.get(),
            partitions
                .first()
                .map_or(ByteRange::new(0, 0), Partition::range),
            &format!("the image holds only partition {number}, and nothing else of the disk"),
        )),
    }
}
