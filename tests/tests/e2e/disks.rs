//! Other kinds of disk: 4096-byte sectors, MBR with logical partitions, no table at all; and disks
//! that must be refused.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use foghorn_tests::disks::{self, Kind, MIB, Made};
use foghorn_tests::process::Process;
use foghorn_tests::stack::{Engine, PATIENCE, Stack};
use foghorn_tests::tools::{find, run};

const MAC_A: &str = "52:54:00:00:01:0a";
const MAC_B: &str = "52:54:00:00:01:0b";

/// Exit status of a client that refused, as documented in its help.
const REFUSED: i32 = 5;

fn run_client(
    stack: &Stack,
    name: &str,
    host: u32,
    mac: &str,
    disk: &Path,
    extra: &[&str],
) -> Result<Process> {
    let mut command = stack.client_command(host, mac, disk)?;
    command.args(extra);
    let mut client = Process::start(stack.folder(), name, &mut command)?;
    let status = client.wait(PATIENCE)?;
    ensure!(
        status.success(),
        "{name} ended with {status}:\n{}",
        client.log()
    );
    Ok(client)
}

#[test]
fn sectors_of_4096_bytes() {
    let stack = Stack::start(Engine::Embedded).unwrap();
    let golden = disks::make_gpt(
        &stack.folder().join("golden"),
        128 * MIB,
        4096,
        &[(Kind::Ext4, 64), (Kind::Raw, 8)],
        11,
    )
    .unwrap();
    let host = stack.create_host("golden", MAC_A).unwrap();
    let image = stack.create_image("image").unwrap();
    stack.assign(host, image).unwrap();
    let task = stack.order(host, 2).unwrap();
    run_client(
        &stack,
        "capture",
        host,
        MAC_A,
        &golden.path,
        &["--sector-size", "4096"],
    )
    .unwrap();
    assert_eq!(stack.wait_task(task).unwrap()["state"], "complete");

    let target = stack.folder().join("target");
    disks::blank(&target, 200 * MIB).unwrap();
    let other = stack.create_host("other", MAC_B).unwrap();
    stack.assign(other, image).unwrap();
    let task = stack.order(other, 1).unwrap();
    run_client(
        &stack,
        "deploy",
        other,
        MAC_B,
        &target,
        &["--sector-size", "4096"],
    )
    .unwrap();
    assert_eq!(stack.wait_task(task).unwrap()["state"], "complete");

    assert_eq!(
        disks::hash_files(&target, &golden.partitions).unwrap(),
        disks::hash_files(&golden.path, &golden.partitions).unwrap()
    );
    disks::check(&target, 4096, &golden.partitions).unwrap();
    // The backup header stands in the last sector of the larger disk.
    let mut signature = [0; 8];
    File::open(&target)
        .unwrap()
        .read_exact_at(&mut signature, 200 * MIB - 4096)
        .unwrap();
    assert_eq!(&signature, b"EFI PART");
}

