//! Whole disks: partition tables of every kind, what is beside partitions, and what has no table.

use std::fs::File;
use std::path::Path;

use anyhow::Result;

use super::{Disk, Place, Thing, bytes, data, patch};
use crate::disks::MIB;
use crate::old_content::{Old, sfdisk, text};
use crate::tools::run;

/// Bytes of every disk here, in MiB.
const SIZE: u64 = 24;
/// Its last sector.
const LAST: u64 = SIZE * MIB - 512;

#[must_use]
pub fn all() -> Vec<Thing> {
    let mut all = gpts();
    all.extend(mbrs());
    all.extend(beside());
    all.extend(several_at_once());
    all.extend(labels());
    all.extend(owned());
    all.extend(without());
    all
}

fn thing(
    (what, state): (&'static str, &'static str),
    says: &'static str,
    disk: Disk,
    make: impl Fn(&Path) -> Result<()> + Send + Sync + 'static,
) -> Thing {
    Thing {
        what,
        state,
        says,
        mib: SIZE,
        place: Place::Disk(disk),
        make: Box::new(make),
    }
}

const TWO: Disk = Disk {
    partitions: &[1, 2],
    arguments: &[],
    data_at: None,
};

/// Two partitions with an ext4 and an NTFS from 1 to 17 MiB.
fn gpt(disk: &Path) -> Result<()> {
    run(
        "sgdisk",
        ["-n", "1:2048:+8M", "-n", "2:9M:+8M", text(disk)?],
    )?;
    fill(disk)
}

fn mbr(disk: &Path) -> Result<()> {
    let script = "label: dos\nstart=2048, size=16384, type=83\nstart=18432, size=16384, type=7\n";
    sfdisk(disk, script)?;
    fill(disk)
}

fn fill(disk: &Path) -> Result<()> {
    Old::Ext(4, 1024).put(disk, MIB, 8 * MIB)?;
    Old::Ntfs.put(disk, 9 * MIB, 8 * MIB)
}

/// Entry `number` of a GPT in one of its copies, and its header and all entries with the right
/// checksums afterwards.
fn edit_gpt(disk: &Path, number: u64, edit: impl Fn(&mut [u8])) -> Result<()> {
    use crate::fuzz_disks::table::crc32;
    for header_at in [512, LAST] {
        let mut header: [u8; 92] = bytes(disk, header_at)?;
        let entries_at = u64::from_le_bytes(header[72..80].try_into()?) * 512;
        let mut entries: [u8; 128 * 128] = bytes(disk, entries_at)?;
        edit(&mut entries[128 * (number as usize - 1)..][..128]);
        header[88..92].copy_from_slice(&crc32(&entries, !0).to_le_bytes());
        header[16..20].fill(0);
        let sum = crc32(&header, !0);
        header[16..20].copy_from_slice(&sum.to_le_bytes());
        patch(disk, entries_at, &entries)?;
        patch(disk, header_at, &header)?;
    }
    Ok(())
}

fn gpts() -> Vec<Thing> {
    let of = |state| ("GPT", state);
    let unusable = Disk::default;
    vec![
        thing(of("ordinary"), "", TWO, gpt),
        thing(
            of("one copy damaged"),
            "the primary GPT is damaged",
            TWO,
            |disk| {
                gpt(disk)?;
                patch(disk, 512 + 60, &[0xff; 4])
            },
        ),
        thing(of("one copy damaged"), "the backup GPT", TWO, |disk| {
            gpt(disk)?;
            patch(disk, LAST + 60, &[0xff; 4])
        }),
        thing(
            of("backup not at the end of the disk"),
            "the backup GPT",
            TWO,
            |disk| {
                // As on a disk that was copied to a larger one.
                let opened = File::options().write(true).open(disk)?;
                opened.set_len((SIZE - 4) * MIB)?;
                gpt(disk)?;
                Ok(opened.set_len(SIZE * MIB)?)
            },
        ),
        thing(of("copies that differ"), "intact but differ", TWO, |disk| {
            gpt(disk)?;
            let primary: [u8; 33 * 512] = bytes(disk, 512)?;
            run("sgdisk", ["-c", "1:another name", text(disk)?])?;
            patch(disk, 512, &primary)
        }),
        thing(
            of("entries that do not start in sector 2"),
            "start in sector 64",
            TWO,
            |disk| {
                run("sgdisk", ["-j", "64", text(disk)?])?;
                gpt(disk)
            },
        ),
        thing(
            of("no copy that can be used"),
            "no copy of its GPT can be used",
            unusable(),
            |disk| {
                gpt(disk)?;
                patch(disk, 512 + 60, &[0xff; 4])?;
                patch(disk, LAST + 60, &[0xff; 4])
            },
        ),
        thing(
            of("no protective MBR"),
            "protective MBR that belongs",
            unusable(),
            |disk| {
                gpt(disk)?;
                patch(disk, 446, &[0; 66])
            },
        ),
        thing(
            of("partitions that overlap"),
            "partitions 1 and 2 overlap",
            unusable(),
            |disk| {
                gpt(disk)?;
                edit_gpt(disk, 1, |entry| {
                    entry[40..48].copy_from_slice(&20_000_u64.to_le_bytes())
                })
            },
        ),
        thing(
            of("partitions that leave the disk"),
            "partition 2 (bytes",
            unusable(),
            |disk| {
                gpt(disk)?;
                edit_gpt(disk, 2, |entry| {
                    entry[40..48].copy_from_slice(&90_000_u64.to_le_bytes())
                })
            },
        ),
        thing(
            of("for sectors of another size"),
            "for sectors of 4096 bytes",
            Disk {
                arguments: &["--sector-size", "512"],
                ..Disk::default()
            },
            |disk| {
                let disk = text(disk)?.to_owned();
                crate::old_content::feed("fdisk", &["-b", "4096", &disk], "g\nn\n1\n\n+8M\nw\n")
            },
        ),
    ]
}

