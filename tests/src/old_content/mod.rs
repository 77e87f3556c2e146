//! What a disk or partition may have held before: superblocks of file systems, RAID members, volume
//! managers and tables. What Debian's tools make in a file is made by them; the rest (they want a
//! kernel driver) is written here by its on-disk format and judged by `blkid` or `mdadm --examine`.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::disks::MIB;
use crate::tools::{find, run};

mod judge;
mod superblock;

pub use judge::copy_data;
use judge::copy_range;
pub use judge::{extract, judged};

/// One kind of earlier contents.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Old {
    /// ext2, ext3 or ext4 with blocks of so many bytes.
    Ext(u32, u32),
    Ntfs,
    /// FAT with so many bits per entry: 12, 16 or 32.
    Fat(u32),
    ExFat,
    Xfs,
    Btrfs,
    /// A member of an md RAID1 with metadata of this version: "0.90", "1.0", "1.1", "1.2".
    Md(&'static str),
    /// An LVM2 physical volume.
    Lvm,
    /// A ZFS pool: four labels with uberblocks.
    Zfs,
    /// LUKS of this version.
    Luks(u32),
    /// The volume header of BitLocker, fixed disk.
    BitLocker,
    Gpt,
    Mbr,
    Swap,
    Bcache,
    /// RAID metadata of firmware: Intel's, two sectors before the end.
    IntelRaid,
    /// Promise's, 63 sectors before the end.
    PromiseRaid,
    /// Windows' dynamic disk: private headers at the start and the end, database in the last MiB.
    Dynamic,
}

/// Everything, for tests that try all.
pub const ALL: [Old; 28] = [
    Old::Ext(2, 1024),
    Old::Ext(3, 1024),
    Old::Ext(4, 4096),
    Old::Ntfs,
    Old::Fat(12),
    Old::Fat(16),
    Old::Fat(32),
    Old::ExFat,
    Old::Xfs,
    Old::Btrfs,
    Old::Md("0.90"),
    Old::Md("1.0"),
    Old::Md("1.1"),
    Old::Md("1.2"),
    Old::Lvm,
    Old::Zfs,
    Old::Luks(1),
    Old::Luks(2),
    Old::BitLocker,
    Old::Gpt,
    Old::Mbr,
    Old::Swap,
    Old::Bcache,
    Old::IntelRaid,
    Old::PromiseRaid,
    Old::Dynamic,
    Old::Ext(4, 1024),
    Old::Ext(2, 4096),
];

impl Old {
    /// What `blkid -p` calls it on a device that holds nothing else; `None` where it says nothing of
    /// the kind.
    #[must_use]
    pub const fn blkid_type(self) -> Option<&'static str> {
        Some(match self {
            Self::Ext(2, _) => "ext2",
            Self::Ext(3, _) => "ext3",
            Self::Ext(..) => "ext4",
            Self::Ntfs => "ntfs",
            Self::Fat(_) => "vfat",
            Self::ExFat => "exfat",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
            Self::Md(_) => "linux_raid_member",
            Self::Lvm => "LVM2_member",
            Self::Zfs => "zfs_member",
            Self::Luks(_) => "crypto_LUKS",
            Self::BitLocker => "BitLocker",
            Self::Swap => "swap",
            Self::Bcache => "bcache",
            Self::IntelRaid => "isw_raid_member",
            Self::PromiseRaid => "promise_fasttrack_raid_member",
            Self::Gpt | Self::Mbr | Self::Dynamic => return None,
        })
    }

    /// Writes it into `file` (which exists and has its size) as the only contents.
    ///
    /// # Errors
    /// When a tool is missing or fails.
    pub fn make(self, file: &Path) -> Result<()> {
        let size = fs::metadata(file)?.len();
        let text = text(file)?;
        let tool = |program: &str, arguments: &[&str]| {
            run(program, arguments.iter().copied().chain([text])).map(drop)
        };
        match self {
            Self::Ext(version, block) => tool(
                "mke2fs",
                &[
                    "-qF",
                    "-t",
                    ["ext2", "ext3", "ext4"][version as usize - 2],
                    "-b",
                    &block.to_string(),
                ],
            ),
            Self::Ntfs => tool("mkfs.ntfs", &["-q", "-F", "-Q"]),
            Self::Fat(bits) => {
                // Enough clusters for FAT32, few enough for FAT12.
                let cluster: &[&str] = match bits {
                    12 => &["-F", "12", "-s", "64"],
                    16 => &["-F", "16"],
                    _ => &["-F", "32", "-s", "1"],
                };
                tool("mkfs.fat", cluster)
            }
            Self::ExFat => tool("mkfs.exfat", &[]),
            Self::Xfs => on_enough(file, 300 * MIB, |file| {
                run("mkfs.xfs", ["-q", "-f", file]).map(drop)
            }),
            Self::Btrfs => on_enough(file, 110 * MIB, |file| {
                run("mkfs.btrfs", ["-q", "-f", file]).map(drop)
            }),
            Self::Luks(version) => luks(text, version),
            Self::Gpt => tool("sgdisk", &["-n", "1:64:+1M"]),
            Self::Mbr => sfdisk(file, "label: dos\nstart=64, size=2048, type=83\n"),
            Self::Swap => tool("mkswap", &["-q"]),
            Self::Bcache => write(file, &[(4096, superblock::bcache())]),
            Self::Md("0.90") => write(file, &[((size & !0xffff) - 0x10000, superblock::md_old())]),
            Self::Md(version) => {
                let at = match version {
                    "1.0" => (size / 512 - 16) & !7,
                    "1.1" => 0,
                    "1.2" => 8,
                    other => bail!("no md metadata {other}"),
                };
                write(file, &[(at * 512, superblock::md(at, size / 512))])
            }
            Self::Lvm => write(file, &[(512, superblock::lvm(size))]),
            Self::Zfs => write(file, &superblock::zfs(size)),
            Self::BitLocker => {
                let mut metadata = b"-FVE-FS-".to_vec();
                metadata.extend([64, 0, 2, 0]);
                write(
                    file,
                    &[
                        (0, superblock::bitlocker()),
                        (superblock::BITLOCKER_METADATA, metadata),
                    ],
                )
            }
            Self::IntelRaid => write(
                file,
                &[(size - 1024, b"Intel Raid ISM Cfg Sig. 1.3.00".to_vec())],
            ),
            Self::PromiseRaid => write(
                file,
                &[(size - 63 * 512, b"Promise Technology, Inc.".to_vec())],
            ),
            Self::Dynamic => write(
                file,
                &[
                    (6 * 512, b"PRIVHEAD".to_vec()),
                    (size - MIB + 512, b"TOCBLOCK".to_vec()),
                    (size - MIB + 17 * 512, b"VMDB".to_vec()),
                    (size - 512, b"PRIVHEAD".to_vec()),
                ],
            ),
        }
    }

    /// Writes it into bytes `start..start + size` of a disk, over what is there.
    ///
    /// # Errors
    /// When a tool is missing or fails.
    pub fn put(self, disk: &Path, start: u64, size: u64) -> Result<()> {
        let scratch = tempfile::tempdir_in(disk.parent().context("a disk lies in a folder")?)?;
        let image = scratch.path().join("old");
        File::create(&image)?.set_len(size)?;
        self.make(&image).with_context(|| format!("{self:?}"))?;
        copy_data(&image, disk, start)
    }
}

