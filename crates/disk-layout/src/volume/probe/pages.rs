//! Reads of the few places where signatures are, each of them once.
//!
//! What cannot be read counts as zero, which is no signature. That is remembered: where a file
//! system uses such a place, something else than the file system may be there.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use foghorn_image::{ByteRange, ByteRanges};

use crate::volume::ReadVolumeError;
use crate::volume::field::Source;

/// Bytes that are read at once.
const PAGE: u64 = 4096;
/// Where a page cannot be read: the smallest part of it that may be readable.
const SECTOR: u64 = 512;
/// Reads that may fail, each of which can take a disk many seconds. Then everything else counts as
/// unreadable without being tried.
const MOST_FAILURES: u32 = 64;
const WHAT: &str = "a place where signatures are";

pub(super) struct Pages<'a> {
    source: Source<'a>,
    read: RefCell<BTreeMap<u64, Vec<u8>>>,
    failures: Cell<u32>,
    unreadable: RefCell<Vec<ByteRange>>,
}

impl<'a> Pages<'a> {
    pub(super) fn new(source: Source<'a>) -> Self {
        Self {
            source,
            read: RefCell::default(),
            failures: Cell::default(),
            unreadable: RefCell::default(),
        }
    }

    /// Bytes of the partition.
    pub(super) fn size(&self) -> u64 {
        self.source.size
    }

    /// Places that were looked at and cannot be read.
    pub(super) fn into_unreadable(self) -> ByteRanges {
        self.unreadable.into_inner().into_iter().collect()
    }

    /// `length` bytes from `offset` on; `None` where the partition does not have them.
    pub(super) fn bytes(
        &self,
        offset: u64,
        length: usize,
    ) -> Result<Option<Vec<u8>>, ReadVolumeError> {
        let Some(end) = offset
            .checked_add(length as u64)
            .filter(|&end| end <= self.size())
        else {
            return Ok(None);
        };
        let mut found = Vec::with_capacity(length);
        let mut at = offset;
        while at < end {
            let page = at / PAGE * PAGE;
            let mut read = self.read.borrow_mut();
            let bytes = match read.entry(page) {
                std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
                std::collections::btree_map::Entry::Vacant(entry) => {
                    let length = PAGE.min(self.size() - page);
                    entry.insert(self.fetch(page, length)?)
                }
            };
            let (from, to) = ((at - page) as usize, (end - page).min(PAGE) as usize);
            found.extend_from_slice(&bytes[from..to]);
            at = page + PAGE;
        }
        Ok(Some(found))
    }

    /// The same without keeping them, for what is long and looked at once.
    pub(super) fn long(
        &self,
        offset: u64,
        length: u64,
    ) -> Result<Option<Vec<u8>>, ReadVolumeError> {
        if offset
            .checked_add(length)
            .is_none_or(|end| end > self.size())
        {
            return Ok(None);
        }
        self.fetch(offset, length).map(Some)
    }

    /// Whether these bytes are at `offset`.
    pub(super) fn has(&self, offset: u64, magic: &[u8]) -> Result<bool, ReadVolumeError> {
        Ok(self.bytes(offset, magic.len())?.as_deref() == Some(magic))
    }

    /// Reads as much as can be read: all at once, else by pages, else by sectors.
    fn fetch(&self, offset: u64, length: u64) -> Result<Vec<u8>, ReadVolumeError> {
        if let Some(bytes) = self.attempt(offset, length)? {
            return Ok(bytes);
        }
        let step = if length > PAGE { PAGE } else { SECTOR };
        if length <= step {
            let mut unreadable = self.unreadable.borrow_mut();
            unreadable.push(ByteRange::new(offset, offset + length));
            return Ok(vec![0; length as usize]);
        }
        let mut bytes = Vec::with_capacity(length as usize);
        for at in (0..length).step_by(step as usize) {
            bytes.extend(self.fetch(offset + at, step.min(length - at))?);
        }
        Ok(bytes)
    }

    /// `None` where the disk fails, or failed too often.
    fn attempt(&self, offset: u64, length: u64) -> Result<Option<Vec<u8>>, ReadVolumeError> {
        if self.failures.get() >= MOST_FAILURES {
            return Ok(None);
        }
        match self.source.bytes(offset, length, WHAT) {
            Err(ReadVolumeError::Read { .. }) => {
                self.failures.set(self.failures.get() + 1);
                Ok(None)
            }
            read => read.map(Some),
        }
    }
}
