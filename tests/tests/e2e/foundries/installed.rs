//! Disks with what looks like an installed system, and deploys of them that put an identity on the disk.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use foghorn_tests::disks::{self, Disk, Kind, MIB, Made};
use foghorn_tests::stack::{PATIENCE, Stack};
use foghorn_tests::tools::run;
use serde_json::{Value, json};

use crate::block_devices::Loop;

pub(super) const GOLDEN: &str = "52:54:00:0f:10:21";
pub(super) const TARGET: &str = "52:54:00:0f:10:22";
pub(super) const SIZE: u64 = 96 * MIB;

/// A disk with a partition of data and one with a system, on which there is an old identity.
pub(super) fn golden(folder: &Path) -> Result<Disk> {
    let parts = [(Kind::Ext4, 24), (Kind::Ext4, 40)];
    let disk = disks::make_gpt(&folder.join("golden"), SIZE, 512, &parts, 31)?;
    install(&disk, "1")?;
    Ok(disk)
}

/// The file system of the system.
pub(super) fn root(golden: &Disk) -> &Made {
    &golden.partitions[1]
}

/// Puts this version of the system on the disk.
pub(super) fn install(disk: &Disk, version: &str) -> Result<()> {
    let folder = disk.path.parent().context("a disk is in a folder")?;
    let tree = folder.join(format!("tree-{version}"));
    let volume = folder.join(format!("volume-{version}"));
    let release = format!("ID=test\nVERSION_ID={version}\n");
    for (name, text) in [
        ("usr/lib/os-release", release.as_str()),
        ("usr/lib/systemd/systemd", "not run here\n"),
        ("etc/fstab", "LABEL=root / ext4 defaults 0 1\n"),
        (
            "var/sota/pkey.pem",
            "that of the machine that was captured\n",
        ),
    ] {
        let path = tree.join(name);
        fs::create_dir_all(path.parent().context("a file is in a folder")?)?;
        fs::write(path, text)?;
    }
    std::os::unix::fs::symlink("../usr/lib/os-release", tree.join("etc/os-release"))?;
    let root = root(disk);
    fs::File::create(&volume)?.set_len(root.size)?;
    let (tree, text) = (tree.display().to_string(), volume.display().to_string());
    run("mke2fs", ["-qF", "-t", "ext4", "-d", &tree, &text])?;
    let file = fs::File::options().write(true).open(&disk.path)?;
    file.write_all_at(&fs::read(&volume)?, root.start)?;
    Ok(())
}

/// A folder of the system on the disk, as a tool reads it that mounts nothing: a copy of this name.
pub(super) fn copied(disk: &Path, golden: &Disk, folder: &str, name: &str) -> Result<PathBuf> {
    let place = disk.parent().context("a disk is in a folder")?;
    let (volume, out) = (place.join(format!("{name}-volume")), place.join(name));
    let root = root(golden);
    let mut bytes = vec![0; usize::try_from(root.size)?];
    fs::File::open(disk)?.read_exact_at(&mut bytes, root.start)?;
    fs::write(&volume, bytes)?;
    fs::create_dir(&out)?;
    let dump = format!("rdump {folder} {}", out.display());
    run("debugfs", ["-R", &dump, &volume.display().to_string()])?;
    let last = Path::new(folder).file_name();
    Ok(out.join(last.context("a folder has a name")?))
}

/// Whether deploys put an identity on the disk: of an image, or to a host.
pub(super) fn choose(stack: &Stack, path: &str, identity: &Value) -> Result<Value> {
    let change = json!({ "identity": identity });
    let path = format!("/foghorn/v1/{path}/identity");
    stack.rest.put(&path, &change)?.ok()
}

/// Carries out this task of a host on a disk; what the client said, how it ended, and how the task did.
pub(super) fn carry_out(
    stack: &Stack,
    (host, task): (u32, u32),
    name: &str,
    disk: &Path,
) -> Result<(String, i32, Value)> {
    let mut client = stack.start_client(name, host, TARGET, disk)?;
    let ended = client.wait(PATIENCE)?;
    let code = ended.code().context("the client ended by itself")?;
    Ok((client.log(), code, stack.wait_task(task)?))
}

/// The same on a loop device.
pub(super) fn on_loop(
    stack: &Stack,
    ordered: (u32, u32),
    name: &str,
    file: &Path,
) -> Result<(String, i32, Value)> {
    let device = Loop::with_partitions(file)?;
    carry_out(stack, ordered, name, device.path())
}
