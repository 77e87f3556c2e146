//! The master file table, and the attributes of files that have more than one record.
//!
//! A file whose attributes do not fit into one record has further records, and in its first an
//! attribute list that says what is where. That holds for the table itself, too: the runs that the
//! first record knows lead to the record that knows the next ones, and so on.

use super::boot::BootSector;
use super::record::{Attribute, FileRecord, RECORD_BITS, is_named, kind};
use super::{NAME, ReadVolumeError, Stream};
use crate::volume::field::{Source, u16_at, u32_at, u64_at};

/// Longest attribute list that Windows makes, in bytes.
const MAX_LIST: u64 = 256 << 10;
const MASTER_FILE_TABLE: u64 = 0;

/// A volume whose master file table has been found.
pub(super) struct Ntfs<'a> {
    pub(super) source: Source<'a>,
    pub(super) boot: BootSector,
    table: Stream,
}

/// The value of an attribute.
pub(super) enum Value {
    /// Kept in a record.
    Resident(Vec<u8>),
    /// Kept in clusters of its own.
    Stream(Stream),
}

/// One line of an attribute list.
struct Listed {
    record: u64,
    lowest_cluster: u64,
}

impl<'a> Ntfs<'a> {
    pub(super) fn open(source: Source<'a>, start: &[u8]) -> Result<Self, ReadVolumeError> {
        let boot = BootSector::parse(start, source.size)?;
        let raw = source.bytes(boot.table_offset, boot.record_size, "the master file table")?;
        let first = FileRecord::parse(raw, MASTER_FILE_TABLE)?;
        let data = first.find(kind::DATA, "", Some(0))?;
        let table = data
            .filter(|data| !data.is_resident())
            .and_then(|data| data.stream(boot.cluster_size))
            .ok_or_else(|| first.damaged())?;
        let mut ntfs = Self {
            source,
            boot,
            table,
        };
        if let Some(list) = ntfs.list(&first)? {
            for line in listed(&list, kind::DATA, "").ok_or_else(|| first.damaged())? {
                if line.lowest_cluster != 0 {
                    let runs = ntfs.runs_of(&first, &line, kind::DATA, "")?;
                    ntfs.table.append(line.lowest_cluster, runs)?;
                }
            }
        }
        Ok(ntfs)
    }

    /// Records that the table has room for.
    pub(super) fn records(&self) -> u64 {
        let known = self.table.clusters().saturating_mul(self.boot.cluster_size);
        self.table.size.min(known) / self.boot.record_size
    }

    /// `count` records from `first` on, as they are on the disk.
    pub(super) fn raw_records(&self, first: u64, count: u64) -> Result<Vec<u8>, ReadVolumeError> {
        let size = self.boot.record_size;
        let what = "a part of the master file table";
        self.table
            .read(&self.source, first.saturating_mul(size), count * size, what)
    }

    pub(super) fn record(&self, number: u64) -> Result<FileRecord, ReadVolumeError> {
        let offset = number.saturating_mul(self.boot.record_size);
        let raw = self.table.read(
            &self.source,
            offset,
            self.boot.record_size,
            "a record of the master file table",
        )?;
        FileRecord::parse(raw, number)
    }

    /// The attribute list of a file, if it has one.
    fn list(&self, file: &FileRecord) -> Result<Option<Vec<u8>>, ReadVolumeError> {
        let Some(list) = file.find(kind::ATTRIBUTE_LIST, "", None)? else {
            return Ok(None);
        };
        if let Some(value) = list.resident() {
            return Ok(Some(value.to_vec()));
        }
        let stream = list
            .stream(self.boot.cluster_size)
            .filter(|stream| stream.is_complete() && stream.size <= MAX_LIST)
            .ok_or_else(|| file.damaged())?;
        stream
            .read(&self.source, 0, stream.size, "an attribute list")
            .map(Some)
    }

