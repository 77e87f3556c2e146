//! Disks of which some sectors cannot be read: what does not need them, whose they are, and the
//! file systems' own lists of them.

#![allow(clippy::single_range_in_vec_init)] // a list of one place

use std::io;
use std::ops::Range;
use std::path::Path;

use crate::support::{Image, assert_same, path_text, run};
use foghorn_disk_layout::{
    DirtyPolicy, ReadAt, ReadVolumeError, SurveyOptions, owners, read_volume, survey_disk,
};
use foghorn_image::{ByteRange, ByteRanges, FileSystemKind, NoteKind};
use foghorn_types::SectorSize;

const MIB: u64 = 1 << 20;

/// A disk that fails where these bytes are.
struct Failing<'a>(&'a [u8], Vec<Range<u64>>);

impl ReadAt for Failing<'_> {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let end = offset + buffer.len() as u64;
        if self.1.iter().any(|bad| offset < bad.end && bad.start < end) {
            return Err(io::Error::from_raw_os_error(5));
        }
        self.0.read_exact_at(offset, buffer)
    }

    fn size(&self) -> u64 {
        self.0.len() as u64
    }
}

fn ranges(list: &[Range<u64>]) -> ByteRanges {
    list.iter()
        .map(|r| ByteRange::new(r.start, r.end))
        .collect()
}

/// An ext file system with the files of [`Image::files`].
fn ext(size: u64, options: &[&str]) -> Image {
    let image = Image::new(size);
    let files = image.files();
    let mut arguments = vec!["-q", "-F", "-d", path_text(&files)];
    arguments.extend(options);
    arguments.push(path_text(&image.path));
    run("mke2fs", arguments);
    image
}

/// All blocks of a file: its contents, and where they are.
fn blocks(image: &Image, file: &str) -> Vec<u64> {
    let request = format!("blocks {file}");
    let list = run("debugfs", ["-R", &request, path_text(&image.path)]);
    let list: Vec<u64> = list
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    assert!(!list.is_empty(), "{file} has no blocks");
    list
}

#[test]
fn ext_does_not_use_the_blocks_on_its_list() {
    for (size, block, count, options) in [
        (60 * MIB, 1024, 3, &["-t", "ext2", "-b", "1024"][..]),
        // In a list of lists.
        (
            60 * MIB,
            1024,
            700,
            &["-b", "1024", "-O", "has_journal,extent"],
        ),
        (
            100 * MIB,
            4096,
            40,
            &["-b", "4096", "-O", "has_journal,extent,64bit,metadata_csum"],
        ),
        (
            100 * MIB,
            4096,
            40,
            &["-t", "ext4", "-b", "4096", "-O", "^extents,^64bit"],
        ),
    ] {
        let list = tempfile::NamedTempFile::new().unwrap();
        let first = size / block / 2 + 300;
        let bad: Vec<u64> = (0..count).map(|number| first + number * 3).collect();
        let lines: Vec<String> = bad.iter().map(|block| format!("{block}\n")).collect();
        std::fs::write(list.path(), lines.concat()).unwrap();
        let with_list = [&["-l", path_text(list.path())], options].concat();
        let image = ext(size, &with_list);
        let listed = run("dumpe2fs", ["-b", path_text(&image.path)]);
        assert_eq!(
            listed
                .split_whitespace()
                .filter(|word| word.parse::<u64>().is_ok())
                .count(),
            bad.len(),
            "{listed}"
        );
        let volume = read_volume(&image.open(), DirtyPolicy::Refuse).unwrap();
        let bad = ranges(
            &bad.iter()
                .map(|at| at * block..(at + 1) * block)
                .collect::<Vec<_>>(),
        );
        assert!(volume.ranges.within(&bad).is_empty());
        let mut with_bad = volume.ranges.clone();
        with_bad.extend_from(&bad);
        let boot = [ByteRange::new(0, 1024)];
        assert_same(&with_bad, &image.partclone("extfs"), size, &boot);
    }
}