#[test]
fn an_mbr_with_logical_partitions() {
    let stack = Stack::start(Engine::Embedded).unwrap();
    let golden = stack.folder().join("golden");
    disks::blank(&golden, 96 * MIB).unwrap();
    let script = "label: dos\nstart=2048, size=32768, type=83, bootable\nstart=34816, type=5\nstart=36864, size=20480, type=83\nstart=59392, size=40960, type=83\n";
    let mut child = Command::new(find("sfdisk").unwrap())
        .arg("--quiet")
        .arg(&golden)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(script.as_bytes())
        .unwrap();
    assert!(child.wait().unwrap().success());
    let file = fs::OpenOptions::new().write(true).open(&golden).unwrap();
    file.write_all_at(b"boot code of the first sector", 0)
        .unwrap();
    let mut partitions = vec![];
    for (number, start, sectors) in [(1, 2048, 32768), (5, 36864, 20480), (6, 59392, 40960_u64)] {
        let image = stack.folder().join(format!("v{number}"));
        disks::blank(&image, sectors * 512).unwrap();
        let tree = stack.folder().join(format!("t{number}"));
        disks::write_tree(&tree, number, sectors * 100, 9).unwrap();
        run(
            "mke2fs",
            [
                "-q",
                "-F",
                "-t",
                "ext4",
                "-d",
                tree.to_str().unwrap(),
                image.to_str().unwrap(),
            ],
        )
        .unwrap();
        file.write_all_at(&fs::read(&image).unwrap(), start * 512)
            .unwrap();
        partitions.push(Made {
            number: number as u32,
            kind: Kind::Ext4,
            start: start * 512,
            size: sectors * 512,
        });
    }
    let (_, image) = stack.capture("golden", MAC_A, &golden).unwrap();
    let target = stack.folder().join("target");
    disks::blank(&target, 128 * MIB).unwrap();
    stack.deploy("target", MAC_B, image, &target).unwrap();
    assert_eq!(
        disks::hash_files(&target, &partitions).unwrap(),
        disks::hash_files(&golden, &partitions).unwrap()
    );
    let dump = |disk: &Path| {
        run("sfdisk", ["-d", disk.to_str().unwrap()])
            .unwrap()
            .replace(disk.to_str().unwrap(), "disk")
    };
    assert_eq!(dump(&target), dump(&golden));
}

#[test]
fn a_file_system_without_a_table() {
    let stack = Stack::start(Engine::Embedded).unwrap();
    let (golden, target) = (stack.folder().join("golden"), stack.folder().join("target"));
    disks::blank(&golden, 64 * MIB).unwrap();
    let tree = stack.folder().join("tree");
    disks::write_tree(&tree, 5, 16 * MIB, 20).unwrap();
    run(
        "mke2fs",
        [
            "-q",
            "-F",
            "-t",
            "ext4",
            "-d",
            tree.to_str().unwrap(),
            golden.to_str().unwrap(),
        ],
    )
    .unwrap();
    let (_, image) = stack.capture("golden", MAC_A, &golden).unwrap();
    disks::blank(&target, 64 * MIB).unwrap();
    stack.deploy("target", MAC_B, image, &target).unwrap();
    let whole = [Made {
        number: 1,
        kind: Kind::Ext4,
        start: 0,
        size: 64 * MIB,
    }];
    assert_eq!(
        disks::hash_files(&target, &whole).unwrap(),
        disks::hash_files(&golden, &whole).unwrap()
    );
    run("e2fsck", ["-fn", target.to_str().unwrap()]).unwrap();
}

/// A client that is not ready leaves the task waiting and its boot token good.
fn not_ready(stack: &Stack, task: u32, mut client: Process, reason: &str) -> Result<()> {
    let status = client.wait(PATIENCE)?;
    ensure!(
        status.code() == Some(REFUSED) && client.log().contains(reason),
        "the client ended with {status}, and {reason:?} is expected:\n{}",
        client.log()
    );
    ensure!(client.log().contains("still waits"), "{}", client.log());
    stack.cancel_waiting(task)
}

/// A refused client leaves the task failed with the reason, and the disk as it was.
fn refused(stack: &Stack, task: u32, mut client: Process, reason: &str) -> Result<()> {
    let status = client.wait(PATIENCE)?;
    ensure!(
        status.code() == Some(REFUSED),
        "the client ended with {status}:\n{}",
        client.log()
    );
    ensure!(
        client.log().contains(reason),
        "the log of the client does not contain {reason:?}:\n{}",
        client.log()
    );
    let ended = stack.wait_task(task)?;
    ensure!(ended["state"] == "failed", "{ended}");
    ensure!(
        ended["reason"]
            .as_str()
            .is_some_and(|text| text.contains(reason)),
        "{ended}"
    );
    Ok(())
}

