//! A whole disk, as a capture sees it.

use crate::support::{Image, path_text, run};
use foghorn_disk_layout::{
    PartitionSet, ReadAt, SurveyDiskError, SurveyOptions, check_options, survey_disk,
};
use foghorn_image::{ByteRange, FileSystemKind, NoteKind};
use foghorn_types::{DiskPart, SectorSize};

const MIB: u64 = 1 << 20;

#[test]
fn every_partition_is_found_with_its_file_system() {
    let disk = Image::new(160 * MIB);
    run(
        "sgdisk",
        [
            "-n",
            "1:1M:+40M",
            "-n",
            "2:0:+60M",
            "-n",
            "3:0:+30M",
            "-n",
            "4:0:+5M",
            path_text(&disk.path),
        ],
    );
    let make: [(u64, u64, &[&str]); 3] = [
        (1, 40, &["mkfs.fat", "-F", "32", "-s", "1"]),
        (41, 60, &["mke2fs", "-q", "-F", "-t", "ext4"]),
        (101, 30, &["mkfs.ntfs", "-q", "-Q", "-F"]),
    ];
    for (start, size, command) in make {
        let part = Image::new(size * MIB);
        run(
            command[0],
            command[1..].iter().copied().chain([path_text(&part.path)]),
        );
        disk.write(start * MIB, &part.bytes());
    }
    let found = survey_disk(&disk.open(), SectorSize::B512, &SurveyOptions::default()).unwrap();
    let kinds: Vec<_> = found
        .file_systems
        .iter()
        .map(|fs| (fs.partition, fs.kind, fs.start.bytes() / MIB))
        .collect();
    use FileSystemKind::{Ext, Fat, Ntfs, Raw};
    assert_eq!(
        kinds,
        [(1, Fat, 1), (2, Ext, 41), (3, Ntfs, 101), (4, Raw, 131)]
    );
    assert_eq!(found.file_systems[3].used.bytes(), 5 * MIB);
    let in_volumes: u64 = found.file_systems.iter().map(|fs| fs.used.bytes()).sum();
    let gap = ByteRange::new(34 * 512, MIB);
    assert_eq!(found.used.total().bytes(), in_volumes + gap.size().bytes());
    // Nothing that any tool wrote is left out, but for the two copies of the table.
    let (mut bytes, file) = (vec![0; MIB as usize], disk.open());
    let tables = [
        ByteRange::new(0, 34 * 512),
        ByteRange::new(160 * MIB - 33 * 512, 160 * MIB),
    ];
    let covered: foghorn_image::ByteRanges = found.used.iter().chain(tables).collect();
    for free in &covered.gaps_within(ByteRange::new(0, 160 * MIB)) {
        for at in (free.start..free.end).step_by(bytes.len()) {
            let piece = &mut bytes[..(free.end - at).min(MIB) as usize];
            file.read_exact_at(at, piece).unwrap();
            assert!(
                piece.iter().all(|&byte| byte == 0),
                "data between byte {at} and {}",
                free.end
            );
        }
    }
}

/// 20 MiB: a damaged ext4 from 1 to 9 MiB, bytes from 9 to 12 MiB, then nothing.
fn two_partitions() -> Image {
    let disk = Image::new(20 * MIB);
    let path = path_text(&disk.path);
    run("sgdisk", ["-n", "1:1M:+8M", "-n", "2:9M:+3M", path]);
    let part = Image::new(8 * MIB);
    let path = path_text(&part.path);
    run(
        "mke2fs",
        ["-q", "-F", "-t", "ext4", "-O", "^metadata_csum", path],
    );
    disk.write(MIB, &part.bytes());
    // Not cleanly unmounted.
    disk.write(MIB + 1024 + 0x3A, &[0, 0]);
    disk
}

fn survey(disk: &Image, part: DiskPart, raw: bool) -> Result<Found, SurveyDiskError> {
    let options = SurveyOptions {
        raw: if raw {
            PartitionSet::All
        } else {
            PartitionSet::default()
        },
        part,
        ..SurveyOptions::default()
    };
    let found = survey_disk(&disk.open(), SectorSize::B512, &options)?;
    let notes = found.notes.iter();
    Ok(Found {
        partitions: found.file_systems.iter().map(|fs| fs.partition).collect(),
        used: found.used.iter().map(|r| (r.start, r.end)).collect(),
        part: notes
            .filter(|note| note.kind == NoteKind::PartOfDisk)
            .map(|note| note.partition)
            .collect(),
    })
}

#[derive(PartialEq, Eq, Debug)]
struct Found {
    partitions: Vec<u32>,
    used: Vec<(u64, u64)>,
    /// Partitions of the notes that the image is about a part.
    part: Vec<u32>,
}

#[test]
fn only_the_part_is_in_use_and_only_it_is_read() {
    let disk = two_partitions();
    let gap = (34 * 512, MIB);
    let one = |number| DiskPart::partition(number).unwrap();
    let found = |partitions, used, part| Found {
        partitions,
        used,
        part,
    };
    assert_eq!(
        survey(&disk, DiskPart::Table, false).unwrap(),
        found(vec![1, 2], vec![gap], vec![0])
    );
    assert_eq!(
        survey(&disk, one(2), false).unwrap(),
        found(vec![2], vec![(9 * MIB, 12 * MIB)], vec![2])
    );
    assert_eq!(
        survey(&disk, one(1), true).unwrap(),
        found(vec![1], vec![(MIB, 9 * MIB)], vec![1])
    );
    // Raw: everything but the two copies of the table.
    let all = vec![(34 * 512, 20 * MIB - 33 * 512)];
    assert_eq!(
        survey(&disk, DiskPart::Everything, true).unwrap(),
        found(vec![1, 2], all, vec![])
    );
    for (part, says) in [
        (DiskPart::Everything, "could not read partition 1"),
        (one(1), "could not read partition 1"),
        (one(3), "names partition 3, but the disk has 1, 2"),
    ] {
        let error = survey(&disk, part, false).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    for (part, says) in [
        (
            one(2),
            "--raw names partition 1, but the image is only of partition 2",
        ),
        (
            DiskPart::Table,
            "--raw names partition 1, but the image is only of the",
        ),
    ] {
        let options = SurveyOptions {
            raw: PartitionSet::Only([1].into()),
            part,
            ..SurveyOptions::default()
        };
        let early = check_options(&disk.open(), SectorSize::B512, &options);
        assert!(early.unwrap_err().to_string().contains(says));
        let late = survey_disk(&disk.open(), SectorSize::B512, &options);
        assert!(late.unwrap_err().to_string().contains(says));
    }
    let error = survey(&Image::new(MIB), DiskPart::Table, false).unwrap_err();
    assert!(matches!(error, SurveyDiskError::NoTable), "{error}");
}
