//! Used clusters of NTFS: the file `$Bitmap`, found through the master file table.
//!
//! The path is: boot sector → first record of the table → where the table is → records 3
//! (`$Volume`, is it dirty), 2 (`$LogFile`, is there something to replay), 5 (the root directory,
//! is there a hibernation file) and 6 (`$Bitmap`).

mod boot;
mod hibernation;
mod log;
mod owners;
mod record;
mod runs;
mod table;

use foghorn_image::{ByteRange, ByteRanges};

use super::bitmap::runs_of_ones;
use super::field::{Source, u16_at};
use super::{Account, ReadVolumeError};
pub(super) use owners::owners;

use record::kind;
use runs::Stream;
use table::{Ntfs, Value};

pub(super) const NAME: &str = "NTFS";
const VOLUME: u64 = 3;
const BITMAP: u64 = 6;
const BAD_CLUSTERS: u64 = 8;
const VOLUME_IS_DIRTY: u16 = 1;
/// Bytes of a stream that are in memory at once.
const PIECE: u64 = 256 << 10;

/// `start`: the first 2048 bytes of the partition.
pub(super) fn looks_like_ntfs(start: &[u8]) -> bool {
    start[3..].starts_with(b"NTFS    ")
}

/// Windows finishes what is in the log, or in its memory while it sleeps, when it starts: until then
/// the bitmap may be older than the files.
pub(super) fn account(source: &Source<'_>, start: &[u8]) -> Result<Account, ReadVolumeError> {
    let ntfs = Ntfs::open(source.of(NAME), start)?;
    if let Some(why) = why_volume_is_unclean(&ntfs)? {
        return Ok(Account::Unclean(why));
    }
    used_ranges(&ntfs).map(Account::Used)
}

/// The same without its clusters.
pub(super) fn why_unclean(
    source: &Source<'_>,
    start: &[u8],
) -> Result<Option<&'static str>, ReadVolumeError> {
    why_volume_is_unclean(&Ntfs::open(source.of(NAME), start)?)
}

fn why_volume_is_unclean(ntfs: &Ntfs<'_>) -> Result<Option<&'static str>, ReadVolumeError> {
    let volume = ntfs.record(VOLUME)?;
    let information = volume
        .resident(kind::VOLUME_INFORMATION, "")?
        .filter(|value| value.len() >= 12)
        .ok_or_else(|| ReadVolumeError::damaged(NAME, "it has no volume information"))?;
    if u16_at(information, 10) & VOLUME_IS_DIRTY != 0 {
        return Ok(Some("it is marked dirty"));
    }
    // The more telling reason first: a sleeping Windows has its log in use, too.
    if hibernation::is_hibernated(ntfs)? {
        return Ok(Some(
            "Windows is hibernated on it (or was shut down with fast startup)",
        ));
    }
    log::why_in_use(ntfs)
}

fn used_ranges(ntfs: &Ntfs<'_>) -> Result<ByteRanges, ReadVolumeError> {
    let (boot, source) = (&ntfs.boot, &ntfs.source);
    let mut used = ByteRanges::new();
    let mut add = |bits: &[u8], base: u64| {
        let count = (boot.clusters - base).min(bits.len() as u64 * 8);
        runs_of_ones(bits, count, |run| {
            used.push(ByteRange::new(
                (base + run.start) * boot.cluster_size,
                (base + run.end) * boot.cluster_size,
            ));
        });
    };
    let needed = boot.clusters.div_ceil(8);
    let bitmap = ntfs.record(BITMAP)?;
    match ntfs.value(&bitmap, kind::DATA, "")? {
        Some(Value::Stream(stream)) if stream.size >= needed => {
            for offset in (0..needed).step_by(PIECE as usize) {
                let length = PIECE.min(needed - offset);
                add(
                    &stream.read(source, offset, length, "the cluster bitmap")?,
                    offset * 8,
                );
            }
        }
        Some(Value::Resident(bits)) if bits.len() as u64 >= needed => add(&bits, 0),
        Some(_) => {
            let what = "its cluster bitmap is smaller than the volume";
            return Err(ReadVolumeError::damaged(NAME, what));
        }
        None => return Err(bitmap.damaged()),
    }
    let mut used = used.without(&bad_clusters(ntfs)?);
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

/// Clusters that nobody uses because they are bad. They belong to a file as large as the volume that
/// has holes everywhere else. A list that is not valid counts as empty.
fn bad_clusters(ntfs: &Ntfs<'_>) -> Result<ByteRanges, ReadVolumeError> {
    let list = ntfs
        .record(BAD_CLUSTERS)
        .and_then(|record| ntfs.value(&record, kind::DATA, "$Bad"));
    let runs = match list {
        Ok(Some(Value::Stream(stream))) => stream.runs,
        Err(error) if error.is_unreadable() => return Err(error),
        _ => return Ok(ByteRanges::new()),
    };
    let size = ntfs.boot.cluster_size;
    let bad = runs.iter().filter_map(|run| {
        let first = run.first?;
        let end = first.checked_add(run.clusters)?;
        (end <= ntfs.boot.clusters).then(|| ByteRange::new(first * size, end * size))
    });
    Ok(bad.collect())
}
