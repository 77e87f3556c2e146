//! Used clusters of NTFS: the file `$Bitmap`, found through the master file table.
//!
//! The path is: boot sector → first record of the table → where the table is → records 3
//! (`$Volume`, is it dirty), 5 (the root directory, is there a hibernation file) and 6 (`$Bitmap`).

mod boot;
mod hibernation;
mod record;
mod runs;

use foghorn_image::{ByteRange, ByteRanges};

use super::bitmap::runs_of_ones;
use super::field::{Source, u16_at};
use super::{DirtyPolicy, ReadVolumeError};
use boot::BootSector;
use record::{FileRecord, kind};
use runs::Stream;

const NAME: &str = "NTFS";
const VOLUME: u64 = 3;
const BITMAP: u64 = 6;
const VOLUME_IS_DIRTY: u16 = 1;
/// Bytes of a stream that are in memory at once.
const PIECE: u64 = 256 << 10;

/// `start`: the first 2048 bytes of the partition.
pub(super) fn looks_like_ntfs(start: &[u8]) -> bool {
    start[3..].starts_with(b"NTFS    ")
}

/// A volume whose master file table has been found.
struct Ntfs<'a> {
    source: Source<'a>,
    boot: BootSector,
    table: Stream,
}

pub(super) fn used_ranges(
    source: &Source<'_>,
    start: &[u8],
    dirty: DirtyPolicy,
) -> Result<ByteRanges, ReadVolumeError> {
    let ntfs = Ntfs::open(source.of(NAME), start)?;
    if dirty == DirtyPolicy::Refuse {
        ntfs.refuse_dirty()?;
    }
    let bitmap = ntfs.record(BITMAP)?;
    let (boot, source) = (&ntfs.boot, &ntfs.source);
    let mut used = ByteRanges::new();
    let mut add = |bits: &[u8], base: u64| {
        runs_of_ones(
            bits,
            (boot.clusters - base).min(bits.len() as u64 * 8),
            |run| {
                used.push(ByteRange::new(
                    (base + run.start) * boot.cluster_size,
                    (base + run.end) * boot.cluster_size,
                ));
            },
        );
    };
    let needed = boot.clusters.div_ceil(8);
    match bitmap.stream(kind::DATA, boot)? {
        Some(stream) if stream.size >= needed => {
            for offset in (0..needed).step_by(PIECE as usize) {
                let piece = stream.read(
                    source,
                    offset,
                    PIECE.min(needed - offset),
                    "the cluster bitmap",
                )?;
                add(&piece, offset * 8);
            }
        }
        Some(_) => {
            return Err(ReadVolumeError::damaged(
                NAME,
                "its cluster bitmap is smaller than the volume",
            ));
        }
        None => match bitmap.resident(kind::DATA)? {
            Some(bits) if bits.len() as u64 >= needed => add(bits, 0),
            Some(_) => {
                return Err(ReadVolumeError::damaged(
                    NAME,
                    "its cluster bitmap is smaller than the volume",
                ));
            }
            None => {
                return Err(
                    bitmap.lacks_data("its cluster bitmap is described by an attribute list")
                );
            }
        },
    }
    // The boot sectors and their backup at the end of the partition, whatever the bitmap says.
    used.push(ByteRange::new(
        boot.clusters * boot.cluster_size,
        source.size,
    ));
    used.push(ByteRange::new(
        0,
        boot.cluster_size.max(8192).min(source.size),
    ));
    Ok(used)
}

impl<'a> Ntfs<'a> {
    fn open(source: Source<'a>, start: &[u8]) -> Result<Self, ReadVolumeError> {
        let boot = BootSector::parse(start, source.size)?;
        let raw = source.bytes(boot.table_offset, boot.record_size, "the master file table")?;
        let first = FileRecord::parse(raw, 0)?;
        let Some(table) = first.stream_start(kind::DATA, &boot)? else {
            return Err(first.lacks_data("its master file table is described by an attribute list"));
        };
        Ok(Self {
            source,
            boot,
            table,
        })
    }

    fn record(&self, number: u64) -> Result<FileRecord, ReadVolumeError> {
        let offset = number.saturating_mul(self.boot.record_size);
        let raw = self.table.read(
            &self.source,
            offset,
            self.boot.record_size,
            "a record of the master file table",
        )?;
        FileRecord::parse(raw, number)
    }

    fn refuse_dirty(&self) -> Result<(), ReadVolumeError> {
        let volume = self.record(VOLUME)?;
        let information = volume
            .resident(kind::VOLUME_INFORMATION)?
            .filter(|value| value.len() >= 12);
        let Some(information) = information else {
            return Err(ReadVolumeError::damaged(
                NAME,
                "it has no volume information",
            ));
        };
        if u16_at(information, 10) & VOLUME_IS_DIRTY != 0 {
            return Err(ReadVolumeError::Dirty {
                file_system: NAME,
                why: "it is marked dirty",
            });
        }
        if hibernation::is_hibernated(self)? {
            let why = "Windows is hibernated on it (or was shut down with fast startup)";
            return Err(ReadVolumeError::Dirty {
                file_system: NAME,
                why,
            });
        }
        Ok(())
    }
}
