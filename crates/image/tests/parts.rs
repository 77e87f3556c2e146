//! Manifests whose entries are in parts: the same entries come out, in one way only, and nothing
//! that a hostile peer could send costs memory.

use bytes::Bytes;
use foghorn_image::*;
use foghorn_types::{ByteCount, ChunkId, ChunkIndex, PartId, SectorSize};

const MIB: u64 = 1 << 20;

fn manifest(mebibytes: u64, chunks: ChunkList) -> Manifest {
    Manifest {
        geometry: DiskGeometry {
            size: ByteCount::from_bytes(mebibytes * MIB),
            sector_size: SectorSize::B512,
        },
        table: PartitionTable::Mbr,
        file_systems: Vec::new(),
        chunks,
        notes: Vec::new(),
        disks: Vec::new(),
    }
}

fn data(index: u32, used: UsedMask) -> ChunkEntry {
    ChunkEntry {
        index: ChunkIndex::new(index),
        used,
        content: ChunkContent::Data(ChunkId::of(&index.to_le_bytes())),
    }
}

fn zero(index: u32, used: UsedMask) -> ChunkEntry {
    ChunkEntry {
        content: ChunkContent::Zero,
        ..data(index, used)
    }
}

/// Every second run of so many sectors is in use.
fn fragmented(step: u16) -> UsedMask {
    let starts = (0..2048).step_by(2 * usize::from(step));
    UsedMask::Ranges(
        starts
            .map(|start| SectorRange {
                start: start as u16,
                end: start as u16 + step,
            })
            .collect(),
    )
}

/// 20 GiB in which every second KiB is in use: some 21 MiB of entries, in two windows.
fn large() -> Manifest {
    let mask = fragmented(2);
    manifest(
        20 << 10,
        (0..20 << 10)
            .map(|index| data(index, mask.clone()))
            .collect(),
    )
}

fn loader(parts: Vec<ManifestPart>) -> impl FnMut(PartId) -> Result<Bytes, DecodeManifestError> {
    move |id| {
        let part = parts.iter().find(|part| part.id == id);
        part.map(|part| part.bytes.clone())
            .ok_or(DecodeManifestError::InParts)
    }
}

fn read(encoded: &[u8], parts: Vec<ManifestPart>) -> Result<Manifest, DecodeManifestError> {
    ManifestRoot::decode(&Bytes::copy_from_slice(encoded))?.with_parts(loader(parts))
}

/// Makes the trailer fit again.
fn sealed(mut encoded: Vec<u8>) -> Vec<u8> {
    encoded.truncate(encoded.len() - 32);
    let trailer = *ChunkId::of(&encoded).as_bytes();
    encoded.extend_from_slice(&trailer);
    encoded
}

#[test]
fn many_entries_are_in_parts_and_come_out_as_they_were() {
    let image = large();
    let (encoded, parts) = (image.encode(), image.parts());
    assert_eq!(encoded[8], 2);
    assert!(encoded.len() < 2000, "{} bytes", encoded.len());
    assert!(parts.iter().all(|part| part.bytes.len() <= MAX_PART));
    assert!(parts.len() > 20, "{} parts", parts.len());
    assert!(matches!(
        Manifest::decode(&encoded),
        Err(DecodeManifestError::InParts)
    ));
    assert_eq!(read(&encoded, parts).as_ref(), Ok(&image));
}

#[test]
fn a_writer_that_gets_one_entry_after_the_other_writes_the_same() {
    let image = large();
    let (mut writer, mut parts, mut most) = (ManifestWriter::default(), Vec::new(), 0);
    for entry in &image.chunks {
        writer.push(&entry);
        let ready = writer.take_parts();
        most = most.max(ready.len());
        parts.extend(ready);
    }
    let without = manifest(20 << 10, ChunkList::new());
    let (encoded, rest) = writer.finish(&without);
    assert!(rest.len() == 1 && most <= 17, "{} and {most}", rest.len());
    parts.extend(rest);
    assert_eq!((encoded, parts), (image.encode(), image.parts()));

    let mut writer = ManifestWriter::default();
    let few: ChunkList = (0..100).map(|index| data(index, UsedMask::Whole)).collect();
    few.iter().for_each(|entry| writer.push(&entry));
    assert!(writer.take_parts().is_empty());
    let (encoded, rest) = writer.finish(&without);
    assert!(rest.is_empty());
    assert_eq!(encoded, manifest(20 << 10, few).encode());
}

#[test]
fn what_changes_at_one_place_leaves_other_parts_alone() {
    let (before, mut entries) = (large(), large().chunks.iter().collect::<Vec<_>>());
    entries[3].content = ChunkContent::Data(ChunkId::of(b"changed"));
    let after = manifest(20 << 10, entries.into());
    let (before, after) = (before.parts(), after.parts());
    let same = before.iter().filter(|part| after.contains(part)).count();
    assert_eq!((before.len(), same), (after.len(), after.len() - 1));
}

