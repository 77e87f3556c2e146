//! The disks of this machine, from `/sys/block`, and whether somebody uses them.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use foghorn_types::{ByteCount, SectorSize};

use super::target::{DiskKind, DiskRule, SeenDisk};

/// Kernel name prefixes of block devices that are not drives.
const VIRTUAL: [&str; 9] = [
    "loop", "ram", "zram", "dm-", "md", "sr", "fd", "nbd", "mtdblock",
];

/// `/sys/block/*/size` counts these, whatever the sector size.
const SYSFS_SECTOR: u64 = 512;

#[derive(Debug, thiserror::Error)]
pub enum ScanDisksError {
    #[error("could not list {path}", path = path.display())]
    List { path: PathBuf, source: io::Error },
    #[error("could not examine {path}", path = path.display())]
    Look { path: PathBuf, source: io::Error },
}

/// Every block device with a medium in it, plus the regular file that `rule` names, if it names
/// one.
///
/// # Errors
/// When `/sys/block` cannot be listed, or the path in the rule exists but cannot be looked at.
pub fn scan(rule: Option<&DiskRule>) -> Result<Vec<SeenDisk>, ScanDisksError> {
    let mut seen = scan_sysfs(Path::new("/sys/block"))?;
    if let Some(DiskRule::Path(path)) = rule {
        add_named(path, &mut seen)?;
    }
    Ok(seen)
}

fn scan_sysfs(root: &Path) -> Result<Vec<SeenDisk>, ScanDisksError> {
    let list = |source| ScanDisksError::List {
        path: root.to_owned(),
        source,
    };
    let entries = match fs::read_dir(root) {
        // A container without sysfs can still image regular files.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(list)?,
    };
    let mut seen = Vec::new();
    for entry in entries {
        let entry = entry.map_err(list)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let sys = entry.path();
        let Some(sectors) = attribute(&sys, "size")
            .and_then(|text| text.parse::<u64>().ok())
            .filter(|&n| n > 0)
        else {
            continue;
        };
        seen.push(SeenDisk {
            // sysfs writes '!' for the '/' in names such as cciss/c0d0.
            path: Path::new("/dev").join(name.replace('!', "/")),
            kind: if VIRTUAL.iter().any(|prefix| name.starts_with(prefix)) {
                DiskKind::Virtual
            } else {
                DiskKind::Drive
            },
            size: ByteCount::from_bytes(sectors * SYSFS_SECTOR),
            sector_size: attribute(&sys, "queue/logical_block_size")
                .and_then(|text| text.parse::<u64>().ok())
                .and_then(|bytes| SectorSize::try_from(bytes).ok()),
            model: attribute(&sys, "device/model"),
            serial: attribute(&sys, "device/serial")
                .or_else(|| attribute(&sys, "serial"))
                .or_else(|| vpd_serial(&sys)),
            wwn: attribute(&sys, "wwid").or_else(|| attribute(&sys, "device/wwid")),
        });
    }
    seen.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(seen)
}

/// The path in a rule may be a symbolic link (`/dev/disk/by-id/…`) or a regular file.
fn add_named(path: &Path, seen: &mut Vec<SeenDisk>) -> Result<(), ScanDisksError> {
    let look = |source| ScanDisksError::Look {
        path: path.to_owned(),
        source,
    };
    let metadata = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(look)?,
    };
    if metadata.file_type().is_block_device() {
        let real = fs::canonicalize(path).map_err(look)?;
        if let Some(disk) = seen.iter_mut().find(|disk| disk.path == real) {
            disk.path = path.to_owned();
        }
    } else if metadata.is_file() {
        seen.push(SeenDisk {
            path: path.to_owned(),
            kind: DiskKind::File,
            size: ByteCount::from_bytes(metadata.len()),
            sector_size: None,
            model: None,
            serial: None,
            wwn: None,
        });
    }
    Ok(())
}

