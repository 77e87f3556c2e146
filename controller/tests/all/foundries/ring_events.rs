//! What event queues are told when Foghorn itself images a device.

use data_encoding::BASE64;
use foghorn_controller::app::tasks;
use foghorn_lifecycle::Outcome;
use foghorn_types::Timestamp;
use serde_json::{Value, json};

use super::rings::{ends, failed, machine, order, policy, round, runs, set, site};
use super::{Factory, assert_refused};
use crate::engine::BOTH;

/// What the queue was told of updates since it was asked last: kinds, and what they say without the time.
async fn told(factory: &Factory, queue: &str) -> Vec<(String, Value)> {
    let messages = factory.fetched(queue, "limit=100").await;
    factory.acknowledged(queue, &messages).await;
    let event = |leased: &Value| {
        let message = &leased["message"];
        let kind = message["attributes"]["event-type"].as_str().unwrap();
        let data = message["data"].as_str().unwrap();
        let data = BASE64.decode(data.as_bytes()).unwrap();
        let mut data: Value = serde_json::from_slice(&data).unwrap();
        let time = data.as_object_mut().unwrap().remove("Time");
        assert!(time.is_some_and(|time| time.is_i64()), "{data}");
        (kind.to_owned(), data)
    };
    let all = messages.iter().map(event);
    all.filter(|(kind, _)| kind.starts_with("DEVICE_OTA_"))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn queues_are_told_when_a_device_is_imaged_by_its_tag_or_by_an_operator() {
    for kind in BOTH {
        let factory = site(kind).await;
        let server = &factory.server;
        let queue = factory.pull_queue("erp").await;
        let (host, uuid) = machine(&factory, 1).await;
        let said = |kind: &str, id: &str, success: Option<bool>| {
            let mut data = json!({
                "Uuid": uuid.to_string(), "DeviceGroupId": 0, "Target": "disk-2", "Id": id,
            });
            if let Some(success) = success {
                data["Success"] = json!(success);
            }
            (kind.to_owned(), data)
        };
        let update = || policy(server).orders[&uuid].id.clone();
        let now = Timestamp::now();
        set(&factory, json!({"mode": "auto"})).await;
        round(&server.ctx, now).await;
        round(&server.ctx, now).await;
        let id = update();
        let started = [said("DEVICE_OTA_STARTED", &id, None)];
        assert_eq!(told(&factory, &queue).await, started, "{kind:?}: once");
        ends(server, runs(server, host)[0].task, Outcome::Complete).await;
        round(&server.ctx, now).await;
        round(&server.ctx, now).await;
        let completed = [said("DEVICE_OTA_COMPLETED", &id, Some(true))];
        assert_eq!(told(&factory, &queue).await, completed, "{kind:?}");

        let path = format!("/ota/devices/{uuid}/config/");
        let dry = format!("{path}?dry_run=true");
        let tried = factory.call("PATCH", &dry, order("reimage_0000001")).await;
        assert_eq!(tried.status, 200, "{}", tried.text);
        assert!(told(&factory, &queue).await.is_empty(), "{kind:?}");
        let made = factory.call("PATCH", &path, order("reimage_0000001")).await;
        assert_eq!(made.status, 201, "{kind:?}: {}", made.text);
        let busy = factory.call("PATCH", &path, order("reimage_0000002")).await;
        assert_refused(&busy, 409);
        let id = update();
        let started = [said("DEVICE_OTA_STARTED", &id, None)];
        assert_eq!(told(&factory, &queue).await, started, "{kind:?}");
        tasks::cancel_host(&server.state, host).await.unwrap();
        round(&server.ctx, now).await;
        let failed_at = [said("DEVICE_OTA_COMPLETED", &id, Some(false))];
        assert_eq!(told(&factory, &queue).await, failed_at, "{kind:?}");

        let made = factory.call("PATCH", &path, order("reimage_0000003")).await;
        assert_eq!(made.status, 201, "{kind:?}: {}", made.text);
        let id = update();
        let run = runs(server, host).pop().unwrap();
        ends(server, run.task, failed()).await;
        round(&server.ctx, now).await;
        let both = [
            said("DEVICE_OTA_STARTED", &id, None),
            said("DEVICE_OTA_COMPLETED", &id, Some(false)),
        ];
        // The round is at an earlier time than the order.
        let mut last = told(&factory, &queue).await;
        last.sort_by(|(one, _), (other, _)| other.cmp(one));
        assert_eq!(last, both, "{kind:?}");
    }
}
