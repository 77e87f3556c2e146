//! The disk that is captured: 2 GiB with 1 GiB of this machine's own files on ext4, and a second
//! version of it with one twentieth of the files replaced.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use foghorn_tests::disks::{self, MIB, Made};
use foghorn_tests::tools::run;

pub(crate) struct Disks {
    /// GPT disk with one partition.
    pub(crate) first: PathBuf,
    /// The same with 5 % of the data replaced.
    pub(crate) second: PathBuf,
    /// The partition's bytes alone, for the peer.
    pub(crate) volume: PathBuf,
    pub(crate) partition: Made,
    pub(crate) size: u64,
}

const DISK: u64 = 2048 * MIB;
const DATA: u64 = 1024 * MIB;

pub(crate) fn make(work: &Path) -> Result<Disks> {
    let tree = work.join("tree");
    let copied = copy_real_files(Path::new("/usr"), &tree, DATA)?;
    ensure!(
        copied >= DATA * 9 / 10,
        "this machine has too few files under /usr: {copied} bytes"
    );
    let partition = Made {
        number: 1,
        kind: disks::Kind::Ext4,
        start: MIB,
        size: DISK - 2 * MIB,
    };
    let volume = work.join("volume");
    disks::blank(&volume, partition.size)?;
    run(
        "mke2fs",
        ["-q", "-F", "-t", "ext4", "-d", text(&tree)?, text(&volume)?],
    )?;
    let first = work.join("first");
    disks::wrap_in_gpt(&first, DISK, &volume, &partition)?;

    replace_files(&tree, &volume, work, copied / 20)?;
    let second = work.join("second");
    disks::wrap_in_gpt(&second, DISK, &volume, &partition)?;
    // The peer works on the first version.
    run(
        "mke2fs",
        ["-q", "-F", "-t", "ext4", "-d", text(&tree)?, text(&volume)?],
    )?;
    fs::remove_dir_all(&tree)?;
    Ok(Disks {
        first,
        second,
        volume,
        partition,
        size: DISK,
    })
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("paths of the benchmark are text")
}

/// Copies whole files, in a fixed order, until `bytes` are reached; symbolic links and the like are
/// left out.
fn copy_real_files(from: &Path, to: &Path, bytes: u64) -> Result<u64> {
    let mut copied = 0;
    for (number, file) in disks::files(from)?.iter().enumerate() {
        let length = fs::metadata(file).map_or(0, |data| data.len());
        if length == 0 || length > 64 * MIB {
            continue;
        }
        let folder = to.join(format!("d{}", number / 500));
        fs::create_dir_all(&folder)?;
        if fs::copy(file, folder.join(format!("f{number}"))).is_ok() {
            copied += length;
        }
        if copied >= bytes {
            break;
        }
    }
    Ok(copied)
}

/// Replaces files by others of the same length but new contents, `bytes` in all, as an update of
/// some packages does: whole folders of them, at several places of the tree.
fn replace_files(tree: &Path, volume: &Path, work: &Path, bytes: u64) -> Result<()> {
    let (mut replaced, mut script) = (0, String::new());
    let fresh = work.join("fresh");
    fs::create_dir_all(&fresh)?;
    for (number, file) in files_of_some_folders(tree)?.iter().enumerate() {
        let mut contents = fs::read(file)?;
        for line in contents.chunks_mut(4096) {
            let mark = (number as u64).to_le_bytes();
            let length = line.len().min(8);
            line[..length].copy_from_slice(&mark[..length]);
        }
        let source = fresh.join(number.to_string());
        fs::write(&source, &contents)?;
        let inside = format!("/{}", file.strip_prefix(tree)?.display());
        script += &format!("rm {inside}\nwrite {} {inside}\n", source.display());
        replaced += contents.len() as u64;
        if replaced >= bytes {
            break;
        }
    }
    ensure!(
        replaced >= bytes,
        "only {replaced} of {bytes} bytes were replaced"
    );
    let commands = work.join("replace.debugfs");
    fs::write(&commands, script)?;
    run("debugfs", ["-w", "-f", text(&commands)?, text(volume)?])?;
    fs::remove_dir_all(&fresh)?;
    run("e2fsck", ["-fn", text(volume)?])?;
    Ok(())
}

/// The files of every eighth folder, then of the others: the first ones, at several places, make up
/// what is replaced.
fn files_of_some_folders(tree: &Path) -> Result<Vec<PathBuf>> {
    let mut folders: Vec<PathBuf> = fs::read_dir(tree)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    folders.sort();
    let (first, others): (Vec<_>, Vec<_>) = folders
        .into_iter()
        .enumerate()
        .partition(|(number, _)| number % 8 == 3);
    let mut found = vec![];
    for (_, folder) in first.into_iter().chain(others) {
        found.extend(disks::files(&folder)?);
    }
    Ok(found)
}
