//! What claims a partition, or a whole disk.
//!
//! Superblocks survive what comes after them: whoever makes a RAID, a pool or another file system
//! of a partition leaves bytes of the old file system in places that the new owner does not use. So
//! every place is looked at where any system that is known leaves a signature, and a file system is
//! believed only when it is alone. Whatever else is found, and where two things are, every block
//! may be in use.

mod checks;
mod magics;
mod pages;
mod raid;

use foghorn_image::ByteRanges;

use super::field::Source;
use super::{ReadVolumeError, ext, fat, ntfs};
use crate::layout::Partition;
use crate::read_at::ReadAt;
use checks::more_checks;
use magics::{
    FILE_SYSTEMS, FIRMWARE_RAID, MEMBERS, Magic, PAGE_SIZES, Place, SPARE_LUKS, SUSPENDED, SWAP,
    TABLES, TUX_ON_ICE,
};
use pages::Pages;

/// What kind of thing claims a partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Class {
    Ext,
    Ntfs,
    Fat,
    /// Swap in which nobody is suspended.
    Swap,
    /// Swap in which a system is suspended.
    Suspended,
    BitLocker,
    Luks,
    /// Part of something larger: RAID, LVM, a pool.
    Member,
    /// A partition table.
    Table,
    /// Another file system, or anything else that fills a partition by itself.
    Volume,
}

/// Something that was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Finding {
    pub(super) name: &'static str,
    pub(super) class: Class,
    /// The first of its marks whose place does not depend on the size of the partition.
    start: Option<u64>,
    /// The first of those that are counted from the end, where a new partition table does not reach,
    /// and where nobody looks for them in a partition of another size.
    end: Option<u64>,
}

impl Finding {
    /// Whether it means the same only in a partition of this size.
    pub(super) fn ties_size(&self) -> bool {
        self.end.is_some()
    }
}

/// Everything that claims a partition.
pub(super) struct Claims {
    /// Each name once.
    pub(super) found: Vec<Finding>,
    /// Places of signatures that cannot be read.
    pub(super) unreadable: ByteRanges,
}

/// Everything that claims the partition.
pub(super) fn find_all(source: &Source<'_>) -> Result<Claims, ReadVolumeError> {
    let pages = Pages::new(*source);
    let mut found = Findings(Vec::new());
    raid::find(&pages, &mut found)?;
    for magic in MEMBERS.iter().chain(FIRMWARE_RAID).chain(FILE_SYSTEMS) {
        found.look(&pages, magic)?;
    }
    // LUKS 2 has a second header itself; without the first it is what is left of one.
    if found.has(Class::Luks) {
        found.0.retain(|finding| finding.name != SPARE_LUKS);
    }
    more_checks(&pages, &mut found)?;
    swap(&pages, &mut found)?;
    let mut start = pages
        .bytes(0, pages.size().min(2048) as usize)?
        .unwrap_or_default();
    start.resize(2048, 0);
    for (here, name, class) in [
        (ext::looks_like_ext(&start), ext::NAME, Class::Ext),
        (ntfs::looks_like_ntfs(&start), ntfs::NAME, Class::Ntfs),
        (
            fat::looks_like_fat(&start) && !found.has(Class::BitLocker),
            fat::NAME,
            Class::Fat,
        ),
    ] {
        if here {
            found.add(name, class, 0);
        }
    }
    for magic in TABLES {
        found.look(&pages, magic)?;
    }
    // Its boot code ends where a table would be.
    if !found.has(Class::BitLocker) {
        checks::nested_table(&pages, &start, &mut found)?;
    }
    Ok(Claims {
        found: found.0,
        unreadable: pages.into_unreadable(),
    })
}

struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, name: &'static str, class: Class, at: u64) {
        self.known(name, class).start.get_or_insert(at);
    }

    fn add_at_end(&mut self, name: &'static str, class: Class, at: u64) {
        self.known(name, class).end.get_or_insert(at);
    }

    fn known(&mut self, name: &'static str, class: Class) -> &mut Finding {
        let known = self.0.iter().position(|known| known.name == name);
        let at = known.unwrap_or(self.0.len());
        if known.is_none() {
            self.0.push(Finding {
                name,
                class,
                start: None,
                end: None,
            });
        }
        &mut self.0[at]
    }

    fn has(&self, class: Class) -> bool {
        self.0.iter().any(|known| known.class == class)
    }

    fn look(&mut self, pages: &Pages<'_>, magic: &Magic) -> Result<(), ReadVolumeError> {
        let offset = match magic.place {
            Place::Start(offset) => Some(offset),
            Place::End(before) => (pages.size() / 512 * 512).checked_sub(before),
        };
        if let Some(offset) = offset
            && pages.has(offset, magic.bytes)?
        {
            match magic.place {
                Place::Start(_) => self.add(magic.name, magic.class, offset),
                Place::End(_) => self.add_at_end(magic.name, magic.class, offset),
            }
        }
        Ok(())
    }
}

/// Swap, and systems that are suspended to it.
fn swap(pages: &Pages<'_>, found: &mut Findings) -> Result<(), ReadVolumeError> {
    if pages.has(0, &TUX_ON_ICE)? {
        found.add("a suspended Linux", Class::Suspended, 0);
    }
    for page in PAGE_SIZES {
        let Some(signature) = pages.bytes(page - 10, 10)? else {
            continue;
        };
        if SUSPENDED.iter().any(|magic| signature.starts_with(magic)) {
            found.add("a suspended Linux", Class::Suspended, page - 10);
        } else if SWAP.iter().any(|magic| signature == **magic) {
            found.add("swap", Class::Swap, page - 10);
        }
    }
    Ok(())
}

/// How much of a disk's table there is, for [`whole_disk_owner`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TableState {
    /// A GPT with both copies intact and in their places.
    WholeGpt,
    /// A GPT whose copy at the start is intact; the one at the end is not.
    GptAtStart,
    /// What is left of a GPT: the copy at the end, or one that no MBR points to.
    RestOfGpt,
    /// An MBR with partitions.
    Mbr,
}

/// What owns the whole disk although there is a partition table: that is older, or belongs to what
/// the owner makes of its disks.
///
/// A table that cannot have been there before counts: nobody but a GPT writes to the last sector of
/// a disk, and an owner with its data at the start destroys the copy there. Beside an MBR a file
/// system does not count, since making one overwrites that sector; a RAID, a pool or a volume group
/// leaves it alone. Marks inside a partition are those of what is in the partition: the last one may
/// end where the disk does, and some places are found from the end of either.
///
/// # Errors
/// When the disk cannot be read.
pub(crate) fn whole_disk_owner(
    disk: &dyn ReadAt,
    table: TableState,
    partitions: &[Partition],
) -> Result<Option<&'static str>, ReadVolumeError> {
    if table == TableState::WholeGpt {
        return Ok(None);
    }
    let is_beside = |at: u64| {
        !partitions
            .iter()
            .any(|one| (one.range().start..one.range().end).contains(&at))
    };
    let owns = |finding: &Finding| {
        let at_end = finding.end.is_some_and(is_beside);
        let anywhere = at_end || finding.start.is_some_and(is_beside);
        match table {
            TableState::WholeGpt => false,
            TableState::GptAtStart => finding.class == Class::Member && at_end,
            TableState::RestOfGpt => finding.class != Class::Table && anywhere,
            TableState::Mbr => matches!(finding.class, Class::Member | Class::Luks) && anywhere,
        }
    };
    let Claims { found, .. } = find_all(&Source::new(disk))?;
    Ok(found
        .iter()
        .find(|finding| owns(finding))
        .map(|finding| finding.name))
}
