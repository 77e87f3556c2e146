//! Whose a partition is, held against libblkid, and old contents under new ones.

use std::fs::File;
use std::process::Command;

use crate::contents::{Contents, Layer, Layers, SIZE, all};
use crate::support::{Image, path_text};
use foghorn_disk_layout::{DirtyPolicy, ReadVolumeError, Volume, VolumeNote, read_volume};
use foghorn_image::{ByteRange, FileSystemKind, NoteKind};

const MIB: u64 = 1 << 20;

/// What `blkid -p` calls the file; `None` when it finds nothing, or cannot decide.
fn blkid(image: &Image) -> Option<String> {
    let path = format!(
        "{}:/usr/sbin:/sbin",
        std::env::var("PATH").unwrap_or_default()
    );
    let output = Command::new("blkid")
        .args(["-p", "-o", "export", path_text(&image.path)])
        .env("PATH", path)
        .output()
        .unwrap_or_else(|why| panic!("blkid is needed for this test: {why}"));
    let text = String::from_utf8_lossy(&output.stdout);
    let value = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name))
            .map(str::to_owned)
    };
    if value("PTTYPE=").is_some() {
        return Some("a table".to_owned());
    }
    value("TYPE=")
}

/// The file system that may be read by its own account, if `blkid` says it is one.
fn readable(blkid: Option<&str>) -> Option<FileSystemKind> {
    match blkid? {
        "ext2" | "ext3" | "ext4" => Some(FileSystemKind::Ext),
        "ntfs" => Some(FileSystemKind::Ntfs),
        "vfat" => Some(FileSystemKind::Fat),
        _ => None,
    }
}

fn write(layers: &[&Layer]) -> Image {
    let image = Image::new(SIZE);
    let file = File::options().write(true).open(&image.path).unwrap();
    layers.iter().rev().for_each(|layer| layer.write_to(&file));
    image
}

fn volume(layers: &[&Layer]) -> Volume {
    read_volume(&Layers(layers), DirtyPolicy::Refuse).unwrap()
}

#[test]
fn alone_everything_is_what_blkid_calls_it() {
    // One exception: BitLocker To Go, whose boot sector blkid takes for that of a FAT.
    let mut readable_ones = 0;
    for contents in all() {
        let found = volume(&[&contents.marks]);
        let theirs = blkid(&write(&[&contents.marks]));
        let expected = readable(theirs.as_deref())
            .filter(|_| !contents.name.starts_with("bitlocker"))
            .unwrap_or(FileSystemKind::Raw);
        assert_eq!(
            found.kind, expected,
            "{}: blkid says {theirs:?}",
            contents.name
        );
        assert!(
            theirs.is_some() || NOT_KNOWN_TO_BLKID.contains(&contents.name),
            "blkid finds nothing in {}",
            contents.name
        );
        if expected != FileSystemKind::Raw {
            readable_ones += 1;
            assert!(found.used.bytes() < SIZE, "{} is full", contents.name);
        } else if contents.name != "swap" {
            let of_end = |note: &&VolumeNote| note.kind != NoteKind::PartitionSizeTied;
            let notes: Vec<&VolumeNote> = found.notes.iter().filter(of_end).collect();
            let [note] = notes[..] else {
                panic!("{}: {:?}", contents.name, found.notes);
            };
            let alone = ["nothing that is known", "has the marks of"];
            assert!(
                alone.iter().all(|doubt| !note.text.contains(doubt)),
                "{}: {}",
                contents.name,
                note.text
            );
        }
    }
    assert_eq!(readable_ones, 10);
}

/// The marks made by hand are too little for blkid, which checks more of them than is done here; and
/// it looks for ZFS only from 64 MiB on.
const NOT_KNOWN_TO_BLKID: &[&str] = &[
    "zfs",
    "ddf",
    "apfs",
    "refs",
    "vdo",
    "integrity",
    "bitlocker-to-go",
    "isw",
];

/// Marks as `wipefs` finds them when the contents are in a partition of this size.
fn wipefs(contents: &Contents, size: u64) -> String {
    let image = write(&[&contents.marks]);
    let file = File::options().write(true).open(&image.path).unwrap();
    file.set_len(size).unwrap();
    let columns = ["-n", "--output", "OFFSET,TYPE"];
    crate::support::run(
        "wipefs",
        columns.into_iter().chain([path_text(&image.path)]),
    )
}