#[test]
fn a_disk_smaller_than_the_image_is_not_touched() {
    let stack = Stack::start(Engine::Embedded).unwrap();
    let golden = disks::make_gpt(
        &stack.folder().join("golden"),
        96 * MIB,
        512,
        &[(Kind::Raw, 80)],
        1,
    )
    .unwrap();
    let (_, image) = stack.capture("golden", MAC_A, &golden.path).unwrap();
    let target = stack.folder().join("small");
    fs::write(&target, vec![0xAA; (60 * MIB) as usize]).unwrap();
    let host = stack.create_host("small", MAC_B).unwrap();
    stack.assign(host, image).unwrap();
    let task = stack.order(host, 1).unwrap();
    let client = stack.start_client("client", host, MAC_B, &target).unwrap();
    not_ready(&stack, task, client, "small").unwrap();
    assert!(
        fs::read(&target).unwrap().iter().all(|byte| *byte == 0xAA),
        "the small disk was written to"
    );
}

#[test]
fn no_rule_for_the_disk_means_no_disk() {
    let stack = Stack::start(Engine::Embedded).unwrap();
    let golden = disks::make_gpt(
        &stack.folder().join("golden"),
        32 * MIB,
        512,
        &[(Kind::Raw, 8)],
        1,
    )
    .unwrap();
    let (_, image) = stack.capture("golden", MAC_A, &golden.path).unwrap();
    let host = stack.create_host("target", MAC_B).unwrap();
    stack.assign(host, image).unwrap();
    let task = stack.order(host, 1).unwrap();
    let rule = Path::new("serial:no-disk-has-this-serial");
    let client = stack.start_client("client", host, MAC_B, rule).unwrap();
    not_ready(&stack, task, client, "no-disk-has-this-serial").unwrap();

    // The same boot token is good for a client that knows its disk, and that may write to it.
    let task = stack.order(host, 1).unwrap();
    let token = stack.boot_token(host).unwrap();
    let target = stack.folder().join("target");
    disks::blank(&target, 32 * MIB).unwrap();
    let run = |name: &str, command: &mut Command| {
        let mut client = Process::start(stack.folder(), name, command).unwrap();
        (client.wait(PATIENCE).unwrap().code(), client.log())
    };
    let with_rule = stack.client_command_with(&token, MAC_B, &target).unwrap();
    let mut ruleless = Command::new(with_rule.get_program());
    ruleless.args(with_rule.get_args().take_while(|arg| *arg != "--disk"));
    ruleless.env_remove("FOGHORN_DISK");
    let (code, log) = run("ruleless", &mut ruleless);
    assert!(
        code == Some(REFUSED) && log.contains("name the disk by --disk"),
        "{code:?} {log}"
    );
    let mut command = stack.client_command_with(&token, MAC_B, &target).unwrap();
    let (code, log) = run("ready", &mut command);
    assert_eq!(code, Some(0), "{log}");
    assert_eq!(stack.wait_task(task).unwrap()["state"], "complete");
}

#[test]
fn a_file_system_in_use_is_refused_unless_told_otherwise() {
    let stack = Stack::start(Engine::Embedded).unwrap();
    let golden = disks::make_gpt(
        &stack.folder().join("golden"),
        64 * MIB,
        512,
        &[(Kind::Ext4, 48)],
        1,
    )
    .unwrap();
    // A mount clears the "cleanly unmounted" bit of the superblock's s_state.
    let volume = format!(
        "{}?offset={}",
        golden.path.display(),
        golden.partitions[0].start
    );
    run("debugfs", ["-w", "-R", "set_super_value state 0", &volume]).unwrap();
    let host = stack.create_host("golden", MAC_A).unwrap();
    let image = stack.create_image("image").unwrap();
    stack.assign(host, image).unwrap();
    let task = stack.order(host, 2).unwrap();
    let client = stack
        .start_client("client", host, MAC_A, &golden.path)
        .unwrap();
    refused(&stack, task, client, "clean").unwrap();

    let task = stack.order(host, 2).unwrap();
    run_client(
        &stack,
        "accepted",
        host,
        MAC_A,
        &golden.path,
        &["--accept-dirty"],
    )
    .unwrap();
    assert_eq!(stack.wait_task(task).unwrap()["state"], "complete");
}

