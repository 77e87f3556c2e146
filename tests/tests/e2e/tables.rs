//! Unusual partition tables: what is taken, what is put back, and what is refused.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Result, ensure};
use foghorn_tests::disks::{self, MIB};
use foghorn_tests::old_content::{Old, judged, sfdisk};
use foghorn_tests::process::Process;
use foghorn_tests::stack::{Engine, PATIENCE, Stack};
use foghorn_tests::tools::run;

const MAC_A: &str = "52:54:00:00:2b:0a";
const MAC_B: &str = "52:54:00:00:2b:0b";

/// Exit status of a client that refused.
const REFUSED: i32 = 5;

fn write(disk: &Path, at: u64, bytes: &[u8]) {
    let file = File::options().write(true).open(disk).unwrap();
    file.write_all_at(bytes, at).unwrap();
}

fn noise(length: u64, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; length as usize];
    disks::fill_random(&mut bytes, seed);
    bytes
}

fn bytes(disk: &Path, at: u64, length: u64) -> Vec<u8> {
    let mut found = vec![0; length as usize];
    File::open(disk)
        .unwrap()
        .read_exact_at(&mut found, at)
        .unwrap();
    found
}

/// Whether the capture said this about the image.
fn has_note(stack: &Stack, part: &str) -> bool {
    let log = fs::read_to_string(stack.folder().join("client-golden.log")).unwrap();
    log.contains(part)
}

/// Captures `golden` and deploys it to a new disk of `size` bytes.
fn round_trip(stack: &Stack, golden: &Path, size: u64) -> Result<(u32, std::path::PathBuf)> {
    let (_, image) = stack.capture("golden", MAC_A, golden)?;
    let target = stack.folder().join("target");
    disks::blank(&target, size)?;
    stack.deploy("target", MAC_B, image, &target)?;
    Ok((image, target))
}

/// The client is not ready: it says so, and the task still waits.
fn not_ready(stack: &Stack, task: u32, mut client: Process, reason: &str) -> Result<()> {
    let status = client.wait(PATIENCE)?;
    ensure!(
        status.code() == Some(REFUSED) && client.log().contains(reason),
        "{status}:\n{}",
        client.log()
    );
    stack.cancel_waiting(task)
}

/// The client refuses, with this in its log and in the reason of the task.
fn refused(stack: &Stack, task: u32, mut client: Process, reason: &str) -> Result<()> {
    let status = client.wait(PATIENCE)?;
    ensure!(
        status.code() == Some(REFUSED) && client.log().contains(reason),
        "{status}:\n{}",
        client.log()
    );
    let ended = stack.wait_task(task)?;
    ensure!(ended["state"] == "failed", "{ended}");
    let told = ended["reason"].as_str().unwrap_or_default().to_owned();
    ensure!(told.contains(reason), "{ended}");
    Ok(())
}

/// A board loads its boot loader from sector 16, so the entries of the GPT were moved to sector
/// 2048.
#[test]
fn a_gpt_with_moved_entries_keeps_the_boot_loader() {
    let stack = Stack::start(Engine::Embedded).unwrap();
    let golden = stack.folder().join("golden");
    disks::blank(&golden, 64 * MIB).unwrap();
    let path = golden.to_str().unwrap();
    run("sgdisk", ["-j", "2048", "-n", "1:4096:69631", path]).unwrap();
    Old::Ext(4, 4096).put(&golden, 2 * MIB, 32 * MIB).unwrap();
    let loader = noise(985 * 512, 3);
    write(&golden, 16 * 512, &loader);
    for size in [64, 100] {
        let stack = Stack::start(Engine::Embedded).unwrap();
        let (_, target) = round_trip(&stack, &golden, size * MIB).unwrap();
        assert!(
            bytes(&target, 16 * 512, 985 * 512) == loader,
            "the boot loader was lost on a disk of {size} MiB"
        );
        let report = run("sgdisk", ["-v", target.to_str().unwrap()]).unwrap();
        assert!(report.contains("No problems found"), "{report}");
        if size == 64 {
            assert!(disks::same(&golden, &target).unwrap());
        }
    }
}

/// Windows keeps the volumes of a dynamic disk in a database at its end.
#[test]
fn a_dynamic_disk_keeps_its_database() {
    let stack = Stack::start(Engine::Embedded).unwrap();
    let golden = stack.folder().join("golden");
    disks::blank(&golden, 64 * MIB).unwrap();
    sfdisk(&golden, "label: dos\nstart=63, size=128961, type=42\n").unwrap();
    write(&golden, 63 * 512, &noise(5 * MIB, 5));
    write(&golden, 63 * MIB, &noise(MIB, 7));
    for (sector, mark) in [
        (6, "PRIVHEAD"),
        (63 * 2048 + 1, "TOCBLOCK"),
        (63 * 2048 + 17, "VMDB"),
        (64 * 2048 - 1, "PRIVHEAD"),
    ] {
        write(&golden, sector * 512, mark.as_bytes());
    }
    let (_, target) = round_trip(&stack, &golden, 64 * MIB).unwrap();
    assert!(disks::same(&golden, &target).unwrap());
    assert!(has_note(&stack, "dynamic disk of Windows"));
}

