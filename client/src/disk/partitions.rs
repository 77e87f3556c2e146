//! The partitions of a disk, as the kernel knows them.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use foghorn_disk_layout::read_layout;
use foghorn_types::SectorSize;

use super::ioctl;
use super::linux::attribute;

/// A partition, or a disk that has none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Volume {
    /// As Linux counts; 0: the disk.
    pub(crate) number: u32,
    /// Number of the device.
    pub(crate) device: u64,
}

/// Has the partition table of a block device read again: its partitions, or the disk itself when it has
/// none.
///
/// A kernel need not be able to read the tables itself (`CONFIG_EFI_PARTITION`, `CONFIG_MSDOS_PARTITION`), and
/// some that run virtual machines are not: then it is told what the table says.
///
/// # Errors
/// The kernel's; `EBUSY` while somebody uses a partition of the table before.
pub(crate) fn reread(disk: &Path) -> io::Result<Vec<Volume>> {
    let file = File::open(disk)?;
    ioctl::reread_partition_table(&file)?;
    let number = file.metadata()?.rdev();
    let (major, minor) = (rustix::fs::major(number), rustix::fs::minor(number));
    let sys = format!("/sys/dev/block/{major}:{minor}");
    let found = listed(Path::new(&sys))?;
    if !found.is_empty() {
        return Ok(found);
    }
    if !tell_the_kernel(&file)? {
        return Ok(vec![Volume {
            number: 0,
            device: number,
        }]);
    }
    listed(Path::new(&sys))
}

/// Whether the disk has a partition table, each of whose partitions the kernel then knows.
fn tell_the_kernel(disk: &File) -> io::Result<bool> {
    let sector_size = SectorSize::try_from(u64::from(rustix::fs::ioctl_blksszget(disk)?))
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    let layout = read_layout(disk, sector_size)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    let mut partitions = layout.partitions.iter().filter(|one| one.number > 0);
    partitions.try_fold(false, |_, partition| {
        ioctl::add_partition(disk, partition)?;
        Ok(true)
    })
}

/// The partitions in the folder of a disk in sysfs.
fn listed(sys: &Path) -> io::Result<Vec<Volume>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(sys)? {
        let part = entry?.path();
        let Some(number) = attribute(&part, "partition").and_then(|text| text.parse().ok()) else {
            continue;
        };
        let device = attribute(&part, "dev").and_then(|text| device_of(&text));
        let device = device.ok_or_else(|| {
            let what = format!("{} has no device number", part.display());
            io::Error::new(io::ErrorKind::InvalidData, what)
        })?;
        found.push(Volume { number, device });
    }
    found.sort();
    Ok(found)
}

/// `MAJOR:MINOR`.
fn device_of(text: &str) -> Option<u64> {
    let (major, minor) = text.split_once(':')?;
    Some(rustix::fs::makedev(
        major.parse().ok()?,
        minor.parse().ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_found_in_their_order_and_nothing_else_is_one() {
        let sys = tempfile::tempdir().unwrap();
        for (name, files) in [
            ("sda10", &[("partition", "10\n"), ("dev", "8:10\n")][..]),
            ("sda2", &[("partition", "2\n"), ("dev", "8:2\n")][..]),
            ("queue", &[("dev", "8:0\n")][..]),
        ] {
            fs::create_dir(sys.path().join(name)).unwrap();
            for (file, text) in files {
                fs::write(sys.path().join(name).join(file), text).unwrap();
            }
        }
        fs::write(sys.path().join("size"), "8").unwrap();
        let found = listed(sys.path()).unwrap();
        let seen = found.iter().map(|volume| {
            let device = volume.device;
            let numbers = (rustix::fs::major(device), rustix::fs::minor(device));
            (volume.number, numbers)
        });
        assert_eq!(seen.collect::<Vec<_>>(), [(2, (8, 2)), (10, (8, 10))]);

        fs::write(sys.path().join("sda2/dev"), "8").unwrap();
        assert!(listed(sys.path()).is_err());
    }
}
