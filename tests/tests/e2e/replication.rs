//! Images from node to node: complete and equal, through kills of either end, damage and deletion.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use foghorn_tests::disks::{self, Kind, MIB};
use foghorn_tests::process::until;
use foghorn_tests::stack::{Engine, PATIENCE, Stack};
use serde_json::{Value, json};

use crate::on_both_engines;

on_both_engines! {
    an_image_goes_to_every_node_through_kills_of_both_ends => an_image_goes_to_every_node_through_kills_of_both_ends;
}

const MAC_A: &str = "52:54:00:00:0c:0a";
const MAC_B: &str = "52:54:00:00:0c:0b";
const MAC_C: &str = "52:54:00:00:0c:0c";

fn golden(stack: &Stack, name: &str, seed: u64) -> Result<disks::Disk> {
    let path = stack.folder().join(name);
    disks::make_gpt(&path, 64 * MIB, 512, &[(Kind::Raw, 60)], seed)
}

/// How the image is on the node; null if it is not to be there.
fn replica(stack: &Stack, image: u32, node: &str) -> Result<Value> {
    let path = format!("/foghorn/v1/replication?image={image}");
    let list = stack.rest.get(&path)?.ok()?;
    let replicas = list["replicas"].as_array().context("a list")?;
    let found = replicas.iter().find(|replica| {
        let name = replica["node"]["name"].as_str().unwrap_or_default();
        name.eq_ignore_ascii_case(node)
    });
    Ok(found.cloned().unwrap_or_default())
}

fn wait_for(
    stack: &Stack,
    image: u32,
    node: &str,
    what: &str,
    is_so: impl Fn(&Value) -> bool,
) -> Result<Value> {
    until(&format!("{what} on {node}"), PATIENCE, || {
        let replica = replica(stack, image, node)?;
        Ok(is_so(&replica).then_some(replica))
    })
}

fn wait_ready(stack: &Stack, image: u32, node: &str) -> Result<()> {
    let is_ready = |replica: &Value| replica["state"] == "ready";
    wait_for(stack, image, node, "a whole copy", is_ready).map(drop)
}

fn verified(replica: &Value) -> u64 {
    replica["progress"]["verified"].as_u64().unwrap_or(0)
}

/// Verified chunks that were there before.
fn held(replica: &Value) -> u64 {
    verified(replica) - replica["progress"]["fetched"].as_u64().unwrap_or(0)
}

fn limit(stack: &Stack, node: u32, kbits: u32) -> Result<()> {
    let path = format!("/fog/storagenode/{node}/edit");
    let body = json!({ "bandwidth": kbits });
    stack.rest.put(&path, &body)?.ok().map(drop)
}

fn bytes_fetched(stack: &Stack) -> Result<u64> {
    let text = stack.rest.get("/metrics")?.body;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("foghorn_replication_bytes_total "));
    Ok(line.map(str::parse::<f64>).transpose()?.unwrap_or(0.0) as u64)
}

fn scrub(stack: &Stack, node: u32) -> Result<Value> {
    let path = format!("/foghorn/v1/nodes/{node}/scrub");
    let job = stack.rest.post(&path, &json!({}))?.ok()?["job"]
        .as_u64()
        .context("a job number")?;
    until("the end of the scrub", PATIENCE, || {
        let status = stack.rest.get(&format!("/foghorn/v1/jobs/{job}"))?.ok()?;
        Ok((status["done"] == json!(true)).then_some(status))
    })
}

fn foghorn(stack: &Stack, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(foghorn_tests::tools::foghorn("foghorn")?);
    let output = command
        .envs(stack.cli_environment()?)
        .args(arguments)
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let problem = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{arguments:?}: {text}{problem}");
    Ok(text)
}

