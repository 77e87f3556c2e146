//! What must hold in a manifest beyond its types.

use foghorn_types::ChunkIndex;

use crate::disks::{MAX_DISKS, disk_places};
use crate::geometry::DiskGeometry;
use crate::manifest::{ChunkEntry, FileSystem, FileSystemKind, Manifest};
use crate::mask::{UsedMask, units};
use crate::note::MAX_NOTES;
use crate::part::PartRef;
use crate::ranges::ByteRange;
use crate::root::{Head, ManifestRoot};
use crate::table::{GptTable, MAX_GPT_SLOTS, PartitionTable};

/// Why a manifest describes no disk.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what it is")]
pub enum InvalidManifest {
    #[error("the disk has a size of {0} bytes, which chunks cannot cover")]
    DiskSize(u64),
    #[error("{0} lies outside the disk")]
    ChunkOutside(ChunkIndex),
    #[error("the used mask of {0} is empty, out of order, or runs beyond the chunk")]
    Mask(ChunkIndex),
    #[error("partition {0} lies outside the disk or is empty")]
    FileSystemOutside(u32),
    #[error("partition {0} overlaps the one before it, or comes before it")]
    FileSystemOverlap(u32),
    #[error("partition {0} claims to use more than it has, or is raw and claims less")]
    FileSystemUsed(u32),
    #[error("a GPT with {0} entry slots is not supported")]
    GptSlots(u32),
    #[error("the GPT has its entries in sector {0}, where the protective MBR or its header is")]
    GptEntriesAt(u64),
    #[error("the GPT lets partitions start at sector {0}, inside the table itself")]
    GptFirstUsable(u64),
    #[error("GPT entry {0} is out of order or has no slot")]
    GptNumber(u32),
    #[error("GPT entry {0} lies outside the disk's usable sectors")]
    GptOutside(u32),
    #[error("GPT entries {0} and {1} overlap")]
    GptOverlap(u32, u32),
    #[error("there are {0} notes, more than {MAX_NOTES}")]
    TooManyNotes(usize),
    #[error("note {0} is about bytes outside the disk, or its range ends before it starts")]
    NoteOutside(usize),
    #[error("the text of note {0} is empty, too long, or has control characters")]
    NoteText(usize),
    #[error("there are {0} disks, but a list of disks has 2 to {MAX_DISKS}")]
    DiskCount(usize),
    #[error("disk {number} has a size of {size} bytes, which are not whole sectors")]
    SizeOfDisk { number: u32, size: u64 },
    #[error("the name of disk {0} is empty, too long, or has control characters")]
    DiskName(u32),
    #[error("size, sector size or partition table are not those of the disks")]
    NotOfItsDisks,
}

impl Manifest {
    /// Checks everything that the types leave open; a decoded manifest has passed.
    ///
    /// # Errors
    ///
    /// The first thing that does not hold.
    pub fn validate(&self) -> Result<(), InvalidManifest> {
        self.head().validate()?;
        let places = self.head().places();
        self.chunks
            .iter()
            .try_for_each(|entry| validate_chunk(self.geometry, &places, &entry))
    }
}

impl ManifestRoot {
    /// Checks what it has itself, without entries.
    pub(crate) fn validate(&self) -> Result<(), InvalidManifest> {
        self.head().validate()?;
        let outside = |part: &&PartRef| self.geometry.chunk_len(ChunkIndex::new(part.end - 1)) == 0;
        match self.parts().iter().find(outside) {
            Some(part) => Err(InvalidManifest::ChunkOutside(ChunkIndex::new(part.end - 1))),
            None => Ok(()),
        }
    }
}

/// Checks one entry; its place among the others is the list's. `places` are those of the disks when
/// there are several.
pub(crate) fn validate_chunk(
    geometry: DiskGeometry,
    places: &[ByteRange],
    chunk: &ChunkEntry,
) -> Result<(), InvalidManifest> {
    let length = geometry.chunk_len(chunk.index);
    if length == 0 {
        return Err(InvalidManifest::ChunkOutside(chunk.index));
    }
    if !mask_is_sane(&chunk.used, units(length)) {
        return Err(InvalidManifest::Mask(chunk.index));
    }
    if !places.is_empty() {
        let start = DiskGeometry::chunk_offset(chunk.index).bytes();
        let last = chunk.used.byte_ranges(length).last();
        let end = start + last.map_or(0, |last| last.end) as u64;
        if !on_one_disk(places, start, end) {
            return Err(InvalidManifest::ChunkOutside(chunk.index));
        }
    }
    Ok(())
}

/// Whether all of it lies on one of the disks.
fn on_one_disk(places: &[ByteRange], start: u64, end: u64) -> bool {
    let after = places.partition_point(|place| place.start <= start);
    let place = places[..after].last();
    place.is_some_and(|place| start < place.end && end <= place.end)
}

