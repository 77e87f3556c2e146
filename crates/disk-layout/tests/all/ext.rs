//! Used blocks of ext2/3/4 against dumpe2fs and partclone.

use crate::support::{Image, assert_same, path_text, raw_because, run};
use foghorn_disk_layout::{DirtyPolicy, ReadVolumeError, read_volume};
use foghorn_image::{ByteRange, ByteRanges, FileSystemKind};

const MIB: u64 = 1 << 20;

/// Makes a file system with files in it and holes where files were removed.
fn filled(size: u64, options: &[&str]) -> Image {
    let image = Image::new(size);
    let files = image.files();
    let mut arguments = vec!["-q", "-F", "-d", path_text(&files)];
    arguments.extend(options);
    arguments.push(path_text(&image.path));
    run("mke2fs", arguments);
    for name in ["f5", "f20", "f38", "sub/f9"] {
        run(
            "debugfs",
            ["-w", "-R", &format!("rm {name}"), path_text(&image.path)],
        );
    }
    image
}

/// Used bytes by dumpe2fs: everything that it does not list as free.
fn dumpe2fs(image: &Image, size: u64) -> ByteRanges {
    let text = run("dumpe2fs", [path_text(&image.path)]);
    let field = |name: &str| -> u64 {
        let line = text
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap_or_else(|| panic!("no {name} in {text}"));
        line.split_whitespace().last().unwrap().parse().unwrap()
    };
    let block = field("Block size:");
    // Of a run of free clusters the first block of the last one is printed.
    let cluster = if text.contains("Cluster size:") {
        field("Cluster size:")
    } else {
        block
    };
    let lists = text
        .lines()
        .filter_map(|line| line.strip_prefix("  Free blocks: "));
    let free: ByteRanges = lists
        .flat_map(|list| list.split(", "))
        .filter(|item| !item.trim().is_empty())
        .map(|item| {
            let (first, last) = item
                .trim()
                .split_once('-')
                .unwrap_or((item.trim(), item.trim()));
            ByteRange::new(
                first.parse::<u64>().unwrap() * block,
                last.parse::<u64>().unwrap() * block + cluster,
            )
        })
        .collect();
    assert_eq!(
        free.total().bytes(),
        field("Free blocks:") * block,
        "dumpe2fs does not agree with itself"
    );
    free.gaps_within(ByteRange::new(0, size))
}

fn ours(image: &Image) -> ByteRanges {
    let volume = read_volume(&image.open(), DirtyPolicy::Refuse).unwrap();
    assert_eq!(volume.kind, FileSystemKind::Ext);
    assert_eq!(volume.used, volume.ranges.total());
    volume.ranges
}

fn agrees_with_dumpe2fs(size: u64, options: &[&str]) -> Image {
    let image = filled(size, options);
    assert_same(&ours(&image), &dumpe2fs(&image, size), size, &[]);
    image
}

fn agrees_with_both(size: u64, options: &[&str]) {
    let image = agrees_with_dumpe2fs(size, options);
    // partclone leaves out the boot block in front of the superblock.
    assert_same(
        &ours(&image),
        &image.partclone("extfs"),
        size,
        &[ByteRange::new(0, 1024)],
    );
}

#[test]
fn ext2_with_small_and_large_blocks() {
    agrees_with_both(60 * MIB, &["-t", "ext2", "-b", "1024"]);
    agrees_with_both(160 * MIB, &["-t", "ext2", "-b", "4096", "-r", "1"]);
}

#[test]
fn ext2_of_revision_0_has_backups_in_every_group() {
    agrees_with_dumpe2fs(
        60 * MIB,
        &["-t", "ext2", "-b", "1024", "-r", "0", "-O", "none"],
    );
    agrees_with_dumpe2fs(
        60 * MIB,
        &[
            "-t",
            "ext2",
            "-b",
            "1024",
            "-O",
            "^sparse_super,^resize_inode",
        ],
    );
}

#[test]
fn ext3_with_a_journal() {
    agrees_with_both(
        100 * MIB,
        &["-t", "ext3", "-b", "1024", "-O", "has_journal"],
    );
}

const EXT4: &str =
    "has_journal,extent,huge_file,flex_bg,dir_nlink,extra_isize,sparse_super,resize_inode,filetype";

#[test]
fn ext4_as_it_is_made_today() {
    let features = format!("{EXT4},64bit,metadata_csum");
    agrees_with_both(700 * MIB, &["-t", "ext4", "-b", "4096", "-O", &features]);
    agrees_with_both(150 * MIB, &["-t", "ext4", "-b", "1024", "-O", &features]);
    agrees_with_both(
        200 * MIB,
        &[
            "-t",
            "ext4",
            "-b",
            "2048",
            "-O",
            &format!("{features},metadata_csum_seed"),
        ],
    );
}

#[test]
fn ext4_with_the_older_checksums_and_without_any() {
    agrees_with_both(
        150 * MIB,
        &[
            "-t",
            "ext4",
            "-b",
            "1024",
            "-O",
            &format!("{EXT4},uninit_bg,^metadata_csum,^64bit"),
        ],
    );
    agrees_with_both(
        150 * MIB,
        &[
            "-t",
            "ext4",
            "-b",
            "1024",
            "-O",
            &format!("{EXT4},^metadata_csum,64bit"),
        ],
    );
}

#[test]
fn ext4_without_flex_bg_keeps_metadata_in_every_group() {
    agrees_with_both(
        150 * MIB,
        &[
            "-t",
            "ext4",
            "-b",
            "1024",
            "-O",
            "extent,metadata_csum,64bit,^flex_bg,sparse_super",
        ],
    );
}

