//! What of a disk could not be read: what is told about it, and whether the capture goes on.

use std::sync::{Mutex, PoisonError};

use foghorn_disk_layout::{Owners, Window, owners};
use foghorn_image::{ByteRange, ByteRanges, FileSystem, FileSystemKind, Note, NoteKind};

use super::CaptureError;
use super::survey::Surveyed;
use crate::disk::{DiskError, DiskSet};

/// Places that are kept apart; beyond that many, the last one grows instead.
const MOST_PLACES: usize = 1 << 16;
/// Places of a partition whose files are looked for.
const MOST_NAMED: usize = 1000;
/// Characters of a name.
const LONGEST_NAME: usize = 200;
/// Names in one sentence.
const MOST_IN_TEXT: usize = 5;

/// What a capture does about bytes that cannot be read.
pub(super) struct Losses {
    /// Goes on, whatever they are.
    rescue: bool,
    /// Nothing is known to need these bytes.
    idle: ByteRanges,
    file_systems: Vec<FileSystem>,
    lost: Mutex<Lost>,
}

#[derive(Default)]
struct Lost {
    /// Ascending.
    places: Vec<ByteRange>,
    bytes: u64,
}

impl Losses {
    pub(super) fn new(contents: &Surveyed, rescue: bool) -> Self {
        Self {
            rescue,
            idle: contents.idle.clone(),
            file_systems: contents.file_systems.clone(),
            lost: Mutex::default(),
        }
    }

    /// Used bytes, divided where their meaning changes.
    pub(super) fn divide(&self, range: ByteRange) -> Vec<ByteRange> {
        let range: ByteRanges = [range].into_iter().collect();
        let mut parts: Vec<ByteRange> = Vec::new();
        for part in [range.within(&self.idle), range.without(&self.idle)] {
            parts.extend(&part);
        }
        parts.sort_unstable();
        parts
    }

    /// Whether the capture goes on without these bytes.
    pub(super) fn may_miss(&self, range: ByteRange) -> bool {
        self.rescue || self.idle.covers(range)
    }

    /// The capture goes on without these bytes; they come in order.
    pub(super) fn add(&self, range: ByteRange) {
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        lost.bytes += range.size().bytes();
        let is_full = lost.places.len() == MOST_PLACES;
        match lost.places.last_mut() {
            Some(last) if last.end == range.start || is_full => last.end = range.end,
            _ => lost.places.push(range),
        }
    }

    /// The end of a capture that may not go on without these bytes.
    pub(super) fn failure(
        &self,
        disks: &DiskSet,
        ranges: &[ByteRange],
        error: DiskError,
    ) -> CaptureError {
        let Some(first) = ranges.first() else {
            return error.into();
        };
        let others = match ranges.len() - 1 {
            0 => String::new(),
            count => format!(" (and in {count} more places within the same MiB)"),
        };
        let place = match self.file_system_of(*first) {
            None => "outside the partitions, where boot code may be".to_owned(),
            Some(found) => {
                let here = ranges.iter().filter(|range| holds(found, **range));
                let names = names(disks, found, here.copied());
                let whose = match found.kind {
                    FileSystemKind::Raw => {
                        "of which every block is taken, so that no file can be named".to_owned()
                    }
                    _ => format!("in use by {}", sentence(&names)),
                };
                format!("{}, {whose}", name_of(found))
            }
        };
        CaptureError::Unreadable {
            length: first.size().bytes(),
            offset: disks.at(first.start).1,
            path: error.path.clone(),
            what: format!("{place}{others}"),
            source: Box::new(error),
        }
    }

    fn file_system_of(&self, range: ByteRange) -> Option<&FileSystem> {
        let found = self.file_systems.iter().find(|one| holds(one, range));
        found.filter(|_| !self.idle.covers(range))
    }

    /// Bytes that are missing.
    pub(super) fn bytes(&self) -> u64 {
        let lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        lost.bytes
    }

    /// The notes about what is missing, of which there may be more than fit a manifest. Searches for
    /// the names of files, which reads the disk.
    pub(super) fn notes(&self, disks: &DiskSet) -> Vec<Note> {
        let lost = std::mem::take(&mut *self.lost.lock().unwrap_or_else(PoisonError::into_inner));
        let mut notes = Vec::new();
        if lost.places.len() > 1 {
            let text = format!(
                "{} bytes in {} places of the disk could not be read and are zero in the image",
                lost.bytes,
                lost.places.len()
            );
            notes.push(Note::of_disk(NoteKind::Unreadable, &text));
        }
        let (mut rest, mut outside) = (&lost.places[..], Vec::new());
        for found in &self.file_systems {
            let before = rest.partition_point(|place| place.end <= found.start.bytes());
            outside.extend_from_slice(&rest[..before]);
            rest = &rest[before..];
            let inside = rest.partition_point(|place| holds(found, *place));
            notes.extend(notes_of(disks, found, &rest[..inside]));
            rest = &rest[inside..];
        }
        outside.extend_from_slice(rest);
        notes.extend(outside.into_iter().map(|place| {
            let text = if self.idle.covers(place) {
                "between partitions, where nothing is known to be needed: could not be read and is \
                 zero in the image"
            } else {
                "outside the partitions, where boot code may be: could not be read and is zero in \
                 the image"
            };
            Note::new(NoteKind::Unreadable, 0, place, text)
        }));
        if disks.count() > 1 {
            notes = notes.iter().map(|note| with_disk(disks, note)).collect();
        }
        notes
    }
}

