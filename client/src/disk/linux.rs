//! The disks of this machine, from `/sys/block`.

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
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

/// Every drive, in the order of their kernel names (`sda`, `sdb`, …, `sdz`, `sdaa`), and why it is
/// not one that is built into this machine and can be written, if it is not.
///
/// # Errors
/// When `/sys/block` cannot be listed.
pub fn built_in() -> Result<Vec<(SeenDisk, Option<&'static str>)>, ScanDisksError> {
    built_in_under(Path::new("/sys/block"))
}

fn built_in_under(root: &Path) -> Result<Vec<(SeenDisk, Option<&'static str>)>, ScanDisksError> {
    let mut seen = scan_sysfs(root)?;
    seen.retain(|disk| disk.kind == DiskKind::Drive);
    seen.sort_by_cached_key(|disk| natural_order(&disk.path.to_string_lossy()));
    let judged = seen.into_iter().map(|disk| {
        let sys = root.join(sysfs_name(&disk.path));
        let flag = |name| attribute(&sys, name).is_some_and(|text| text != "0");
        let why = if flag("removable") {
            Some("removable")
        } else if flag("ro") {
            Some("read-only")
        } else if !sys.join("device").exists() {
            Some("no device of its own")
        } else {
            None
        };
        (disk, why)
    });
    Ok(judged.collect())
}

/// Names split into runs of letters and numbers, so that `nvme2n1` comes before `nvme10n1` and `sdz`
/// before `sdaa`.
fn natural_order(name: &str) -> Vec<(bool, u64, String)> {
    let mut runs: Vec<(bool, String)> = Vec::new();
    for c in name.chars() {
        let digit = c.is_ascii_digit();
        match runs.last_mut() {
            Some((was_digit, run)) if *was_digit == digit => run.push(c),
            _ => runs.push((digit, c.to_string())),
        }
    }
    let key = |(digit, run): (bool, String)| {
        let rank = if digit {
            run.parse().unwrap_or(u64::MAX)
        } else {
            run.len() as u64
        };
        (digit, rank, run)
    };
    runs.into_iter().map(key).collect()
}

/// sysfs writes '!' for the '/' in names such as cciss/c0d0.
fn sysfs_name(device: &Path) -> String {
    let name = device.strip_prefix("/dev").unwrap_or(device);
    name.to_string_lossy().replace('/', "!")
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

pub(super) fn attribute(sys: &Path, name: &str) -> Option<String> {
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
    fn all_stands_for_drives_that_are_built_in_in_a_stable_order() {
        let root = tempfile::tempdir().unwrap();
        let add = |disk: &str, flags: &[(&str, &str)]| {
            let sys = root.path().join(disk);
            fs::create_dir_all(sys.join("device")).unwrap();
            fs::write(sys.join("size"), "2048").unwrap();
            for (name, text) in flags {
                fs::write(sys.join(name), text).unwrap();
            }
        };
        for disk in ["sdaa", "sdb", "nvme10n1", "nvme2n1", "loop0", "dm-0"] {
            add(disk, &[("removable", "0"), ("ro", "0")]);
        }
        add("sdc", &[("removable", "1")]);
        add("mmcblk0boot0", &[("ro", "1")]);
        fs::create_dir_all(root.path().join("bcache0")).unwrap();
        fs::write(root.path().join("bcache0/size"), "2048").unwrap();
        let found: Vec<(String, Option<&str>)> = built_in_under(root.path())
            .unwrap()
            .into_iter()
            .map(|(disk, why)| (disk.path.display().to_string(), why))
            .collect();
        let found: Vec<(&str, Option<&str>)> =
            found.iter().map(|(path, why)| (&**path, *why)).collect();
        assert_eq!(
            found,
            [
                ("/dev/sdb", None),
                ("/dev/sdc", Some("removable")),
                ("/dev/nvme2n1", None),
                ("/dev/nvme10n1", None),
                ("/dev/sdaa", None),
                ("/dev/bcache0", Some("no device of its own")),
                ("/dev/mmcblk0boot0", Some("read-only")),
            ]
        );
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
