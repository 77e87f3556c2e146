//! Disks made and checked with tools that are not ours. A missing tool fails the test.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use foghorn_client::disk::target::{DiskRule, choose};
use foghorn_client::disk::{Access, Disk, FileSectors, linux};

pub(crate) const MIB: u64 = 1 << 20;
/// The ext4 partition of [`make`].
pub(crate) const EXT_START: u64 = 18 * MIB;
const EXT_SIZE: u64 = 76 * MIB;

pub(crate) fn tool(program: &str, arguments: &[&str]) -> String {
    let path = format!(
        "{}:/usr/sbin:/sbin",
        std::env::var("PATH").unwrap_or_default()
    );
    let output = Command::new(program)
        .args(arguments)
        .env("PATH", path)
        .output();
    let output = output.unwrap_or_else(|error| panic!("{program} is needed: {error}"));
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{program} {arguments:?}: {text}");
    text
}

/// Bytes that do not compress and differ everywhere.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new()
        .update(&seed.to_le_bytes())
        .finalize_xof()
        .fill(&mut bytes);
    bytes
}

/// A GPT disk of 96 MiB: an EFI partition with FAT, and ext4 with about 40 MiB of files.
pub(crate) fn make(dir: &Path) -> PathBuf {
    let tree = dir.join("tree");
    fs::create_dir_all(tree.join("deep/er")).unwrap();
    for n in 0..40u64 {
        fs::write(
            tree.join(format!("deep/er/file-{n}")),
            noise(n, MIB as usize - 1000 * n as usize),
        )
        .unwrap();
    }
    fs::write(tree.join("twice"), noise(1, MIB as usize)).unwrap();
    let disk = dir.join("source.img");
    blank(&disk, 96 * MIB);
    let name = disk.to_str().unwrap();
    tool(
        "sgdisk",
        &[
            "-n",
            "1:2048:+16M",
            "-t",
            "1:ef00",
            "-n",
            "2:36864:+76M",
            "-c",
            "2:root",
            name,
        ],
    );
    let fat = dir.join("fat.img");
    blank(&fat, 16 * MIB);
    tool("mkfs.fat", &["-n", "EFI", fat.to_str().unwrap()]);
    let ext = dir.join("ext.img");
    blank(&ext, EXT_SIZE);
    tool(
        "mke2fs",
        &[
            "-q",
            "-t",
            "ext4",
            "-F",
            "-d",
            tree.to_str().unwrap(),
            ext.to_str().unwrap(),
        ],
    );
    let disk_file = File::options().write(true).open(&disk).unwrap();
    for (part, start) in [(fat, MIB), (ext, EXT_START)] {
        for (n, block) in fs::read(part)
            .unwrap()
            .chunks(4096)
            .enumerate()
            .filter(|(_, block)| block.iter().any(|&b| b != 0))
        {
            disk_file
                .write_all_at(block, start + n as u64 * 4096)
                .unwrap();
        }
    }
    disk
}

pub(crate) fn blank(path: &Path, size: u64) {
    File::create(path).unwrap().set_len(size).unwrap();
}

pub(crate) fn open(path: &Path, access: Access) -> Disk {
    let rule = DiskRule::Path(path.to_owned());
    let seen = linux::scan(Some(&rule)).unwrap();
    Disk::open(
        choose(Some(&rule), &seen).unwrap(),
        access,
        FileSectors::Unknown,
    )
    .unwrap()
}

/// The table and the ext4 file system are sound, and the files are those of the source.
pub(crate) fn check(dir: &Path, disk: &Path) {
    let name = disk.to_str().unwrap();
    let verdict = tool("sgdisk", &["-v", name]);
    assert!(verdict.contains("No problems found"), "{verdict}");
    tool("e2fsck", &["-fn", &format!("{name}?offset={EXT_START}")]);
    let out = dir.join(format!(
        "out-{}",
        disk.file_name().unwrap().to_str().unwrap()
    ));
    fs::create_dir_all(&out).unwrap();
    let ext = dir.join("check.ext");
    let mut bytes = vec![0; EXT_SIZE as usize];
    File::open(disk)
        .unwrap()
        .read_exact_at(&mut bytes, EXT_START)
        .unwrap();
    fs::write(&ext, bytes).unwrap();
    tool(
        "debugfs",
        &[
            "-R",
            &format!("rdump /deep /twice {}", out.to_str().unwrap()),
            ext.to_str().unwrap(),
        ],
    );
    tool(
        "diff",
        &[
            "-r",
            dir.join("tree/deep").to_str().unwrap(),
            out.join("deep").to_str().unwrap(),
        ],
    );
    fs::remove_dir_all(out).unwrap();
    fs::remove_file(ext).unwrap();
}

/// Whether the disk has any sign of a partition table.
pub(crate) fn has_table(disk: &Path) -> bool {
    let file = File::open(disk).unwrap();
    let size = file.metadata().unwrap().len();
    let mut head = vec![0; 34 * 512];
    let mut tail = vec![0; 512];
    file.read_exact_at(&mut head, 0).unwrap();
    file.read_exact_at(&mut tail, size - 512).unwrap();
    head.iter().chain(&tail).any(|&byte| byte != 0)
}