#[test]
fn lists_find_entries_by_number_and_by_index() {
    let mut list = ChunkList::new();
    for n in 0..60_000_u32 {
        let mask = if n.is_multiple_of(100) {
            fragmented(1)
        } else {
            UsedMask::Whole
        };
        let entry = if n.is_multiple_of(3) {
            zero(3 * n, mask)
        } else {
            data(3 * n, mask)
        };
        list.push(&entry);
    }
    assert_eq!(list.len(), 60_000);
    for n in (0..60_000).step_by(97).chain([59_999]) {
        let entry = list.get(n).unwrap();
        assert_eq!(entry.index.get() as usize, 3 * n);
        for back in 0..3_u32.min(entry.index.get() + 1) {
            let from = ChunkIndex::new(entry.index.get() - back);
            assert_eq!(list.iter_from(from).next().as_ref(), Some(&entry));
        }
    }
    assert_eq!(list.iter().count(), 60_000);
    assert_eq!(
        (
            list.get(60_000),
            list.iter_from(ChunkIndex::new(180_000)).next()
        ),
        (None, None)
    );
    assert_eq!(list.last(), list.get(59_999));
    assert_eq!(
        (ChunkList::new().last(), ChunkList::new().get(0)),
        (None, None)
    );
}

#[test]
fn damage_in_a_part_or_in_its_name_is_found() {
    let image = large();
    let (encoded, parts) = (image.encode(), image.parts());
    for (number, at) in [(0, 0), (7, 1000), (parts.len() - 1, 5)] {
        let mut damaged = parts.clone();
        let mut bytes = damaged[number].bytes.to_vec();
        bytes[at] ^= 1;
        damaged[number].bytes = bytes.into();
        assert_eq!(
            read(&encoded, damaged),
            Err(DecodeManifestError::PartId(parts[number].id))
        );
    }
    let mut missing = parts.clone();
    missing.remove(3);
    assert_eq!(read(&encoded, missing), Err(DecodeManifestError::InParts));
    let list = manifest(20 << 10, ChunkList::new()).encode().len() - 35;
    for at in 0..encoded.len() {
        let mut damaged = encoded.clone();
        damaged[at] ^= 4;
        assert!(read(&damaged, parts.clone()).is_err(), "byte {at}");
        let in_list = (list..encoded.len() - 32).contains(&at);
        if in_list && (at < list + 60 || at.is_multiple_of(61)) {
            assert!(
                read(&sealed(damaged), parts.clone()).is_err(),
                "byte {at}, sealed"
            );
        }
    }
}

