//! The benchmark of multicast works: a short run with all systems, each of which must deliver.

use std::process::Command;
use std::time::Duration;

use foghorn_tests::process::Process;
use foghorn_tests::tools::foghorn;
use serde_json::Value;

#[test]
fn a_short_run_measures_every_system() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("multicast.json");
    let mut bench = Command::new(foghorn("bench-multicast").unwrap());
    bench.arg("--smoke").arg("--output").arg(&file);
    let mut bench = Process::start(folder.path(), "bench-multicast", &mut bench).unwrap();
    let ended = bench.wait(Duration::from_secs(300)).unwrap();
    assert!(ended.success(), "{ended}:\n{}", bench.log());
    let figures: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let [case] = &figures["cases"].as_array().unwrap()[..] else {
        panic!("{figures}")
    };
    assert_eq!(
        (&case["clients"], &case["rate_mbit"], &case["loss_pct"]),
        (&2.into(), &1000.into(), &0.into())
    );
    let names = [
        "line_s",
        "foghorn_s",
        "udpcast_s",
        "udpcast_fec_s",
        "uftp_s",
        "http_s",
        "over_line",
        "wire_share",
    ];
    for name in names {
        assert!(
            case[name].as_f64().is_some_and(|figure| figure > 0.0),
            "{name}: {case}\n{}",
            bench.log()
        );
    }
    // Both had the file through one stream: less than two copies of it were on the wire.
    assert!(
        case["wire_share"].as_f64().unwrap() < 1.8,
        "{case}\n{}",
        bench.log()
    );
}
