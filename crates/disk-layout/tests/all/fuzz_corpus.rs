//! Replays the fuzz corpus with a fixed number of mutations of each input, on a stable compiler.

#[path = "../../../../fuzz/entry_points.rs"]
mod entry_points;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;

use crate::support::{Image, feed, path_text, run};
use foghorn_disk_layout::{DirtyPolicy, ReadAt, read_layout, read_volume};
use foghorn_types::SectorSize;

const MUTATIONS: u32 = 250;

fn corpus(target: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus")).join(target)
}

/// Numbers that look random and are the same each time.
struct Noise(u64);

impl Noise {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % below.max(1)
    }

    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        const EDGES: [u8; 8] = [0, 1, 0x7f, 0x80, 0xff, 0xfe, 0x10, 0x55];
        for _ in 0..=self.next(4) {
            let at = self.next(bytes.len());
            match self.next(8) {
                0 => bytes.truncate(at.max(4)),
                1..=3 => bytes[at] ^= 1 << self.next(8),
                4 | 5 => bytes[at] = EDGES[self.next(EDGES.len())],
                6 => {
                    let end = (at + 1 + self.next(8)).min(bytes.len());
                    bytes[at..end].fill(EDGES[self.next(EDGES.len())]);
                }
                _ => {
                    let length = self.next(64).min(bytes.len() - at);
                    let to = self.next(bytes.len() - length + 1);
                    bytes.copy_within(at..at + length, to);
                }
            }
        }
    }
}

fn replay(target: &str, call: fn(&[u8])) {
    let mut files: Vec<PathBuf> = std::fs::read_dir(corpus(target))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() >= 3, "the corpus of {target} is gone");
    for (seed, file) in (1..).zip(&files) {
        let input = std::fs::read(file).unwrap();
        call(&input);
        let mut noise = Noise(0x2545_f491_4f6c_dd1d * seed);
        for number in 0..MUTATIONS {
            let mut mutated = input.clone();
            noise.mutate(&mut mutated);
            let result = std::panic::catch_unwind(|| call(&mutated));
            assert!(
                result.is_ok(),
                "mutation {number} of {} panics",
                file.display()
            );
        }
    }
}

#[test]
fn partition_tables() {
    replay("gpt_mbr", entry_points::gpt_mbr);
}

#[test]
fn ext() {
    replay("ext", entry_points::volume);
}

#[test]
fn ntfs() {
    replay("ntfs", entry_points::volume);
}

#[test]
fn fat() {
    replay("fat", entry_points::volume);
}

#[test]
fn manifests() {
    replay("manifest", entry_points::manifest);
}

#[test]
fn the_disks_of_the_corpus_are_understood() {
    use foghorn_image::FileSystemKind::{Ext, Fat, Ntfs};
    for (target, kind) in [("ext", Ext), ("ntfs", Ntfs), ("fat", Fat)] {
        for entry in std::fs::read_dir(corpus(target)).unwrap() {
            let path = entry.unwrap().path();
            let input = std::fs::read(&path).unwrap();
            let found = read_volume(&entry_points::SparseDisk::new(&input), DirtyPolicy::Refuse);
            assert_eq!(
                found.map(|volume| volume.kind).ok(),
                Some(kind),
                "{}",
                path.display()
            );
        }
    }
}

/// Reads of this length look for signatures that are not there.
const SEARCHED: usize = 128 << 10;

/// Notes which sectors are read: only they matter to a reader.
struct Recorder<R> {
    inner: R,
    read: RefCell<BTreeSet<u64>>,
}

impl<R: ReadAt> ReadAt for Recorder<R> {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        if buffer.len() < SEARCHED {
            self.read
                .borrow_mut()
                .extend(offset / 512..(offset + buffer.len() as u64).div_ceil(512));
        }
        self.inner.read_exact_at(offset, buffer)
    }

    fn size(&self) -> u64 {
        self.inner.size()
    }
}

fn keep(target: &str, name: &str, image: &Image, read: impl FnOnce(&dyn ReadAt)) {
    let disk = Recorder {
        inner: image.open(),
        read: RefCell::default(),
    };
    read(&disk);
    let mut input = ((disk.size() / 512) as u32).to_le_bytes().to_vec();
    for sector in disk.read.take() {
        let mut bytes = [0; 512];
        disk.inner.read_exact_at(sector * 512, &mut bytes).unwrap();
        if bytes != [0; 512] {
            input.extend((sector as u32).to_le_bytes());
            input.extend(bytes);
        }
    }
    assert!(input.len() < 64 << 10, "{name} has {} bytes", input.len());
    std::fs::create_dir_all(corpus(target)).unwrap();
    std::fs::write(corpus(target).join(name), input).unwrap();
}