impl Head<'_> {
    fn validate(&self) -> Result<(), InvalidManifest> {
        if !self.geometry.can_have_a_manifest() {
            return Err(InvalidManifest::DiskSize(self.geometry.size.bytes()));
        }
        if let PartitionTable::Gpt(table) = self.table {
            validate_gpt(self.geometry, table)?;
        }
        self.validate_file_systems()?;
        self.validate_notes()?;
        if self.disks.is_empty() {
            Ok(())
        } else {
            self.validate_disks()
        }
    }

    /// Where the disks lie when there are several.
    pub(crate) fn places(&self) -> Vec<ByteRange> {
        disk_places(self.disks.iter().map(|disk| disk.size))
    }

    /// What else must hold when there are several: the table and the sizes are those of the disks,
    /// and nothing lies between them or on two of them.
    fn validate_disks(&self) -> Result<(), InvalidManifest> {
        let count = self.disks.len();
        if !(2..=MAX_DISKS).contains(&count) {
            return Err(InvalidManifest::DiskCount(count));
        }
        for (number, disk) in (1..).zip(self.disks) {
            let size = disk.size.bytes();
            if size == 0 || !size.is_multiple_of(disk.sector_size.bytes()) {
                return Err(InvalidManifest::SizeOfDisk { number, size });
            }
            if !disk.has_sane_name() {
                return Err(InvalidManifest::DiskName(number));
            }
            if let PartitionTable::Gpt(table) = &disk.table {
                let geometry = DiskGeometry {
                    size: disk.size,
                    sector_size: disk.sector_size,
                };
                validate_gpt(geometry, table)?;
            }
        }
        let places = self.places();
        if places.last().map(|last| last.end) != Some(self.geometry.size.bytes())
            || self.disks[0].sector_size != self.geometry.sector_size
            || *self.table != PartitionTable::None
        {
            return Err(InvalidManifest::NotOfItsDisks);
        }
        for fs in self.file_systems {
            let start = fs.start.bytes();
            if !on_one_disk(&places, start, start.saturating_add(fs.size.bytes())) {
                return Err(InvalidManifest::FileSystemOutside(fs.partition));
            }
        }
        for (number, note) in (1..).zip(self.notes) {
            if !on_one_disk(&places, note.range.start, note.range.end) {
                return Err(InvalidManifest::NoteOutside(number));
            }
        }
        Ok(())
    }

    fn validate_file_systems(&self) -> Result<(), InvalidManifest> {
        let disk = self.geometry.size.bytes();
        let mut previous_end = 0;
        for FileSystem {
            partition,
            start,
            size,
            kind,
            used,
        } in self.file_systems
        {
            let end = start
                .bytes()
                .checked_add(size.bytes())
                .filter(|&end| end <= disk && size.bytes() > 0);
            let end = end.ok_or(InvalidManifest::FileSystemOutside(*partition))?;
            if start.bytes() < previous_end {
                return Err(InvalidManifest::FileSystemOverlap(*partition));
            }
            previous_end = end;
            if used > size || (*kind == FileSystemKind::Raw && used != size) {
                return Err(InvalidManifest::FileSystemUsed(*partition));
            }
        }
        Ok(())
    }

    fn validate_notes(&self) -> Result<(), InvalidManifest> {
        if self.notes.len() > MAX_NOTES {
            return Err(InvalidManifest::TooManyNotes(self.notes.len()));
        }
        for (number, note) in (1..).zip(self.notes) {
            if note.range.start > note.range.end || note.range.end > self.geometry.size.bytes() {
                return Err(InvalidManifest::NoteOutside(number));
            }
            if !note.has_sane_text() {
                return Err(InvalidManifest::NoteText(number));
            }
        }
        Ok(())
    }
}

fn validate_gpt(geometry: DiskGeometry, table: &GptTable) -> Result<(), InvalidManifest> {
    if !(1..=MAX_GPT_SLOTS).contains(&table.entry_slots) {
        return Err(InvalidManifest::GptSlots(table.entry_slots));
    }
    let sector_size = geometry.sector_size;
    if table.entries_lba < 2 {
        return Err(InvalidManifest::GptEntriesAt(table.entries_lba));
    }
    let entries_end = table
        .entries_lba
        .saturating_add(table.array_sectors(sector_size));
    if table.first_usable_lba < entries_end {
        return Err(InvalidManifest::GptFirstUsable(table.first_usable_lba));
    }
    let sectors = geometry.size.bytes() / sector_size.bytes();
    let usable_end = sectors.saturating_sub(1 + table.array_sectors(sector_size));
    let mut previous = 0;
    for entry in &table.entries {
        if entry.number <= previous || entry.number > table.entry_slots {
            return Err(InvalidManifest::GptNumber(entry.number));
        }
        previous = entry.number;
        if entry.first_lba < table.first_usable_lba
            || entry.last_lba < entry.first_lba
            || entry.last_lba >= usable_end
        {
            return Err(InvalidManifest::GptOutside(entry.number));
        }
    }
    let mut by_place: Vec<_> = table.entries.iter().collect();
    by_place.sort_unstable_by_key(|entry| entry.first_lba);
    match by_place
        .windows(2)
        .find(|pair| pair[1].first_lba <= pair[0].last_lba)
    {
        Some(pair) => Err(InvalidManifest::GptOverlap(pair[0].number, pair[1].number)),
        None => Ok(()),
    }
}

/// `units`: 512-byte units that the chunk has.
fn mask_is_sane(mask: &UsedMask, units: u16) -> bool {
    let UsedMask::Ranges(ranges) = mask else {
        return true;
    };
    let ordered = ranges.windows(2).all(|pair| pair[0].end < pair[1].start);
    let filled = ranges
        .iter()
        .all(|range| range.start < range.end && range.end <= units);
    let whole = matches!(ranges[..], [only] if only.start == 0 && only.end == units);
    !ranges.is_empty() && ordered && filled && !whole
}
