//! From a seed to a disk. Pure.

use super::rng::Rng;
use super::shape::{
    Content, DiskShape, MIB, OldTarget, PartitionShape, Stray, TableShape, TargetShape,
};

/// Longest gap that has to be captured, by the promise of the documentation.
const LARGE_GAP: u64 = 64 * MIB;

impl DiskShape {
    /// The disk of a seed, always the same one.
    #[must_use]
    pub fn generate(seed: u64) -> Self {
        let mut rng = Rng::new(seed, 0);
        let sector = if rng.percent(10) { 4096 } else { 512 };
        match rng.below(100) {
            0..12 => without_table(seed, &mut rng, sector),
            12..50 => with_mbr(seed, &mut rng, sector),
            _ => with_gpt(seed, &mut rng, sector),
        }
    }

    /// The two disks that its image is deployed to: one of the same size and one that is larger,
    /// one blank and one not.
    #[must_use]
    pub fn targets(&self) -> [TargetShape; 2] {
        let mut rng = Rng::new(self.seed, 1);
        let more = match rng.below(3) {
            0 => rng.within(1, 80) * self.sector,
            1 => rng.within(1, 40) * MIB,
            _ => rng.within(1, 80_000) * self.sector,
        };
        let old = match rng.below(10) {
            0..3 => OldTarget::Noise,
            3..7 => OldTarget::Signatures(
                (0..rng.within(2, 5))
                    .map(|_| some_signature(&mut rng))
                    .collect(),
            ),
            _ => OldTarget::Disk(Box::new(Self::generate(rng.number()))),
        };
        let mut targets = [
            TargetShape {
                size: self.size,
                old: OldTarget::Blank,
            },
            TargetShape {
                size: self.size + more,
                old: OldTarget::Blank,
            },
        ];
        targets[rng.below(2) as usize].old = old;
        targets
    }
}

fn some_signature(rng: &mut Rng) -> Content {
    match rng.below(12) {
        0..5 => Content::RaidMember {
            version: rng.pick(&[9, 10, 11, 12]),
        },
        5 | 6 => Content::ZfsMember,
        7 | 8 => Content::LvmMember,
        9 => Content::Swap,
        10 => Content::Btrfs,
        _ => Content::Xfs,
    }
}

fn some_content(rng: &mut Rng, sector: u64) -> Content {
    let small_sectors = sector == 512;
    match rng.below(100) {
        0..34 => some_ext(rng, small_sectors),
        34..50 => Content::Ntfs {
            cluster: rng.pick(&[4096, 4096, 8192, if small_sectors { 512 } else { 16384 }]),
        },
        50..66 => {
            let bits = rng.pick(if small_sectors {
                &[12, 16, 32, 32]
            } else {
                &[12, 16]
            });
            let cluster = match bits {
                32 => 1,
                12 => 8,
                _ if small_sectors => rng.pick(&[2, 4]),
                _ => 1,
            };
            Content::Fat { bits, cluster }
        }
        66..69 => Content::ExFat,
        69..74 => Content::Xfs,
        74..78 => Content::Btrfs,
        78..81 => Content::Swap,
        81..82 => Content::Luks {
            version: rng.pick(&[1, 2]),
        },
        82..84 => Content::LvmMember,
        84..90 => Content::RaidMember {
            version: rng.pick(&[9, 10, 11, 12]),
        },
        90..92 => Content::ZfsMember,
        92..97 => Content::Noise,
        _ => Content::Empty,
    }
}

