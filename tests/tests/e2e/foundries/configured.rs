//! Configuration of three levels arrives on a machine as files, secrets in clear, and handlers run.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result, ensure};
use foghorn_host_config::ecies::{Randomness, Recipient};
use foghorn_tests::factory::Operator;
use foghorn_tests::process::until;
use foghorn_tests::stack::{Engine, PATIENCE};
use serde_json::{Value, json};

use super::controller;
use super::machine::Machine;
use crate::on_both_engines;

on_both_engines! {
    a_configuration_of_three_levels_arrives_changes_and_goes => arrives_changes_and_goes;
}

const UUID: &str = "5a1c0d2e-7b1f-4c6e-9a53-0f6f7d3b0102";
const DEVICE: &str = "/ota/devices/till-2/config/";
const SETTINGS: &str = "z-50-fioctl.toml";

fn arrives_changes_and_goes(engine: Engine) -> Result<()> {
    let (stack, operator) = controller(engine)?;
    let machine = Machine::register(stack.folder(), &operator, "till-2", UUID)?;
    ensure!(machine.check_in()? == "there is no config for this machine");
    operator.call(
        "POST",
        &operator.at("device-groups/"),
        &json!({"name": "front"}),
    )?;
    let moved = json!({"group": "front"});
    let moved = operator.call("PATCH", "/ota/devices/till-2/", &moved)?;
    ensure!(moved["group"]["name"] == "front", "{moved}");
    let secret = set(&operator, &machine)?;

    let said = machine.check_in()?;
    ensure!(said.starts_with("the config was extracted"), "{said}");
    let mut files = machine.places.files()?;
    let settings = files.remove(SETTINGS).context("it has settings")?;
    let settings: toml::Table = settings.parse()?;
    let pacman = &settings["pacman"];
    ensure!(pacman["tags"].as_str() == Some("lab"), "{settings}");
    ensure!(pacman["docker_apps"].as_str() == Some("a,b"), "{settings}");
    let expected = [
        ("door/pin", "1234"),
        ("group.txt", "of the group"),
        ("level", "device"),
        ("motd", "Open until ten"),
        ("wifi", "correct horse"),
    ];
    ensure!(files == texts(&expected), "{files:?}");
    ensure!(machine.places.noted() == ["level there"]);
    // Whoever asks in the second of a change is given the same once more.
    until("the config to be an old one", PATIENCE, || {
        let said = machine.check_in()?;
        Ok((said == "the config has not changed").then_some(()))
    })?;
    ensure!(machine.places.noted().is_empty(), "nothing has changed");

    is_kept_secret(&operator, &machine, &secret)?;
    is_shown_as_applied(&operator)?;
    goes(&operator, &machine)
}

/// Sets something at each level; returns the secret of the device as it was encrypted.
fn set(operator: &Operator, machine: &Machine) -> Result<String> {
    let file = |name: &str, value: &str| json!({"name": name, "value": value, "unencrypted": true});
    let patch = |path: &str, files: &Value| -> Result<Value> {
        let body = json!({"reason": "a test", "files": files});
        operator.call("PATCH", path, &body)
    };
    let factory = json!([
        file("motd", "Open until ten"),
        file("level", "factory"),
        file(
            SETTINGS,
            "[pacman]\ntags = \"stable\"\ndocker_apps = \"a,b\"\n"
        ),
    ]);
    patch(&operator.at("config/"), &factory)?;
    let group = json!([
        file("group.txt", "of the group"),
        file("level", "group"),
        {"name": "door/pin", "value": "1234", "unencrypted": false},
    ]);
    patch(&operator.at("device-groups/front/config/"), &group)?;

    let known = operator.get("/ota/devices/till-2/")?;
    let key = known["public-key"].as_str().context("a public key")?;
    let random = Randomness {
        scalar: [7; 32],
        iv: [5; 16],
    };
    let secret = Recipient::from_pem(key)?.encrypt(b"correct horse", &random)?;
    let mut level = file("level", "device");
    level["on-changed"] = machine.places.note("level");
    let device = json!([
        level,
        {"name": "wifi", "value": secret, "unencrypted": false},
        file(SETTINGS, "[pacman]\ntags = \"lab\"\n"),
    ]);
    let made = patch(DEVICE, &device)?;
    ensure!(made["files"].as_array().map(Vec::len) == Some(3), "{made}");
    Ok(secret)
}

