//! Which files have certain bytes of a partition.
//!
//! Only ever asked when these bytes cannot be read, to tell people what is lost. The whole metadata
//! of the file system is searched for it, within limits, and what cannot be read is passed over: an
//! answer may be incomplete, and then says so.

use foghorn_image::{ByteRange, ByteRanges, FileSystemKind};

use super::field::Source;
use super::{ext, fat, ntfs};
use crate::read_at::ReadAt;

/// Most names that are looked for.
const MOST_NAMES: usize = 200;

/// What has certain bytes of a partition.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Owners {
    /// Bytes that were asked about, and the path of a file in which some of them are, or what else it
    /// is. Ascending by range; a range can be in several files, and a file in several ranges.
    pub names: Vec<(ByteRange, String)>,
    /// Whether there are no others: what is in none of these files belongs to the file system itself.
    pub are_all: bool,
}

/// Finds out whose these bytes of a partition are.
#[must_use]
pub fn owners(partition: &dyn ReadAt, kind: FileSystemKind, wanted: &ByteRanges) -> Owners {
    let source = Source::new(partition);
    let Ok(mut start) = source.bytes(0, source.size.min(2048), "the start of the partition") else {
        return Owners::default();
    };
    start.resize(2048, 0);
    let found = match kind {
        FileSystemKind::Ext => ext::owners(&source, &start, wanted),
        FileSystemKind::Ntfs => ntfs::owners(&source, &start, wanted),
        FileSystemKind::Fat => fat::owners(&source, &start, wanted),
        FileSystemKind::Raw => return Owners::default(),
    };
    let mut found = found.unwrap_or_default();
    for (_, name) in &mut found.names {
        if name.contains(char::is_control) {
            *name = name.replace(char::is_control, "\u{fffd}");
        }
    }
    found.names.sort_unstable();
    found.names.dedup();
    found
}

/// Files by their number, and which of the bytes they have.
pub(super) struct Hits<'a> {
    wanted: &'a ByteRanges,
    /// Each pair once for neighbours.
    pub(super) found: Vec<(ByteRange, u64)>,
    /// Whether everything was looked at.
    pub(super) are_all: bool,
}

impl<'a> Hits<'a> {
    pub(super) fn new(wanted: &'a ByteRanges) -> Self {
        Self {
            wanted,
            found: Vec::new(),
            are_all: true,
        }
    }

    /// A file has these bytes.
    pub(super) fn has(&mut self, file: u64, bytes: ByteRange) {
        let wanted = self.wanted.iter_behind(bytes.start);
        for range in wanted.take_while(|range| range.start < bytes.end) {
            if self.found.last() == Some(&(range, file)) {
                continue;
            }
            if self.found.len() == MOST_NAMES {
                self.are_all = false;
                return;
            }
            self.found.push((range, file));
        }
    }
}
