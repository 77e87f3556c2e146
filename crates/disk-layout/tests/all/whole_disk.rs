//! What owns a disk as a whole, although there is a partition table.

use std::fs::File;

use crate::contents::{SIZE, all};
use crate::support::{Image, feed, path_text, run};
use foghorn_disk_layout::{DiskContents, PartitionSet, SurveyOptions, survey_disk};
use foghorn_image::{FileSystemKind, Note, NoteKind, PartitionTable};
use foghorn_types::SectorSize;

fn gpt() -> Image {
    let image = Image::new(SIZE);
    run("sgdisk", ["-n", "1:1M:+30M", path_text(&image.path)]);
    image
}

fn mbr() -> Image {
    let image = Image::new(SIZE);
    let script = "label: dos\nstart=2048, size=20480, type=83\n";
    feed("sfdisk", ["-q", path_text(&image.path)], script);
    image
}

/// Writes what these contents consist of over the disk.
fn put(image: &Image, name: &str) {
    let contents = all().iter().find(|contents| contents.name == name).unwrap();
    let file = File::options().write(true).open(&image.path).unwrap();
    contents.marks.write_to(&file);
}

fn survey(image: &Image) -> DiskContents {
    survey_disk(&image.open(), SectorSize::B512, &SurveyOptions::default()).unwrap()
}

fn is_divided(image: &Image) -> bool {
    survey(image).table != PartitionTable::None
}

#[test]
fn what_has_taken_the_whole_disk_outweighs_an_old_table() {
    for owner in ["md-1.2", "bcache"] {
        let image = gpt();
        // Its superblock lies in the first copy of the table; the one at the end is intact.
        put(&image, owner);
        let found = survey(&image);
        assert_eq!(found.table, PartitionTable::None, "{owner}");
        assert_eq!(found.file_systems[0].kind, FileSystemKind::Raw);
        assert_eq!(found.used.total().bytes(), SIZE);
        let notes = format!("{:?}", found.notes);
        assert!(notes.contains("partition table was not used"), "{notes}");
    }
    for owner in ["md-1.2", "md-1.0", "md-0.90", "lvm", "zfs"] {
        let image = mbr();
        put(&image, owner);
        assert!(!is_divided(&image), "{owner}");
    }
    // RAIDs with their data at the end have the copy of the table in front of that.
    let image = gpt();
    image.write(SIZE - 512, &[0; 512]);
    assert!(is_divided(&image));
    put(&image, "md-1.0");
    assert!(!is_divided(&image));
    // Pools have labels at both ends: the copy of the table at the start survives between them.
    let image = gpt();
    put(&image, "zfs");
    assert!(!is_divided(&image));
}

#[test]
fn a_table_that_is_whole_outweighs_what_was_there_before() {
    let image = Image::new(SIZE);
    put(&image, "md-0.90");
    put(&image, "zfs");
    run("sgdisk", ["-Z", "-n", "1:1M:+30M", path_text(&image.path)]);
    assert!(is_divided(&image));
    // A file system that was there before the MBR: making one would have removed it.
    let image = mbr();
    let ext = all()
        .iter()
        .find(|contents| contents.name == "ext4-1k")
        .unwrap();
    image.write(1024, &ext.marks.0[&0][1024..2048]);
    assert!(is_divided(&image));
}

/// The last partition may end where the disk does: a RAID in it has its marks where one of the whole
/// disk would have them. `blkid` ignores those, too.
#[test]
fn what_is_in_the_last_partition_does_not_own_the_disk() {
    for raid in ["md-0.90", "md-1.0"] {
        let image = Image::new(SIZE);
        let script = "label: dos\nstart=2048, type=fd\n";
        feed("sfdisk", ["-q", path_text(&image.path)], script);
        put(&image, raid);
        if raid == "md-1.0" {
            assert!(!is_divided(&image), "its sector is one of the disk");
            let at = (SIZE - 8192) as usize;
            let sector = (at / 512 - 2048) as u64;
            image.write(at as u64 + 144, &sector.to_le_bytes());
            let bytes = image.bytes();
            let sum = u32::from_le_bytes(*bytes[at + 216..].first_chunk().unwrap());
            image.write(at as u64 + 216, &(sum - 2048).to_le_bytes());
        }
        let theirs = run("blkid", ["-p", path_text(&image.path)]);
        assert!(!theirs.contains(" TYPE="), "{theirs}");
        let of_the_partition = ["-p", "--offset", "1048576", path_text(&image.path)];
        let theirs = run("blkid", of_the_partition);
        assert!(theirs.contains("linux_raid_member"), "{theirs}");
        let found = survey(&image);
        assert_eq!(found.table, PartitionTable::Mbr, "{raid}");
        let ties: Vec<u32> = found
            .notes
            .iter()
            .filter(|note| note.kind == NoteKind::PartitionSizeTied)
            .map(|note| note.partition)
            .collect();
        assert_eq!(ties, [1], "{raid}");
        let of_disk = |note: &Note| note.kind == NoteKind::SizeTied;
        assert!(!found.notes.iter().any(of_disk), "{raid}");
    }
}

/// Whoever has everything taken raw is told what was found all the same.
#[test]
fn what_is_raw_by_order_is_still_noted() {
    let kinds = |image: &Image| -> Vec<(NoteKind, u32)> {
        let options = SurveyOptions {
            raw: PartitionSet::All,
            ..SurveyOptions::default()
        };
        let found = survey_disk(&image.open(), SectorSize::B512, &options).unwrap();
        let notes = found.notes.iter();
        notes.map(|note| (note.kind, note.partition)).collect()
    };
    let raid = Image::new(SIZE);
    put(&raid, "md-1.0");
    let tied = [(NoteKind::TakenRaw, 0), (NoteKind::SizeTied, 0)];
    assert_eq!(kinds(&raid), tied);
    for make in ["mke2fs -qF", "mkfs.ntfs -qQF", "mkfs.fat"] {
        let image = Image::new(SIZE);
        let (tool, arguments) = make.split_once(' ').unwrap_or((make, ""));
        let arguments = arguments.split_whitespace();
        run(tool, arguments.chain([path_text(&image.path)]));
        assert_eq!(kinds(&image), [(NoteKind::TakenRaw, 0)], "{make}");
        match tool {
            "mke2fs" => image.write(1024 + 58, &[0, 0]),
            // `$Volume` is marked dirty.
            "mkfs.ntfs" => {
                let bytes = image.bytes();
                let word = |at: usize| usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
                let volume = word(48) * word(11) * usize::from(bytes[13]) + 3 * 1024;
                let mut at = volume + word(volume + 20);
                while word(at) != 0x70 {
                    at += word(at + 4);
                }
                image.write((at + word(at + 20) + 10) as u64, &[1]);
            }
            _ => image.write(0x25, &[1]),
        }
        let unclean = [(NoteKind::TakenRaw, 0), (NoteKind::Unclean, 0)];
        assert_eq!(kinds(&image), unclean, "{make}");
    }
}
