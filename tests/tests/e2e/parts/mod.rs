//! Images that are about a part of a disk: only that part of a target is written, and every other
//! byte of it stays. What cannot be done is refused when it is ordered.

mod ends;
mod refused;
pub(crate) mod room;

use std::fs;

use anyhow::{Result, ensure};
use foghorn_tests::disks::{self, MIB};
use foghorn_tests::stack::PATIENCE;
use serde_json::json;

use self::room::{EVERYTHING, RAW, Room, TABLE, USED, partition, two_partitions};

/// Where the partitions of a disk are, in sectors: first, then length of each.
const EVEN: [(u64, u64); 2] = [(2048, 61_440), (63_488, 61_440)];
/// Partitions that share chunks with the boot code and with each other.
const ODD: [(u64, u64); 2] = [(63, 63_500), (63_563, 61_440)];
/// The same at other places, and larger.
const ELSEWHERE: [(u64, u64); 2] = [(4096, 65_536), (69_739, 63_488)];

/// The image of a whole disk is set to one partition: the user's other partition, the table and
/// everything beside them stay, whatever the chunks share.
#[test]
fn a_deploy_of_one_partition_leaves_every_other_byte() {
    one_partition_of_a_whole_image().unwrap();
}

fn one_partition_of_a_whole_image() -> Result<()> {
    let mut room = Room::start()?;
    for (name, from, to) in [("same", EVEN, EVEN), ("moved", ODD, ELSEWHERE)] {
        let golden = two_partitions(&room.path(&format!("golden-{name}")), 100, &from, "golden")?;
        let image = room.capture(&golden, EVERYTHING, USED)?;
        for number in [1, 2] {
            room.set(image, partition(number), USED)?;
            let user = two_partitions(
                &room.path(&format!("user-{name}-{number}")),
                120,
                &to,
                "user",
            )?;
            let before = user.bytes()?;
            room.deploy(image, &user)?;
            user.check_only(number, &before)?;
            ensure!(
                user.mark(number)? == golden.mark(number)?,
                "partition {number}"
            );
            ensure!(
                user.mark(3 - number)?.contains("user"),
                "the other partition"
            );
            user.fsck(number)?;
        }
    }
    Ok(())
}

/// An image that was captured as one partition contains nothing else, and is deployed to it only.
#[test]
fn a_capture_of_one_partition_takes_nothing_else() {
    one_partition_alone().unwrap();
}

fn one_partition_alone() -> Result<()> {
    let mut room = Room::start()?;
    let golden = two_partitions(&room.path("golden"), 100, &ODD, "golden")?;
    // The other file system is not looked at: it may be in any state.
    golden.damage(1)?;
    let image = room.capture(&golden, partition(2), USED)?;
    let content = room.content(image)?;
    ensure!(
        content["part"] == json!({"what": "partition", "number": 2}),
        "{content}"
    );
    let user = two_partitions(&room.path("user"), 100, &EVEN, "user")?;
    let before = user.bytes()?;
    room.deploy(image, &user)?;
    user.check_only(2, &before)?;
    ensure!(user.mark(2)? == golden.mark(2)?);
    // Again: everything is there already, but for the first chunk of the partition.
    let report = room.deploy(image, &user)?;
    ensure!(
        report["bytes_reused"].as_u64() > report["bytes_wire"].as_u64(),
        "{report}"
    );
    user.check_only(2, &before)?;

    for part in [EVERYTHING, TABLE, partition(1)] {
        room.set(image, part, USED)?;
        let why = room.refused_order(image, 1, "deploy")?;
        ensure!(why.contains("contains only partition 2"), "{why}");
    }
    Ok(())
}

/// Table and boot code only: what is inside the partitions stays.
#[test]
fn a_table_is_written_without_the_partitions() {
    table_only().unwrap();
}

