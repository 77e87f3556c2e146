//! Images of several disks: their encoded form, what is refused, and the manifest of each disk.

use foghorn_image::*;
use foghorn_types::{ByteCount, ByteOffset, ChunkId, ChunkIndex, SectorSize};

const MIB: u64 = 1 << 20;

fn ranges(start: u16, end: u16) -> UsedMask {
    UsedMask::Ranges(vec![SectorRange { start, end }])
}

fn entry(index: u32, used: UsedMask, text: &[u8]) -> ChunkEntry {
    ChunkEntry {
        index: ChunkIndex::new(index),
        used,
        content: ChunkContent::Data(ChunkId::of(text)),
    }
}

fn volume(partition: u32, start: u64, size: u64) -> FileSystem {
    FileSystem {
        partition,
        start: ByteOffset::from_bytes(start),
        size: ByteCount::from_bytes(size),
        kind: FileSystemKind::Fat,
        used: ByteCount::from_bytes(4096),
    }
}

/// The disks of the vector in `docs/protocol/manifest.md`: 4 MiB with an MBR, and 2 MiB and 8 KiB with
/// sectors of 4096 bytes and no table, which starts at 5 MiB.
fn two_disks() -> Manifest {
    let disk = |size, sector_size, table, name: &str| ImageDisk {
        size: ByteCount::from_bytes(size),
        sector_size,
        table,
        name: name.into(),
    };
    let second = 5 * MIB;
    Manifest {
        geometry: DiskGeometry {
            size: ByteCount::from_bytes(second + 2 * MIB + 8192),
            sector_size: SectorSize::B512,
        },
        table: PartitionTable::None,
        file_systems: vec![volume(1, MIB, 3 * MIB), volume(0, second, 2 * MIB + 8192)],
        chunks: vec![
            entry(0, ranges(0, 1), b"boot sector"),
            entry(3, ranges(2040, 2048), b"end"),
            entry(5, ranges(0, 8), b"second"),
            entry(7, UsedMask::Whole, b"tail"),
        ]
        .into(),
        notes: vec![
            Note::new(NoteKind::Table, 0, ByteRange::new(0, 0), "disk 1: odd"),
            Note::new(
                NoteKind::SizeTied,
                0,
                ByteRange::new(second, second),
                "disk 2: tied",
            ),
        ],
        disks: vec![
            disk(4 * MIB, SectorSize::B512, PartitionTable::Mbr, "/dev/sda"),
            disk(
                2 * MIB + 8192,
                SectorSize::B4096,
                PartitionTable::None,
                "/dev/sdb",
            ),
        ],
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "reads the document whose vector it checks"
)]
fn disks_are_a_section_behind_the_others_as_documented() {
    let several = two_disks();
    let mut without = several.clone();
    without.disks.clear();
    let (plain, encoded) = (without.encode(), several.encode());
    let body = plain.len() - 32;
    assert_eq!(encoded[..body], plain[..body], "other sections changed");
    let section = hex(&encoded[body..encoded.len() - 32]);
    assert_eq!(
        section,
        format!(
            "0621028080800209010108{}80c080010c010008{}",
            hex(b"/dev/sda"),
            hex(b"/dev/sdb")
        )
    );
    let documented = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/protocol/manifest.md"
    ))
    .unwrap();
    assert!(documented.contains(&section), "lacks {section}");
    assert_eq!(Manifest::decode(&encoded), Ok(several.clone()));
    // Also without notes in front.
    let quiet = Manifest {
        notes: Vec::new(),
        ..several
    };
    assert_eq!(Manifest::decode(&quiet.encode()), Ok(quiet));
}

