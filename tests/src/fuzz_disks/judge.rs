//! What tools that are not ours say about a disk, a volume, or a file system.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use super::mount::Mounted;
use super::shape::Content;
use super::tree::{Tree, describe};
use crate::tools::{run, run_any};

/// What `blkid -p` says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Facts {
    Nothing,
    /// More than one thing, and none of them for sure.
    InDoubt,
    Known(BTreeMap<String, String>),
}

impl Facts {
    /// The type of the volume, where there is no doubt.
    #[must_use]
    pub fn kind(&self) -> Option<&str> {
        self.value("TYPE")
    }

    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        match self {
            Self::Known(values) => values.get(name).map(String::as_str),
            Self::Nothing | Self::InDoubt => None,
        }
    }
}

/// A disk in a file as tools see it: they take a file for a disk with sectors of 512 bytes, so that
/// others need a loop device.
pub struct Seen {
    path: String,
    device: bool,
}

impl Seen {
    /// # Errors
    /// When there is no loop device left.
    pub fn new(disk: &Path, sector: u64) -> Result<Self> {
        let file = disk.to_str().context("temporary paths are text")?;
        if sector == 512 {
            return Ok(Self {
                path: file.to_owned(),
                device: false,
            });
        }
        let sector = sector.to_string();
        let shown = run(
            "losetup",
            [
                "--find",
                "--show",
                "--read-only",
                "--sector-size",
                &sector,
                file,
            ],
        )?;
        Ok(Self {
            path: shown.trim().to_owned(),
            device: true,
        })
    }

    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl Drop for Seen {
    fn drop(&mut self) {
        if self.device
            && let Err(error) = run("losetup", ["--detach", &self.path])
        {
            eprintln!("{error:#}");
        }
    }
}

/// Whether ntfs-3g would not mount it for writing, because Windows has not let go of it.
///
/// # Errors
/// When ntfs-3g.probe cannot be run.
pub fn ntfs_is_unclean(volume: &Path) -> Result<bool> {
    let volume = volume.to_str().context("temporary paths are text")?;
    let code = run_any("ntfs-3g.probe", ["--readwrite", volume])?
        .status
        .code();
    Ok(matches!(code, Some(14 | 15)))
}

/// Probes a part of a disk.
///
/// # Errors
/// When blkid fails.
pub fn blkid(disk: &Path, start: u64, size: u64) -> Result<Facts> {
    let (start, size) = (start.to_string(), size.to_string());
    let disk = disk.to_str().context("temporary paths are text")?;
    let output = run_any(
        "blkid",
        ["-p", "-o", "export", "-O", &start, "-S", &size, disk],
    )?;
    let text = String::from_utf8_lossy(&output.stdout);
    match output.status.code() {
        Some(0) => {
            let values: BTreeMap<String, String> = text
                .lines()
                .filter_map(|line| line.split_once('='))
                .filter(|(name, _)| *name != "DEVNAME")
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect();
            Ok(if values.is_empty() {
                Facts::Nothing
            } else {
                Facts::Known(values)
            })
        }
        Some(2) => Ok(Facts::Nothing),
        Some(8) => Ok(Facts::InDoubt),
        _ => bail!(
            "blkid ended with {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        ),
    }
}

/// Every signature that `wipefs` would erase: place and kind. The backup of a GPT is counted from
/// the end of the disk, which has `size` bytes, so that disks of several sizes can be compared.
///
/// # Errors
/// When wipefs fails.
pub fn signatures(disk: &str, size: u64) -> Result<Vec<String>> {
    let text = run("wipefs", ["-n", "-p", disk])?;
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (place, rest) = line.split_once(',').context("wipefs prints commas")?;
            let digits = place.trim_start_matches("0x");
            let place = u64::from_str_radix(digits, 16).context("wipefs prints places")?;
            Ok(if rest.ends_with("gpt") && place > 4096 {
                format!("{rest} {} before the end", size - place)
            } else {
                format!("{rest} at {place}")
            })
        })
        .collect()
}

/// Everything that `sgdisk -v` says, also what it says by the way: a damaged backup is none of its
/// problems.
///
/// # Errors
/// When sgdisk cannot be run.
pub fn gpt_verdict(disk: &str) -> Result<String> {
    let output = run_any("sgdisk", ["-v", disk])?;
    let said = [output.stdout, output.stderr].concat();
    Ok(String::from_utf8_lossy(&said).into_owned())
}

/// Whether a verdict is that nothing is wrong.
#[must_use]
pub fn is_sound(verdict: &str) -> bool {
    verdict.contains("No problems found")
        && !["corrupt", "invalid", "damaged"]
            .iter()
            .any(|word| verdict.contains(word))
}

/// The partition table as `sfdisk -d` prints it, without the name of the disk and, for a GPT, the
/// size of the disk.
///
/// # Errors
/// When sfdisk fails, as it does without a table.
pub fn table(disk: &str) -> Result<String> {
    let text = run("sfdisk", ["-d", disk])?;
    Ok(text
        // Loop devices have a letter between their name and the number of a partition.
        .replace(&format!("{disk}p"), "disk")
        .replace(disk, "disk")
        .lines()
        // sfdisk guesses the grain from the size of the disk.
        .filter(|line| !line.starts_with("last-lba:") && !line.starts_with("grain:"))
        .map(|line| format!("{line}\n"))
        .collect())
}

/// The complaint of the checker of the file system about a volume in a file, if there is one.
///
/// # Errors
/// When the checker cannot be run.
pub fn complaint(content: Content, volume: &Path) -> Result<Option<String>> {
    let path = volume.to_str().context("temporary paths are text")?;
    let checks: &[&[&str]] = match content {
        Content::Ext { .. } => &[&["e2fsck", "-fn", path]],
        Content::Ntfs { .. } => &[
            &["ntfsfix", "-n", path],
            &["ntfs-3g.probe", "--readwrite", path],
        ],
        Content::Fat { .. } => &[&["fsck.fat", "-n", path]],
        Content::ExFat => &[&["fsck.exfat", "-n", path]],
        Content::Xfs => &[&["xfs_repair", "-n", path]],
        Content::Btrfs => &[&["btrfs", "check", path]],
        _ => &[],
    };
    for check in checks {
        let output = run_any(check[0], &check[1..])?;
        if !output.status.success() {
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said);
            let said: Vec<&str> = said.lines().take(12).collect();
            return Ok(Some(format!(
                "{} ended with {}: {}",
                check[0],
                output.status,
                said.join(" | ")
            )));
        }
    }
    Ok(None)
}

/// Every file of the file system in the file `volume`.
///
/// # Errors
/// When the file system cannot be read.
pub fn files(content: Content, volume: &Path) -> Result<Tree> {
    if !matches!(content, Content::Fat { .. }) {
        let mounted = Mounted::new(content, volume, false)?;
        let tree = describe(&mounted.root, true)?;
        mounted.end()?;
        return Ok(tree);
    }
    let out = volume.with_extension("copied");
    fs::create_dir_all(&out)?;
    let (from, to) = (volume.to_str(), out.to_str());
    let text = "temporary paths are text";
    let copied = run_any(
        "mcopy",
        [
            "-s",
            "-Q",
            "-n",
            "-p",
            "-i",
            from.context(text)?,
            "::*",
            to.context(text)?,
        ],
    )?;
    let tree = describe(&out, false)?;
    fs::remove_dir_all(&out)?;
    ensure!(
        copied.status.success() || tree.is_empty(),
        "mcopy: {}",
        String::from_utf8_lossy(&copied.stderr)
    );
    Ok(tree)
}