fn some_ext(rng: &mut Rng, small_blocks: bool) -> Content {
    let version = rng.pick(&[2, 3, 4, 4, 4]);
    let block = if small_blocks {
        rng.pick(&[1024, 4096])
    } else {
        4096
    };
    let features: &[&'static str] = match version {
        2 => &[
            "",
            "^resize_inode",
            "^dir_index",
            "^sparse_super,^resize_inode",
        ],
        3 => &["", "^resize_inode", "^dir_index"],
        _ => &[
            "",
            "^64bit",
            "^metadata_csum",
            "^metadata_csum,uninit_bg",
            "^flex_bg",
            "meta_bg,^resize_inode",
            "bigalloc",
            "inline_data",
            "^has_journal",
            "sparse_super2,^resize_inode",
            "^extents,^64bit",
            "large_dir",
            "uninit_bg,^metadata_csum,^64bit",
        ],
    };
    let features = rng.pick(features);
    // mke2fs wants a multiple of 8, and clusters of bigalloc are larger than blocks.
    let group = if features == "bigalloc" || rng.percent(50) {
        0
    } else {
        rng.pick(&[1024, 2048, 4096]) * if block == 1024 { 2 } else { 1 }
    };
    Content::Ext {
        version,
        block,
        features,
        group,
    }
}

/// Bytes that a partition with the content has, at least and at most.
fn sizes(content: Content, sector: u64) -> (u64, u64) {
    let (low, high) = match content {
        Content::Ext { version: 2, .. } => (2, 32),
        Content::Ext { .. } => (6, 40),
        Content::Ntfs { .. } => (4, 32),
        Content::Fat { bits: 12, .. } => (1, 8),
        Content::Fat { bits: 16, .. } if sector == 4096 => (20, 48),
        Content::Fat { bits: 16, .. } => (10, 28),
        Content::Fat { .. } => (34, 48),
        Content::ExFat => (4, 24),
        Content::Xfs => (20, 40),
        Content::Btrfs => (32, 48),
        Content::Luks { .. } => (18, 22),
        // libblkid does not look for ZFS on less.
        Content::ZfsMember => (64, 72),
        Content::Swap
        | Content::LvmMember
        | Content::RaidMember { .. }
        | Content::Noise
        | Content::Empty => (1, 12),
    };
    (low * MIB, high * MIB)
}

fn some_partition(
    rng: &mut Rng,
    number: u32,
    start: u64,
    sector: u64,
    align: u64,
) -> PartitionShape {
    let content = some_content(rng, sector);
    let (low, high) = sizes(content, sector);
    let size = rng.within(low, high).next_multiple_of(sector * align);
    let old = rng.percent(25).then(|| some_content(rng, sector));
    let files = content.has_files();
    let mut volume_size = size;
    if files && rng.percent(10) && size > low + MIB {
        volume_size = rng.within(low, size - sector) / sector * sector;
    } else if files && rng.percent(4) {
        volume_size = size + rng.within(1, 4) * MIB;
    }
    let journal = matches!(content, Content::Ext { version: 3.., features, .. } if features != "^has_journal");
    PartitionShape {
        number,
        start,
        size,
        record: None,
        content,
        old,
        volume_size,
        wrong_type: rng.percent(5),
        unclean: journal && volume_size <= size && rng.percent(8),
    }
}

fn without_table(seed: u64, rng: &mut Rng, sector: u64) -> DiskShape {
    let mut whole = some_partition(rng, 0, 0, sector, 1);
    // A disk cannot be larger than itself, and has no type.
    whole.wrong_type = false;
    whole.volume_size = whole.volume_size.min(whole.size);
    DiskShape {
        seed,
        size: whole.size,
        sector,
        table: TableShape::None,
        partitions: vec![whole],
        strays: vec![],
        boot_code: false,
    }
}

/// Places partitions one after the other and remembers the gaps. All numbers are bytes.
struct Placer {
    sector: u64,
    align: u64,
    end: u64,
    strays: Vec<Stray>,
}

impl Placer {
    fn new(rng: &mut Rng, sector: u64, first: u64) -> Self {
        let align = match rng.below(10) {
            0..6 => MIB / sector,
            6 | 7 => 8,
            _ => 1,
        };
        Self {
            sector,
            align,
            end: first,
            strays: vec![],
        }
    }

    /// Where the next partition starts, `room` bytes at least behind the last one.
    fn next(&mut self, rng: &mut Rng, room: u64) -> u64 {
        let gap = match rng.below(20) {
            0..12 => 0,
            12..16 => rng.within(0, 2 * MIB),
            16..19 => rng.within(0, 12 * MIB),
            _ => LARGE_GAP + rng.within(0, 10 * MIB),
        };
        let start = (self.end + room + gap).next_multiple_of(self.sector * self.align);
        let free = start - self.end - room;
        if free >= self.sector && rng.percent(60) {
            self.strays
                .push(self.stray(rng, self.end + room, free, false));
        }
        start
    }

