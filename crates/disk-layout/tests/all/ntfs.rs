//! Used clusters of NTFS against partclone and ntfsinfo.

use crate::support::{Image, assert_same, path_text, raw_because, run};
use foghorn_disk_layout::{DirtyPolicy, ReadVolumeError, read_volume};
use foghorn_image::{ByteRange, FileSystemKind};

const MIB: u64 = 1 << 20;

fn made(size: u64, options: &[&str]) -> Image {
    let image = Image::new(size);
    let mut arguments = vec!["-q", "-Q", "-F"];
    arguments.extend(options);
    arguments.push(path_text(&image.path));
    run("mkfs.ntfs", arguments);
    image
}

fn copy_in(image: &Image, name: &str, contents: &[u8]) {
    let source = image.dir.path().join("source");
    std::fs::write(&source, contents).unwrap();
    run(
        "ntfscp",
        ["-f", path_text(&image.path), path_text(&source), name],
    );
}

fn filled(size: u64, options: &[&str]) -> Image {
    let image = made(size, options);
    for number in 1..12_usize {
        copy_in(
            &image,
            &format!("f{number}"),
            &vec![number as u8; number * number * 9000],
        );
    }
    image
}

fn agrees(size: u64, cluster: u64, options: &[&str]) {
    let image = filled(size, options);
    let volume = read_volume(&image.open(), DirtyPolicy::Refuse).unwrap();
    assert_eq!(volume.kind, FileSystemKind::Ntfs);
    let info = run("ntfsinfo", ["-m", path_text(&image.path)]);
    let field = |name: &str| -> u64 {
        let line = info
            .lines()
            .find(|line| line.contains(name))
            .unwrap_or_else(|| panic!("no {name} in {info}"));
        line.split(&[':', '('][..])
            .nth(1)
            .unwrap()
            .trim()
            .parse()
            .unwrap()
    };
    assert_eq!(field("Cluster Size"), cluster);
    let clusters = field("Volume Size in Clusters");
    // We always take the boot area and what follows the last cluster (the backup boot sector).
    let except = [
        ByteRange::new(0, cluster.max(8192)),
        ByteRange::new(clusters * cluster, size),
    ];
    assert_same(&volume.ranges, &image.partclone("ntfs"), size, &except);
    assert!(volume.ranges.gaps_within(except[1]).is_empty());
    let free = volume
        .ranges
        .gaps_within(ByteRange::new(0, size))
        .total()
        .bytes();
    assert_eq!(free, field("Free Clusters") * cluster, "{info}");
}

#[test]
fn ntfs_with_clusters_of_many_sizes() {
    agrees(40 * MIB, 4096, &["-c", "4096"]);
    agrees(30 * MIB + 512 * 5, 512, &["-c", "512"]);
    agrees(60 * MIB, 65_536, &["-c", "65536"]);
    agrees(60 * MIB, 4096, &["-s", "4096"]);
    agrees(3000 * MIB, 4096, &["-c", "4096"]);
}

#[test]
fn a_volume_that_is_marked_dirty_is_refused_unless_accepted() {
    let image = filled(20 * MIB, &["-c", "4096"]);
    // The flags of $VOLUME_INFORMATION, found by the version in front of them (3.1) in record 3.
    let raw = image.bytes();
    let table = u64::from_le_bytes(raw[48..56].try_into().unwrap()) as usize * 4096;
    let record = &raw[table + 3 * 1024..table + 4 * 1024];
    let version = record
        .windows(4)
        .position(|bytes| bytes == [3, 1, 0, 0])
        .unwrap();
    image.write((table + 3 * 1024 + version + 2) as u64, &[1, 0]);
    let why = read_volume(&image.open(), DirtyPolicy::Refuse).unwrap_err();
    assert!(matches!(why, ReadVolumeError::Dirty { .. }), "{why}");
    let note = raw_because(&image, DirtyPolicy::Accept);
    assert!(
        note.starts_with("Unclean") && note.contains("marked dirty"),
        "{note}"
    );
}

#[test]
fn a_sleeping_windows_is_refused_unless_accepted() {
    for (contents, sleeps) in [
        (b"hibr", true),
        (b"HIBR", true),
        (b"Hibr", false),
        (b"\0\0\0\0", false),
        (b"wake", false),
    ] {
        // Few files, so that the name is in the root of the index; many, so that it is in one of
        // its blocks.
        for others in [0, 60] {
            let image = made(20 * MIB, &["-c", "4096"]);
            for number in 0..others {
                copy_in(
                    &image,
                    &format!("some file with a longer name {number}"),
                    b"x",
                );
            }
            let mut file = vec![0; 70_000];
            file[..4].copy_from_slice(contents);
            copy_in(&image, "hiberfil.sys", &file);
            match read_volume(&image.open(), DirtyPolicy::Refuse) {
                Err(ReadVolumeError::Dirty { why, .. }) => {
                    assert!(sleeps && why.contains("hibernated"), "{why}")
                }
                Err(other) => panic!("{other}"),
                Ok(_) => assert!(!sleeps, "{contents:?} with {others} other files was taken"),
            }
            let accepted = read_volume(&image.open(), DirtyPolicy::Accept).unwrap();
            assert_eq!(accepted.kind == FileSystemKind::Raw, sleeps);
        }
    }
}

#[test]
fn damage_makes_it_raw_and_is_named() {
    let damage = |at: u64, bytes: &[u8]| {
        let image = filled(20 * MIB, &["-c", "4096"]);
        image.write(at, bytes);
        raw_because(&image, DirtyPolicy::Refuse)
    };
    let image = filled(20 * MIB, &["-c", "4096"]);
    let raw = image.bytes();
    let table = u64::from_le_bytes(raw[48..56].try_into().unwrap()) * 4096;
    assert!(damage(40, &[0xff; 8]).contains("larger than its partition"));
    assert!(damage(48, &[0xff; 8]).contains("outside of it"));
    assert!(damage(13, &[3]).contains("are not valid"));
    assert!(damage(table, b"BAAD").contains("record 0"));
    assert!(damage(table + 6 * 1024 + 510, &[0x77, 0x77]).contains("record 6"));
    std::fs::File::options()
        .write(true)
        .open(&image.path)
        .unwrap()
        .set_len(10 * MIB)
        .unwrap();
    assert!(raw_because(&image, DirtyPolicy::Refuse).contains("larger than its partition"));
}
