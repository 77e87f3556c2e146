//! A deploy puts the identity of the machine on the disk: on loop devices, which only root can make.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use foghorn_tests::disks::{self, Disk, Kind, MIB};
use foghorn_tests::factory::Operator;
use foghorn_tests::stack::{Engine, Options, Stack};
use foghorn_tests::tools::foghorn;
use serde_json::{Value, json};

use super::installation;
use super::installed::{GOLDEN, SIZE, TARGET, carry_out, choose, copied, golden, on_loop};
use crate::block_devices::may_make_loop_devices;

/// Of the folder that foghorn-host finds by itself, and the mark of a system that has taken the place of another.
const FILES: [&str; 5] = [
    "client.pem",
    "newcomer",
    "pkey.pem",
    "root.crt",
    "sota.toml",
];

/// The folder of the identity, as a tool reads it that mounts nothing.
fn sota(disk: &Path, golden: &Disk, name: &str) -> Result<PathBuf> {
    copied(disk, golden, "/var/sota", name)
}

/// The files of an identity are in another place here.
fn settle(sota: &Path) -> Result<()> {
    let settings = sota.join("sota.toml");
    let text = fs::read_to_string(&settings)?;
    ensure!(text.contains("\"/var/sota/pkey.pem\""), "{text}");
    let here = sota.display().to_string();
    fs::write(&settings, text.replace("/var/sota", &here))?;
    Ok(())
}

/// What the host service says when it checks in.
fn check_in(sota: &Path) -> Result<String> {
    let output = Command::new(foghorn("foghorn-host")?)
        .arg("check-in")
        // It would give this machine the name of its host, and more.
        .arg("--no-work")
        .arg("--config")
        .arg(sota.join("sota.toml"))
        .arg("--secrets-dir")
        .arg(sota.join("secrets"))
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{}: {said}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}

