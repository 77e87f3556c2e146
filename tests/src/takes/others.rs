//! What is taken raw: other file systems, parts of something larger, marks of two things, and
//! partitions that are something else by their type.

use std::path::Path;

use anyhow::Result;

use super::{Place, Thing, data, patch, tool, tool_with_room};
use crate::disks::MIB;
use crate::old_content::Old;
use crate::unclear;

const LINUX: &str = "8300";
const WINDOWS: &str = "0700";
const KIB: u64 = 1 << 10;

#[must_use]
pub fn all() -> Vec<Thing> {
    let mut all = file_systems();
    all.extend(members());
    all.extend(several());
    all.extend(nested());
    all.extend(declared());
    all
}

fn thing(
    (what, state): (&'static str, &'static str),
    kind: &'static str,
    mib: u64,
    says: &'static str,
    make: impl Fn(&Path) -> Result<()> + Send + Sync + 'static,
) -> Thing {
    Thing {
        what,
        state,
        says,
        mib,
        place: Place::Partition(kind),
        make: Box::new(make),
    }
}

/// A thing that is known by bytes at a place.
fn marked(what: &'static str, says: &'static str, at: u64, mark: &'static [u8]) -> Thing {
    thing((what, "any"), LINUX, 4, says, move |file| {
        data(file, 3 * MIB, 4096)?;
        patch(file, at, mark)
    })
}

fn file_systems() -> Vec<Thing> {
    let mut all = vec![];
    for (what, mib, line) in [
        ("JFS", 16, "mkfs.jfs -q FILE"),
        ("UDF", 8, "mkudffs FILE"),
        ("Minix", 8, "mkfs.minix -3 FILE"),
        ("BFS", 4, "mkfs.bfs FILE"),
    ] {
        all.push(thing((what, "any"), LINUX, mib, what, move |file| {
            tool(line, file)
        }));
    }
    // Their tools want more room, or decide about the size of the file.
    for (what, room, line) in [
        ("F2FS", 320, "mkfs.f2fs -q -f FILE"),
        ("ReiserFS", 48, "mkreiserfs -q -ff FILE"),
        ("NILFS2", 48, "mkfs.nilfs2 -f -B 64 FILE"),
        ("OCFS2", 320, "mkfs.ocfs2 -x -q -M local -F FILE"),
        ("GFS2", 320, "mkfs.gfs2 -q -O -p lock_nolock -j 1 FILE"),
        ("ISO 9660", 4, "genisoimage -quiet -o FILE DIR"),
        ("SquashFS", 4, "mksquashfs DIR FILE -noappend -quiet"),
        ("EROFS", 4, "mkfs.erofs FILE DIR"),
        ("cramfs", 4, "mkfs.cramfs DIR FILE"),
    ] {
        // GFS2 has the mark of its predecessor.
        let says = if what == "GFS2" { "GFS" } else { what };
        all.push(thing((what, "any"), LINUX, 4, says, move |file| {
            tool_with_room(line, file, room)
        }));
    }
    for (what, old) in [
        ("XFS", Old::Xfs),
        ("Btrfs", Old::Btrfs),
        ("exFAT", Old::ExFat),
    ] {
        all.push(thing((what, "any"), LINUX, 4, what, move |file| {
            old.make(file)
        }));
    }
    all.extend([
        marked("ReFS", "ReFS", 3, b"ReFS\0\0\0\0"),
        marked("APFS", "APFS", 32, b"NXSB"),
        marked("UFS", "UFS", 8 * KIB + 1372, &[0x54, 0x19, 0x01, 0]),
        marked("VMFS", "VMFS", 2 * MIB, &[0x5e, 0xf1, 0xab, 0x2f]),
        thing(("HFS+", "any"), LINUX, 4, "HFS", |file| {
            patch(file, KIB, b"H+\0\x04")?;
            // Bytes of a block.
            patch(file, KIB + 40, &4096_u32.to_be_bytes())
        }),
    ]);
    all
}

