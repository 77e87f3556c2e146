//! The encoded form: round trips, damage, garbage, and one vector that must never change.

use foghorn_image::*;
use foghorn_types::{ByteCount, ByteOffset, ChunkId, ChunkIndex, DiskPart, ManifestId, SectorSize};
use proptest::prelude::*;

fn sector_ranges(list: &[(u16, u16)]) -> UsedMask {
    UsedMask::Ranges(
        list.iter()
            .map(|&(start, end)| SectorRange { start, end })
            .collect(),
    )
}

/// The manifest that `docs/protocol/manifest.md` spells out.
fn vector() -> Manifest {
    let data = |text: &[u8]| ChunkContent::Data(ChunkId::of(text));
    let chunk = |index, used, content| ChunkEntry {
        index: ChunkIndex::new(index),
        used,
        content,
    };
    Manifest {
        geometry: DiskGeometry {
            size: ByteCount::from_mib(8),
            sector_size: SectorSize::B512,
        },
        table: PartitionTable::Mbr,
        file_systems: vec![FileSystem {
            partition: 1,
            start: ByteOffset::from_bytes(1 << 20),
            size: ByteCount::from_mib(4),
            kind: FileSystemKind::Ext,
            used: ByteCount::from_bytes(1_310_720),
        }],
        chunks: ChunkList::from(vec![
            chunk(0, sector_ranges(&[(0, 1)]), data(b"boot sector")),
            chunk(1, UsedMask::Whole, data(b"data")),
            chunk(
                4,
                sector_ranges(&[(8, 16), (512, 1016)]),
                ChunkContent::Zero,
            ),
        ]),
        notes: Vec::new(),
        disks: Vec::new(),
    }
}

/// The vector with the note that `docs/protocol/manifest.md` spells out behind it.
fn with_note() -> Manifest {
    let range = ByteRange::new(5 << 20, 8 << 20);
    Manifest {
        notes: vec![Note::new(NoteKind::LeftOut, 0, range, "data in a gap")],
        ..vector()
    }
}

fn gpt_manifest() -> Manifest {
    let mut name = [0; 36];
    name[..2].copy_from_slice(&[0x45, 0x46]);
    let entry = |number, first_lba, last_lba, name| GptEntry {
        number,
        type_guid: [7; 16],
        unique_guid: [number as u8; 16],
        first_lba,
        last_lba,
        attributes: 1 << 63,
        name,
    };
    let mut manifest = vector();
    manifest.table = PartitionTable::Gpt(GptTable {
        boot_code: Box::new([0x90; 440]),
        mbr_signature: [1, 2, 3, 4, 0, 0],
        protective_active: true,
        protective_end_chs: true,
        disk_guid: [9; 16],
        entry_slots: 128,
        entries_lba: 2,
        first_usable_lba: 34,
        entries: vec![
            entry(1, 2048, 10_239, name),
            entry(3, 40, 2047, [0xffff; 36]),
        ],
    });
    manifest
}

const VECTOR_HEX: &str = include_str!("vector.hex");

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "reads the document whose vector it checks"
)]
fn the_documented_vector_holds() {
    let encoded = vector().encode();
    assert_eq!(
        hex(&encoded),
        VECTOR_HEX.split_whitespace().collect::<String>(),
        "the format changed without a new version"
    );
    let documented = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/protocol/manifest.md"
    ))
    .unwrap();
    for line in VECTOR_HEX.lines() {
        assert!(
            documented.contains(line),
            "docs/protocol/manifest.md lacks the line {line}"
        );
    }
    assert!(
        documented.contains(&ManifestId::of(&encoded).to_string()),
        "the documented id is not {}",
        ManifestId::of(&encoded)
    );
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "reads the document whose vector it checks"
)]
fn notes_are_a_section_behind_the_others_as_documented() {
    let (plain, noted) = (vector().encode(), with_note().encode());
    let body = plain.len() - 32;
    assert_eq!(noted[..body], plain[..body], "notes change other sections");
    let section = hex(&noted[body..noted.len() - 32]);
    assert_eq!(
        section,
        format!("05190104008080c0028080c0010d{}", hex(b"data in a gap"))
    );
    let documented = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/protocol/manifest.md"
    ))
    .unwrap();
    assert!(documented.contains(&section), "lacks {section}");
    assert_eq!(Manifest::decode(&noted), Ok(with_note()));
}