/// Deploys to the disk of a host; what the client said, how it ended, and how its task did.
fn deploy(stack: &Stack, host: u32, name: &str, file: &Path) -> Result<(String, i32, Value)> {
    let task = stack.order(host, 1)?;
    on_loop(stack, (host, task), name, file)
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name != "foghorn-host.lock" {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn has_an_identity(operator: &Operator, sota: &Path) -> Result<()> {
    ensure!(names(sota)? == FILES, "{:?}", names(sota)?);
    let mode = fs::metadata(sota.join("pkey.pem"))?.permissions().mode();
    ensure!(mode & 0o777 == 0o600, "{mode:o}");
    settle(sota)?;
    let said = check_in(sota)?;
    ensure!(
        said.contains("there is no config for this machine"),
        "{said}"
    );
    let devices = operator.get("/ota/devices/")?;
    ensure!(devices["total"] == 1, "{devices}");
    // As its host is called.
    ensure!(devices["devices"][0]["name"] == "till", "{devices}");
    Ok(())
}

fn identity_at_deploy() -> Result<()> {
    let (stack, operator) = installation(Engine::Embedded)?;
    let golden = golden(stack.folder())?;
    let (_, image) = stack.capture("golden", GOLDEN, &golden.path)?;
    let shown = choose(&stack, &format!("images/{image}"), &json!(true))?;
    ensure!(shown["identity"] == true, "{shown}");
    let host = stack.create_host("till", TARGET)?;
    stack.assign(host, image)?;
    let file = stack.folder().join("till-disk");
    disks::blank(&file, SIZE)?;

    let (said, code, task) = deploy(&stack, host, "first", &file)?;
    ensure!(code == 0 && task["state"] == "complete", "{task}\n{said}");
    disks::check(&file, 512, &golden.partitions)?;
    let data = &golden.partitions[..1];
    ensure!(
        disks::hash_files(&file, data)? == disks::hash_files(&golden.path, data)?,
        "the other partition has changed"
    );
    let first = sota(&file, &golden, "first-files")?;
    has_an_identity(&operator, &first)?;

    // The machine is imaged again: it is the same device, with another key.
    let (said, code, task) = deploy(&stack, host, "second", &file)?;
    ensure!(code == 0 && task["state"] == "complete", "{task}\n{said}");
    has_an_identity(&operator, &sota(&file, &golden, "second-files")?)?;
    let refused = check_in(&first)
        .err()
        .context("the key before is still good")?;
    ensure!(refused.to_string().contains("another key"), "{refused}");

    // What is said of the host counts.
    let shown = choose(&stack, &format!("hosts/{host}"), &json!(false))?;
    ensure!(shown["identity"] == false, "{shown}");
    let (said, code, task) = deploy(&stack, host, "third", &file)?;
    ensure!(code == 0 && task["state"] == "complete", "{task}\n{said}");
    let third = sota(&file, &golden, "third-files")?;
    ensure!(names(&third)? == ["pkey.pem"], "{:?}", names(&third)?);
    Ok(())
}

/// It is said what has become of the disk, and the task has failed.
fn no_place_for_an_identity() -> Result<()> {
    let (stack, operator) = installation(Engine::Embedded)?;
    let parts = [(Kind::Ext4, 24)];
    let data = disks::make_gpt(&stack.folder().join("golden"), 32 * MIB, 512, &parts, 32)?;
    let (_, image) = stack.capture("golden", GOLDEN, &data.path)?;
    let host = stack.create_host("till", TARGET)?;
    stack.assign(host, image)?;
    let shown = choose(&stack, &format!("hosts/{host}"), &json!(true))?;
    ensure!(shown["identity"] == true, "{shown}");
    let file = stack.folder().join("till-disk");
    disks::blank(&file, 32 * MIB)?;
    let before = fs::read(&file)?;

    let ordered = stack.order(host, 1)?;
    let (said, code, task) = carry_out(&stack, (host, ordered), "to-a-file", &file)?;
    ensure!(code == 5 && task["state"] == "failed", "{task}\n{said}");
    ensure!(task.to_string().contains("block devices only"), "{task}");
    ensure!(fs::read(&file)? == before, "it was written");

    let (said, code, task) = deploy(&stack, host, "without-root", &file)?;
    ensure!(code == 1 && task["state"] == "failed", "{task}\n{said}");
    for words in ["was written and verified", "no root file system"] {
        ensure!(task.to_string().contains(words), "{task}");
        ensure!(said.contains(words), "{said}");
    }
    disks::check(&file, 512, &data.partitions)?;
    ensure!(
        disks::hash_files(&file, &data.partitions)?
            == disks::hash_files(&data.path, &data.partitions)?,
        "the disk is not whole"
    );
    let devices = operator.get("/ota/devices/")?;
    ensure!(devices["total"] == 0, "{devices}");
    Ok(())
}

#[test]
fn a_deploy_puts_the_identity_of_the_machine_on_the_disk() {
    if may_make_loop_devices() {
        identity_at_deploy().unwrap();
    }
}

#[test]
fn a_deploy_that_finds_no_place_for_an_identity_fails_and_says_so() {
    if may_make_loop_devices() {
        no_place_for_an_identity().unwrap();
    }
}

#[test]
fn without_a_gateway_nobody_is_promised_an_identity() -> Result<()> {
    let stack = Stack::controller_only(Engine::Embedded, &Options::default())?;
    let image = stack.create_image("image")?;
    let path = format!("/foghorn/v1/images/{image}/identity");
    let refused = stack.rest.put(&path, &json!({"identity": true}))?;
    ensure!(refused.status == 409, "{}", refused.status);
    let off = stack.rest.put(&path, &json!({"identity": false}))?.ok()?;
    ensure!(off["identity"] == false, "{off}");
    let nowhere = stack.rest.put(
        "/foghorn/v1/images/4711/identity",
        &json!({"identity": false}),
    )?;
    ensure!(nowhere.status == 404, "{}", nowhere.status);
    Ok(())
}
