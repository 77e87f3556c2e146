//! The benchmark of the gateway of devices works: a short run of everything in it.

use std::process::Command;
use std::time::Duration;

use foghorn_tests::process::Process;
use foghorn_tests::tools::foghorn;
use serde_json::{Value, json};

#[test]
fn a_short_run_polls_on_both_engines_without_errors() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.json");
    let mut bench = Command::new(foghorn("bench-gateway").unwrap());
    bench.arg("--smoke").arg("--output").arg(&file);
    let mut bench = Process::start(folder.path(), "bench-gateway", &mut bench).unwrap();
    let ended = bench.wait(Duration::from_secs(300)).unwrap();
    assert!(ended.success(), "{ended}:\n{}", bench.log());
    let etcd: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let embedded = &etcd["embedded"];
    for (engine, figures) in [("etcd", &etcd), ("embedded", embedded)] {
        assert_eq!(figures["engine"], engine, "{figures}");
        assert_eq!(figures["devices"], json!(40), "{figures}");
        assert_eq!(figures["errors"], json!(0), "{}", bench.log());
        // Not a matter of speed: four of forty devices get a new configuration, once in two rounds.
        assert_eq!(figures["not_modified_share"], json!(0.95), "{figures}");
        for member in [
            "rps",
            "p50_ms",
            "p99_ms",
            "request_p99_ms",
            "burst_p99_ms",
            "polls_per_second",
            "cpu_s_per_1000",
            "burst_cpu_s_per_1000",
            "rss_mib",
        ] {
            let value = figures[member].as_f64();
            assert!(
                value.is_some_and(|value| value > 0.0),
                "{member}: {figures}"
            );
        }
    }
}
