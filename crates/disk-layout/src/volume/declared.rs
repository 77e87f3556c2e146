//! What a partition table says about the contents of a partition, where that rules out the file
//! systems that are read here.

use crate::layout::DeclaredType;

/// A GUID as the bytes lie in an entry of a GPT: the first three groups have their lowest byte
/// first.
const fn guid(text: &[u8; 36]) -> [u8; 16] {
    const ORDER: [usize; 16] = [6, 4, 2, 0, 11, 9, 16, 14, 19, 21, 24, 26, 28, 30, 32, 34];
    let mut bytes = [0; 16];
    let mut index = 0;
    while index < 16 {
        let at = ORDER[index];
        bytes[index] = digit(text[at]) << 4 | digit(text[at + 1]);
        index += 1;
    }
    bytes
}

const fn digit(letter: u8) -> u8 {
    match letter {
        b'0'..=b'9' => letter - b'0',
        b'A'..=b'F' => letter - b'A' + 10,
        _ => panic!("GUIDs are in capital letters here"),
    }
}

/// Types of GPT partitions (UEFI specification, and what the makers of each system publish).
const GPT: &[([u8; 16], &str)] = &[
    (guid(b"E3C9E316-0B5C-4DB8-817D-F92DF00215AE"), RESERVED),
    (guid(b"5808C8AA-7E8F-42E0-85D2-E1E90434CFB3"), DYNAMIC),
    (guid(b"AF9B60A0-1431-4F62-BC68-3311714A69AD"), DYNAMIC),
    (
        guid(b"E75CAF8F-F680-4CEE-AFA3-B001E56EFC2D"),
        "Storage Spaces",
    ),
    (guid(b"37AFFC90-EF7D-4E96-91C3-2D7AE055B174"), "IBM GPFS"),
    (guid(b"21686148-6449-6E6F-744E-656564454649"), BIOS_BOOT),
    (
        guid(b"D3BFE2DE-3DAF-11DF-BA40-E3A556D89593"),
        "Intel Fast Flash",
    ),
    (guid(b"9E1A2D38-C612-4316-AA26-8B49521E5A8B"), "PReP boot"),
    (guid(b"A19D880F-05FC-4D3B-A006-743F0F84911E"), RAID),
    (guid(b"0657FD6D-A4AB-43C4-84E5-0933C84B4F4F"), SWAP),
    (guid(b"E6D6D379-F507-44C2-A23C-238F2A3DF928"), LVM),
    (guid(b"7FFEC5C9-2D00-49B7-8941-3EA10A5586B7"), "dm-crypt"),
    (guid(b"CA7D7CCB-63ED-4C53-861C-1742536059CC"), "LUKS"),
    (
        guid(b"8DA63339-0007-60C0-C436-083AC8230908"),
        "Linux reserved",
    ),
    (guid(b"2C7357ED-EBD2-46D9-AEC1-23D437EC2BF5"), "dm-verity"),
    (guid(b"D13C5D3B-B5D1-422A-B29F-9454FDC89D76"), "dm-verity"),
    (guid(b"77FF5F63-E7B6-4633-ACF4-1565B864C0E6"), "dm-verity"),
    (guid(b"8F461B0D-14EE-4E81-9AA9-049B6FB97ABD"), "dm-verity"),
    (guid(b"BE9067B9-EA49-4F15-B4F6-F36F8C9E1818"), RAID),
    (
        guid(b"FE3A2A5D-4F32-41A7-B725-ACCC3285A309"),
        "ChromeOS kernel",
    ),
    (guid(b"45B0969E-9B03-4F30-B4C6-B4B80CEFF106"), "Ceph"),
    (guid(b"4FBD7E29-9D25-41B8-AFD0-062C0CEFF05D"), "Ceph"),
    (guid(b"CAFECAFE-9B03-4F30-B4C6-B4B80CEFF106"), "Ceph"),
    (guid(b"AA31E02A-400F-11DB-9590-000C2911D1B8"), "VMware VMFS"),
    (
        guid(b"9D275380-40AD-11DB-BF97-000C2911D1B8"),
        "VMware core dump",
    ),
    (
        guid(b"9198EFFC-31C0-11DB-8F78-000C2911D1B8"),
        "VMware reserved",
    ),
    (
        guid(b"83BD6B9D-7F41-11DC-BE0B-001560B84F0F"),
        "FreeBSD boot",
    ),
    (guid(b"516E7CB4-6ECF-11D6-8FF8-00022D09712B"), "FreeBSD"),
    (
        guid(b"516E7CB5-6ECF-11D6-8FF8-00022D09712B"),
        "FreeBSD swap",
    ),
    (guid(b"516E7CB6-6ECF-11D6-8FF8-00022D09712B"), "FreeBSD UFS"),
    (
        guid(b"516E7CB8-6ECF-11D6-8FF8-00022D09712B"),
        "FreeBSD Vinum",
    ),
    (guid(b"516E7CBA-6ECF-11D6-8FF8-00022D09712B"), "FreeBSD ZFS"),
    (guid(b"824CC7A0-36A8-11E3-890A-952519AD3F61"), "OpenBSD"),
    (guid(b"48465300-0000-11AA-AA11-00306543ECAC"), "Apple HFS+"),
    (guid(b"7C3457EF-0000-11AA-AA11-00306543ECAC"), "Apple APFS"),
    (guid(b"55465300-0000-11AA-AA11-00306543ECAC"), "Apple UFS"),
    (guid(b"52414944-0000-11AA-AA11-00306543ECAC"), "Apple RAID"),
    (guid(b"52414944-5F4F-11AA-AA11-00306543ECAC"), "Apple RAID"),
    (
        guid(b"53746F72-6167-11AA-AA11-00306543ECAC"),
        "Apple Core Storage",
    ),
];

