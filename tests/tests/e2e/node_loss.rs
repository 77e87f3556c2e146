//! A storage node that is lost, or hangs, in the middle of a deploy: another one that holds the image
//! goes on with it, and nothing is fetched twice.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use foghorn_tests::copied_chunks::copy_chunks;
use foghorn_tests::disks::{self, Kind, MIB};
use foghorn_tests::process::{Process, until};
use foghorn_tests::stack::{Engine, Options, PATIENCE, Stack};

const MAC_A: &str = "52:54:00:00:0f:0a";
const MAC_B: &str = "52:54:00:00:0f:0b";
const SIZE: u64 = 500 * MIB;
const GRACE: u64 = 4;

#[test]
fn a_deploy_goes_on_from_another_node_when_its_own_is_killed() -> Result<()> {
    goes_on_elsewhere("-KILL")
}

#[test]
fn a_deploy_goes_on_from_another_node_when_its_own_hangs() -> Result<()> {
    goes_on_elsewhere("-STOP")
}

fn signal(process: &Process, signal: &str) -> Result<()> {
    let id = process.id().to_string();
    let status = Command::new("kill").args([signal, &id]).status()?;
    ensure!(status.success(), "kill {signal} {id} failed");
    Ok(())
}

fn two_nodes() -> Result<(Stack, disks::Disk, u32)> {
    let options = Options {
        controller: format!("limits = {{ node_grace_seconds = {GRACE} }}"),
        ..Options::default()
    };
    let mut stack = Stack::start_with(Engine::Embedded, &options)?;
    let golden = disks::make_gpt(
        &stack.folder().join("golden"),
        SIZE,
        512,
        &[(Kind::Raw, 480), (Kind::Ext4, 16)],
        29,
    )?;
    let (_, image) = stack.capture("golden", MAC_A, &golden.path)?;
    stack.add_agent("second", "")?;
    copy_chunks(&mut stack)?;
    Ok((stack, golden, image))
}

pub(crate) fn wait_written(disk: &Path, bytes: u64) -> Result<()> {
    until("data on the disk", PATIENCE, || {
        Ok((disks::allocated(disk)? >= bytes).then_some(()))
    })
}

fn goes_on_elsewhere(how: &str) -> Result<()> {
    let (mut stack, golden, image) = two_nodes()?;
    let target = stack.folder().join("target");
    disks::blank(&target, SIZE)?;
    let host = stack.create_host("target", MAC_B)?;
    stack.assign(host, image)?;
    let task = stack.order(host, 1)?;
    let report = stack.folder().join("report.json");
    let mut command = stack.client_command(host, MAC_B, &target)?;
    command.arg("--report").arg(&report);
    let mut client = Process::start(stack.folder(), "deploy", &mut command)?;
    wait_written(&target, 30 * MIB)?;
    let serving = stack.task(task)?["node"].clone();
    let is_serving = |agent: &foghorn_tests::stack::Agent| {
        serving
            .as_str()
            .is_some_and(|name| name.eq_ignore_ascii_case(&agent.name))
    };
    let lost = stack.agents.iter().position(is_serving);
    let lost = lost.with_context(|| format!("{serving} serves"))?;
    signal(&stack.agents[lost].process, how)?;
    let at = Instant::now();
    until("the other node to have the task", PATIENCE, || {
        let node = stack.task(task)?["node"].clone();
        Ok((node.is_string() && node != serving).then_some(()))
    })?;
    let moved = at.elapsed();
    ensure!(
        moved < Duration::from_secs(GRACE + 5),
        "moved after {moved:?}"
    );
    let status = client.wait(PATIENCE)?;
    ensure!(
        status.success(),
        "the client ended with {status}:\n{}",
        client.log()
    );
    let ended = stack.wait_task(task)?;
    ensure!(ended["state"] == "complete", "{ended}");
    let there = disks::hash_files(&golden.path, &golden.partitions)?;
    ensure!(
        disks::hash_files(&target, &golden.partitions)? == there,
        "the deployed files differ"
    );
    let told: serde_json::Value = serde_json::from_slice(&std::fs::read(&report)?)?;
    let wire = told["bytes_wire"].as_u64().context("no bytes_wire")?;
    // Every second MiB of the raw partition is random; what was on its way is at most 32 MiB.
    ensure!(
        wire <= (240 + 16 + 32) * MIB,
        "fetched {wire} bytes: {told}"
    );
    let failures = stack.rest.get("/fog/nodefailure")?.ok()?;
    ensure!(
        failures.to_string().contains(&format!("\"taskID\":{task}"))
            || failures
                .to_string()
                .contains(&format!("\"taskID\":\"{task}\"")),
        "{failures}"
    );
    eprintln!("{how}: moved after {moved:?}, fetched {} MiB", wire / MIB);
    // A node that comes back does not take the task back.
    if how == "-STOP" {
        signal(&stack.agents[lost].process, "-CONT")?;
        stack.wait_online(&stack.agents[lost].name.clone())?;
        ensure!(stack.task(task)?["state"] == "complete", "it was undone");
        stack.agents[lost].process.stop(PATIENCE)?;
    }
    Ok(())
}
