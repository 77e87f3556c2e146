//! Signatures that are nothing but fixed bytes at a fixed place. Places and bytes are those that
//! each format's own documentation, or the header file of its driver, gives.

use super::Class;

/// Where a signature is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    /// Bytes from the start of the partition.
    Start(u64),
    /// Bytes in front of the end of the partition.
    End(u64),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Magic {
    pub(super) name: &'static str,
    pub(super) class: Class,
    pub(super) place: Place,
    pub(super) bytes: &'static [u8],
}

const fn at(offset: u64, name: &'static str, bytes: &'static [u8]) -> Magic {
    Magic {
        name,
        class: Class::Volume,
        place: Place::Start(offset),
        bytes,
    }
}

const fn member(offset: u64, name: &'static str, bytes: &'static [u8]) -> Magic {
    Magic {
        class: Class::Member,
        ..at(offset, name, bytes)
    }
}

const fn raid(from_end: u64, name: &'static str, bytes: &'static [u8]) -> Magic {
    Magic {
        class: Class::Member,
        place: Place::End(from_end),
        ..at(0, name, bytes)
    }
}

const fn of(class: Class, magic: Magic) -> Magic {
    Magic { class, ..magic }
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// File systems.
pub(super) const FILE_SYSTEMS: &[Magic] = &[
    at(0, "XFS", b"XFSB"),
    at(0, "the log of an XFS", &[0xfe, 0xed, 0xba, 0xbe]),
    at(64 * KIB + 64, "Btrfs", b"_BHRfS_M"),
    at(3, "exFAT", b"EXFAT   "),
    at(3, "ReFS", b"ReFS\0"),
    at(KIB, "F2FS", &[0x10, 0x20, 0xf5, 0xf2]),
    at(32 * KIB, "JFS", b"JFS1"),
    at(8 * KIB + 52, "ReiserFS", b"ReIsEr"),
    at(64 * KIB + 52, "ReiserFS", b"ReIsEr"),
    at(8 * KIB + 20, "ReiserFS", b"ReIsEr"),
    at(64 * KIB, "Reiser4", b"ReIsEr4"),
    at(32 * KIB + 1, "ISO 9660", b"CD001"),
    at(32 * KIB + 9, "High Sierra", b"CDROM"),
    at(32 * KIB + 1, "UDF", b"BEA01"),
    at(32 * KIB + 1, "UDF", b"NSR02"),
    at(32 * KIB + 1, "UDF", b"NSR03"),
    at(32 * KIB + 1, "UDF", b"BOOT2"),
    at(0, "SquashFS", b"hsqs"),
    at(0, "SquashFS", b"sqsh"),
    at(0, "SquashFS", b"qshs"),
    at(0, "SquashFS", b"shsq"),
    at(KIB, "EROFS", &[0xe2, 0xe1, 0xf5, 0xe0]),
    at(16, "cramfs", b"Compressed ROMFS"),
    at(0, "romfs", b"-rom1fs-"),
    at(32, "APFS", b"NXSB"),
    at(64 * KIB, "GFS", &[0x01, 0x16, 0x19, 0x70]),
    at(KIB, "OCFS2", b"OCFSV2"),
    at(2 * KIB, "OCFS2", b"OCFSV2"),
    at(4 * KIB, "OCFS2", b"OCFSV2"),
    at(8 * KIB, "OCFS2", b"OCFSV2"),
    at(8, "OCFS", b"OracleCFS"),
    at(32, "Oracle ASM", b"ORCLDISK"),
    at(KIB, "VxFS", &[0xf5, 0xfc, 0x01, 0xa5]),
    at(8 * KIB, "VxFS", &[0xa5, 0x01, 0xfc, 0xf5]),
    at(0, "BFS", &[0xce, 0xfa, 0xad, 0x1b]),
    at(32, "BeFS", b"BFS1"),
    at(32, "BeFS", b"1SFB"),
    at(512 + 32, "BeFS", b"BFS1"),
    at(512 + 32, "BeFS", b"1SFB"),
    at(8 * KIB, "HPFS", &[0x49, 0xe8, 0x95, 0xf9]),
    at(KIB - 8, "a System V file system", &[0x20, 0x7e, 0x18, 0xfd]),
    at(KIB - 8, "a System V file system", &[0xfd, 0x18, 0x7e, 0x20]),
    at(2 * KIB - 8, "Xenix", &[0x44, 0x55, 0x2b, 0x00]),
    at(4 * KIB, "NetWare NSS", b"SPB5"),
    at(2 * MIB, "VMFS", &[0x5e, 0xf1, 0xab, 0x2f]),
    at(0, "exfs", b"EXFS"),
    at(0, "zonefs", b"SFOZ"),
    at(0, "UBIFS", &[0x31, 0x18, 0x10, 0x06]),
];

/// The second header of LUKS 2, which is at one of several places.
pub(super) const SPARE_LUKS: &str = "a spare LUKS header";

/// What a partition is only a part of.
pub(super) const MEMBERS: &[Magic] = &[
    member(0, "UBI", b"UBI#"),
    member(MIB, "a VMFS volume", &[0x0d, 0xd0, 0x01, 0xc0]),
    member(
        4 * KIB + 24,
        "bcache",
        &[
            0xc6, 0x85, 0x73, 0xf6, 0x4e, 0x1a, 0x45, 0xca, 0x82, 0x65, 0xf5, 0x7f, 0x48, 0xba,
            0x6d, 0x81,
        ],
    ),
    member(
        4 * KIB + 24,
        "bcachefs",
        &[
            0xc6, 0x85, 0x73, 0xf6, 0x66, 0xce, 0x90, 0xa9, 0xd9, 0x6a, 0x60, 0xcf, 0x80, 0x3d,
            0xf7, 0xef,
        ],
    ),
    member(0, "a Ceph object store", b"bluestore block device\n"),
    member(512 + 4, "Stratis", b"!Stra0tis\x86\xff\x02^\x41rh"),
    member(9 * 512 + 4, "Stratis", b"!Stra0tis\x86\xff\x02^\x41rh"),
    member(0, "VDO", b"dmvdo001"),
    member(0, "LVM2", b"LABELONE"),
    member(512, "LVM2", b"LABELONE"),
    member(1024, "LVM2", b"LABELONE"),
    member(1536, "LVM2", b"LABELONE"),
    member(0, "LVM", b"HM\x01\0"),
    member(0, "LVM", b"HM\x02\0"),
    member(0, "an LVM snapshot", b"SnAp"),
    member(0, "dm-verity", b"verity\0\0"),
    member(0, "dm-integrity", b"integrt\0"),
    member(0, "mpool", b"mpoolDev"),
    member(0, "DRBD control data", b"$DRBDmgr=q"),
    of(Class::Luks, member(0, "LUKS", b"LUKS\xba\xbe")),
    of(Class::Volume, member(16 * KIB, SPARE_LUKS, b"SKUL\xba\xbe")),
    of(Class::Volume, member(32 * KIB, SPARE_LUKS, b"SKUL\xba\xbe")),
    of(Class::Volume, member(64 * KIB, SPARE_LUKS, b"SKUL\xba\xbe")),
    of(
        Class::Volume,
        member(128 * KIB, SPARE_LUKS, b"SKUL\xba\xbe"),
    ),
    of(
        Class::Volume,
        member(256 * KIB, SPARE_LUKS, b"SKUL\xba\xbe"),
    ),
    of(
        Class::Volume,
        member(512 * KIB, SPARE_LUKS, b"SKUL\xba\xbe"),
    ),
    of(Class::Volume, member(MIB, SPARE_LUKS, b"SKUL\xba\xbe")),
    of(Class::Volume, member(2 * MIB, SPARE_LUKS, b"SKUL\xba\xbe")),
    of(Class::Volume, member(4 * MIB, SPARE_LUKS, b"SKUL\xba\xbe")),
];

/// RAID of mainboards and controllers, and of systems that do as they: in the last sectors, which other
/// systems leave alone.
pub(super) const FIRMWARE_RAID: &[Magic] = &[
    raid(512, "a DDF RAID", &[0xde, 0x11, 0xde, 0x11]),
    raid(257 * 512, "a DDF RAID", &[0xde, 0x11, 0xde, 0x11]),
    raid(512, "a DDF RAID", &[0x11, 0xde, 0x11, 0xde]),
    raid(4096, "a DDF RAID", &[0xde, 0x11, 0xde, 0x11]),
    raid(2 * 512, "an Intel RAID", b"Intel Raid ISM Cfg Sig. "),
    raid(2 * 4096, "an Intel RAID", b"Intel Raid ISM Cfg Sig. "),
    raid(512, "an LSI RAID", b"$XIDE$"),
    raid(2 * 512, "an Nvidia RAID", b"NVIDIA"),
    raid(512 - 0x60, "a Silicon Image RAID", &[0, 0, 0, 0x2f]),
    raid(512, "an Adaptec RAID", &[0x37, 0xfc, 0x4d, 0x1e]),
    // Of FreeBSD (mirrors, labels, encryption) and macOS: libblkid does not know them.
    raid(512, "a GEOM class of FreeBSD", b"GEOM::"),
    raid(4096, "a GEOM class of FreeBSD", b"GEOM::"),
    raid(4096, "an Apple RAID", b"AppleRAIDHeader"),
    raid(11 * 512, "a HighPoint RAID", &[0xf3, 0x16, 0x78, 0x5a]),
    raid(11 * 512, "a HighPoint RAID", &[0xfd, 0x16, 0x78, 0x5a]),
    member(9 * 512 + 32, "a HighPoint RAID", &[0xf0, 0x16, 0x78, 0x5a]),
    member(9 * 512 + 32, "a HighPoint RAID", &[0xfd, 0x16, 0x78, 0x5a]),
];

/// Sectors in front of the end where Promise controllers keep their data.
pub(super) const PROMISE_SECTORS: [u64; 13] = [
    16, 63, 255, 256, 399, 591, 675, 735, 911, 951, 974, 991, 3087,
];
pub(super) const PROMISE: &[u8] = b"Promise Technology, Inc.";

/// Other partition tables than GPT and MBR.
pub(super) const TABLES: &[Magic] = &[
    of(
        Class::Table,
        at(0, "a BSD disk label", &[0x57, 0x45, 0x56, 0x82]),
    ),
    of(
        Class::Table,
        at(64, "a BSD disk label", &[0x57, 0x45, 0x56, 0x82]),
    ),
    of(
        Class::Table,
        at(512, "a BSD disk label", &[0x57, 0x45, 0x56, 0x82]),
    ),
    of(
        Class::Table,
        at(0, "an SGI disk label", &[0x0b, 0xe5, 0xa9, 0x41]),
    ),
    of(Class::Table, at(512, "an Apple partition map", b"PM\0\0")),
    of(
        Class::Table,
        at(0, "an AIX disk label", &[0xc9, 0xc2, 0xd4, 0xc1]),
    ),
    of(
        Class::Table,
        at(512 + 12, "a Solaris disk label", &[0xee, 0xde, 0x0d, 0x60]),
    ),
    of(
        Class::Table,
        at(
            29 * 512 + 4,
            "a UnixWare disk label",
            &[0x0d, 0x60, 0x5e, 0xca],
        ),
    ),
    of(Class::Table, at(0, "an Amiga partition table", b"RDSK")),
    of(Class::Table, at(512, "an Amiga partition table", b"RDSK")),
    of(Class::Table, at(1024, "an Amiga partition table", b"RDSK")),
    of(Class::Table, at(1536, "an Amiga partition table", b"RDSK")),
];

/// Sizes of a memory page; swap has its signature at the end of the first.
pub(super) const PAGE_SIZES: [u64; 5] = [4 * KIB, 8 * KIB, 16 * KIB, 32 * KIB, 64 * KIB];
pub(super) const SWAP: [&[u8; 10]; 2] = [b"SWAP-SPACE", b"SWAPSPACE2"];
/// What stands there instead while a system is suspended to it: in-kernel suspend, uswsusp, and
/// TuxOnIce.
pub(super) const SUSPENDED: [&[u8]; 4] = [b"S1SUSPEND", b"S2SUSPEND", b"ULSUSPEND", b"LINHIB0001"];
/// TuxOnIce also marks the first bytes.
pub(super) const TUX_ON_ICE: [u8; 8] = [0xed, 0xc3, 0x02, 0xe9, 0x98, 0x56, 0xe5, 0x0c];