fn table_only() -> Result<()> {
    let mut room = Room::start()?;
    let golden = two_partitions(&room.path("golden"), 100, &ODD, "golden")?;
    golden.write(100, b"boot code")?;
    golden.write(512 * 10, b"second stage")?;
    golden.damage(1)?;
    let captured = room.capture(&golden, TABLE, USED)?;
    let content = room.content(captured)?;
    ensure!(
        content["used_bytes"].as_u64() < Some(MIB),
        "more than the boot code was captured: {content}"
    );
    let user = two_partitions(&room.path("user"), 100, &ODD, "user")?;
    user.write(8, b"broken")?;
    user.write(512 * 20, b"stale")?;
    let partitions = user.bytes()?;
    room.deploy(captured, &user)?;
    let (after, source) = (user.bytes()?, golden.bytes()?);
    ensure!(
        after[..63 * 512] == source[..63 * 512],
        "boot code and table"
    );
    ensure!(
        after[63 * 512..] == partitions[63 * 512..],
        "a partition was changed"
    );

    // To a blank disk, from the image of a whole GPT disk.
    let gpt = disks::make_gpt(
        &room.path("gpt"),
        64 * MIB,
        512,
        &[(disks::Kind::Ext4, 30), (disks::Kind::Raw, 20)],
        5,
    )?;
    let whole = room.capture_file(&gpt.path, EVERYTHING, USED)?;
    room.set(whole, TABLE, USED)?;
    let blank = room.path("blank");
    disks::blank(&blank, 80 * MIB)?;
    room.deploy_file(whole, &blank)?;
    disks::check(&blank, 512, &[])?;
    let bytes = fs::read(&blank)?;
    let (first, end) = (MIB as usize, 79 * MIB as usize);
    ensure!(
        bytes[first..end].iter().all(|&byte| byte == 0),
        "a partition was written"
    );
    ensure!(
        room::dump(&blank)? == room::dump(&gpt.path)?,
        "the tables differ"
    );
    Ok(())
}

/// A raw image has what no file system says is in use.
#[test]
fn a_raw_capture_takes_free_blocks_and_what_lies_behind_the_partitions() {
    raw().unwrap();
}

fn raw() -> Result<()> {
    let mut room = Room::start()?;
    let golden = two_partitions(&room.path("golden"), 100, &EVEN, "golden")?;
    let free = golden.free_block(2)?;
    golden.write(free, b"deleted, but still there")?;
    golden.write(99 * MIB, b"behind the last partition")?;
    let used = room.capture(&golden, EVERYTHING, USED)?;
    let raw = room.capture(&golden, EVERYTHING, RAW)?;
    for (image, equal) in [(used, false), (raw, true)] {
        let target = room.path(&format!("target-{image}"));
        disks::blank(&target, 100 * MIB)?;
        room.deploy_file(image, &target)?;
        ensure!(
            disks::same(&target, &golden.path)? == equal,
            "image {image}: equal to the captured disk is not {equal}"
        );
    }
    let image = room.capture(&golden, partition(2), RAW)?;
    let user = two_partitions(&room.path("user"), 100, &EVEN, "user")?;
    let before = user.bytes()?;
    room.deploy(image, &user)?;
    user.check_only(2, &before)?;
    let (start, end) = user.range(2);
    ensure!(user.bytes()?[start..end] == golden.bytes()?[start..end]);
    Ok(())
}

/// Every host of a multicast session writes only the part.
#[test]
fn the_hosts_of_a_multicast_session_write_only_the_part() {
    multicast().unwrap();
}

fn multicast() -> Result<()> {
    let mut room = Room::start()?;
    let golden = two_partitions(&room.path("golden"), 100, &ODD, "golden")?;
    let image = room.capture(&golden, EVERYTHING, USED)?;
    room.set(image, partition(1), USED)?;
    let mut hosts = Vec::new();
    for number in [1, 2] {
        let disk = two_partitions(&room.path(&format!("user-{number}")), 100, &ODD, "user")?;
        let before = disk.bytes()?;
        hosts.push((room.host(image)?, disk, before));
    }
    let ids: Vec<u32> = hosts.iter().map(|(host, ..)| host.id).collect();
    room.stack
        .rest
        .post(
            "/foghorn/v1/multicast-sessions",
            &json!({ "name": "parts", "hosts": ids }),
        )?
        .ok()?;
    let mut clients = Vec::new();
    for (host, disk, _) in &hosts {
        clients.push(room.client(host, &disk.path)?);
    }
    for (client, (_, disk, before)) in clients.iter_mut().zip(&hosts) {
        let status = client.process.wait(PATIENCE)?;
        ensure!(status.success(), "{}", client.process.log());
        let report = client.report()?;
        let (all, by_group) = (&report["bytes_wire"], &report["bytes_multicast"]);
        ensure!(
            by_group.as_u64() > Some(0) && by_group.as_u64() >= all.as_u64().map(|all| all / 2),
            "it came by unicast: {report}"
        );
        disk.check_only(1, before)?;
        ensure!(disk.mark(1)? == golden.mark(1)?);
        disk.fsck(1)?;
    }
    Ok(())
}