/// The last ten bytes that all types of a family share: Solaris (also ZFS on Linux), NetBSD.
const GPT_FAMILIES: &[([u8; 16], &str)] = &[
    (
        guid(b"00000000-1DD2-11B2-99A6-080020736631"),
        "Solaris or ZFS",
    ),
    (guid(b"00000000-B10E-11DC-B99B-0019D1879648"), "NetBSD"),
];

const RESERVED: &str = "Microsoft reserved";
const DYNAMIC: &str = "a dynamic disk of Windows";
const BIOS_BOOT: &str = "BIOS boot";
const RAID: &str = "Linux RAID";
const SWAP: &str = "swap";
const LVM: &str = "LVM";

/// Types of MBR partitions.
const MBR: &[(u8, &str)] = &[
    (0x41, "PReP boot"),
    (0x42, DYNAMIC),
    (0x4d, "QNX"),
    (0x4e, "QNX"),
    (0x4f, "QNX"),
    (0x63, "UNIX System V"),
    (0x64, "NetWare"),
    (0x65, "NetWare"),
    (0x80, "Minix"),
    (0x81, "Minix"),
    (0x82, SWAP),
    (0x84, "hibernation"),
    (0x8e, LVM),
    (0xa0, "hibernation"),
    (0xa5, "FreeBSD"),
    (0xa6, "OpenBSD"),
    (0xa8, "Darwin UFS"),
    (0xa9, "NetBSD"),
    (0xab, "Darwin boot"),
    (0xaf, "Apple HFS+"),
    (0xbe, "Solaris boot"),
    (0xbf, "Solaris"),
    (0xe8, "LUKS"),
    (0xeb, "BeOS"),
    (0xfb, "VMware VMFS"),
    (0xfc, "VMware swap"),
    (0xfd, RAID),
];

/// What the table says the partition is, if that is none of ext, NTFS and FAT.
pub(super) fn other_than_a_file_system(declared: DeclaredType) -> Option<&'static str> {
    match declared {
        DeclaredType::Unknown => None,
        DeclaredType::Mbr(found) => MBR
            .iter()
            .find_map(|(code, name)| (*code == found).then_some(*name)),
        DeclaredType::Gpt(found) => GPT
            .iter()
            .find(|(guid, _)| *guid == found)
            .or_else(|| {
                GPT_FAMILIES
                    .iter()
                    .find(|(guid, _)| guid[4..] == found[4..])
            })
            .map(|(_, name)| *name),
    }
}

/// Whether such a partition is expected to hold nothing that anybody would look for.
pub(super) fn is_unremarkable(name: &str) -> bool {
    matches!(name, RESERVED | BIOS_BOOT | SWAP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_known_by_their_bytes() {
        // As sgdisk writes type 0C01.
        let reserved = [
            0x16, 0xe3, 0xc9, 0xe3, 0x5c, 0x0b, 0xb8, 0x4d, 0x81, 0x7d, 0xf9, 0x2d, 0xf0, 0x02,
            0x15, 0xae,
        ];
        let other = |declared| other_than_a_file_system(declared);
        assert_eq!(other(DeclaredType::Gpt(reserved)), Some(RESERVED));
        assert_eq!(
            other(DeclaredType::Gpt(guid(
                b"6A898CC3-1DD2-11B2-99A6-080020736631"
            ))),
            Some("Solaris or ZFS")
        );
        // Basic data, Linux, EFI system.
        for text in [
            b"EBD0A0A2-B9E5-4433-87C0-68B6B72699C7",
            b"0FC63DAF-8483-4772-8E79-3D69D8477DE4",
            b"C12A7328-F81F-11D2-BA4B-00A0C93EC93B",
        ] {
            assert_eq!(other(DeclaredType::Gpt(guid(text))), None);
        }
        assert_eq!(other(DeclaredType::Mbr(0xfd)), Some(RAID));
        for code in [0x07, 0x0c, 0x27, 0x83, 0xef] {
            assert_eq!(other(DeclaredType::Mbr(code)), None);
        }
    }
}
