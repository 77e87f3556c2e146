//! Partition tables made and judged by sgdisk, sfdisk and fdisk.

use std::process::Command;

use crate::support::{Image, feed, path_text, run};
use foghorn_disk_layout::{
    Layout, LayoutNote, ReadLayoutError, SectorSizeEvidence, read_layout, render_gpt,
    sector_size_of,
};
use foghorn_image::{ByteRange, NoteKind, PartitionTable};
use foghorn_types::{ByteCount, SectorSize};

const MIB: u64 = 1 << 20;
const DISK: u64 = 64 * MIB;

/// Three partitions, not in the order of their numbers, with a gap, attributes and a name beyond
/// ASCII; boot code.
fn gpt_512() -> Image {
    let image = Image::new(DISK);
    let partitions = [
        "-n",
        "1:2048:+8M",
        "-n",
        "5:40960:+4M",
        "-n",
        "2:20480:+2M",
        "-c",
        "1:EFI Größe",
        "-A",
        "5:set:2",
        "-t",
        "1:ef00",
    ];
    run(
        "sgdisk",
        partitions.into_iter().chain([path_text(&image.path)]),
    );
    image.write(0, &[0xeb, 0x63, 0x90]);
    image.write(440, &[1, 2, 3, 4]);
    image
}

fn gpt_4096() -> Image {
    let image = Image::new(DISK);
    feed(
        "fdisk",
        ["-b", "4096", path_text(&image.path)],
        "g\nn\n1\n\n+8M\nn\n2\n\n+4M\nw\n",
    );
    image
}

fn layout(image: &Image, sector_size: SectorSize) -> Layout {
    read_layout(&image.open(), sector_size).unwrap()
}

fn error(image: &Image) -> ReadLayoutError {
    read_layout(&image.open(), SectorSize::B512).unwrap_err()
}

fn write_table(source: &Image, sector_size: SectorSize, size: u64) -> Image {
    let PartitionTable::Gpt(table) = layout(source, sector_size).table else {
        panic!("no GPT")
    };
    let target = Image::new(size);
    for (offset, bytes) in render_gpt(&table, sector_size, ByteCount::from_bytes(size)).unwrap() {
        assert_eq!(bytes.len() as u64 % sector_size.bytes(), 0);
        target.write(offset.bytes(), &bytes);
    }
    target
}

#[test]
fn a_table_on_a_disk_of_the_same_size_is_the_same_bytes() {
    for (source, sector_size) in [
        (gpt_512(), SectorSize::B512),
        (gpt_4096(), SectorSize::B4096),
    ] {
        assert_eq!(layout(&source, sector_size).notes, []);
        let target = write_table(&source, sector_size, DISK);
        assert!(
            source.bytes() == target.bytes(),
            "sectors of {} bytes",
            sector_size.bytes()
        );
    }
}

#[test]
fn sgdisk_accepts_the_table_on_larger_disks() {
    let source = gpt_512();
    let expected = partition_lines(&run("sgdisk", ["-p", path_text(&source.path)]));
    assert_eq!(expected.len(), 3);
    for size in [DISK + 512, 65 * MIB + 512 * 7, 3000 * MIB, 9 << 30, 3 << 40] {
        let target = write_table(&source, SectorSize::B512, size);
        let report = run("sgdisk", ["-v", path_text(&target.path)]);
        assert!(report.contains("No problems found"), "{report}");
        assert_eq!(
            partition_lines(&run("sgdisk", ["-p", path_text(&target.path)])),
            expected
        );
        assert_eq!(
            layout(&target, SectorSize::B512).partitions,
            layout(&source, SectorSize::B512).partitions
        );
    }
}

fn partition_lines(report: &str) -> Vec<String> {
    let lines = report
        .lines()
        .skip_while(|line| !line.starts_with("Number"))
        .skip(1);
    lines
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect()
}

/// The image as a disk with sectors of 4096 bytes, which sgdisk believes only of devices.
struct LoopDevice(String);

