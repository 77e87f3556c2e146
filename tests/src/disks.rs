//! Real disks in files: partition tables and file systems made by the systems' own tools, filled
//! with real files, and checked afterwards with external tools. Nothing is mounted, so no
//! privileges are needed.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::tools::{find, run, run_any};

pub const MIB: u64 = 1 << 20;

/// Contents of one partition of a test disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Fat,
    Ext4,
    Ntfs,
    /// No file system: pseudo-random bytes.
    Raw,
}

/// One partition as it was created.
#[derive(Clone, Debug)]
pub struct Made {
    pub number: u32,
    pub kind: Kind,
    pub start: u64,
    pub size: u64,
}

/// A disk in a file, with a description of its contents.
#[derive(Clone, Debug)]
pub struct Disk {
    pub path: PathBuf,
    pub partitions: Vec<Made>,
}

/// Writes `count` files below `folder`, `bytes` in all: half compressible text, half pseudo-random,
/// some empty, some nested.
pub fn write_tree(folder: &Path, seed: u64, bytes: u64, count: u32) -> Result<()> {
    fs::create_dir_all(folder)?;
    let each = usize::try_from(bytes / u64::from(count.max(1)))?;
    for number in 0..count {
        let place = folder.join(format!("d{}", number % 5));
        fs::create_dir_all(&place)?;
        let mut contents = vec![0; each];
        if number % 2 == 0 {
            fill_random(
                &mut contents,
                seed.wrapping_mul(1_000_003) + u64::from(number),
            );
        } else {
            for (line, chunk) in contents.chunks_mut(64).enumerate() {
                let text = format!(
                    "file {number} seed {seed} line {line:08} of a text that compresses well, as logs do....\n"
                );
                let length = chunk.len();
                chunk.copy_from_slice(&text.as_bytes()[..length]);
            }
        }
        fs::write(place.join(format!("f{number:03}.bin")), contents)?;
    }
    fs::write(folder.join("empty"), b"")?;
    Ok(())
}

/// A fixed stream of bytes for a seed (xorshift64*), so that a failing test can be repeated.
pub fn fill_random(buffer: &mut [u8], seed: u64) {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    for chunk in buffer.chunks_mut(8) {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        let length = chunk.len();
        chunk.copy_from_slice(&state.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes()[..length]);
    }
}

/// A GPT disk of `size` bytes with one partition per entry (`Kind`, MiB); each file system holds a
/// tree made from `seed`.
pub fn make_gpt(
    path: &Path,
    size: u64,
    sector: u64,
    parts: &[(Kind, u64)],
    seed: u64,
) -> Result<Disk> {
    File::create(path)?.set_len(size)?;
    let scratch = tempfile::tempdir_in(path.parent().context("a disk lies in a folder")?)?;
    let mut partitions = Vec::new();
    let mut start = MIB;
    for (number, (kind, mib)) in (1..).zip(parts) {
        let size = mib * MIB;
        let image = scratch.path().join(format!("p{number}"));
        make_volume(
            &image,
            *kind,
            size,
            sector,
            start,
            seed + u64::from(number),
            scratch.path(),
        )?;
        copy_sparse(&image, path, start)?;
        partitions.push(Made {
            number,
            kind: *kind,
            start,
            size,
        });
        start += size;
    }
    write_gpt(path, sector, &partitions)?;
    Ok(Disk {
        path: path.to_owned(),
        partitions,
    })
}

/// A GPT disk of `size` bytes with `volume` as its one partition.
pub fn wrap_in_gpt(path: &Path, size: u64, volume: &Path, partition: &Made) -> Result<()> {
    blank(path, size)?;
    copy_sparse(volume, path, partition.start)?;
    write_gpt(path, 512, std::slice::from_ref(partition))
}

/// sgdisk and sfdisk assume sectors of 512 bytes for a file; fdisk accepts the sector size as an
/// argument.
fn write_gpt(path: &Path, sector: u64, partitions: &[Made]) -> Result<()> {
    let mut keys = String::from("g\n");
    for part in partitions {
        keys += &format!(
            "n\n{}\n{}\n{}\n",
            part.number,
            part.start / sector,
            (part.start + part.size) / sector - 1
        );
    }
    keys += "w\n";
    let mut child = std::process::Command::new(find("fdisk")?)
        .args(["-b", &sector.to_string(), "-w", "never", "-W", "never"])
        .arg(path)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()?;
    child
        .stdin
        .take()
        .context("fdisk reads keys")?
        .write_all(keys.as_bytes())?;
    ensure!(
        child.wait()?.success(),
        "fdisk could not write the partition table of {}",
        path.display()
    );
    Ok(())
}

