//! The partition table as captured, in a form that fits a larger disk.

/// How the disk was divided.
///
/// Of a GPT disk the table itself is kept here and *not* in the chunks, because both copies hold positions that depend on
/// the size of the disk. Of an MBR disk the boot sector and every extended boot record are ordinary used sectors, because
/// nothing in them depends on the size of the disk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PartitionTable {
    /// A file system, or something unknown, directly on the disk.
    None,
    Mbr,
    Gpt(GptTable),
}

/// A GUID partition table (UEFI 2.10 §5.3), less all that follows from the size of the disk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GptTable {
    /// The first 440 bytes of sector 0: boot code for BIOS machines.
    pub boot_code: Box<[u8; 440]>,
    /// As on disk (mixed endian).
    pub disk_guid: [u8; 16],
    /// Entries that the table has room for, used or not. At least 1, 128 on nearly all disks.
    pub entry_slots: u32,
    /// First sector a partition may use, in the disk's own sectors.
    pub first_usable_lba: u64,
    /// Used entries, ascending by number.
    pub entries: Vec<GptEntry>,
}

/// One used entry of a GPT.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GptEntry {
    /// Number as Linux counts it, from 1.
    pub number: u32,
    pub type_guid: [u8; 16],
    pub unique_guid: [u8; 16],
    pub first_lba: u64,
    /// Inclusive.
    pub last_lba: u64,
    pub attributes: u64,
    /// UTF-16LE, as on disk.
    pub name: [u16; 36],
}
