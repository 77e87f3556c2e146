//! A firewall that lets TCP through and drops UDP: the machine, the task and the doctor name it.

use std::process::Command;

use anyhow::{Result, ensure};
use foghorn_tests::disks::{self, MIB};
use foghorn_tests::lab::{Lab, SERVER};
use foghorn_tests::old_content::Old;
use foghorn_tests::process::{Process, until, until_answer};
use foghorn_tests::stack::{Engine, Options, PATIENCE, Stack};
use foghorn_tests::tools::foghorn;
use serde_json::Value;

const MAC: &str = "52:54:00:00:b1:0c";
/// FOG's number of captures.
const CAPTURE: u32 = 2;

/// What the doctor says on the client about QUIC.
fn quic(stack: &Stack, lab: &Lab) -> Result<Value> {
    let mut doctor = Command::new(foghorn("foghorn")?);
    doctor.args(["doctor", "--json"]);
    for (name, value) in stack.cli_environment()? {
        doctor.env(name, value);
    }
    let output = lab.on_client(1, &doctor).output()?;
    let findings: Vec<Value> = serde_json::from_slice(&output.stdout)?;
    let found = findings.into_iter().find(|one| one["check"] == "quic");
    found.ok_or_else(|| anyhow::anyhow!("{output:?}"))
}

fn scenario() -> Result<()> {
    let root = rustix::process::geteuid().is_root();
    assert!(
        root || std::env::var_os("CI").is_none(),
        "namespaces need root, and CI must not leave tests out"
    );
    if !root {
        eprintln!("left out: network namespaces need root");
        return Ok(());
    }
    let lab = Lab::up("fhu", 1, "0")?;
    let _on_server = lab.enter()?;
    let options = Options {
        address: SERVER.to_owned(),
        ..Options::default()
    };
    let stack = Stack::start_with(Engine::Embedded, &options)?;
    let disk = stack.folder().join("disk");
    disks::blank(&disk, 24 * MIB)?;
    Old::Ext(4, 4096).put(&disk, 0, 24 * MIB)?;
    let (host, image) = (stack.create_host("pc", MAC)?, stack.create_image("image")?);
    stack.assign(host, image)?;
    let task = stack.order(host, CAPTURE)?;

    lab.block_udp(1)?;
    let doctor = quic(&stack, &lab)?;
    ensure!(doctor["verdict"] == "fail", "{doctor}");
    let said = format!("to {SERVER} is blocked");
    ensure!(
        doctor["found"]
            .as_str()
            .is_some_and(|text| text.contains(&said)),
        "{doctor}"
    );
    let command = lab.on_client(1, &stack.client_command(host, MAC, &disk)?);
    let mut client = Process::start(stack.folder(), "client", &mut { command })?;
    let status = until_answer(
        &mut client,
        "the reason why the task waits",
        PATIENCE,
        || {
            let status = stack.task(task)?;
            Ok(status["reason"].is_string().then_some(status))
        },
    )?;
    let reason = status["reason"].as_str().unwrap_or_default();
    ensure!(
        reason.starts_with("the machine cannot reach the node defaultmember (UDP ")
            && reason.ends_with(&format!(" to {SERVER})")),
        "{status}"
    );
    ensure!(status["state"] == "checked_in", "{status}");
    until("the client to say so", PATIENCE, || {
        Ok(client.log().contains(&said).then_some(()))
    })?;

    lab.open_udp(1)?;
    let ended = client.wait(PATIENCE)?;
    ensure!(ended.success(), "{}", client.log());
    let complete = stack.wait_task(task)?;
    ensure!(
        complete["state"] == "complete" && complete["reason"].is_null(),
        "{complete}"
    );
    let doctor = quic(&stack, &lab)?;
    ensure!(doctor["verdict"] == "ok", "{doctor}");
    Ok(())
}

#[test]
fn a_machine_whose_udp_is_dropped_says_so_and_its_task_too() {
    scenario().unwrap();
}
