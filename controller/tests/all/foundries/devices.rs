//! Devices, their updates, the denied ones.

use foghorn_controller::app::devices::updates::{self, Sent};
use foghorn_controller::state::machines::updates::UpdateEvent;
use foghorn_types::Role;
use serde_json::{Value, json};

use super::{Factory, assert_refused};
use crate::engine::BOTH;
use crate::fog_support::Reply;

/// The names in a list, which are the last digits of UUIDs.
fn ends(reply: &Reply) -> String {
    assert_eq!(reply.status, 200, "{}", reply.text);
    let list = reply.json();
    let devices = list["devices"].as_array().unwrap();
    let end = |device: &Value| device["name"].as_str().unwrap().chars().last().unwrap();
    devices.iter().map(end).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_filtered_sorted_and_paged() {
    let factory = Factory::start().await;
    for number in 1..=5 {
        let tag = if number % 2 == 0 { "even" } else { "odd" };
        factory.device(number, "disk-1", tag).await;
    }
    let uuid = factory.device(3, "disk-2", "odd").await.uuid;
    let list = |query: String| {
        let factory = &factory;
        async move { factory.get(&format!("/ota/devices/?{query}")).await }
    };
    // As the older client sends it: everything, and mostly empty.
    let empty = "factory=&name_ilike=&match_tag=&target_name=&group=&uuid=&mine=0&page=&limit=";
    assert_eq!(ends(&list(empty.to_owned()).await), "12345");
    for (query, names) in [
        (format!("factory={}", factory.name), "12345"),
        ("name=0*[12]".to_owned(), "12"),
        ("name_ilike=%25-%254".to_owned(), "4"),
        ("match_tag=odd".to_owned(), "135"),
        ("match_tag=odd&target_name=disk-1".to_owned(), "15"),
        (format!("uuid={uuid}"), "3"),
        ("group=none".to_owned(), ""),
        ("mine=1".to_owned(), ""),
        ("prod=1".to_owned(), ""),
        ("prod=0".to_owned(), "12345"),
        ("sortby=-name".to_owned(), "54321"),
    ] {
        assert_eq!(ends(&list(query.clone()).await), names, "{query}");
    }
    for query in ["sortby=size", "page=one", "limit=-1", "mine=maybe"] {
        assert_refused(&list(query.to_owned()).await, 400);
    }
    assert_refused(&list("factory=nowhere".to_owned()).await, 404);

    let first = list("match_tag=odd&sortby=-name&limit=2".to_owned()).await;
    assert_eq!(ends(&first), "53");
    let body = first.json();
    let numbers = ["page", "pages", "limit", "total"].map(|key| body[key].as_u64());
    assert_eq!(numbers, [1, 2, 2, 3].map(Some));
    let next = body["next"].as_str().unwrap();
    let path = next.strip_prefix("https://fog.example:8443");
    let second = factory.get(path.unwrap()).await;
    assert_eq!(ends(&second), "1");
    assert_eq!(second.json().get("next"), Some(&Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_shown_renamed_given_away_grouped_and_deleted() {
    for kind in BOTH {
        let factory = Factory::start_on(kind).await;
        let uuid = factory.device(1, "disk-1", "lab").await.uuid;
        let other = factory.device(2, "disk-1", "lab").await.uuid;
        let by_uuid = format!("/ota/devices/{uuid}/?factory={}&by-uuid=1", factory.name);
        let shown = factory.get(&by_uuid).await;
        assert_eq!(shown.status, 200, "{kind:?}: {}", shown.text);
        let shown = shown.json();
        for (key, value) in [
            ("uuid", json!(uuid.to_string())),
            ("group", json!(null)),
            ("active-config", json!(null)),
            ("hardware-info", json!(null)),
            ("secondary-ecus", json!([])),
            ("aktualizr-toml", json!("")),
        ] {
            assert_eq!(shown.get(key), Some(&value), "{key}");
        }
        assert!(shown.get("device-group").is_none(), "only in lists");

        let made = json!({"name": "room", "description": "3rd floor"});
        let made = factory
            .call("POST", &factory.at("device-groups/"), made)
            .await;
        assert_eq!(made.status, 201, "{}", made.text);
        let owner = "000000000000000000000001";
        let change = json!({"name": "pc-1", "owner": owner, "group": "room"});
        let rehearsed = format!("/ota/devices/{uuid}/?dry_run=true");
        let tried = factory.call("PATCH", &rehearsed, change.clone()).await;
        assert_eq!(
            (tried.status.as_u16(), tried.header("foghorn-dry-run")),
            (200, "true")
        );
        assert_eq!(factory.get("/ota/devices/pc-1/").await.status, 404);
        let changed = factory.call("PATCH", &by_uuid, change).await;
        assert_eq!(changed.status, 200, "{}", changed.text);
        let changed = changed.json();
        assert_eq!(
            (&changed["name"], &changed["owner"]),
            (&json!("pc-1"), &json!(owner))
        );
        assert_eq!(changed["group"]["name"], "room");
        assert_eq!(changed["change-meta"]["updated-by"], owner);
        let listed = factory.get("/ota/devices?group=room&mine=1").await.json();
        assert_eq!(listed["devices"][0]["device-group"], "room");

        // All of a change or nothing.
        let wrong = json!({"name": "pc-2", "group": "cellar"});
        assert_refused(
            &factory.call("PATCH", "/ota/devices/pc-1", wrong).await,
            404,
        );
        assert_eq!(factory.get("/ota/devices/pc-1").await.status, 200);
        let taken = json!({"name": "pc-1"});
        let taken = factory
            .call("PATCH", &format!("/ota/devices/{other}/"), taken)
            .await;
        assert_refused(&taken, 409);
        assert!(taken.json()["errors"]["name"].is_string());
        for (wrong, status) in [
            (json!({"owner": "anna"}), 400),
            (json!({"name": "a/b"}), 400),
            (json!({"nmae": "pc-3"}), 400),
            (json!(["pc-3"]), 400),
        ] {
            assert_refused(
                &factory.call("PATCH", "/ota/devices/pc-1/", wrong).await,
                status,
            );
        }
        let out = factory
            .call("PATCH", "/ota/devices/pc-1/", json!({"group": ""}))
            .await;
        assert_eq!(out.json().get("group"), Some(&Value::Null), "{}", out.text);

        let gone = factory
            .call("DELETE", "/ota/devices/pc-1/", Value::Null)
            .await;
        assert_eq!(gone.status, 204, "{}", gone.text);
        assert_refused(&factory.get("/ota/devices/pc-1/").await, 404);
        assert_refused(
            &factory
                .call("DELETE", "/ota/devices/pc-1/", Value::Null)
                .await,
            404,
        );
        let denied = factory
            .get(&factory.at("denied-devices/?limit=10&page=1"))
            .await
            .json();
        assert_eq!(
            (&denied["total"], &denied["limit"]),
            (&json!(1), &json!(10))
        );
        assert_eq!(denied["devices"][0]["uuid"], uuid.to_string());
        assert_eq!(denied["devices"][0]["name"], "pc-1");
        let ban = factory.at(&format!("denied-devices/{uuid}/"));
        assert_eq!(factory.call("DELETE", &ban, Value::Null).await.status, 204);
        assert_refused(&factory.call("DELETE", &ban, Value::Null).await, 404);
        factory.device(1, "disk-1", "lab").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_and_their_events_are_shown() {
    let factory = Factory::start().await;
    let uuid = factory.device(1, "disk-1", "lab").await.uuid;
    let sent = |update: &str, id: &str, kind: &str, success| Sent {
        correlation_id: update.to_owned(),
        event: UpdateEvent {
            id: id.to_owned(),
            kind: kind.to_owned(),
            device_time: "2026-11-30T20:00:00Z".to_owned(),
            version: "2".to_owned(),
            target: "disk-2".to_owned(),
            success,
            details: String::new(),
        },
    };
    let first = [
        sent("u-1", "1", "EcuDownloadStarted", None),
        sent("u-1", "2", "EcuInstallationCompleted", Some(true)),
        sent("u-2", "3", "EcuDownloadStarted", None),
    ];
    updates::record(&factory.server.state, uuid, &first)
        .await
        .unwrap();
    let path = format!("/ota/devices/{uuid}/updates/");
    let listed = factory.get(&format!("{path}?limit=1")).await;
    assert_eq!(listed.status, 200, "{}", listed.text);
    let listed = listed.json();
    assert_eq!(
        listed["updates"][0]["correlation-id"], "u-2",
        "the newest first"
    );
    assert_eq!(
        (&listed["updates"][0]["target"], &listed["total"]),
        (&json!("disk-2"), &json!(2))
    );
    assert!(
        listed["next"]
            .as_str()
            .unwrap()
            .ends_with("/updates/?limit=1&page=2")
    );
    let events = factory.get(&format!("{path}u-1/")).await.json();
    let kinds = events.as_array().unwrap().iter();
    let kinds: Vec<_> = kinds.map(|event| &event["eventType"]["id"]).collect();
    assert_eq!(kinds, ["EcuDownloadStarted", "EcuInstallationCompleted"]);
    assert!(events[0]["event"].get("success").is_none());
    assert_eq!(events[1]["event"]["success"], true);
    assert_eq!(events[1]["event"]["targetName"], "disk-2");
    assert_eq!(
        factory.get("/ota/devices/").await.json()["devices"][0]["current-update"],
        "u-2"
    );
    assert_refused(&factory.get(&format!("{path}u-7")).await, 404);
    assert_refused(&factory.get("/ota/devices/nobody/updates/").await, 404);
    let apps = factory
        .get(&format!("/ota/devices/{uuid}/apps-states/"))
        .await;
    assert_eq!(apps.json(), json!({"apps-states": []}));
}

#[tokio::test(flavor = "multi_thread")]
async fn natively_everybody_looks_and_operators_change() {
    for kind in BOTH {
        let factory = Factory::start_on(kind).await;
        let uuid = factory.device(1, "disk-1", "lab").await.uuid;
        let (one, ban) = (
            format!("/foghorn/v1/devices/{uuid}"),
            format!("/foghorn/v1/denied-devices/{uuid}"),
        );
        let viewer = factory.server.user("viewer", Role::ReadOnly).await;
        let operator = factory.server.user("operator", Role::Operator).await;
        for (who, method, path, status) in [
            (&viewer, "GET", "/foghorn/v1/devices", 200),
            (&viewer, "GET", one.as_str(), 200),
            (&viewer, "GET", "/foghorn/v1/denied-devices", 200),
            (&viewer, "DELETE", one.as_str(), 403),
            (&operator, "DELETE", one.as_str(), 204),
            (&viewer, "DELETE", ban.as_str(), 403),
            (&operator, "DELETE", ban.as_str(), 204),
        ] {
            let reply = factory.server.send(method, path, who, Vec::new()).await;
            assert_eq!(reply.status, status, "{method} {path}: {}", reply.text);
        }
    }
}
