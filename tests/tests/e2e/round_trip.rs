//! The main job: capture one disk, put it on others, and again.

use std::fs;
use std::os::unix::fs::FileExt;

use anyhow::{Result, ensure};
use foghorn_tests::disks::{self, Kind, MIB};
use foghorn_tests::stack::{Engine, Stack};

use crate::on_both_engines;

on_both_engines! {
    capture_then_deploy => capture_then_deploy;
    second_time_moves_only_what_changed => second_time_moves_only_what_changed;
}

const MAC_A: &str = "52:54:00:00:00:0a";
const MAC_B: &str = "52:54:00:00:00:0b";
const MAC_C: &str = "52:54:00:00:00:0c";

/// Every file on the deployed disks equals the captured one, on a disk of equal size and on larger,
/// odd ones.
fn capture_then_deploy(engine: Engine) -> Result<()> {
    let stack = Stack::start(engine)?;
    let parts = [
        (Kind::Fat, 40),
        (Kind::Ext4, 96),
        (Kind::Ntfs, 32),
        (Kind::Raw, 6),
    ];
    let golden = disks::make_gpt(&stack.folder().join("golden"), 200 * MIB, 512, &parts, 7)?;
    let before = disks::hash_files(&golden.path, &golden.partitions)?;
    let (_, image) = stack.capture("golden", MAC_A, &golden.path)?;

    for (name, mac, size) in [
        ("same", MAC_B, 200 * MIB),
        ("larger", MAC_C, 333 * MIB + 512),
    ] {
        let disk = stack.folder().join(name);
        disks::blank(&disk, size)?;
        stack.deploy(name, mac, image, &disk)?;
        disks::check(&disk, 512, &golden.partitions)?;
        ensure!(
            disks::hash_files(&disk, &golden.partitions)? == before,
            "files on {name} differ from the captured ones"
        );
        let (there, here) = (disks::allocated(&golden.path)?, disks::allocated(&disk)?);
        ensure!(
            here <= there + there / 8 + 4 * MIB,
            "{name} was not written sparsely: {here} bytes for {there}"
        );
    }
    let content = stack
        .rest
        .get(&format!("/foghorn/v1/images/{image}"))?
        .ok()?;
    ensure!(
        content["content"]["logical_bytes"] == 200 * MIB,
        "{content}"
    );
    let log = stack.rest.get("/fog/imaginglog")?.ok()?;
    ensure!(
        log["count"] == 3,
        "one imaging log row per finished task: {log}"
    );
    Ok(())
}

/// A second capture after a small change stores little; a second deploy onto the old version moves
/// little.
fn second_time_moves_only_what_changed(engine: Engine) -> Result<()> {
    let stack = Stack::start(engine)?;
    let golden = disks::make_gpt(
        &stack.folder().join("golden"),
        160 * MIB,
        512,
        &[(Kind::Raw, 150)],
        3,
    )?;
    let (host, image) = stack.capture("golden", MAC_A, &golden.path)?;
    let target = stack.folder().join("target");
    disks::blank(&target, 160 * MIB)?;
    let host_b = stack.deploy("target", MAC_B, image, &target)?;
    let first = stack
        .rest
        .get(&format!("/foghorn/v1/images/{image}"))?
        .ok()?;

    // Four of the 75 chunks with data change.
    let file = fs::OpenOptions::new().write(true).open(&golden.path)?;
    for chunk in [10, 30, 50, 70_u64] {
        file.write_all_at(b"changed since the first capture", chunk * MIB + MIB + 4096)?;
    }
    let task = stack.order(host, 2)?;
    let mut client = stack.start_client("recapture", host, MAC_A, &golden.path)?;
    ensure!(
        client.wait(foghorn_tests::stack::PATIENCE)?.success(),
        "{}",
        client.log()
    );
    ensure!(stack.wait_task(task)?["state"] == "complete");
    let second = stack
        .rest
        .get(&format!("/foghorn/v1/images/{image}"))?
        .ok()?;
    let (stored, new) = (
        first["content"]["stored_bytes"].as_u64(),
        second["content"]["new_bytes"].as_u64(),
    );
    ensure!(
        new.unwrap_or(u64::MAX) * 10 <= stored.unwrap_or(0),
        "first {first}, second {second}"
    );

    let task = stack.order(host_b, 1)?;
    let report = stack.folder().join("report.json");
    let mut command = stack.client_command(host_b, MAC_B, &target)?;
    command.arg("--report").arg(&report);
    let mut client =
        foghorn_tests::process::Process::start(stack.folder(), "redeploy", &mut command)?;
    ensure!(
        client.wait(foghorn_tests::stack::PATIENCE)?.success(),
        "{}",
        client.log()
    );
    ensure!(stack.wait_task(task)?["state"] == "complete");
    let report: serde_json::Value = serde_json::from_slice(&fs::read(report)?)?;
    let wire = report["bytes_wire"].as_u64().unwrap_or(u64::MAX);
    ensure!(
        wire * 10 <= stored.unwrap_or(0),
        "the second deploy moved {wire} bytes: {report}"
    );
    ensure!(
        disks::hash_files(&target, &golden.partitions)?
            == disks::hash_files(&golden.path, &golden.partitions)?
    );
    Ok(())
}