impl LoopDevice {
    /// `None` for who may not make such devices; fdisk has had its say by then.
    fn attach(image: &Image) -> Option<Self> {
        let arguments = [
            "--find",
            "--show",
            "--sector-size",
            "4096",
            path_text(&image.path),
        ];
        let output = Command::new("/usr/sbin/losetup")
            .args(arguments)
            .output()
            .ok()?;
        output
            .status
            .success()
            .then(|| Self(String::from_utf8(output.stdout).unwrap().trim().to_owned()))
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        let _ = Command::new("/usr/sbin/losetup")
            .args(["--detach", &self.0])
            .status();
    }
}

#[test]
fn fdisk_accepts_the_table_with_large_sectors_on_larger_disks() {
    let source = gpt_4096();
    for size in [DISK + 4096, 3000 * MIB, 100 << 30] {
        let target = write_table(&source, SectorSize::B4096, size);
        let report = feed("fdisk", ["-b", "4096", path_text(&target.path)], "v\nq\n");
        assert!(
            report.contains("No errors detected")
                && !report.contains("corrupt")
                && !report.contains("mismatch"),
            "{report}"
        );
        assert_eq!(layout(&target, SectorSize::B4096).notes, []);
        if let Some(disk) = LoopDevice::attach(&target) {
            let report = run("sgdisk", ["-v", &disk.0]);
            assert!(report.contains("No problems found"), "{report}");
        }
    }
}

#[test]
fn a_disk_that_is_too_small_gets_no_table() {
    let PartitionTable::Gpt(table) = layout(&gpt_512(), SectorSize::B512).table else {
        panic!("no GPT")
    };
    // The last partition ends with sector 49151; 33 sectors of backup follow.
    let least = (49_152 + 33) * 512;
    assert!(render_gpt(&table, SectorSize::B512, ByteCount::from_bytes(least)).is_ok());
    let why = render_gpt(&table, SectorSize::B512, ByteCount::from_bytes(least - 1)).unwrap_err();
    assert!(why.to_string().contains(&least.to_string()), "{why}");
}

#[test]
fn either_copy_of_a_gpt_is_enough_and_none_is_an_error() {
    for damaged in [512 + 60, 1024 + 20, 512] {
        let image = gpt_512();
        let intact = layout(&image, SectorSize::B512);
        image.write(damaged, &[0xaa; 4]);
        let found = layout(&image, SectorSize::B512);
        assert_eq!(
            (&found.table, &found.partitions),
            (&intact.table, &intact.partitions)
        );
        assert!(
            matches!(found.notes[..], [LayoutNote::PrimaryGptDamaged(_)]),
            "{:?}",
            found.notes
        );
        image.write(DISK - 512 + 60, &[0xaa; 4]);
        assert!(matches!(
            error(&image),
            ReadLayoutError::GptUnreadable { .. }
        ));
    }
    let image = gpt_512();
    image.write(DISK - 512, &[0; 512]);
    assert!(matches!(
        layout(&image, SectorSize::B512).notes[..],
        [LayoutNote::BackupGptDamaged(_)]
    ));
    image.write(512, &[0; 512]);
    assert!(
        matches!(error(&image), ReadLayoutError::GptUnreadable { .. }),
        "a protective MBR alone is not 'no table'"
    );
}

#[test]
fn a_truncated_gpt_disk_is_an_error_when_partitions_are_gone() {
    let image = gpt_512();
    std::fs::File::options()
        .write(true)
        .open(&image.path)
        .unwrap()
        .set_len(22 * MIB)
        .unwrap();
    assert!(
        matches!(
            error(&image),
            ReadLayoutError::PartitionOutside { number: 5, .. }
        ),
        "{}",
        error(&image)
    );
    std::fs::File::options()
        .write(true)
        .open(&image.path)
        .unwrap()
        .set_len(1536)
        .unwrap();
    assert!(
        matches!(error(&image), ReadLayoutError::GptUnreadable { .. }),
        "{}",
        error(&image)
    );
    std::fs::File::options()
        .write(true)
        .open(&image.path)
        .unwrap()
        .set_len(600)
        .unwrap();
    assert!(matches!(
        error(&image),
        ReadLayoutError::TooSmall { size: 600 }
    ));
}

/// Changes the table and writes it to the disk with right checksums.
fn respelled(change: impl FnOnce(&mut foghorn_image::GptTable)) -> Image {
    let image = gpt_512();
    let PartitionTable::Gpt(mut table) = layout(&image, SectorSize::B512).table else {
        panic!("no GPT")
    };
    change(&mut table);
    for (offset, bytes) in
        render_gpt(&table, SectorSize::B512, ByteCount::from_bytes(DISK)).unwrap()
    {
        image.write(offset.bytes(), &bytes);
    }
    image
}