/// Gives `$BadClus` one bad cluster, by writing its list of runs anew.
fn set_bad_cluster(image: &Image, bad: u64) {
    let raw = image.bytes();
    let word = |at: usize| u64::from(u16::from_le_bytes([raw[at], raw[at + 1]]));
    let long = |at: usize| word(at) | word(at + 2) << 16;
    let clusters = (long(40) | long(44) << 32) / u64::from(raw[13]);
    let record = (long(48) * 4096 + 8 * 1024) as usize;
    let mut at = record + word(record + 20) as usize;
    // The attribute of type 0x80 with a name.
    while long(at) != 0x80 || raw[at + 9] == 0 {
        at += long(at + 4) as usize;
    }
    let length = long(at + 4) as usize;
    let number = |value: u64| [value as u8, (value >> 8) as u8];
    let [a, b] = number(bad);
    let [c, d] = number(clusters - bad - 1);
    let runs = [0x02, a, b, 0x21, 1, a, b, 0x02, c, d, 0, 0, 0, 0, 0, 0];
    let place = word(at + 32) as usize;
    let new_length = (place + runs.len()).next_multiple_of(8);
    let mut attribute = raw[at..at + place].to_vec();
    attribute.extend(runs);
    attribute.resize(new_length, 0);
    attribute[4..8].copy_from_slice(&(new_length as u32).to_le_bytes());
    attribute.extend(&raw[at + length..at + length + 8]);
    assert!(at + attribute.len() < record + 510);
    image.write(at as u64, &attribute);
    let in_use = long(record + 24) as usize + new_length - length;
    image.write(record as u64 + 24, &(in_use as u32).to_le_bytes());
}

#[test]
fn ntfs_does_not_use_the_clusters_on_its_list() {
    let image = ntfs();
    let before = read_volume(&image.open(), DirtyPolicy::Refuse)
        .unwrap()
        .ranges;
    let place = find(&image, &[7; 4096]);
    set_bad_cluster(&image, place / 4096);
    // Still intact by its own tools.
    run("ntfsinfo", ["-m", path_text(&image.path)]);
    let after = read_volume(&image.open(), DirtyPolicy::Refuse)
        .unwrap()
        .ranges;
    assert_eq!(before.without(&after), ranges(&[place..place + 4096]));
    assert!(after.without(&before).is_empty());
}

fn ntfs() -> Image {
    let image = Image::new(20 * MIB);
    run(
        "mkfs.ntfs",
        ["-q", "-Q", "-F", "-c", "4096", path_text(&image.path)],
    );
    for number in 1..12_usize {
        let source = image.dir.path().join("source");
        std::fs::write(&source, vec![number as u8; number * number * 9000]).unwrap();
        let name = format!("a file with the number {number}");
        run(
            "ntfscp",
            ["-f", path_text(&image.path), path_text(&source), &name],
        );
    }
    image
}

/// Where a block of these bytes is.
fn find(image: &Image, block: &[u8]) -> u64 {
    let bytes = image.bytes();
    let mut blocks = bytes.chunks(block.len());
    (blocks.position(|found| found == block).unwrap() * block.len()) as u64
}

/// The names for these bytes, and whether they are all.
fn names(image: &Image, kind: FileSystemKind, wanted: Range<u64>) -> (Vec<String>, bool) {
    let found = owners(&image.open(), kind, &ranges(std::slice::from_ref(&wanted)));
    for (range, _) in &found.names {
        assert_eq!(*range, ByteRange::new(wanted.start, wanted.end));
    }
    let names = found.names.into_iter().map(|(_, name)| name).collect();
    (names, found.are_all)
}

#[test]
fn blocks_of_ext_have_owners() {
    const EXTENTS: &str = "has_journal,extent,64bit,flex_bg,metadata_csum";
    for (block, options) in [
        (4096, &["-b", "4096", "-O", EXTENTS][..]),
        (1024, &["-b", "1024", "-t", "ext2"]),
        (
            1024,
            &["-b", "1024", "-I", "128", "-O", "has_journal,dir_index"],
        ),
        (1024, &["-b", "1024", "-O", EXTENTS]),
    ] {
        let image = ext(60 * MIB, options);
        // All that debugfs lists: contents, and where they are.
        for path in ["/f1", "/f20", "/sub/f39"] {
            let list = blocks(&image, path);
            for at in [list[0], list[list.len() / 2], list[list.len() - 1]] {
                let found = names(
                    &image,
                    FileSystemKind::Ext,
                    at * block + 512..at * block + 513,
                );
                assert_eq!(found, (vec![path.to_owned()], true));
            }
        }
        let at = blocks(&image, "/sub")[0];
        let found = names(&image, FileSystemKind::Ext, at * block..(at + 1) * block);
        assert_eq!(found, (vec!["/sub".to_owned()], true));
        let nobodys = names(&image, FileSystemKind::Ext, 1024..2048);
        assert_eq!(nobodys, (vec![], true));
        if options.iter().any(|option| option.contains("has_journal")) {
            let at = blocks(&image, "<8>")[0];
            let found = names(&image, FileSystemKind::Ext, at * block..(at + 1) * block);
            assert_eq!(found, (vec!["the journal".to_owned()], true));
        }
    }
}

