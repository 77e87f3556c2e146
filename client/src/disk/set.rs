//! The disks of a task as one space of bytes: offsets are routed to the disk that they lie on.

use std::ops::Range;

use foghorn_image::{ByteRange, DiskGeometry, disk_places};
use foghorn_types::ByteCount;

use super::{Disk, DiskError};

/// The open disks of a task, one or more.
///
/// They lie one after the other as [`disk_places`] says, so a single disk has its own offsets. A
/// range never spans two of them: what is on an image is on one disk each.
#[derive(Debug)]
pub struct DiskSet {
    members: Vec<Member>,
    in_order: bool,
}

#[derive(Debug)]
struct Member {
    start: u64,
    disk: Disk,
}

impl From<Disk> for DiskSet {
    fn from(disk: Disk) -> Self {
        Self {
            members: vec![Member { start: 0, disk }],
            in_order: true,
        }
    }
}

impl DiskSet {
    /// The disks in the order of the rules that found them. `None` without a disk.
    #[must_use]
    pub fn new(disks: Vec<Disk>) -> Option<Self> {
        let places = disk_places(disks.iter().map(Disk::disk_size));
        let members: Vec<Member> = places
            .iter()
            .zip(disks)
            .map(|(place, disk)| Member {
                start: place.start,
                disk,
            })
            .collect();
        (!members.is_empty()).then_some(Self {
            members,
            in_order: true,
        })
    }

    /// The same disks, of which nobody has said which is which.
    #[must_use]
    pub fn without_order(self) -> Self {
        Self {
            in_order: false,
            ..self
        }
    }

    /// Whether somebody has said which disk is which.
    pub(crate) fn is_in_order(&self) -> bool {
        self.in_order
    }

    /// The same disks in another order: the n-th is the one that now has number `order[n]`, counted
    /// from 0; `order` names each once.
    pub(crate) fn arranged(self, order: &[usize]) -> Self {
        let mut disks: Vec<Option<Disk>> = self.disks_of().map(Some).collect();
        let arranged: Vec<Disk> = order
            .iter()
            .filter_map(|&nth| disks.get_mut(nth)?.take())
            .collect();
        Self::new(arranged).expect("an order names every disk")
    }

    fn disks_of(self) -> impl Iterator<Item = Disk> {
        self.members.into_iter().map(|member| member.disk)
    }

    /// How many there are, at least 1.
    #[must_use]
    pub fn count(&self) -> usize {
        self.members.len()
    }

    /// Each disk with the place of its first byte.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Disk)> {
        self.members
            .iter()
            .map(|member| (member.start, &member.disk))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Disk> {
        self.members.iter_mut().map(|member| &mut member.disk)
    }

    /// The disk with this number, counted from 0, or the last.
    pub(crate) fn nth(&self, nth: usize) -> &Disk {
        &self.members[nth.min(self.members.len() - 1)].disk
    }

    /// Size of the whole space, and sectors of the first disk.
    #[must_use]
    pub fn geometry(&self) -> DiskGeometry {
        let last = &self.members[self.members.len() - 1];
        DiskGeometry {
            size: ByteCount::from_bytes(last.start + last.disk.disk_size().bytes()),
            sector_size: self.members[0].disk.sector_size(),
        }
    }

    /// The bytes of each disk.
    #[must_use]
    pub fn places(&self) -> Vec<ByteRange> {
        let place =
            |(start, disk): (u64, &Disk)| ByteRange::new(start, start + disk.disk_size().bytes());
        self.iter().map(place).collect()
    }

    /// The disk that a byte lies on, and its place there.
    #[must_use]
    pub fn at(&self, offset: u64) -> (&Disk, u64) {
        let after = self
            .members
            .partition_point(|member| member.start <= offset);
        let member = &self.members[after.max(1) - 1];
        (&member.disk, offset - member.start)
    }

    /// Text that tells these disks from others; of one disk its own.
    #[must_use]
    pub fn identity(&self) -> String {
        let disks: Vec<&str> = self.iter().map(|(_, disk)| disk.identity()).collect();
        disks.join("\n")
    }

    /// The paths, for people.
    #[must_use]
    pub fn paths(&self) -> String {
        let paths: Vec<String> = self
            .iter()
            .map(|(_, disk)| disk.path().display().to_string())
            .collect();
        paths.join(", ")
    }

