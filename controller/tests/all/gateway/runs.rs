//! Tests that devices run, and their artefacts.

use foghorn_controller::app::devices::edit;
use foghorn_controller::app::devices::paging::Page;
use foghorn_controller::app::devices::tests::{self, ArtifactError};
use foghorn_controller::state::machines::tests::{
    LONGEST_ARTIFACT, MOST_ARTIFACTS, MOST_BYTES, MOST_TESTS, PIECE, piece_key,
};
use serde_json::json;

use super::fleet;
use super::machine::Machine;
use crate::engine::{BOTH, Kind};
use crate::native::fleet::Fleet;

async fn begin(machine: &Machine, test_id: &str) -> String {
    let body = json!({"name": "reboot", "target": "disk-7", "test-id": test_id});
    let answer = machine.call("POST", "/tests", &[], body.to_string()).await;
    assert_eq!(answer.status, 201);
    String::from_utf8(answer.body).unwrap()
}

async fn announce(machine: &Machine, id: &str, names: &[&str]) -> serde_json::Value {
    let body = json!({"status": "PASSED", "details": "0", "artifacts": names});
    let path = format!("/tests/{id}");
    let answer = machine.call("PUT", &path, &[], body.to_string()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

async fn read(
    fleet: &Fleet,
    machine: &Machine,
    of: (&str, &str),
) -> Result<Vec<u8>, ArtifactError> {
    let state = &fleet.controller.ctx().state;
    tests::artifact(state, machine.uuid, of).await
}

/// Bytes that are not the same in every piece.
fn content(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_has_an_end_and_artefacts_in_pieces() {
    for kind in BOTH {
        let fleet = fleet(kind).await;
        let machine = Machine::new(&fleet, 1);
        let id = begin(&machine, "reboot_0123456789").await;
        assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{id}");
        assert_eq!(begin(&machine, "reboot_0123456789").await, id, "told again");
        let places = announce(&machine, &id, &["console.log", "a b", "none"]).await;
        assert_eq!(places["console.log"]["content-type"], "text/plain");
        let gateway = fleet.controller.gateway_here().unwrap();
        let url = format!("https://{gateway}/tests/{id}/a%20b");
        assert_eq!(places["a b"]["url"], url);

        let sizes = [("console.log", 7), ("a b", LONGEST_ARTIFACT), ("none", 0)];
        for (name, size) in sizes {
            let url = places[name]["url"].as_str().unwrap();
            assert_eq!(machine.send("PUT", url, content(size)).await, 200, "{name}");
            // Once more, and otherwise.
            assert_eq!(machine.send("PUT", url, content(size)).await, 200, "{name}");
            assert_eq!(
                machine.send("PUT", url, content(size + 1)).await,
                match size {
                    LONGEST_ARTIFACT => 413,
                    _ => 409,
                }
            );
            let read = read(&fleet, &machine, (&id, name)).await.unwrap();
            assert!(read == content(size), "{name}");
        }
        let state = &fleet.controller.ctx().state;
        let list = state.read(|tables| tests::list(tables, machine.uuid, Page::default()));
        assert_eq!(list.total, 1);
        let test = state
            .read(|tables| tests::show(tables, machine.uuid, &id))
            .unwrap();
        assert_eq!((&*test.status, &*test.target), ("PASSED", "disk-7"));
        assert!(test.completed.is_some());

        // With the device goes what it sent.
        let ctx = fleet.controller.ctx();
        let key = piece_key((machine.uuid, &id, 1), 1);
        assert!(state.store().get(&key).await.unwrap().is_some());
        edit::delete(state, &ctx.sightings, machine.uuid, 1)
            .await
            .unwrap();
        assert!(state.store().get(&key).await.unwrap().is_none());
        let gone = read(&fleet, &machine, (&id, "a b")).await;
        assert!(matches!(gone, Err(ArtifactError::NotThere)));
        fleet.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_device_may_store_has_bounds() {
    let fleet = fleet(Kind::Embedded).await;
    let machine = Machine::new(&fleet, 1);
    let id = begin(&machine, "").await;
    let path = format!("/tests/{id}");
    let names: Vec<String> = (0..=MOST_ARTIFACTS).map(|n| n.to_string()).collect();
    let announced = json!({"artifacts": &names}).to_string();
    assert_eq!(machine.send("PUT", &path, announced).await, 400);
    for (status, method, path, body) in [
        (400, "POST", "/tests", "{}".to_owned()),
        (400, "POST", "/tests", "[]".to_owned()),
        (404, "PUT", "/tests/0", "{}".to_owned()),
        (400, "PUT", &*path, r#"{"artifacts":["a/b"]}"#.to_owned()),
        (400, "PUT", &*path, r#"{"artifacts":[".."]}"#.to_owned()),
        (404, "PUT", &*format!("{path}/a"), "x".to_owned()),
        (
            413,
            "PUT",
            &*format!("{path}/a"),
            "x".repeat(LONGEST_ARTIFACT + 1),
        ),
    ] {
        let answer = machine.call(method, path, &[], body).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.json());
    }
    // All of one device together.
    let names: Vec<&str> = names[..MOST_ARTIFACTS].iter().map(String::as_str).collect();
    announce(&machine, &id, &names).await;
    let fit = usize::try_from(MOST_BYTES).unwrap() / LONGEST_ARTIFACT;
    for (number, name) in names[..=fit].iter().enumerate() {
        let url = format!("{path}/{name}");
        let status = machine.send("PUT", &url, content(LONGEST_ARTIFACT)).await;
        assert_eq!(status, if number < fit { 200 } else { 413 });
    }
    assert!(read(&fleet, &machine, (&id, "0")).await.is_ok());
    // The oldest test goes, and there is room again.
    for _ in 0..MOST_TESTS {
        begin(&machine, "").await;
    }
    assert_eq!(machine.send("PUT", &path, "{}").await, 404);
    let state = &fleet.controller.ctx().state;
    let key = piece_key((machine.uuid, &id, 0), 0);
    assert!(state.store().get(&key).await.unwrap().is_none());
    let next = begin(&machine, "").await;
    announce(&machine, &next, &["a"]).await;
    let url = format!("/tests/{next}/a");
    assert_eq!(machine.send("PUT", &url, content(PIECE + 1)).await, 200);
    // Tests of one device are not those of another.
    let other = Machine::new(&fleet, 2);
    assert_eq!(other.send("PUT", &url, content(1)).await, 404);
    fleet.stop().await;
}