#[test]
fn an_answer_that_may_be_incomplete_says_so() {
    let image = ext(60 * MIB, &["-t", "ext4", "-b", "4096"]);
    let at = blocks(&image, "/f20")[0];
    let group = run("dumpe2fs", [path_text(&image.path)]);
    let table = group.split("Inode table at ").nth(1).unwrap();
    let table: u64 = table.split('-').next().unwrap().parse().unwrap();
    let bytes = image.bytes();
    let wanted = ranges(&[at * 4096..(at + 1) * 4096]);
    // Inodes 17 to 32 are in the second block, f20 is none of them or is: then it has no name.
    let disk = Failing(&bytes, vec![(table + 1) * 4096..(table + 1) * 4096 + 1]);
    let found = owners(&disk, FileSystemKind::Ext, &wanted);
    assert!(!found.are_all);
    let disk = Failing(&bytes, vec![0..1]);
    assert!(!owners(&disk, FileSystemKind::Ext, &wanted).are_all);
}

#[test]
fn clusters_of_ntfs_have_owners() {
    let image = ntfs();
    for number in [1, 7, 11] {
        let place = find(&image, &[number; 4096]);
        let found = names(&image, FileSystemKind::Ntfs, place + 9..place + 10);
        assert_eq!(
            found,
            (vec![format!("/a file with the number {number}")], true)
        );
    }
    let raw = image.bytes();
    let table = u64::from_le_bytes(raw[48..56].try_into().unwrap()) * 4096;
    let found = names(&image, FileSystemKind::Ntfs, table..table + 1);
    assert_eq!(found, (vec!["/$MFT".to_owned()], true));
}

#[test]
fn clusters_of_fat_have_owners() {
    for (size, bits) in [(8 * MIB, "12"), (20 * MIB, "16"), (60 * MIB, "32")] {
        let image = Image::new(size);
        run(
            "mkfs.fat",
            ["-F", bits, "-s", "1", "-S", "512", path_text(&image.path)]
                .into_iter()
                .filter(|word| bits != "12" || !["-s", "1"].contains(word)),
        );
        let folder = image.dir.path().join("A folder with a long name");
        std::fs::create_dir(&folder).unwrap();
        for number in 1..40_u8 {
            let name = folder.join(format!("file with the number {number}"));
            std::fs::write(name, vec![number; usize::from(number) * 900]).unwrap();
        }
        std::fs::write(folder.join("SHORT.TXT"), vec![77; 3000]).unwrap();
        let (disk, folder) = (path_text(&image.path), path_text(&folder));
        run("mcopy", ["-s", "-Q", "-i", disk, folder, "::"]);
        for (number, name) in [
            (2, "file with the number 2"),
            (39, "file with the number 39"),
            (77, "SHORT.TXT"),
        ] {
            let place = find(&image, &[number; 512]);
            let found = names(&image, FileSystemKind::Fat, place..place + 512);
            let path = Path::new("/A folder with a long name").join(name);
            assert_eq!(
                found,
                (vec![path_text(&path).to_owned()], true),
                "FAT{bits}"
            );
        }
    }
}

#[test]
fn a_place_of_signatures_in_free_space_need_not_be_readable() {
    let image = ext(60 * MIB, &["-t", "ext4", "-b", "4096"]);
    let bytes = image.bytes();
    let used = read_volume(&bytes, DirtyPolicy::Refuse).unwrap().ranges;
    let free = used.gaps_within(ByteRange::new(0, 60 * MIB));
    // A label of ZFS would be in the last 512 KiB, one of md 4 KiB before the end of 64 KiB.
    let end = ByteRange::new(60 * MIB - 512 * 1024, 60 * MIB);
    assert!(free.covers(end));
    let disk = Failing(
        &bytes,
        vec![
            60 * MIB - 200_000..60 * MIB - 199_999,
            60 * MIB - 8192..60 * MIB,
        ],
    );
    let volume = read_volume(&disk, DirtyPolicy::Refuse).unwrap();
    assert_eq!((volume.kind, &volume.ranges), (FileSystemKind::Ext, &used));
    // Where the file system has something, it is not known to be alone.
    let disk = Failing(&bytes, vec![4096..4097]);
    let volume = read_volume(&disk, DirtyPolicy::Refuse);
    assert!(
        matches!(volume, Err(ReadVolumeError::Read { .. }))
            || volume.unwrap().kind == FileSystemKind::Raw
    );
}

