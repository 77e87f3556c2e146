//! `foghorn` against a real installation: what it prints, and with which status it ends.

use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result};
use foghorn_tests::disks::{self, Kind, MIB};
use foghorn_tests::process::{Process, until};
use foghorn_tests::stack::{Engine, PATIENCE, Stack};
use foghorn_tests::tools::foghorn;

fn command(stack: &Stack, words: &[&str]) -> Result<Command> {
    let ca = stack.folder().join("ca.pem");
    std::fs::write(&ca, &stack.rest.ca_pem)?;
    let mut command = Command::new(foghorn("foghorn")?);
    command
        .args(words)
        .env("FOGHORN_SERVER", &stack.rest.url)
        .env("FOGHORN_CA", ca)
        .env("FOGHORN_API_TOKEN", &stack.rest.api_token)
        .env("FOGHORN_USER_TOKEN", &stack.rest.user_token);
    Ok(command)
}

pub(crate) fn run(stack: &Stack, words: &[&str]) -> Result<Output> {
    command(stack, words)?
        .output()
        .context("could not run foghorn")
}

/// Runs a command that must end with `status`; gives its standard output.
pub(crate) fn expect(stack: &Stack, status: i32, words: &[&str]) -> String {
    let output = run(stack, words).unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert_eq!(
        output.status.code(),
        Some(status),
        "foghorn {}:\n{out}{err}",
        words.join(" ")
    );
    assert!(
        !out.contains('\u{1b}') && !err.contains('\u{1b}'),
        "escape sequences without a terminal:\n{out}{err}"
    );
    out.into_owned()
}

fn client(stack: &Stack, host: &str, mac: &str, disk: &Path) -> Process {
    // The task appears a moment after the other command has been started.
    let token = until("a boot token", PATIENCE, || {
        let output = run(stack, &["-q", "host", "boot-token", host])?;
        Ok(output
            .status
            .success()
            .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned()))
    })
    .unwrap();
    let mut command = stack.client_command_with(&token, mac, disk).unwrap();
    Process::start(stack.folder(), &format!("client-{host}"), &mut command).unwrap()
}

#[test]
fn capture_and_deploy_to_a_group_from_the_command_line() {
    let stack = Stack::start(Engine::Embedded).unwrap();
    let golden = disks::make_gpt(
        &stack.folder().join("golden"),
        64 * MIB,
        512,
        &[(Kind::Ext4, 40)],
        101,
    )
    .unwrap();
    expect(
        &stack,
        0,
        &["host", "create", "golden", "--mac", "52:54:00:00:0a:01"],
    );
    expect(&stack, 0, &["image", "create", "lab"]);
    assert!(expect(&stack, 0, &["-o", "json", "host", "list"]).contains("52:54:00:00:0a:01"));
    expect(&stack, 4, &["host", "show", "nobody"]);
    expect(
        &stack,
        6,
        &["host", "create", "golden", "--mac", "52:54:00:00:0a:02"],
    );
    let new = |name, more: &[&'static str]| {
        let mac = "52:54:00:00:0a:03";
        [&["host", "create", name, "--mac", mac], more].concat()
    };
    expect(&stack, 2, &new("pc", &["--disk", "sda"]));
    expect(&stack, 2, &new("Room 12 / PC 3", &[]));

    expect(&stack, 0, &["image", "capture", "lab", "--host", "golden"]);
    let mut capture = client(&stack, "golden", "52:54:00:00:0a:01", &golden.path);
    assert!(
        capture.wait(PATIENCE).unwrap().success(),
        "{}",
        capture.log()
    );
    expect(&stack, 0, &["image", "verify", "lab", "--wait"]);

    // Without a terminal and without --yes nothing is erased.
    let macs = ["52:54:00:00:0a:11", "52:54:00:00:0a:12"];
    for (name, mac) in ["pc-1", "pc-2"].into_iter().zip(macs) {
        expect(&stack, 0, &["host", "create", name, "--mac", mac]);
    }
    expect(&stack, 5, &["image", "deploy", "lab", "--host", "pc-1"]);
    expect(
        &stack,
        0,
        &[
            "group", "create", "room", "--host", "pc-1", "--host", "pc-2",
        ],
    );

    let mut deploy = Process::start(
        stack.folder(),
        "deploy-wait",
        &mut command(
            &stack,
            &[
                "image",
                "deploy",
                "lab",
                "--group",
                "room",
                "--yes",
                "--wait",
                "--timeout",
                "2m",
            ],
        )
        .unwrap(),
    )
    .unwrap();
    let mut clients = vec![];
    for (name, mac) in ["pc-1", "pc-2"].into_iter().zip(macs) {
        let disk = stack.folder().join(name);
        disks::blank(&disk, 80 * MIB).unwrap();
        clients.push(client(&stack, name, mac, &disk));
    }
    for client in &mut clients {
        assert!(client.wait(PATIENCE).unwrap().success(), "{}", client.log());
    }
    let status = deploy.wait(PATIENCE).unwrap();
    assert!(status.success(), "{status}:\n{}", deploy.log());
    let there = disks::hash_files(&golden.path, &golden.partitions).unwrap();
    for name in ["pc-1", "pc-2"] {
        assert_eq!(
            disks::hash_files(&stack.folder().join(name), &golden.partitions).unwrap(),
            there
        );
    }

    // One of two does not happen: its disk is too small, so its task waits until it is cancelled.
    let mut deploy = Process::start(
        stack.folder(),
        "deploy-partly",
        &mut command(
            &stack,
            &[
                "image",
                "deploy",
                "lab",
                "--group",
                "room",
                "--yes",
                "--wait",
                "--timeout",
                "2m",
            ],
        )
        .unwrap(),
    )
    .unwrap();
    let small = stack.folder().join("small");
    disks::blank(&small, 8 * MIB).unwrap();
    let good = client(&stack, "pc-1", macs[0], &stack.folder().join("pc-1"));
    let bad = client(&stack, "pc-2", macs[1], &small);
    for (mut client, code) in [(good, 0), (bad, 5)] {
        let status = client.wait(PATIENCE).unwrap();
        assert_eq!(status.code(), Some(code), "{}", client.log());
    }
    let log = deploy.log();
    let line = log.lines().find(|line| line.ends_with("to host pc-2"));
    let task = line.and_then(|line| line.strip_prefix("task ")?.split(':').next());
    stack
        .cancel_waiting(task.unwrap().parse().unwrap())
        .unwrap();
    assert_eq!(
        deploy.wait(PATIENCE).unwrap().code(),
        Some(3),
        "{}",
        deploy.log()
    );
    let doctor = run(&stack, &["doctor"]).unwrap();
    assert!(
        doctor.status.success(),
        "{}",
        String::from_utf8_lossy(&doctor.stdout)
    );
}
