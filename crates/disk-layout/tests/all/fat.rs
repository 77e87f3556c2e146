//! Used clusters of FAT against partclone and fsck.fat.

use crate::support::{Image, assert_same, path_text, raw_because, run};
use foghorn_disk_layout::{DirtyPolicy, ReadAt, read_volume};
use foghorn_image::{ByteRange, FileSystemKind, NoteKind};

const MIB: u64 = 1 << 20;

struct Fat {
    image: Image,
    bits: u32,
    table: u64,
    table_size: u64,
    data: u64,
    cluster: u64,
    clusters: u64,
}

/// Makes a file system and puts chains, a bad cluster and the last cluster into its tables.
fn filled(size: u64, bits: u32, options: &[&str]) -> Fat {
    let image = Image::new(size);
    let width = bits.to_string();
    let mut arguments = vec!["-F", &width];
    arguments.extend(options);
    arguments.push(path_text(&image.path));
    run("mkfs.fat", arguments);
    let raw = image.bytes();
    let word = |at: usize| u64::from(u16::from_le_bytes([raw[at], raw[at + 1]]));
    let long = |at: usize| word(at) | word(at + 2) << 16;
    let sector = word(11);
    let table_sectors = if word(22) != 0 { word(22) } else { long(36) };
    let sectors = if word(19) != 0 { word(19) } else { long(32) };
    let data = word(14) + 2 * table_sectors + word(17) * 32 / sector;
    let fat = Fat {
        bits,
        table: word(14) * sector,
        table_size: table_sectors * sector,
        data: data * sector,
        cluster: u64::from(raw[13]) * sector,
        clusters: (sectors - data) / u64::from(raw[13]),
        image,
    };
    let end = (1_u32 << bits.min(28)) - 1;
    for first in [10, 20, 21, 400, 1200] {
        fat.set(first, first as u32 + 1);
        fat.set(first + 1, end);
    }
    fat.set(30, end - 8);
    fat.set(fat.clusters + 1, end);
    fat
}

impl Fat {
    /// Sets an entry in both tables.
    fn set(&self, cluster: u64, value: u32) {
        for table in [self.table, self.table + self.table_size] {
            let place = table + cluster * u64::from(self.bits) / 8;
            match self.bits {
                12 => {
                    let mut old = [0; 2];
                    ReadAt::read_exact_at(&self.image.open(), place, &mut old).unwrap();
                    let old = u16::from_le_bytes(old);
                    let odd = cluster % 2 == 1;
                    let new = if odd {
                        old & 0xf | (value as u16) << 4
                    } else {
                        old & 0xf000 | value as u16
                    };
                    self.image.write(place, &new.to_le_bytes());
                }
                16 => self.image.write(place, &(value as u16).to_le_bytes()),
                _ => self.image.write(place, &value.to_le_bytes()),
            }
        }
    }

    fn agrees(&self) {
        let size = self.image.open().metadata().unwrap().len();
        let volume = read_volume(&self.image.open(), DirtyPolicy::Refuse).unwrap();
        assert_eq!(volume.kind, FileSystemKind::Fat);
        let of = |cluster: u64| {
            ByteRange::new(
                self.data + (cluster - 2) * self.cluster,
                self.data + (cluster - 1) * self.cluster,
            )
        };
        let tail = ByteRange::new(self.data + self.clusters * self.cluster, size);
        let root = (self.bits == 32).then_some(2);
        let clusters = [10, 11, 20, 21, 22, 400, 401, 1200, 1201, self.clusters + 1];
        let chains = clusters.into_iter().chain(root).map(of);
        let expected = chains.chain([ByteRange::new(0, self.data), tail]).collect();
        assert_same(&volume.ranges, &expected, size, &[]);
        // What follows the last cluster belongs to no cluster; we take it, partclone need not. It
        // misreads the 12-bit entries of FAT12, so there is no comparison for that.
        if self.bits != 12 {
            assert_same(&volume.ranges, &self.image.partclone("fat"), size, &[tail]);
        }
    }
}