fn an_image_goes_to_every_node_through_kills_of_both_ends(engine: Engine) -> Result<()> {
    let mut stack = Stack::start(engine)?;
    let disk = golden(&stack, "golden", 51)?;
    let (_, image) = stack.capture("golden", MAC_A, &disk.path)?;
    limit(&stack, 1, 12_000)?;
    stack.add_agent("south", "")?;
    let some = |least: u64| move |replica: &Value| verified(replica) >= least;
    wait_for(&stack, image, "south", "some chunks", some(6))?;
    let shown = stack
        .rest
        .get(&format!("/foghorn/v1/images/{image}"))?
        .ok()?;
    ensure!(
        shown["content"]["nodes"].as_array().map(Vec::len) == Some(1),
        "it counts before it is whole: {shown}"
    );

    // The node that takes dies: what it had verified and stored is not fetched again.
    stack.agents[1].process.kill()?;
    stack.restart_agent(1)?;
    let goes_on = |replica: &Value| held(replica) >= 3 && verified(replica) > held(replica);
    wait_for(&stack, image, "south", "a copy that goes on", goes_on)?;

    // The node that gives dies: the copy waits for it.
    stack.agents[0].process.kill()?;
    let waits = |replica: &Value| {
        replica["state"] == "copying"
            && replica["reason"]
                .as_str()
                .is_some_and(|why| !why.is_empty())
    };
    wait_for(&stack, image, "south", "a copy that waits", waits)?;
    stack.restart_agent(0)?;
    limit(&stack, 1, 0)?;
    wait_ready(&stack, image, "south")?;
    let status = foghorn(&stack, &["replication", "status", "--watch"])?;
    ensure!(status.matches("ready").count() == 2, "{status}");
    let found = scrub(&stack, 2)?;
    ensure!(found["damaged"] == json!([]), "{found}");

    // The same disk again moves next to nothing.
    let before = bytes_fetched(&stack)?;
    let (_, again) = stack.capture("twin", MAC_B, &disk.path)?;
    wait_ready(&stack, again, "south")?;
    let moved = bytes_fetched(&stack)? - before;
    let stored = shown["content"]["stored_bytes"]
        .as_u64()
        .context("a size")?;
    ensure!(
        moved * 100 <= stored,
        "{moved} of {stored} bytes were moved"
    );

    // The first node is gone for good: the other one has all of it.
    stack.agents[0].process.kill()?;
    let target = stack.folder().join("target");
    disks::blank(&target, 64 * MIB)?;
    stack.deploy("target", MAC_C, image, &target)?;
    ensure!(
        disks::hash_files(&target, &disk.partitions)?
            == disks::hash_files(&disk.path, &disk.partitions)?
    );
    Ok(())
}

#[test]
fn damage_is_mended_and_what_is_deleted_or_stopped_is_not_copied() {
    mend_stop_and_delete().unwrap();
}

fn mend_stop_and_delete() -> Result<()> {
    let mut stack = Stack::start(Engine::Embedded)?;
    let disk = golden(&stack, "golden", 52)?;
    let (_, image) = stack.capture("golden", MAC_A, &disk.path)?;
    stack.add_agent("south", "")?;
    wait_ready(&stack, image, "south")?;

    // A source whose disk has flipped a bit, which nobody knows yet.
    stack.damage_a_pack()?;
    stack.add_agent("west", "")?;
    wait_ready(&stack, image, "west")?;
    let said = stack.agents[2].process.log();
    ensure!(said.contains("a source cannot give a chunk"), "{said}");
    until("the damage to be mended", PATIENCE, || {
        let found = scrub(&stack, 1)?;
        Ok((found["damaged"] == json!([])).then_some(()))
    })?;
    wait_ready(&stack, image, "defaultmember")?;

    // Stopped and started by hand, slow enough to be seen.
    foghorn(
        &stack,
        &["replication", "limit", "--group", "default", "8m"],
    )?;
    let other = golden(&stack, "other", 53)?;
    let (_, other) = stack.capture("other", MAC_B, &other.path)?;
    let copies = |replica: &Value| replica["state"] == "copying" && verified(replica) > 0;
    wait_for(&stack, other, "south", "a copy under way", copies)?;
    let limits = foghorn(&stack, &["replication", "limit"])?;
    ensure!(limits.contains("8.0 Mbit/s"), "{limits}");
    let name = "other-image";
    foghorn(&stack, &["replication", "stop", name, "south"])?;
    ensure!(replica(&stack, other, "south")?["state"] == "stopped");
    foghorn(&stack, &["replication", "start", name, "south"])?;
    wait_for(&stack, other, "south", "a copy under way again", copies)?;

    // Deleted in the middle of it.
    stack
        .rest
        .delete(&format!("/fog/image/{other}/delete"))?
        .ok()?;
    until("the copies to end", PATIENCE, || {
        let list = stack.rest.get("/foghorn/v1/replication")?.ok()?;
        let mut replicas = list["replicas"].as_array().into_iter().flatten();
        Ok(replicas
            .all(|replica| replica["state"] == "ready")
            .then_some(()))
    })?;
    until("the copies to be dropped", PATIENCE, || {
        let orphans = stack.rest.get("/foghorn/v1/orphans")?.ok()?;
        let kept = stack.rest.get("/fog/storagenode/2/images")?.ok()?;
        let dropped = orphans["orphans"] == json!([]);
        Ok((dropped && kept["images"] == json!(["golden-image"])).then_some(()))
    })
}

