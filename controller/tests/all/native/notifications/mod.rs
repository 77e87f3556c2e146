//! Telling people: from an event in the store to a real receiver.

mod examples;
mod mails;
mod races;
pub(crate) mod receiver;
mod smtp;
mod states;

use std::time::{Duration, Instant};

use foghorn_proto::link::{Completed, Failed, session_ended};
use foghorn_types::TaskId;
use serde_json::{Value, json};

use self::receiver::{Receiver, SILENT};
use crate::engine::BOTH;
use crate::native::agent::{Agent, opened};
use crate::native::fleet::{Fleet, PATIENCE};
use crate::native::whole_path::{capture, ended, recorded};

const ALL: &str = "/foghorn/v1/notifications";

fn quick(config: &mut foghorn_controller::Config) {
    config.notifications.first_retry = Duration::from_millis(100);
    config.notifications.longest_retry = Duration::from_millis(200);
    config.notifications.attempts = 3;
}

fn mac(number: u32) -> String {
    format!("02:00:00:00:00:{number:02x}")
}

/// Tells a receiver; gives the id and the secret.
async fn webhook(fleet: &Fleet, receiver: &Receiver, more: Value) -> (u64, String) {
    let mut body = json!({"name": "pager", "by": "webhook", "url": receiver.url});
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    let made = fleet.good("POST", ALL, Some(body)).await;
    (
        made["notification"]["id"].as_u64().unwrap(),
        made["secret"].as_str().unwrap().to_owned(),
    )
}

/// Waits until the messages of a target are as they should be.
async fn deliveries(fleet: &Fleet, id: u64, fit: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let until = Instant::now() + PATIENCE;
    let mut changed = fleet.controller.ctx().state.changed();
    loop {
        let path = format!("{ALL}/{id}/deliveries");
        let list = fleet.good("GET", &path, None).await["deliveries"].take();
        let list = list.as_array().unwrap().clone();
        if fit(&list) {
            return list;
        }
        let left = until.saturating_duration_since(Instant::now());
        let news = tokio::time::timeout(left, changed.changed()).await;
        assert!(news.is_ok(), "the messages are {list:?}");
    }
}

/// A task of the host that fails.
async fn fails(fleet: &Fleet, agent: &mut Agent, host: u32, reason: &str) -> TaskId {
    let task = fleet.task(host, 2).await;
    agent.order(opened).await;
    fleet.check_in(&mac(1), &fleet.boot_token(host).await).await;
    let failed = Failed {
        reason: reason.to_owned(),
        ..Failed::default()
    };
    agent
        .send(ended(task, session_ended::Outcome::Failed(failed)))
        .await;
    recorded(agent, task).await;
    task
}

