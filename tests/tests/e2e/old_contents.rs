//! A target that held something else before: after a deploy, what recognises file systems, RAID
//! members and tables must see the same as on a disk that was blank.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use foghorn_tests::disks::{self, MIB};
use foghorn_tests::old_content::{ALL, Old, extract, judged, sfdisk};
use foghorn_tests::stack::{Engine, PATIENCE, Stack};

const MAC_A: &str = "52:54:00:00:2a:0a";
const MAC_B: &str = "52:54:00:00:2a:0b";

/// Targets have this size; the images are of smaller disks.
const TARGET: u64 = 96 * MIB;

/// What is looked at: start and size in bytes.
type Volume = (u64, u64);

/// An image and a host that it is deployed to again and again.
struct Deploys {
    stack: Stack,
    host: u32,
    target: PathBuf,
    volumes: Vec<Volume>,
}

impl Deploys {
    /// Captures `golden`; `partitions` are what the image has besides the disk itself.
    fn of(stack: Stack, golden: &Path, partitions: &[Volume]) -> Result<Self> {
        let (_, image) = stack.capture("golden", MAC_A, golden)?;
        let host = stack.create_host("target", MAC_B)?;
        stack.assign(host, image)?;
        let target = stack.folder().join("target");
        let volumes = [(0, TARGET)]
            .into_iter()
            .chain(partitions.iter().copied())
            .collect();
        Ok(Self {
            stack,
            host,
            target,
            volumes,
        })
    }

    fn deploy(&self, name: &str) -> Result<()> {
        let task = self.stack.order(self.host, 1)?;
        let mut client = self
            .stack
            .start_client(name, self.host, MAC_B, &self.target)?;
        let status = client.wait(PATIENCE)?;
        ensure!(status.success(), "{name}: {status}\n{}", client.log());
        ensure!(self.stack.wait_task(task)?["state"] == "complete");
        Ok(())
    }

    fn judge(&self) -> Result<Vec<String>> {
        self.volumes
            .iter()
            .map(|&(start, size)| judged(&self.target, start, size))
            .collect()
    }

    /// Deploys over each of `contents`, which the disk and every place of a partition had before.
    fn over(&self, contents: &[Old]) -> Result<()> {
        disks::blank(&self.target, TARGET)?;
        self.deploy("blank")?;
        let blank = self.judge()?;
        let mut differ = Vec::new();
        for &old in contents {
            disks::blank(&self.target, TARGET)?;
            for &(start, size) in &self.volumes {
                old.put(&self.target, start, size)?;
            }
            self.deploy(&format!("{old:?}"))?;
            for ((volume, expected), found) in self.volumes.iter().zip(&blank).zip(self.judge()?) {
                if found != *expected {
                    differ.push(format!(
                        "{old:?} at {volume:?}: on a blank disk\n{expected}\nnow\n{found}"
                    ));
                }
            }
        }
        ensure!(differ.is_empty(), "{}", differ.join("\n======\n"));
        Ok(())
    }
}

/// A golden disk with these file systems at these places.
fn fill(golden: &Path, volumes: &[(Volume, Old)]) -> Result<()> {
    for &((start, size), kind) in volumes {
        kind.put(golden, start, size)
            .with_context(|| format!("golden {kind:?}"))?;
    }
    Ok(())
}

#[test]
fn under_a_gpt_disk() {
    let stack = Stack::start(Engine::Embedded).unwrap();
    let golden = stack.folder().join("golden");
    disks::blank(&golden, 80 * MIB).unwrap();
    let places = [(MIB, 34 * MIB), (35 * MIB, 20 * MIB), (55 * MIB, 24 * MIB)];
    let script = "label: gpt\nstart=2048, size=69632, type=U\nstart=71680, size=40960\nstart=112640, size=49152\n";
    sfdisk(&golden, script).unwrap();
    let kinds = [Old::Fat(32), Old::Ext(4, 1024), Old::Ntfs];
    fill(&golden, &places.into_iter().zip(kinds).collect::<Vec<_>>()).unwrap();
    let deploys = Deploys::of(stack, &golden, &places).unwrap();
    deploys.over(&ALL).unwrap();
}

