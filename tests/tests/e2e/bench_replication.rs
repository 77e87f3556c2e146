//! The benchmark of replication works: a short run of everything in it.

use std::process::Command;
use std::time::Duration;

use foghorn_tests::process::Process;
use foghorn_tests::tools::foghorn;
use serde_json::Value;

#[test]
fn a_short_run_copies_once_and_keeps_to_a_limit() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("replication.json");
    let mut bench = Command::new(foghorn("bench-replication").unwrap());
    bench.arg("--smoke").arg("--json").arg(&file);
    bench.arg("--folder").arg(folder.path());
    let mut bench = Process::start(folder.path(), "bench-replication", &mut bench).unwrap();
    let ended = bench.wait(Duration::from_secs(180)).unwrap();
    assert!(ended.success(), "{ended}:\n{}", bench.log());
    let figures: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let figure = |pointer: &str| {
        let value = figures.pointer(pointer).and_then(Value::as_f64);
        value.unwrap_or_else(|| panic!("{pointer} is missing in {figures}"))
    };
    for pointer in ["/replication/mbit", "/tcp/mbit", "/cap/measured_mbit"] {
        assert!(figure(pointer) > 0.0, "{pointer}: {figures}");
    }
    // Not a matter of speed.
    assert!(figure("/second_pass/share") <= 0.01, "{figures}");
}
