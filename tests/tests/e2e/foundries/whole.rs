//! The whole way of a machine: imaged with an identity, configured, put to work, and imaged again because its tag has a
//! newer version. With the real host service, which finds its identity on the disk; on loop devices, which only root
//! can make.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use foghorn_tests::disks;
use foghorn_tests::factory::Operator;
use foghorn_tests::process::until;
use foghorn_tests::stack::{Engine, PATIENCE, Stack, id};
use foghorn_tests::tools::foghorn;
use serde_json::{Value, json};

use super::imaged::{Imaged, MAKER};
use super::installation;
use super::installed::{self, GOLDEN, SIZE, TARGET, choose, copied, install, on_loop};
use super::versions::{FIRST, RING, SECOND, capture_again, device, is_up_to_date, tag};
use crate::block_devices::may_make_loop_devices;
use crate::on_both_engines;

on_both_engines! {
    a_machine_is_imaged_configured_put_to_work_and_imaged_again => the_whole_way;
}

const NAME: &str = "till";
const CONFIG: &str = "/ota/devices/till/config/";

fn the_whole_way(engine: Engine) -> Result<()> {
    if !may_make_loop_devices() {
        return Ok(());
    }
    let (stack, operator) = installation(engine)?;
    let golden = installed::golden(stack.folder())?;
    let (source, image) = stack.capture("golden", GOLDEN, &golden.path)?;
    tag(&operator, FIRST)?;
    choose(&stack, &format!("images/{image}"), &json!(true))?;
    let host = stack.create_host(NAME, TARGET)?;
    stack.assign(host, image)?;
    let disk = stack.folder().join("till-disk");
    disks::blank(&disk, SIZE)?;
    let task = stack.order(host, 1)?;
    is_deployed(&stack, (host, task), "first", &disk)?;
    let known = device(&operator, NAME)?;
    ensure!(known["target-name"] == FIRST, "{known}");
    ensure!(known["tag"] == "", "it has not spoken: {known}");

    let place = stack.folder().join(NAME);
    let machine = Imaged::new(place, &disk, installed::root(&golden))?;
    is_configured(&operator, &machine)?;
    give(&operator, CONFIG, &json!([order(&machine, 1)]))?;
    machine.check_in("action")?;
    let noted = machine.places.noted();
    ensure!(noted == ["greeted"], "{noted:?}");
    does_the_work_of_its_host(&stack, host, &machine)?;

    install(&golden, "2")?;
    capture_again(&stack, (source, GOLDEN), &golden.path)?;
    is_up_to_date(&operator, NAME, FIRST, true)?;
    tag(&operator, SECOND)?;
    is_up_to_date(&operator, NAME, FIRST, false)?;
    let task = is_ordered_by_its_ring(&stack, &operator, host)?;
    is_deployed(&stack, (host, task), "second", &disk)?;
    let system = copied(&disk, &golden, "/usr/lib", "second-system")?;
    let release = fs::read_to_string(system.join("os-release"))?;
    ensure!(release.contains("VERSION_ID=2"), "{release}");
    the_ring_has_ended(&operator)?;
    comes_back(&stack, &operator, host, &machine)
}

fn is_deployed(stack: &Stack, ordered: (u32, u32), name: &str, disk: &Path) -> Result<()> {
    let (said, code, task) = on_loop(stack, ordered, name, disk)?;
    ensure!(code == 0 && task["state"] == "complete", "{task}\n{said}");
    Ok(())
}

fn give(operator: &Operator, path: &str, files: &Value) -> Result<()> {
    let body = json!({"reason": "a test", "files": files});
    operator.call("PATCH", path, &body).map(drop)
}

fn file(name: &str, value: &str) -> Value {
    json!({"name": name, "value": value, "unencrypted": true})
}

/// The config file that orders the action of the machine; each order has an id of its own.
fn order(machine: &Imaged, number: u32) -> Value {
    let value = format!("COMMAND_ID=greet_{number:010}\nCOMMAND_CAPTURE=1\n");
    let mut file = file("fioconfig-oneshot-greet", &value);
    let handler = machine.places.path("handlers/fioconfig-oneshot");
    file["on-changed"] = json!([handler.display().to_string(), "greet"]);
    file
}

/// Something of the factory, with a secret, and of the device, with the tag that it follows from now on.
fn is_configured(operator: &Operator, machine: &Imaged) -> Result<()> {
    let mut motd = file("motd", "Open until ten");
    motd["on-changed"] = machine.places.note("motd");
    let secret = json!({"name": "wifi/password", "value": "correct horse", "unencrypted": false});
    let factory = json!([motd, file("level", "factory"), secret]);
    give(operator, &operator.at("config/"), &factory)?;
    let follows = file("z-50-fioctl.toml", "[pacman]\ntags = \"lab\"\n");
    let own = json!([file("level", "device"), follows]);
    give(operator, CONFIG, &own)?;
    let said = machine.check_in("configured")?;
    has_its_config(operator, machine, &said)?;
    ensure!(machine.name()? == NAME, "{}\n{said}", machine.name()?);
    is_up_to_date(operator, NAME, FIRST, true)
}

/// All of it has just come, and the gateway knows which tag the machine follows.
fn has_its_config(operator: &Operator, machine: &Imaged, said: &str) -> Result<()> {
    ensure!(said.contains("the config was extracted"), "{said}");
    let files = machine.places.files()?;
    for (name, text) in [
        ("motd", "Open until ten"),
        ("level", "device"),
        ("wifi/password", "correct horse"),
    ] {
        let found = files.get(name).map(String::as_str);
        ensure!(found == Some(text), "{name}: {files:?}");
    }
    let noted = machine.places.noted();
    ensure!(noted == ["motd there"], "{noted:?}\n{said}");
    let known = device(operator, NAME)?;
    ensure!(known["tag"] == RING, "{known}");
    Ok(())
}

