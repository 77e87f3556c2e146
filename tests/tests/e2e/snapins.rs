//! A snapin from its upload to the host that ran it, over real agents.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use foghorn_tests::process::until;
use foghorn_tests::stack::{Engine, Stack};
use serde_json::{Value, json};

use crate::on_both_engines;

on_both_engines! {
    a_snapin_goes_to_every_node_and_to_its_host => a_snapin_goes_to_every_node_and_to_its_host;
}

const MAC: &str = "52:54:00:00:00:0a";
const NODE_LIMIT: Duration = Duration::from_secs(60);

/// The CLI with the tokens of the stack.
fn foghorn(stack: &Stack, arguments: &[&str]) -> Result<std::process::Output> {
    let mut command = Command::new(foghorn_tests::tools::foghorn("foghorn")?);
    command.envs(stack.cli_environment()?);
    Ok(command.args(arguments).output()?)
}

fn held_by(stack: &Stack, node: &str) -> Result<Value> {
    let nodes = stack.rest.get("/fog/storagenode")?.ok()?;
    let rows = nodes["storagenodes"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let row = rows
        .iter()
        .find(|row| row["name"] == node)
        .context("the node has no row")?;
    let id = row["id"].as_str().unwrap_or_default();
    Ok(stack
        .rest
        .get(&format!("/fog/storagenode/{id}/snapinfiles"))?
        .ok()?["snapinfiles"]
        .clone())
}

fn a_snapin_goes_to_every_node_and_to_its_host(engine: Engine) -> Result<()> {
    let mut stack = Stack::start(engine)?;
    let host = stack.create_host("pc1", MAC)?;
    let snapin = stack
        .rest
        .post(
            "/fog/snapin/create",
            &json!({ "name": "tool", "file": "old", "args": "/qn" }),
        )?
        .ok()?;
    ensure!(snapin["id"] == "1", "{snapin}");
    let content: Vec<u8> = (0..5_000_000_u32)
        .map(|n| n.wrapping_mul(n).to_le_bytes()[1])
        .collect();
    let source = stack.folder().join("tool.msi");
    fs::write(&source, &content)?;

    let up = foghorn(
        &stack,
        &[
            "snapin",
            "upload",
            "1",
            source.to_str().unwrap_or_default(),
            "-q",
        ],
    )?;
    ensure!(
        up.status.success(),
        "{}",
        String::from_utf8_lossy(&up.stderr)
    );
    let sha = String::from_utf8_lossy(&up.stdout).trim().to_owned();
    let row = stack.rest.get("/fog/snapin/1")?.ok()?;
    ensure!(
        row["hash"] == sha.as_str() && row["size"] == "5000000" && row["file"] == "tool.msi",
        "{row}"
    );

    // A node that joins later gets it, too, and gives it when the first one is gone.
    stack.add_agent("late", "")?;
    stack.wait_online("late")?;
    until("the copy", NODE_LIMIT, || {
        Ok((held_by(&stack, "late")? == json!(["tool.msi"])).then_some(()))
    })?;

    let task = stack.rest.post(
        &format!("/fog/host/{host}/task"),
        &json!({ "taskTypeID": 13, "deploySnapins": 1 }),
    )?;
    ensure!(task.status == 200, "{task:?}");
    let next = stack
        .rest
        .get(&format!("/foghorn/v1/hosts/{host}/snapins/next"))?
        .ok()?;
    ensure!(
        next["next"] == "run" && next["sha512"] == sha.as_str() && next["args"] == "/qn",
        "{next}"
    );
    let target = stack.folder().join("fetched.msi");
    let down = foghorn(
        &stack,
        &[
            "snapin",
            "download",
            "1",
            target.to_str().unwrap_or_default(),
            "-q",
        ],
    )?;
    ensure!(
        down.status.success(),
        "{}",
        String::from_utf8_lossy(&down.stderr)
    );
    ensure!(fs::read(&target)? == content, "another file came");

    let path = format!(
        "/foghorn/v1/hosts/{host}/snapintasks/{}/result",
        next["snapin_task"]
    );
    stack
        .rest
        .post(&path, &json!({ "exit_code": 3, "details": "ok" }))?
        .ok()?;
    let done = stack.rest.get("/fog/snapintask/1")?.ok()?;
    ensure!(
        done["stateID"] == "4" && done["return"] == "3" && done["details"] == "ok",
        "{done}"
    );
    ensure!(stack.rest.get("/fog/snapinjob/1")?.ok()?["stateID"] == "4");
    ensure!(stack.rest.get("/fog/task/1")?.ok()?["stateID"] == "4");
    ensure!(
        stack
            .rest
            .get(&format!("/foghorn/v1/hosts/{host}/snapins/next"))?
            .ok()?["next"]
            == "nothing"
    );
    Ok(())
}