#[test]
fn tables_that_cannot_be_true_are_refused() {
    let overlapping = respelled(|table| table.entries[0].last_lba = 20_480);
    assert!(matches!(
        error(&overlapping),
        ReadLayoutError::PartitionsOverlap {
            first: 1,
            second: 2
        }
    ));
    let backwards = respelled(|table| table.entries[0].last_lba = 2046);
    assert!(matches!(
        error(&backwards),
        ReadLayoutError::PartitionOutside { number: 1, .. }
    ));
    let in_the_table = respelled(|table| table.entries[0].first_lba = 10);
    assert!(matches!(
        error(&in_the_table),
        ReadLayoutError::PartitionOutside { number: 1, .. }
    ));
}

#[test]
fn a_hybrid_mbr_makes_the_disk_raw_and_ties_its_size() {
    let image = gpt_512();
    run("sgdisk", ["-h", "2", path_text(&image.path)]);
    let found = layout(&image, SectorSize::B512);
    assert!(found.raw_disk && found.partitions.len() == 1);
    assert_eq!(found.partitions[0].range(), ByteRange::new(0, DISK));
    assert_eq!(found.table, PartitionTable::None);
    assert_eq!(found.notes, [LayoutNote::HybridMbr]);
    let kinds: Vec<NoteKind> = found.notes[0].to_notes().iter().map(|n| n.kind).collect();
    assert_eq!(kinds, [NoteKind::Table, NoteKind::SizeTied]);
}

#[test]
fn a_missing_protective_mbr_is_refused() {
    let image = gpt_512();
    image.write(446, &[0; 64]);
    assert!(matches!(
        error(&image),
        ReadLayoutError::GptWithoutProtectiveMbr
    ));
    // An ordinary MBR beside a forgotten GPT: the MBR counts.
    image.write(446, &[0, 0, 0, 0, 0x83, 0, 0, 0, 0, 8, 0, 0, 0, 8, 0, 0]);
    let found = layout(&image, SectorSize::B512);
    assert_eq!(found.table, PartitionTable::Mbr);
    assert!(found.notes.contains(&LayoutNote::StaleGpt));
}

#[test]
fn gaps_of_a_gpt_disk_are_taken_and_the_table_is_not() {
    let found = layout(&gpt_512(), SectorSize::B512);
    let sectors = |start: u64, end: u64| ByteRange::new(start * 512, end * 512);
    let expected = [
        sectors(34, 2048),
        sectors(2048 + 16_384, 20_480),
        sectors(20_480 + 4096, 40_960),
    ];
    assert_eq!(found.raw_areas, expected.into_iter().collect());
    let tail = sectors(40_960 + 8192, 131_072 - 33);
    assert_eq!(found.left_out, [tail].into_iter().collect());
    assert!(found.sparse_areas.is_empty());
}

const PRIMARY_AND_LOGICAL: &str = "label: dos
p1 : start=2048, size=16384, type=c, bootable
p2 : start=20480, size=80000, type=5
p4 : start=110592, size=2048, type=82
p5 : start=22528, size=8192, type=83
p6 : start=32768, size=6144, type=7
p7 : start=40960, size=4096, type=83
";
const LOGICAL: &str = "label: dos
p1 : start=2048, size=16384, type=c
p2 : start=20480, size=110592, type=f
p5 : size=8192, type=83
p6 : size=8192, type=83
p7 : size=8192, type=83
";

