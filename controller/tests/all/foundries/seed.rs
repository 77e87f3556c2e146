//! The three requests that the documentation of the API shows, with its own bodies.

use serde_json::{Value, json};

use super::Factory;
use crate::engine::BOTH;

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_requests_are_answered_as_documented() {
    for kind in BOTH {
        let factory = Factory::start_on(kind).await;
        factory.image().await;
        let uuid = factory.device(1, "disk-2", "devel").await.uuid.to_string();
        let named = factory
            .call(
                "PATCH",
                &format!("/ota/devices/{uuid}/"),
                json!({"name": "device-01"}),
            )
            .await;
        assert_eq!(named.status, 200, "{kind:?}: {}", named.text);

        devices(&factory, &uuid).await;
        targets(&factory).await;
        configuration(&factory).await;
    }
}

async fn devices(factory: &Factory, uuid: &str) {
    let listed = factory.get("/ota/devices/").await;
    assert_eq!(listed.status, 200, "{}", listed.text);
    let list = listed.json();
    for (key, value) in [("page", 1), ("pages", 1), ("limit", 1000), ("total", 1)] {
        assert_eq!(list[key], value, "{key}");
    }
    assert_eq!(list.get("next"), Some(&Value::Null));
    let device = &list["devices"][0];
    for (key, value) in [
        ("uuid", json!(uuid)),
        ("factory", json!(factory.name)),
        ("name", json!("device-01")),
        ("target-name", json!("disk-2")),
        ("current-update", json!("")),
        ("device-tags", json!(["devel"])),
        ("tag", json!("devel")),
        ("docker-apps", json!([])),
        ("network-info", json!(null)),
        ("up-to-date", json!(true)),
        ("public-key", json!("key of 1")),
        ("is-prod", json!(false)),
        ("is-wave", json!(false)),
        ("device-group", json!("")),
        ("status", json!("")),
    ] {
        assert_eq!(device.get(key), Some(&value), "{key}");
    }
    for key in ["created-at", "last-seen"] {
        let time = device[key].as_str().unwrap();
        assert!(
            time.len() == 25 && time.ends_with("+00:00"),
            "{key}: {time}"
        );
    }
}

async fn targets(factory: &Factory) {
    let listed = factory.get(&factory.at("targets/")).await;
    assert_eq!(listed.status, 200, "{}", listed.text);
    let all = listed.json();
    let names: Vec<&String> = all.as_object().unwrap().keys().collect();
    assert_eq!(names, ["disk-1", "disk-2"]);
    let target = &all["disk-2"];
    let hash = target["hashes"]["sha256"].as_str().unwrap();
    assert!(hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()));
    assert!(target["length"].is_u64());
    let custom = &target["custom"];
    for (key, value) in [
        ("name", json!("disk")),
        ("version", json!("2")),
        ("hardwareIds", json!(["any"])),
        ("tags", json!([])),
        ("targetFormat", json!("OSTREE")),
        ("uri", json!("")),
        ("cliUploaded", json!(false)),
    ] {
        assert_eq!(custom.get(key), Some(&value), "{key}");
    }
    assert!(custom["createdAt"].as_str().unwrap().ends_with('Z'));
}

async fn configuration(factory: &Factory) {
    let path = "/ota/devices/device-01/config/";
    let first = json!({"reason": "API test", "files": [
        {"name": "app.config", "unencrypted": true, "value": "[page]\nurl = \"\"\n"},
    ]});
    let made = factory.call("PATCH", path, first).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let made = made.json();
    assert_eq!(made["reason"], "API test");
    assert_eq!(made.get("applied-at"), Some(&Value::Null));
    assert_eq!(made["created-at"].as_str().unwrap().len(), 19);
    let file = json!({"name": "app.config", "value": "[page]\nurl = \"\"\n", "unencrypted": true});
    assert_eq!(made["files"], json!([file]));

    let second = json!({"reason": "API test", "files": [{
        "name": "z-50-fioctl.toml",
        "on-changed": ["/usr/share/fioconfig/handlers/aktualizr-toml-update"],
        "unencrypted": true,
        "value": "\n[pacman]\n  compose_apps = \"shellhttpd\"\n",
    }]});
    let merged = factory.call("PATCH", path, second.clone()).await;
    assert_eq!(merged.status, 201, "{}", merged.text);
    assert_eq!(merged.json()["files"], json!([file, second["files"][0]]));
}
