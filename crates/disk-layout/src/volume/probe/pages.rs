//! Reads of the few places where signatures are, each of them once.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::volume::ReadVolumeError;
use crate::volume::field::Source;

/// Bytes that are read at once.
const PAGE: u64 = 4096;
const WHAT: &str = "a place where signatures are";

pub(super) struct Pages<'a> {
    source: Source<'a>,
    read: RefCell<BTreeMap<u64, Vec<u8>>>,
}

impl<'a> Pages<'a> {
    pub(super) fn new(source: Source<'a>) -> Self {
        Self {
            source,
            read: RefCell::default(),
        }
    }

    /// Bytes of the partition.
    pub(super) fn size(&self) -> u64 {
        self.source.size
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
                    entry.insert(self.source.bytes(page, length, WHAT)?)
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
        self.source.bytes(offset, length, WHAT).map(Some)
    }

    /// Whether these bytes are at `offset`.
    pub(super) fn has(&self, offset: u64, magic: &[u8]) -> Result<bool, ReadVolumeError> {
        Ok(self.bytes(offset, magic.len())?.as_deref() == Some(magic))
    }
}
