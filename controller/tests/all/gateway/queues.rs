//! Event queues that push: from what a device says to a real receiver.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use data_encoding::{BASE64, BASE64URL_NOPAD};
use foghorn_controller::Config;
use foghorn_controller::app::devices::tokens::{self, Terms};
use foghorn_controller::state::machines::scope::Scope;
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use serde_json::{Value, json};

use super::machine::{Machine, factory_name};
use super::with_gateway;
use crate::engine::BOTH;
use crate::native::fleet::{Fleet, PATIENCE, call};
use crate::native::notifications::receiver::{Receiver, Taken};

fn quick(config: &mut Config) {
    with_gateway(config);
    config.notifications.first_retry = Duration::from_millis(100);
    config.notifications.longest_retry = Duration::from_millis(200);
    config.notifications.lease = Duration::from_secs(2);
}

/// A token of the first administrator.
async fn token(fleet: &Fleet) -> String {
    let terms = Terms {
        user: 1,
        description: "a test".to_owned(),
        scopes: Scope::ALL.into_iter().collect(),
        factories: Vec::new(),
        ttl: None,
    };
    let state = &fleet.controller.ctx().state;
    tokens::create(state, &terms).await.unwrap().text
}

async fn ask(
    fleet: &Fleet,
    token: &str,
    (method, path): (&str, &str),
    body: Option<Value>,
) -> (u16, Value) {
    let (ca, base) = (fleet.controller.ca_pem(), fleet.controller.rest_url());
    let headers = [("OSF-TOKEN".to_owned(), token.to_owned())];
    call(ca, &base, method, path, &headers, body).await
}

/// The path of the queues of the only factory.
fn queues(fleet: &Fleet) -> String {
    format!("/ota/factories/{}/event-queues/", factory_name(fleet))
}

async fn pushes_to(fleet: &Fleet, token: &str, receiver: &Receiver) {
    let path = queues(fleet);
    let body = json!({
        "label": "erp", "type": "push", "push-url": receiver.url, "ca-pem": receiver.ca_pem,
    });
    let (status, made) = ask(fleet, token, ("POST", &path), Some(body)).await;
    assert_eq!(status, 201, "{made}");
    assert_eq!(
        (&made["label"], &made["type"], &made["push-url"]),
        (&json!("erp"), &json!("push"), &json!(receiver.url))
    );
}

/// Waits until nothing is left to be sent.
async fn all_taken(fleet: &Fleet) {
    let state = &fleet.controller.ctx().state;
    let until = Instant::now() + PATIENCE;
    let mut changed = state.changed();
    while !state.read(|tables| tables.event_messages().is_empty()) {
        let left = until.saturating_duration_since(Instant::now());
        let news = tokio::time::timeout(left, changed.changed()).await;
        assert!(news.is_ok(), "messages are left");
    }
}

/// The kind of an event, and what it says.
fn event(taken: &Taken) -> (String, Value) {
    let body = taken.json();
    let message = &body["message"];
    let data = message["data"].as_str().unwrap();
    let data = BASE64.decode(data.as_bytes()).unwrap();
    let kind = message["attributes"]["event-type"].as_str().unwrap();
    (kind.to_owned(), serde_json::from_slice(&data).unwrap())
}

/// Checks the token of a message as a receiver would. Gives its claims.
fn checked(taken: &Taken, keys: &Value) -> Value {
    let token = taken.headers["authorization"].strip_prefix("Bearer ");
    let (text, signature) = token.unwrap().rsplit_once('.').unwrap();
    let decode = |text: &str| BASE64URL_NOPAD.decode(text.as_bytes()).unwrap();
    let (header, claims) = text.split_once('.').unwrap();
    let read = |text: &str| serde_json::from_slice::<Value>(&decode(text)).unwrap();
    let (header, key) = (read(header), &keys["keys"][0]);
    assert_eq!(
        (&header["alg"], &header["kid"]),
        (&json!("ES256"), &key["kid"])
    );
    let number = |name: &str| decode(key[name].as_str().unwrap());
    let point = [vec![4], number("x"), number("y")].concat();
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &point);
    key.verify(text.as_bytes(), &decode(signature))
        .expect("the signature is that of the key");
    read(claims)
}