#[test]
fn a_section_without_notes_is_refused() {
    let mut encoded = vector().encode();
    encoded.truncate(encoded.len() - 32);
    encoded.extend([5, 1, 0]);
    encoded.extend([0; 32]);
    assert_eq!(
        Manifest::decode(&with_new_trailer(encoded)),
        Err(DecodeManifestError::Malformed {
            section: "notes",
            what: "are there without a note"
        })
    );
}

#[test]
fn notes_of_every_kind_round_trip() {
    let mut manifest = vector();
    manifest.notes = NoteKind::ALL
        .into_iter()
        .map(|kind| Note::new(kind, 1, ByteRange::new(512, 1024), "größer als nötig"))
        .collect();
    assert_eq!(Manifest::decode(&manifest.encode()), Ok(manifest));
}

#[test]
fn gpt_manifests_round_trip() {
    let manifest = gpt_manifest();
    let encoded = manifest.encode();
    let id = ManifestId::of(&encoded);
    assert_eq!(id, ManifestId::of(&encoded));
    assert_eq!(Manifest::decode(&encoded), Ok(manifest));
}

#[test]
fn entries_in_another_place_round_trip_and_the_usual_place_costs_nothing() {
    let usual = gpt_manifest();
    let mut moved = gpt_manifest();
    let PartitionTable::Gpt(table) = &mut moved.table else {
        unreachable!()
    };
    (table.entries_lba, table.first_usable_lba) = (6, 38);
    assert_eq!(moved.encode().len(), usual.encode().len() + 1);
    assert_eq!(Manifest::decode(&moved.encode()), Ok(moved));
}

#[test]
fn full_chunks_cost_few_bytes() {
    let mut manifest = vector();
    manifest.geometry.size = ByteCount::from_mib(10_000);
    let chunk = |index: u32| ChunkEntry {
        index: ChunkIndex::new(index),
        used: UsedMask::Whole,
        content: ChunkContent::Data(ChunkId::of(&index.to_le_bytes())),
    };
    manifest.chunks = (0..10_000).map(chunk).collect();
    assert!(manifest.encode().len() < 10_000 * 34);
}

#[test]
fn truncation_and_every_flipped_bit_are_found() {
    let encoded = gpt_manifest().encode();
    for len in 0..encoded.len() {
        assert!(
            Manifest::decode(&encoded[..len]).is_err(),
            "truncated to {len}"
        );
    }
    for bit in 0..encoded.len() * 8 {
        let mut damaged = encoded.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(Manifest::decode(&damaged).is_err(), "bit {bit}");
    }
    let longer = [&encoded[..], &[0]].concat();
    assert_eq!(
        Manifest::decode(&longer),
        Err(DecodeManifestError::Checksum)
    );
}

#[test]
fn other_versions_are_named() {
    let mut encoded = vector().encode();
    encoded[8] = 3;
    assert_eq!(
        Manifest::decode(&with_new_trailer(encoded)),
        Err(DecodeManifestError::Version(3))
    );
    assert_eq!(
        Manifest::decode(b"hello"),
        Err(DecodeManifestError::NotAManifest(5))
    );
}

/// Makes the trailer fit again, so that damage reaches the parser behind it.
fn with_new_trailer(mut encoded: Vec<u8>) -> Vec<u8> {
    encoded.truncate(encoded.len().saturating_sub(32));
    let trailer = *ChunkId::of(&encoded).as_bytes();
    encoded.extend_from_slice(&trailer);
    encoded
}

/// Changes one entry.
fn change(manifest: &mut Manifest, number: usize, how: impl FnOnce(&mut ChunkEntry)) {
    let mut entries: Vec<ChunkEntry> = manifest.chunks.iter().collect();
    how(&mut entries[number]);
    manifest.chunks = entries.into();
}

