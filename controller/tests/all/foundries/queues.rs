//! Event queues whose messages are fetched, and what is refused of all of them.

use std::time::{Duration, Instant};

use data_encoding::BASE64;
use foghorn_controller::app::devices::queues::{MOST_QUEUES, delivery};
use foghorn_controller::app::devices::tokens::{self, Terms};
use foghorn_controller::app::users::{self, NewAccount, Secret};
use foghorn_controller::state::machines::scope::Scope;
use foghorn_types::{Role, Timestamp};
use serde_json::{Value, json};

use super::{Factory, assert_refused, token};
use crate::engine::{BOTH, PATIENCE};

impl Factory {
    pub(super) async fn pull_queue(&self, label: &str) -> String {
        let path = self.at("event-queues/");
        let body = json!({"label": label, "type": "pull"});
        let made = self.call("POST", &path, body).await;
        assert_eq!(made.status, 201, "{}", made.text);
        format!("{path}{label}/")
    }

    pub(super) async fn fetched(&self, queue: &str, query: &str) -> Vec<Value> {
        let reply = self.get(&format!("{queue}messages/?{query}")).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        reply.json()["messages"].as_array().unwrap().clone()
    }

    pub(super) async fn acknowledged(&self, queue: &str, messages: &[Value]) -> Value {
        let acks: Vec<&Value> = messages.iter().map(|one| &one["ack-id"]).collect();
        let path = format!("{queue}acknowledge/");
        let reply = self.call("POST", &path, json!({"ack-ids": acks})).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        reply.json()["acknowledged"].clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetched_message_is_given_again_until_it_is_acknowledged() {
    for kind in BOTH {
        let factory = Factory::start_on(kind).await;
        // What happened before is not told.
        factory.device(7, "", "").await;
        let queue = factory.pull_queue("erp").await;
        assert!(factory.fetched(&queue, "").await.is_empty());
        let uuid = factory.device(1, "disk-1", "lab").await.uuid;
        let first = factory.fetched(&queue, "lease=1").await;
        assert_eq!(first.len(), 1, "{kind:?}: {first:?}");
        let message = &first[0]["message"];
        assert_eq!(message["attributes"]["event-type"], "DEVICE_FIRST_SEEN");
        let data = BASE64.decode(message["data"].as_str().unwrap().as_bytes());
        let data: Value = serde_json::from_slice(&data.unwrap()).unwrap();
        assert_eq!(data["Uuid"], uuid.to_string());

        let until = Instant::now() + PATIENCE;
        let again = loop {
            let again = factory.fetched(&queue, "lease=600&limit=100").await;
            if !again.is_empty() {
                break again;
            }
            assert!(Instant::now() < until, "the lease never ends");
        };
        assert_eq!(again[0]["message"], *message);
        assert_ne!(again[0]["ack-id"], first[0]["ack-id"]);
        assert!(factory.fetched(&queue, "").await.is_empty(), "it is leased");
        assert_eq!(factory.acknowledged(&queue, &first).await, 0);
        let list = factory.get(&factory.at("event-queues")).await.json();
        assert_eq!(list[0]["messages"], 1);
        let url = format!("https://fog.example:8443{queue}messages/");
        assert_eq!(list[0]["pull-url"], url);
        let twice = [again[0].clone(), again[0].clone()];
        assert_eq!(factory.acknowledged(&queue, &twice).await, 1);
        assert_eq!(factory.acknowledged(&queue, &again).await, 0);
        let list = factory.get(&factory.at("event-queues/")).await.json();
        assert_eq!(list[0]["messages"], 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_nobody_takes_go_with_their_queue_or_with_time() {
    for kind in BOTH {
        let factory = Factory::start_on(kind).await;
        let state = &factory.server.state;
        let queue = factory.pull_queue("erp").await;
        factory.pull_queue("other").await;
        factory.device(1, "", "").await;
        factory.device(2, "", "").await;
        let count = || state.read(|tables| tables.event_messages().len());
        assert_eq!(count(), 4, "{kind:?}: each queue is told");
        let gone = factory.call("DELETE", &queue, Value::Null).await;
        assert_eq!(gone.status, 204, "{}", gone.text);
        let now = Timestamp::now();
        let trimmed = delivery::trim(state, now).await.unwrap();
        assert_eq!((trimmed.left, trimmed.lost, count()), (2, 0, 2));
        let later = now + delivery::KEPT + Duration::from_secs(1);
        let trimmed = delivery::trim(state, later).await.unwrap();
        assert_eq!((trimmed.left, trimmed.lost, count()), (0, 2, 0));
    }
}

async fn token_of_operator(factory: &Factory) -> String {
    let state = &factory.server.state;
    let account = NewAccount {
        name: "worker".to_owned(),
        role: Role::Operator,
        api: true,
        secret: Secret::None,
    };
    let (user, _) = users::create(state, account).await.unwrap();
    let terms = Terms {
        user,
        description: "a test".to_owned(),
        scopes: [Scope::DevicesReadUpdate].into(),
        factories: Vec::new(),
        ttl: None,
    };
    tokens::create(state, &terms).await.unwrap().text
}

#[tokio::test(flavor = "multi_thread")]
async fn only_administrators_say_where_messages_are_sent() {
    let factory = Factory::start().await;
    let path = factory.at("event-queues/");
    let operator = token_of_operator(&factory).await;
    let reader = token(&factory.server, &[Scope::DevicesRead], &[]).await;
    let push =
        json!({"label": "push", "type": "push", "push-url": "http://10.0.0.5/hook?key=s3cret"});
    let pull = json!({"label": "pull", "type": "pull"});
    let as_operator = async |body: &Value| {
        let sent = factory.call_as(&operator, "POST", &path, body.clone());
        sent.await
    };
    assert_refused(&as_operator(&push).await, 403);
    assert_eq!(as_operator(&pull).await.status, 201);
    let read = factory.call_as(&reader, "POST", &path, pull.clone()).await;
    assert_refused(&read, 403);
    let fetch = format!("{path}pull/messages/");
    let read = factory.call_as(&reader, "GET", &fetch, Value::Null).await;
    assert_refused(&read, 403);
    // Also in the local network, as of notifications.
    let made = factory.call("POST", &path, push).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let list = factory.call_as(&reader, "GET", &path, Value::Null).await;
    assert_eq!(list.json()[1]["push-url"], "http://10.0.0.5/hook?…");
    let rows = factory
        .server
        .state
        .store()
        .list("/foghorn/v1/event-queue/");
    let rows = rows.await.unwrap();
    assert_eq!(rows.entries.len(), 2);
    for row in rows.entries {
        let text = String::from_utf8_lossy(&row.value).into_owned();
        assert!(!text.contains("s3cret"), "{text}");
    }
    let key = factory
        .server
        .send("GET", "/ota/event-keys", &[], Vec::new());
    let key = key.await.json();
    assert_eq!(key["keys"][0]["alg"], "ES256");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_queue_is_refused_by_field() {
    let factory = Factory::start().await;
    let path = factory.at("event-queues/");
    let push = |url: &str| json!({"label": "a", "type": "push", "push-url": url});
    for (field, body) in [
        ("label", json!({"label": "a/b", "type": "pull"})),
        ("label", json!({"label": "", "type": "pull"})),
        ("push-url", json!({"label": "a", "type": "push"})),
        ("push-url", push("ftp://lab/")),
        ("push-url", push("https://user:pw@lab/")),
        (
            "push-url",
            push(&format!("https://lab/{}", "x".repeat(3000))),
        ),
        (
            "push-url",
            json!({"label": "a", "type": "pull", "push-url": "https://lab/"}),
        ),
        (
            "ca-pem",
            json!({"label": "a", "type": "push", "push-url": "https://lab/", "ca-pem": "x"}),
        ),
    ] {
        let reply = factory.call("POST", &path, body.clone()).await;
        assert_refused(&reply, 400);
        assert!(
            reply.json()["errors"][field].is_string(),
            "{body}: {}",
            reply.text
        );
    }
    for body in [json!({}), json!({"label": "a", "type": "fax"})] {
        assert_refused(&factory.call("POST", &path, body).await, 400);
    }
    for number in 0..MOST_QUEUES {
        factory.pull_queue(&format!("q{number}")).await;
    }
    let again = json!({"label": "q0", "type": "pull"});
    let more = json!({"label": "one-more", "type": "pull"});
    for body in [again, more] {
        assert_refused(&factory.call("POST", &path, body).await, 409);
    }
    for (method, rest) in [
        ("DELETE", "nothing/"),
        ("GET", "nothing/messages/"),
        ("POST", "nothing/acknowledge/"),
    ] {
        let body = match method {
            "POST" => json!({"ack-ids": []}),
            _ => Value::Null,
        };
        let reply = factory.call(method, &format!("{path}{rest}"), body).await;
        assert_refused(&reply, 404);
    }
    for query in ["limit=0", "limit=101", "lease=0", "lease=soon"] {
        let reply = factory.get(&format!("{path}q0/messages/?{query}")).await;
        assert_refused(&reply, 400);
    }
    let bad = json!({"ack-ids": ["x"]});
    let reply = factory
        .call("POST", &format!("{path}q0/acknowledge/"), bad)
        .await;
    assert_refused(&reply, 400);
    factory
        .call("DELETE", &format!("{path}q0"), Value::Null)
        .await;
    let made = factory.call("POST", &path, push("https://lab/")).await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert_refused(&factory.get(&format!("{path}a/messages/")).await, 409);
}