#[test]
fn logical_partitions_are_numbered_as_sfdisk_numbers_them() {
    for input in [PRIMARY_AND_LOGICAL, LOGICAL] {
        let image = Image::new(DISK);
        feed("sfdisk", ["-q", path_text(&image.path)], input);
        let found = layout(&image, SectorSize::B512);
        assert_eq!(found.table, PartitionTable::Mbr);
        let mut ours: Vec<_> = found
            .partitions
            .iter()
            .map(|p| (p.number, p.start.bytes() / 512, p.size.bytes() / 512))
            .collect();
        ours.sort_unstable();
        let dump = run("sfdisk", ["-d", path_text(&image.path)]);
        let theirs: Vec<_> = dump
            .lines()
            .filter_map(|line| sfdisk_line(line, path_text(&image.path)))
            .collect();
        assert_eq!(ours, theirs, "{dump}");
        let bytes = image.bytes();
        let records =
            (1..DISK / 512).filter(|lba| bytes[*lba as usize * 512 + 510..][..2] == [0x55, 0xaa]);
        for lba in records.chain([0]) {
            let record = ByteRange::new(lba * 512, lba * 512 + 512);
            assert!(
                found.raw_areas.gaps_within(record).is_empty(),
                "the record in sector {lba} is not taken"
            );
        }
    }
}

fn sfdisk_line(line: &str, path: &str) -> Option<(u32, u64, u64)> {
    let (number, fields) = line.strip_prefix(path)?.split_once(':')?;
    let field = |name: &str| {
        fields.split(',').find_map(|field| {
            field
                .trim()
                .strip_prefix(name)?
                .trim()
                .strip_prefix('=')?
                .trim()
                .parse::<u64>()
                .ok()
        })
    };
    let kind = fields
        .split(',')
        .find_map(|field| field.trim().strip_prefix("type="))?
        .trim();
    let container = matches!(kind, "5" | "f");
    (!container).then(|| Some((number.trim().parse().ok()?, field("start")?, field("size")?)))?
}

#[test]
fn chains_of_boot_records_that_lead_astray_are_errors() {
    let image = Image::new(DISK);
    feed("sfdisk", ["-q", path_text(&image.path)], LOGICAL);
    let record = 20_480 * 512;
    let link = record + 446 + 16 + 8;
    for (place, value) in [
        (link, 0_u32),
        (link, u32::MAX),
        (record + 446 + 8, u32::MAX),
        (link, 4096),
    ] {
        let mut spoiled = image.bytes();
        spoiled[place..place + 4].copy_from_slice(&value.to_le_bytes());
        let why = read_layout(&spoiled, SectorSize::B512).unwrap_err();
        assert!(
            matches!(why, ReadLayoutError::ExtendedBootRecord { .. }),
            "{why}"
        );
    }
}

#[test]
fn mbr_partitions_that_overlap_or_leave_the_disk_are_errors() {
    let image = Image::new(DISK);
    feed(
        "sfdisk",
        ["-q", path_text(&image.path)],
        "label: dos\n2048,8M,c\n20480,8M,83\n",
    );
    let spoil = |at: u64, value: u32| {
        let copy = Image::new(DISK);
        copy.write(0, &image.bytes()[..512]);
        copy.write(at, &value.to_le_bytes());
        error(&copy)
    };
    assert!(matches!(
        spoil(446 + 16 + 8, 4096),
        ReadLayoutError::PartitionsOverlap {
            first: 1,
            second: 2
        }
    ));
    assert!(matches!(
        spoil(446 + 16 + 12, 200_000),
        ReadLayoutError::PartitionOutside { number: 2, .. }
    ));
    assert!(matches!(
        spoil(446 + 8, 0),
        ReadLayoutError::PartitionOutside { number: 1, .. }
    ));
}

#[test]
fn a_file_system_without_a_table_is_one_volume() {
    let image = Image::new(DISK);
    for tool in ["mkfs.fat", "mkfs.ext4"] {
        run(
            tool,
            [
                if tool == "mkfs.fat" { "-I" } else { "-qF" },
                path_text(&image.path),
            ],
        );
        let found = layout(&image, SectorSize::B512);
        assert_eq!(
            (found.table, found.partitions.len()),
            (PartitionTable::None, 1)
        );
        assert_eq!(
            (found.partitions[0].number, found.partitions[0].size.bytes()),
            (0, DISK)
        );
    }
    // mkfs.fat can add an entry that covers the file system it is in.
    run("mkfs.fat", ["-I", "--mbr=y", path_text(&image.path)]);
    assert_eq!(layout(&image, SectorSize::B512).table, PartitionTable::None);
}

/// The whole range is taken.
fn takes(found: &Layout, range: ByteRange) -> bool {
    found.raw_areas.gaps_within(range).is_empty()
}