/// Entries that are cut in another way than the rule says, with everything else right.
fn cut_at(entries: &[ChunkEntry], cuts: &[usize]) -> (Vec<u8>, Vec<ManifestPart>) {
    let (mut root, mut parts, mut from, mut base) = (Vec::new(), Vec::new(), 0, 0_u32);
    for &to in cuts.iter().chain([&entries.len()]) {
        let mut list = ChunkList::new();
        // A list starts at 0; an entry right before makes it start where the part does.
        let skipped = (base > 0).then(|| zero(base - 1, UsedMask::Whole));
        skipped
            .iter()
            .chain(&entries[from..to])
            .for_each(|entry| list.push(entry));
        let all: Vec<u8> = list
            .parts()
            .flat_map(|(_, part)| part.bytes.to_vec())
            .collect();
        let head = skipped.map_or(0, |entry| {
            let only: ChunkList = [entry].into_iter().collect();
            only.encoded_len() as usize
        });
        let part = ManifestPart::new(all[head..].to_vec().into());
        let end = entries[to - 1].index.get() + 1;
        for number in [
            (to - from) as u64,
            u64::from(end - base),
            part.bytes.len() as u64,
        ] {
            put_varint(&mut root, number);
        }
        root.extend_from_slice(part.id.as_bytes());
        parts.push(part);
        (from, base) = (to, end);
    }
    (root, parts)
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A root of a disk of so many MiB with this list of parts.
fn root_of(mebibytes: u64, count: usize, list: &[u8]) -> Vec<u8> {
    let plain = manifest(mebibytes, ChunkList::new()).encode();
    // Behind the sections of an empty manifest: chunks are 04 01 00, then the trailer.
    let mut root = plain[..plain.len() - 35].to_vec();
    root[8] = 2;
    let mut contents = Vec::new();
    put_varint(&mut contents, count as u64);
    contents.extend_from_slice(list);
    root.push(7);
    put_varint(&mut root, contents.len() as u64);
    root.extend_from_slice(&contents);
    root.extend([0; 32]);
    sealed(root)
}

#[test]
fn entries_are_cut_in_one_way_only() {
    let image = large();
    let entries: Vec<ChunkEntry> = image.chunks.iter().collect();
    let ends: Vec<usize> = image
        .chunks
        .parts()
        .scan(0, |sum, (part, _)| {
            *sum += part.entries as usize;
            Some(*sum)
        })
        .collect();
    let cuts = &ends[..ends.len() - 1];
    let (list, parts) = cut_at(&entries, cuts);
    assert_eq!(
        root_of(20 << 10, parts.len(), &list),
        image.encode(),
        "the rule itself"
    );
    assert_eq!(parts, image.parts());

    let mut earlier = cuts.to_vec();
    earlier[2] -= 1;
    let mut split = cuts.to_vec();
    split.insert(3, split[2] + 10);
    let mut window = cuts.to_vec();
    let at = window
        .iter()
        .position(|&cut| cut == PART_CHUNKS as usize)
        .unwrap();
    window[at] += 5;
    for cuts in [earlier, split, window] {
        let (list, parts) = cut_at(&entries, &cuts);
        let result = read(&root_of(20 << 10, parts.len(), &list), parts);
        assert!(
            matches!(
                result,
                Err(DecodeManifestError::PartEntries(_) | DecodeManifestError::Malformed { .. })
            ),
            "{result:?}"
        );
    }
}

#[test]
fn what_fits_into_the_manifest_itself_may_not_be_in_parts() {
    let entries: Vec<_> = (0..100).map(|index| data(index, UsedMask::Whole)).collect();
    let (list, parts) = cut_at(&entries, &[]);
    assert!(matches!(
        read(&root_of(100, parts.len(), &list), parts),
        Err(DecodeManifestError::Malformed {
            section: "parts",
            ..
        })
    ));
}

#[test]
fn impossible_numbers_are_refused_before_a_part_is_read() {
    let id = PartId::of(b"part");
    let list = |entries: u64, span: u64, bytes: u64, count: u64| {
        let mut list = Vec::new();
        for _ in 0..count {
            for number in [entries, span, bytes] {
                put_varint(&mut list, number);
            }
            list.extend_from_slice(id.as_bytes());
        }
        list
    };
    let refused = |entries, span, bytes, count: u64, disk| {
        let root = root_of(disk, count as usize, &list(entries, span, bytes, count));
        ManifestRoot::decode(&Bytes::from(root)).is_err()
    };
    let (window, disk) = (u64::from(PART_CHUNKS), 64 << 20);
    assert!(
        !refused(window, window, 1 << 20, 17, disk),
        "this one is possible"
    );
    assert!(
        refused(window, window, (1 << 20) + 1, 17, disk),
        "part too long"
    );
    assert!(refused(0, window, 1 << 20, 17, disk), "no entry");
    assert!(
        refused(window + 1, 2 * window, 1 << 20, 17, disk),
        "more than a window"
    );
    assert!(
        refused(window, window - 1, 1 << 20, 17, disk),
        "more entries than chunks"
    );
    assert!(
        refused(400, window, 1 << 20, 17, disk),
        "more bytes than entries can have"
    );
    assert!(
        refused(window, window, 16_383, 2000, disk),
        "fewer bytes than entries"
    );
    assert!(
        refused(window, window, 1 << 20, 17, 17 * window - 1),
        "outside of the disk"
    );
    assert!(
        refused(1, u64::from(u32::MAX), 2000, 17, disk),
        "no disk is so large"
    );
    assert!(refused(1, 1, 100, MAX_PARTS as u64 + 1, disk), "too many");
}

/// What a peer may send at most: 16 MiB of zero chunks inside a manifest, and a root whose parts
/// cover the largest disk.
#[test]
fn endless_zero_chunks_are_counted_without_memory() {
    let chunks = 16 << 20;
    let plain = manifest(chunks, ChunkList::new()).encode();
    let mut encoded = plain[..plain.len() - 35].to_vec();
    let mut contents = Vec::new();
    put_varint(&mut contents, chunks);
    contents.resize(contents.len() + chunks as usize, 0);
    encoded.push(4);
    put_varint(&mut encoded, contents.len() as u64);
    encoded.extend_from_slice(&contents);
    encoded.extend([0; 32]);
    let root = ManifestRoot::decode(&Bytes::from(sealed(encoded))).unwrap();
    let mut count = EntryCount::default();
    let walked = root.walk(loader(Vec::new()), |entry| {
        count.add(root.geometry, &entry);
        Ok::<_, DecodeManifestError>(())
    });
    assert_eq!((walked, count.zero), (Ok(()), chunks));
    assert_eq!(count.used, root.geometry.size);

    // In memory, too, such an entry takes little more than its byte.
    let list = ChunkList::from_iter((0..100_000).map(|index| zero(index, UsedMask::Whole)));
    assert_eq!(list.encoded_len(), 100_000);
}

#[test]
fn the_largest_disk_has_a_bound_and_small_ones_a_smaller_one() {
    let bound = |mebibytes: u64| most_part_bytes(ByteCount::from_bytes(mebibytes * MIB)).bytes();
    assert_eq!(bound(0), 0);
    assert!((2048..2200).contains(&bound(1)));
    assert_eq!(
        bound(u64::from(u32::MAX)),
        MAX_PARTS as u64 * MAX_PART as u64
    );
    let worst = ChunkList::from_iter((0..64).map(|index| data(index, fragmented(1))));
    assert!(worst.encoded_len() <= bound(64) && worst.encoded_len() > bound(63));
}
