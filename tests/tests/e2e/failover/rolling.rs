//! All controllers are restarted, one after the other, while everybody works: not one request fails,
//! and no transfer is cut.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use foghorn_tests::disks::{self, Kind, MIB};
use foghorn_tests::process::{Process, until};
use foghorn_tests::stack::PATIENCE;
use foghorn_tests::three::Three;
use serde_json::json;

use super::load::Load;

const MAC_A: &str = "52:54:00:00:0f:0a";
const MAC_B: &str = "52:54:00:00:0f:0b";
const SIZE: u64 = 700 * MIB;
const TIMEOUT: Duration = Duration::from_secs(30);

/// The controller's log since it was started last.
fn latest(log: &str) -> &str {
    log.rsplit_once("controller started")
        .map_or(log, |(_, last)| last)
}

/// Stops a controller as an upgrade does, and starts it again.
fn restart(three: &mut Three, number: usize) -> Result<()> {
    let had_link = three.linked() == Some(number);
    let stopped = Instant::now();
    let process = three.process(number);
    let status = process.stop(PATIENCE)?;
    let log = process.log();
    ensure!(status.success(), "{status}:\n{log}");
    eprintln!("controller {number} ended after {:?}", stopped.elapsed());
    let log = latest(&log);
    ensure!(log.contains("this controller is leaving"), "{log}");
    for bad in [
        "links are cut",
        "aborted",
        "still under way",
        "did not end in time",
    ] {
        ensure!(!log.contains(bad), "{bad:?}:\n{log}");
    }
    ensure!(
        !had_link || log.contains("no storage node is linked here any more"),
        "the link was not handed over:\n{log}"
    );
    three.restart(number)?;
    three.wait_whole()
}

fn deploy_begins(three: &Three, image: u32) -> Result<(u32, Process)> {
    let target = three.folder().join("target");
    disks::blank(&target, SIZE)?;
    let host = three.stack.create_host("target", MAC_B)?;
    three.stack.assign(host, image)?;
    let task = three.stack.order(host, 1)?;
    let token = three.stack.boot_token(host)?;
    let mut command = three.stack.client_command_with(&token, MAC_B, &target)?;
    // Whichever controller it gets.
    let args: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
    let url = three.balancer.url();
    let args = args.iter().map(|arg| match arg.to_str() {
        Some(text) if text == three.stack.rest.url => url.clone().into(),
        _ => arg.clone(),
    });
    command = {
        let mut through = std::process::Command::new(command.get_program());
        through.args(args);
        through
    };
    let client = Process::start(three.folder(), "deploy", &mut command)?;
    until("data on the disk", PATIENCE, || {
        Ok((disks::allocated(&target)? >= 10 * MIB).then_some(()))
    })?;
    Ok((task, client))
}

#[test]
fn a_rolling_restart_costs_no_request_and_cuts_no_transfer() -> Result<()> {
    let mut three = Three::start()?;
    let golden = disks::make_gpt(
        &three.folder().join("golden"),
        SIZE,
        512,
        &[(Kind::Raw, 680)],
        31,
    )?;
    let (_, image) = three.stack.capture("golden", MAC_A, &golden.path)?;
    let load = Arc::new(Load::default());
    for writer in 0..3 {
        load.write(writer, three.through(TIMEOUT)?);
    }
    for _ in 0..2 {
        load.read(three.through(TIMEOUT)?);
    }
    load.listen(three.through(TIMEOUT)?);
    let (task, mut client) = deploy_begins(&three, image)?;
    // The one with the link first, in mid-transfer.
    let first = three.linked().context("no controller has the link")?;
    for step in 0..Three::COUNT {
        restart(&mut three, (first + step) % Three::COUNT)?;
    }
    let status = client.wait(PATIENCE)?;
    let log = client.log();
    ensure!(status.success(), "the client ended with {status}:\n{log}");
    ensure!(!log.contains("lost the connection"), "cut:\n{log}");
    disks::check(&three.folder().join("target"), 512, &golden.partitions)?;
    let status = three.stack.wait_task(task)?;
    ensure!(status["state"] == json!("complete"), "{status}");
    load.end()?;
    let ended = load.ended.load(Ordering::Relaxed);
    ensure!(ended > 0, "no stream of events was handed over");
    Ok(())
}

/// Whoever does not want to wait says so twice.
#[test]
fn a_second_signal_ends_a_controller_at_once() -> Result<()> {
    let mut three = Three::start()?;
    let process = three.process(1);
    process.signal(rustix::process::Signal::TERM)?;
    until("the first signal to be taken", PATIENCE, || {
        Ok(process
            .log()
            .contains("this controller is leaving")
            .then_some(()))
    })?;
    process.stop(PATIENCE)?;
    let log = process.log();
    ensure!(log.contains("told to stop once more"), "{log}");
    Ok(())
}