/// A table whose entries start in sector 2048, and a boot loader in front of them.
fn moved_entries() -> Image {
    let image = Image::new(DISK);
    let arguments = ["-j", "2048", "-n", "1:4096:69631"];
    run(
        "sgdisk",
        arguments.into_iter().chain([path_text(&image.path)]),
    );
    image.write(16 * 512, &vec![0x5a; 985 * 512]);
    image
}

#[test]
fn entries_that_were_moved_stay_there() {
    let source = moved_entries();
    let found = layout(&source, SectorSize::B512);
    let PartitionTable::Gpt(table) = &found.table else {
        panic!("no GPT")
    };
    assert_eq!(table.entries_lba, 2048);
    assert_eq!(found.notes, [LayoutNote::GptEntriesMoved { lba: 2048 }]);
    assert!(takes(&found, ByteRange::new(2 * 512, 2048 * 512)));
    let entries = ByteRange::new(2048 * 512, 2080 * 512);
    assert_eq!(found.raw_areas.gaps_within(entries).total(), entries.size());
    for size in [DISK, 100 * MIB] {
        let target = write_table(&source, SectorSize::B512, size);
        target.write(16 * 512, &vec![0x5a; 985 * 512]);
        if size == DISK {
            assert!(source.bytes() == target.bytes());
        }
        let report = run("sgdisk", ["-v", path_text(&target.path)]);
        assert!(report.contains("No problems found"), "{report}");
        assert_eq!(layout(&target, SectorSize::B512).table, found.table);
    }
}

#[test]
fn moved_entries_are_found_by_the_backup_alone() {
    // The header is damaged; the header is gone and one entry is damaged; nothing of the primary
    // is left, and its place is told by what lies in the usual one.
    let damages = [
        vec![(512 + 60, 4)],
        vec![(512, 512), (2048 * 512 + 128, 4)],
        vec![(512, 512), (2048 * 512, 32 * 512)],
    ];
    for damage in damages {
        let image = moved_entries();
        let intact = layout(&image, SectorSize::B512);
        for (at, length) in &damage {
            image.write(*at, &vec![0; *length]);
        }
        let found = layout(&image, SectorSize::B512);
        assert!(found.table == intact.table, "{damage:?}: {found:?}");
    }
}

#[test]
fn what_lies_behind_the_last_partition_is_named() {
    let image = gpt_512();
    image.write(50 * MIB + 100, b"data");
    let found = layout(&image, SectorSize::B512);
    let range = ByteRange::new(50 * MIB, 50 * MIB + 4096);
    let expected = LayoutNote::DataBehindPartitions {
        range,
        bytes: 4096,
        sampled: false,
    };
    assert_eq!(found.notes, [expected]);
    let note = &found.notes[0].to_notes()[0];
    assert_eq!((note.kind, note.range), (NoteKind::LeftOut, range));
}

#[test]
fn a_gap_of_any_length_is_taken_where_it_is_not_zero() {
    let image = Image::new(300 * MIB);
    let script = "label: dos\nstart=2048, size=2048, type=83\nstart=409600, size=2048, type=83\n";
    feed("sfdisk", ["-q", path_text(&image.path)], script);
    let found = layout(&image, SectorSize::B512);
    let gap = ByteRange::new(2 * MIB, 200 * MIB);
    assert!(takes(&found, gap));
    assert_eq!(found.sparse_areas, [gap].into_iter().collect());
}

#[test]
fn dynamic_disks_keep_their_end_and_their_size() {
    let image = Image::new(DISK);
    let script = "label: dos\nstart=63, size=126976, type=42\n";
    feed("sfdisk", ["-q", "--force", path_text(&image.path)], script);
    let found = layout(&image, SectorSize::B512);
    assert!(takes(&found, ByteRange::new((63 + 126_976) * 512, DISK)));
    assert_eq!(found.notes, [LayoutNote::DynamicDisk]);
    let image = Image::new(DISK);
    let types = [
        "-n",
        "1:2048:+1M",
        "-t",
        "1:4202",
        "-n",
        "2:8192:+20M",
        "-t",
        "2:4201",
    ];
    run("sgdisk", types.into_iter().chain([path_text(&image.path)]));
    let found = layout(&image, SectorSize::B512);
    assert_eq!(found.notes, [LayoutNote::DynamicDisk]);
    assert!(found.left_out.is_empty());
}

