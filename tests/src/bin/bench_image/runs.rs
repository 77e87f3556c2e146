//! The measurements.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use foghorn_tests::disks;
use foghorn_tests::process::Process;
use foghorn_tests::stack::{Engine, Options, Stack};
use serde_json::Value;

use crate::disk::{self, Disks};
use crate::figures::{Figures, Round};
use crate::on_client;
use crate::peer::Peer;

/// Address of the storage node's end of the link.
const ADDRESS: &str = "10.77.0.1";
const MAC_GOLDEN: &str = "52:54:00:00:0b:01";
const MAC_TARGET: &str = "52:54:00:00:0b:02";
const LIMIT: Duration = Duration::from_secs(300);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    /// Across the shaped link.
    Link,
    /// In the server's own namespace: no line rate.
    Loopback,
}

/// What one client process did.
pub(crate) struct Ran {
    pub(crate) seconds: f64,
    /// User and system time of the client and of the agent meanwhile.
    pub(crate) client_cpu: f64,
    pub(crate) agent_cpu: f64,
    pub(crate) report: Value,
}

pub(crate) fn measure(work: &Path, runs: usize) -> Result<Figures> {
    eprintln!("making the disks …");
    let disks = disk::make(work)?;
    let peer = Peer::start(work, ADDRESS)?;
    let mut figures = Figures::default();
    for run in 1..=runs {
        eprintln!("run {run} of {runs} at 1 Gbit/s …");
        figures.rounds.push(round(work, &disks, &peer)?);
    }
    eprintln!("eight clients at once …");
    figures.agent_mib_8 = Some(eight_clients(work, &disks)?);
    for run in 1..=runs {
        eprintln!("run {run} of {runs} without a line rate …");
        figures.loopback.push(loopback(work, &disks)?);
    }
    Ok(figures)
}

fn stack(work: &Path) -> Result<Stack> {
    Stack::start_with(
        Engine::Embedded,
        &Options {
            address: ADDRESS.to_owned(),
            folder: Some(work.to_owned()),
            ..Options::default()
        },
    )
}

fn round(work: &Path, disks: &Disks, peer: &Peer) -> Result<Round> {
    let stack = stack(work)?;
    let (golden, image) = (
        stack.create_host("golden", MAC_GOLDEN)?,
        stack.create_image("image")?,
    );
    stack.assign(golden, image)?;
    warm(&disks.first)?;
    let capture = client(&stack, golden, MAC_GOLDEN, 2, &disks.first, Side::Link)?;
    let first = content(&stack, image)?;
    warm(&disks.volume)?;
    let peer_capture = peer.capture(&disks.volume, work)?;

    let target = work.join("target");
    disks::blank(&target, disks.size)?;
    let host = stack.create_host("target", MAC_TARGET)?;
    stack.assign(host, image)?;
    let deploy = client(&stack, host, MAC_TARGET, 1, &target, Side::Link)?;
    let peer_target = work.join("peer-target");
    disks::blank(&peer_target, disks.partition.size)?;
    let peer_deploy = peer.deploy(&peer_target, work)?;
    std::fs::remove_file(&peer_target)?;

    warm(&disks.second)?;
    let recapture = client(&stack, golden, MAC_GOLDEN, 2, &disks.second, Side::Link)?;
    let second = content(&stack, image)?;
    warm(&target)?;
    let redeploy = client(&stack, host, MAC_TARGET, 1, &target, Side::Link)?;
    let parts = std::slice::from_ref(&disks.partition);
    disks::check(&target, 512, parts)?;
    ensure!(
        disks::hash_files(&target, parts)? == disks::hash_files(&disks.second, parts)?,
        "the deployed files are not the captured ones"
    );
    std::fs::remove_file(&target)?;
    Ok(Round {
        capture,
        deploy,
        recapture,
        redeploy,
        peer_capture,
        peer_deploy,
        first,
        second,
    })
}

/// Reads the file once, so that every run starts with a warm page cache.
fn warm(file: &Path) -> Result<()> {
    std::io::copy(&mut std::fs::File::open(file)?, &mut std::io::sink())?;
    Ok(())
}

