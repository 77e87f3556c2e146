//! A power cut of any one part in the middle of a transfer: the work is completed afterwards, and
//! nothing false is reported.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use foghorn_tests::disks::{self, Disk, Kind, MIB};
use foghorn_tests::old_content::{Old, judged};
use foghorn_tests::process::{Process, until};
use foghorn_tests::stack::{Engine, PATIENCE, Stack};

use crate::on_both_engines;

on_both_engines! {
    client_dies_in_a_deploy => client_dies_in_a_deploy;
    client_dies_in_a_capture => client_dies_in_a_capture;
    agent_dies_in_a_deploy => agent_dies_in_a_deploy;
    agent_dies_in_a_capture => agent_dies_in_a_capture;
    controller_dies_in_a_deploy => controller_dies_in_a_deploy;
    controller_dies_in_a_capture => controller_dies_in_a_capture;
    cancel_in_mid_transfer => cancel_in_mid_transfer;
}

const MAC_A: &str = "52:54:00:00:02:0a";
const MAC_B: &str = "52:54:00:00:02:0b";
/// Enough data that no machine is through before the test has acted.
const SIZE: u64 = 700 * MIB;

fn golden(stack: &Stack) -> Result<Disk> {
    // Every second MiB of the raw partition is random, so this is about 340 MiB on the wire.
    disks::make_gpt(
        &stack.folder().join("golden"),
        SIZE,
        512,
        &[(Kind::Raw, 680), (Kind::Ext4, 16)],
        23,
    )
}

/// Ready for a deploy to `target`, with the client started; returns when a part of the disk has
/// been written.
struct Deploy {
    stack: Stack,
    golden: Disk,
    target: PathBuf,
    host: u32,
    task: u32,
    client: Process,
}

fn deploy_under_way(engine: Engine) -> Result<Deploy> {
    let stack = Stack::start(engine)?;
    let golden = golden(&stack)?;
    let (_, image) = stack.capture("golden", MAC_A, &golden.path)?;
    let target = stack.folder().join("target");
    disks::blank(&target, SIZE)?;
    let volume = &golden.partitions[1];
    for old in [Old::Md("1.0"), Old::Zfs] {
        old.put(&target, volume.start, volume.size)?;
    }
    let host = stack.create_host("target", MAC_B)?;
    stack.assign(host, image)?;
    let task = stack.order(host, 1)?;
    let client = stack.start_client("deploy", host, MAC_B, &target)?;
    wait_written(&target, 30 * MIB)?;
    Ok(Deploy {
        stack,
        golden,
        target,
        host,
        task,
        client,
    })
}

fn wait_written(disk: &Path, bytes: u64) -> Result<()> {
    until("data on the disk", PATIENCE, || {
        Ok((disks::allocated(disk)? >= bytes).then_some(()))
    })
}

impl Deploy {
    fn completes(&mut self) -> Result<()> {
        let status = self.client.wait(PATIENCE)?;
        ensure!(
            status.success(),
            "the client ended with {status}:\n{}",
            self.client.log()
        );
        let ended = self.stack.wait_task(self.task)?;
        ensure!(ended["state"] == "complete", "{ended}");
        disks::check(&self.target, 512, &self.golden.partitions)?;
        let there = disks::hash_files(&self.golden.path, &self.golden.partitions)?;
        ensure!(
            disks::hash_files(&self.target, &self.golden.partitions)? == there,
            "the deployed files differ"
        );
        let volume = &self.golden.partitions[1];
        let found = judged(&self.target, volume.start, volume.size)?;
        ensure!(
            found.contains("TYPE=ext4") && !found.contains("_member"),
            "what the partition was before shows: {found}"
        );
        Ok(())
    }

    fn is_not_over(&self) -> Result<()> {
        let now = self.stack.task(self.task)?;
        ensure!(
            now["state"] != "complete",
            "reported complete although the transfer was cut: {now}"
        );
        Ok(())
    }
}

fn client_dies_in_a_deploy(engine: Engine) -> Result<()> {
    let mut deploy = deploy_under_way(engine)?;
    deploy.client.kill()?;
    deploy.is_not_over()?;
    let report = deploy.stack.folder().join("report.json");
    let mut command = deploy
        .stack
        .client_command(deploy.host, MAC_B, &deploy.target)?;
    command.arg("--report").arg(&report);
    deploy.client = Process::start(deploy.stack.folder(), "deploy-again", &mut command)?;
    deploy.completes()?;
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(report)?)?;
    ensure!(
        report["bytes_reused"].as_u64() > Some(10 * MIB),
        "what was already there was fetched again: {report}"
    );
    Ok(())
}

fn agent_dies_in_a_deploy(engine: Engine) -> Result<()> {
    let mut deploy = deploy_under_way(engine)?;
    deploy.stack.agents[0].process.kill()?;
    deploy.is_not_over()?;
    deploy.stack.restart_agent(0)?;
    deploy.completes()
}

fn controller_dies_in_a_deploy(engine: Engine) -> Result<()> {
    let mut deploy = deploy_under_way(engine)?;
    deploy.stack.controller.kill()?;
    deploy.stack.restart_controller()?;
    deploy.completes()
}

