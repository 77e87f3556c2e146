//! A comparison that cannot fail is worse than none: each change of a right disk must be seen.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;

use super::*;
use crate::fuzz_disks::mount::Mounted;
use crate::fuzz_disks::rng::Rng;
use crate::fuzz_disks::shape::{Content, Stray};
use crate::fuzz_disks::{make, signatures};
use crate::tools::run;

const EXT: Content = Content::Ext {
    version: 4,
    block: 1024,
    features: "",
    group: 0,
};

fn part(number: u32, mib: u64, size: u64, content: Content) -> PartitionShape {
    PartitionShape {
        number,
        start: mib * MIB,
        size: size * MIB,
        record: None,
        content,
        old: None,
        volume_size: size * MIB,
        wrong_type: false,
        unclean: false,
    }
}

fn shape() -> DiskShape {
    let stray = |mib: u64, behind| Stray {
        start: mib * MIB + 4096,
        size: 5000 / 512 * 512,
        behind,
    };
    let fat = Content::Fat {
        bits: 12,
        cluster: 8,
    };
    DiskShape {
        seed: 7,
        size: 30 * MIB,
        sector: 512,
        table: TableShape::Gpt {
            entries_lba: 2,
            slots: 128,
            first_usable: 34,
        },
        partitions: vec![
            part(1, 1, 8, EXT),
            part(2, 10, 4, fat),
            part(3, 14, 2, Content::Noise),
            part(4, 16, 6, Content::Ntfs { cluster: 4096 }),
        ],
        strays: vec![stray(9, false), stray(25, true)],
        boot_code: true,
    }
}

struct World {
    folder: tempfile::TempDir,
    shape: DiskShape,
    trees: Trees,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let shape = shape();
        let source = folder.path().join("source");
        let trees = make::disk(&shape, &source, folder.path(), true).unwrap();
        assert!(
            trees[&1].len() > 3 && trees[&2].len() > 3 && trees[&4].len() > 3,
            "{trees:?}"
        );
        Self {
            folder,
            shape,
            trees,
        }
    }

    /// What is found when the second of two right copies was changed.
    fn after(&self, left_out: &[Range<u64>], change: impl FnOnce(&Path)) -> Vec<String> {
        let place = |name: &str| self.folder.path().join(name);
        let (source, blank, old) = (place("source"), place("blank"), place("old"));
        for copy in [&blank, &old] {
            extract(&source, 0, self.shape.size, copy).unwrap();
        }
        change(&old);
        compare(&Case {
            shape: &self.shape,
            trees: &self.trees,
            source: &source,
            targets: &[
                Target {
                    disk: &blank,
                    size: self.shape.size,
                },
                Target {
                    disk: &old,
                    size: self.shape.size,
                },
            ],
            left_out,
            scratch: self.folder.path(),
        })
        .unwrap()
    }

    /// Changes partition 1 through the kernel, or 4 through ntfs-3g.
    fn mounted(&self, disk: &Path, index: usize, change: impl FnOnce(&Path)) {
        let part = &self.shape.partitions[index];
        let volume = self.folder.path().join("changed");
        extract(disk, part.start, part.size, &volume).unwrap();
        let mounted = Mounted::new(part.content, &volume, true).unwrap();
        change(&mounted.root);
        mounted.end().unwrap();
        let bytes = std::fs::read(&volume).unwrap();
        open(disk).write_all_at(&bytes, part.start).unwrap();
    }
}

fn open(disk: &Path) -> File {
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(disk)
        .unwrap()
}

fn flip(disk: &Path, at: u64) {
    let mut byte = [0];
    open(disk).read_exact_at(&mut byte, at).unwrap();
    open(disk).write_all_at(&[byte[0] ^ 1], at).unwrap();
}

fn a_file(root: &Path) -> PathBuf {
    let entries = std::fs::read_dir(root).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.is_file());
    files.sort();
    files[0].clone()
}

fn named(faults: &[String], word: &str) {
    assert!(
        faults.iter().any(|fault| fault.contains(word)),
        "no {word:?} in {faults:#?}"
    );
}