#[test]
fn under_an_mbr_disk_with_logical_partitions() {
    let stack = Stack::start(Engine::Embedded).unwrap();
    let golden = stack.folder().join("golden");
    disks::blank(&golden, 80 * MIB).unwrap();
    let places = [(MIB, 34 * MIB), (36 * MIB, 20 * MIB), (57 * MIB, 20 * MIB)];
    let script = "label: dos\nstart=2048, size=69632, type=7, bootable\nstart=71680, size=90112, type=5\nstart=73728, size=40960, type=83\nstart=116736, size=40960, type=83\n";
    sfdisk(&golden, script).unwrap();
    let kinds = [Old::Ntfs, Old::Ext(4, 4096), Old::Fat(16)];
    fill(&golden, &places.into_iter().zip(kinds).collect::<Vec<_>>()).unwrap();
    let deploys = Deploys::of(stack, &golden, &places).unwrap();
    deploys.over(&ALL).unwrap();
}

#[test]
fn under_a_disk_without_a_table() {
    let stack = Stack::start(Engine::Embedded).unwrap();
    let golden = stack.folder().join("golden");
    disks::blank(&golden, 80 * MIB).unwrap();
    fill(&golden, &[((0, 80 * MIB), Old::Ext(4, 1024))]).unwrap();
    let deploys = Deploys::of(stack, &golden, &[]).unwrap();
    deploys.over(&ALL).unwrap();
}

/// Old superblocks at the end of a partition that is larger than the one it gets.
#[test]
fn under_one_partition_that_is_written_to_a_larger_one() {
    let stack = Stack::start(Engine::Embedded).unwrap();
    let golden = stack.folder().join("golden");
    disks::blank(&golden, 24 * MIB).unwrap();
    sfdisk(&golden, "label: gpt\nstart=2048, size=40960\n").unwrap();
    fill(&golden, &[((MIB, 20 * MIB), Old::Ext(4, 1024))]).unwrap();
    let (_, image) = stack.capture("golden", MAC_A, &golden).unwrap();
    let only_the_first = serde_json::json!({ "imagePartitionTypeID": 3 });
    let path = format!("/fog/image/{image}/edit");
    stack
        .rest
        .put(&path, &only_the_first)
        .unwrap()
        .ok()
        .unwrap();
    let host = stack.create_host("target", MAC_B).unwrap();
    stack.assign(host, image).unwrap();
    let (start, size) = (4 * MIB, 70 * MIB);
    let deploys = Deploys {
        target: stack.folder().join("target"),
        volumes: vec![(start, size)],
        stack,
        host,
    };
    let table = "label: gpt\nstart=8192, size=143360\n";
    let mut blank = None;
    for old in [
        None,
        Some(Old::Md("0.90")),
        Some(Old::Md("1.0")),
        Some(Old::Zfs),
        Some(Old::Gpt),
        Some(Old::IntelRaid),
        Some(Old::PromiseRaid),
    ] {
        disks::blank(&deploys.target, TARGET).unwrap();
        sfdisk(&deploys.target, table).unwrap();
        if let Some(old) = old {
            old.put(&deploys.target, start, size).unwrap();
        }
        deploys.deploy(&format!("{old:?}")).unwrap();
        let found = deploys.judge().unwrap();
        assert_eq!(&found, blank.get_or_insert(found.clone()), "{old:?}");
    }
}

/// A copy of btrfs' superblock 64 MiB from the start is found by its own tools.
#[test]
fn copies_far_from_the_start_are_gone_too() {
    let stack = Stack::start(Engine::Embedded).unwrap();
    let golden = stack.folder().join("golden");
    disks::blank(&golden, 120 * MIB).unwrap();
    sfdisk(&golden, "label: gpt\nstart=2048, size=241664\n").unwrap();
    fill(&golden, &[((MIB, 118 * MIB), Old::Ntfs)]).unwrap();
    let (_, image) = stack.capture("golden", MAC_A, &golden).unwrap();
    let target = stack.folder().join("target");
    disks::blank(&target, 128 * MIB).unwrap();
    Old::Btrfs.put(&target, MIB, 118 * MIB).unwrap();
    let part = stack.folder().join("part");
    extract(&target, MIB, 118 * MIB, &part).unwrap();
    let copy = |file: &Path| {
        use std::os::unix::fs::FileExt;
        let mut magic = [0; 8];
        std::fs::File::open(file)
            .unwrap()
            .read_exact_at(&mut magic, 64 * MIB + 64)
            .unwrap();
        magic
    };
    assert_eq!(&copy(&part), b"_BHRfS_M");
    stack.deploy("target", MAC_B, image, &target).unwrap();
    extract(&target, MIB, 118 * MIB, &part).unwrap();
    assert_ne!(&copy(&part), b"_BHRfS_M");
}