fn texts(files: &[(&str, &str)]) -> BTreeMap<String, String> {
    let text = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    files.iter().map(text).collect()
}

fn latest(operator: &Operator, path: &str) -> Result<Value> {
    let history = operator.get(path)?;
    let latest = history["config"].get(0);
    latest.cloned().context("there is a version")
}

fn value_of<'a>(version: &'a Value, name: &str) -> Option<&'a str> {
    let files = version["files"].as_array()?;
    let file = files.iter().find(|file| file["name"] == name)?;
    file["value"].as_str()
}

/// The device's secret is as it was sent, everywhere but on the machine; that of the group is shown nowhere, and encrypted for
/// the machine on its disk.
fn is_kept_secret(operator: &Operator, machine: &Machine, secret: &str) -> Result<()> {
    let device = latest(operator, DEVICE)?;
    ensure!(value_of(&device, "wifi") == Some(secret), "{device}");
    let stored = fs::read_to_string(machine.places.path("sota/config.encrypted"))?;
    ensure!(stored.contains(secret) && !stored.contains("correct horse"));
    let stored: Value = serde_json::from_str(&stored)?;
    let pin = &stored["door/pin"];
    ensure!(pin.get("Unencrypted").is_none(), "it is in clear");
    let sealed = pin["Value"].as_str().unwrap_or_default();
    ensure!(sealed.len() > 100, "it is not encrypted");
    let group = latest(operator, &operator.at("device-groups/front/config/"))?;
    ensure!(value_of(&group, "door/pin") == Some(""), "{group}");
    Ok(())
}

fn is_shown_as_applied(operator: &Operator) -> Result<()> {
    let device = latest(operator, DEVICE)?;
    let applied = device["applied-at"].as_str().unwrap_or_default();
    ensure!(applied.len() == 19, "{device}");
    let factory = latest(operator, &operator.at("config/"))?;
    ensure!(factory["applied-at"].is_null(), "{factory}");
    Ok(())
}

/// What a level loses comes from the one below it, or goes; a deleted device keeps what it has.
fn goes(operator: &Operator, machine: &Machine) -> Result<()> {
    for file in ["level", SETTINGS] {
        operator.call("DELETE", &format!("{DEVICE}{file}/"), &Value::Null)?;
    }
    let group = operator.at("device-groups/front/config/");
    operator.call("DELETE", &format!("{group}door/pin/"), &Value::Null)?;
    machine.check_in()?;
    let mut files = machine.places.files()?;
    let settings: toml::Table = files
        .remove(SETTINGS)
        .context("those of the factory")?
        .parse()?;
    ensure!(settings["pacman"]["tags"].as_str() == Some("stable"));
    let expected = [
        ("group.txt", "of the group"),
        ("level", "group"),
        ("motd", "Open until ten"),
        ("wifi", "correct horse"),
    ];
    ensure!(files == texts(&expected), "{files:?}");
    ensure!(
        !machine.places.path("secrets/door").exists(),
        "an empty folder stays"
    );

    operator.call("PATCH", "/ota/devices/till-2/", &json!({"group": ""}))?;
    machine.check_in()?;
    ensure!(machine.places.files()?.get("level").map(String::as_str) == Some("factory"));

    operator.call("DELETE", "/ota/devices/till-2/", &Value::Null)?;
    let said = machine.is_refused()?;
    ensure!(said.contains("403") && said.contains("deleted"), "{said}");
    ensure!(
        machine.places.files()?.contains_key("wifi"),
        "it keeps what it has"
    );
    let denied = operator.get(&operator.at("denied-devices/"))?;
    ensure!(denied["devices"][0]["uuid"] == UUID, "{denied}");
    Ok(())
}
