//! What a partition may hold: made by the tools of each format where they work on files, by hand
//! where they need a kernel that knows it.

mod handmade;
mod layer;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

use crate::support::{Image, feed, path_text, run};
pub(crate) use layer::{Layer, Layers, PAGE};

const MIB: u64 = 1 << 20;
/// Bytes of every partition here.
pub(crate) const SIZE: u64 = 48 * MIB;
/// What some tools want at least; the start of what they make is kept.
const ENOUGH: u64 = 320 * MIB;

/// One kind of contents.
pub(crate) struct Contents {
    pub(crate) name: &'static str,
    /// What its tool wrote.
    pub(crate) marks: Layer,
    /// Data of users where the format keeps any, spread over the partition; none where the tool
    /// filled it.
    pub(crate) data: Layer,
}

/// A command line; `FILE` is the partition, `DIR` a folder with files.
const TOOLS: &[(&str, &str)] = &[
    ("f2fs", "mkfs.f2fs -q -f FILE"),
    ("minix1", "mkfs.minix -1 FILE"),
    ("minix2", "mkfs.minix -2 -n 14 FILE"),
    ("minix3", "mkfs.minix -3 FILE"),
    ("bfs", "mkfs.bfs FILE"),
    ("cramfs", "mkfs.cramfs DIR FILE"),
    ("exfat", "mkfs.exfat FILE"),
    ("xfs", "mkfs.xfs -q -f FILE"),
    ("btrfs", "mkfs.btrfs -q -f FILE"),
    ("jfs", "mkfs.jfs -q FILE"),
    ("reiserfs", "mkreiserfs -q -ff FILE"),
    ("nilfs2", "mkfs.nilfs2 -f -B 64 FILE"),
    ("ocfs2", "mkfs.ocfs2 -x -q -M local -F FILE"),
    ("gfs2", "mkfs.gfs2 -q -O -p lock_nolock -j 1 FILE"),
    ("udf", "mkudffs FILE"),
    ("iso9660", "genisoimage -quiet -o FILE DIR"),
    ("squashfs", "mksquashfs DIR FILE -noappend -quiet"),
    ("erofs", "mkfs.erofs FILE DIR"),
    ("swap", "mkswap -q FILE"),
    ("bcache", "make-bcache -B FILE"),
    ("verity", "veritysetup format DIR/file FILE"),
    ("journal", "mke2fs -qF -O journal_dev -b 4096 FILE"),
    ("gpt", "sgdisk -n 1:1M:+40M FILE"),
];

/// File systems that are read here, with files in them.
const EXT: &[(&str, &[&str])] = &[
    ("ext2-1k", &["-t", "ext2", "-b", "1024"]),
    ("ext2-4k", &["-t", "ext2", "-b", "4096"]),
    ("ext3-1k", &["-t", "ext3", "-b", "1024"]),
    ("ext3-4k", &["-t", "ext3", "-b", "4096"]),
    (
        "ext4-1k",
        &[
            "-t",
            "ext4",
            "-b",
            "1024",
            "-O",
            "extent,metadata_csum,64bit",
        ],
    ),
    (
        "ext4-4k",
        &[
            "-t",
            "ext4",
            "-b",
            "4096",
            "-O",
            "extent,metadata_csum,64bit",
        ],
    ),
];

/// All contents, made once.
pub(crate) fn all() -> &'static [Contents] {
    static ALL: OnceLock<Vec<Contents>> = OnceLock::new();
    ALL.get_or_init(make_all)
}

fn make_all() -> Vec<Contents> {
    let mut all = Vec::new();
    for &(name, options) in EXT {
        all.push(filled(name, |image| {
            let files = image.files();
            let start = ["-q", "-F", "-d", path_text(&files)];
            run(
                "mke2fs",
                start
                    .iter()
                    .chain(options)
                    .copied()
                    .chain([path_text(&image.path)]),
            );
        }));
    }
    all.push(filled("ntfs", |image| {
        run("mkfs.ntfs", ["-q", "-Q", "-F", path_text(&image.path)]);
        for (number, size) in (0..).zip([900, 70_000, 3_000_000]) {
            let file = image.dir.path().join("source");
            std::fs::write(&file, noise(size, number + 1)).unwrap();
            let name = format!("file{number}");
            run(
                "ntfscp",
                ["-f", path_text(&image.path), path_text(&file), &name],
            );
        }
    }));
    for (name, bits, cluster) in [
        ("fat12", "12", "32"),
        ("fat16", "16", "4"),
        ("fat32", "32", "1"),
    ] {
        all.push(filled(name, |image| {
            run(
                "mkfs.fat",
                ["-F", bits, "-s", cluster, path_text(&image.path)],
            );
            let files = image.files();
            run(
                "mcopy",
                [
                    "-s",
                    "-Q",
                    "-i",
                    path_text(&image.path),
                    path_text(&files),
                    "::files",
                ],
            );
        }));
    }
    for (name, line) in TOOLS {
        all.push(holding_data(name, |image| {
            let folder = image.dir.path().join("some");
            std::fs::create_dir(&folder).unwrap();
            std::fs::write(folder.join("file"), noise(100 * 4096, 5)).unwrap();
            let line = line.replace("FILE", path_text(&image.path));
            let line = line.replace("DIR", path_text(&folder));
            let (tool, arguments) = line.split_once(' ').unwrap();
            run(tool, arguments.split(' '));
        }));
    }
    for version in ["luks1", "luks2"] {
        all.push(holding_data(version, |image| luks(&image.path, version)));
    }
    all.push(holding_data("mbr", |image| {
        let script = "label: dos\nstart=2048, size=20480, type=83\n";
        feed("sfdisk", ["-q", path_text(&image.path)], script);
    }));
    for (name, make) in handmade::ALL {
        all.push(holding_data(name, *make));
    }
    all
}

fn luks(file: &Path, kind: &str) {
    feed(
        "cryptsetup",
        [
            "luksFormat",
            "--batch-mode",
            "--type",
            kind,
            "--pbkdf",
            "pbkdf2",
            "--pbkdf-force-iterations",
            "1000",
            "--key-file",
            "-",
            path_text(file),
        ],
        "secret",
    );
}

fn filled(name: &'static str, make: impl FnOnce(&Image)) -> Contents {
    let image = Image::new(SIZE);
    if ["xfs", "btrfs", "f2fs", "ocfs2", "gfs2"].contains(&name) {
        std::fs::File::options()
            .write(true)
            .open(&image.path)
            .unwrap()
            .set_len(ENOUGH)
            .unwrap();
    }
    make(&image);
    Contents {
        name,
        marks: Layer::of_file(&image.path),
        data: Layer::default(),
    }
}

/// Contents that a format gives to its users: here noise in some pages, where the format has
/// nothing itself.
fn holding_data(name: &'static str, make: impl FnOnce(&Image)) -> Contents {
    let marks = filled(name, make).marks;
    let mut data = BTreeMap::new();
    for at in (2 * MIB..SIZE - 2 * MIB).step_by(200 << 10) {
        if !marks.has(at) {
            data.insert(at / PAGE, noise(PAGE as usize, at));
        }
    }
    Contents {
        name,
        marks,
        data: Layer(data),
    }
}

pub(crate) fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8 | 1
        })
        .collect()
}