fn does_the_work_of_its_host(stack: &Stack, host: u32, machine: &Imaged) -> Result<()> {
    let body = json!({"name": "hello", "file": "old", "hosts": [host]});
    let snapin = id(&stack.rest.post("/fog/snapin/create", &body)?.ok()?)?;
    let script = stack.folder().join("hello.sh");
    fs::write(
        &script,
        "#!/bin/sh\necho \"$FOGHORN_SNAPIN was here\"\nexit 7\n",
    )?;
    let (snapin, script) = (snapin.to_string(), script.display().to_string());
    cli(stack, &["snapin", "upload", &snapin, &script, "-q"])?;
    let all = json!({"taskTypeID": 12, "deploySnapins": true});
    let path = format!("/fog/host/{host}/task");
    stack.rest.post(&path, &all)?.ok()?;
    let rule = json!({"hostID": host, "min": "30", "hour": "*", "dom": "*", "month": "*", "dow": "*",
        "onDemand": 1, "action": "reboot"});
    let create = "/fog/powermanagement/create";
    stack.rest.post(create, &rule)?.ok()?;

    let said = machine.check_in("work")?;
    ensure!(said.contains("(1 snapins)"), "{said}");
    let result = stack.rest.get("/fog/snapintask/1")?.ok()?;
    ensure!(
        result["stateID"] == "4" && result["return"] == "7",
        "{result}\n{said}"
    );
    ensure!(result["details"] == "hello was here", "{result}");
    let noted = machine.places.noted();
    ensure!(noted == ["power reboot"], "{noted:?}\n{said}");
    has_told_its_inventory(stack, host)?;

    // Each of it is done once.
    let said = machine.check_in("idle")?;
    ensure!(said.contains("(0 snapins)"), "{said}");
    let noted = machine.places.noted();
    ensure!(noted.is_empty(), "{noted:?}\n{said}");
    ensure!(active(stack, host)?.is_none(), "its task has not ended");
    Ok(())
}

/// What the client for imaging has said is what it runs on here.
fn has_told_its_inventory(stack: &Stack, host: u32) -> Result<()> {
    let shown = stack.rest.get(&format!("/fog/host/{host}"))?.ok()?;
    let inventory = &shown["inventory"];
    ensure!(inventory["sysman"] == MAKER, "{inventory}");
    Ok(())
}

/// The task that the host has.
fn active(stack: &Stack, host: u32) -> Result<Option<u32>> {
    let active = stack.rest.get("/fog/task/active")?.ok()?;
    let mut rows = active["tasks"].as_array().into_iter().flatten();
    let row = rows.find(|row| row["hostID"] == json!(host.to_string()));
    row.map(id).transpose()
}

/// Nobody has ordered it but the policy of its site; which task it is.
fn is_ordered_by_its_ring(stack: &Stack, operator: &Operator, host: u32) -> Result<u32> {
    ensure!(active(stack, host)?.is_none(), "the site is not in auto");
    let site = operator.factory.as_str();
    cli(stack, &["factory", "policy", "set", site, "--mode", "auto"])?;
    until("the order of the ring", PATIENCE, || active(stack, host))
}

/// The device runs the second version, though it has not spoken since.
fn the_ring_has_ended(operator: &Operator) -> Result<()> {
    is_up_to_date(operator, NAME, SECOND, true)?;
    until("the end of the update", PATIENCE, || {
        let known = device(operator, NAME)?;
        Ok((known["current-update"] == "").then_some(()))
    })?;
    let updates = operator.get("/ota/devices/till/updates/")?;
    ensure!(updates["updates"][0]["target"] == SECOND, "{updates}");
    Ok(())
}

/// It is the same device with a new identity. Its config comes as to an empty disk; what the system before was ordered
/// to do once is not done again, what it is ordered now is.
fn comes_back(stack: &Stack, operator: &Operator, host: u32, machine: &Imaged) -> Result<()> {
    machine.starts()?;
    let said = machine.check_in("again")?;
    has_its_config(operator, machine, &said)?;
    ensure!(said.contains("(0 snapins)"), "{said}");
    ensure!(machine.name()? == NAME, "{}\n{said}", machine.name()?);
    has_told_its_inventory(stack, host)?;
    is_up_to_date(operator, NAME, SECOND, true)?;
    let said = machine.check_in("again-idle")?;
    let noted = machine.places.noted();
    ensure!(noted.is_empty(), "{noted:?}\n{said}");

    give(operator, CONFIG, &json!([order(machine, 2)]))?;
    let said = machine.check_in("again-action")?;
    let noted = machine.places.noted();
    ensure!(noted == ["greeted"], "{noted:?}\n{said}");
    let devices = operator.get("/ota/devices/")?;
    ensure!(devices["total"] == 1, "{devices}");
    ensure!(active(stack, host)?.is_none(), "it is imaged once more");
    Ok(())
}

fn cli(stack: &Stack, arguments: &[&str]) -> Result<()> {
    let mut command = Command::new(foghorn("foghorn")?);
    command.envs(stack.cli_environment()?).args(arguments);
    let output = command.output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{arguments:?}: {said}");
    Ok(())
}