#[test]
fn each_disk_has_a_manifest_of_its_own() {
    let several = two_disks();
    assert_eq!(several.validate(), Ok(()));
    assert_eq!(several.disk_count(), 2);
    let (first, second) = (several.of_disk(0), several.of_disk(1));
    for member in [&first, &second] {
        assert_eq!(member.validate(), Ok(()));
        assert_eq!(member.disk_count(), 1);
    }
    let indexes = |manifest: &Manifest| -> Vec<u32> {
        manifest.chunks.iter().map(|c| c.index.get()).collect()
    };
    assert_eq!(
        (indexes(&first), indexes(&second)),
        (vec![0, 3], vec![0, 2])
    );
    assert_eq!(first.table, PartitionTable::Mbr);
    assert_eq!(first.file_systems, [volume(1, MIB, 3 * MIB)]);
    assert_eq!(second.file_systems, [volume(0, 0, 2 * MIB + 8192)]);
    assert_eq!(second.geometry.sector_size, SectorSize::B4096);
    let kinds = |manifest: &Manifest| -> Vec<NoteKind> {
        manifest.notes.iter().map(|note| note.kind).collect()
    };
    assert_eq!(kinds(&first), [NoteKind::Table]);
    assert_eq!(kinds(&second), [NoteKind::SizeTied]);
    assert_eq!(first.minimum_disk(), ByteCount::from_mib(4));
    assert_eq!(second.minimum_disk().bytes(), 2 * MIB + 8192);
    assert_eq!(several.minimum_disk().bytes(), 6 * MIB + 8192);
}

#[test]
fn what_does_not_fit_its_disks_does_not_decode() {
    type Spoil = fn(&mut Manifest);
    let spoils: [(Spoil, InvalidManifest); 12] = [
        (|m| drop(m.disks.pop()), InvalidManifest::DiskCount(1)),
        (
            |m| m.disks = vec![m.disks[0].clone(); MAX_DISKS + 1],
            InvalidManifest::DiskCount(MAX_DISKS + 1),
        ),
        (
            |m| m.geometry.size = ByteCount::from_mib(9),
            InvalidManifest::NotOfItsDisks,
        ),
        (
            |m| m.geometry.sector_size = SectorSize::B4096,
            InvalidManifest::NotOfItsDisks,
        ),
        (
            |m| m.table = PartitionTable::Mbr,
            InvalidManifest::NotOfItsDisks,
        ),
        (
            |m| m.disks[0].size = ByteCount::from_bytes(100),
            InvalidManifest::SizeOfDisk {
                number: 1,
                size: 100,
            },
        ),
        (
            |m| m.disks[1].name = "two\nlines".into(),
            InvalidManifest::DiskName(2),
        ),
        (
            |m| {
                let moved = |mut entry: ChunkEntry| {
                    if entry.index == ChunkIndex::new(3) {
                        entry.index = ChunkIndex::new(4);
                    }
                    entry
                };
                m.chunks = m.chunks.iter().map(moved).collect();
            },
            InvalidManifest::ChunkOutside(ChunkIndex::new(4)),
        ),
        (
            |m| m.file_systems[0].size = ByteCount::from_mib(4),
            InvalidManifest::FileSystemOutside(1),
        ),
        (
            |m| m.notes[0].range = ByteRange::new(MIB, 6 * MIB),
            InvalidManifest::NoteOutside(1),
        ),
        (
            |m| m.notes[0].range = ByteRange::new(4 * MIB, 4 * MIB),
            InvalidManifest::NoteOutside(1),
        ),
        (
            |m| {
                m.disks[0].table = PartitionTable::Gpt(GptTable {
                    boot_code: Box::new([0; 440]),
                    mbr_signature: [0; 6],
                    protective_active: false,
                    protective_end_chs: false,
                    disk_guid: [0; 16],
                    entry_slots: 128,
                    entries_lba: 2,
                    first_usable_lba: 33,
                    entries: Vec::new(),
                });
            },
            InvalidManifest::GptFirstUsable(33),
        ),
    ];
    for (spoil, expected) in spoils {
        let mut manifest = two_disks();
        spoil(&mut manifest);
        assert_eq!(manifest.validate(), Err(expected.clone()));
        assert!(
            Manifest::decode(&manifest.encode()).is_err(),
            "{expected} decoded"
        );
    }
    // A disk that ends inside a chunk has nothing behind its end.
    let mut manifest = two_disks();
    manifest.disks[0].size = ByteCount::from_bytes(3 * MIB + 512);
    manifest.file_systems.remove(0);
    assert_eq!(
        manifest.validate(),
        Err(InvalidManifest::ChunkOutside(ChunkIndex::new(3)))
    );
}
