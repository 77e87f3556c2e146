//! What owns a disk as a whole, although there is a partition table.

use std::fs::File;

use crate::contents::{SIZE, all};
use crate::support::{Image, feed, path_text, run};
use foghorn_disk_layout::{DiskContents, SurveyOptions, survey_disk};
use foghorn_image::{FileSystemKind, PartitionTable};
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