/// Captures a damaged disk and expects a refusal with `reason`; nothing may be recorded for the
/// image.
fn damaged(name: &str, damage: impl Fn(&File) -> Result<()>, reason: &str) -> Result<()> {
    let stack = Stack::start(Engine::Embedded)?;
    let golden = disks::make_gpt(
        &stack.folder().join("golden"),
        96 * MIB,
        512,
        &[(Kind::Ext4, 40), (Kind::Raw, 8)],
        1,
    )?;
    damage(
        &fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(&golden.path)?,
    )
    .context("damage")?;
    let host = stack.create_host(name, MAC_A)?;
    let image = stack.create_image("image")?;
    stack.assign(host, image)?;
    let task = stack.order(host, 2)?;
    let mut client = stack.start_client("client", host, MAC_A, &golden.path)?;
    let status = client.wait(PATIENCE)?;
    ensure!(
        !status.success(),
        "{name} was captured although it must be refused"
    );
    ensure!(
        client.log().to_lowercase().contains(reason),
        "{name}: no {reason:?} in\n{}",
        client.log()
    );
    ensure!(stack.wait_task(task)?["state"] == "failed");
    let content = stack
        .rest
        .get(&format!("/foghorn/v1/images/{image}"))?
        .ok()?;
    ensure!(content["content"].is_null(), "{content}");
    Ok(())
}

#[test]
fn both_gpt_copies_damaged() {
    let end = 96 * MIB;
    damaged(
        "crc",
        |disk| {
            disk.write_all_at(b"x", 512 + 60)?;
            Ok(disk.write_all_at(b"x", end - 512 + 60)?)
        },
        "gpt",
    )
    .unwrap();
}

#[test]
fn a_truncated_disk() {
    damaged(
        "truncated",
        |disk| Ok(disk.set_len(30 * MIB)?),
        "of the disk",
    )
    .unwrap();
}

/// A partition that cannot be understood does not stop the disk: all of it is taken.
#[test]
fn a_bitmap_beyond_the_device() {
    let stack = Stack::start(Engine::Embedded).unwrap();
    let golden = disks::make_gpt(
        &stack.folder().join("golden"),
        96 * MIB,
        512,
        &[(Kind::Ext4, 40), (Kind::Raw, 8)],
        1,
    )
    .unwrap();
    let disk = fs::OpenOptions::new()
        .write(true)
        .open(&golden.path)
        .unwrap();
    // Group descriptor 0 of an ext4 with 4 KiB blocks, or 1 KiB: bg_block_bitmap_lo is its first
    // word.
    for descriptors in [2048, 4096] {
        disk.write_all_at(&[0xff, 0xff, 0xff, 0x7f], MIB + descriptors)
            .unwrap();
    }
    let (_, image) = stack.capture("golden", MAC_A, &golden.path).unwrap();
    let target = stack.folder().join("target");
    disks::blank(&target, 96 * MIB).unwrap();
    stack.deploy("target", MAC_B, image, &target).unwrap();
    assert!(disks::same(&golden.path, &target).unwrap());
}

#[test]
fn one_damaged_gpt_copy_is_survived() {
    let stack = Stack::start(Engine::Embedded).unwrap();
    let golden = disks::make_gpt(
        &stack.folder().join("golden"),
        64 * MIB,
        512,
        &[(Kind::Ext4, 40)],
        1,
    )
    .unwrap();
    let before = disks::hash_files(&golden.path, &golden.partitions).unwrap();
    fs::OpenOptions::new()
        .write(true)
        .open(&golden.path)
        .unwrap()
        .write_all_at(&[0; 512], 512)
        .unwrap();
    let (_, image) = stack.capture("golden", MAC_A, &golden.path).unwrap();
    let target = stack.folder().join("target");
    disks::blank(&target, 64 * MIB).unwrap();
    stack.deploy("target", MAC_B, image, &target).unwrap();
    disks::check(&target, 512, &golden.partitions).unwrap();
    assert_eq!(
        disks::hash_files(&target, &golden.partitions).unwrap(),
        before
    );
}