    /// # Errors
    /// The disk's, naming the place.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), DiskError> {
        let (disk, at) = self.at(offset);
        disk.read_at(at, buffer)
    }

    /// See [`Disk::reread_at`].
    ///
    /// # Errors
    /// The disk's, naming the place.
    pub fn reread_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), DiskError> {
        let (disk, at) = self.at(offset);
        disk.reread_at(at, buffer)
    }

    /// See [`Disk::data_from`]. What is found never spans two disks.
    #[must_use]
    pub fn data_from(&self, offset: u64) -> Range<u64> {
        let (mut from, mut found) = (offset, offset..offset);
        for (nth, member) in self.members.iter().enumerate() {
            let end = self
                .members
                .get(nth + 1)
                .map_or(u64::MAX, |next| next.start);
            if end <= from {
                continue;
            }
            let data = member.disk.data_from(from - member.start);
            let place = |at: u64| at.saturating_add(member.start).min(end);
            found = place(data.start)..place(data.end);
            if !found.is_empty() {
                break;
            }
            from = end;
        }
        found
    }

    /// # Errors
    /// The disk's, naming the place.
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        let (disk, at) = self.at(offset);
        disk.write_at(at, bytes)
    }

    /// See [`Disk::zero`].
    ///
    /// # Errors
    /// The disk's, naming the place.
    pub fn zero(&self, offset: u64, length: u64) -> Result<(), DiskError> {
        let (disk, at) = self.at(offset);
        disk.zero(at, length)
    }

    /// See [`Disk::is_hole`].
    #[must_use]
    pub fn is_hole(&self, offset: u64, length: u64) -> bool {
        let (disk, at) = self.at(offset);
        disk.is_hole(at, length)
    }

    /// See [`Disk::will_need`].
    pub fn will_need(&self, offset: u64, length: u64) {
        let (disk, at) = self.at(offset);
        disk.will_need(at, length);
    }

    /// See [`Disk::forget`].
    pub fn forget(&self, offset: u64, length: usize) {
        let (disk, at) = self.at(offset);
        disk.forget(at, length);
    }

    /// Durably writes what was written so far, on every disk.
    ///
    /// # Errors
    /// That of the first disk that has one.
    pub fn flush(&self) -> Result<(), DiskError> {
        self.iter().try_for_each(|(_, disk)| disk.flush())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::super::target::{DiskKind, SeenDisk};
    use super::super::{Access, FileSectors};
    use super::*;

    fn disk(file: &tempfile::NamedTempFile, size: u64) -> Disk {
        file.as_file().set_len(size).unwrap();
        let seen = SeenDisk {
            path: file.path().to_owned(),
            kind: DiskKind::File,
            size: ByteCount::from_bytes(size),
            sector_size: None,
            model: None,
            serial: None,
            wwn: None,
        };
        Disk::open(&seen, Access::Write, FileSectors::Unknown).unwrap()
    }

    #[test]
    fn bytes_go_to_the_disk_that_they_lie_on() {
        const MIB: u64 = 1 << 20;
        let files: Vec<_> = (0..3)
            .map(|_| tempfile::NamedTempFile::new().unwrap())
            .collect();
        let sizes = [2 * MIB, MIB + 512, 3 * MIB];
        let open = || {
            let disks = files.iter().zip(sizes);
            DiskSet::new(disks.map(|(file, size)| disk(file, size)).collect()).unwrap()
        };
        let set = open();
        let starts: Vec<u64> = set.places().iter().map(|place| place.start).collect();
        assert_eq!(starts, [0, 3 * MIB, 6 * MIB]);
        assert_eq!(set.geometry().size.bytes(), 9 * MIB);
        for (nth, start) in (1_u8..).zip(&starts) {
            set.write_at(start + 512, &[nth; 512]).unwrap();
        }
        set.zero(7 * MIB, MIB).unwrap();
        set.flush().unwrap();
        for (nth, file) in (1_u8..).zip(&files) {
            let mut found = [0; 512];
            file.as_file().read_exact_at(&mut found, 512).unwrap();
            assert_eq!(found, [nth; 512]);
        }
        assert!(!set.is_hole(3 * MIB, 4096) && set.is_hole(7 * MIB, MIB));
        // A disk ends where it ends, whatever lies behind it in the common space.
        let error = set.write_at(4 * MIB, &[1; 1024]).unwrap_err();
        assert_eq!(
            (error.path, error.offset.bytes()),
            (files[1].path().into(), MIB)
        );
        assert_eq!(files[1].as_file().metadata().unwrap().len(), MIB + 512);

        let turned = open().arranged(&[2, 0, 1]);
        assert_eq!(turned.at(0).0.path(), files[2].path());
        assert_eq!(turned.at(4 * MIB).0.path(), files[0].path());
    }
}
