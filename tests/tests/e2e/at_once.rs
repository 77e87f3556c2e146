//! Several transfers on one agent at the same time.

use anyhow::{Result, ensure};
use foghorn_tests::disks::{self, Kind, MIB};
use foghorn_tests::stack::{Engine, PATIENCE, Stack};

use crate::on_both_engines;

on_both_engines! {
    two_deploys_and_a_capture => two_deploys_and_a_capture;
}

fn two_deploys_and_a_capture(engine: Engine) -> Result<()> {
    let stack = Stack::start(engine)?;
    let first = disks::make_gpt(
        &stack.folder().join("first"),
        200 * MIB,
        512,
        &[(Kind::Raw, 120), (Kind::Ext4, 64)],
        61,
    )?;
    let second = disks::make_gpt(
        &stack.folder().join("second"),
        200 * MIB,
        512,
        &[(Kind::Raw, 120), (Kind::Ext4, 64)],
        62,
    )?;
    let (_, image) = stack.capture("first", "52:54:00:00:05:01", &first.path)?;

    let mut running = vec![];
    for (name, mac) in [("one", "52:54:00:00:05:02"), ("two", "52:54:00:00:05:03")] {
        let disk = stack.folder().join(name);
        disks::blank(&disk, 200 * MIB)?;
        let host = stack.create_host(name, mac)?;
        stack.assign(host, image)?;
        let task = stack.order(host, 1)?;
        running.push((stack.start_client(name, host, mac, &disk)?, task));
    }
    let (host, other) = (
        stack.create_host("second", "52:54:00:00:05:04")?,
        stack.create_image("other")?,
    );
    stack.assign(host, other)?;
    let task = stack.order(host, 2)?;
    running.push((
        stack.start_client("second", host, "52:54:00:00:05:04", &second.path)?,
        task,
    ));

    for (client, task) in &mut running {
        ensure!(client.wait(PATIENCE)?.success(), "{}", client.log());
        ensure!(stack.wait_task(*task)?["state"] == "complete");
    }
    let there = disks::hash_files(&first.path, &first.partitions)?;
    for name in ["one", "two"] {
        ensure!(
            disks::hash_files(&stack.folder().join(name), &first.partitions)? == there,
            "{name} differs"
        );
    }
    let back = stack.folder().join("back");
    disks::blank(&back, 200 * MIB)?;
    stack.deploy("back", "52:54:00:00:05:05", other, &back)?;
    ensure!(
        disks::hash_files(&back, &second.partitions)?
            == disks::hash_files(&second.path, &second.partitions)?
    );
    Ok(())
}
