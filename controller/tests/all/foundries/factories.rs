//! Device groups, users, factories and their status.

use serde_json::{Value, json};

use super::{Factory, assert_refused};
use crate::engine::BOTH;

#[tokio::test(flavor = "multi_thread")]
async fn device_groups_are_made_changed_and_deleted_when_nobody_is_in_them() {
    for kind in BOTH {
        let factory = Factory::start_on(kind).await;
        let path = factory.at("device-groups/");
        assert_eq!(factory.get(&path).await.json(), json!({"groups": []}));
        let made = factory.call("POST", &path, json!({"name": "room"})).await;
        assert_eq!(made.status, 201, "{kind:?}: {}", made.text);
        let made = made.json();
        assert!(made["id"].is_u64() && made["change-meta"]["created-at"].is_string());
        assert_eq!(made["description"], "");
        assert_refused(
            &factory.call("POST", &path, json!({"name": "room"})).await,
            409,
        );
        assert_refused(&factory.call("POST", &path, json!({"name": ""})).await, 400);
        assert_refused(&factory.call("POST", &path, json!({})).await, 400);
        factory.call("POST", &path, json!({"name": "hall"})).await;

        let one = format!("{path}room/");
        let taken = factory.call("PATCH", &one, json!({"name": "hall"})).await;
        assert_refused(&taken, 409);
        let change = json!({"name": "room 3", "description": "north"});
        let changed = factory.call("PATCH", &one, change).await;
        assert_eq!(changed.status, 200, "{}", changed.text);
        assert_eq!(changed.json()["description"], "north");
        assert_refused(&factory.call("PATCH", &one, json!({})).await, 404);

        let uuid = factory.device(1, "", "").await.uuid;
        let device = format!("/ota/devices/{uuid}/");
        factory
            .call("PATCH", &device, json!({"group": "room 3"}))
            .await;
        let one = format!("{path}room%203");
        assert_refused(&factory.call("DELETE", &one, Value::Null).await, 409);
        factory.call("PATCH", &device, json!({"group": ""})).await;
        assert_eq!(factory.call("DELETE", &one, Value::Null).await.status, 204);
        assert_refused(&factory.call("DELETE", &one, Value::Null).await, 404);
        let left = factory.get(&path).await.json();
        assert_eq!(left["groups"].as_array().unwrap().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn users_and_factories_are_shown() {
    let factory = Factory::start().await;
    let all = factory.get("/ota/factories/?admin=1").await.json();
    assert_eq!(all, json!([{"name": factory.name, "reposerver-id": "1"}]));
    let users = factory.get(&factory.at("users/")).await.json();
    let id = users[0]["polis-id"].as_str().unwrap();
    assert_eq!(
        (id, &users[0]["role"]),
        ("000000000000000000000001", &json!("administrator"))
    );
    let one = factory
        .get(&factory.at(&format!("users/{id}/")))
        .await
        .json();
    assert_eq!(
        (&one["name"], &one["teams-ext"]),
        (&users[0]["name"], &json!([]))
    );
    let scopes = one["effective-scopes"].as_array().unwrap();
    assert!(scopes.contains(&json!("devices:read-update")));
    for nobody in ["users/anna/", "users/0000000000000000000000ff/"] {
        assert_refused(&factory.get(&factory.at(nobody)).await, 404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_factory_counts_its_devices() {
    let factory = Factory::start().await;
    factory.image().await;
    let tags = json!({"targets": {"disk-2": {"custom": {"tags": ["lab"]}}}});
    factory.call("PATCH", &factory.at("targets/"), tags).await;
    factory.device(1, "disk-1", "lab").await;
    factory.device(2, "disk-2", "lab").await;
    let status = factory
        .get(&factory.at("status/?offline-threshold=24"))
        .await;
    assert_eq!(status.status, 200, "{}", status.text);
    let status = status.json();
    assert_eq!(
        (&status["total-devices"], &status["prod-tags"]),
        (&json!(2), &json!([]))
    );
    assert_eq!(status["wave-tags"], json!([]));
    let lab = &status["tags"][0];
    for (key, value) in [
        ("name", json!("lab")),
        ("devices-total", json!(2)),
        ("devices-online", json!(2)),
        ("devices-on-latest", json!(1)),
        ("devices-on-orphan", json!(1)),
        ("latest-target", json!(2)),
        ("device-groups", json!([])),
    ] {
        assert_eq!(lab.get(key), Some(&value), "{key}");
    }
    let orphan = json!({"version": 1, "devices": 1, "is-orphan": true});
    assert_eq!(lab["targets"][0], orphan);
    assert_refused(
        &factory
            .get(&factory.at("status/?offline-threshold=soon"))
            .await,
        400,
    );
}
