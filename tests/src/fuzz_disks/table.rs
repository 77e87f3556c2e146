//! Writes partition tables byte by byte: tools cannot make all of those that exist. UEFI 2.10
//! chapter 5 for the GPT; the MBR is as every system reads it.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::Result;

use super::rng::Rng;
use super::shape::{Content, DiskShape, PartitionShape, TableShape};

/// Writes the table of the shape, and what lies beside it in the boot sector.
///
/// # Errors
/// When the disk cannot be written.
pub fn write(disk: &Path, shape: &DiskShape) -> Result<()> {
    let file = OpenOptions::new().write(true).open(disk)?;
    let mut rng = Rng::new(shape.seed, 2);
    match shape.table {
        TableShape::None => Ok(()),
        TableShape::Mbr { extended, .. } => write_mbr(&file, shape, extended, &mut rng),
        TableShape::Gpt {
            entries_lba,
            slots,
            first_usable,
        } => {
            let gpt = Gpt {
                entries_lba,
                slots,
                first_usable,
            };
            gpt.write(&file, shape, &mut rng)
        }
    }
}

fn boot_sector(shape: &DiskShape, rng: &mut Rng) -> Vec<u8> {
    let mut sector = vec![0; 512];
    if shape.boot_code {
        rng.fill(&mut sector[..440]);
        // A jump at the start would be the boot sector of a file system.
        sector[..2].copy_from_slice(&[0xfa, 0x31]);
    }
    sector[440..444].copy_from_slice(&rng.bytes::<4>());
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    sector
}

/// One entry of an MBR; sectors count from where the record says.
fn entry(active: bool, kind: u8, first: u64, sectors: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[0] = if active { 0x80 } else { 0 };
    bytes[1..4].copy_from_slice(&[0xfe, 0xff, 0xff]);
    bytes[4] = kind;
    bytes[5..8].copy_from_slice(&[0xfe, 0xff, 0xff]);
    bytes[8..12].copy_from_slice(&(first as u32).to_le_bytes());
    bytes[12..].copy_from_slice(&(sectors as u32).to_le_bytes());
    bytes
}

fn write_mbr(
    file: &File,
    shape: &DiskShape,
    extended: Option<(u64, u64, u8)>,
    rng: &mut Rng,
) -> Result<()> {
    let sectors = |bytes: u64| bytes / shape.sector;
    let mut boot = boot_sector(shape, rng);
    let active = rng.below(4);
    let mut logical = BTreeMap::new();
    let mut primary = 0;
    for part in &shape.partitions {
        if let Some(record) = part.record {
            logical.insert(part.number, (record, part));
            continue;
        }
        let slot = part.number as usize - 1;
        primary += 1;
        boot[446 + 16 * slot..][..16].copy_from_slice(&entry(
            active == slot as u64,
            mbr_type(part),
            sectors(part.start),
            sectors(part.size),
        ));
    }
    if let Some((first, length, kind)) = extended {
        boot[446 + 16 * primary..][..16].copy_from_slice(&entry(false, kind, first, length));
        let chain: Vec<_> = logical.values().collect();
        for (index, (record, part)) in chain.iter().enumerate() {
            let mut sector = vec![0; 512];
            let data = entry(
                false,
                mbr_type(part),
                sectors(part.start) - record,
                sectors(part.size),
            );
            sector[446..462].copy_from_slice(&data);
            if let Some((next, follower)) = chain.get(index + 1) {
                let end = sectors(follower.start + follower.size);
                let link = entry(false, 0x05, next - first, end - next);
                sector[462..478].copy_from_slice(&link);
            }
            sector[510..].copy_from_slice(&[0x55, 0xaa]);
            file.write_all_at(&sector, record * shape.sector)?;
        }
    }
    Ok(file.write_all_at(&boot, 0)?)
}

struct Gpt {
    entries_lba: u64,
    slots: u64,
    first_usable: u64,
}

impl Gpt {
    fn write(&self, file: &File, shape: &DiskShape, rng: &mut Rng) -> Result<()> {
        let last = shape.size / shape.sector - 1;
        let array = self.array(shape, rng);
        let array_sectors = (array.len() as u64).div_ceil(shape.sector);
        let guid = rng.bytes::<16>();
        let mut boot = boot_sector(shape, rng);
        boot[440..446].fill(0);
        let mut protective = entry(false, 0xee, 1, last.min(0xffff_ffff));
        protective[1..4].copy_from_slice(&[0, 2, 0]);
        protective[5..8].fill(0xff);
        boot[446..462].copy_from_slice(&protective);
        file.write_all_at(&boot, 0)?;
        let backup_array = last - array_sectors;
        for (own, other, entries) in [(1, last, self.entries_lba), (last, 1, backup_array)] {
            let mut header = vec![0; 92];
            header[..8].copy_from_slice(b"EFI PART");
            header[8..12].copy_from_slice(&[0, 0, 1, 0]);
            header[12..16].copy_from_slice(&92_u32.to_le_bytes());
            for (at, value) in [
                (24, own),
                (32, other),
                (40, self.first_usable),
                (48, backup_array - 1),
                (72, entries),
            ] {
                header[at..at + 8].copy_from_slice(&value.to_le_bytes());
            }
            header[56..72].copy_from_slice(&guid);
            header[80..84].copy_from_slice(&(self.slots as u32).to_le_bytes());
            header[84..88].copy_from_slice(&128_u32.to_le_bytes());
            header[88..92].copy_from_slice(&crc32(&array, !0).to_le_bytes());
            let sum = crc32(&header, !0);
            header[16..20].copy_from_slice(&sum.to_le_bytes());
            file.write_all_at(&header, own * shape.sector)?;
            file.write_all_at(&array, entries * shape.sector)?;
        }
        Ok(())
    }

