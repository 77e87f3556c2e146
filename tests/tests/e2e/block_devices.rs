//! Real block devices: loop devices, which only root can make. In continuous integration that is a
//! must; elsewhere an ordinary user is told that these were left out.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use foghorn_tests::disks::{self, Kind, MIB};
use foghorn_tests::process::Process;
use foghorn_tests::stack::{Engine, PATIENCE, Stack};
use foghorn_tests::tools::{foghorn, run};
use serde_json::json;

const MAC_A: &str = "52:54:00:00:0d:0a";
const MAC_B: &str = "52:54:00:00:0d:0b";

/// A loop device over a file, detached when dropped.
pub(crate) struct Loop(PathBuf);

impl Loop {
    pub(crate) fn over(file: &Path, sector: u64) -> Result<Self> {
        Self::with(file, &["--sector-size", &sector.to_string()])
    }

    /// As a disk is, whose partition table the kernel reads.
    pub(crate) fn with_partitions(file: &Path) -> Result<Self> {
        Self::with(file, &["--partscan"])
    }

    /// Over a part of the file: where it begins, and how many bytes it has.
    pub(crate) fn over_part(file: &Path, start: u64, size: u64) -> Result<Self> {
        let (start, size) = (start.to_string(), size.to_string());
        Self::with(file, &["--offset", &start, "--sizelimit", &size])
    }

