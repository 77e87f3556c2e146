//! File systems whose account of used blocks is believed, and what is encrypted.

use std::fs::File;
use std::path::Path;

use anyhow::Result;

use super::{Place, Thing, bytes, data, patch, tool};
use crate::disks::MIB;
use crate::old_content::{Old, text};
use crate::tools::run;
use crate::unclear;

const LINUX: &str = "8300";
const WINDOWS: &str = "0700";

/// What is said of a file system whose account cannot be believed.
const NOT_UNDERSTOOD: &str = "could not be understood";

#[must_use]
pub fn all() -> Vec<Thing> {
    let mut all = vec![];
    for (what, version) in [("ext2", 2), ("ext3", 3), ("ext4", 4)] {
        all.extend(ext(what, version));
    }
    all.extend(ntfs());
    for (what, bits, mib) in [("FAT12", 12, 8), ("FAT16", 16, 16), ("FAT32", 32, 40)] {
        all.extend(fat(what, bits, mib));
    }
    all.extend(encrypted());
    all.extend(swap());
    all.extend(by_order());
    all
}

fn thing(
    (what, kind, mib): (&'static str, &'static str, u64),
    state: &'static str,
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

/// A file system that says it is larger than the partition that it is in.
fn cut(file: &Path, make: impl Fn(&Path) -> Result<()>) -> Result<()> {
    let opened = File::options().write(true).open(file)?;
    let size = opened.metadata()?.len();
    opened.set_len(size + 2 * MIB)?;
    make(file)?;
    Ok(opened.set_len(size)?)
}

fn ext(what: &'static str, version: u32) -> Vec<Thing> {
    let old = Old::Ext(version, 1024);
    let debugfs = move |file: &Path, request: &str| {
        old.make(file)?;
        run("debugfs", ["-w", "-R", request, text(file)?]).map(drop)
    };
    let of = (what, LINUX, 8);
    let mut all = vec![
        thing(of, "clean", "", move |file| old.make(file)),
        thing(of, "errors found", "errors", move |file| {
            debugfs(file, "set_super_value state 3")
        }),
        thing(of, "not marked clean", "not marked clean", move |file| {
            debugfs(file, "set_super_value state 0")
        }),
        thing(of, "damaged", NOT_UNDERSTOOD, move |file| {
            old.make(file)?;
            // Where the first group has its bitmap.
            patch(file, 2048, &[0xff; 4])
        }),
        thing(
            of,
            "features that nobody knows",
            "features that may change",
            move |file| {
                old.make(file)?;
                let [features] = bytes(file, 1024 + 0x63)?;
                patch(file, 1024 + 0x63, &[features | 0x40])
            },
        ),
        thing(
            of,
            "larger than the partition",
            "larger than its",
            move |file| cut(file, |file| old.make(file)),
        ),
    ];
    if version > 2 {
        let says = "its journal needs to be replayed";
        all.push(thing(of, "journal not replayed", says, move |file| {
            debugfs(file, "feature needs_recovery")
        }));
    }
    if version == 4 {
        let says = "deleted files that are still to be cleared";
        all.push(thing(
            of,
            "deleted files not cleared yet",
            says,
            move |file| {
                tool("mke2fs -qF -t ext4 -O ^metadata_csum FILE", file)?;
                // ORPHAN_PRESENT, one of the features that only matter to who writes.
                let [features] = bytes(file, 1024 + 0x66)?;
                patch(file, 1024 + 0x66, &[features | 1])
            },
        ));
        let journal = ("ext journal on a partition of its own", LINUX, 8);
        all.push(thing(journal, "any", NOT_UNDERSTOOD, |file| {
            // Of one group, as journals of few blocks are.
            tool("mke2fs -qF -O journal_dev -b 4096 FILE", file)
        }));
    }
    all
}

fn ntfs() -> Vec<Thing> {
    const SIZE: u64 = 8;
    let of = ("NTFS", WINDOWS, SIZE);
    let make = |file: &Path| unclear::ntfs(file, SIZE * MIB);
    let holding = move |file: &Path, start: &[u8]| {
        make(file)?;
        let mut memory = vec![0; 70_000];
        memory[..start.len()].copy_from_slice(start);
        let source = file.with_extension("memory");
        std::fs::write(&source, memory)?;
        run(
            "ntfscp",
            ["-q", "-f", text(file)?, text(&source)?, "hiberfil.sys"],
        )?;
        Ok(std::fs::remove_file(source)?)
    };
    let asleep = "Windows is hibernated";
    vec![
        thing(of, "clean", "", make),
        thing(of, "marked dirty", "marked dirty", move |file| {
            make(file)?;
            // Without -d it asks Windows for a check.
            run("ntfsfix", [text(file)?]).map(drop)
        }),
        thing(
            of,
            "`$LogFile` in use",
            "its log was not replayed",
            move |file| {
                make(file)?;
                unclear::interrupt_ntfs(file)
            },
        ),
        thing(of, "Windows hibernated", asleep, move |file| {
            holding(file, b"hibr")
        }),
        thing(
            of,
            "Windows shut down with fast startup",
            asleep,
            move |file| holding(file, b"HIBR"),
        ),
        thing(of, "damaged", NOT_UNDERSTOOD, move |file| {
            make(file)?;
            // Where the table of files is.
            patch(file, 48, &[0xff, 0xff, 0xff, 0x0f])
        }),
        thing(of, "larger than the partition", "larger than its", |file| {
            cut(file, |file| {
                run("mkfs.ntfs", ["-q", "-Q", "-F", text(file)?]).map(drop)
            })
        }),
    ]
}

fn fat(what: &'static str, bits: u32, mib: u64) -> Vec<Thing> {
    let old = Old::Fat(bits);
    let of = (what, WINDOWS, mib);
    vec![
        thing(of, "clean", "", move |file| old.make(file)),
        thing(of, "marked dirty", "not marked clean", move |file| {
            old.make(file)?;
            patch(file, if bits == 32 { 0x41 } else { 0x25 }, &[1])
        }),
        thing(of, "tables that differ", "tables differ", move |file| {
            old.make(file)?;
            let reserved = u16::from_le_bytes(bytes(file, 14)?);
            let table = if bits == 32 {
                u32::from_le_bytes(bytes(file, 36)?)
            } else {
                u32::from(u16::from_le_bytes(bytes(file, 22)?))
            };
            let second = (u64::from(reserved) + u64::from(table)) * 512;
            patch(file, second + 40, &[9; 4])
        }),
        thing(of, "damaged", NOT_UNDERSTOOD, move |file| {
            old.make(file)?;
            // Sectors of a cluster.
            patch(file, 13, &[3])
        }),
        thing(
            of,
            "larger than the partition",
            "larger than its",
            move |file| cut(file, |file| old.make(file)),
        ),
    ]
}

/// The GUID in the header of a BitLocker volume of which only the used space was encrypted, as its
/// bytes lie on the disk.
const USED_SPACE_ONLY: [u8; 16] = [
    0x3b, 0x4d, 0xa8, 0x92, 0x80, 0xdd, 0x0e, 0x4d, 0x9e, 0x4e, 0xb1, 0xe3, 0x28, 0x4e, 0xae, 0xd8,
];

fn encrypted() -> Vec<Thing> {
    const SIZE: u64 = 12;
    let of = ("BitLocker", WINDOWS, SIZE);
    let says = "the recovery key or a password";
    let make = |file: &Path| unclear::bitlocker(file, SIZE * MIB);
    let luks = |what, version, mib| {
        thing((what, LINUX, mib), "any", "holds LUKS", move |file| {
            Old::Luks(version).make(file)
        })
    };
    vec![
        thing(of, "fixed disk", says, make),
        thing(of, "To Go", says, move |file| {
            make(file)?;
            let guid: [u8; 16] = bytes(file, 160)?;
            // A FAT32 for computers that do not know BitLocker.
            patch(file, 0, &[0; 510])?;
            patch(file, 0, b"\xeb\x58\x90MSWIN4.1")?;
            patch(file, 11, &[0, 2, 8, 0x20, 0, 2])?;
            patch(file, 21, &[0xf8])?;
            patch(file, 32, &90_000_u32.to_le_bytes())?;
            patch(file, 36, &700_u32.to_le_bytes())?;
            patch(file, 82, b"FAT32   ")?;
            patch(file, 424, &guid)
        }),
        thing(of, "used space only", says, move |file| {
            make(file)?;
            patch(file, 160, &USED_SPACE_ONLY)
        }),
        thing(of, "suspended", says, move |file| {
            make(file)?;
            // The first entry of the metadata is a master key that the clear key opens: its size,
            // property, type and version; identifier; time; protection 0.
            let mut entry = vec![80, 0, 2, 0, 8, 0, 1, 0];
            entry.extend([0x22; 16]);
            entry.extend([0; 12]);
            patch(file, MIB + 64 + 48, &entry)
        }),
        luks("LUKS 1", 1, 4),
        luks("LUKS 2", 2, 20),
    ]
}

fn swap() -> Vec<Thing> {
    let of = ("swap", "8200", 4);
    vec![
        thing(of, "ordinary", "", |file| Old::Swap.make(file)),
        thing(
            of,
            "a Linux is suspended to it",
            "a Linux is suspended to it",
            |file| unclear::suspended_swap(file, 4 * MIB),
        ),
    ]
}

/// What is taken raw because somebody says so: clean, unclean and empty partitions.
fn by_order() -> Vec<Thing> {
    let of = ("any partition", LINUX, 8);
    let says = "taken raw as ordered";
    vec![
        thing(of, "any", says, |file| Old::Ext(4, 1024).make(file)),
        thing(of, "not cleanly unmounted", says, |file| {
            unclear::interrupted_ext4(file, 8 * MIB)
        }),
        thing(of, "not cleanly unmounted", says, |file| {
            unclear::suspended_swap(file, 8 * MIB)
        }),
        thing(of, "any", says, |file| data(file, 0, 4096)),
    ]
}