fn make_volume(
    image: &Path,
    kind: Kind,
    size: u64,
    sector: u64,
    start: u64,
    seed: u64,
    scratch: &Path,
) -> Result<()> {
    File::create(image)?.set_len(size)?;
    let tree = scratch.join(format!("tree{seed}"));
    let text = image.to_str().context("temporary paths are text")?;
    match kind {
        Kind::Ext4 => {
            write_tree(&tree, seed, size / 3, 40)?;
            run(
                "mke2fs",
                [
                    "-q",
                    "-F",
                    "-t",
                    "ext4",
                    "-d",
                    tree.to_str().context("text")?,
                    text,
                ],
            )?;
        }
        Kind::Fat => {
            write_tree(&tree, seed, size / 4, 12)?;
            run(
                "mkfs.fat",
                [
                    "-F",
                    "32",
                    "-S",
                    &sector.to_string(),
                    "-h",
                    &(start / sector).to_string(),
                    text,
                ],
            )?;
            run(
                "mcopy",
                [
                    "-s",
                    "-Q",
                    "-i",
                    text,
                    tree.to_str().context("text")?,
                    "::files",
                ],
            )?;
        }
        Kind::Ntfs => {
            write_tree(&tree, seed, size / 4, 8)?;
            run(
                "mkfs.ntfs",
                [
                    "-q",
                    "-F",
                    "-Q",
                    "-s",
                    &sector.to_string(),
                    "-p",
                    &(start / sector).to_string(),
                    "-H",
                    "16",
                    "-S",
                    "63",
                    text,
                ],
            )?;
            for (number, file) in files(&tree)?.iter().enumerate() {
                run(
                    "ntfscp",
                    [
                        "-q",
                        "-f",
                        text,
                        file.to_str().context("text")?,
                        &format!("f{number}"),
                    ],
                )?;
            }
        }
        Kind::Raw => {
            let mut block = vec![0; usize::try_from(MIB)?];
            let file = fs::OpenOptions::new().write(true).open(image)?;
            for index in (0..size / MIB).step_by(2) {
                fill_random(&mut block, seed + index);
                file.write_all_at(&block, index * MIB)?;
            }
        }
    }
    Ok(())
}

/// Copies `from` into `to` at `offset`, without writing zeros.
fn copy_sparse(from: &Path, to: &Path, offset: u64) -> Result<()> {
    let mut from = File::open(from)?;
    let to = fs::OpenOptions::new().write(true).open(to)?;
    let mut block = vec![0; usize::try_from(MIB)?];
    let mut place = 0;
    loop {
        let length = from.read(&mut block)?;
        if length == 0 {
            return Ok(());
        }
        if block[..length].iter().any(|byte| *byte != 0) {
            to.write_all_at(&block[..length], offset + place)?;
        }
        place += length as u64;
    }
}

