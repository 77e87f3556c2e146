//! Which files have certain blocks: a search through all inodes, then through all directories for
//! the names.

use std::collections::{BTreeMap, BTreeSet};

use foghorn_image::{ByteRange, ByteRanges};

use super::groups::GroupReader;
use super::inode::{BlockWalk, Holds, Inode};
use super::superblock::Superblock;
use super::{NAME, ReadVolumeError, Source};
use crate::volume::field::{u16_at, u32_at};
use crate::volume::owners::{Hits, Owners};

const ROOT: u64 = 2;
const RESIZE: u64 = 7;
const JOURNAL: u64 = 8;
/// Inodes that are read: of the largest disks not all.
const MOST_INODES: u64 = 1 << 24;
/// Blocks of maps that are read, and of directories.
const MOST_BLOCKS: u64 = 1 << 18;
/// Entries of one directory that are remembered.
const MOST_ENTRIES: usize = 10_000;
/// Deepest path that is followed to the root.
const DEEPEST: usize = 256;
const PIECE: u64 = 64 << 10;

pub(in crate::volume) fn owners(
    source: &Source<'_>,
    start: &[u8],
    wanted: &ByteRanges,
) -> Result<Owners, ReadVolumeError> {
    let source = source.of(NAME);
    let raw = start[1024..2048].try_into().expect("1024 bytes");
    let Some(sb) = Superblock::parse(raw, source.size)? else {
        return Ok(Owners::default());
    };
    let mut search = Search {
        source,
        sb: &sb,
        hits: Hits::new(wanted),
        directories: Vec::new(),
        parents: BTreeMap::new(),
        walk: BlockWalk::new(source, &sb, MOST_BLOCKS),
    };
    search.inodes();
    search.walk = BlockWalk::new(source, &sb, MOST_BLOCKS);
    search.names();
    let found = std::mem::take(&mut search.hits.found);
    Ok(Owners {
        names: found
            .into_iter()
            .map(|(range, inode)| (range, search.name_of(inode)))
            .collect(),
        are_all: search.hits.are_all,
    })
}

struct Search<'a> {
    source: Source<'a>,
    sb: &'a Superblock,
    hits: Hits<'a>,
    directories: Vec<u64>,
    /// By inode: the directory that it is in, and its name there.
    parents: BTreeMap<u64, (u64, String)>,
    walk: BlockWalk<'a>,
}