#[test]
fn fat_12_16_and_32_of_many_shapes() {
    filled(4 * MIB, 12, &[]).agrees();
    filled(15 * MIB, 12, &["-s", "8"]).agrees();
    filled(20 * MIB, 16, &[]).agrees();
    filled(40 * MIB, 16, &["-S", "4096", "-s", "1"]).agrees();
    filled(40 * MIB, 32, &["-s", "1"]).agrees();
    filled(100 * MIB, 32, &[]).agrees();
    filled(90 * MIB + 512 * 3, 32, &["-s", "8", "-R", "64"]).agrees();
}

#[test]
fn the_table_that_is_active_counts() {
    let fat = filled(40 * MIB, 32, &["-s", "1"]);
    // Mirroring off, second table active: and only there is cluster 50 in use.
    fat.image.write(40, &0x81_u16.to_le_bytes());
    fat.image.write(
        fat.table + fat.table_size + 50 * 4,
        &0x0fff_ffff_u32.to_le_bytes(),
    );
    let volume = read_volume(&fat.image.open(), DirtyPolicy::Refuse).unwrap();
    let place = fat.data + 48 * fat.cluster;
    assert!(
        volume
            .ranges
            .gaps_within(ByteRange::new(place, place + fat.cluster))
            .is_empty()
    );
}

#[test]
fn the_number_of_clusters_is_that_of_fsck() {
    let image = Image::new(33 * MIB);
    run(
        "mkfs.fat",
        ["-F", "16", "-n", "EMPTY", path_text(&image.path)],
    );
    let report = run("fsck.fat", ["-nv", path_text(&image.path)]);
    let line = report
        .lines()
        .find(|line| line.contains("data clusters"))
        .unwrap();
    let clusters: u64 = line.split_whitespace().next().unwrap().parse().unwrap();
    let volume = read_volume(&image.open(), DirtyPolicy::Refuse).unwrap();
    let free = volume
        .ranges
        .gaps_within(ByteRange::new(0, 33 * MIB))
        .total()
        .bytes();
    assert_eq!(free, clusters * 2048);
}

#[test]
fn a_fat_that_is_not_clean_is_taken_with_a_note() {
    for (bits, flags) in [
        (16, 0x7fff),
        (16, 0xbfff),
        (32, 0x07ff_ffff),
        (32, 0x0bff_ffff),
    ] {
        let fat = filled(
            40 * MIB,
            bits,
            if bits == 16 {
                &["-s", "4"]
            } else {
                &["-s", "1"]
            },
        );
        fat.set(1, flags);
        taken_with_a_note(&fat);
    }
    // Linux marks the boot sector while the file system is mounted.
    let fat = filled(40 * MIB, 32, &["-s", "1"]);
    fat.image.write(0x41, &[1]);
    taken_with_a_note(&fat);
}

/// Every cluster of a file is in the table before the file has it, so a mount that did not end
/// leaves nothing out.
fn taken_with_a_note(fat: &Fat) {
    fat.agrees();
    let volume = read_volume(&fat.image.open(), DirtyPolicy::Refuse).unwrap();
    assert_eq!(volume.notes.len(), 1);
    assert_eq!(volume.notes[0].kind, NoteKind::Unclean);
}

#[test]
fn tables_that_differ_make_it_raw() {
    for (size, bits, options) in [(4, 12, &[][..]), (20, 16, &[]), (40, 32, &["-s", "1"])] {
        let fat = filled(size * MIB, bits, options);
        // A cluster in the second table that the first calls free; and the other way round.
        for table in [fat.table, fat.table + fat.table_size] {
            let fat = filled(size * MIB, bits, options);
            fat.image
                .write(table + 600 * u64::from(bits) / 8, &[0xff; 2]);
            let note = raw_because(&fat.image, DirtyPolicy::Refuse);
            assert!(note.contains("allocation tables differ"), "{note}");
        }
    }
}

#[test]
fn nonsense_makes_it_raw() {
    let spoils: [(u64, &[u8], &str); 4] = [
        (32, &[0xff; 4], "larger than its partition"),
        (36, &1_u32.to_le_bytes(), "too small for its clusters"),
        (36, &[0; 4], "no file allocation table"),
        (14, &[0; 2], "no file allocation table"),
    ];
    for (at, bytes, message) in spoils {
        let fat = filled(40 * MIB, 32, &["-s", "1"]);
        fat.image.write(at, bytes);
        let why = raw_because(&fat.image, DirtyPolicy::Refuse);
        assert!(why.contains(message), "{why}");
    }
}
