//! A whole disk, as a capture sees it.

use crate::support::{Image, path_text, run};
use foghorn_disk_layout::{DirtyPolicy, ReadAt, survey_disk};
use foghorn_image::{ByteRange, FileSystemKind};
use foghorn_types::SectorSize;

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
    let found = survey_disk(&disk.open(), SectorSize::B512, DirtyPolicy::Refuse).unwrap();
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
    let covered: foghorn_image::ByteRanges = found.used.iter().chain(&tables).copied().collect();
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