/// Logical partitions 5 and 6 in an extended one from 9 to 20 MiB.
fn logical(disk: &Path) -> Result<()> {
    let script = "label: dos\nstart=2048, size=16384, type=83\nstart=18432, size=22528, type=5\nstart=20480, size=8192, type=83\nstart=30720, size=8192, type=83\n";
    sfdisk(disk, script)?;
    Old::Ext(4, 1024).put(disk, MIB, 8 * MIB)?;
    Old::Ext(4, 1024).put(disk, 10 * MIB, 4 * MIB)
}

fn mbrs() -> Vec<Thing> {
    let of = |state| ("MBR", state);
    let unusable = Disk::default;
    let with_logical = Disk {
        partitions: &[1, 5, 6],
        ..Disk::default()
    };
    vec![
        thing(of("ordinary"), "", TWO, mbr),
        thing(of("logical partitions"), "", with_logical, logical),
        thing(
            of("an entry of type 0 with a size"),
            "has type 0 (unused)",
            TWO,
            |disk| {
                mbr(disk)?;
                patch(disk, 446 + 16 + 4, &[0])
            },
        ),
        thing(
            of("an old GPT beside it"),
            "there is an old GPT",
            TWO,
            |disk| {
                gpt(disk)?;
                let old: [u8; 34 * 512 - 512] = bytes(disk, 512)?;
                run("sgdisk", ["-Z", text(disk)?])?;
                mbr(disk)?;
                patch(disk, 512, &old)
            },
        ),
        thing(
            of("partitions that overlap"),
            "partitions 1 and 2 overlap",
            unusable(),
            |disk| {
                mbr(disk)?;
                patch(disk, 446 + 12, &20_000_u32.to_le_bytes())
            },
        ),
        thing(
            of("partitions that leave the disk"),
            "partition 2 (bytes",
            unusable(),
            |disk| {
                mbr(disk)?;
                patch(disk, 446 + 16 + 12, &90_000_u32.to_le_bytes())
            },
        ),
        thing(
            of("a damaged extended boot record"),
            "the extended boot record in sector",
            unusable(),
            |disk| {
                logical(disk)?;
                // The second record, which the first one names.
                let link: [u8; 4] = bytes(disk, 9 * MIB + 462 + 8)?;
                let second = 9 * MIB + u64::from(u32::from_le_bytes(link)) * 512;
                patch(disk, second + 510, &[0, 0])
            },
        ),
    ]
}

fn beside() -> Vec<Thing> {
    let behind = Disk {
        data_at: Some(19 * MIB),
        ..TWO
    };
    let between = Disk {
        partitions: &[1, 2],
        data_at: Some(5 * MIB),
        ..Disk::default()
    };
    let mut all = vec![];
    for (what, make) in [("GPT", gpt as fn(&Path) -> Result<()>), ("MBR", mbr)] {
        let state = "data behind the last partition";
        all.push(thing((what, state), state, behind.clone(), move |disk| {
            make(disk)?;
            data(disk, 19 * MIB, 4096)
        }));
    }
    let state = "data between partitions";
    all.push(thing(("GPT", state), "", between.clone(), move |disk| {
        run(
            "sgdisk",
            ["-n", "1:2048:+1M", "-n", "2:9M:+8M", text(disk)?],
        )?;
        data(disk, MIB, MIB as usize)?;
        Old::Ntfs.put(disk, 9 * MIB, 8 * MIB)?;
        data(disk, 5 * MIB, 4096)
    }));
    all.push(thing(("MBR", state), "", between, move |disk| {
        let script =
            "label: dos\nstart=2048, size=2048, type=83\nstart=18432, size=16384, type=7\n";
        sfdisk(disk, script)?;
        Old::Ntfs.put(disk, 9 * MIB, 8 * MIB)?;
        data(disk, 5 * MIB, 4096)
    }));
    all
}

