//! Which files have certain clusters: a search through the master file table.

use foghorn_image::{ByteRange, ByteRanges};

use super::record::{FileRecord, RECORD_BITS, kind};
use super::table::{Ntfs, Value};
use super::{NAME, PIECE, ReadVolumeError};
use crate::volume::field::{Source, u64_at};
use crate::volume::owners::{Hits, Owners};

const ROOT: u64 = 5;
/// Records that are read: of the largest volumes not all.
const MOST_RECORDS: u64 = 1 << 23;
/// Deepest path that is followed to the root.
const DEEPEST: usize = 256;
/// Kind of names that only DOS sees.
const DOS: u8 = 2;

pub(in crate::volume) fn owners(
    source: &Source<'_>,
    start: &[u8],
    wanted: &ByteRanges,
) -> Result<Owners, ReadVolumeError> {
    let ntfs = Ntfs::open(source.of(NAME), start)?;
    let mut hits = Hits::new(wanted);
    let records = ntfs.records();
    let per_piece = (PIECE / ntfs.boot.record_size).max(1);
    hits.are_all &= records <= MOST_RECORDS;
    for first in (0..records.min(MOST_RECORDS)).step_by(per_piece as usize) {
        search(&ntfs, first, per_piece.min(records - first), &mut hits);
    }
    let names = hits.found.iter();
    Ok(Owners {
        names: names
            .map(|(range, record)| (*range, path_of(&ntfs, *record)))
            .collect(),
        are_all: hits.are_all,
    })
}

/// Looks at `count` records from `first` on. Where they cannot be read at once, those that can be
/// are looked at.
fn search(ntfs: &Ntfs<'_>, first: u64, count: u64, hits: &mut Hits<'_>) {
    match ntfs.raw_records(first, count) {
        Ok(raw) => {
            let size = ntfs.boot.record_size as usize;
            for (number, raw) in (first..).zip(raw.chunks_exact(size)) {
                // What was never used has no signature.
                if raw.starts_with(b"FILE") {
                    match FileRecord::parse(raw.to_vec(), number) {
                        Ok(record) => look(ntfs, &record, hits),
                        Err(_) => hits.are_all = false,
                    }
                }
            }
        }
        Err(_) if count > 1 => {
            let half = count / 2;
            search(ntfs, first, half, hits);
            search(ntfs, first + half, count - half, hits);
        }
        Err(_) => hits.are_all = false,
    }
}

fn look(ntfs: &Ntfs<'_>, record: &FileRecord, hits: &mut Hits<'_>) {
    if !record.is_in_use() {
        return;
    }
    let file = record.base().unwrap_or_else(|| record.number());
    let size = ntfs.boot.cluster_size;
    let Ok(attributes) = record.attributes() else {
        hits.are_all = false;
        return;
    };
    for attribute in attributes.iter().filter(|one| !one.is_resident()) {
        let Some(stream) = attribute.stream(size) else {
            hits.are_all = false;
            continue;
        };
        for run in &stream.runs {
            if let Some(first) = run.first {
                let end = first.saturating_add(run.clusters).saturating_mul(size);
                hits.has(file, ByteRange::new(first.saturating_mul(size), end));
            }
        }
    }
}

fn path_of(ntfs: &Ntfs<'_>, file: u64) -> String {
    let mut path = String::new();
    let mut at = file;
    for _ in 0..DEEPEST {
        if at == ROOT {
            return if path.is_empty() {
                "/".to_owned()
            } else {
                path
            };
        }
        let Some((parent, name)) = name_of(ntfs, at) else {
            break;
        };
        path = format!("/{name}{path}");
        at = parent;
    }
    format!("…{path} (record {file})")
}

/// The directory of a file, and its name there.
fn name_of(ntfs: &Ntfs<'_>, file: u64) -> Option<(u64, String)> {
    let record = ntfs.record(file).ok()?;
    let attributes = record.attributes().ok()?;
    let own = attributes
        .iter()
        .filter(|one| one.kind() == kind::FILE_NAME)
        .filter_map(|one| parse(one.resident()?));
    let (mut of_dos, mut others): (Vec<_>, Vec<_>) = own.partition(|name| name.2 == DOS);
    let (parent, name, _) = match (others.pop(), of_dos.pop()) {
        (Some(name), _) | (None, Some(name)) => name,
        (None, None) => match ntfs.value(&record, kind::FILE_NAME, "").ok()?? {
            Value::Resident(value) => parse(&value)?,
            Value::Stream(_) => return None,
        },
    };
    Some((parent, name))
}

/// Directory, name and kind of a name.
fn parse(value: &[u8]) -> Option<(u64, String, u8)> {
    let (&length, &kind) = (value.get(64)?, value.get(65)?);
    let name = value.get(66..66 + 2 * usize::from(length))?;
    let units: Vec<u16> = name
        .chunks_exact(2)
        .map(|unit| u16::from_le_bytes([unit[0], unit[1]]))
        .collect();
    Some((
        u64_at(value, 0) & RECORD_BITS,
        String::from_utf16_lossy(&units),
        kind,
    ))
}
