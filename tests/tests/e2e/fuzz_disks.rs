//! The share that `make fuzz-disks` has in every run of the tests: the seeds that once failed, and
//! always the same few others.

use std::fs;
use std::process::Command;

use foghorn_tests::fuzz_disks::run::kept_seeds;
use foghorn_tests::process::Process;
use foghorn_tests::tools::foghorn;
use serde_json::Value;

use crate::block_devices::may_make_loop_devices;

/// How many seeds from 0 on: about 65 seconds of processor time.
const SEEDS: u64 = 150;

/// Other tests run at the same time.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(600);

#[test]
fn random_disks_come_back_as_they_were() {
    if !may_make_loop_devices() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("report.json");
    // A program of its own, because it mounts file systems in a namespace of its own.
    let mut command = Command::new(foghorn("fuzz-disks").unwrap());
    command
        .args(["--kept", "--jobs", "2", "--from", "0", "--seeds"])
        .arg(SEEDS.to_string())
        .arg("--output")
        .arg(&output);
    let mut fuzz = Process::start(folder.path(), "fuzz-disks", &mut command).unwrap();
    let status = fuzz.wait(PATIENCE).unwrap();
    let said = fuzz.log();
    // The progress line is written over and over.
    let last = said
        .lines()
        .map(|line| line.rsplit('\r').next().unwrap_or(line));
    println!("kept seeds: {:?}, and 0 to {}", kept_seeds(), SEEDS - 1);
    last.for_each(|line| println!("{line}"));
    assert!(status.success(), "{status}");
    let report: Value = serde_json::from_slice(&fs::read(output).unwrap()).unwrap();
    assert_eq!(
        report["seeds"],
        SEEDS + kept_seeds().len() as u64,
        "{report}"
    );
}
