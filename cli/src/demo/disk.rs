//! A realistic disk: GPT with an EFI system partition, ext4 with files of this machine, and NTFS.
//! Built without root: file systems are created in files and copied to their partitions.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs;
use std::path::{Path, PathBuf};

use super::tools::{ToolError, run};

const MIB: u64 = 1 << 20;
const ESP: u64 = 64 * MIB;
const NTFS: u64 = 160 * MIB;
/// Files for NTFS: only a few, because its tools copy them one by one into the root.
const NTFS_CONTENT: u64 = 48 * MIB;
const ESP_CONTENT: u64 = 16 * MIB;
/// Larger files are not used, so that the content consists of many files.
const LARGEST_FILE: u64 = 32 * MIB;

#[derive(Debug, thiserror::Error)]
pub(super) enum MakeDiskError {
    #[error(transparent)]
    Tool(#[from] ToolError),
    #[error("could not {doing} {}", path.display())]
    File {
        doing: &'static str,
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("this machine has too few files under /usr to fill a disk")]
    NoFiles,
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> MakeDiskError {
    let path = path.to_owned();
    move |source| MakeDiskError::File {
        doing,
        path,
        source,
    }
}

/// Creates `folder/golden.img` with about `content` bytes of real files on its ext4 file system.
/// `tell` hears of every step, because some take seconds.
pub(super) fn make(
    folder: &Path,
    content: u64,
    tell: impl Fn(&str),
) -> Result<PathBuf, MakeDiskError> {
    let stage = folder.join("files");
    tell(&format!("copying about {} MiB of files", content / MIB));
    let taken = stage_files(Path::new("/usr"), &stage.join("ext4"), content, usize::MAX)?;
    stage_files(
        Path::new("/usr/share"),
        &stage.join("ntfs"),
        NTFS_CONTENT,
        60,
    )?;
    stage_files(Path::new("/usr/lib"), &stage.join("esp"), ESP_CONTENT, 40)?;
    let root = (taken * 3 / 2 + 64 * MIB).next_multiple_of(MIB);

    tell("making an EFI system partition (FAT32)");
    let esp = make_esp(folder, &stage.join("esp"))?;
    tell(&format!("making an ext4 file system of {} MiB", root / MIB));
    let ext4 = make_ext4(folder, &stage.join("ext4"), root)?;
    tell("making an NTFS file system and copying 60 files to it, one by one");
    let ntfs = make_ntfs(folder, &stage.join("ntfs"))?;
    tell("putting the three on one disk");
    let disk = folder.join("golden.img");
    // One MiB before the first partition for the table, as installers leave it, and space for the
    // backup table at the end.
    set_len(&disk, MIB + ESP + root + NTFS + 2 * MIB)?;
    let place = |number: u32, size: u64| format!("{number}:0:+{}M", size / MIB);
    run(
        "sgdisk",
        [
            "-n",
            &place(1, ESP),
            "-t",
            "1:ef00",
            "-c",
            "1:EFI system partition",
            "-n",
            &place(2, root),
            "-t",
            "2:8300",
            "-c",
            "2:root",
            "-n",
            &place(3, NTFS),
            "-t",
            "3:0700",
            "-c",
            "3:data",
            path_text(&disk),
        ],
    )?;
    for (part, at) in [(&esp, MIB), (&ext4, MIB + ESP), (&ntfs, MIB + ESP + root)] {
        run(
            "dd",
            [
                format!("if={}", path_text(part)),
                format!("of={}", path_text(&disk)),
                "bs=1M".to_owned(),
                format!("seek={}", at / MIB),
                "conv=notrunc,sparse".to_owned(),
                "status=none".to_owned(),
            ],
        )?;
        fs::remove_file(part).map_err(failed("remove", part))?;
    }
    fs::remove_dir_all(&stage).map_err(failed("remove", &stage))?;
    Ok(disk)
}

fn make_esp(folder: &Path, files: &Path) -> Result<PathBuf, MakeDiskError> {
    let image = folder.join("esp.part");
    set_len(&image, ESP)?;
    run("mkfs.fat", ["-F", "32", "-n", "ESP", path_text(&image)])?;
    run("mmd", ["-i", path_text(&image), "::/EFI", "::/EFI/BOOT"])?;
    for file in list(files)? {
        run(
            "mcopy",
            ["-i", path_text(&image), path_text(&file), "::/EFI/BOOT/"],
        )?;
    }
    Ok(image)
}

fn make_ext4(folder: &Path, files: &Path, size: u64) -> Result<PathBuf, MakeDiskError> {
    let image = folder.join("ext4.part");
    set_len(&image, size)?;
    run(
        "mke2fs",
        [
            "-q",
            "-F",
            "-t",
            "ext4",
            "-L",
            "root",
            "-d",
            path_text(files),
            path_text(&image),
        ],
    )?;
    Ok(image)
}

fn make_ntfs(folder: &Path, files: &Path) -> Result<PathBuf, MakeDiskError> {
    let image = folder.join("ntfs.part");
    set_len(&image, NTFS)?;
    // The geometry is given because a file has none.
    run(
        "mkfs.ntfs",
        [
            "-q",
            "-Q",
            "-F",
            "-L",
            "data",
            "-p",
            "2048",
            "-H",
            "255",
            "-S",
            "63",
            path_text(&image),
        ],
    )?;
    for file in list(files)? {
        let name = file
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        run("ntfscp", ["-q", path_text(&image), path_text(&file), &name])?;
    }
    Ok(image)
}

pub(super) fn set_len(path: &Path, size: u64) -> Result<(), MakeDiskError> {
    let file = fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path);
    file.and_then(|file| file.set_len(size))
        .map_err(failed("make", path))
}

/// Copies regular files from `from` until `bytes` or `count` is reached, in the order of their
/// paths; returns the number of bytes copied. With a bounded count the copies are in one folder
/// with numbered names, as the FAT and NTFS tools need.
fn stage_files(from: &Path, to: &Path, bytes: u64, count: usize) -> Result<u64, MakeDiskError> {
    fs::create_dir_all(to).map_err(failed("make", to))?;
    let flat = count != usize::MAX;
    let (mut taken, mut number) = (0, 0);
    let mut folders = BinaryHeap::from([Reverse(from.to_owned())]);
    while let Some(Reverse(folder)) = folders.pop() {
        // Files that this user may not read are skipped: any files are suitable.
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let Ok(kind) = entry.file_type() else {
                continue;
            };
            let path = entry.path();
            if kind.is_dir() {
                folders.push(Reverse(path));
                continue;
            }
            let size = entry.metadata().map_or(0, |data| data.len());
            let smallest = if flat { bytes / count as u64 / 4 } else { 1 };
            if !kind.is_file() || size < smallest.max(1) || size > LARGEST_FILE {
                continue;
            }
            let place = if flat {
                to.join(format!("FILE{number:03}.BIN"))
            } else {
                to.join(path.strip_prefix(from).unwrap_or(&path))
            };
            if let Some(parent) = place.parent() {
                fs::create_dir_all(parent).map_err(failed("make", parent))?;
            }
            if fs::copy(&path, &place).is_err() {
                continue;
            }
            (taken, number) = (taken + size, number + 1);
            if taken >= bytes || number >= count {
                return Ok(taken);
            }
        }
    }
    if taken == 0 {
        Err(MakeDiskError::NoFiles)
    } else {
        Ok(taken)
    }
}

fn list(folder: &Path) -> Result<Vec<PathBuf>, MakeDiskError> {
    let entries = fs::read_dir(folder).map_err(failed("list", folder))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    Ok(files)
}

/// The paths contain plain characters only: the work folder is checked at the start.
pub(super) fn path_text(path: &Path) -> &str {
    path.to_str().unwrap_or_default()
}
