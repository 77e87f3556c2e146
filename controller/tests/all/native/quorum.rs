//! A controller whose etcd has lost its majority, or is full: what it still does, and what it says.

use std::time::{Duration, Instant};

use foghorn_controller::config::StoreConfig;
use foghorn_controller::store::etcd::EtcdOptions;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cluster::Cluster;
use crate::engine::{Etcd, PATIENCE};
use crate::native::fleet::Fleet;

fn host(name: &str, last: u8) -> Option<Value> {
    Some(json!({"name": name, "macs": [format!("52:54:00:00:88:{last:02x}")]}))
}

/// Asks until the answer is as wanted.
async fn until(fleet: &Fleet, path: &str, wanted: impl Fn(u16, &Value) -> bool) -> (u16, Value) {
    let start = Instant::now();
    loop {
        let (status, answer) = fleet.api("GET", path, None).await;
        if wanted(status, &answer) {
            return (status, answer);
        }
        assert!(start.elapsed() < PATIENCE, "{path}: {status} {answer}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_majority_reads_go_on_and_say_so_and_changes_are_refused_in_time() {
    let mut cluster = Cluster::start().await;
    let options = cluster.options();
    let fleet = Fleet::with(|config| config.store = StoreConfig::Etcd(options)).await;
    let one = fleet.good("POST", "/fog/host/create", host("one", 1)).await;
    let one = crate::native::fleet::id(&one);
    let path = format!("/fog/host/{one}");
    let (_, headers, _) = fleet.whole("GET", &path, None).await;
    assert!(!headers.contains_key("foghorn-stale"), "{headers:?}");
    until(&fleet, "/readyz", |status, _| status == 200).await;

    cluster.kill(0);
    cluster.kill(1);
    let start = Instant::now();
    let (status, headers, answer) = fleet
        .whole("POST", "/fog/host/create", host("two", 2))
        .await;
    let took = start.elapsed();
    assert_eq!(status, 503, "{answer}");
    assert!(headers.contains_key("retry-after"), "{headers:?}");
    assert!(took < Duration::from_secs(10), "refused after {took:?}");
    let (_, ready) = until(&fleet, "/readyz", |status, ready| {
        status == 503 && ready["stale_seconds"].as_u64() >= Some(3)
    })
    .await;
    assert_eq!(ready["status"], "degraded", "{ready}");
    assert_eq!(ready["writable"], false, "{ready}");
    let (status, ready) = fleet.api("GET", "/readyz?for=reads", None).await;
    assert_eq!((status, &ready["status"]), (200, &json!("degraded")));
    let (status, headers, found) = fleet.whole("GET", &path, None).await;
    assert_eq!((status, &found["name"]), (200, &json!("one")));
    let stale: u64 = headers["foghorn-stale"].to_str().unwrap().parse().unwrap();
    assert!((3..=60).contains(&stale), "{stale}");
    let start = Instant::now();
    let (status, headers, _) = fleet
        .whole("POST", "/fog/host/create", host("two", 2))
        .await;
    assert_eq!(status, 503);
    assert!(headers.contains_key("retry-after"), "{headers:?}");
    let took = start.elapsed();
    assert!(took < Duration::from_secs(4), "refused after {took:?}");
    let (_, store) = fleet.api("GET", "/foghorn/v1/store", None).await;
    let problem = store["problem"].as_str().unwrap();
    assert!(problem.contains("majority"), "{problem}");
    assert!(store["stale_seconds"].as_u64() >= Some(3), "{store}");
    let (_, metrics) = fleet.api("GET", "/metrics", None).await;
    let metrics = metrics.as_str().unwrap();
    assert!(
        metrics.contains("foghorn_store_problem{engine=\"etcd\"} 1"),
        "{metrics}"
    );
    let down = format!(
        "foghorn_etcd_member_up{{endpoint=\"{}\"}} 0",
        cluster.endpoint(0)
    );
    assert!(metrics.contains(&down), "{metrics}");

    cluster.run(0);
    cluster.run(1);
    until(&fleet, "/readyz", |status, _| status == 200).await;
    let (_, headers, _) = fleet.whole("GET", &path, None).await;
    assert!(!headers.contains_key("foghorn-stale"), "{headers:?}");
    // What was refused may be stored all the same: nobody knew.
    let (status, answer) = fleet.api("POST", "/fog/host/create", host("two", 2)).await;
    let was_stored = status == 500 && answer["error"] == "Already created";
    assert!(status == 200 || was_stored, "{status} {answer}");
    let hosts = fleet.good("GET", "/fog/host", None).await;
    assert_eq!(hosts["count"], 2, "{hosts}");
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_etcd_is_named_with_its_alarm_everywhere_until_there_is_room() {
    let dir = TempDir::new().unwrap();
    let etcd = Etcd::start_small(dir.path(), 12 << 20);
    let options = EtcdOptions::plain([etcd.endpoint()]);
    let mut admin = etcd_client::Client::connect([etcd.endpoint()], None)
        .await
        .unwrap();
    let deadline = Instant::now() + PATIENCE;
    while admin.get("/ballast", None).await.is_err() {
        assert!(Instant::now() < deadline, "etcd never answered");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let fleet = Fleet::with(|config| config.store = StoreConfig::Etcd(options)).await;
    let ballast = vec![b'x'; 500_000];
    for n in 0.. {
        if admin
            .put(format!("/ballast/{n}"), ballast.clone(), None)
            .await
            .is_err()
        {
            break;
        }
        assert!(n < 100, "etcd never became full");
    }
    let (status, headers, answer) = fleet
        .whole("POST", "/fog/host/create", host("one", 1))
        .await;
    assert_eq!(status, 503, "{answer}");
    assert!(answer.to_string().contains("NOSPACE"), "{answer}");
    assert!(answer.to_string().contains("etcdctl"), "{answer}");
    assert!(headers.contains_key("retry-after"), "{headers:?}");
    let (_, ready) = until(&fleet, "/readyz", |status, _| status == 503).await;
    assert_eq!(ready["alarm"], "NOSPACE", "{ready}");
    let (status, headers, _) = fleet.whole("GET", "/fog/host", None).await;
    assert_eq!(status, 200);
    assert!(
        !headers.contains_key("foghorn-stale"),
        "what is shown is current"
    );
    let (_, store) = fleet.api("GET", "/foghorn/v1/store", None).await;
    assert!(
        store["problem"].as_str().unwrap().contains("NOSPACE"),
        "{store}"
    );
    let (_, metrics) = fleet.api("GET", "/metrics", None).await;
    let metrics = metrics.as_str().unwrap();
    assert!(
        metrics.contains("foghorn_etcd_alarm{alarm=\"NOSPACE\"} 1"),
        "{metrics}"
    );

    // As the documentation says: delete, compact, defragment, disarm.
    let all = etcd_client::DeleteOptions::new().with_prefix();
    let gone = admin.delete("/ballast/", Some(all)).await.unwrap();
    let revision = gone.header().unwrap().revision();
    let whole = etcd_client::CompactionOptions::new().with_physical();
    admin.compact(revision, Some(whole)).await.unwrap();
    admin.defragment().await.unwrap();
    let found = admin
        .alarm(
            etcd_client::AlarmAction::Get,
            etcd_client::AlarmType::None,
            None,
        )
        .await
        .unwrap();
    for alarm in found.alarms() {
        let mut options = etcd_client::AlarmOptions::new();
        options.with_member(alarm.member_id());
        let disarm = etcd_client::AlarmAction::Deactivate;
        let nospace = etcd_client::AlarmType::Nospace;
        admin.alarm(disarm, nospace, Some(options)).await.unwrap();
    }
    until(&fleet, "/readyz", |status, _| status == 200).await;
    fleet.good("POST", "/fog/host/create", host("one", 1)).await;
    fleet.stop().await;
}