    fn with(file: &Path, options: &[&str]) -> Result<Self> {
        let file = file.to_str().context("temporary paths are text")?;
        let shown = run(
            "losetup",
            [&["--find", "--show"], options, &[file]].concat(),
        )?;
        Ok(Self(PathBuf::from(shown.trim())))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Such as `loop3`.
    pub(crate) fn name(&self) -> Option<String> {
        Some(self.0.file_name()?.to_string_lossy().into_owned())
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        if let Err(error) = run("losetup", [Path::new("--detach"), &self.0]) {
            eprintln!("{error}");
        }
    }
}

pub(crate) fn may_make_loop_devices() -> bool {
    let root = rustix::process::geteuid().is_root();
    assert!(
        root || std::env::var_os("CI").is_none(),
        "loop devices need root, and CI must not leave tests out"
    );
    if !root {
        eprintln!("left out: loop devices need root");
    }
    root
}

/// The client of the host's task without a disk on its command line: the host's own rule decides.
fn client_by_rule(stack: &Stack, name: &str, host: u32, mac: &str) -> Process {
    let token = stack.boot_token(host).unwrap();
    let mut command = Command::new(foghorn("foghorn-client").unwrap());
    command.args([
        "run",
        "--controller",
        &stack.rest.url,
        "--mac",
        mac,
        "--token",
        &token,
    ]);
    Process::start(stack.folder(), name, &mut command).unwrap()
}

fn by_rule(sector: u64) {
    let stack = Stack::start(Engine::Embedded).unwrap();
    let parts = [(Kind::Ext4, 48), (Kind::Raw, 8)];
    let golden = disks::make_gpt(
        &stack.folder().join("golden"),
        80 * MIB,
        sector,
        &parts,
        121,
    )
    .unwrap();
    let target = stack.folder().join("target");
    // Old data everywhere: what the image has as zero must be zeroed.
    std::fs::write(&target, vec![0x5A; (100 * MIB) as usize]).unwrap();
    let (from, to) = (
        Loop::over(&golden.path, sector).unwrap(),
        Loop::over(&target, sector).unwrap(),
    );

    let image = stack.create_image("image").unwrap();
    for (name, mac, device, task_type) in [("golden", MAC_A, &from, 2), ("target", MAC_B, &to, 1)] {
        let host = stack.create_host(name, mac).unwrap();
        let body = json!({ "imageID": image, "kernelDevice": device.0.to_str().unwrap() });
        stack
            .rest
            .put(&format!("/fog/host/{host}/edit"), &body)
            .unwrap()
            .ok()
            .unwrap();
        let task = stack.order(host, task_type).unwrap();
        let mut client = client_by_rule(&stack, name, host, mac);
        assert!(client.wait(PATIENCE).unwrap().success(), "{}", client.log());
        assert_eq!(stack.wait_task(task).unwrap()["state"], "complete");
    }
    drop((from, to));
    disks::check(&target, sector, &golden.partitions).unwrap();
    let there = disks::hash_files(&golden.path, &golden.partitions).unwrap();
    assert_eq!(
        disks::hash_files(&target, &golden.partitions).unwrap(),
        there
    );
}

#[test]
fn capture_and_deploy_by_the_hosts_own_rule() {
    if may_make_loop_devices() {
        by_rule(512);
    }
}

#[test]
fn the_same_with_sectors_of_4096_bytes() {
    if may_make_loop_devices() {
        by_rule(4096);
    }
}

/// The command while `device` is mounted on `place`, which is seen in its mount namespace only and
/// gone with it.
fn on_mounted(device: &Path, place: &Path, inner: &Command) -> Command {
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c"])
        .arg(format!(
            "mount -o ro,noload '{}' '{}' && exec \"$@\"",
            device.display(),
            place.display()
        ))
        .arg("sh")
        .arg(inner.get_program())
        .args(inner.get_args());
    command
}

#[test]
fn a_mounted_disk_is_refused() {
    if !may_make_loop_devices() {
        return;
    }
    let stack = Stack::start(Engine::Embedded).unwrap();
    let golden = disks::make_gpt(
        &stack.folder().join("golden"),
        32 * MIB,
        512,
        &[(Kind::Raw, 8)],
        122,
    )
    .unwrap();
    let (_, image) = stack.capture("golden", MAC_A, &golden.path).unwrap();
    let file = stack.folder().join("in-use");
    disks::blank(&file, 64 * MIB).unwrap();
    run("mke2fs", ["-q", "-F", "-t", "ext4", file.to_str().unwrap()]).unwrap();
    let device = Loop::over(&file, 512).unwrap();
    let before = std::fs::read(&file).unwrap();

    let host = stack.create_host("target", MAC_B).unwrap();
    stack.assign(host, image).unwrap();
    let task = stack.order(host, 1).unwrap();
    let inner = stack.client_command(host, MAC_B, &device.0).unwrap();
    let place = stack.folder().join("mounted");
    std::fs::create_dir(&place).unwrap();
    let mut command = on_mounted(&device.0, &place, &inner);
    let mut client = Process::start(stack.folder(), "client", &mut command).unwrap();
    let status = client.wait(PATIENCE).unwrap();
    assert_eq!(status.code(), Some(5), "{status}:\n{}", client.log());
    assert!(
        client.log().contains("mounted") || client.log().contains("in use"),
        "{}",
        client.log()
    );
    stack.cancel_waiting(task).unwrap();
    assert!(
        std::fs::read(&file).unwrap() == before,
        "the mounted disk was written to"
    );

    // Nor is it captured: what is read while somebody writes does not fit together.
    let image = stack.create_image("of-a-mounted-disk").unwrap();
    stack.assign(host, image).unwrap();
    let task = stack.order(host, 2).unwrap();
    let inner = stack.client_command(host, MAC_B, &device.0).unwrap();
    let mut command = on_mounted(&device.0, &place, &inner);
    let mut client = Process::start(stack.folder(), "capture", &mut command).unwrap();
    assert_eq!(
        client.wait(PATIENCE).unwrap().code(),
        Some(5),
        "{}",
        client.log()
    );
    stack.cancel_waiting(task).unwrap();
}

/// The file under a mounted loop device, by its name or through another link to it, and also when
/// the mount is in the namespace of somebody else.
#[test]
fn a_file_under_a_mounted_loop_device_is_refused() {
    if !may_make_loop_devices() {
        return;
    }
    let stack = Stack::start(Engine::Embedded).unwrap();
    let golden = disks::make_gpt(
        &stack.folder().join("golden"),
        32 * MIB,
        512,
        &[(Kind::Raw, 8)],
        123,
    )
    .unwrap();
    let (_, image) = stack.capture("golden", MAC_A, &golden.path).unwrap();
    let (file, link) = (stack.folder().join("in-use"), stack.folder().join("link"));
    disks::blank(&file, 64 * MIB).unwrap();
    run("mke2fs", ["-q", "-F", "-t", "ext4", file.to_str().unwrap()]).unwrap();
    std::fs::hard_link(&file, &link).unwrap();
    let device = Loop::over(&file, 512).unwrap();
    let before = std::fs::read(&file).unwrap();
    let host = stack.create_host("target", MAC_B).unwrap();
    stack.assign(host, image).unwrap();
    let place = stack.folder().join("mounted");
    std::fs::create_dir(&place).unwrap();
    let refused = |name: &str, task: u32, mut command: Command| {
        let mut client = Process::start(stack.folder(), name, &mut command).unwrap();
        let status = client.wait(PATIENCE).unwrap();
        assert_eq!(
            status.code(),
            Some(5),
            "{name}: {status}:\n{}",
            client.log()
        );
        assert!(client.log().contains("is in use"), "{}", client.log());
        stack.cancel_waiting(task).unwrap();
    };
    // A deploy and a capture, with the mount in sight.
    for kind in [1, 2] {
        let task = stack.order(host, kind).unwrap();
        let inner = stack.client_command(host, MAC_B, &link).unwrap();
        refused(
            &format!("seen-{kind}"),
            task,
            on_mounted(&device.0, &place, &inner),
        );
    }
    // A deploy, with the mount out of sight.
    let mut sleep = Command::new("sleep");
    sleep.arg("600");
    let mut holder = on_mounted(&device.0, &place, &sleep);
    let mut holder = Process::start(stack.folder(), "holder", &mut holder).unwrap();
    foghorn_tests::process::until("the mount", PATIENCE, || {
        let mounts = std::fs::read_to_string(format!("/proc/{}/mountinfo", holder.id()))?;
        Ok(mounts.contains("/mounted ").then_some(()))
    })
    .unwrap();
    for (name, disk) in [("hidden-file", &file), ("hidden-device", &device.0)] {
        let task = stack.order(host, 1).unwrap();
        let command = stack.client_command(host, MAC_B, disk).unwrap();
        refused(name, task, command);
    }
    holder.kill().unwrap();
    assert!(std::fs::read(&file).unwrap() == before);
    // An attached file that nobody mounted is free.
    let task = stack.order(host, 1).unwrap();
    let mut client = stack.start_client("free", host, MAC_B, &file).unwrap();
    assert!(client.wait(PATIENCE).unwrap().success(), "{}", client.log());
    assert_eq!(stack.wait_task(task).unwrap()["state"], "complete");
}
