//! Appending to the last pack.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use foghorn_types::chain;
use tracing::error;

use crate::pack::{PackDir, PackNumber};
use crate::record::{HEADER_LEN, RecordHeader};

/// The pack that is being written. All records before `len` are in the index.
#[derive(Debug)]
pub(crate) struct Writer {
    pack: PackNumber,
    /// Opened with the first append.
    file: Option<File>,
    len: u64,
    /// Bytes whose index entries are not flushed yet.
    unflushed: u64,
}

impl Writer {
    /// Goes on with the newest pack.
    pub(crate) fn open(packs: &PackDir) -> io::Result<Self> {
        let last = packs.list()?.last().copied();
        let len = last.map_or(Ok(0), |pack| packs.len_of(pack))?;
        Ok(Self {
            pack: last.unwrap_or(1),
            file: None,
            len,
            unflushed: 0,
        })
    }

    pub(crate) fn pack(&self) -> PackNumber {
        self.pack
    }

    pub(crate) fn unflushed(&self) -> u64 {
        self.unflushed
    }

    pub(crate) fn flushed(&mut self) {
        self.unflushed = 0;
    }

    /// Begins a new pack if this one has reached `pack_size`. Returns whether it did; the index
    /// must be flushed before the next append then, so that only the last pack ever has a tail.
    pub(crate) fn roll(&mut self, pack_size: u64) -> bool {
        let full = self.len >= pack_size;
        if full {
            *self = Self {
                pack: self.pack + 1,
                file: None,
                len: 0,
                unflushed: self.unflushed,
            };
        }
        full
    }

    /// Starts a group of records that become part of the pack together.
    pub(crate) fn begin<'a>(&'a mut self, packs: &PackDir) -> io::Result<Group<'a>> {
        let file = match self.file.take() {
            Some(file) => file,
            None => packs.open_for_append(self.pack)?,
        };
        self.file = Some(file);
        let end = self.len;
        Ok(Group {
            writer: self,
            end,
            kept: false,
        })
    }

    fn file(&self) -> &File {
        self.file.as_ref().expect("begin() has opened it")
    }
}

/// Records that were appended but are not part of the pack until [`keep`](Self::keep); dropped
/// before, they are cut off.
#[derive(Debug)]
pub(crate) struct Group<'a> {
    writer: &'a mut Writer,
    end: u64,
    kept: bool,
}

impl Group<'_> {
    /// Returns the record's offset.
    pub(crate) fn append(&mut self, header: &RecordHeader, stored: &[u8]) -> io::Result<u64> {
        let offset = self.end;
        let file = self.writer.file();
        file.write_all_at(header.as_bytes(), offset)?;
        file.write_all_at(stored, offset + HEADER_LEN as u64)?;
        self.end += header.record_len();
        Ok(offset)
    }

    pub(crate) fn pack(&self) -> PackNumber {
        self.writer.pack
    }

    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        self.writer.file().sync_data()
    }

    /// The records are on stable storage and in the index.
    pub(crate) fn keep(mut self) {
        self.writer.unflushed += self.end - self.writer.len;
        self.writer.len = self.end;
        self.kept = true;
    }
}

impl Drop for Group<'_> {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        if let Err(problem) = self.writer.file().set_len(self.writer.len) {
            // The next group overwrites it, and a start cuts it off.
            error!(
                pack = self.writer.pack,
                error = %chain(&problem),
                "could not remove a failed write"
            );
        }
    }
}