/// Structures that more than a table describes.
fn several_at_once() -> Vec<Thing> {
    let one = Disk {
        partitions: &[1],
        data_at: Some(SIZE * MIB - MIB + 512),
        ..Disk::default()
    };
    let dynamic = "a dynamic disk of Windows";
    let database = |disk: &Path| {
        patch(disk, SIZE * MIB - MIB + 512, b"TOCBLOCK")?;
        patch(disk, SIZE * MIB - MIB + 17 * 512, b"VMDB")
    };
    let two_ldm = Disk {
        partitions: &[1, 2],
        ..Disk::default()
    };
    vec![
        thing(
            (dynamic, "MBR"),
            "dynamic disk of Windows",
            one,
            move |disk| {
                sfdisk(disk, "label: dos\nstart=63, size=45000, type=42\n")?;
                patch(disk, 6 * 512, b"PRIVHEAD")?;
                data(disk, 3 * MIB, 4096)?;
                database(disk)?;
                patch(disk, LAST, b"PRIVHEAD")
            },
        ),
        thing(
            (dynamic, "GPT"),
            "dynamic disk of Windows",
            two_ldm,
            |disk| {
                let arguments = [
                    "-n",
                    "1:34:+1M",
                    "-t",
                    "1:4201",
                    "-n",
                    "2:2M:+16M",
                    "-t",
                    "2:4200",
                ];
                run("sgdisk", arguments.into_iter().chain([text(disk)?]))?;
                data(disk, 3 * MIB, 4096)
            },
        ),
        thing(
            ("a hybrid MBR beside a GPT", "any"),
            "a hybrid MBR",
            Disk::default(),
            |disk| {
                gpt(disk)?;
                run("sgdisk", ["-h", "1", text(disk)?]).map(drop)
            },
        ),
        thing(
            ("an ISO image with a partition table inside", "any"),
            "an ISO file system",
            Disk::default(),
            |disk| {
                // As isohybrid makes it: the one partition is the file system from its first byte.
                super::tool_with_room("genisoimage -quiet -o FILE DIR", disk, SIZE)?;
                patch(
                    disk,
                    446,
                    &[0x80, 0, 0, 0, 0x17, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0, 0],
                )?;
                patch(disk, 510, &[0x55, 0xaa])
            },
        ),
    ]
}

/// Labels of other systems, which take a whole disk. Only fdisk makes those that Debian knows.
fn labels() -> Vec<Thing> {
    let mut all = vec![];
    for (what, says, key) in [
        ("a label of Sun", "a Sun disk label", "s\nw\n"),
        ("a label of SGI", "an SGI disk label", "G\nw\n"),
    ] {
        all.push(thing((what, "any"), says, Disk::default(), move |disk| {
            crate::old_content::feed("fdisk", &[text(disk)?], key)?;
            data(disk, 3 * MIB, 4096)
        }));
    }
    for (what, says, at, mark) in [
        (
            "a label of BSD",
            "a BSD disk label",
            512,
            &[0x57, 0x45, 0x56, 0x82][..],
        ),
        (
            "a partition map of Apple",
            "an Apple partition map",
            512,
            b"PM\0\0",
        ),
        ("a table of Amiga", "an Amiga partition table", 0, b"RDSK"),
        (
            "a label of AIX",
            "an AIX disk label",
            0,
            &[0xc9, 0xc2, 0xd4, 0xc1],
        ),
        (
            "a label of Solaris",
            "a Solaris disk label",
            524,
            &[0xee, 0xde, 0x0d, 0x60],
        ),
        (
            "a label of UnixWare",
            "a UnixWare disk label",
            29 * 512 + 4,
            &[0x0d, 0x60, 0x5e, 0xca],
        ),
    ] {
        all.push(thing((what, "any"), says, Disk::default(), move |disk| {
            data(disk, 3 * MIB, 4096)?;
            patch(disk, at, mark)
        }));
    }
    all
}

/// Disks that belong to something as a whole, with what is left of a table.
fn owned() -> Vec<Thing> {
    let mut all = vec![];
    for (what, says, old) in [
        ("a RAID 1.2 of whole disks", "a Linux RAID", Old::Md("1.2")),
        ("a RAID 1.0 of whole disks", "a Linux RAID", Old::Md("1.0")),
        ("an LVM of whole disks", "LVM2", Old::Lvm),
        ("a ZFS of whole disks", "a ZFS pool", Old::Zfs),
        ("a bcache of whole disks", "bcache", Old::Bcache),
    ] {
        for (state, table) in [
            ("beside an MBR", mbr as fn(&Path) -> Result<()>),
            ("beside what is left of a GPT", gpt),
        ] {
            all.push(thing((what, state), says, Disk::default(), move |disk| {
                table(disk)?;
                // What makes such a disk needs the last sectors for data, or for its own marks.
                patch(disk, LAST - 40 * 512, &[0; 41 * 512])?;
                old.make(disk)
            }));
        }
    }
    all
}

fn without() -> Vec<Thing> {
    let mut all = vec![];
    for (state, old) in [
        ("ext4", Old::Ext(4, 1024)),
        ("NTFS", Old::Ntfs),
        ("FAT", Old::Fat(16)),
    ] {
        let what = "a disk without a table";
        all.push(thing((what, state), "", Disk::default(), move |disk| {
            old.make(disk)
        }));
    }
    all
}
