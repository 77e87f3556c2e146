//! The benchmark of a large installation works: a short run of everything in it.

use std::process::Command;
use std::time::Duration;

use foghorn_tests::process::Process;
use foghorn_tests::tools::foghorn;
use serde_json::{Value, json};

#[test]
fn a_short_run_fills_the_whole_table() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("scale.json");
    let mut bench = Command::new(foghorn("bench-scale").unwrap());
    bench.arg("--smoke").arg("--output").arg(&file);
    let mut bench = Process::start(folder.path(), "bench-scale", &mut bench).unwrap();
    let ended = bench.wait(Duration::from_secs(300)).unwrap();
    assert!(ended.success(), "{ended}:\n{}", bench.log());
    let figures: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let asked = [("agents", 8), ("hosts", 400), ("transfers", 20)];
    for (member, value) in asked {
        assert_eq!(figures[member], json!(value), "{figures}");
    }
    assert_eq!(figures["million"]["hosts"], json!(2000), "{figures}");
    assert_eq!(figures["links_lost"], json!(0), "{}", bench.log());
    for member in [
        "/ordered_ms_idle/p50",
        "/ordered_ms_idle/p99",
        "/ordered_ms_loaded/p50",
        "/ordered_ms_loaded/p99",
        "/etcd_writes_per_state_change",
        "/rss_mib",
        "/reports_per_second",
        "/million/ready_s",
        "/million/rss_mib",
        "/million/page_p99_ms",
        "/million/search_p99_ms",
    ] {
        let value = figures.pointer(member).and_then(Value::as_f64);
        assert!(
            value.is_some_and(|value| value > 0.0),
            "{member}: {figures}"
        );
    }
    // What is counted depends on no clock: a change of a task is one transaction.
    let writes = figures["etcd_writes_per_state_change"].as_f64().unwrap();
    assert!(writes < 2.0, "{writes}");
    assert!(
        bench.log().contains("created to ordered, loaded, p99"),
        "{}",
        bench.log()
    );
}
