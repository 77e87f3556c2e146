//! The disk of the test: a table with one partition of random bytes, which nothing but a whole copy
//! can reproduce.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use foghorn_types::ByteCount;

const SECTOR: u64 = 512;
/// Where the partition begins.
const FIRST: u64 = 1 << 20;
const BLOCK: usize = 1 << 20;
/// A Linux file system, of no kind that anybody knows: all of it is captured.
const PARTITION_TYPE: u8 = 0x83;

/// Why the disks could not be made or compared.
#[derive(Debug, thiserror::Error)]
pub(super) enum DiskError {
    #[error("could not write the disk {path}", path = path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("could not read the disk {path}", path = path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{path} differs from the captured disk from byte {at} on", path = path.display())]
    Different { path: PathBuf, at: u64 },
}

/// A new disk with random content.
pub(super) fn make(path: &Path, size: ByteCount) -> Result<(), DiskError> {
    let written = (|| {
        let mut file = create(path, size)?;
        file.write_all(&table(size))?;
        file.seek(SeekFrom::Start(FIRST))?;
        let mut random = File::open("/dev/urandom")?.take(size.bytes().saturating_sub(FIRST));
        io::copy(&mut random, &mut file)?;
        file.sync_all()
    })();
    written.map_err(|source| failed(path, source))
}

/// A new disk without content.
pub(super) fn empty(path: &Path, size: ByteCount) -> Result<(), DiskError> {
    create(path, size)
        .map(drop)
        .map_err(|source| failed(path, source))
}

fn failed(path: &Path, source: io::Error) -> DiskError {
    let path = path.to_owned();
    DiskError::Write { path, source }
}

fn create(path: &Path, size: ByteCount) -> io::Result<File> {
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.set_len(size.bytes())?;
    Ok(file)
}

/// A master boot record with one partition (<https://wiki.osdev.org/MBR_(x86)>).
fn table(size: ByteCount) -> [u8; 512] {
    let mut sector = [0; 512];
    let (first, sectors) = (FIRST / SECTOR, (size.bytes() - FIRST) / SECTOR);
    let entry = &mut sector[446..462];
    entry[4] = PARTITION_TYPE;
    entry[8..12].copy_from_slice(&low(first));
    entry[12..16].copy_from_slice(&low(sectors));
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    sector
}

/// The disk of a test is far below the 2 TiB of such a table.
fn low(number: u64) -> [u8; 4] {
    u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes()
}

/// Every byte of both.
pub(super) fn compare(captured: &Path, deployed: &Path) -> Result<(), DiskError> {
    let read = |path: &Path| {
        let path = path.to_owned();
        move |source| DiskError::Read { path, source }
    };
    let mut ours = BufReader::new(File::open(captured).map_err(read(captured))?);
    let mut theirs = BufReader::new(File::open(deployed).map_err(read(deployed))?);
    let (mut one, mut other) = (vec![0; BLOCK], vec![0; BLOCK]);
    let mut at = 0;
    loop {
        let length = fill(&mut ours, &mut one).map_err(read(captured))?;
        let found = fill(&mut theirs, &mut other).map_err(read(deployed))?;
        if one[..length] != other[..found] {
            let same = one[..length].iter().zip(&other[..found]);
            let same = same.take_while(|(one, other)| one == other).count();
            return Err(DiskError::Different {
                path: deployed.to_owned(),
                at: at + same as u64,
            });
        }
        if length == 0 {
            return Ok(());
        }
        at += length as u64;
    }
}

/// As much as there is, up to the whole of `block`.
fn fill(file: &mut impl io::Read, block: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < block.len() {
        match file.read(&mut block[length..])? {
            0 => break,
            more => length += more,
        }
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_byte_that_differs_is_found_where_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (folder.path().join("one"), folder.path().join("other"));
        make(&one, ByteCount::from_mib(3)).unwrap();
        std::fs::copy(&one, &other).unwrap();
        compare(&one, &other).unwrap();
        let mut bytes = std::fs::read(&other).unwrap();
        bytes[2_500_000] ^= 1;
        std::fs::write(&other, &bytes).unwrap();
        let error = compare(&one, &other).unwrap_err().to_string();
        assert!(error.contains("from byte 2500000 on"), "{error}");
        std::fs::write(&other, &bytes[..1_000_000]).unwrap();
        let error = compare(&one, &other).unwrap_err().to_string();
        assert!(error.contains("from byte 1000000 on"), "{error}");
    }
}
