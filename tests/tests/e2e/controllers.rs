//! Three controllers on one store, as processes: one of them is killed, and nobody notices.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use foghorn_tests::disks::{self, Kind, MIB};
use foghorn_tests::process::until;
use foghorn_tests::rest::Rest;
use foghorn_tests::stack::{Beside, Engine, PATIENCE, Stack};
use serde_json::{Value, json};

const MAC_A: &str = "52:54:00:00:0c:0a";
const MAC_B: &str = "52:54:00:00:0c:0b";
/// Enough data that no machine is through before the test has acted.
const SIZE: u64 = 700 * MIB;
/// An agent looks for another controller within this time; far below what a task allows.
const SOON: Duration = Duration::from_secs(10);

fn node(rest: &Rest) -> Result<Value> {
    let nodes = rest.get("/foghorn/v1/nodes")?.ok()?;
    let first = nodes["nodes"].as_array().and_then(|nodes| nodes.first());
    first.cloned().context("there is no storage node")
}

fn wait_online(rest: &Rest, online: bool) -> Result<()> {
    let what = format!("the storage node to be online: {online}");
    until(&what, SOON, || {
        Ok((node(rest)?["online"] == online).then_some(()))
    })
}

/// A file that is uploaded at one controller is stored by the node whose link another one has, and
/// comes back over a third.
fn a_file_goes_through(at: &Rest, back: &Rest, name: &str) -> Result<()> {
    let snapin = at
        .post("/fog/snapin/create", &json!({ "name": name, "file": name }))?
        .ok()?;
    let id = snapin["id"].as_str().context("the snapin has no id")?;
    let content: String = (0..300_000_u32).map(|n| format!("{n:x} ")).collect();
    let path = format!("/foghorn/v1/snapins/{id}/file");
    let put = format!("{path}?name={name}.txt");
    at.send("PUT", &put, Some(content.clone().into_bytes()))?
        .ok()?;
    let got = back.get(&path)?;
    ensure!(got.status == 200, "{}", got.body);
    ensure!(got.body == content, "the file that came back differs");
    Ok(())
}

#[test]
fn a_controller_is_killed_in_mid_transfer() -> Result<()> {
    let mut stack = Stack::start(Engine::Etcd)?;
    let mut others = [stack.beside("b")?, stack.beside("c")?];
    for other in &others {
        wait_online(&other.rest, true)?;
    }
    a_file_goes_through(&others[0].rest, &others[1].rest, "tool")?;

    let golden = disks::make_gpt(
        &stack.folder().join("golden"),
        SIZE,
        512,
        &[(Kind::Raw, 680)],
        29,
    )?;
    let (_, image) = stack.capture("golden", MAC_A, &golden.path)?;
    let target = stack.folder().join("target");
    disks::blank(&target, SIZE)?;
    let host = stack.create_host("target", MAC_B)?;
    stack.assign(host, image)?;
    let task = stack.order(host, 1)?;
    let mut client = stack.start_client("deploy", host, MAC_B, &target)?;
    until("data on the disk", PATIENCE, || {
        Ok((disks::allocated(&target)? >= 30 * MIB).then_some(()))
    })?;

    // The one that has the link of the node.
    stack.controller.kill()?;
    let killed = Instant::now();
    let [b, c] = &mut others;
    until("the node to be linked to another controller", SOON, || {
        let linked = [&*b, &*c].map(|other| other.process.log().contains("agent connected"));
        Ok((linked[0] || linked[1]).then_some(()))
    })?;
    eprintln!("the node was linked again after {:?}", killed.elapsed());
    let status = client.wait(PATIENCE)?;
    ensure!(
        status.success(),
        "the client ended with {status}:\n{}",
        client.log()
    );
    ensure!(
        !client.log().contains("lost the connection"),
        "the transfer was cut:\n{}",
        client.log()
    );
    disks::check(&target, 512, &golden.partitions)?;
    for other in [&*b, &*c] {
        until("the task to be complete", SOON, || {
            let task = other.rest.get(&format!("/foghorn/v1/tasks/{task}"))?.ok()?;
            Ok((task["state"] == "complete").then_some(()))
        })?;
        wait_online(&other.rest, true)?;
    }
    // Work goes on: a further file, and a scrub that one orders and the other one follows.
    a_file_goes_through(&c.rest, &b.rest, "other")?;
    follow_a_scrub(b, c)?;
    // A controller that stops says good-bye, and its node calls the one that is left.
    let last_has_it = c.process.log().contains("agent connected");
    let (leaves, stays) = if last_has_it { (c, b) } else { (b, c) };
    leaves.process.stop(PATIENCE)?;
    until("the node to be linked to the last controller", SOON, || {
        Ok(stays
            .process
            .log()
            .contains("agent connected")
            .then_some(()))
    })?;
    wait_online(&stays.rest, true)?;
    ensure!(
        fs::read_to_string(stack.agents[0].state.join("controllers"))?
            .lines()
            .count()
            >= 1,
        "the agent forgot where the controllers are"
    );
    Ok(())
}

fn follow_a_scrub(b: &Beside, c: &Beside) -> Result<()> {
    let id = node(&b.rest)?["id"].clone();
    let job = b
        .rest
        .post(&format!("/foghorn/v1/nodes/{id}/scrub"), &json!({}))?
        .ok()?["job"]
        .clone();
    until("the scrub to be done", PATIENCE, || {
        let job = c.rest.get(&format!("/foghorn/v1/jobs/{job}"))?.ok()?;
        Ok((job["done"] == true).then_some(()))
    })?;
    Ok(())
}
