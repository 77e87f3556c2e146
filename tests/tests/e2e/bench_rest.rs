//! The benchmark of the REST API works: a short run of everything in it.

use std::process::Command;
use std::time::Duration;

use foghorn_tests::process::Process;
use foghorn_tests::tools::foghorn;
use serde_json::Value;

#[test]
fn a_short_run_measures_every_case_without_errors() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rest.json");
    let mut bench = Command::new(foghorn("bench-rest").unwrap());
    bench.arg("--smoke").arg("--output").arg(&file);
    let mut bench = Process::start(folder.path(), "bench-rest", &mut bench).unwrap();
    let ended = bench.wait(Duration::from_secs(300)).unwrap();
    assert!(ended.success(), "{ended}:\n{}", bench.log());
    let entries: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let entries = entries.as_array().unwrap();
    let names: Vec<_> = entries
        .iter()
        .map(|entry| (entry["engine"].as_str().unwrap(), entry["hosts"].as_u64()))
        .collect();
    assert_eq!(
        names,
        [
            ("embedded", Some(200)),
            ("embedded", Some(300)),
            ("etcd", Some(200)),
            ("etcd", Some(300))
        ]
    );
    for entry in entries {
        assert!(
            entry["ready_s"].as_f64().unwrap() > 0.0 && entry["rss_mib"].as_f64().unwrap() > 1.0,
            "{entry}"
        );
        for case in entry["cases"].as_array().unwrap() {
            assert!(
                case["rps"].as_f64().unwrap() > 0.0 && case["errors"] == 0,
                "{case}:\n{}",
                bench.log()
            );
        }
    }
}