    fn array(&self, shape: &DiskShape, rng: &mut Rng) -> Vec<u8> {
        let mut array = vec![0; self.slots as usize * 128];
        for part in &shape.partitions {
            let bytes = &mut array[(part.number as usize - 1) * 128..][..128];
            bytes[..16].copy_from_slice(&guid_bytes(gpt_type(part)));
            bytes[16..32].copy_from_slice(&rng.bytes::<16>());
            let first = part.start / shape.sector;
            let last = (part.start + part.size) / shape.sector - 1;
            bytes[32..40].copy_from_slice(&first.to_le_bytes());
            bytes[40..48].copy_from_slice(&last.to_le_bytes());
            let attributes: u64 = rng.pick(&[0, 0, 0, 1, 4, 1 << 60, 1 << 63]);
            bytes[48..56].copy_from_slice(&attributes.to_le_bytes());
            let name = rng.pick(&["", "root", "Microsoft Daten", "données é", "EFI system"]);
            for (unit, place) in name.encode_utf16().zip(bytes[56..].chunks_mut(2)) {
                place.copy_from_slice(&unit.to_le_bytes());
            }
        }
        array
    }
}

/// The partition's type says that the content is not what a file system's bitmap describes.
#[must_use]
pub fn type_says_raw(part: &PartitionShape) -> bool {
    part.wrong_type
}

fn mbr_type(part: &PartitionShape) -> u8 {
    if part.wrong_type {
        return [0x82, 0x8e, 0xfd][part.number as usize % 3];
    }
    match part.content {
        Content::Ntfs { .. } | Content::ExFat => 0x07,
        Content::Fat { bits: 12, .. } => 0x01,
        Content::Fat { bits: 16, .. } => 0x0e,
        Content::Fat { .. } => 0x0c,
        Content::Swap => 0x82,
        Content::LvmMember => 0x8e,
        Content::RaidMember { .. } => 0xfd,
        Content::ZfsMember => 0xbf,
        _ => 0x83,
    }
}

fn gpt_type(part: &PartitionShape) -> &'static str {
    const SWAP: &str = "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F";
    const LVM: &str = "E6D6D379-F507-44C2-A23C-238F2A3DF928";
    const RAID: &str = "A19D880F-05FC-4D3B-A006-743F0F84911E";
    if part.wrong_type {
        return [SWAP, LVM, RAID][part.number as usize % 3];
    }
    match part.content {
        Content::Ntfs { .. } | Content::ExFat | Content::Fat { .. } => {
            "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7"
        }
        Content::Swap => SWAP,
        Content::LvmMember => LVM,
        Content::RaidMember { .. } => RAID,
        Content::ZfsMember => "6A898CC3-1DD2-11B2-99A6-080020736631",
        _ => "0FC63DAF-8483-4772-8E79-3D69D8477DE4",
    }
}

/// The first three groups of the text are little-endian numbers.
fn guid_bytes(text: &str) -> [u8; 16] {
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    let mut bytes = [0; 16];
    for (place, at) in bytes.iter_mut().zip((0..).step_by(2)) {
        *place = u8::from_str_radix(&digits[at..at + 2], 16).expect("constants are hexadecimal");
    }
    bytes[..4].reverse();
    bytes[4..6].reverse();
    bytes[6..8].reverse();
    bytes
}

/// The checksum of GPT (start with all ones, invert at the end).
#[must_use]
pub fn crc32(bytes: &[u8], start: u32) -> u32 {
    !crc32_plain(bytes, start)
}

/// The same without the last inversion, as LVM has it.
#[must_use]
pub fn crc32_plain(bytes: &[u8], start: u32) -> u32 {
    bytes.iter().fold(start, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            (sum >> 1) ^ (0xEDB8_8320 & (sum & 1).wrapping_neg())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz_disks::sparse;
    use crate::tools::run;

    #[test]
    fn tools_believe_the_tables() {
        let folder = tempfile::tempdir().unwrap();
        let disk = folder.path().join("disk");
        let path = disk.to_str().unwrap();
        let (mut gpts, mut mbrs) = (0, 0);
        for seed in 0..150 {
            let shape = DiskShape::generate(seed);
            if shape.sector != 512 || shape.table == TableShape::None {
                continue;
            }
            sparse::blank(&disk, shape.size).unwrap();
            write(&disk, &shape).unwrap();
            if matches!(shape.table, TableShape::Gpt { .. }) {
                let verdict = run("sgdisk", ["-v", path]).unwrap();
                assert!(
                    verdict.contains("No problems found"),
                    "seed {seed}: {verdict}"
                );
                gpts += 1;
            } else {
                mbrs += 1;
            }
            let dump = run("sfdisk", ["-d", path]).unwrap();
            for part in &shape.partitions {
                let line = dump
                    .lines()
                    .find(|line| line.starts_with(&format!("{path}{} ", part.number)))
                    .unwrap_or_else(|| panic!("seed {seed}: no {} in {dump}", part.number));
                let numbers: Vec<u64> = line
                    .split([' ', ',', '='])
                    .filter_map(|word| word.parse().ok())
                    .collect();
                assert_eq!(
                    numbers[..2],
                    [part.start / 512, part.size / 512],
                    "seed {seed}: {dump}"
                );
            }
        }
        assert!(gpts > 30 && mbrs > 20, "{gpts}, {mbrs}");
    }
}