/// The path for the command line of a tool.
pub(crate) fn text(path: &Path) -> Result<&str> {
    path.to_str().context("temporary paths are text")
}

/// Some programs want more room than the partition has: the start of what they make is taken.
pub(crate) fn on_enough(file: &Path, least: u64, make: impl Fn(&str) -> Result<()>) -> Result<()> {
    let size = fs::metadata(file)?.len();
    let whole = file.with_extension("whole");
    File::create(&whole)?.set_len(size.max(least))?;
    make(text(&whole)?)?;
    // Some programs decide about the size themselves.
    File::options()
        .write(true)
        .open(&whole)?
        .set_len(size.max(least))?;
    copy_range(&whole, 0, size, file, 0)?;
    Ok(fs::remove_file(&whole)?)
}

fn write(file: &Path, pieces: &[(u64, Vec<u8>)]) -> Result<()> {
    let file = File::options().write(true).open(file)?;
    for (at, bytes) in pieces {
        file.write_all_at(bytes, *at)?;
    }
    Ok(())
}

pub(crate) fn feed(program: &str, arguments: &[&str], input: &str) -> Result<()> {
    let mut child = Command::new(find(program)?)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    child
        .stdin
        .take()
        .context("standard input")?
        .write_all(input.as_bytes())?;
    let mut complaint = String::new();
    child
        .stderr
        .take()
        .context("standard error")?
        .read_to_string(&mut complaint)?;
    ensure!(child.wait()?.success(), "{program}: {complaint}");
    Ok(())
}

/// Writes the table that a script of sfdisk describes.
///
/// # Errors
/// When sfdisk refuses it.
pub fn sfdisk(disk: &Path, script: &str) -> Result<()> {
    feed("sfdisk", &["-q", "--force", text(disk)?], script)
}

fn luks(file: &str, version: u32) -> Result<()> {
    let kind = format!("luks{version}");
    let size = fs::metadata(file)?.len();
    // The header of LUKS2 alone has 16 MiB.
    on_enough(&PathBuf::from(file), size.max(20 * MIB), |file| {
        let arguments = [
            "luksFormat",
            "--batch-mode",
            "--type",
            &kind,
            "--pbkdf",
            "pbkdf2",
            "--pbkdf-force-iterations",
            "1000",
            "--key-file",
            "-",
            file,
        ];
        feed("cryptsetup", &arguments, "secret")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_judges_see_what_was_made() {
        let folder = tempfile::tempdir().unwrap();
        for old in ALL {
            let disk = folder.path().join("disk");
            crate::disks::blank(&disk, 88 * MIB).unwrap();
            // What blkid wants at least for ZFS, and mkfs.fat for FAT32.
            let size = match old {
                Old::Zfs => 70,
                Old::Fat(32) => 40,
                _ => 30,
            };
            old.put(&disk, 8 * MIB, size * MIB).unwrap();
            let seen = judged(&disk, 8 * MIB, size * MIB).unwrap();
            let expected = match old {
                Old::Gpt => "PTTYPE=gpt".to_owned(),
                Old::Mbr => "PTTYPE=dos".to_owned(),
                // Only seen beside a table.
                Old::Dynamic => continue,
                other => format!("TYPE={}", other.blkid_type().unwrap()),
            };
            assert!(seen.contains(&expected), "{old:?}:\n{seen}");
            if let Old::Md(version) = old {
                assert!(seen.contains(&format!("Version : {version}")), "{seen}");
                assert!(
                    seen.contains("Checksum") && seen.contains("correct"),
                    "{seen}"
                );
            }
        }
    }
}
