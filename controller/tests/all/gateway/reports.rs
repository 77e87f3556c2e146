//! What devices say: in headers, about themselves, about their updates.

use foghorn_controller::app::devices::paging::Page;
use foghorn_controller::app::devices::updates;
use foghorn_types::Timestamp;
use serde_json::json;

use super::fleet;
use super::machine::Machine;
use crate::engine::{BOTH, Kind};

#[tokio::test(flavor = "multi_thread")]
async fn the_first_contact_makes_the_device_and_headers_change_it() {
    for kind in BOTH {
        let fleet = fleet(kind).await;
        let machine = Machine::new(&fleet, 1);
        assert!(machine.stored(&fleet).is_none());
        let before = Timestamp::now();
        let headers = [
            ("x-ats-target", "disk-7"),
            ("x-ats-tags", "lab,next"),
            ("X-Ats-OstreeHash", "aa"),
            ("x-ats-dockerapps", "shop,till"),
        ];
        let first = machine.call("GET", "/device", &headers, "").await;
        assert_eq!(first.status, 200);
        let shown = first.json();
        assert_eq!(shown["uuid"], machine.uuid.to_string());
        assert_eq!(shown["name"], shown["uuid"], "until somebody names it");
        assert_eq!(shown["factory"], super::machine::factory_name(&fleet));
        assert_eq!(shown["target-name"], "disk-7");
        assert_eq!(shown["tag"], "lab");
        assert_eq!(shown["docker-apps"], json!(["shop", "till"]));
        let key = shown["public-key"].as_str().unwrap();
        assert!(key.starts_with("-----BEGIN PUBLIC KEY-----\n"), "{key}");
        let stored = machine.stored(&fleet).unwrap();
        assert!(stored.last_seen.unwrap() >= before);

        // On any call; what is missing stays, what is empty goes.
        let headers = [("x-ats-target", "disk-8"), ("x-ats-dockerapps", "")];
        assert_eq!(
            machine.call("GET", "/config", &headers, "").await.status,
            204
        );
        let running = machine.stored(&fleet).unwrap().running.clone();
        assert_eq!(
            (&*running.target, &*running.hash, &*running.tag),
            ("disk-8", "aa", "lab")
        );
        assert!(running.apps.is_empty());
        fleet.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_device_says_of_itself_is_kept() {
    for kind in BOTH {
        let fleet = fleet(kind).await;
        let machine = Machine::new(&fleet, 1);
        let hardware = json!({"cpu": [1, 2], "product": "Büro"});
        let sent = hardware.to_string();
        assert_eq!(machine.send("PUT", "/system_info", sent).await, 200);
        let network =
            json!({"hostname": "pc", "mac": "52:54:00:00:00:01", "local_ipv4": "10.0.0.1"});
        let sent = network.to_string();
        assert_eq!(machine.send("PUT", "/system_info/network", sent).await, 200);
        let toml = "[pacman]\ntags = \"lab\"\n";
        assert_eq!(machine.send("PUT", "/system_info/config", toml).await, 200);
        let apps = json!({"deviceTime": "2021-11-11T14:17:50Z", "ostree": "aa", "apps": {}});
        let sent = apps.to_string();
        assert_eq!(machine.send("POST", "/apps-states", sent).await, 200);
        let stored = machine.stored(&fleet).unwrap();
        assert_eq!(stored.hardware, Some(hardware));
        assert_eq!(stored.network.as_ref().unwrap().local_ipv4, "10.0.0.1");
        assert_eq!(stored.aktualizr_toml, toml);
        assert_eq!(stored.apps_state, Some(apps));
        assert!(stored.host.is_some(), "a host was made for its address");
        fleet.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_kept_and_single_ones_that_are_wrong_are_passed_over() {
    for kind in BOTH {
        let fleet = fleet(kind).await;
        let machine = Machine::new(&fleet, 1);
        let event = |id: &str, kind: &str, success: Option<bool>| {
            json!({
                "id": id,
                "deviceTime": "2021-11-11T14:17:50Z",
                "eventType": {"id": kind, "version": 0},
                "event": {"correlationId": "u1", "targetName": "disk-7", "version": "7", "success": success},
            })
        };
        let sent = json!([
            event("e1", "EcuDownloadStarted", None),
            {"id": "wrong"},
            7,
            event("e2", "EcuDownloadCompleted", Some(true)),
        ]);
        let answer = machine.call("POST", "/events", &[], sent.to_string()).await;
        assert_eq!((answer.status, answer.body.len()), (200, 0));
        let shown = machine.get("/device").await.json();
        assert_eq!(shown["current-update"], "u1");
        let sent = json!([event("e3", "EcuInstallationCompleted", Some(true))]).to_string();
        assert_eq!(machine.send("POST", "/events", sent).await, 200);
        let shown = machine.get("/device").await.json();
        assert_eq!(shown["current-update"], "");
        let state = &fleet.controller.ctx().state;
        let list = state.read(|tables| updates::list(tables, machine.uuid, Page::default()));
        assert_eq!((list.items.len(), list.items[0].events.len()), (1, 3));
        fleet.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_taken_is_refused_in_words() {
    let fleet = fleet(Kind::Embedded).await;
    let machine = Machine::new(&fleet, 1);
    let long = json!("x".repeat(100_000)).to_string();
    let larger = json!("x".repeat(600_000)).to_string();
    for (status, method, path, body) in [
        (400, "PUT", "/system_info", "{".to_owned()),
        (413, "PUT", "/system_info", long.clone()),
        (413, "PUT", "/system_info", larger.clone()),
        (400, "PUT", "/system_info/network", "[]".to_owned()),
        (
            400,
            "PUT",
            "/system_info/network",
            r#"{"mac":"52"}"#.to_owned(),
        ),
        (
            400,
            "PUT",
            "/system_info/network",
            r#"{"local_ipv4":"10"}"#.to_owned(),
        ),
        (413, "PUT", "/system_info/config", long),
        (400, "POST", "/apps-states", "[]".to_owned()),
        (400, "POST", "/events", "{}".to_owned()),
        (413, "POST", "/events", larger),
        (404, "GET", "/ota/devices/", String::new()),
        (405, "DELETE", "/config", String::new()),
    ] {
        let answer = machine.call(method, path, &[], body).await;
        let said = answer.json();
        assert_eq!(answer.status, status, "{method} {path}: {said}");
        assert!(said["message"].is_string(), "{method} {path}: {said}");
    }
    let answer = machine
        .call("PUT", "/system_info/config", &[], vec![0xff])
        .await;
    assert_eq!(answer.status, 400);
    let stored = machine.stored(&fleet).unwrap();
    assert_eq!((&stored.hardware, &stored.network), (&None, &None));
    fleet.stop().await;
}