fn content(stack: &Stack, image: u32) -> Result<Value> {
    Ok(stack
        .rest
        .get(&format!("/foghorn/v1/images/{image}"))?
        .ok()?["content"]
        .take())
}

fn client(
    stack: &Stack,
    host: u32,
    mac: &str,
    task_type: u32,
    disk: &Path,
    side: Side,
) -> Result<Ran> {
    let task = stack.order(host, task_type)?;
    let report = stack.folder().join("report.json");
    let mut command = stack.client_command(host, mac, disk)?;
    command.arg("--report").arg(&report);
    if side == Side::Link {
        command = on_client(&command);
    }
    let agent = stack.agents[0].process.id();
    let (agent_before, children_before) = (cpu_of(agent)?, cpu_of_children());
    let start = Instant::now();
    let mut process = Process::start(stack.folder(), "client", &mut command)?;
    let status = process.wait(LIMIT)?;
    let seconds = start.elapsed().as_secs_f64();
    ensure!(
        status.success(),
        "the client ended with {status}:\n{}",
        process.log()
    );
    let ended = stack.wait_task(task)?;
    ensure!(ended["state"] == "complete", "{ended}");
    Ok(Ran {
        seconds,
        client_cpu: cpu_of_children() - children_before,
        agent_cpu: cpu_of(agent)? - agent_before,
        report: serde_json::from_slice(&std::fs::read(report)?)?,
    })
}

/// User and system seconds of a process so far (fields 14 and 15 of /proc/PID/stat, proc(5)).
fn cpu_of(process: u32) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .context("a stat line")?
        .split_whitespace()
        .collect();
    let ticks = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
    Ok(ticks / rustix::param::clock_ticks_per_second() as f64)
}

/// User and system seconds of the children that have ended (fields 16 and 17 of our own stat line).
fn cpu_of_children() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<f64> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(13)
        .take(2)
        .filter_map(|text| text.parse().ok())
        .collect();
    fields.iter().sum::<f64>() / rustix::param::clock_ticks_per_second() as f64
}

/// Highest memory of an agent that serves eight clients, in MiB.
fn eight_clients(work: &Path, disks: &Disks) -> Result<f64> {
    let stack = stack(work)?;
    let (_, image) = stack.capture("golden", MAC_GOLDEN, &disks.first)?;
    let mut running = vec![];
    for number in 0..8 {
        let mac = format!("52:54:00:00:0c:{number:02x}");
        let disk = stack.folder().join(format!("disk{number}"));
        disks::blank(&disk, disks.size)?;
        let host = stack.create_host(&format!("pc-{number}"), &mac)?;
        stack.assign(host, image)?;
        let task = stack.order(host, 1)?;
        let command = on_client(&stack.client_command(host, &mac, &disk)?);
        running.push((command, task, format!("client-{number}")));
    }
    let mut clients = vec![];
    for (mut command, task, name) in running {
        clients.push((Process::start(stack.folder(), &name, &mut command)?, task));
    }
    for (client, task) in &mut clients {
        ensure!(client.wait(LIMIT)?.success(), "{}", client.log());
        ensure!(stack.wait_task(*task)?["state"] == "complete");
    }
    Ok(stack.agents[0]
        .process
        .peak_memory_kib()
        .context("the agent's memory")? as f64
        / 1024.0)
}

/// Capture and deploy without a line rate.
fn loopback(work: &Path, disks: &Disks) -> Result<(Ran, Ran)> {
    let stack = stack(work)?;
    let (golden, image) = (
        stack.create_host("golden", MAC_GOLDEN)?,
        stack.create_image("image")?,
    );
    stack.assign(golden, image)?;
    warm(&disks.first)?;
    let capture = client(&stack, golden, MAC_GOLDEN, 2, &disks.first, Side::Loopback)?;
    let target = stack.folder().join("target");
    disks::blank(&target, disks.size)?;
    let host = stack.create_host("target", MAC_TARGET)?;
    stack.assign(host, image)?;
    let deploy = client(&stack, host, MAC_TARGET, 1, &target, Side::Loopback)?;
    Ok((capture, deploy))
}
