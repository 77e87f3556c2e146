//! What Debian's programs say of a part of a disk.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::disks::MIB;
use crate::tools::run_any;

/// What the judges say of bytes `start..start + size` of a disk: `blkid -p`, `wipefs -n` and
/// `mdadm --examine`, in a form that does not depend on where the bytes are.
///
/// # Errors
/// When a tool is missing.
pub fn judged(disk: &Path, start: u64, size: u64) -> Result<String> {
    let scratch = tempfile::tempdir_in(disk.parent().context("a disk lies in a folder")?)?;
    let part = scratch.path().join("volume");
    extract(disk, start, size, &part)?;
    let path = part.to_str().context("temporary paths are text")?;
    let mut verdict = String::new();
    for (program, arguments) in [
        ("blkid", ["-p", "-o", "export"].as_slice()),
        ("wipefs", &["-n"]),
        ("mdadm", &["--examine"]),
    ] {
        let output = run_any(program, arguments.iter().copied().chain([path]))?;
        for text in [output.stdout, output.stderr] {
            verdict += &String::from_utf8_lossy(&text).replace(path, "VOLUME");
        }
        verdict += "--\n";
    }
    Ok(verdict)
}

/// Copies what is data of the file into `to`, from `start` on.
///
/// # Errors
/// When one of them cannot be read or written.
pub fn copy_data(from: &Path, to: &Path, start: u64) -> Result<()> {
    copy_range(from, 0, fs::metadata(from)?.len(), to, start)
}

/// Bytes `start..start + size` of a disk as a file of their own.
///
/// # Errors
/// When the disk is shorter.
pub fn extract(disk: &Path, start: u64, size: u64, to: &Path) -> Result<()> {
    File::create(to)?.set_len(size)?;
    copy_range(disk, start, size, to, 0)
}

pub(super) fn copy_range(from: &Path, start: u64, size: u64, to: &Path, at: u64) -> Result<()> {
    let from = File::open(from)?;
    let to = File::options().write(true).open(to)?;
    let end = start + size;
    ensure!(from.metadata()?.len() >= end, "the disk is shorter");
    let seek = |to| rustix::fs::seek(&from, to);
    let mut place = start;
    let mut block = vec![0; MIB as usize];
    while place < end {
        let Ok(data) = seek(rustix::fs::SeekFrom::Data(place)) else {
            break;
        };
        let hole = seek(rustix::fs::SeekFrom::Hole(data))?.min(end);
        place = data;
        while place < hole {
            let length = (hole - place).min(MIB) as usize;
            from.read_exact_at(&mut block[..length], place)?;
            to.write_all_at(&block[..length], at + place - start)?;
            place += length as u64;
        }
    }
    Ok(())
}