fn keep_volume(target: &str, name: &str, mib: u64, command: &[&str]) {
    let image = Image::new(mib << 20);
    run(
        command[0],
        command[1..].iter().copied().chain([path_text(&image.path)]),
    );
    keep(target, name, &image, |disk| {
        read_volume(disk, DirtyPolicy::Refuse).unwrap();
    });
}

fn keep_table(name: &str, sector_size: SectorSize, tool: &str, arguments: &[&str], input: &str) {
    let image = Image::new(64 << 20);
    feed(
        tool,
        arguments.iter().copied().chain([path_text(&image.path)]),
        input,
    );
    keep("gpt_mbr", name, &image, |disk| {
        read_layout(disk, sector_size).unwrap();
    });
}

#[test]
#[ignore = "rewrites fuzz/corpus"]
fn make_the_disks_anew() {
    let ext: [(&str, u64, &[&str]); 5] = [
        ("ext2", 8, &["mke2fs", "-qF", "-t", "ext2", "-b", "1024"]),
        (
            "ext4",
            32,
            &[
                "mke2fs",
                "-qF",
                "-t",
                "ext4",
                "-b",
                "1024",
                "-O",
                "64bit,metadata_csum,extent,flex_bg",
            ],
        ),
        (
            "ext4-uninit",
            32,
            &[
                "mke2fs",
                "-qF",
                "-t",
                "ext4",
                "-b",
                "1024",
                "-O",
                "uninit_bg,extent,^resize_inode",
            ],
        ),
        (
            "ext4-meta-bg",
            20,
            &[
                "mke2fs",
                "-qF",
                "-t",
                "ext4",
                "-b",
                "1024",
                "-g",
                "512",
                "-O",
                "meta_bg,^resize_inode",
            ],
        ),
        (
            "ext4-bigalloc",
            64,
            &[
                "mke2fs",
                "-qF",
                "-t",
                "ext4",
                "-C",
                "65536",
                "-O",
                "bigalloc,extent,^resize_inode",
            ],
        ),
    ];
    ext.iter()
        .for_each(|(name, mib, command)| keep_volume("ext", name, *mib, command));
    let ntfs: [(&str, u64, &[&str]); 3] = [
        ("clusters-512", 8, &["mkfs.ntfs", "-qQF", "-c", "512"]),
        ("clusters-4096", 16, &["mkfs.ntfs", "-qQF", "-c", "4096"]),
        (
            "sectors-4096",
            32,
            &["mkfs.ntfs", "-qQF", "-s", "4096", "-c", "8192"],
        ),
    ];
    ntfs.iter()
        .for_each(|(name, mib, command)| keep_volume("ntfs", name, *mib, command));
    let fat: [(&str, u64, &[&str]); 4] = [
        ("fat12", 4, &["mkfs.fat", "-F", "12"]),
        ("fat16", 20, &["mkfs.fat", "-F", "16"]),
        ("fat32", 40, &["mkfs.fat", "-F", "32", "-s", "1"]),
        (
            "fat32-sectors-4096",
            40,
            &["mkfs.fat", "-F", "32", "-S", "4096", "-s", "1"],
        ),
    ];
    fat.iter()
        .for_each(|(name, mib, command)| keep_volume("fat", name, *mib, command));
    keep_table(
        "gpt",
        SectorSize::B512,
        "sgdisk",
        &["-n", "1:0:+8M", "-n", "3:0:+1M", "-c", "3:third"],
        "",
    );
    keep_table(
        "gpt-4096",
        SectorSize::B4096,
        "fdisk",
        &["-b", "4096"],
        "g\nn\n1\n\n+8M\nw\n",
    );
    let logical = "label: dos\np1 : start=2048, size=16384, type=c\np2 : start=20480, size=110592, type=f\n\
                   p5 : size=8192, type=83\np6 : size=8192, type=83\np7 : size=8192, type=7\n";
    keep_table("mbr-logical", SectorSize::B512, "sfdisk", &["-q"], logical);
}
