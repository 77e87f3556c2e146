//! Disks whose partitions are not what a first look says, or are in the middle of something: built
//! by the tools of each format, and by hand where it takes another system.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::disks::{MIB, fill_random};
use crate::tools::run;

/// A partition of a disk that is built: its type for sgdisk and its contents.
pub struct Part {
    pub kind: &'static str,
    pub volume: PathBuf,
}

/// Puts volumes into the partitions of a new GPT disk, from 1 MiB on.
pub fn assemble(disk: &Path, parts: &[Part]) -> Result<()> {
    let mut sizes = Vec::new();
    for part in parts {
        sizes.push(fs::metadata(&part.volume)?.len());
    }
    File::create(disk)?.set_len(sizes.iter().sum::<u64>() + 2 * MIB)?;
    let mut arguments = Vec::new();
    for (number, (part, size)) in (1..).zip(parts.iter().zip(&sizes)) {
        arguments.push(format!("-n{number}:0:+{}M", size / MIB));
        arguments.push(format!("-t{number}:{}", part.kind));
    }
    arguments.push(text(disk)?.to_owned());
    run("sgdisk", &arguments)?;
    let file = File::options().write(true).open(disk)?;
    let mut start = MIB;
    for (part, size) in parts.iter().zip(sizes) {
        let bytes = fs::read(&part.volume)?;
        for (at, piece) in (start..).step_by(4096).zip(bytes.chunks(4096)) {
            if piece.iter().any(|&byte| byte != 0) {
                file.write_all_at(piece, at)?;
            }
        }
        start += size;
    }
    Ok(())
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("temporary paths are text")
}

fn blank(path: &Path, size: u64) -> Result<File> {
    File::create(path)?.set_len(size)?;
    Ok(File::options().read(true).write(true).open(path)?)
}

/// Writes noise into `range` (bytes) of a volume.
pub fn noise(volume: &Path, range: std::ops::Range<u64>, seed: u64) -> Result<()> {
    let mut bytes = vec![0; usize::try_from(range.end - range.start)?];
    fill_random(&mut bytes, seed);
    Ok(File::options()
        .write(true)
        .open(volume)?
        .write_all_at(&bytes, range.start)?)
}

/// A volume of BitLocker: its header, and ciphertext to the end.
pub fn bitlocker(path: &Path, size: u64) -> Result<()> {
    let file = blank(path, size)?;
    noise(path, 0..size, 77)?;
    let mut header = [0; 512];
    header[..11].copy_from_slice(b"\xeb\x58\x90-FVE-FS-");
    header[11..14].copy_from_slice(&[0, 2, 8]);
    header[21] = 0xf8;
    header[82..90].copy_from_slice(b"FAT32   ");
    header[160..176].copy_from_slice(&[
        0x3b, 0xd6, 0x67, 0x49, 0x29, 0x2e, 0xd8, 0x4a, 0x83, 0x99, 0xf6, 0xa3, 0x39, 0xe3, 0xd0,
        0x01,
    ]);
    // Where the three copies of the metadata are.
    for (at, place) in [(176, MIB), (184, 4 * MIB), (192, 8 * MIB)] {
        header[at..at + 8].copy_from_slice(&place.to_le_bytes());
        // Signature, size, version; size and version of the header that follows.
        let mut metadata = [0; 128];
        metadata[..12].copy_from_slice(b"-FVE-FS-\x64\0\x02\0");
        metadata[64..80].copy_from_slice(&[0, 1, 0, 0, 1, 0, 0, 0, 0x30, 0, 0, 0, 0, 1, 0, 0]);
        file.write_all_at(&metadata, place)?;
    }
    header[510..].copy_from_slice(&[0x55, 0xaa]);
    Ok(file.write_all_at(&header, 0)?)
}

/// An empty NTFS.
pub fn ntfs(path: &Path, size: u64) -> Result<()> {
    blank(path, size)?;
    run("mkfs.ntfs", ["-q", "-Q", "-F", "-c", "4096", text(path)?]).map(drop)
}

