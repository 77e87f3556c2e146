//! Who uses a disk: what is mounted from it, swaps to it or is built on it. A regular file is used by
//! what uses the loop devices that it is attached to.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::linux::attribute;

/// Who uses a block device or a regular file. Empty when nobody does.
///
/// # Errors
/// When `/proc` or `/sys` cannot be read; a disk about which nothing is known must not be taken for
/// free.
pub(super) fn users_of(disk: &Path) -> io::Result<Vec<String>> {
    let metadata = fs::metadata(disk)?;
    if !metadata.file_type().is_block_device() {
        let mut users = users_of_file(&metadata, None)?;
        users.extend(swap_on(|file| {
            fs::canonicalize(disk).is_ok_and(|disk| disk == file)
        }));
        return Ok(users);
    }
    let (major, minor) = (
        rustix::fs::major(metadata.rdev()),
        rustix::fs::minor(metadata.rdev()),
    );
    let sys = fs::canonicalize(format!("/sys/dev/block/{major}:{minor}"))?;
    let mut users = users_of_device(&sys)?;
    if users.is_empty() && is_claimed(disk) {
        users.push(CLAIMED.to_owned());
    }
    // A loop device shares its bytes with every other one over the same file.
    if let Some(Ok(file)) = backing_file(&sys).map(fs::metadata) {
        users.extend(users_of_file(&file, Some(&sys))?);
    }
    Ok(users)
}

/// What a disk's bytes are in: the same for all paths to them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Bytes {
    Device(u64),
    /// Device and inode.
    File(u64, u64),
}

/// Where the bytes of a block device or a regular file are; those of a loop device are in what it
/// shows.
///
/// # Errors
/// When it, or what it shows, cannot be looked at.
pub(super) fn bytes_of(disk: &Path) -> io::Result<Bytes> {
    let metadata = fs::metadata(disk)?;
    if !metadata.file_type().is_block_device() {
        return Ok(Bytes::File(metadata.dev(), metadata.ino()));
    }
    let number = metadata.rdev();
    let (major, minor) = (rustix::fs::major(number), rustix::fs::minor(number));
    let shown = fs::canonicalize(format!("/sys/dev/block/{major}:{minor}"))
        .ok()
        .and_then(|sys| backing_file(&sys))
        // A file that was deleted since is in nobody else's hands.
        .filter(|file| file.exists());
    match shown {
        Some(file) => bytes_of(&file),
        None => Ok(Bytes::Device(number)),
    }
}

/// For a user that is neither in the mount table of this process nor a device of its own, such as a
/// mount in a container.
const CLAIMED: &str = "another program has it for itself, or it is mounted in a container";

/// Whether somebody has the device for himself: an exclusive open is refused then, also when what is
/// claimed is one of its partitions.
fn is_claimed(device: &Path) -> bool {
    let opened: io::Result<File> = OpenOptions::new()
        .read(true)
        .custom_flags((OFlags::EXCL | OFlags::CLOEXEC).bits().cast_signed())
        .open(device);
    opened.is_err_and(|error| error.raw_os_error() == Some(Errno::BUSY.raw_os_error()))
}

/// What uses the loop devices over a file, except the one at `not_this` in sysfs.
fn users_of_file(file: &fs::Metadata, not_this: Option<&Path>) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir("/sys/block") {
        // A container without sysfs can still image regular files; it has no loop devices.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut users = Vec::new();
    for entry in entries {
        let sys = fs::canonicalize(entry?.path())?;
        let is_this = backing_file(&sys)
            .and_then(|backing| fs::metadata(backing).ok())
            .is_some_and(|found| (found.dev(), found.ino()) == (file.dev(), file.ino()));
        if !is_this || not_this == Some(&*sys) {
            continue;
        }
        let name = sys.file_name().unwrap_or_default().to_string_lossy();
        let device = Path::new("/dev").join(&*name);
        let mut found = users_of_device(&sys)?;
        if found.is_empty() && is_claimed(&device) {
            found.push(CLAIMED.to_owned());
        }
        users.extend(
            found
                .into_iter()
                .map(|user| format!("{user} (through {})", device.display())),
        );
    }
    Ok(users)
}

/// The file that a loop device shows.
fn backing_file(sys: &Path) -> Option<PathBuf> {
    attribute(sys, "loop/backing_file").map(PathBuf::from)
}

/// What uses the block device at this place in sysfs, or one of its partitions.
fn users_of_device(sys: &Path) -> io::Result<Vec<String>> {
    let mut users = Vec::new();
    let (mut numbers, mut names) = (HashSet::new(), HashSet::new());
    let mut devices = vec![sys.to_owned()];
    for entry in fs::read_dir(sys)? {
        let part = entry?.path();
        if part.join("partition").exists() {
            devices.push(part);
        }
    }
    for device in devices {
        numbers.extend(attribute(&device, "dev"));
        names.extend(
            device
                .file_name()
                .map(|name| Path::new("/dev").join(&*name.to_string_lossy().replace('!', "/"))),
        );
        note_holders(&device, &mut users);
    }
    users.extend(mounts_on(
        &fs::read_to_string("/proc/self/mountinfo")?,
        &numbers,
    ));
    users.extend(swap_on(|file| names.contains(file)));
    Ok(users)
}

/// Swap spaces in use whose device or file fits.
fn swap_on(fits: impl Fn(&Path) -> bool) -> Vec<String> {
    let swaps = fs::read_to_string("/proc/swaps").unwrap_or_default();
    swaps
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().next())
        .filter(|file| fits(Path::new(file)))
        .map(|file| format!("swap on {file}"))
        .collect()
}

fn note_holders(sys: &Path, users: &mut Vec<String>) {
    for holder in fs::read_dir(sys.join("holders"))
        .into_iter()
        .flatten()
        .flatten()
    {
        users.push(format!(
            "{} is built on it",
            holder.file_name().to_string_lossy()
        ));
    }
}

/// `/proc/self/mountinfo`: the third field is `major:minor`, the fifth the mount point.
fn mounts_on(mountinfo: &str, numbers: &HashSet<String>) -> Vec<String> {
    let mut users = Vec::new();
    for line in mountinfo.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        if let (Some(number), Some(point)) = (fields.get(2), fields.get(4))
            && numbers.contains(*number)
        {
            users.push(format!("mounted at {point}"));
        }
    }
    users
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mounted_partition_is_a_user_of_its_disk() {
        let info =
            "25 1 8:1 / / rw - ext4 /dev/sda1 rw\n26 1 8:17 / /data rw - ext4 /dev/sdb1 rw\n";
        let numbers = HashSet::from(["8:16".to_owned(), "8:17".to_owned()]);
        assert_eq!(mounts_on(info, &numbers), ["mounted at /data"]);
    }

    #[test]
    fn a_file_that_nobody_attached_has_no_users() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(users_of(file.path()).unwrap(), Vec::<String>::new());
    }
}