impl Search<'_> {
    /// Goes through all inodes.
    fn inodes(&mut self) {
        let mut left = MOST_INODES;
        let mut groups = GroupReader::new(self.source, self.sb);
        for number in 0..self.sb.groups {
            let Ok(group) = groups.read(number) else {
                self.hits.are_all = false;
                continue;
            };
            let per_piece = PIECE / self.sb.inodes.size;
            for place in (0..group.inodes).step_by(per_piece as usize) {
                let count = per_piece.min(group.inodes - place);
                let Some(rest) = left.checked_sub(count) else {
                    self.hits.are_all = false;
                    return;
                };
                left = rest;
                let first = number * self.sb.inodes.per_group + place + 1;
                self.table(first, group.inode(self.sb, place), count);
            }
        }
    }

    /// Looks at `count` inodes from number `first` on, which start at byte `offset`. Where they cannot
    /// be read at once, those that can be are looked at.
    fn table(&mut self, first: u64, offset: u64, count: u64) {
        let size = self.sb.inodes.size;
        let read = self.source.bytes(offset, count * size, "an inode table");
        if let Ok(table) = read {
            for (number, raw) in (first..).zip(table.chunks_exact(size as usize)) {
                self.inode(number, &Inode(raw));
            }
        } else if count > self.sb.block_size / size {
            let half = count / 2;
            self.table(first, offset, half);
            let second = offset.saturating_add(half * size);
            self.table(first + half, second, count - half);
        } else {
            self.hits.are_all = false;
        }
    }

    fn inode(&mut self, number: u64, inode: &Inode<'_>) {
        if !inode.is_in_use() {
            return;
        }
        if inode.is_directory() {
            self.directories.push(number);
        }
        let (hits, size) = (&mut self.hits, self.sb.block_size);
        let walked = self.walk.runs(inode, &mut |_, run| {
            let (start, end) = (run.start.saturating_mul(size), run.end.saturating_mul(size));
            hits.has(number, ByteRange::new(start, end));
        });
        hits.are_all &= walked.is_ok();
    }

    /// Looks for the names of what was found.
    fn names(&mut self) {
        let mut wanted: BTreeSet<u64> = self.hits.found.iter().map(|(_, inode)| *inode).collect();
        for directory in std::mem::take(&mut self.directories) {
            if wanted.is_empty() || self.walk.is_exhausted() {
                return;
            }
            for (inode, name) in self.entries(directory, &|inode| wanted.contains(&inode)) {
                if name != "." && name != ".." && wanted.remove(&inode) {
                    self.parents.insert(inode, (directory, name));
                }
            }
        }
    }

    /// Entries of a directory, as far as they can be read.
    fn entries(&mut self, directory: u64, is_wanted: &dyn Fn(u64) -> bool) -> Vec<(u64, String)> {
        let mut found = Vec::new();
        let Some(raw) = self.raw_inode(directory) else {
            return found;
        };
        let mut blocks = Vec::new();
        let walked = self.walk.runs(&Inode(&raw), &mut |holds, run| {
            if holds == Holds::Data && blocks.len() as u64 + (run.end - run.start) < MOST_BLOCKS {
                blocks.extend(run);
            }
        });
        if walked.is_err() {
            return found;
        }
        for block in blocks {
            if let Ok(bytes) = self.walk.block(block) {
                entries_of_block(&bytes, &mut |inode, name| {
                    if is_wanted(inode) && found.len() < MOST_ENTRIES {
                        found.push((inode, String::from_utf8_lossy(name).into_owned()));
                    }
                });
            }
        }
        found
    }

    /// The directory that a directory is in, by its own entry for it.
    fn above(&mut self, directory: u64) -> Option<u64> {
        let raw = self.raw_inode(directory)?;
        let inode = Inode(&raw);
        if !inode.is_directory() {
            return None;
        }
        let mut first = None;
        // Whatever follows the first block may be damaged.
        let _ = self.walk.runs(&inode, &mut |holds, run| {
            if holds == Holds::Data {
                first.get_or_insert(run.start);
            }
        });
        let block = self.walk.block(first?).ok()?;
        let mut above = None;
        entries_of_block(&block, &mut |found, name| {
            if name == PARENT {
                above.get_or_insert(found);
            }
        });
        above
    }

    fn raw_inode(&self, number: u64) -> Option<Vec<u8>> {
        let per_group = self.sb.inodes.per_group;
        let index = number.checked_sub(1)?;
        let group = index.checked_div(per_group)?;
        if group >= self.sb.groups {
            return None;
        }
        let group = GroupReader::new(self.source, self.sb).read(group).ok()?;
        let offset = group.inode(self.sb, index % per_group);
        self.source
            .bytes(offset, self.sb.inodes.size, "an inode")
            .ok()
    }

    fn name_of(&mut self, inode: u64) -> String {
        match inode {
            ROOT => return "/".to_owned(),
            RESIZE => return "blocks reserved for growth".to_owned(),
            JOURNAL => return "the journal".to_owned(),
            _ => {}
        }
        let mut path = String::new();
        let mut at = inode;
        for _ in 0..DEEPEST {
            if at == ROOT {
                return path;
            }
            let Some((parent, name)) = self.parent_of(at) else {
                break;
            };
            path = format!("/{name}{path}");
            at = parent;
        }
        format!("…{path} (inode {inode})")
    }

    /// The directory of a file, and its name there. Of directories that were not looked for, by their
    /// own entry for the one above.
    fn parent_of(&mut self, inode: u64) -> Option<(u64, String)> {
        if let Some(known) = self.parents.get(&inode) {
            return Some(known.clone());
        }
        let above = self.above(inode)?;
        let siblings = self.entries(above, &|found| found == inode);
        let (_, name) = siblings
            .into_iter()
            .find(|(_, name)| name != "." && name != "..")?;
        self.parents.insert(inode, (above, name.clone()));
        Some((above, name))
    }
}

/// The one called `..`, which is in the first block of a directory.
const PARENT: &[u8] = b"..";

/// Entries of one block: inode, length of the entry, length of the name, type, name. Inner nodes of
/// an index look like one unused entry.
fn entries_of_block(block: &[u8], found: &mut dyn FnMut(u64, &[u8])) {
    let mut rest = block;
    while rest.len() >= 12 {
        // Of blocks of 64 KiB the length does not fit.
        let length = match usize::from(u16_at(rest, 4)) {
            0 | 0xffff => rest.len(),
            length => length,
        };
        let name_length = usize::from(rest[6]);
        if length < 8 + name_length || length > rest.len() {
            return;
        }
        let inode = u64::from(u32_at(rest, 0));
        if inode != 0 && name_length > 0 {
            found(inode, &rest[8..8 + name_length]);
        }
        rest = &rest[length..];
    }
}
