//! Which files have certain clusters: a search through all directories.

use std::collections::BTreeSet;

use foghorn_image::{ByteRange, ByteRanges};

use super::{BootSector, NAME, ReadVolumeError, Width};
use crate::volume::field::{Source, u16_at, u32_at};
use crate::volume::owners::{Hits, Owners};

/// Largest table that is read into memory: enough for every volume that Windows makes.
const MOST_TABLE: u64 = 64 << 20;
/// Directories and files that are looked at.
const MOST_ENTRIES: u32 = 1 << 20;
/// Clusters of all chains that are followed: twice as many as the largest table has, since a chain
/// that leads back to itself has no end.
const MOST_STEPS: u64 = 1 << 25;
/// Longest path that is followed: more than Windows allows.
const LONGEST_PATH: usize = 4096;
/// Longest directory, in bytes: the format has no longer ones.
const MOST_DIRECTORY: u64 = 2 << 20;
const ENTRY: usize = 32;
const IS_DIRECTORY: u8 = 0x10;
const IS_LABEL: u8 = 0x08;
const IS_LONG_NAME: u8 = 0x0f;
const DELETED: u8 = 0xe5;

pub(in crate::volume) fn owners(
    source: &Source<'_>,
    start: &[u8],
    wanted: &ByteRanges,
) -> Result<Owners, ReadVolumeError> {
    let source = source.of(NAME);
    let boot = BootSector::parse(start, source.size)?;
    let length = boot.width.table_bytes(boot.clusters + 2);
    if length > MOST_TABLE {
        return Ok(Owners::default());
    }
    let mut search = Search {
        table: source.bytes(boot.table_offset, length, "the file allocation table")?,
        source,
        boot,
        hits: Hits::new(wanted),
        paths: Vec::new(),
        steps: MOST_STEPS,
    };
    search.all(start);
    let (found, paths) = (&search.hits.found, &search.paths);
    Ok(Owners {
        names: found
            .iter()
            .map(|(range, path)| (*range, paths[*path as usize].clone()))
            .collect(),
        are_all: search.hits.are_all,
    })
}

struct Search<'a> {
    source: Source<'a>,
    boot: BootSector,
    table: Vec<u8>,
    hits: Hits<'a>,
    /// What hits are numbered by: only files that have some.
    paths: Vec<String>,
    /// Clusters that may still be looked at.
    steps: u64,
}

/// A directory or file as its directory describes it.
struct Entry {
    name: String,
    is_directory: bool,
    first: u64,
}

impl Search<'_> {
    fn all(&mut self, start: &[u8]) {
        let mut left = MOST_ENTRIES;
        let mut visited = BTreeSet::new();
        // Paths, and first clusters; the root of the older two has a place of its own.
        let mut directories = Vec::new();
        if self.boot.width == Width::Fat32 {
            let first = u64::from(u32_at(start, 44));
            visited.insert(first);
            self.has("/", first);
            directories.push((String::new(), Some(first)));
        } else {
            directories.push((String::new(), None));
        }
        while let Some((path, first)) = directories.pop() {
            let bytes = match first {
                Some(first) => self.directory(first),
                None => {
                    let length = u64::from(u16_at(start, 17)) * ENTRY as u64;
                    self.part(self.boot.data_offset.saturating_sub(length), length)
                }
            };
            for entry in entries(&bytes) {
                let Some(rest) = left.checked_sub(1) else {
                    self.hits.are_all = false;
                    return;
                };
                left = rest;
                let path = format!("{path}/{}", entry.name);
                self.has(&path, entry.first);
                if entry.is_directory && visited.insert(entry.first) && path.len() < LONGEST_PATH {
                    directories.push((path, Some(entry.first)));
                }
            }
        }
    }

    /// The cluster after this one in its chain.
    fn next(&self, cluster: u64) -> Option<u64> {
        let next = self.boot.width.entry(&self.table, cluster as usize);
        Some(u64::from(next)).filter(|&next| self.exists(next))
    }

    fn exists(&self, cluster: u64) -> bool {
        (2..self.boot.clusters + 2).contains(&cluster)
    }

    fn bytes_of(&self, cluster: u64) -> ByteRange {
        let start = self.boot.data_offset + (cluster - 2) * self.boot.cluster_size;
        ByteRange::new(start, start + self.boot.cluster_size)
    }

    fn has(&mut self, path: &str, first: u64) {
        let before = self.hits.found.len();
        let mut at = Some(first).filter(|&first| self.exists(first));
        while let Some(cluster) = at {
            let Some(rest) = self.steps.checked_sub(1) else {
                self.hits.are_all = false;
                break;
            };
            self.steps = rest;
            let bytes = self.bytes_of(cluster);
            self.hits.has(self.paths.len() as u64, bytes);
            at = self.next(cluster);
        }
        if self.hits.found.len() > before {
            self.paths.push(path.to_owned());
        }
    }

    /// The contents of a directory.
    fn directory(&mut self, first: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut at = Some(first).filter(|&first| self.exists(first));
        while let Some(cluster) = at
            && (bytes.len() as u64) < MOST_DIRECTORY
        {
            let range = self.bytes_of(cluster);
            bytes.extend(self.part(range.start, range.size().bytes()));
            at = self.next(cluster);
        }
        bytes
    }

    fn part(&mut self, offset: u64, length: u64) -> Vec<u8> {
        match self.source.bytes(offset, length, "a directory") {
            Ok(bytes) => bytes,
            Err(_) => {
                self.hits.are_all = false;
                // Deleted entries, so that those behind are found.
                vec![DELETED; length as usize]
            }
        }
    }
}

fn entries(directory: &[u8]) -> Vec<Entry> {
    let mut found = Vec::new();
    let mut long: Vec<u16> = Vec::new();
    for raw in directory.chunks_exact(ENTRY) {
        match (raw[0], raw[11]) {
            (0, _) => break,
            (DELETED, _) => long.clear(),
            (_, IS_LONG_NAME) => {
                // The parts of a long name come last to first.
                let places = (1..11)
                    .step_by(2)
                    .chain((14..26).step_by(2))
                    .chain([28, 30]);
                let part: Vec<u16> = places
                    .map(|at| u16_at(raw, at))
                    .take_while(|unit| !matches!(unit, 0 | 0xffff))
                    .collect();
                long.splice(0..0, part);
            }
            (b'.', _) => long.clear(),
            (_, attributes) if attributes & IS_LABEL != 0 => long.clear(),
            (_, attributes) => {
                let long = std::mem::take(&mut long);
                found.push(Entry {
                    name: if long.is_empty() {
                        short_name(raw)
                    } else {
                        String::from_utf16_lossy(&long)
                    },
                    is_directory: attributes & IS_DIRECTORY != 0,
                    first: u64::from(u16_at(raw, 26)) | u64::from(u16_at(raw, 20)) << 16,
                });
            }
        }
    }
    found
}

fn short_name(raw: &[u8]) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    match (text(&raw[..8]), text(&raw[8..11])) {
        (name, extension) if extension.is_empty() => name,
        (name, extension) => format!("{name}.{extension}"),
    }
}