    fn stray(&self, rng: &mut Rng, from: u64, free: u64, behind: bool) -> Stray {
        let sectors = free / self.sector;
        let first = rng.below(sectors);
        let length = rng.within(1, (sectors - first).min(200));
        Stray {
            start: from + first * self.sector,
            size: length * self.sector,
            behind,
        }
    }

    /// The size of the disk, with `reserved` bytes at its end.
    fn finish(mut self, rng: &mut Rng, reserved: u64) -> (u64, Vec<Stray>) {
        let tail = match rng.below(4) {
            0 => 0,
            1 => rng.within(0, 100) * self.sector,
            _ => rng.within(0, 16 * MIB / self.sector) * self.sector,
        };
        if tail > 0 && rng.percent(30) {
            let stray = self.stray(rng, self.end, tail, true);
            self.strays.push(stray);
        }
        (self.end + tail + reserved, self.strays)
    }
}

fn with_mbr(seed: u64, rng: &mut Rng, sector: u64) -> DiskShape {
    let mut placer = Placer::new(rng, sector, sector);
    let mut partitions = vec![];
    let logical = if rng.percent(50) { rng.within(1, 4) } else { 0 };
    let primary = rng.within(if logical > 0 { 0 } else { 1 }, 3);
    for number in 1..=primary {
        let start = placer.next(rng, 0);
        let part = some_partition(rng, number as u32, start, sector, placer.align);
        placer.end = start + part.size;
        partitions.push(part);
    }
    let mut extended = None;
    if logical > 0 {
        let first = placer.next(rng, 0);
        placer.end = first;
        for number in 0..logical {
            let record = placer.end / sector;
            let start = placer.next(rng, sector);
            let mut part = some_partition(rng, 5 + number as u32, start, sector, placer.align);
            part.record = Some(record);
            placer.end = start + part.size;
            partitions.push(part);
        }
        let room = if rng.percent(30) {
            rng.within(0, 20) * sector * placer.align
        } else {
            0
        };
        placer.end += room;
        let kind = rng.pick(&[0x05, 0x05, 0x0f, 0x85]);
        extended = Some((first / sector, (placer.end - first) / sector, kind));
    }
    let shuffled = logical > 2 && rng.percent(25);
    if shuffled {
        // The chain starts where the extended partition does; the others follow backwards.
        let count = partitions.len();
        let tail = &mut partitions[count - logical as usize + 1..];
        let length = tail.len() as u32;
        for (place, part) in (0..).zip(tail) {
            part.number = 5 + length - place;
        }
    }
    let (size, strays) = placer.finish(rng, 0);
    DiskShape {
        seed,
        size,
        sector,
        table: TableShape::Mbr { extended, shuffled },
        partitions,
        strays,
        boot_code: rng.percent(60),
    }
}