/// The note with the number of its disk, unless it is about all of them.
fn with_disk(disks: &DiskSet, note: &Note) -> Note {
    if note.range.is_empty() {
        return note.clone();
    }
    let starts = disks.iter().map(|(start, _)| start);
    let number = starts.filter(|start| *start <= note.range.start).count();
    let text = format!("disk {number}: {}", note.text);
    Note::new(note.kind, note.partition, note.range, &text)
}

fn notes_of(disks: &DiskSet, found: &FileSystem, places: &[ByteRange]) -> Vec<Note> {
    let known = names(disks, found, places.iter().take(MOST_NAMED).copied());
    let start = found.start.bytes();
    places
        .iter()
        .enumerate()
        .map(|(number, place)| {
            let whose = match found.kind {
                FileSystemKind::Raw => String::new(),
                _ if number >= MOST_NAMED => ": the files in it were not looked for".to_owned(),
                _ => {
                    let here = known.names.iter();
                    let here = here.filter(|(range, _)| range.shifted(start) == *place);
                    let here = Owners {
                        names: here.cloned().collect(),
                        are_all: known.are_all,
                    };
                    format!(": in use by {}", sentence(&here))
                }
            };
            let text = format!("could not be read and is zero in the image{whose}");
            Note::new(NoteKind::Unreadable, found.partition, *place, &text)
        })
        .collect()
}

fn holds(found: &FileSystem, range: ByteRange) -> bool {
    let start = found.start.bytes();
    start <= range.start && range.end <= start + found.size.bytes()
}

/// The owners of places of the disk; the ranges in the answer count from the start of the partition.
fn names(disks: &DiskSet, found: &FileSystem, places: impl Iterator<Item = ByteRange>) -> Owners {
    let start = found.start.bytes();
    let wanted: ByteRanges = places
        .map(|place| ByteRange::new(place.start - start, place.end - start))
        .collect();
    if wanted.is_empty() {
        return Owners::default();
    }
    let (disk, start) = disks.at(start);
    let window = Window::new(disk, start, found.size.bytes());
    owners(&window, found.kind, &wanted)
}

fn name_of(found: &FileSystem) -> String {
    let kind = match found.kind {
        FileSystemKind::Raw => "raw",
        FileSystemKind::Ext => "ext2/3/4",
        FileSystemKind::Ntfs => "NTFS",
        FileSystemKind::Fat => "FAT",
    };
    match found.partition {
        0 => format!("on the disk without partitions ({kind})"),
        number => format!("in partition {number} ({kind})"),
    }
}

fn sentence(owners: &Owners) -> String {
    let mut names: Vec<&str> = owners.names.iter().map(|(_, name)| name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    match (names.len(), owners.are_all) {
        (0, true) => "the file system itself and by no file".to_owned(),
        (0, false) => "something that could not be found out".to_owned(),
        (count, are_all) => {
            let more = count.saturating_sub(MOST_IN_TEXT);
            let shown: Vec<String> = names[..count - more].iter().map(|n| clipped(n)).collect();
            let mut text = shown.join(", ");
            if more > 0 {
                text += &format!(" and {more} more");
            }
            if !are_all {
                text += " and perhaps others";
            }
            text
        }
    }
}

/// The end of a long path, which tells more than its start.
fn clipped(name: &str) -> String {
    let count = name.chars().count();
    if count <= LONGEST_NAME {
        return name.to_owned();
    }
    let end: String = name.chars().skip(count - LONGEST_NAME).collect();
    format!("…{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_listed_as_far_as_they_fit() {
        let owners = |count: usize, are_all| {
            let name = |number: usize| (ByteRange::new(0, 1), format!("/f{number}"));
            sentence(&Owners {
                names: (0..count).map(name).collect(),
                are_all,
            })
        };
        assert_eq!(owners(2, true), "/f0, /f1");
        assert_eq!(owners(1, false), "/f0 and perhaps others");
        assert_eq!(owners(7, true), "/f0, /f1, /f2, /f3, /f4 and 2 more");
        assert!(owners(0, true).contains("by no file"));
        assert!(owners(0, false).contains("could not be found out"));
        let long = clipped(&format!("/{}/end", "x".repeat(500)));
        assert!(long.starts_with("…x") && long.ends_with("/end") && long.len() < 210);
    }
}