fn may_mount() -> bool {
    let root = rustix::process::geteuid().is_root();
    assert!(
        root || std::env::var_os("CI").is_none(),
        "mounts need root, and CI must not leave tests out"
    );
    if !root {
        eprintln!("left out: mounts need root");
    }
    root
}

#[test]
fn every_change_of_a_right_disk_is_seen() {
    if !may_mount() {
        return;
    }
    let world = World::new();
    let after = |change: &dyn Fn(&Path)| world.after(&[], change);
    assert_eq!(after(&|_| ()), [""; 0]);

    named(
        &after(&|disk| flip(disk, 14 * MIB + 777)),
        "partition 3: target 2: byte 777 ",
    );
    named(&after(&|disk| flip(disk, 9 * MIB + 5000)), "of the gap");
    named(
        &after(&|disk| flip(disk, 9 * MIB - 1 + MIB / 2)),
        "of the gap",
    );
    named(&after(&|disk| flip(disk, 100)), "of the gap 0..440");
    named(
        &after(&|disk| flip(disk, 25 * MIB + 5000)),
        "neither there nor named",
    );
    named(
        &after(&|disk| open(disk).set_len(29 * MIB).unwrap()),
        "its size became",
    );

    let text = |disk: &Path| disk.to_str().unwrap().to_owned();
    let renamed = after(&|disk| drop(run("sgdisk", ["-c", "2:x", &text(disk)]).unwrap()));
    named(&renamed, "the table is");
    named(
        &after(&|disk| flip(disk, 30 * MIB - 512 + 60)),
        "sgdisk -v says",
    );
}

#[test]
fn every_change_of_a_file_system_is_seen() {
    if !may_mount() {
        return;
    }
    let world = World::new();
    let after = |change: &dyn Fn(&Path)| world.after(&[], change);
    for (index, number) in [(0, "partition 1"), (3, "partition 4")] {
        let missing = after(&|disk| {
            world.mounted(disk, index, |root| {
                std::fs::remove_file(a_file(root)).unwrap()
            });
        });
        named(&missing, "is missing");
        let changed = after(&|disk| {
            world.mounted(disk, index, |root| {
                std::fs::write(a_file(root), b"changed").unwrap()
            });
        });
        named(&changed, "files differ");
        named(&changed, number);
        named(
            &after(&|disk| {
                world.mounted(disk, index, |root| {
                    std::fs::write(root.join("more"), b"").unwrap()
                });
            }),
            "more should not be there",
        );
    }
    let fat = after(&|disk| {
        let place = format!("{}@@{}", disk.display(), 10 * MIB);
        let file = world.folder.path().join("another");
        std::fs::write(&file, b"another").unwrap();
        drop(run("mcopy", ["-i", &place, file.to_str().unwrap(), "::another"]).unwrap());
    });
    named(&fat, "another should not be there");
    // A bitmap that says less than is in use.
    named(
        &after(&|disk| {
            let part = &world.shape.partitions[0];
            let volume = format!("{}?offset={}", disk.display(), part.start);
            drop(run("debugfs", ["-w", "-R", "freeb 3000 600", &volume]).unwrap());
            drop(run("debugfs", ["-w", "-R", "setb 3000 700", &volume]).unwrap());
        }),
        "e2fsck ended with",
    );
}

#[test]
fn old_signatures_are_seen() {
    if !may_mount() {
        return;
    }
    let world = World::new();
    let raid = Content::RaidMember { version: 9 };
    let put = |disk: &Path, start, size| {
        signatures::write(disk, start, size, raid, &mut Rng::new(1, 1)).unwrap();
    };
    named(
        &world.after(&[], |disk| put(disk, 0, 30 * MIB)),
        "old signatures are on the whole disk",
    );
    let inside = world.after(&[], |disk| put(disk, MIB, 8 * MIB));
    named(&inside, "partition 1: signatures are");
    named(&inside, "linux_raid_member");
}

#[test]
fn what_the_image_names_may_be_missing() {
    if !may_mount() {
        return;
    }
    let world = World::new();
    let all_behind = 24 * MIB..29 * MIB;
    let faults = world.after(&[all_behind], |disk| flip(disk, 25 * MIB + 5000));
    assert_eq!(faults, [""; 0]);
}