#[test]
fn a_chunk_that_is_damaged_comes_from_another_node_in_the_middle_of_a_deploy() {
    heal_in_a_deploy().unwrap();
}

fn heal_in_a_deploy() -> Result<()> {
    let mut stack = Stack::start(Engine::Embedded)?;
    let disk = golden(&stack, "golden", 54)?;
    let (_, image) = stack.capture("golden", MAC_A, &disk.path)?;
    stack.add_agent("south", "")?;
    wait_ready(&stack, image, "south")?;

    // Only the node with the damage serves clients.
    foghorn(&stack, &["node", "cordon", "south"])?;
    stack.damage_a_pack()?;
    let target = stack.folder().join("target");
    disks::blank(&target, 64 * MIB)?;
    stack.deploy("target", MAC_B, image, &target)?;
    ensure!(
        disks::hash_files(&target, &disk.partitions)?
            == disks::hash_files(&disk.path, &disk.partitions)?
    );
    let said = stack.agents[0].process.log();
    ensure!(said.contains("the chunk is whole again"), "{said}");
    wait_ready(&stack, image, "defaultmember")?;
    let found = scrub(&stack, 1)?;
    ensure!(found["damaged"] == json!([]), "{found}");
    let metrics = stack.rest.get("/metrics")?.body;
    ensure!(
        metrics.contains("foghorn_chunks_healed_total 1"),
        "{metrics}"
    );

    // The other node is gone: the task fails, and says what is damaged where, and what to do.
    stack.agents[1].process.kill()?;
    disks::damage_a_pack_at(&stack.agents[0].state, 25)?;
    let other = stack.create_host("other", MAC_C)?;
    stack.assign(other, image)?;
    disks::blank(&target, 64 * MIB)?;
    let task = stack.order(other, 1)?;
    let mut client = stack.start_client("in-vain", other, MAC_C, &target)?;
    let status = client.wait(PATIENCE)?;
    ensure!(status.code() == Some(1), "{status}:\n{}", client.log());
    let ended = stack.wait_task(task)?;
    let reason = ended["reason"].as_str().unwrap_or_default();
    for part in [
        "chunk",
        &format!("image {image} is damaged"),
        "no other storage node that is connected has the image whole",
        "capture the image again",
    ] {
        ensure!(reason.contains(part), "{part} is not in {reason:?}");
    }
    ensure!(
        reason.to_lowercase().contains("defaultmember"),
        "{reason:?}"
    );
    Ok(())
}

#[test]
fn a_copy_goes_on_from_another_node_when_its_source_dies() {
    another_source().unwrap();
}

fn another_source() -> Result<()> {
    let mut stack = Stack::start(Engine::Embedded)?;
    let disk = golden(&stack, "golden", 55)?;
    let (_, image) = stack.capture("golden", MAC_A, &disk.path)?;
    stack.add_agent("south", "")?;
    wait_ready(&stack, image, "south")?;
    limit(&stack, 1, 12_000)?;
    limit(&stack, 2, 12_000)?;
    stack.add_agent("west", "")?;
    let some =
        |replica: &Value| verified(replica) >= 6 && replica["progress"]["source"].is_string();
    let before = wait_for(&stack, image, "west", "some chunks", some)?;
    let source = before["progress"]["source"].as_str().context("a source")?;
    let dies = usize::from(source.eq_ignore_ascii_case("south"));
    stack.agents[dies].process.kill()?;
    let goes_on = |replica: &Value| {
        let now = replica["progress"]["source"].as_str();
        now.is_some_and(|now| now != source) && verified(replica) > verified(&before)
    };
    let after = wait_for(&stack, image, "west", "a copy from the other node", goes_on)?;
    ensure!(held(&after) == 0, "it began anew: {after}");
    limit(&stack, 1, 0)?;
    limit(&stack, 2, 0)?;
    wait_ready(&stack, image, "west")
}
