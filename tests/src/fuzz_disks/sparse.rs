//! Copies and comparisons of files that are mostly holes.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result};
use rustix::fs::{SeekFrom, seek};

const STEP: u64 = 1 << 20;

/// The parts of `range` that are not holes.
fn data(file: &File, range: Range<u64>) -> io::Result<Vec<Range<u64>>> {
    let mut found = vec![];
    let mut at = range.start;
    while at < range.end {
        let start = match seek(file, SeekFrom::Data(at)) {
            Ok(start) if start < range.end => start,
            Ok(_) | Err(rustix::io::Errno::NXIO) => break,
            Err(error) => return Err(error.into()),
        };
        let end = seek(file, SeekFrom::Hole(start))?.min(range.end);
        found.push(start..end);
        at = end;
    }
    Ok(found)
}

/// Copies `length` bytes without the holes, whose place in `to` is left as it is.
///
/// # Errors
/// When a file cannot be read or written.
pub fn copy(from: &Path, offset: u64, to: &Path, place: u64, length: u64) -> Result<()> {
    let source = File::open(from).with_context(|| from.display().to_string())?;
    let target = OpenOptions::new()
        .write(true)
        .open(to)
        .with_context(|| to.display().to_string())?;
    let mut buffer = vec![0; STEP as usize];
    for piece in data(&source, offset..offset + length)? {
        let mut at = piece.start;
        while at < piece.end {
            let count = (piece.end - at).min(STEP) as usize;
            source.read_exact_at(&mut buffer[..count], at)?;
            target.write_all_at(&buffer[..count], at - offset + place)?;
            at += count as u64;
        }
    }
    Ok(())
}

/// A part of a disk as a new file of `size` bytes, which may be more than the disk has.
///
/// # Errors
/// When the disk cannot be read or the file not be written.
pub fn extract(disk: &Path, start: u64, size: u64, to: &Path) -> Result<()> {
    blank(to, size)?;
    let there = std::fs::metadata(disk)?.len().saturating_sub(start);
    copy(disk, start, to, 0, size.min(there))
}

/// A new file of nothing but a hole.
///
/// # Errors
/// When it cannot be made.
pub fn blank(path: &Path, size: u64) -> Result<()> {
    let file = File::create(path).with_context(|| path.display().to_string())?;
    Ok(file.set_len(size)?)
}

/// The first byte of `range` at which two disks differ, or one of them has ended.
///
/// # Errors
/// When one cannot be read.
pub fn first_difference(one: &Path, other: &Path, range: Range<u64>) -> Result<Option<u64>> {
    let (one, other) = (File::open(one)?, File::open(other)?);
    let shorter = one.metadata()?.len().min(other.metadata()?.len());
    if shorter < range.end {
        return Ok(Some(shorter));
    }
    let mut pieces = data(&one, range.clone())?;
    pieces.extend(data(&other, range)?);
    let (mut left, mut right) = (vec![0; STEP as usize], vec![0; STEP as usize]);
    let mut least: Option<u64> = None;
    for piece in pieces {
        let mut at = piece.start;
        while at < piece.end.min(least.unwrap_or(u64::MAX)) {
            let count = (piece.end - at).min(STEP) as usize;
            one.read_exact_at(&mut left[..count], at)?;
            other.read_exact_at(&mut right[..count], at)?;
            if left[..count] != right[..count] {
                let place = left.iter().zip(&right).take_while(|(a, b)| a == b).count();
                least = Some(at + place as u64);
            }
            at += count as u64;
        }
    }
    Ok(least)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_byte_in_a_hole_of_the_other_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (folder.path().join("one"), folder.path().join("other"));
        blank(&one, 9 << 20).unwrap();
        blank(&other, 9 << 20).unwrap();
        let write = |path: &Path, at| {
            let file = OpenOptions::new().write(true).open(path).unwrap();
            file.write_all_at(b"x", at).unwrap();
        };
        write(&one, 100);
        write(&other, 100);
        assert_eq!(first_difference(&one, &other, 0..9 << 20).unwrap(), None);
        write(&other, (8 << 20) + 5);
        write(&other, (4 << 20) + 5);
        assert_eq!(
            first_difference(&one, &other, 0..9 << 20).unwrap(),
            Some((4 << 20) + 5)
        );
        assert_eq!(first_difference(&one, &other, 0..4 << 20).unwrap(), None);
        let part = folder.path().join("part");
        extract(&other, 4 << 20, 1 << 20, &part).unwrap();
        assert_eq!(std::fs::read(&part).unwrap()[5], b'x');
    }
}