#[test]
fn invalid_manifests_do_not_decode() {
    type Spoil = fn(&mut Manifest);
    let spoils: [(Spoil, InvalidManifest); 14] = [
        (
            |m| m.geometry.size = ByteCount::ZERO,
            InvalidManifest::DiskSize(0),
        ),
        (
            |m| change(m, 2, |chunk| chunk.index = ChunkIndex::new(8)),
            InvalidManifest::ChunkOutside(ChunkIndex::new(8)),
        ),
        (
            |m| change(m, 0, |chunk| chunk.used = sector_ranges(&[(0, 2048)])),
            InvalidManifest::Mask(ChunkIndex::new(0)),
        ),
        (
            |m| change(m, 0, |chunk| chunk.used = sector_ranges(&[(0, 2), (2, 4)])),
            InvalidManifest::Mask(ChunkIndex::new(0)),
        ),
        (
            |m| change(m, 0, |chunk| chunk.used = sector_ranges(&[])),
            InvalidManifest::Mask(ChunkIndex::new(0)),
        ),
        (
            |m| change(m, 0, |chunk| chunk.used = sector_ranges(&[(0, 2049)])),
            InvalidManifest::Mask(ChunkIndex::new(0)),
        ),
        (
            |m| m.file_systems[0].size = ByteCount::from_mib(8),
            InvalidManifest::FileSystemOutside(1),
        ),
        (
            |m| m.file_systems[0].used = ByteCount::from_mib(5),
            InvalidManifest::FileSystemUsed(1),
        ),
        (
            |m| m.file_systems.push(m.file_systems[0].clone()),
            InvalidManifest::FileSystemOverlap(1),
        ),
        (
            |m| m.notes = vec![m.notes[0].clone(); MAX_NOTES + 1],
            InvalidManifest::TooManyNotes(MAX_NOTES + 1),
        ),
        (
            |m| m.notes[0].range.end += 1,
            InvalidManifest::NoteOutside(1),
        ),
        (
            |m| m.notes[0].range.end = 0,
            InvalidManifest::NoteOutside(1),
        ),
        (
            |m| m.notes[0].text = "two\nlines".into(),
            InvalidManifest::NoteText(1),
        ),
        (
            |m| m.notes[0].text = "x".repeat(MAX_NOTE_TEXT + 1).into(),
            InvalidManifest::NoteText(1),
        ),
    ];
    for (spoil, expected) in spoils {
        let mut manifest = with_note();
        spoil(&mut manifest);
        assert_eq!(manifest.validate(), Err(expected.clone()));
        assert!(
            Manifest::decode(&manifest.encode()).is_err(),
            "{expected} decoded"
        );
    }
}

#[test]
fn invalid_gpts_do_not_decode() {
    type Spoil = fn(&mut GptTable);
    let spoils: [(Spoil, InvalidManifest); 8] = [
        (|t| t.entry_slots = 0, InvalidManifest::GptSlots(0)),
        (
            |t| t.first_usable_lba = 33,
            InvalidManifest::GptFirstUsable(33),
        ),
        (|t| t.entries_lba = 1, InvalidManifest::GptEntriesAt(1)),
        (|t| t.entries_lba = 3, InvalidManifest::GptFirstUsable(34)),
        (
            |t| t.entries[1].number = 129,
            InvalidManifest::GptNumber(129),
        ),
        (|t| t.entries.swap(0, 1), InvalidManifest::GptNumber(1)),
        (
            |t| t.entries[0].last_lba = 16_384 - 33,
            InvalidManifest::GptOutside(1),
        ),
        (
            |t| t.entries[1].last_lba = 2048,
            InvalidManifest::GptOverlap(3, 1),
        ),
    ];
    for (spoil, expected) in spoils {
        let mut manifest = gpt_manifest();
        let PartitionTable::Gpt(table) = &mut manifest.table else {
            unreachable!()
        };
        spoil(table);
        assert_eq!(manifest.validate(), Err(expected.clone()));
        assert_eq!(
            Manifest::decode(&manifest.encode()),
            Err(DecodeManifestError::Invalid(expected))
        );
    }
}

