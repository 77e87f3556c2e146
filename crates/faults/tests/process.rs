//! A process that is armed by its environment: this program starts itself.

#![cfg(debug_assertions)]
#![allow(clippy::unwrap_used)] // clippy knows tests by their attribute, not their helpers

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Output};

/// What the started program does: three visits, and a line for each that has gone well.
#[test]
fn child() {
    if std::env::var_os("FOGHORN_FAULTS_CHILD").is_none() {
        return;
    }
    for visit in 1..=3 {
        foghorn_faults::point!("faults.test.process");
        match foghorn_faults::fail!("faults.test.other") {
            Ok(()) => println!("visit {visit} went well"),
            Err(problem) => println!("visit {visit}: {problem}"),
        }
    }
}

fn run(orders: &str, log: &Path) -> Output {
    Command::new(std::env::current_exe().unwrap())
        .args(["child", "--exact", "--nocapture"])
        .env("FOGHORN_FAULTS_CHILD", "1")
        .env("FOGHORN_FAULTS", orders)
        .env("FOGHORN_FAULTS_LOG", log)
        .output()
        .unwrap()
}

#[test]
fn the_environment_says_what_happens_and_the_record_that_it_did() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let killed = run("faults.test.process=kill@2", &log);
    assert_eq!(killed.status.signal(), Some(9));
    let said = String::from_utf8_lossy(&killed.stdout).into_owned();
    assert!(
        said.contains("visit 1 went well") && !said.contains("visit 2"),
        "{said}"
    );

    let file = folder.path().join("orders");
    std::fs::write(&file, "faults.test.other=error@3").unwrap();
    let failed = run(&format!("@{}", file.display()), &log);
    assert!(failed.status.success());
    let said = String::from_utf8_lossy(&failed.stdout).into_owned();
    assert!(
        said.contains("visit 3: made to fail at faults.test.other"),
        "{said}"
    );
    assert!(said.contains("visit 2 went well"), "{said}");

    let recorded = std::fs::read_to_string(&log).unwrap();
    let lines: Vec<&str> = recorded.lines().collect();
    let once = ["reached faults.test.process", "reached faults.test.other"];
    let expected = [
        &once[..],
        &["kill faults.test.process"],
        &once,
        &["error faults.test.other"],
    ];
    assert_eq!(lines, expected.concat());
}

#[test]
fn orders_that_cannot_be_read_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let refused = run("faults.test.process=explode", &folder.path().join("log"));
    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        said.contains("\"faults.test.process=explode\" is no order"),
        "{said}"
    );
}
