//! A controller whose data directory is on a full disk says so everywhere, and needs no restart.

use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

use crate::engine::PATIENCE;
use crate::native::fleet::Fleet;
use crate::store_conformance::disk::{Mount, may_mount};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_said_in_every_answer_and_gone_when_there_is_room() {
    if !may_mount() {
        return;
    }
    let dir = TempDir::new().unwrap();
    let disk = Mount::new(
        dir.path().join("disk"),
        &["-t", "tmpfs", "-o", "size=16m", "tmpfs"],
    );
    let fleet = Fleet::with(|config| config.data_dir = disk.0.join("data")).await;
    let host = |name: &str, last: u8| json!({"name": name, "macs": [format!("52:54:00:00:77:{last:02x}")]});
    let create = "/fog/host/create";
    let (status, _) = fleet.api("POST", create, Some(host("one", 1))).await;
    assert_eq!(status, 200);
    let (status, ready) = fleet.api("GET", "/readyz", None).await;
    assert_eq!((status, &ready["writable"]), (200, &json!(true)));
    let (_, store) = fleet.api("GET", "/foghorn/v1/store", None).await;
    assert_eq!(store["writable"], true, "{store}");
    assert!(store["free_bytes"].as_u64().unwrap() > 1 << 20, "{store}");

    disk.fill();
    let (status, answer) = fleet.api("POST", create, Some(host("two", 2))).await;
    let text = answer.to_string();
    assert_eq!(status, 503, "{text}");
    assert!(
        text.contains("is full") && text.contains("make room"),
        "{text}"
    );
    let native = "/foghorn/v1/nodes/join-token";
    let (status, answer) = fleet
        .api("POST", native, Some(json!({"name": "north"})))
        .await;
    let text = answer.to_string();
    assert_eq!(status, 503, "{text}");
    assert!(
        text.contains("is full") && text.contains("store.redb"),
        "{text}"
    );
    // What was said a moment ago may be said again for some seconds.
    let start = Instant::now();
    loop {
        let (status, ready) = fleet.api("GET", "/readyz", None).await;
        if status == 503 {
            assert_eq!(ready["writable"], false, "{ready}");
            assert_eq!(ready["store"], true, "{ready}");
            break;
        }
        assert!(
            start.elapsed() < PATIENCE,
            "a full store is said to be ready"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let (_, store) = fleet.api("GET", "/foghorn/v1/store", None).await;
    assert_eq!(store["writable"], false, "{store}");
    assert!(store["free_bytes"].as_u64().unwrap() < 1 << 20, "{store}");
    assert!(
        store["problem"].as_str().unwrap().contains("make room"),
        "{store}"
    );
    let (status, hosts) = fleet.api("GET", "/fog/host", None).await;
    assert_eq!((status, &hosts["count"]), (200, &json!(1)), "{hosts}");

    disk.make_room();
    let (status, answer) = fleet.api("POST", create, Some(host("two", 2))).await;
    assert_eq!(status, 200, "{answer}");
    let start = Instant::now();
    while fleet.api("GET", "/readyz", None).await.0 != 200 {
        assert!(start.elapsed() < PATIENCE, "it is not ready again");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    fleet.stop().await;
}
