//! What is made, changed and removed for devices is in the audit log, without secrets.

use serde_json::{Value, json};

use super::Factory;
use crate::engine::BOTH;

const POLICY: &str = "/foghorn/v1/sites/1/ring-policy";
const FACTORY_TOKENS: &str = "/foghorn/v1/factory-tokens";
const HOST_TOKENS: &str = "/foghorn/v1/host-tokens";

/// What the entries of such requests say of this class: what happened to which of its objects.
fn said(entries: &[Value], (method, path): (&str, &str), class: &str) -> Vec<(String, String)> {
    let of_request = entries
        .iter()
        .filter(|entry| entry["method"] == method && entry["path"] == path);
    let changes = of_request.flat_map(|entry| entry["changes"].as_array().unwrap());
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let of_class = changes.filter(|change| change["class"] == class);
    let mut all: Vec<_> = of_class
        .map(|change| (text(&change["what"]), text(&change["id"])))
        .collect();
    all.sort();
    all
}

fn once(what: &str, id: &str) -> Vec<(String, String)> {
    vec![(what.to_owned(), id.to_owned())]
}

async fn log(factory: &Factory) -> Vec<Value> {
    let log = factory
        .server
        .call("GET", "/foghorn/v1/audit", Value::Null)
        .await;
    assert_eq!(log.status, 200, "{}", log.text);
    log.json()["entries"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn queues_groups_and_devices_are_told() {
    for kind in BOTH {
        let factory = Factory::start_on(kind).await;
        let call = async |method: &str, path: &str, body: Value, status: u16| {
            let reply = factory.call(method, path, body).await;
            assert_eq!(reply.status, status, "{method} {path}: {}", reply.text);
        };
        let queues = factory.at("event-queues/");
        let queue = format!("{queues}erp/");
        let url = "https://10.0.0.5/hook?key=s3cret";
        let push = json!({"label": "erp", "type": "push", "push-url": url});
        call("POST", &queues, push, 201).await;
        call("DELETE", &queue, Value::Null, 204).await;
        let groups = factory.at("device-groups/");
        let group = format!("{groups}room/");
        call("POST", &groups, json!({"name": "room"}), 201).await;
        call("PATCH", &group, json!({"description": "north"}), 200).await;
        call("DELETE", &group, Value::Null, 204).await;
        let uuid = factory.device(1, "disk-1", "lab").await.uuid.to_string();
        let device = format!("/ota/devices/{uuid}/");
        call("PATCH", &device, json!({"name": "pc-1"}), 200).await;
        let config = format!("{device}config/");
        let file = json!({"files": [{"name": "a", "value": "s3cret", "unencrypted": true}]});
        call("PATCH", &config, file, 201).await;
        call("DELETE", &device, Value::Null, 204).await;
        let ban = factory.at(&format!("denied-devices/{uuid}/"));
        call("DELETE", &ban, Value::Null, 204).await;

        let entries = log(&factory).await;
        for (method, path, class, what, id) in [
            ("POST", &queues, "event-queue", "created", "1"),
            ("DELETE", &queue, "event-queue", "deleted", "1"),
            ("POST", &groups, "device-group", "created", "1"),
            ("PATCH", &group, "device-group", "changed", "1"),
            ("DELETE", &group, "device-group", "deleted", "1"),
            ("PATCH", &device, "device", "changed", &*uuid),
            ("DELETE", &device, "device", "deleted", &*uuid),
            ("DELETE", &device, "device-denied", "created", &*uuid),
            ("DELETE", &ban, "device-denied", "deleted", &*uuid),
        ] {
            let told = said(&entries, (method, path), class);
            assert_eq!(told, once(what, id), "{kind:?} {method} {path}");
        }
        let versions = said(&entries, ("PATCH", &config), "device-config");
        assert_eq!(versions.len(), 1, "{kind:?}: {versions:?}");
        assert_eq!(versions[0].0, "created", "{kind:?}: {versions:?}");
        assert!(!format!("{entries:?}").contains("s3cret"), "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_and_tokens_are_told() {
    for kind in BOTH {
        let factory = Factory::start_on(kind).await;
        let call = async |method: &str, path: &str, body: Value, status: u16| {
            let reply = factory.server.call(method, path, body).await;
            assert_eq!(reply.status, status, "{method} {path}: {}", reply.text);
            reply.json()
        };
        let resume = format!("{POLICY}/resume");
        call("PUT", POLICY, json!({"at_most": 3}), 200).await;
        call("PUT", POLICY, json!({"at_most": 4}), 200).await;
        call("POST", &resume, Value::Null, 200).await;
        let scopes = json!({"scopes": ["devices:read"]});
        let of_factory = call("POST", FACTORY_TOKENS, scopes, 201).await;
        let id = of_factory["id"].to_string();
        let one = format!("{FACTORY_TOKENS}/{id}");
        call("DELETE", &one, Value::Null, 204).await;
        let terms = json!({"factory": factory.name});
        let of_host = call("POST", HOST_TOKENS, terms, 201).await;
        let host_id = of_host["id"].to_string();
        let host_one = format!("{HOST_TOKENS}/{host_id}");
        call("DELETE", &host_one, Value::Null, 204).await;

        let entries = log(&factory).await;
        let edits = said(&entries, ("PUT", POLICY), "ring-policy");
        let both = [once("changed", "1"), once("created", "1")].concat();
        assert_eq!(edits, both, "{kind:?}");
        for (method, path, class, what, id) in [
            ("POST", &*resume, "ring-policy", "changed", "1"),
            ("POST", FACTORY_TOKENS, "factory-token", "created", &*id),
            ("DELETE", &*one, "factory-token", "deleted", &*id),
            ("POST", HOST_TOKENS, "host-token", "created", &*host_id),
            ("DELETE", &*host_one, "host-token", "deleted", &*host_id),
        ] {
            let told = said(&entries, (method, path), class);
            assert_eq!(told, once(what, id), "{kind:?} {method} {path}");
        }
        let text = format!("{entries:?}");
        for made in [&of_factory, &of_host] {
            let token = made["token"].as_str().unwrap();
            assert!(!text.contains(token), "{kind:?}");
        }
    }
}
