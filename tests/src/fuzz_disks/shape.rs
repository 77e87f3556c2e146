//! The description of one random disk.

use std::fmt;

pub const MIB: u64 = 1 << 20;

/// A disk, what is on it, and where it is deployed to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DiskShape {
    pub seed: u64,
    /// Bytes.
    pub size: u64,
    /// Bytes per sector: 512 or 4096.
    pub sector: u64,
    pub table: TableShape,
    /// Ascending by start; without a table one that is the whole disk, with number 0.
    pub partitions: Vec<PartitionShape>,
    /// Data outside all partitions.
    pub strays: Vec<Stray>,
    /// Noise where an MBR has its boot code.
    pub boot_code: bool,
}

/// How the disk is divided. Places are sectors.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TableShape {
    None,
    Mbr {
        /// First sector and sectors of the extended partition, with its type.
        extended: Option<(u64, u64, u8)>,
        /// The chain of extended boot records does not follow the places of the partitions.
        shuffled: bool,
    },
    Gpt {
        entries_lba: u64,
        slots: u64,
        first_usable: u64,
    },
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartitionShape {
    /// As Linux counts.
    pub number: u32,
    /// Bytes from the start of the disk.
    pub start: u64,
    pub size: u64,
    /// The sector of the extended boot record of a logical partition.
    pub record: Option<u64>,
    pub content: Content,
    /// What was in the partition before, and is still there where the new content did not write.
    pub old: Option<Content>,
    /// Size that the content was made for: less than the partition leaves a tail with data of
    /// somebody else, more is a file system that was cut off.
    pub volume_size: u64,
    /// Its type in the table says something else.
    pub wrong_type: bool,
    /// The power failed while the file system was in use.
    pub unclean: bool,
}

/// Data between or behind partitions, bytes of the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stray {
    pub start: u64,
    pub size: u64,
    /// No partition follows.
    pub behind: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Content {
    Ext {
        version: u8,
        block: u32,
        /// For `mke2fs -O`.
        features: &'static str,
        /// Blocks per group, 0: what mke2fs chooses.
        group: u32,
    },
    Ntfs {
        cluster: u32,
    },
    Fat {
        bits: u8,
        /// Sectors per cluster.
        cluster: u8,
    },
    ExFat,
    Xfs,
    Btrfs,
    Swap,
    Luks {
        version: u8,
    },
    LvmMember,
    /// A member of a RAID1 with this metadata version, times 10 (9, 10, 11, 12).
    RaidMember {
        version: u8,
    },
    ZfsMember,
    /// Bytes without a meaning, with holes.
    Noise,
    Empty,
}

impl Content {
    /// The word for it in the counts of the report.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Ext { version: 2, .. } => "ext2",
            Self::Ext { version: 3, .. } => "ext3",
            Self::Ext { .. } => "ext4",
            Self::Ntfs { .. } => "ntfs",
            Self::Fat { bits: 12, .. } => "fat12",
            Self::Fat { bits: 16, .. } => "fat16",
            Self::Fat { .. } => "fat32",
            Self::ExFat => "exfat",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
            Self::Swap => "swap",
            Self::Luks { .. } => "luks",
            Self::LvmMember => "lvm",
            Self::RaidMember { .. } => "raid",
            Self::ZfsMember => "zfs",
            Self::Noise => "noise",
            Self::Empty => "empty",
        }
    }

    /// Whether its marks, or some of them, are counted from the end of the partition.
    #[must_use]
    pub const fn has_marks_at_end(self) -> bool {
        matches!(self, Self::RaidMember { version: 9 | 10 } | Self::ZfsMember)
    }

    /// Whether files in it can be made and compared.
    #[must_use]
    pub const fn has_files(self) -> bool {
        matches!(
            self,
            Self::Ext { .. } | Self::Ntfs { .. } | Self::Fat { .. } | Self::Xfs | Self::Btrfs
        )
    }
}

/// A disk that an image is deployed to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TargetShape {
    pub size: u64,
    pub old: OldTarget,
}

/// What is on a target before.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum OldTarget {
    Blank,
    /// Noise in many places, also at both ends.
    Noise,
    /// Superblocks on the whole disk and in the places of the image's partitions.
    Signatures(Vec<Content>),
    Disk(Box<DiskShape>),
}

impl OldTarget {
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Blank => "blank",
            Self::Noise => "noise",
            Self::Signatures(_) => "signatures",
            Self::Disk(_) => "disk",
        }
    }
}

impl TableShape {
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Mbr { extended: None, .. } => "mbr",
            Self::Mbr { shuffled: true, .. } => "mbr, logical out of order",
            Self::Mbr { .. } => "mbr, logical",
            Self::Gpt { entries_lba: 2, .. } => "gpt",
            Self::Gpt { .. } => "gpt, moved entries",
        }
    }
}

impl fmt::Display for DiskShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} bytes, sectors of {}, table {:?}",
            self.size, self.sector, self.table
        )?;
        for part in &self.partitions {
            write!(
                f,
                "\n  {} at {} ({} bytes): {:?}",
                part.number, part.start, part.size, part.content
            )?;
            if let Some(old) = part.old {
                write!(f, " over {old:?}")?;
            }
            if part.volume_size != part.size {
                write!(f, ", made for {} bytes", part.volume_size)?;
            }
            for (is, word) in [(part.wrong_type, "wrong type"), (part.unclean, "unclean")] {
                if is {
                    write!(f, ", {word}")?;
                }
            }
        }
        for stray in &self.strays {
            write!(f, "\n  data at {} ({} bytes)", stray.start, stray.size)?;
            if stray.behind {
                f.write_str(" behind the last partition")?;
            }
        }
        Ok(())
    }
}
