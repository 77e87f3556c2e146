//! `GET` and `PATCH /config`.

use std::collections::BTreeMap;
use std::time::Instant;

use foghorn_controller::app::devices::edit::Change;
use foghorn_controller::app::devices::paging::Page;
use foghorn_controller::app::devices::{config, edit, groups};
use foghorn_controller::state::machines::config::Level;
use foghorn_host_config::conditional::parse_date;
use foghorn_host_config::ecies::{DeviceKey, Randomness};
use foghorn_host_config::{ConfigVersion, Document, open};
use serde_json::{Value, json};

use super::fleet;
use super::machine::{Answer, Machine};
use crate::devices::{factory, file};
use crate::engine::{BOTH, Kind};
use crate::native::fleet::{Fleet, PATIENCE};

pub(super) async fn set(
    fleet: &Fleet,
    level: Level,
    name: &str,
    value: &str,
    is_open: bool,
) -> ConfigVersion {
    let ctx = fleet.controller.ctx();
    let change = file(name, value, is_open);
    config::merge(&ctx.state, &ctx.trust, level, &change, 1)
        .await
        .unwrap()
}

fn history(fleet: &Fleet, machine: &Machine) -> Vec<ConfigVersion> {
    let state = &fleet.controller.ctx().state;
    let level = Level::Device(machine.uuid);
    config::history(state, level, Page::default())
        .unwrap()
        .items
}

/// As the device that runs now asks: the date of the answer before, which ends with `UTC`.
async fn since(machine: &Machine, before: &Answer) -> Answer {
    let date = before.header("date").replace("GMT", "UTC");
    assert!(date.ends_with("UTC"), "{date}");
    let headers = [("if-modified-since", date.as_str())];
    machine.call("GET", "/config", &headers, "").await
}