    /// The value of an attribute, all of it, wherever its parts are described. `None`: the file has
    /// no such attribute.
    pub(super) fn value(
        &self,
        file: &FileRecord,
        kind: u32,
        name: &str,
    ) -> Result<Option<Value>, ReadVolumeError> {
        let Some(list) = self.list(file)? else {
            return match file.find(kind, name, Some(0))? {
                Some(attribute) => self.whole(file, &attribute, None),
                None => Ok(None),
            };
        };
        let lines = listed(&list, kind, name).ok_or_else(|| file.damaged())?;
        let Some((first, others)) = lines.split_first() else {
            return Ok(None);
        };
        if first.lowest_cluster != 0 {
            return Err(file.damaged());
        }
        let record = self.part_of(file, first.record)?;
        let record = record.as_ref().unwrap_or(file);
        let attribute = record
            .find(kind, name, Some(0))?
            .ok_or_else(|| file.damaged())?;
        self.whole(file, &attribute, Some((others, kind, name)))
    }

    fn whole(
        &self,
        file: &FileRecord,
        attribute: &Attribute<'_>,
        others: Option<(&[Listed], u32, &str)>,
    ) -> Result<Option<Value>, ReadVolumeError> {
        if attribute.is_resident() {
            let value = attribute.resident().ok_or_else(|| file.damaged())?;
            return Ok(Some(Value::Resident(value.to_vec())));
        }
        let mut stream = attribute
            .stream(self.boot.cluster_size)
            .ok_or_else(|| file.damaged())?;
        if let Some((lines, kind, name)) = others {
            for line in lines {
                let runs = self.runs_of(file, line, kind, name)?;
                stream.append(line.lowest_cluster, runs)?;
            }
        }
        if !stream.is_complete() {
            return Err(file.damaged());
        }
        Ok(Some(Value::Stream(stream)))
    }

    /// The record of `file` with this number, `None` when that is `file` itself.
    fn part_of(
        &self,
        file: &FileRecord,
        number: u64,
    ) -> Result<Option<FileRecord>, ReadVolumeError> {
        if number == file.number() {
            return Ok(None);
        }
        let record = self.record(number)?;
        if record.base() != Some(file.number()) {
            return Err(file.damaged());
        }
        Ok(Some(record))
    }

    fn runs_of(
        &self,
        file: &FileRecord,
        line: &Listed,
        kind: u32,
        name: &str,
    ) -> Result<Stream, ReadVolumeError> {
        let record = self.part_of(file, line.record)?;
        record
            .as_ref()
            .unwrap_or(file)
            .find(kind, name, Some(line.lowest_cluster))?
            .and_then(|attribute| attribute.stream(self.boot.cluster_size))
            .ok_or_else(|| file.damaged())
    }
}

impl Stream {
    /// Adds the part that starts at `lowest_cluster` of the file.
    fn append(&mut self, lowest_cluster: u64, part: Self) -> Result<(), ReadVolumeError> {
        if self.clusters() != lowest_cluster {
            let what = "the parts of a file in its attribute list do not follow each other";
            return Err(ReadVolumeError::damaged(NAME, what));
        }
        self.runs.extend(part.runs);
        Ok(())
    }
}

/// The lines of an attribute list about one attribute, in their order. `None` when it is damaged.
fn listed(mut list: &[u8], kind: u32, name: &str) -> Option<Vec<Listed>> {
    let mut lines = Vec::new();
    while list.len() >= 26 {
        let length = usize::from(u16_at(list, 4));
        let line = list.get(..length).filter(|line| line.len() >= 26)?;
        let (name_length, name_at) = (2 * usize::from(line[6]), usize::from(line[7]));
        let found = line.get(name_at..)?.get(..name_length)?;
        if u32_at(line, 0) == kind && is_named(found, name) {
            lines.push(Listed {
                record: u64_at(line, 16) & RECORD_BITS,
                lowest_cluster: u64_at(line, 8),
            });
        }
        list = &list[length..];
    }
    Some(lines)
}