#[test]
fn the_summary_counts_and_the_minimum_fits() {
    let mut manifest = vector();
    let content = manifest.chunks.get(1).unwrap().content;
    change(&mut manifest, 2, |chunk| chunk.content = content);
    let summary = manifest.summary();
    assert_eq!(
        (
            summary.data_chunks,
            summary.unique_chunks,
            summary.zero_chunks
        ),
        (3, 2, 0)
    );
    assert_eq!(summary.used.bytes(), 512 + (1 << 20) + 512 * (8 + 504));
    assert_eq!(summary.unique_bytes, ByteCount::from_mib(2));
    assert_eq!(manifest.minimum_disk(), ByteCount::from_mib(5));
    // The backup table wants 32 sectors of entries and a header behind the last partition (sector
    // 10239).
    assert_eq!(gpt_manifest().minimum_disk().bytes(), (10_240 + 33) * 512);
}

fn any_mask(units: u16) -> impl Strategy<Value = UsedMask> {
    proptest::collection::btree_set(0..=units, 0..12).prop_map(move |cuts| {
        let cuts: Vec<u16> = cuts.into_iter().collect();
        let ranges: Vec<_> = cuts
            .chunks_exact(2)
            .map(|c| SectorRange {
                start: c[0],
                end: c[1],
            })
            .collect();
        let whole = ranges.is_empty()
            || (ranges.len() == 1 && ranges[0].start == 0 && ranges[0].end == units);
        if whole {
            UsedMask::Whole
        } else {
            UsedMask::Ranges(ranges)
        }
    })
}

fn any_chunks(disk: u32) -> impl Strategy<Value = ChunkList> {
    let content = prop_oneof![
        Just(ChunkContent::Zero),
        any::<[u8; 32]>().prop_map(|d| ChunkContent::Data(ChunkId::from_digest(d)))
    ];
    let chunks = proptest::collection::btree_map(0..disk, (any_mask(2048), content), 0..30);
    chunks.prop_map(|chunks| {
        chunks
            .into_iter()
            .map(|(index, (used, content))| ChunkEntry {
                index: ChunkIndex::new(index),
                used,
                content,
            })
            .collect()
    })
}

proptest! {
    #[test]
    fn valid_manifests_round_trip(chunks in any_chunks(1 << 20)) {
        let mut manifest = gpt_manifest();
        manifest.geometry.size = ByteCount::from_mib(1 << 20);
        manifest.chunks = chunks;
        manifest.notes = with_note().notes;
        prop_assert_eq!(manifest.validate(), Ok(()));
        prop_assert_eq!(Manifest::decode(&manifest.encode()), Ok(manifest));
    }

    #[test]
    fn garbage_behind_a_right_trailer_is_refused_or_canonical(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut manifest = gpt_manifest();
        manifest.notes = with_note().notes;
        let mut encoded = manifest.encode();
        for (at, byte) in edits {
            let at = at.index(encoded.len());
            encoded[at] = byte;
        }
        if cut.index(3) == 0 {
            encoded.truncate(cut.index(encoded.len()));
        }
        let encoded = with_new_trailer(encoded);
        if let Ok(manifest) = Manifest::decode(&encoded) {
            prop_assert_eq!(manifest.encode(), encoded, "two encodings of one manifest");
        }
    }

    #[test]
    fn any_garbage_is_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let mut garbage = b"FOGHMNFT\x01\0".to_vec();
        garbage.extend(bytes);
        garbage.extend([0; 32]);
        prop_assert!(Manifest::decode(&garbage).is_err());
        let _ = Manifest::decode(&with_new_trailer(garbage));
    }
}

#[test]
fn a_note_says_what_of_the_disk_an_image_has() {
    assert!(with_note().part().is_everything());
    for (partition, part) in [(0, DiskPart::Table), (1, DiskPart::partition(1).unwrap())] {
        let none = ByteRange::new(0, 0);
        let mut manifest = with_note();
        manifest
            .notes
            .push(Note::new(NoteKind::PartOfDisk, partition, none, "a part"));
        let decoded = Manifest::decode(&manifest.encode()).unwrap();
        assert_eq!(decoded.part(), part);
    }
}