#[test]
fn a_rescue_goes_on_without_what_says_what_is_used() {
    let disk = Image::new(60 * MIB);
    run("sgdisk", ["-n", "1:1M:+40M", path_text(&disk.path)]);
    let part = ext(40 * MIB, &["-t", "ext4", "-b", "4096"]);
    disk.write(MIB, &part.bytes());
    let bytes = disk.bytes();
    let group = run("dumpe2fs", [path_text(&part.path)]);
    let bitmap = group.split("Block bitmap at ").nth(1).unwrap();
    let bitmap: u64 = bitmap.split_whitespace().next().unwrap().parse().unwrap();
    let bitmap = MIB + bitmap * 4096;
    let survey = |bad: &[Range<u64>], rescue| {
        let options = SurveyOptions {
            rescue,
            ..SurveyOptions::default()
        };
        survey_disk(&Failing(&bytes, bad.to_vec()), SectorSize::B512, &options)
    };
    let bad = [bitmap..bitmap + 512];
    let (what, range) = survey(&bad, false).unwrap_err().unreadable().unwrap();
    assert!(what.contains("the block bitmap of a group"), "{what}");
    assert_eq!(range, ByteRange::new(bitmap, bitmap + 4096));
    let found = survey(&bad, true).unwrap();
    assert_eq!(found.file_systems[0].kind, FileSystemKind::Raw);
    assert!(
        found
            .notes
            .iter()
            .any(|note| note.kind == NoteKind::TakenRaw)
    );

    // One copy of the table is enough; without both, or without the first sector, the whole disk is
    // taken.
    let (primary, backup) = (512..1024, 60 * MIB - 512..60 * MIB);
    let found = survey(std::slice::from_ref(&primary), false).unwrap();
    assert_eq!(found.file_systems[0].kind, FileSystemKind::Ext);
    for bad in [vec![0..512], vec![primary, backup]] {
        survey(&bad, false).unwrap_err();
        let found = survey(&bad, true).unwrap();
        assert_eq!(found.used, ranges(&[0..60 * MIB]));
        assert!(
            found
                .notes
                .iter()
                .any(|note| note.kind == NoteKind::SizeTied)
        );
    }
}

#[test]
fn only_gaps_between_partitions_are_idle() {
    let disk = Image::new(60 * MIB);
    run(
        "sgdisk",
        [
            "-n",
            "1:2M:+8M",
            "-n",
            "2:12M:+8M",
            "-n",
            "3:20M:+8M",
            path_text(&disk.path),
        ],
    );
    let options = SurveyOptions::default();
    let found = survey_disk(&disk.open(), SectorSize::B512, &options).unwrap();
    assert_eq!(found.idle, ranges(&[10 * MIB..12 * MIB]));
    // The records of logical partitions are between partitions, and needed.
    let disk = Image::new(60 * MIB);
    let table = "start=2048,size=16384\nstart=20480,size=61440,type=5\nstart=22528,size=8192\nstart=40960,size=8192\n";
    crate::support::feed("sfdisk", ["-q", "-X", "dos", path_text(&disk.path)], table);
    let found = survey_disk(&disk.open(), SectorSize::B512, &options).unwrap();
    let sectors = |list: &[Range<u64>]| {
        ranges(
            &list
                .iter()
                .map(|r| r.start * 512..r.end * 512)
                .collect::<Vec<_>>(),
        )
    };
    assert!(found.idle.covers(ByteRange::new(20481 * 512, 22528 * 512)));
    let records = sectors(&[0..1, 20480..20481]);
    assert!(found.idle.within(&records).is_empty());
    let between = ByteRange::new(30720 * 512, 40960 * 512);
    let needed = found.idle.gaps_within(between);
    assert_eq!(needed.total().bytes(), 512, "the second record");
}

/// The entries of one copy of a GPT need not be readable, and stay where the header says.
#[test]
fn an_unreadable_sector_in_the_entries_of_a_gpt_moves_nothing() {
    let image = Image::new(32 * MIB);
    run("sgdisk", ["--new=1:2048:+16M", path_text(&image.path)]);
    let bytes = image.bytes();
    let whole = survey_disk(&bytes, SectorSize::B512, &SurveyOptions::default()).unwrap();
    let failing = Failing(&bytes, vec![1024..1536]);
    let found = survey_disk(&failing, SectorSize::B512, &SurveyOptions::default()).unwrap();
    assert_eq!(found.table, whole.table);
    assert!(
        !found.used.covers(ByteRange::new(1024, 1536)),
        "a deploy writes the table anew, so nobody needs the entries of this copy"
    );
}
