//! Options of the client that have an effect on one kind of task only: another task is not begun, and
//! waits for a client that is started without them.

use std::fs;

use foghorn_tests::disks::{self, MIB};
use foghorn_tests::old_content::Old;
use foghorn_tests::process::Process;
use foghorn_tests::stack::{Engine, PATIENCE, Stack};

const MAC: &str = "52:54:00:00:2c:0a";

/// Exit status of a client that was started with a wrong command line.
const USAGE: i32 = 2;

/// FOG's numbers of the two kinds of tasks.
const DEPLOY: u32 = 1;
const CAPTURE: u32 = 2;

#[test]
fn an_option_that_would_have_no_effect_is_refused_and_the_task_waits() {
    let stack = Stack::start(Engine::Embedded).unwrap();
    let disk = stack.folder().join("disk");
    disks::blank(&disk, 24 * MIB).unwrap();
    Old::Ext(4, 4096).put(&disk, 0, 24 * MIB).unwrap();
    let host = stack.create_host("pc", MAC).unwrap();
    let image = stack.create_image("image").unwrap();
    stack.assign(host, image).unwrap();
    let state_dir = stack.folder().join("state");
    let state_dir = state_dir.to_str().unwrap();
    let cases: [(u32, &str, &[&[&str]]); 2] = [
        (
            CAPTURE,
            "is a capture, on which --state-dir would have no effect",
            &[&["--state-dir", state_dir]],
        ),
        (
            DEPLOY,
            "is a deploy, on which --",
            &[
                &["--accept-dirty"],
                &["--raw", "all"],
                &["--accept-dirty", "0", "--raw", "0"],
            ],
        ),
    ];
    for (kind, why, lines) in cases {
        let task = stack.order(host, kind).unwrap();
        let bytes = fs::read(&disk).unwrap();
        // One token for all of them: nobody uses it up.
        let token = stack.boot_token(host).unwrap();
        for (number, options) in lines.iter().enumerate() {
            let mut command = stack.client_command_with(&token, MAC, &disk).unwrap();
            let report = stack.folder().join("report.json");
            command.args(*options).arg("--report").arg(&report);
            let name = format!("refused-{kind}-{number}");
            let mut client = Process::start(stack.folder(), &name, &mut command).unwrap();
            let status = client.wait(PATIENCE).unwrap();
            let log = client.log();
            assert_eq!(status.code(), Some(USAGE), "{options:?}: {log}");
            assert!(
                log.contains(why) && log.contains(options[0]),
                "{options:?}: {log}"
            );
            let report = fs::read_to_string(report).unwrap();
            assert!(report.contains(why), "{report}");
            let now = stack.task(task).unwrap();
            // Assigned to a node, but no client has checked in for it.
            let waits = ["queued", "assigned"].contains(&now["state"].as_str().unwrap());
            assert!(waits, "{now}");
        }
        assert!(bytes == fs::read(&disk).unwrap(), "the disk was written to");
        let mut command = stack.client_command_with(&token, MAC, &disk).unwrap();
        // Of an environment that is the same for all tasks, nobody knows which they will be.
        command.env("FOGHORN_STATE_DIR", state_dir);
        let name = format!("client-{kind}");
        let mut client = Process::start(stack.folder(), &name, &mut command).unwrap();
        assert!(client.wait(PATIENCE).unwrap().success(), "{}", client.log());
        assert_eq!(stack.wait_task(task).unwrap()["state"], "complete");
    }
}