/// Data in a gap above 64 MiB comes along; what is behind the last partition is named with the
/// image.
#[test]
fn data_in_large_gaps_is_taken_and_data_behind_is_named() {
    let stack = Stack::start(Engine::Embedded).unwrap();
    let golden = stack.folder().join("golden");
    disks::blank(&golden, 400 * MIB).unwrap();
    let script = "label: dos\nstart=2048, size=20480, type=83\nstart=614400, size=20480, type=83\n";
    sfdisk(&golden, script).unwrap();
    let data = noise(3 * MIB, 9);
    write(&golden, 150 * MIB + 1000, &data);
    write(&golden, 350 * MIB, b"somebody's");
    let (_, target) = round_trip(&stack, &golden, 400 * MIB).unwrap();
    assert!(bytes(&target, 150 * MIB + 1000, 3 * MIB) == data);
    assert!(has_note(
        &stack,
        "4096 bytes of data behind the last partition"
    ));
    assert!(bytes(&target, 350 * MIB, 10) == [0; 10]);
}

/// A stick that was written from an ISO image with a partition table inside.
#[test]
fn a_hybrid_iso_is_taken_as_a_whole() {
    let stack = Stack::start(Engine::Embedded).unwrap();
    let golden = stack.folder().join("golden");
    disks::blank(&golden, 32 * MIB).unwrap();
    write(&golden, 0, &noise(440, 1));
    write(
        &golden,
        446,
        &[0x80, 0, 0, 0, 0x17, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0, 0],
    );
    write(
        &golden,
        462,
        &[0, 0, 0, 0, 0xef, 0, 0, 0, 0xff, 0, 0, 0, 0, 8, 0, 0],
    );
    write(&golden, 510, &[0x55, 0xaa]);
    let mut descriptor = vec![0; 2048];
    descriptor[..7].copy_from_slice(b"\x01CD001\x01");
    descriptor[40..50].copy_from_slice(b"INSTALLER ");
    write(&golden, 32768, &descriptor);
    descriptor[0] = 255;
    write(&golden, 32768 + 2048, &descriptor);
    write(&golden, 40960, &noise(9 * MIB, 2));
    let (_, target) = round_trip(&stack, &golden, 32 * MIB).unwrap();
    assert!(disks::same(&golden, &target).unwrap());
    assert!(judged(&target, 0, 32 * MIB).unwrap().contains("iso9660"));
    assert!(has_note(&stack, "an ISO file system"));
}

/// A disk in a file whose sectors have 4096 bytes, without the flag that says so.
#[test]
fn the_sectors_of_a_file_are_recognised_by_its_gpt() {
    let stack = Stack::start(Engine::Embedded).unwrap();
    let parts = [(disks::Kind::Ext4, 40), (disks::Kind::Raw, 8)];
    let golden = stack.folder().join("golden");
    let golden = disks::make_gpt(&golden, 96 * MIB, 4096, &parts, 31).unwrap();
    let (_, target) = round_trip(&stack, &golden.path, 96 * MIB).unwrap();
    assert!(disks::same(&golden.path, &target).unwrap());

    let host = stack.create_host("wrong", "52:54:00:00:2b:0c").unwrap();
    let image = stack.create_image("wrong").unwrap();
    stack.assign(host, image).unwrap();
    let task = stack.order(host, 2).unwrap();
    let mac = "52:54:00:00:2b:0c";
    let mut command = stack.client_command(host, mac, &golden.path).unwrap();
    command.args(["--sector-size", "512"]);
    let client = Process::start(stack.folder(), "wrong", &mut command).unwrap();
    not_ready(&stack, task, client, "sectors of 4096 bytes").unwrap();
}

/// A file system without a table that counts in sectors fits no disk with other sectors.
#[test]
fn a_file_system_that_counts_in_sectors_is_tied_to_them() {
    for (kind, fits) in [
        (Old::Fat(16), false),
        (Old::Xfs, false),
        (Old::Ext(4, 4096), true),
    ] {
        let stack = Stack::start(Engine::Embedded).unwrap();
        let golden = stack.folder().join("golden");
        disks::blank(&golden, 40 * MIB).unwrap();
        kind.put(&golden, 0, 40 * MIB).unwrap();
        let (_, image) = stack.capture("golden", MAC_A, &golden).unwrap();
        let target = stack.folder().join("target");
        disks::blank(&target, 40 * MIB).unwrap();
        let host = stack.create_host("target", MAC_B).unwrap();
        stack.assign(host, image).unwrap();
        let task = stack.order(host, 1).unwrap();
        let mut command = stack.client_command(host, MAC_B, &target).unwrap();
        command.args(["--sector-size", "4096"]);
        let mut client = Process::start(stack.folder(), "client", &mut command).unwrap();
        if fits {
            assert!(client.wait(PATIENCE).unwrap().success(), "{}", client.log());
            run("e2fsck", ["-fn", target.to_str().unwrap()]).unwrap();
        } else {
            refused(&stack, task, client, "sectors of 512").unwrap();
            assert_eq!(disks::allocated(&target).unwrap(), 0, "{kind:?}");
        }
    }
}

/// A file that is no whole number of sectors is no disk.
#[test]
fn a_file_of_an_odd_size_is_refused() {
    let stack = Stack::start(Engine::Embedded).unwrap();
    let golden = stack.folder().join("golden");
    let parts = [(disks::Kind::Raw, 4)];
    disks::make_gpt(&golden, 16 * MIB, 512, &parts, 1).unwrap();
    let (_, image) = stack.capture("golden", MAC_A, &golden).unwrap();
    let odd = stack.folder().join("odd");
    fs::write(&odd, vec![0xAA; (16 * MIB + 100) as usize]).unwrap();
    let host = stack.create_host("target", MAC_B).unwrap();
    stack.assign(host, image).unwrap();
    for kind in [1, 2] {
        let task = stack.order(host, kind).unwrap();
        let name = format!("odd-{kind}");
        let client = stack.start_client(&name, host, MAC_B, &odd).unwrap();
        not_ready(&stack, task, client, "16777316 bytes").unwrap();
    }
    assert!(fs::read(&odd).unwrap().iter().all(|&byte| byte == 0xAA));
}