/// Every regular file below `folder`, sorted.
pub fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(place) = open.pop() {
        for entry in
            fs::read_dir(&place).with_context(|| format!("could not list {}", place.display()))?
        {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                open.push(entry.path());
            } else if entry.file_type()?.is_file() {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The hash of every file on the disk by `partition/path`, read with the tools of the file systems.
pub fn hash_files(disk: &Path, partitions: &[Made]) -> Result<BTreeMap<String, String>> {
    let mut hashes = BTreeMap::new();
    for part in partitions {
        let scratch = tempfile::tempdir_in(disk.parent().context("a disk lies in a folder")?)?;
        let image = extract(disk, part, scratch.path())?;
        let text = image.to_str().context("temporary paths are text")?;
        let out = scratch.path().join("out");
        fs::create_dir(&out)?;
        match part.kind {
            Kind::Ext4 => {
                run(
                    "debugfs",
                    ["-R", &format!("rdump / {}", out.display()), text],
                )?;
            }
            Kind::Fat => {
                run(
                    "mcopy",
                    [
                        "-s",
                        "-Q",
                        "-n",
                        "-i",
                        text,
                        "::files",
                        out.to_str().context("text")?,
                    ],
                )?;
            }
            Kind::Ntfs => {
                for number in 0.. {
                    let read = run_any("ntfscat", ["-f", text, &format!("f{number}")])?;
                    if !read.status.success() {
                        ensure!(
                            number > 0,
                            "ntfscat found no files on partition {}",
                            part.number
                        );
                        break;
                    }
                    fs::write(out.join(format!("f{number}")), read.stdout)?;
                }
            }
            Kind::Raw => {
                fs::copy(&image, out.join("whole"))?;
            }
        }
        for file in files(&out)? {
            let hash = blake3::hash(&fs::read(&file)?).to_hex().to_string();
            hashes.insert(
                format!("{}/{}", part.number, file.strip_prefix(&out)?.display()),
                hash,
            );
        }
    }
    Ok(hashes)
}

/// Checks every file system and the partition table with the appropriate tools.
pub fn check(disk: &Path, sector: u64, partitions: &[Made]) -> Result<()> {
    if sector == 512 {
        let verdict = run("sgdisk", ["-v", disk.to_str().context("text")?])?;
        ensure!(
            verdict.contains("No problems found"),
            "sgdisk -v {}:\n{verdict}",
            disk.display()
        );
    }
    for part in partitions {
        let scratch = tempfile::tempdir_in(disk.parent().context("a disk lies in a folder")?)?;
        let image = extract(disk, part, scratch.path())?;
        let text = image.to_str().context("temporary paths are text")?;
        match part.kind {
            Kind::Ext4 => run("e2fsck", ["-fn", text])?,
            Kind::Fat => run("fsck.fat", ["-n", text])?,
            Kind::Ntfs => run("ntfsfix", ["-n", text])?,
            Kind::Raw => String::new(),
        };
    }
    Ok(())
}

fn extract(disk: &Path, part: &Made, folder: &Path) -> Result<PathBuf> {
    let image = folder.join(format!("p{}", part.number));
    let mut from = File::open(disk)?;
    from.seek(SeekFrom::Start(part.start))?;
    let to = File::create(&image)?;
    to.set_len(part.size)?;
    let mut block = vec![0; usize::try_from(MIB)?];
    for place in (0..part.size).step_by(usize::try_from(MIB)?) {
        let length = usize::try_from((part.size - place).min(MIB))?;
        from.read_exact(&mut block[..length])?;
        if block[..length].iter().any(|byte| *byte != 0) {
            to.write_all_at(&block[..length], place)?;
        }
    }
    Ok(image)
}

/// Bytes that the file occupies on disk.
pub fn allocated(path: &Path) -> Result<u64> {
    Ok(fs::metadata(path)?.blocks() * 512)
}

/// An empty sparse disk of `size` bytes.
pub fn blank(path: &Path, size: u64) -> Result<()> {
    File::create(path)?.set_len(size)?;
    Ok(())
}

/// Whether two files have the same contents.
///
/// # Errors
/// When one of them cannot be read, or there is nothing to compare.
pub fn same(one: &Path, other: &Path) -> Result<bool> {
    let open = |path: &Path| File::open(path).with_context(|| path.display().to_string());
    let (mut one, mut other) = (open(one)?, open(other)?);
    ensure!(other.metadata()?.len() > 0, "nothing to compare with");
    let mut pieces = (vec![0; 1 << 20], vec![0; 1 << 20]);
    if one.metadata()?.len() != other.metadata()?.len() {
        return Ok(false);
    }
    loop {
        let length = one.read(&mut pieces.0)?;
        if length == 0 {
            return Ok(true);
        }
        other.read_exact(&mut pieces.1[..length])?;
        if pieces.0[..length] != pieces.1[..length] {
            return Ok(false);
        }
    }
}

/// Flips one bit in the middle of the largest pack of a storage node, which is inside the data of a
/// chunk.
pub fn damage_a_pack(state: &Path) -> Result<()> {
    damage_a_pack_at(state, 50)
}

/// The same at so many percent of the pack.
pub fn damage_a_pack_at(state: &Path, percent: u64) -> Result<()> {
    let packs: Vec<PathBuf> = files(state)?
        .into_iter()
        .filter(|file| file.extension().is_some_and(|end| end == "pack"))
        .collect();
    let largest = packs
        .iter()
        .max_by_key(|file| fs::metadata(file).map_or(0, |data| data.len()))
        .context("no pack on the node")?;
    let middle = fs::metadata(largest)?.len() * percent / 100;
    let file = File::options().read(true).write(true).open(largest)?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, middle)?;
    file.write_all_at(&[byte[0] ^ 0x10], middle)?;
    // A loss of power does not mend it.
    Ok(file.sync_all()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_disk_passes_its_own_tools_and_shows_its_files() {
        let folder = tempfile::tempdir().unwrap();
        let disk = make_gpt(
            &folder.path().join("disk"),
            200 * MIB,
            512,
            &[
                (Kind::Fat, 40),
                (Kind::Ext4, 64),
                (Kind::Ntfs, 32),
                (Kind::Raw, 8),
            ],
            1,
        )
        .unwrap();
        check(&disk.path, 512, &disk.partitions).unwrap();
        let hashes = hash_files(&disk.path, &disk.partitions).unwrap();
        assert!(hashes.len() > 50, "only {} files were found", hashes.len());
        // A changed byte in a file must be detected.
        let file = fs::OpenOptions::new().write(true).open(&disk.path).unwrap();
        let raw = &disk.partitions[3];
        file.write_all_at(b"changed", raw.start + 100).unwrap();
        assert_ne!(hash_files(&disk.path, &disk.partitions).unwrap(), hashes);
    }
}