fn members() -> Vec<Thing> {
    let mut all = vec![];
    for (what, says, mib, old) in [
        ("a Linux RAID 0.90", "a Linux RAID", 4, Old::Md("0.90")),
        ("a Linux RAID 1.0", "a Linux RAID", 4, Old::Md("1.0")),
        ("a Linux RAID 1.1", "a Linux RAID", 4, Old::Md("1.1")),
        ("a Linux RAID 1.2", "a Linux RAID", 4, Old::Md("1.2")),
        ("an Intel RAID", "an Intel RAID", 4, Old::IntelRaid),
        ("a Promise RAID", "a Promise RAID", 4, Old::PromiseRaid),
        ("an LVM volume group", "LVM2", 4, Old::Lvm),
        ("a ZFS pool", "a ZFS pool", 4, Old::Zfs),
        ("a bcache", "bcache", 4, Old::Bcache),
    ] {
        all.push(thing(
            (what, "a member of it"),
            LINUX,
            mib,
            says,
            move |file| old.make(file),
        ));
    }
    for (what, says, at, mark) in [
        (
            "a DDF RAID",
            "a DDF RAID",
            4 * MIB - 512,
            &[0xde, 0x11, 0xde, 0x11][..],
        ),
        (
            "an Apple RAID",
            "an Apple RAID",
            4 * MIB - 4096,
            b"AppleRAIDHeader",
        ),
        (
            "a GEOM class of FreeBSD",
            "GEOM",
            4 * MIB - 512,
            b"GEOM::MIRROR",
        ),
        (
            "a Ceph object store",
            "Ceph",
            0,
            b"bluestore block device\n",
        ),
        (
            "a Stratis pool",
            "Stratis",
            516,
            b"!Stra0tis\x86\xff\x02^\x41rh",
        ),
        ("a VDO volume", "VDO", 0, b"dmvdo001"),
        (
            "a DRBD",
            "DRBD",
            4 * MIB - 4096 + 60,
            &[0x83, 0x74, 0x02, 0x6b],
        ),
        ("a VMFS volume", "VMFS", MIB, &[0x0d, 0xd0, 0x01, 0xc0]),
    ] {
        all.push(Thing {
            state: "a member of it",
            ..marked(what, says, at, mark)
        });
    }
    all
}

/// Marks of two things, of which nobody can tell which counts.
fn several() -> Vec<Thing> {
    let what = "marks of two things";
    vec![
        thing(
            (what, "a RAID over an old NTFS"),
            WINDOWS,
            16,
            "has the marks of",
            |file| unclear::raid_over_ntfs(file, 16 * MIB),
        ),
        thing(
            (what, "an LVM over an old ext4"),
            LINUX,
            8,
            "has the marks of",
            |file| {
                Old::Ext(4, 4096).make(file)?;
                Old::Lvm.make(file)
            },
        ),
        thing(
            (what, "a Btrfs over an old FAT"),
            LINUX,
            16,
            "has the marks of",
            |file| {
                Old::Fat(16).make(file)?;
                patch(file, 64 * KIB + 64, b"_BHRfS_M")
            },
        ),
        thing(
            (what, "an ext4 over an old ZFS"),
            LINUX,
            8,
            "has the marks of",
            |file| {
                Old::Zfs.make(file)?;
                // The labels at the end, which only stay where nothing can be discarded.
                tool("mke2fs -qF -t ext4 -b 1024 -E nodiscard FILE", file)
            },
        ),
    ]
}

fn nested() -> Vec<Thing> {
    let what = "a partition table inside a partition";
    let says = "holds a";
    vec![
        thing((what, "GPT"), LINUX, 4, says, |file| Old::Gpt.make(file)),
        thing((what, "MBR"), LINUX, 4, says, |file| Old::Mbr.make(file)),
        thing(
            (what, "label of BSD"),
            LINUX,
            4,
            "a BSD disk label",
            |file| patch(file, 512, &[0x57, 0x45, 0x56, 0x82]),
        ),
    ]
}

/// Types that say that there is no file system of the kinds that are read.
fn declared() -> Vec<Thing> {
    let mut all = vec![];
    for (what, kind, says) in [
        (
            "type Microsoft reserved",
            "0c01",
            "is Microsoft reserved by its type",
        ),
        ("type BIOS boot", "ef02", "is BIOS boot by its type"),
        ("type swap", "8200", "is swap by its type"),
        ("type Linux RAID", "fd00", "is Linux RAID by its type"),
        ("type LVM", "8e00", "is LVM by its type"),
        ("type ZFS", "bf01", "is Solaris or ZFS by its type"),
        ("type VMFS", "fb00", "is VMware VMFS by its type"),
    ] {
        all.push(thing(
            (what, "nothing that is known"),
            kind,
            4,
            says,
            |file| data(file, MIB, 4096),
        ));
        all.push(thing((what, "as if it held ext4"), kind, 8, says, |file| {
            Old::Ext(4, 1024).make(file)
        }));
        all.push(thing((what, "as if it held NTFS"), kind, 8, says, |file| {
            unclear::ntfs(file, 8 * MIB)
        }));
        all.push(thing((what, "as if it held FAT"), kind, 16, says, |file| {
            Old::Fat(16).make(file)
        }));
    }
    let nothing = "nothing that is known";
    let what = "any other type";
    all.push(thing((what, nothing), LINUX, 4, nothing, |_| Ok(())));
    all.push(thing((what, nothing), WINDOWS, 4, nothing, |file| {
        data(file, 0, 3 * MIB as usize)
    }));
    all
}
