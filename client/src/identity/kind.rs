//! Which file system a volume has, by its first bytes.

use std::ffi::CStr;

/// Bytes from the beginning by which file systems are told from each other.
pub(super) const HEAD: usize = 0x1_0048;

/// A file system that can be the root of a Linux system, the most usual one first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Kind {
    /// Also ext2 and ext3, which the kernel mounts as ext4.
    Ext4,
    Xfs,
    Btrfs,
}

impl Kind {
    /// That of a volume that begins with these bytes; `None` of every other one.
    pub(super) fn of(head: &[u8]) -> Option<Self> {
        let has = |at: usize, magic: &[u8]| head.get(at..at + magic.len()) == Some(magic);
        if has(0x438, &[0x53, 0xef]) {
            Some(Self::Ext4)
        } else if has(0, b"XFSB") {
            Some(Self::Xfs)
        } else if has(0x1_0040, b"_BHRfS_M") {
            Some(Self::Btrfs)
        } else {
            None
        }
    }

    /// As the kernel calls it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
        }
    }

    /// With which options it is looked at and stays as it is, also after a crash.
    pub(super) const fn untouched(self) -> Option<&'static CStr> {
        match self {
            Self::Ext4 => Some(c"noload"),
            Self::Xfs => Some(c"norecovery"),
            Self::Btrfs => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_systems_are_told_by_their_magic_numbers() {
        let with = |at: usize, magic: &[u8]| {
            let mut head = vec![0; HEAD];
            head[at..at + magic.len()].copy_from_slice(magic);
            Kind::of(&head)
        };
        assert_eq!(with(0x438, &[0x53, 0xef]), Some(Kind::Ext4));
        assert_eq!(with(0, b"XFSB"), Some(Kind::Xfs));
        assert_eq!(with(0x1_0040, b"_BHRfS_M"), Some(Kind::Btrfs));
        assert_eq!(with(0, b"LUKS"), None);
        // A volume that ends early.
        assert_eq!(Kind::of(b"XFS"), None);
        assert_eq!(Kind::of(&[]), None);
    }
}