#[test]
fn what_is_not_found_in_a_larger_partition_ties_its_size() {
    let mut tied_ones = vec![];
    for contents in all() {
        let found = volume(&[&contents.marks]);
        let tied = found
            .notes
            .iter()
            .any(|note| note.kind == NoteKind::PartitionSizeTied);
        let expected = match contents.name {
            // What is at the start counts; at the end is a copy of it.
            "gpt" | "nilfs2" => false,
            "zfs" | "ddf" | "isw" => true,
            _ => wipefs(contents, SIZE) != wipefs(contents, SIZE + 8 * MIB),
        };
        assert_eq!(tied, expected, "{}", contents.name);
        tied_ones.extend(tied.then_some(contents.name));
    }
    for name in ["md-0.90", "md-1.0", "promise"] {
        assert!(tied_ones.contains(&name), "{name} is not in {tied_ones:?}");
    }
}

/// Whatever was in the partition before: no byte of what is in it now is left out, and what blkid
/// doubts is not read by its own account.
#[test]
fn nothing_of_the_new_is_lost_whatever_was_there_before() {
    let mut by_account = 0;
    for new in all().iter().filter(|new| is_in_the_matrix(new)) {
        for old in all().iter().filter(|old| is_in_the_matrix(old)) {
            let layers: [&Layer; 3] = [&new.marks, &new.data, &old.marks];
            let found = match read_volume(&Layers(&layers), DirtyPolicy::Refuse) {
                Ok(found) => found,
                Err(ReadVolumeError::Dirty { .. }) => continue,
                Err(other) => panic!("{} over {}: {other}", new.name, old.name),
            };
            by_account += u32::from(found.kind != FileSystemKind::Raw);
            assert_nothing_lost(&found, new, old.name);
            if found.kind != FileSystemKind::Raw {
                let theirs = blkid(&write(&[&new.marks, &old.marks]));
                assert_eq!(
                    readable(theirs.as_deref()),
                    Some(found.kind),
                    "{} over {}: blkid says {theirs:?}",
                    new.name,
                    old.name
                );
            }
        }
    }
    // Each of the ten readable file systems over itself at least.
    assert!(by_account >= 10, "{by_account}");
}

/// The rest is found by the same table of signatures, and would only take time.
fn is_in_the_matrix(contents: &Contents) -> bool {
    const OTHERS: &[&str] = &[
        "exfat",
        "xfs",
        "btrfs",
        "lvm",
        "zfs",
        "bitlocker",
        "gpt",
        "mbr",
        "ntfs",
    ];
    let families = ["ext", "fat", "md-", "luks"];
    let is_of = |family: &&str| contents.name.starts_with(*family);
    OTHERS.contains(&contents.name) || families.iter().any(is_of)
}

fn assert_nothing_lost(found: &Volume, new: &Contents, old: &str) {
    let free = found.ranges.gaps_within(ByteRange::new(0, SIZE));
    for (number, page) in new.marks.0.iter().chain(&new.data.0) {
        for (sector, bytes) in (0..).zip(page.chunks(512)) {
            let start = number * 4096 + sector * 512;
            let lost = free
                .iter()
                .any(|gap| gap.start < start + 512 && gap.end > start)
                && bytes != [0; 512];
            assert!(!lost, "{} over {old}: byte {start} is not taken", new.name);
        }
    }
}

#[test]
fn a_suspended_linux_is_refused_unless_accepted() {
    for (page, mark) in [
        (4096, &b"S1SUSPEND\0"[..]),
        (4096, &b"S2SUSPEND\0"[..]),
        (65_536, &b"ULSUSPEND\0"[..]),
        (4096, &b"LINHIB0001"[..]),
    ] {
        let image = Image::new(8 * MIB);
        crate::support::run("mkswap", ["-q", path_text(&image.path)]);
        let swap = read_volume(&image.open(), DirtyPolicy::Refuse).unwrap();
        assert_eq!((swap.kind, swap.notes.len()), (FileSystemKind::Raw, 0));
        image.write(page - 10, mark);
        let why = read_volume(&image.open(), DirtyPolicy::Refuse).unwrap_err();
        assert!(matches!(why, ReadVolumeError::Dirty { .. }), "{why}");
        let note = crate::support::raw_because(&image, DirtyPolicy::Accept);
        assert!(
            note.starts_with("Unclean") && note.contains("suspended"),
            "{note}"
        );
    }
}