/// A device does everything that is told. Gives its UUID.
async fn says_everything(fleet: &Fleet, token: &str) -> String {
    let machine = Machine::new(fleet, 1);
    let uuid = machine.uuid.to_string();
    assert_eq!(machine.get("/device").await.status, 200);
    let headers = [("x-ats-tags", "lab"), ("x-ats-target", "disk-1")];
    let answer = machine.call("GET", "/device", &headers, "").await;
    assert_eq!(answer.status, 200);
    let path = format!("/ota/devices/{uuid}/config/");
    let files = json!({
        "reason": "a test",
        "files": [{"name": "a", "value": "b", "unencrypted": true}],
    });
    let (status, said) = ask(fleet, token, ("PATCH", &path), Some(files)).await;
    assert_eq!(status, 201, "{said}");
    for _ in 0..2 {
        assert_eq!(machine.get("/config").await.status, 200);
    }
    let event = |id: &str, kind: &str, success: Option<bool>| {
        json!({
            "id": id,
            "deviceTime": "2021-11-11T14:17:50Z",
            "eventType": {"id": kind, "version": 0},
            "event": {"correlationId": "u1", "targetName": "disk-2", "version": "2", "success": success},
        })
    };
    let events = json!([
        event("e1", "EcuDownloadStarted", None),
        event("e2", "EcuInstallationCompleted", Some(true)),
    ]);
    // The same again is nothing new.
    for _ in 0..2 {
        assert_eq!(
            machine.send("POST", "/events", events.to_string()).await,
            200
        );
    }
    let apps = json!({"deviceTime": "2021-11-11T14:17:51Z", "ostree": "aa", "apps": {"shop": {}}});
    for _ in 0..2 {
        let sent = apps.to_string();
        assert_eq!(machine.send("POST", "/apps-states", sent).await, 200);
    }
    uuid
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_to_a_device_is_pushed_with_a_token_that_can_be_checked() {
    for kind in BOTH {
        let fleet = Fleet::on(kind, quick).await;
        let (token, receiver) = (token(&fleet).await, Receiver::https().await);
        pushes_to(&fleet, &token, &receiver).await;
        let uuid = says_everything(&fleet, &token).await;
        all_taken(&fleet).await;
        let taken = receiver.so_far();
        let events: BTreeMap<String, Value> = taken.iter().map(event).collect();
        assert_eq!((taken.len(), events.len()), (6, 6), "{kind:?}: {events:?}");
        for (kind, more) in [
            ("DEVICE_FIRST_SEEN", json!({})),
            (
                "DEVICE_LAST_SEEN",
                json!({"Changes": ["target-name", "tag"]}),
            ),
            ("DEVICE_CONFIG_APPLIED", json!({})),
            (
                "DEVICE_OTA_STARTED",
                json!({"Target": "disk-2", "Id": "u1"}),
            ),
            (
                "DEVICE_OTA_COMPLETED",
                json!({"Target": "disk-2", "Id": "u1", "Success": true}),
            ),
            (
                "DEVICE_OTA_APPS_STATE_CHANGED",
                json!({"Ostree": "aa", "DeviceTime": "2021-11-11T14:17:51Z", "Apps": {"shop": {}}}),
            ),
        ] {
            let mut said = events[kind].clone();
            let members = said.as_object_mut().unwrap();
            assert!(members.remove("Time").unwrap().as_i64().unwrap() > 1_600_000_000);
            let mut expected = json!({"Uuid": uuid, "DeviceGroupId": 0});
            let more = more.as_object().unwrap().clone();
            expected.as_object_mut().unwrap().extend(more);
            assert_eq!(said, expected, "{kind}");
        }

        let (status, keys) = fleet.anonymous("GET", "/ota/event-keys/", None).await;
        assert_eq!(status, 200, "{keys}");
        let subscription = format!("factories/{}/event-queues/erp", factory_name(&fleet));
        for one in &taken {
            let claims = checked(one, &keys);
            assert_eq!(claims["aud"], receiver.url, "{claims}");
            assert!(claims["exp"].as_i64() > claims["iat"].as_i64());
            let body = one.json();
            assert_eq!(
                (&body["subscription"], &claims["sub"]),
                (&json!(subscription), &json!(subscription))
            );
            let message = &body["message"];
            assert_eq!(message["messageId"], message["message_id"]);
            assert_eq!(message["publishTime"], message["publish_time"]);
        }
        fleet.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_sent_until_it_is_taken_also_after_a_restart() {
    for kind in BOTH {
        let fleet = Fleet::on(kind, quick).await;
        let (token, receiver) = (token(&fleet).await, Receiver::http().await);
        receiver.answers(500);
        pushes_to(&fleet, &token, &receiver).await;
        let machine = Machine::new(&fleet, 1);
        assert_eq!(machine.get("/device").await.status, 200);
        receiver.taken(3).await;
        let path = queues(&fleet);
        let until = Instant::now() + PATIENCE;
        loop {
            let (_, list) = ask(&fleet, &token, ("GET", &path), None).await;
            if list[0]["error"] == "the receiver answered 500: so it is" {
                assert_eq!(list[0]["messages"], 1);
                break;
            }
            assert!(Instant::now() < until, "{list}");
        }
        let fleet = fleet.restarted().await;
        receiver.answers(204);
        all_taken(&fleet).await;
        let taken = receiver.so_far();
        let id = |taken: &Taken| taken.json()["message"]["messageId"].clone();
        assert!(taken.len() > 3);
        assert!(taken.iter().all(|one| id(one) == id(&taken[0])), "{kind:?}");

        // And of a queue that is gone nobody is told.
        let one = format!("{path}erp/");
        let (status, said) = ask(&fleet, &token, ("DELETE", &one), None).await;
        assert_eq!(status, 204, "{said}");
        let other = Machine::new(&fleet, 2);
        assert_eq!(other.get("/device").await.status, 200);
        let state = &fleet.controller.ctx().state;
        assert!(state.read(|tables| tables.event_messages().is_empty()));
        fleet.stop().await;
    }
}