/// Asks until nothing is new, and gives the last configuration.
async fn settled(machine: &Machine, mut last: Answer) -> Answer {
    let start = Instant::now();
    loop {
        let next = since(machine, &last).await;
        match next.status {
            304 => return last,
            200 => last = next,
            other => panic!("{other}"),
        }
        assert!(
            start.elapsed() < PATIENCE,
            "it is never told that nothing is new"
        );
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

/// What a machine makes of an answer with its key.
fn extracted(machine: &Machine, answer: &Answer) -> BTreeMap<String, String> {
    let document = Document::read(&answer.body).unwrap();
    let key = DeviceKey::from_pem(&machine.key_pem).unwrap();
    let opened = open(&document, Some(&key)).unwrap().into_iter();
    opened
        .map(|(name, file)| (name.to_string(), String::from_utf8(file.content).unwrap()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_has_the_files_of_all_levels_and_asks_only_for_changes() {
    for kind in BOTH {
        let fleet = fleet(kind).await;
        let machine = Machine::new(&fleet, 1);
        assert_eq!(machine.get("/config").await.status, 204);
        let level = Level::Device(machine.uuid);
        set(&fleet, Level::Factory(factory()), "app", "of all", true).await;
        set(&fleet, Level::Factory(factory()), "key", "s3cret", false).await;
        set(&fleet, level, "app", "own", true).await;
        let random = Randomness {
            scalar: [7; 32],
            iv: [5; 16],
        };
        let key = DeviceKey::from_pem(&machine.key_pem).unwrap();
        let own_key = key.recipient().encrypt(b"own secret", &random).unwrap();
        set(&fleet, level, "own-key", &own_key, false).await;
        let first = machine.get("/config").await;
        assert_eq!(first.status, 200);
        assert_eq!(first.header("content-type"), "application/json");
        let sent = first.json();
        assert_eq!(sent["app"], json!({"Value": "own", "Unencrypted": true}));
        assert_eq!(sent["own-key"], json!({"Value": own_key}));
        assert_eq!(sent["key"].as_object().unwrap().len(), 1, "not in clear");
        let texts = [("app", "own"), ("key", "s3cret"), ("own-key", "own secret")];
        let expected: BTreeMap<String, String> = texts
            .map(|(name, text)| (name.to_owned(), text.to_owned()))
            .into();
        assert_eq!(extracted(&machine, &first), expected);
        let newest = history(&fleet, &machine).remove(0);
        assert!(newest.applied_at.is_some(), "it has fetched it");
        assert!(parse_date(first.header("date")).unwrap() <= newest.created_at);

        let last = settled(&machine, first).await;
        assert_eq!(extracted(&machine, &last), expected);
        let date = parse_date(last.header("date")).unwrap();
        assert_eq!(date, newest.created_at, "not the time of the answer");
        let nothing = since(&machine, &last).await;
        assert_eq!((nothing.status, nothing.body.len()), (304, 0));
        // With an end as HTTP has it, and a date that is none.
        let headers = [("if-modified-since", last.header("date"))];
        let asked = machine.call("GET", "/config", &headers, "").await;
        assert_eq!(asked.status, 304);
        let headers = [("if-modified-since", "yesterday")];
        let asked = machine.call("GET", "/config", &headers, "").await;
        assert_eq!(asked.status, 200);
        assert_ne!(asked.json()["key"], sent["key"], "encrypted anew");

        // What one machine is sent tells another one nothing.
        let other = Machine::new(&fleet, 2);
        let sent = Document::read(&other.get("/config").await.body).unwrap();
        assert!(open(&sent, Some(&key)).is_err());
        fleet.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_changes_in_one_second_none_is_missed() {
    let fleet = fleet(Kind::Embedded).await;
    let machine = Machine::new(&fleet, 1);
    assert_eq!(machine.get("/config").await.status, 204);
    let level = Level::Device(machine.uuid);
    set(&fleet, level, "n", "0", true).await;
    let mut last = machine.get("/config").await;
    for number in 1..20 {
        let value = number.to_string();
        set(&fleet, level, "n", &value, true).await;
        let next = since(&machine, &last).await;
        assert_eq!(next.status, 200, "change {number}");
        assert_eq!(next.json()["n"]["Value"], value);
        last = next;
    }
    let last = settled(&machine, last).await;
    assert_eq!(last.json()["n"]["Value"], "19");
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn coming_into_a_group_changes_the_configuration() {
    let fleet = fleet(Kind::Embedded).await;
    let machine = Machine::new(&fleet, 1);
    assert_eq!(machine.get("/config").await.status, 204);
    let state = &fleet.controller.ctx().state;
    let group = groups::create(state, factory(), "room", "", 1)
        .await
        .unwrap();
    set(&fleet, Level::Group(group.id), "app", "of the room", true).await;
    set(&fleet, Level::Device(machine.uuid), "own", "1", true).await;
    let first = machine.get("/config").await;
    assert_eq!(first.json().get("app"), None);
    let first = settled(&machine, first).await;
    let change = Change {
        group: Some("room".to_owned()),
        ..Change::default()
    };
    edit::edit(state, machine.uuid, &change, 1).await.unwrap();
    let next = since(&machine, &first).await;
    assert_eq!(next.status, 200);
    assert_eq!(next.json()["app"]["Value"], "of the room");
    fleet.stop().await;
}

fn body(files: Value, key: Option<&str>) -> String {
    let mut body = json!({"reason": "initial", "files": files});
    if let Some(key) = key {
        body["public-key"] = key.into();
    }
    body.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_device_adds_is_a_version_of_its_own() {
    for kind in BOTH {
        let fleet = fleet(kind).await;
        let machine = Machine::new(&fleet, 1);
        let files = json!([{"name": "fio-remote-actions", "value": "reboot", "unencrypted": true}]);
        assert_eq!(machine.get("/device").await.status, 200);
        let key = machine.stored(&fleet).unwrap().public_key.clone();
        for _ in 0..2 {
            let sent = body(files.clone(), Some(&key.replace('\n', "\r\n")));
            assert_eq!(machine.send("PATCH", "/config", sent).await, 201);
        }
        // The same twice is one version.
        let versions = history(&fleet, &machine);
        assert_eq!(versions.len(), 1);
        assert_eq!(
            (&*versions[0].reason, &*versions[0].created_by),
            ("initial", "")
        );
        // Nothing is no version either.
        let sent = body(json!([]), Some(&key));
        assert_eq!(machine.send("PATCH", "/config", sent).await, 201);
        assert_eq!(history(&fleet, &machine).len(), 1);
        fleet.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_wrong_configuration_nothing_is_stored() {
    let fleet = fleet(Kind::Embedded).await;
    let machine = Machine::new(&fleet, 1);
    let other = Machine::new(&fleet, 2);
    assert_eq!(other.get("/device").await.status, 200);
    let other_key = other.stored(&fleet).unwrap().public_key.clone();
    let good = json!([{"name": "a", "value": "1"}]);
    let large = "x".repeat(1_100_000);
    for (status, field, sent) in [
        (400, "public-key", body(good.clone(), Some(&other_key))),
        (400, "files[0].name", body(json!([{"name": "../a"}]), None)),
        (400, "files[0].name", body(json!([{"name": "/a"}]), None)),
        (
            400,
            "files[0].name",
            body(json!([{"name": "a\u{0}"}]), None),
        ),
        (
            400,
            "files",
            body(json!([{"name": "a"}, {"name": "a"}]), None),
        ),
        (400, "", "not JSON".to_owned()),
        (413, "", body(json!([{"name": "a", "value": large}]), None)),
        (
            413,
            "",
            body(json!([{"name": "a", "value": "x".repeat(3 << 20)}]), None),
        ),
    ] {
        let answer = machine.call("PATCH", "/config", &[], sent).await;
        let said = answer.json();
        assert_eq!(answer.status, status, "{said}");
        assert!(said["message"].is_string(), "{said}");
        if !field.is_empty() {
            assert!(said["errors"][field].is_string(), "{field}: {said}");
        }
    }
    assert!(history(&fleet, &machine).is_empty());
    assert_eq!(machine.get("/config").await.status, 204);
    fleet.stop().await;
}
