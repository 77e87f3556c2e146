//! The partition table as captured, in a form that fits a larger disk.

use foghorn_types::{ByteCount, SectorSize};

/// Bytes of one GPT entry. The specification allows larger ones; no tool makes them and Foghorn
/// refuses them.
pub const GPT_ENTRY_SIZE: u64 = 128;

/// Most entry slots that a GPT may have here. Windows makes 128; the specification names no limit,
/// memory does.
pub const MAX_GPT_SLOTS: u32 = 4096;

/// How the disk was divided.
///
/// Of a GPT disk the table itself is kept here and *not* in the chunks, because both copies hold
/// positions that depend on the size of the disk. Of an MBR disk the boot sector and every extended
/// boot record are ordinary used sectors, because nothing in them depends on the size of the disk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PartitionTable {
    /// A file system, or something unknown, directly on the disk.
    None,
    /// A master boot record; it is part of the chunks.
    Mbr,
    /// A GUID partition table, which is written from this data.
    Gpt(GptTable),
}

/// A GUID partition table (UEFI 2.10 §5.3), less all that follows from the size of the disk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GptTable {
    /// The first 440 bytes of sector 0: boot code for BIOS machines.
    pub boot_code: Box<[u8; 440]>,
    /// Bytes 440 to 445 of sector 0: the disk signature and two reserved bytes. Zero on nearly all
    /// GPT disks.
    pub mbr_signature: [u8; 6],
    /// Whether the protective entry of sector 0 is marked active, without which some BIOSes do not
    /// boot from the disk.
    pub protective_active: bool,
    /// Whether the protective entry gives its end as cylinder, head and sector too, as the
    /// specification wants where the disk is small enough (8 GB); some tools always leave it
    /// at the largest value.
    pub protective_end_chs: bool,
    /// As on disk (mixed endian).
    pub disk_guid: [u8; 16],
    /// Entries that the table has room for, used or not. At least 1, 128 on nearly all disks.
    pub entry_slots: u32,
    /// First sector of the primary copy's entries: 2 on nearly all disks, more where a boot loader
    /// lies between the header and the entries.
    pub entries_lba: u64,
    /// First sector a partition may use, in the disk's own sectors.
    pub first_usable_lba: u64,
    /// Used entries, ascending by number.
    pub entries: Vec<GptEntry>,
}

impl GptTable {
    /// Sectors that one copy of the entries takes.
    #[must_use]
    pub const fn array_sectors(&self, sector_size: SectorSize) -> u64 {
        (self.entry_slots as u64 * GPT_ENTRY_SIZE).div_ceil(sector_size.bytes())
    }

    /// Bytes that the backup copy takes at the end of the disk: the entries and one header sector.
    #[must_use]
    pub const fn backup_size(&self, sector_size: SectorSize) -> ByteCount {
        ByteCount::from_bytes((self.array_sectors(sector_size) + 1) * sector_size.bytes())
    }
}

/// One used entry of a GPT.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GptEntry {
    /// Number as Linux counts it, from 1.
    pub number: u32,
    /// What the partition is for, as the bytes lie on the disk.
    pub type_guid: [u8; 16],
    /// Tells the partition from all others, as the bytes lie on the disk.
    pub unique_guid: [u8; 16],
    /// First sector.
    pub first_lba: u64,
    /// Inclusive.
    pub last_lba: u64,
    /// Flags, see the UEFI specification.
    pub attributes: u64,
    /// UTF-16LE, as on disk.
    pub name: [u16; 36],
}