/// A member of a RAID1 (version 1.2: superblock at 4 KiB, data from 1 MiB on) made of what was NTFS:
/// its boot sector still stands, and the RAID's data is where NTFS had nothing.
pub fn raid_over_ntfs(path: &Path, size: u64) -> Result<()> {
    ntfs(path, size)?;
    let mut block = vec![0; 512];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    let sectors = size / 512;
    put(0, &0xa92b_4efc_u32.to_le_bytes());
    put(4, &1_u32.to_le_bytes());
    put(16, &[0x5a; 16]);
    put(32, b"lab:0");
    put(64, &1_700_000_000_u64.to_le_bytes());
    put(72, &1_u32.to_le_bytes());
    put(80, &(sectors - 2048).to_le_bytes());
    put(92, &2_u32.to_le_bytes());
    put(128, &2048_u64.to_le_bytes());
    put(136, &(sectors - 2048).to_le_bytes());
    put(144, &8_u64.to_le_bytes());
    put(168, &[0xa5; 16]);
    put(192, &1_700_000_000_u64.to_le_bytes());
    put(200, &5_u64.to_le_bytes());
    put(208, &u64::MAX.to_le_bytes());
    put(220, &128_u32.to_le_bytes());
    for role in 0..128_u16 {
        let state = if role < 2 { role } else { 0xffff };
        put(256 + 2 * usize::from(role), &state.to_le_bytes());
    }
    let words = block.chunks_exact(4);
    let sum: u64 = words
        .map(|word| u64::from(u32::from_le_bytes([word[0], word[1], word[2], word[3]])))
        .sum();
    let sum = (sum as u32).wrapping_add((sum >> 32) as u32);
    block[216..220].copy_from_slice(&sum.to_le_bytes());
    File::options()
        .write(true)
        .open(path)?
        .write_all_at(&block, 4096)?;
    noise(path, size / 2..size - MIB, 78)
}

/// Makes the log of an NTFS look as after a power cut: a restart page with one user and without the
/// mark that the volume is clean.
pub fn interrupt_ntfs(path: &Path) -> Result<()> {
    let file = File::options().read(true).write(true).open(path)?;
    let (place, size) = log_of(&file)?;
    let mut page = vec![0; 4096];
    let mut put = |at: usize, bytes: &[u8]| page[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"RSTR");
    put(4, &[30, 0, 9, 0]);
    put(16, &4096_u32.to_le_bytes());
    put(20, &4096_u32.to_le_bytes());
    put(24, &[48, 0, 1, 0, 1, 0, 1, 0]);
    let area = 48;
    put(area, &0x10_0000_u64.to_le_bytes());
    put(area + 8, &[1, 0, 0xff, 0xff]);
    put(area + 16, &(67 - (64 - size.leading_zeros())).to_le_bytes());
    put(area + 20, &[0xe0, 0, 0x40, 0]);
    put(area + 24, &size.to_le_bytes());
    put(area + 36, &[0x30, 0, 0x40, 0]);
    let client = area + 0x40;
    put(client + 16, &[0xff; 4]);
    put(client + 28, &8_u32.to_le_bytes());
    put(client + 32, b"N\0T\0F\0S\0");
    for end in (1..=8).map(|nth| 512 * nth - 2) {
        put(end, &[1, 0]);
    }
    file.write_all_at(&page, place)?;
    Ok(file.write_all_at(&page, place + 4096)?)
}

/// First byte and size of `$LogFile`, which new volumes have in one piece.
fn log_of(file: &File) -> Result<(u64, u64)> {
    let mut boot = [0; 512];
    file.read_exact_at(&mut boot, 0)?;
    let number = |bytes: &[u8]| {
        bytes
            .iter()
            .rev()
            .fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte))
    };
    let cluster = number(&boot[11..13]) * number(&boot[13..14]);
    let mut record = [0; 1024];
    file.read_exact_at(&mut record, number(&boot[48..56]) * cluster + 2048)?;
    let mut at = usize::try_from(number(&record[20..22]))?;
    while record[at] != 0x80 {
        let length = usize::try_from(number(&record[at + 4..at + 8]))?;
        ensure!(length > 0 && at + length < 1000, "no log in a new NTFS");
        at += length;
    }
    let runs = at + usize::try_from(number(&record[at + 32..at + 34]))?;
    let (length, place) = (
        usize::from(record[runs] & 15),
        usize::from(record[runs] >> 4),
    );
    let first = number(&record[runs + 1 + length..runs + 1 + length + place]);
    Ok((first * cluster, number(&record[at + 48..at + 56])))
}

/// An ext4 whose journal was not replayed, with data in blocks that its bitmap calls free, as files
/// have that were written just before a power cut.
pub fn interrupted_ext4(path: &Path, size: u64) -> Result<()> {
    blank(path, size)?;
    run("mke2fs", ["-q", "-F", "-t", "ext4", text(path)?])?;
    run(
        "debugfs",
        ["-w", "-R", "feature needs_recovery", text(path)?],
    )?;
    noise(path, size / 2..size / 2 + 4 * MIB, 79)
}

/// Swap with a Linux suspended to it.
pub fn suspended_swap(path: &Path, size: u64) -> Result<()> {
    let file = blank(path, size)?;
    run("mkswap", ["-q", text(path)?])?;
    noise(path, MIB..size - MIB, 80)?;
    Ok(file.write_all_at(b"S1SUSPEND\0", 4086)?)
}
