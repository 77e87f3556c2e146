//! What people see on a terminal in the end: the bar is full, and between the lines for them are none
//! for programmers.

use std::process::Command;

use foghorn_tests::disks::{self, MIB};
use foghorn_tests::old_content::Old;
use foghorn_tests::process::{Process, until};
use foghorn_tests::screen::{on_terminal, shown};
use foghorn_tests::stack::{Engine, PATIENCE, Stack};
use foghorn_tests::tools::foghorn;

const MACS: [&str; 2] = ["52:54:00:00:7e:01", "52:54:00:00:7e:02"];
const FULL_CLIENT: &str = "████████████████████████ 100 %  ";
const FULL_CLI: &str = "████████████████████ ";
/// FOG's number of captures.
const CAPTURE: u32 = 2;

fn no_words_of_programs(lines: &[String]) {
    for line in lines {
        for word in ["foghorn_", "::", "trace=", "INFO", "WARN"] {
            assert!(!line.contains(word), "{word}: {lines:#?}");
        }
    }
}

#[test]
fn a_capture_ends_with_a_full_bar_and_a_deploy_that_was_waited_for_too() {
    let stack = Stack::start(Engine::Embedded).unwrap();
    let disk = stack.folder().join("disk");
    disks::blank(&disk, 24 * MIB).unwrap();
    Old::Ext(4, 4096).put(&disk, 0, 24 * MIB).unwrap();
    let host = stack.create_host("pc1", MACS[0]).unwrap();
    let image = stack.create_image("golden").unwrap();
    stack.assign(host, image).unwrap();
    let task = stack.order(host, CAPTURE).unwrap();
    let command = stack.client_command(host, MACS[0], &disk).unwrap();
    let mut client =
        Process::start(stack.folder(), "captures", &mut on_terminal(&command)).unwrap();
    let status = client.wait(PATIENCE).unwrap();
    let lines = shown(&client.log());
    assert!(status.success(), "{lines:#?}");
    assert_eq!(stack.wait_task(task).unwrap()["state"], "complete");
    no_words_of_programs(&lines);
    assert_eq!(lines[0], "capture of image golden on pc1", "{lines:#?}");
    let bars = lines.iter().filter(|line| line.contains('█')).count();
    assert!(
        bars == 1 && lines.iter().any(|line| line.starts_with(FULL_CLIENT)),
        "{lines:#?}"
    );
    let last = lines.last().unwrap();
    assert!(last.starts_with("capture complete: "), "{lines:#?}");
    assert!(
        !lines.iter().any(|line| line.contains("deploy")),
        "{lines:#?}"
    );

    let other = stack.create_host("pc2", MACS[1]).unwrap();
    let mut deploy = Command::new(foghorn("foghorn").unwrap());
    deploy.args([
        "image", "deploy", "golden", "--host", "pc2", "--wait", "--yes",
    ]);
    for (name, value) in stack.cli_environment().unwrap() {
        deploy.env(name, value);
    }
    let mut waits = Process::start(stack.folder(), "waits", &mut on_terminal(&deploy)).unwrap();
    let target = stack.folder().join("target");
    disks::blank(&target, 32 * MIB).unwrap();
    let mut client = until("the task", PATIENCE, || {
        Ok(stack.start_client("deploys", other, MACS[1], &target).ok())
    })
    .unwrap();
    assert!(client.wait(PATIENCE).unwrap().success(), "{}", client.log());
    let status = waits.wait(PATIENCE).unwrap();
    let lines = shown(&waits.log());
    assert!(status.success(), "{lines:#?}");
    no_words_of_programs(&lines);
    let bars: Vec<_> = lines.iter().filter(|line| line.contains('█')).collect();
    assert!(
        bars.len() == 1 && bars[0].starts_with(FULL_CLI) && bars[0].contains("pc2: complete"),
        "{lines:#?}"
    );
}
