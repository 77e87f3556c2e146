//! What is counted from the end of a partition or disk stays where its programs look for it, or is
//! refused.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use foghorn_tests::disks::{self, MIB};
use foghorn_tests::old_content::{Old, judged, sfdisk};

use super::room::{EVERYTHING, Room, USED, partition};

/// The second partition of the golden disk, which ends where the disk does.
const PLACE: (u64, u64) = (11 * MIB, 69 * MIB);

#[test]
fn what_is_counted_from_an_end_is_kept_there_or_refused() {
    let mut room = Room::start().unwrap();
    for (old, says) in [
        (Old::Md("0.90"), "a Linux RAID"),
        (Old::Md("1.0"), "a Linux RAID"),
        (Old::Zfs, "a ZFS pool"),
    ] {
        in_a_partition(&mut room, old, says)
            .and_then(|()| on_a_whole_disk(&mut room, old))
            .with_context(|| format!("{old:?}"))
            .unwrap();
    }
}

/// A disk whose second partition is there, in bytes.
fn divided(room: &Room, name: &str, mib: u64, second: (u64, u64)) -> Result<PathBuf> {
    let path = room.path(name);
    disks::blank(&path, mib * MIB)?;
    let script = format!(
        "label: dos\nstart=2048, size=20480, type=83\nstart={}, size={}, type=fd\n",
        second.0 / 512,
        second.1 / 512
    );
    sfdisk(&path, &script)?;
    Ok(path)
}

fn is_same(golden: &Path, place: (u64, u64), disk: &Path, start: u64) -> Result<()> {
    let (expected, found) = (
        judged(golden, place.0, place.1)?,
        judged(disk, start, place.1)?,
    );
    ensure!(expected == found, "{expected}\n--- became\n{found}");
    Ok(())
}

fn in_a_partition(room: &mut Room, old: Old, says: &str) -> Result<()> {
    let golden = divided(room, "golden", 80, PLACE)?;
    Old::Ext(4, 1024).put(&golden, MIB, 10 * MIB)?;
    old.put(&golden, PLACE.0, PLACE.1)?;
    let image = room.capture_file(&golden, EVERYTHING, USED)?;
    let notes = room.content(image)?["notes"].to_string();
    ensure!(
        notes.contains("partition_size_tied") && notes.contains(says),
        "{notes}"
    );

    // Of a larger disk the partition keeps its size.
    let larger = room.path("larger");
    disks::blank(&larger, 95 * MIB)?;
    let report = room.deploy_file(image, &larger)?;
    ensure!(report["notes"].to_string().contains(says), "{report}");
    is_same(&golden, PLACE, &larger, PLACE.0)?;

    room.set(image, partition(2), USED)?;
    let more = divided(room, "more", 95, (PLACE.0, PLACE.1 + MIB))?;
    let why = room.refused_by_client(image, &more)?;
    ensure!(why.contains("exactly") && why.contains(says), "{why}");
    let moved = divided(room, "moved", 95, (PLACE.0 + 2 * MIB, PLACE.1))?;
    room.deploy_file(image, &moved)?;
    is_same(&golden, PLACE, &moved, PLACE.0 + 2 * MIB)
}

fn on_a_whole_disk(room: &mut Room, old: Old) -> Result<()> {
    let golden = room.path("whole");
    disks::blank(&golden, PLACE.1)?;
    old.make(&golden)?;
    let image = room.capture_file(&golden, EVERYTHING, USED)?;
    let target = room.path("target");
    disks::blank(&target, PLACE.1 + MIB)?;
    let why = room.not_begun(image, &target)?;
    ensure!(why.contains("exactly"), "{why}");
    disks::blank(&target, PLACE.1)?;
    room.deploy_file(image, &target)?;
    is_same(&golden, (0, PLACE.1), &target, 0)
}