#[test]
fn ext4_with_descriptors_spread_over_the_disk() {
    let features = "extent,meta_bg,^resize_inode,metadata_csum,64bit,flex_bg,sparse_super";
    agrees_with_dumpe2fs(300 * MIB, &["-t", "ext4", "-b", "1024", "-O", features]);
    agrees_with_dumpe2fs(
        300 * MIB,
        &[
            "-t",
            "ext4",
            "-b",
            "1024",
            "-O",
            "meta_bg,^resize_inode,uninit_bg,^64bit,^sparse_super",
        ],
    );
}

#[test]
fn ext4_with_clusters() {
    let features = "extent,bigalloc,^resize_inode,metadata_csum,64bit,flex_bg,sparse_super";
    agrees_with_dumpe2fs(
        300 * MIB,
        &["-t", "ext4", "-b", "1024", "-C", "16384", "-O", features],
    );
    agrees_with_dumpe2fs(
        900 * MIB,
        &["-t", "ext4", "-b", "4096", "-C", "65536", "-O", features],
    );
}

#[test]
fn ext4_with_only_two_backups_of_the_superblock() {
    agrees_with_dumpe2fs(
        150 * MIB,
        &[
            "-t",
            "ext4",
            "-b",
            "1024",
            "-O",
            "extent,sparse_super2,^resize_inode,metadata_csum,64bit",
        ],
    );
}

#[test]
fn ext4_with_blocks_larger_than_a_page() {
    agrees_with_dumpe2fs(
        300 * MIB,
        &[
            "-t",
            "ext4",
            "-b",
            "65536",
            "-O",
            "extent,metadata_csum,64bit",
        ],
    );
}

#[test]
fn bytes_behind_the_file_system_count_as_used() {
    let image = filled(
        40 * MIB,
        &[
            "-t",
            "ext4",
            "-b",
            "1024",
            "-O",
            "extent,metadata_csum,64bit",
        ],
    );
    std::fs::File::options()
        .write(true)
        .open(&image.path)
        .unwrap()
        .set_len(43 * MIB + 512)
        .unwrap();
    let found = ours(&image);
    assert_eq!(found.iter().last().unwrap().end, 43 * MIB + 512);
    assert_same(
        &found,
        &dumpe2fs(&image, 43 * MIB + 512),
        43 * MIB + 512,
        &[],
    );
}

fn refused(image: &Image) -> String {
    match read_volume(&image.open(), DirtyPolicy::Refuse).unwrap_err() {
        ReadVolumeError::Dirty { why, .. } => why.to_owned(),
        other => panic!("{other}"),
    }
}

#[test]
fn a_file_system_that_is_not_clean_is_refused_unless_accepted() {
    let cases = [
        ("state 0", "it is not marked clean"),
        ("state 3", "errors were found in it and not repaired"),
        ("feature needs_recovery", "its journal needs to be replayed"),
    ];
    for (change, why) in cases {
        let image = filled(
            40 * MIB,
            &[
                "-t",
                "ext4",
                "-b",
                "1024",
                "-O",
                "has_journal,extent,metadata_csum",
            ],
        );
        let request = if change.starts_with("state") {
            format!("set_super_value {change}")
        } else {
            change.to_owned()
        };
        run("debugfs", ["-w", "-R", &request, path_text(&image.path)]);
        assert_eq!(refused(&image), why);
        // Its bitmaps may be older than its files: every block counts.
        let note = raw_because(&image, DirtyPolicy::Accept);
        assert!(note.starts_with("Unclean") && note.contains(why), "{note}");
    }
}

fn damage(image: &Image) -> String {
    let note = raw_because(image, DirtyPolicy::Refuse);
    assert!(note.starts_with("TakenRaw"), "{note}");
    note
}

#[test]
fn damaged_metadata_makes_it_raw_and_is_named() {
    let with_sums = [
        "-t",
        "ext4",
        "-b",
        "1024",
        "-O",
        "extent,metadata_csum,64bit",
    ];
    let image = filled(40 * MIB, &with_sums);
    image.write(1024 + 12, &[0xff]);
    assert!(damage(&image).contains("checksum of the superblock"));

    let image = filled(40 * MIB, &with_sums);
    image.write(2048, &[0xff, 0xff, 0xff]);
    assert!(damage(&image).contains("descriptor of group 0"));

    let image = filled(40 * MIB, &with_sums);
    let bitmap = run("dumpe2fs", [path_text(&image.path)]);
    let line = bitmap
        .lines()
        .find(|line| line.contains("Block bitmap at"))
        .unwrap();
    let block: u64 = line.split_whitespace().nth(3).unwrap().parse().unwrap();
    image.write(block * 1024 + 700, &[0x55; 8]);
    assert!(damage(&image).contains("block bitmap of group 0"));
}

#[test]
fn a_bitmap_beyond_the_device_makes_it_raw() {
    let image = filled(40 * MIB, &["-t", "ext2", "-b", "1024"]);
    image.write(2048, &0x7fff_ffff_u32.to_le_bytes());
    assert!(
        damage(&image).contains("the block bitmap of a group"),
        "{}",
        damage(&image)
    );
    // The partition was cut off behind the file system's back.
    let image = filled(40 * MIB, &["-t", "ext2", "-b", "1024"]);
    std::fs::File::options()
        .write(true)
        .open(&image.path)
        .unwrap()
        .set_len(20 * MIB)
        .unwrap();
    assert!(damage(&image).contains("larger than its partition"));
}

#[test]
fn unknown_features_make_it_raw() {
    let image = filled(40 * MIB, &["-t", "ext2", "-b", "1024"]);
    image.write(1024 + 96, &0x8000_0002_u32.to_le_bytes());
    assert!(damage(&image).contains("features"));
}