fn with_gpt(seed: u64, rng: &mut Rng, sector: u64) -> DiskShape {
    let slots = rng.pick(&[128, 128, 128, 128, 56, 256]);
    let array = (slots * 128_u64).div_ceil(sector);
    let entries_lba = if rng.percent(15) {
        rng.pick(&[3, 16, 34, 128, MIB / sector])
    } else {
        2
    };
    let mut first_usable = entries_lba + array;
    if rng.percent(20) {
        first_usable = first_usable.next_multiple_of(2048 * 512 / sector);
    }
    let mut placer = Placer::new(rng, sector, first_usable * sector);
    let mut partitions = vec![];
    let mut number = 0;
    for _ in 0..rng.within(1, 4) {
        number += if rng.percent(90) {
            1
        } else {
            rng.within(1, 5) as u32
        };
        let start = placer.next(rng, 0);
        let part = some_partition(rng, number, start, sector, placer.align);
        placer.end = start + part.size;
        partitions.push(part);
    }
    if rng.percent(15) {
        // Numbers need not ascend by place.
        let (first, last) = (0, partitions.len() - 1);
        let number = partitions[first].number;
        partitions[first].number = partitions[last].number;
        partitions[last].number = number;
    }
    let (size, mut strays) = placer.finish(rng, (array + 1) * sector);
    if entries_lba > 2 && rng.percent(70) {
        // The boot loader of a board, for whose sake the entries were moved.
        strays.push(Stray {
            start: 2 * sector,
            size: (entries_lba - 2) * sector,
            behind: false,
        });
    }
    DiskShape {
        seed,
        size,
        sector,
        table: TableShape::Gpt {
            entries_lba,
            slots,
            first_usable,
        },
        partitions,
        strays,
        boot_code: rng.percent(40),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn check(shape: &DiskShape) {
        let mut end = match shape.table {
            TableShape::None => 0,
            TableShape::Mbr { .. } => shape.sector,
            TableShape::Gpt { first_usable, .. } => first_usable * shape.sector,
        };
        let reserved = match shape.table {
            TableShape::Gpt { slots, .. } => {
                shape.sector + (slots * 128).next_multiple_of(shape.sector)
            }
            _ => 0,
        };
        let mut numbers = vec![];
        for part in &shape.partitions {
            assert!(part.start >= end && part.size > 0, "{shape}");
            assert_eq!(
                (part.start % shape.sector, part.size % shape.sector),
                (0, 0),
                "{shape}"
            );
            if let Some(record) = part.record {
                assert!((record + 1) * shape.sector <= part.start && record * shape.sector >= end);
            }
            end = part.start + part.size;
            numbers.push(part.number);
        }
        assert!(
            end + reserved <= shape.size && shape.size < 900 * MIB,
            "{shape}"
        );
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), shape.partitions.len(), "{shape}");
        for stray in &shape.strays {
            assert!(
                stray.size > 0 && stray.start + stray.size <= shape.size - reserved,
                "{shape}"
            );
            for part in &shape.partitions {
                assert!(
                    stray.start + stray.size <= part.start || stray.start >= part.start + part.size,
                    "{shape}"
                );
                let record = part.record.map(|record| record * shape.sector);
                assert!(record.is_none_or(|at| at < stray.start || at >= stray.start + stray.size));
            }
            assert_eq!(
                stray.behind,
                stray.start >= end && !shape.partitions.is_empty()
            );
        }
    }

    #[test]
    fn every_shape_is_possible_and_every_kind_occurs() {
        let mut kinds = BTreeMap::new();
        let mut bytes = 0;
        for seed in 0..3000 {
            let shape = DiskShape::generate(seed);
            check(&shape);
            assert_eq!(shape, DiskShape::generate(seed));
            bytes += shape.size;
            *kinds.entry(("table", shape.table.kind())).or_insert(0) += 1;
            let targets = shape.targets();
            assert!(targets[0].size == shape.size && targets[1].size > shape.size);
            assert!(targets.iter().any(|target| target.old == OldTarget::Blank));
            for target in &targets {
                *kinds.entry(("target", target.old.kind())).or_insert(0) += 1;
            }
            for part in &shape.partitions {
                *kinds.entry(("content", part.content.kind())).or_insert(0) += 1;
                for (is, word) in [
                    (part.old.is_some(), "over old"),
                    (part.wrong_type, "wrong type"),
                    (part.unclean, "unclean"),
                    (part.volume_size < part.size, "smaller"),
                    (part.volume_size > part.size, "cut off"),
                ] {
                    *kinds.entry(("partition", word)).or_insert(0) += u32::from(is);
                }
            }
            for stray in &shape.strays {
                *kinds
                    .entry(("data", if stray.behind { "behind" } else { "gap" }))
                    .or_insert(0) += 1;
            }
        }
        assert_eq!(kinds.len(), 6 + 4 + 17 + 5 + 2, "{kinds:?}");
        assert!(kinds.values().all(|count| *count >= 10), "{kinds:?}");
        assert!(
            bytes / 3000 < 130 * MIB,
            "{} MiB on average",
            bytes / 3000 / MIB
        );
    }
}