#[test]
fn entries_of_type_0_with_a_size_are_partitions_as_for_linux() {
    let image = Image::new(DISK);
    let script = "label: dos\nstart=2048, size=2048, type=83\nstart=8192, size=2048, type=83\n";
    feed("sfdisk", ["-q", path_text(&image.path)], script);
    image.write(446 + 16 + 4, &[0]);
    let found = layout(&image, SectorSize::B512);
    let numbers: Vec<u32> = found.partitions.iter().map(|p| p.number).collect();
    assert_eq!(numbers, [1, 2]);
    assert!(matches!(
        found.notes[..],
        [LayoutNote::TypelessEntry { taken: true, .. }]
    ));
    // One that overlaps another partition means nothing.
    image.write(446 + 16 + 8, &2049_u32.to_le_bytes());
    let found = layout(&image, SectorSize::B512);
    assert_eq!(found.partitions.len(), 1);
    assert!(matches!(
        found.notes[..],
        [LayoutNote::TypelessEntry { taken: false, .. }]
    ));
}

#[test]
fn iso_images_with_a_table_inside_are_raw() {
    let image = Image::new(DISK);
    image.write(16 * 2048, b"\x01CD001\x01");
    // As isohybrid makes it: one partition from sector 0, another one inside.
    image.write(446, &[0x80, 0, 0, 0, 0x17, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
    image.write(462, &[0, 0, 0, 0, 0xef, 0, 0, 0, 0xff, 0, 0, 0, 0, 8, 0, 0]);
    image.write(510, &[0x55, 0xaa]);
    let found = layout(&image, SectorSize::B512);
    assert!(found.raw_disk);
    assert_eq!(found.notes, [LayoutNote::HybridIso]);
    // As xorriso makes it: a GPT with the file system as a partition.
    let image = Image::new(DISK);
    let arguments = ["-a", "1", "-n", "1:64:40000", "-n", "2:40960:+8M"];
    run(
        "sgdisk",
        arguments.into_iter().chain([path_text(&image.path)]),
    );
    assert!(!layout(&image, SectorSize::B512).raw_disk);
    image.write(16 * 2048, b"\x01CD001\x01");
    assert!(layout(&image, SectorSize::B512).raw_disk);
    // A disk that was divided anew keeps an old descriptor in front of its first partition.
    let image = gpt_512();
    image.write(16 * 2048, b"\x01CD001\x01");
    assert!(!layout(&image, SectorSize::B512).raw_disk);
}

#[test]
fn the_sectors_of_a_file_are_known_by_its_contents() {
    let of = |image: &Image| sector_size_of(&image.open());
    use SectorSizeEvidence::{Contents, Table, Unknown};
    assert_eq!(of(&gpt_512()), Table(SectorSize::B512));
    assert_eq!(of(&gpt_4096()), Table(SectorSize::B4096));
    let image = gpt_4096();
    image.write(4096, &[0; 512]);
    assert_eq!(of(&image), Table(SectorSize::B4096), "the backup");
    let why = read_layout(&gpt_4096().open(), SectorSize::B512).unwrap_err();
    assert!(
        matches!(
            why,
            ReadLayoutError::GptOtherSectors {
                table: 4096,
                disk: 512
            }
        ),
        "{why}"
    );
    let why = read_layout(&gpt_512().open(), SectorSize::B4096).unwrap_err();
    assert!(
        matches!(why, ReadLayoutError::GptOtherSectors { .. }),
        "{why}"
    );
    assert_eq!(of(&Image::new(DISK)), Unknown);
    let fat = Image::new(DISK);
    run("mkfs.fat", ["-S", "4096", path_text(&fat.path)]);
    assert_eq!(of(&fat), Contents(SectorSize::B4096));
    // An MBR is only known by what its partitions hold.
    let image = Image::new(DISK);
    feed(
        "fdisk",
        ["-b", "4096", path_text(&image.path)],
        "o\nn\np\n1\n256\n+20M\nw\n",
    );
    assert_eq!(of(&image), Unknown);
    let part = Image::new(20 * MIB);
    run("mke2fs", ["-q", "-F", path_text(&part.path)]);
    image.write(MIB, &part.bytes());
    assert_eq!(of(&image), Contents(SectorSize::B4096));
}