/// The controller is gone for as long as the whole deploy takes, and the storage node is killed
/// twice: in the middle, and with the report of the end that nobody has taken.
#[test]
fn a_site_goes_on_without_its_controller() -> Result<()> {
    let mut deploy = deploy_under_way(Engine::Embedded)?;
    deploy.stack.controller.kill()?;
    deploy.stack.agents[0].process.kill()?;
    deploy.stack.restart_agent(0)?;
    let whole = std::fs::File::open(&deploy.target)?;
    until(
        "the partition table, which is written last",
        PATIENCE,
        || {
            let mut sector = [0; 512];
            std::os::unix::fs::FileExt::read_exact_at(&whole, &mut sector, 512)?;
            Ok(sector.starts_with(b"EFI PART").then_some(()))
        },
    )?;
    let log = deploy.stack.agents[0].process.log_path();
    until("the end of the session", PATIENCE, || {
        Ok(std::fs::read_to_string(&log)?
            .contains("session complete")
            .then_some(()))
    })?;
    ensure!(deploy.client.is_running()?, "{}", deploy.client.log());
    deploy.stack.agents[0].process.kill()?;
    deploy.stack.restart_controller()?;
    deploy.is_not_over()?;
    deploy.stack.restart_agent(0)?;
    deploy.completes()
}

fn cancel_in_mid_transfer(engine: Engine) -> Result<()> {
    let mut deploy = deploy_under_way(engine)?;
    deploy
        .stack
        .rest
        .delete(&format!("/fog/task/{}/cancel", deploy.task))?
        .ok()?;
    let status = deploy.client.wait(PATIENCE)?;
    ensure!(
        status.code() == Some(6),
        "the cancelled client ended with {status}:\n{}",
        deploy.client.log()
    );
    let ended = deploy.stack.wait_task(deploy.task)?;
    ensure!(ended["state"] == "cancelled", "{ended}");
    // A disk that was half written must not look like a finished one.
    let mut sector = [0; 512];
    std::os::unix::fs::FileExt::read_exact_at(
        &std::fs::File::open(&deploy.target)?,
        &mut sector,
        512,
    )?;
    ensure!(
        &sector[..8] != b"EFI PART",
        "a half-written disk has a partition table"
    );
    // The host is free for the next task at once.
    deploy.task = deploy.stack.order(deploy.host, 1)?;
    deploy.client =
        deploy
            .stack
            .start_client("deploy-after-cancel", deploy.host, MAC_B, &deploy.target)?;
    deploy.completes()
}

struct Capture {
    stack: Stack,
    golden: Disk,
    host: u32,
    image: u32,
    task: u32,
    client: Process,
}

fn capture_under_way(engine: Engine) -> Result<Capture> {
    let stack = Stack::start(engine)?;
    let golden = golden(&stack)?;
    let (host, image) = (
        stack.create_host("golden", MAC_A)?,
        stack.create_image("image")?,
    );
    stack.assign(host, image)?;
    let task = stack.order(host, 2)?;
    let client = stack.start_client("capture", host, MAC_A, &golden.path)?;
    let state = stack.agents[0].state.clone();
    until("chunks on the node", PATIENCE, || {
        Ok((folder_size(&state)? >= 30 * MIB).then_some(()))
    })?;
    Ok(Capture {
        stack,
        golden,
        host,
        image,
        task,
        client,
    })
}

fn folder_size(folder: &Path) -> Result<u64> {
    disks::files(folder)?
        .iter()
        .map(|file| Ok(std::fs::metadata(file).map_or(0, |data| data.len())))
        .sum()
}

impl Capture {
    fn is_not_over(&self) -> Result<()> {
        let now = self.stack.task(self.task)?;
        ensure!(
            now["state"] != "complete",
            "reported complete although the transfer was cut: {now}"
        );
        Ok(())
    }

    /// The capture ends well, and what was captured is what is on the disk.
    fn completes(&mut self) -> Result<()> {
        let status = self.client.wait(PATIENCE)?;
        ensure!(
            status.success(),
            "the client ended with {status}:\n{}",
            self.client.log()
        );
        let ended = self.stack.wait_task(self.task)?;
        ensure!(ended["state"] == "complete", "{ended}");
        let target = self.stack.folder().join("target");
        disks::blank(&target, SIZE)?;
        self.stack.deploy("target", MAC_B, self.image, &target)?;
        let there = disks::hash_files(&self.golden.path, &self.golden.partitions)?;
        ensure!(
            disks::hash_files(&target, &self.golden.partitions)? == there,
            "the deployed files differ"
        );
        Ok(())
    }
}

fn client_dies_in_a_capture(engine: Engine) -> Result<()> {
    let mut capture = capture_under_way(engine)?;
    capture.client.kill()?;
    capture.is_not_over()?;
    capture.client =
        capture
            .stack
            .start_client("capture-again", capture.host, MAC_A, &capture.golden.path)?;
    capture.completes()
}

fn agent_dies_in_a_capture(engine: Engine) -> Result<()> {
    let mut capture = capture_under_way(engine)?;
    capture.stack.agents[0].process.kill()?;
    capture.is_not_over()?;
    capture.stack.restart_agent(0)?;
    capture.completes()
}

fn controller_dies_in_a_capture(engine: Engine) -> Result<()> {
    let mut capture = capture_under_way(engine)?;
    capture.stack.controller.kill()?;
    capture.stack.restart_controller()?;
    capture.completes()
}