fn attribute(sys: &Path, name: &str) -> Option<String> {
    let text = fs::read_to_string(sys.join(name)).ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// A drive as it is described to people.
pub(crate) struct Drive {
    /// Its folder in sysfs.
    pub(crate) sys: PathBuf,
    pub(crate) model: String,
    pub(crate) serial: String,
}

/// The first drive by its kernel name, under `/sys/block` or what stands for it.
pub(crate) fn first_drive(root: &Path) -> Option<Drive> {
    let mut seen = scan_sysfs(root).ok()?;
    seen.retain(|disk| disk.kind == DiskKind::Drive);
    let disk = seen.into_iter().next()?;
    let name = disk
        .path
        .strip_prefix("/dev")
        .ok()?
        .to_string_lossy()
        .replace('/', "!");
    Some(Drive {
        sys: root.join(name),
        model: disk.model.unwrap_or_default(),
        serial: disk.serial.unwrap_or_default(),
    })
}

/// SCSI and SATA disks give their serial number in the vital product data page 0x80: four header
/// bytes, then text.
fn vpd_serial(sys: &Path) -> Option<String> {
    let page = fs::read(sys.join("device/vpd_pg80")).ok()?;
    let text = String::from_utf8_lossy(page.get(4..)?)
        .trim_matches(|c: char| c.is_whitespace() || c == '\0')
        .to_owned();
    (!text.is_empty()).then_some(text)
}

/// Who uses a block device: mounted file systems, swap, and devices stacked on it. Empty when
/// nobody does.
///
/// # Errors
/// When `/proc` or `/sys` cannot be read; a disk about which nothing is known must not be taken for
/// free.
pub fn users_of(device: &Path) -> io::Result<Vec<String>> {
    let metadata = fs::metadata(device)?;
    if !metadata.file_type().is_block_device() {
        return Ok(Vec::new());
    }
    let (major, minor) = (
        rustix::fs::major(metadata.rdev()),
        rustix::fs::minor(metadata.rdev()),
    );
    let sys = fs::canonicalize(format!("/sys/dev/block/{major}:{minor}"))?;
    let mut users = Vec::new();
    let mut numbers = HashSet::from([format!("{major}:{minor}")]);
    let mut names = HashSet::from([sys
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()]);
    note_holders(&sys, &mut users);
    for entry in fs::read_dir(&sys)? {
        let part = entry?.path();
        if part.join("partition").exists() {
            numbers.extend(attribute(&part, "dev"));
            names.insert(
                part.file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned(),
            );
            note_holders(&part, &mut users);
        }
    }
    users.extend(mounts_on(
        &fs::read_to_string("/proc/self/mountinfo")?,
        &numbers,
    ));
    for line in fs::read_to_string("/proc/swaps")
        .unwrap_or_default()
        .lines()
        .skip(1)
    {
        let file = line.split_whitespace().next().unwrap_or_default();
        if file
            .strip_prefix("/dev/")
            .is_some_and(|name| names.contains(name))
        {
            users.push(format!("swap on {file}"));
        }
    }
    Ok(users)
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
    fn a_machine_is_read_from_its_sysfs() {
        let root = tempfile::tempdir().unwrap();
        let add = |disk: &str, name: &str, text: &str| {
            let path = root.path().join(disk).join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        add("sda", "size", "2048\n");
        add("sda", "queue/logical_block_size", "4096\n");
        add("sda", "device/model", "FAST DISK  \n");
        add("sda", "device/vpd_pg80", "\0\u{1}\0\u{4}  W4X\0");
        add("sda", "device/wwid", "naa.5000c500\n");
        add("loop0", "size", "8\n");
        add("sr0", "size", "0\n");
        let seen = scan_sysfs(root.path()).unwrap();
        assert_eq!(
            seen.iter()
                .map(|d| d.path.to_str().unwrap())
                .collect::<Vec<_>>(),
            ["/dev/loop0", "/dev/sda"]
        );
        let sda = &seen[1];
        assert_eq!(
            (sda.size.bytes(), sda.sector_size, sda.kind),
            (1 << 20, Some(SectorSize::B4096), DiskKind::Drive)
        );
        assert_eq!(
            (
                sda.model.as_deref(),
                sda.serial.as_deref(),
                sda.wwn.as_deref()
            ),
            (Some("FAST DISK"), Some("W4X"), Some("naa.5000c500"))
        );
        assert_eq!(seen[0].kind, DiskKind::Virtual);
    }

    #[test]
    fn a_mounted_partition_is_a_user_of_its_disk() {
        let info =
            "25 1 8:1 / / rw - ext4 /dev/sda1 rw\n26 1 8:17 / /data rw - ext4 /dev/sdb1 rw\n";
        let numbers = HashSet::from(["8:16".to_owned(), "8:17".to_owned()]);
        assert_eq!(mounts_on(info, &numbers), ["mounted at /data"]);
    }

    #[test]
    fn a_named_file_is_seen_and_a_missing_one_is_not() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(4096).unwrap();
        let found = scan(Some(&DiskRule::Path(file.path().to_owned()))).unwrap();
        assert!(
            found
                .iter()
                .any(|disk| disk.path == file.path() && disk.kind == DiskKind::File)
        );
        let missing = file.path().with_extension("none");
        assert!(
            scan(Some(&DiskRule::Path(missing.clone())))
                .unwrap()
                .iter()
                .all(|disk| disk.path != missing)
        );
    }
}