async fn one_host(fleet: &Fleet) -> (Agent, u32) {
    let image = fleet.image("win").await;
    let host = fleet.host("pc1", &mac(1), image).await;
    let (keys, enrolled) = fleet.joined("north").await;
    (Agent::connect(fleet, &keys, &enrolled).await, host)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_failed_is_told_by_a_signed_message() {
    for kind in BOTH {
        let fleet = Fleet::on(kind, quick).await;
        let receiver = Receiver::http().await;
        let (mut agent, host) = one_host(&fleet).await;
        let (id, secret) = webhook(&fleet, &receiver, json!({})).await;
        let task = fails(&fleet, &mut agent, host, "the disk is gone").await;

        let taken = receiver.taken(1).await;
        assert!(taken[0].is_signed_with(&secret), "{taken:?}");
        let body = taken[0].json();
        assert_eq!(body["type"], "task-failed");
        assert_eq!(body["data"]["host"]["name"], "pc1");
        assert_eq!(body["data"]["reason"], "the disk is gone");
        assert_eq!(
            body["data"]["text"],
            format!("Task {task}: capture of win from pc1 failed: the disk is gone")
        );
        let list = deliveries(&fleet, id, |list| list[0]["state"] == "delivered").await;
        assert_eq!((list.len(), &list[0]["id"]), (1, &json!(taken[0].id())));
        assert_eq!(receiver.so_far().len(), 1, "it is sent once");
        fleet.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_shown_once_and_stored_encrypted() {
    let fleet = Fleet::new().await;
    let receiver = Receiver::http().await;
    let url = format!("{}?token=s3cret", receiver.url);
    let (id, secret) = webhook(&fleet, &receiver, json!({"url": url})).await;
    let shown = fleet.good("GET", &format!("{ALL}/{id}"), None).await;
    assert_eq!(shown["address"], format!("{}?…", receiver.url));
    let chat = json!({"name": "room", "by": "chat", "url": "https://chat.example.org/s3cret"});
    fleet.good("POST", ALL, Some(chat)).await;
    let shown = fleet.good("GET", ALL, None).await.to_string();
    assert!(
        !shown.contains("s3cret") && !shown.contains(&secret),
        "{shown}"
    );
    let store = fleet.controller.ctx().state.store().clone();
    let rows = store.list("/foghorn/v1/notify-target/").await.unwrap();
    assert_eq!(rows.entries.len(), 2);
    for row in rows.entries {
        let text = String::from_utf8_lossy(&row.value).into_owned();
        assert!(
            !text.contains("s3cret") && !text.contains(&secret),
            "{text}"
        );
    }
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_down_gets_the_same_message_later() {
    let fleet = Fleet::with(quick).await;
    let receiver = Receiver::http().await;
    receiver.answers(500);
    let (id, secret) = webhook(&fleet, &receiver, json!({})).await;
    fleet.good("POST", &format!("{ALL}/{id}/test"), None).await;
    let list = deliveries(&fleet, id, |list| list[0]["state"] == "dead").await;
    assert_eq!(list[0]["failed_attempts"], 3);
    assert_eq!(list[0]["error"], "the receiver answered 500: so it is");
    let dead = format!("{ALL}/{id}/deliveries?dead=true");
    let dead = fleet.good("GET", &dead, None).await;
    assert_eq!(dead["deliveries"].as_array().unwrap().len(), 1);

    receiver.answers(204);
    let retry = format!("{ALL}/{id}/deliveries/retry");
    let again = fleet.good("POST", &retry, Some(json!({}))).await;
    assert_eq!(again["messages"], 1);
    deliveries(&fleet, id, |list| list[0]["state"] == "delivered").await;
    let taken = receiver.so_far();
    assert_eq!(taken.len(), 4);
    assert!(taken.iter().all(|one| one.id() == taken[0].id()));
    assert!(taken.iter().all(|one| one.is_signed_with(&secret)));
    let again = fleet.good("POST", &retry, Some(json!({}))).await;
    assert_eq!(again["messages"], 0, "what was delivered is not sent again");
    fleet.stop().await;
}

/// Eight messages to receivers that never answer are under way, more than were once sent at a time.
#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_never_answers_delays_nobody_else() {
    let fleet = Fleet::with(quick).await;
    let mut slow = Vec::new();
    for name in ["slow", "slower", "slowest"] {
        let receiver = Receiver::http().await;
        receiver.answers(SILENT);
        let (id, _) = webhook(&fleet, &receiver, json!({"name": name})).await;
        for _ in 0..3 {
            fleet.good("POST", &format!("{ALL}/{id}/test"), None).await;
        }
        receiver.taken(3).await;
        slow.push(receiver);
    }
    let quick = Receiver::http().await;
    let (id, _) = webhook(&fleet, &quick, json!({"name": "quick"})).await;
    fleet.good("POST", &format!("{ALL}/{id}/test"), None).await;
    deliveries(&fleet, id, |list| list[0]["state"] == "delivered").await;
    for receiver in &slow {
        assert_eq!(receiver.so_far().len(), 3, "none of the others had ended");
    }
    fleet.stop().await;
}

/// The controller stops between the outcome and the delivery.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_delivered_is_delivered_after_a_restart() {
    for kind in BOTH {
        let fleet = Fleet::on(kind, |config| {
            quick(config);
            config.notifications.lease = Duration::from_secs(2);
        })
        .await;
        let receiver = Receiver::http().await;
        receiver.answers(SILENT);
        let (mut agent, host) = one_host(&fleet).await;
        let (id, _) = webhook(&fleet, &receiver, json!({})).await;
        fails(&fleet, &mut agent, host, "power").await;
        let first = receiver.taken(1).await;
        receiver.answers(200);
        drop(agent);
        let fleet = fleet.restarted().await;
        let list = deliveries(&fleet, id, |list| list[0]["state"] == "delivered").await;
        assert_eq!(list.len(), 1);
        let taken = receiver.taken(2).await;
        assert_eq!(taken[1].id(), first[0].id(), "a receiver can tell");
        assert_eq!(taken[1].body, first[0].body);
        fleet.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_are_not_followed_and_tls_is_verified() {
    let fleet = Fleet::with(quick).await;
    let receiver = Receiver::https().await;
    let (id, _) = webhook(&fleet, &receiver, json!({})).await;
    let test = format!("{ALL}/{id}/test");
    fleet.good("POST", &test, None).await;
    let list = deliveries(&fleet, id, |list| list[0]["state"] == "dead").await;
    let why = list[0]["error"].as_str().unwrap();
    assert!(why.contains("certificate"), "{why}");
    assert_eq!(receiver.so_far().len(), 0);

    let own = json!({"ca_pem": receiver.ca_pem});
    fleet.good("PATCH", &format!("{ALL}/{id}"), Some(own)).await;
    receiver.answers(307);
    fleet.good("POST", &test, None).await;
    let list = deliveries(&fleet, id, |list| {
        list.len() == 2 && list[0]["state"] == "dead"
    })
    .await;
    let why = list[0]["error"].as_str().unwrap();
    assert!(why.contains("307") && why.contains("not followed"), "{why}");
    receiver.answers(200);
    fleet.good("POST", &test, None).await;
    deliveries(&fleet, id, |list| list[0]["state"] == "delivered").await;
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_for_several_hosts_is_one_message() {
    let fleet = Fleet::with(quick).await;
    let receiver = Receiver::http().await;
    let (mut agent, first) = one_host(&fleet).await;
    capture(&fleet, &mut agent, first).await;
    let image = fleet.good("GET", "/fog/image", None).await["images"][0]["id"].clone();
    let mut hosts = vec![first];
    for number in 2..=3 {
        let name = format!("pc{number}");
        let image = image.to_string().trim_matches('"').parse().unwrap();
        hosts.push(fleet.host(&name, &mac(number), image).await);
    }
    let kinds = json!({"kinds": ["task-finished", "group-finished"]});
    webhook(&fleet, &receiver, kinds).await;
    let order = json!({"kind": "deploy", "hosts": hosts});
    let made = fleet.good("POST", "/foghorn/v1/tasks", Some(order)).await;
    let made = made["tasks"].as_array().unwrap().clone();
    assert_eq!(made.len(), 3);
    for (number, task) in (1_u32..).zip(&made) {
        let task: TaskId = serde_json::from_value(task["task"].clone()).unwrap();
        let host = hosts[number as usize - 1];
        fleet
            .check_in(&mac(number), &fleet.boot_token(host).await)
            .await;
        fleet.wait_for_state(task, "checked_in").await;
        let outcome = if number == 2 {
            session_ended::Outcome::Failed(Failed {
                reason: "no disk".to_owned(),
                ..Failed::default()
            })
        } else {
            session_ended::Outcome::Completed(Completed::default())
        };
        agent.send(ended(task, outcome)).await;
        recorded(&mut agent, task).await;
    }
    let taken = receiver.taken(1).await;
    let body = taken[0].json();
    assert_eq!(body["type"], "group-finished", "{body}");
    assert_eq!(
        body["data"]["text"],
        "Order of 3 tasks with win has ended: 2 of 3 complete, 1 failed (pc2)"
    );
    assert_eq!(body["data"]["failures"][0]["reason"], "no disk");
    assert_eq!(
        receiver.so_far().len(),
        1,
        "the tasks are not told one by one"
    );
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_told_depends_on_kinds_groups_and_rows_of_fog() {
    let fleet = Fleet::with(quick).await;
    let receiver = Receiver::http().await;
    let (mut agent, host) = one_host(&fleet).await;
    let lab = json!({"name": "lab"});
    let lab = crate::native::fleet::id(&fleet.good("POST", "/fog/group", Some(lab)).await);
    let (id, _) = webhook(&fleet, &receiver, json!({"groups": [lab]})).await;
    let one = format!("{ALL}/{id}");
    let kinds = fleet.good("GET", &one, None).await;
    assert_eq!(
        (
            &kinds["own_kinds"],
            kinds["kinds"].as_array().unwrap().len()
        ),
        (&json!(false), 10)
    );
    fails(&fleet, &mut agent, host, "not of the lab").await;
    let member = json!({"groupID": lab, "hostID": host});
    fleet
        .good("POST", "/fog/groupassociation", Some(member))
        .await;
    fails(&fleet, &mut agent, host, "of the lab").await;
    let taken = receiver.taken(1).await;
    assert_eq!(taken[0].json()["data"]["reason"], "of the lab");

    // FOG's row says of what is told where nobody has chosen.
    let row = json!({"name": "HOST_IMAGEUP_COMPLETE"});
    fleet.good("POST", "/fog/notifyevent", Some(row)).await;
    let shown = fleet.good("GET", &one, None).await;
    assert_eq!(shown["kinds"], json!(["task-finished"]));
    fails(&fleet, &mut agent, host, "no longer told").await;
    capture(&fleet, &mut agent, host).await;
    let taken = receiver.taken(2).await;
    assert_eq!(taken[1].json()["type"], "task-finished");
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_is_refused_by_field() {
    let fleet = Fleet::new().await;
    let good = json!({"name": "pager", "by": "webhook", "url": "https://10.0.0.1/hook"});
    fleet.good("POST", ALL, Some(good.clone())).await;
    for (change, status, field) in [
        (json!({}), 409, "name"),
        (json!({"name": " "}), 400, "name"),
        (json!({"name": "a", "url": "ftp://x/"}), 400, "url"),
        (json!({"name": "a", "url": null}), 400, "url"),
        (json!({"name": "a", "secret": "short"}), 400, "secret"),
        (
            json!({"name": "a", "kinds": ["test"], "by": "chat", "template": "{}"}),
            400,
            "template",
        ),
        (json!({"name": "a", "kinds": ["tsk"]}), 400, "kinds"),
        (json!({"name": "a", "groups": [77]}), 400, "groups"),
        (json!({"name": "a", "burst": 0}), 400, "burst"),
        (json!({"name": "a", "to": ["x@y.z"]}), 400, "to"),
        (json!({"name": "a", "ca_pem": "x"}), 400, "ca_pem"),
        (json!({"name": "a", "by": "mail", "url": null}), 400, "to"),
        (
            json!({"name": "a", "by": "mail", "url": null, "to": ["x@y.z"], "from": "x@y.z",
            "server": "mail.example.org", "security": "plain"}),
            400,
            "security",
        ),
        (
            json!({"name": "a", "by": "mail", "url": null, "to": ["x y"], "from": "x@y.z",
            "server": "mail.example.org"}),
            400,
            "to",
        ),
    ] {
        let mut body = good.clone();
        for (name, value) in change.as_object().unwrap() {
            if value.is_null() {
                body.as_object_mut().unwrap().remove(name);
            } else {
                body[name] = value.clone();
            }
        }
        let (found, answer) = fleet.api("POST", ALL, Some(body.clone())).await;
        assert_eq!(
            (found, &answer["field"]),
            (status, &json!(field)),
            "{body}: {answer}"
        );
    }
    for (method, path) in [
        ("GET", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("POST", "/test"),
        ("GET", "/deliveries"),
        ("POST", "/deliveries/retry"),
    ] {
        let (status, answer) = fleet
            .api(method, &format!("{ALL}/99{path}"), Some(json!({})))
            .await;
        assert_eq!(status, 404, "{method} {path}: {answer}");
    }
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_tells_nobody() {
    let fleet = Fleet::with(quick).await;
    let body = json!({"name": "pager", "by": "webhook", "url": "http://127.0.0.1:9/"});
    let dry = format!("{ALL}?dry_run=true");
    let said = fleet.good("POST", &dry, Some(body.clone())).await;
    assert!(said.get("secret").is_none(), "{said}");
    let list = || fleet.good("GET", ALL, None);
    assert_eq!(list().await["notifications"], json!([]));
    let made = fleet.good("POST", ALL, Some(body)).await;
    let one = format!("{ALL}/{}?dry_run=true", made["notification"]["id"]);
    let change = json!({"name": "other"});
    fleet.good("PATCH", &one, Some(change)).await;
    fleet.good("DELETE", &one, None).await;
    assert_eq!(list().await["notifications"][0]["name"], "pager");
    fleet.stop().await;
}
