//! A device follows a tag: a disk is captured, its version tagged, a newer one captured and tagged, the
//! machine imaged again.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use foghorn_tests::disks::{self, Kind, MIB};
use foghorn_tests::factory::Operator;
use foghorn_tests::stack::{Engine, Stack};
use serde_json::{Value, json};

use super::installation;
use super::machine::Machine;
use super::versions::{FIRST, RING, SECOND, capture_again, device, is_up_to_date, tag, target};
use crate::on_both_engines;

on_both_engines! {
    a_device_follows_its_ring_from_version_to_version => follows_its_ring;
}

const UUID: &str = "5a1c0d2e-7b1f-4c6e-9a53-0f6f7d3b0101";
const GOLDEN: &str = "52:54:00:0f:10:01";
const TARGET: &str = "52:54:00:0f:10:02";
const NAME: &str = "till-1";
/// Within the only partition of the disk.
const PLACE: u64 = 3 * MIB;

fn follows_its_ring(engine: Engine) -> Result<()> {
    let (stack, operator) = installation(engine)?;
    let parts = [(Kind::Raw, 8)];
    let golden = disks::make_gpt(&stack.folder().join("golden"), 32 * MIB, 512, &parts, 11)?;
    let (source, image) = stack.capture("golden", GOLDEN, &golden.path)?;
    let first = target(&operator, FIRST)?;
    ensure!(first["custom"]["tags"] == json!([]), "{first}");
    tag(&operator, FIRST)?;

    let machine = Machine::register(stack.folder(), &operator, NAME, UUID)?;
    let before = device(&operator, NAME)?;
    ensure!(before["last-seen"] == "", "it has not spoken: {before}");
    let hash = first["hashes"]["sha256"].as_str().context("a hash")?;
    ensure!(hash.len() == 64, "{first}");
    let known = machine.runs(FIRST, RING)?;
    ensure!(known["name"] == NAME, "{known}");
    is_up_to_date(&operator, NAME, FIRST, true)?;

    // A newer version changes nothing until it is in the ring.
    let file = File::options().write(true).open(&golden.path)?;
    file.write_all_at(b"the second version", PLACE)?;
    capture_again(&stack, (source, GOLDEN), &golden.path)?;
    let second = target(&operator, SECOND)?;
    ensure!(second["hashes"] != first["hashes"], "{second}");
    is_up_to_date(&operator, NAME, FIRST, true)?;
    tag(&operator, SECOND)?;
    is_up_to_date(&operator, NAME, FIRST, false)?;

    let disk = stack.folder().join("till-disk");
    disks::blank(&disk, 32 * MIB)?;
    is_imaged_again(&stack, &operator, &machine, (image, &disk))?;
    let mut found = [0; 18];
    File::open(&disk)?.read_exact_at(&mut found, PLACE)?;
    ensure!(found == *b"the second version", "another one was deployed");
    machine.runs(SECOND, RING)?;
    is_up_to_date(&operator, NAME, SECOND, true)?;
    // It has the address of the host that was imaged: they are one machine, and it keeps its name.
    let network = json!({"hostname": "till", "mac": TARGET, "local_ipv4": "10.0.0.7"});
    machine.ask("PUT", "/system_info/network", &[], &network)?;
    let bound = device(&operator, NAME)?;
    ensure!(bound["network-info"]["mac"] == TARGET, "{bound}");
    is_up_to_date(&operator, NAME, SECOND, true)?;

    // The ring holds its versions; whoever is not in it has nothing to catch up with.
    machine.runs(SECOND, "")?;
    let alone = device(&operator, NAME)?;
    ensure!(alone["tag"] == "" && alone["up-to-date"] == true, "{alone}");
    Ok(())
}

/// The machine tells how its update goes while it is imaged with the present version.
fn is_imaged_again(
    stack: &Stack,
    operator: &Operator,
    machine: &Machine,
    (image, disk): (u32, &Path),
) -> Result<()> {
    tell(machine, "1", "EcuDownloadStarted", &Value::Null)?;
    let during = device(operator, NAME)?;
    ensure!(during["current-update"] == "update-1", "{during}");
    stack.deploy("till", TARGET, image, disk)?;
    tell(machine, "2", "EcuInstallationCompleted", &json!(true))?;
    // Sent once more, as after an answer that did not arrive.
    tell(machine, "2", "EcuInstallationCompleted", &json!(true))?;
    let after = device(operator, NAME)?;
    ensure!(after["current-update"] == "", "{after}");
    let path = format!("/ota/devices/{UUID}/updates/");
    let updates = operator.get(&format!("{path}?by-uuid=1"))?;
    ensure!(updates["total"] == 1, "{updates}");
    let update = &updates["updates"][0];
    ensure!(update["correlation-id"] == "update-1", "{update}");
    ensure!(update["target"] == SECOND, "{update}");
    let events = operator.get(&format!("{path}update-1/"))?;
    let events = events.as_array().context("events are a list")?;
    let kinds: Vec<_> = events
        .iter()
        .map(|event| &event["eventType"]["id"])
        .collect();
    ensure!(
        kinds == ["EcuDownloadStarted", "EcuInstallationCompleted"],
        "{events:?}"
    );
    ensure!(events[1]["event"]["success"] == true, "{events:?}");
    Ok(())
}

fn tell(machine: &Machine, id: &str, kind: &str, success: &Value) -> Result<()> {
    let mut event = json!({
        "correlationId": "update-1",
        "targetName": SECOND,
        "version": "2",
        "details": "",
    });
    if !success.is_null() {
        event["success"] = success.clone();
    }
    let event = json!([{
        "id": id,
        "deviceTime": "2026-11-30T20:00:00Z",
        "eventType": {"id": kind, "version": 0},
        "event": event,
    }]);
    machine.ask("POST", "/events", &[], &event).map(drop)
}
