//! Join tokens for many storage nodes.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::engine::BOTH;
use crate::native::agent::Agent;
use crate::native::fleet::{Fleet, Keys, PATIENCE};

const ALL: &str = "/foghorn/v1/join-tokens";

async fn token(fleet: &Fleet, names: &str, count: u32) -> (u64, String) {
    let body = json!({"names": names, "count": count});
    let made = fleet.good("POST", ALL, Some(body)).await;
    let text = made["token"].as_str().unwrap().to_owned();
    assert!(text.starts_with("fhm1."), "{made}");
    (made["id"].as_u64().unwrap(), text)
}

/// The token as it is shown.
async fn shown(fleet: &Fleet, id: u64) -> Value {
    let list = fleet.good("GET", ALL, None).await;
    let mut all = list["tokens"].as_array().unwrap().iter();
    all.find(|token| token["id"] == id).unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_for_many_lets_in_so_many_under_their_own_names() {
    for kind in BOTH {
        let fleet = Fleet::on(kind, |_| {}).await;
        let group = json!({"name": "north", "description": ""});
        let group = fleet
            .good("POST", "/fog/storagegroup/create", Some(group))
            .await;
        let group = super::fleet::id(&group);
        let body =
            json!({"names": "Store-*", "count": 2, "storage_group": group, "ttl_seconds": 600});
        let made = fleet.good("POST", ALL, Some(body)).await;
        let (id, text) = (
            made["id"].as_u64().unwrap(),
            made["token"].as_str().unwrap(),
        );
        let view = shown(&fleet, id).await;
        assert_eq!(
            (&view["names"], &view["left"]),
            (&json!("store-*"), &json!(2))
        );
        assert_eq!(view["storage_group"]["name"], "north");
        let secret = text.split('.').nth(1).unwrap();
        assert!(!view.to_string().contains(secret), "{view}");

        let first = Keys::new();
        let (status, answer) = fleet.enrol(text, &first).await;
        assert_eq!(
            (status, &answer["field"]),
            (400, &json!("name")),
            "{answer}"
        );
        let (status, answer) = fleet.enrol_as("north", text, &first).await;
        assert_eq!(
            (status, &answer["field"]),
            (403, &json!("name")),
            "{answer}"
        );
        let (status, enrolled) = fleet.enrol_as("STORE-1", text, &first).await;
        assert_eq!(
            (status, &enrolled["node"]),
            (200, &json!("store-1")),
            "{enrolled}"
        );
        let path = format!("/foghorn/v1/nodes/{}", enrolled["node_id"]);
        let node = fleet.good("GET", &path, None).await;
        assert_eq!(node["storage_group"]["name"], "north");

        // The answer was lost: the same agent asks again, and takes no second place.
        let (status, again) = fleet.enrol_as("store-1", text, &first).await;
        assert_eq!(
            (status, &again["node_id"]),
            (200, &enrolled["node_id"]),
            "{again}"
        );
        assert_eq!(shown(&fleet, id).await["left"], 1);
        for answer in [&enrolled, &again] {
            let chain = answer["chain_pem"].as_str().unwrap();
            Agent::try_connect(&fleet, chain, &first.key_pem)
                .await
                .unwrap();
        }
        // Another one does not get its name.
        let (status, answer) = fleet.enrol_as("store-1", text, &Keys::new()).await;
        assert_eq!(
            (status, &answer["field"]),
            (409, &json!("name")),
            "{answer}"
        );
        let said = answer["error"].as_str().unwrap();
        assert!(said.contains("foghorn node join-token store-1"), "{said}");
        assert_eq!(shown(&fleet, id).await["left"], 1);

        let second = Keys::new();
        assert_eq!(fleet.enrol_as("store-2", text, &second).await.0, 200);
        let (status, answer) = fleet.enrol_as("store-3", text, &Keys::new()).await;
        assert_eq!(
            (status, &answer["field"]),
            (403, &json!("join_token")),
            "{answer}"
        );
        assert_eq!(
            fleet.enrol_as("store-2", text, &second).await.0,
            200,
            "used up, but not lost"
        );
        assert_eq!(shown(&fleet, id).await["left"], 0);
        fleet.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_node_is_not_let_in_by_a_token_for_many() {
    for kind in BOTH {
        let fleet = Fleet::on(kind, |_| {}).await;
        let (id, text) = token(&fleet, "*", 9).await;
        let (keys, other) = (Keys::new(), Keys::new());
        let (status, enrolled) = fleet.enrol_as("store-1", &text, &keys).await;
        assert_eq!(status, 200, "{enrolled}");
        let node = &enrolled["node_id"];
        fleet
            .good("POST", &format!("/foghorn/v1/nodes/{node}/revoke"), None)
            .await;
        // Nor is one that was shut out before it ever came.
        let ghost = json!({"name": "ghost"});
        let ghost = fleet
            .good("POST", "/foghorn/v1/nodes/join-token", Some(ghost))
            .await;
        fleet
            .good(
                "POST",
                &format!("/foghorn/v1/nodes/{}/revoke", ghost["node"]),
                None,
            )
            .await;
        for (name, keys) in [("store-1", &keys), ("store-1", &other), ("ghost", &other)] {
            let (status, answer) = fleet.enrol_as(name, &text, keys).await;
            assert_eq!(
                (status, &answer["field"]),
                (403, &json!("name")),
                "{answer}"
            );
            assert!(
                answer["error"].as_str().unwrap().contains("revoked"),
                "{answer}"
            );
        }
        assert_eq!(shown(&fleet, id).await["left"], 8);
        // A token for this node says what an operator wants.
        let one = fleet.join_token("store-1").await;
        assert_eq!(fleet.enrol(&one, &other).await.0, 200);
        // The name of a storage node that is gone is free.
        fleet
            .good(
                "DELETE",
                &format!("/fog/storagenode/{}/delete", ghost["node"]),
                None,
            )
            .await;
        let (status, answer) = fleet.enrol_as("ghost", &text, &Keys::new()).await;
        assert_eq!(status, 200, "{answer}");
        assert_ne!(answer["node_id"], ghost["node"]);
        fleet.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_revoked_before_it_came_stays_out_under_another_name() {
    let fleet = Fleet::new().await;
    let (_, text) = token(&fleet, "*", 9).await;
    // The second name is one that no agent can have.
    for (number, name) in ["before", "Store of before"].into_iter().enumerate() {
        let made = fleet.join_token_of(&format!("ghost-{number}")).await;
        let node = made["node"].to_string();
        let edit = format!("/fog/storagenode/{node}/edit");
        fleet.good("PUT", &edit, Some(json!({"name": name}))).await;
        let revoke = format!("/foghorn/v1/nodes/{node}/revoke");
        fleet.good("POST", &revoke, None).await;
        let after = format!("after-{number}");
        fleet.good("PUT", &edit, Some(json!({"name": after}))).await;
        let (status, answer) = fleet.enrol_as(&after, &text, &Keys::new()).await;
        assert_eq!(status, 403, "{answer}");
        assert!(
            answer["error"].as_str().unwrap().contains("revoked"),
            "{answer}"
        );
        let (status, answer) = fleet
            .enrol(made["token"].as_str().unwrap(), &Keys::new())
            .await;
        assert_eq!(status, 403, "{answer}");
        let one = fleet.join_token(&after).await;
        assert_eq!(fleet.enrol(&one, &Keys::new()).await.0, 200);
    }
    fleet.stop().await;
}

/// Their certificates would bear the same name, and the link would take one for the other.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_for_one_node_gives_no_name_away_that_certificates_of_another_bear() {
    for kind in BOTH {
        let fleet = Fleet::on(kind, |_| {}).await;
        let (keys, first) = fleet.joined("old").await;
        let edit = format!("/fog/storagenode/{}/edit", first.node_id);
        fleet.good("PUT", &edit, Some(json!({"name": "new"}))).await;
        let (token, second) = (fleet.join_token("old").await, Keys::new());
        let (status, answer) = fleet.enrol(&token, &second).await;
        assert_eq!(
            (status, &answer["field"]),
            (409, &json!("name")),
            "{answer}"
        );
        assert!(
            answer["error"]
                .as_str()
                .unwrap()
                .contains("storage node new"),
            "{answer}"
        );
        let link = Agent::try_connect(&fleet, &first.chain_pem, &keys.key_pem).await;
        drop(link.expect("it was shut out"));
        // As the answer says; the token was not used up.
        fleet.joined("new").await;
        assert_eq!(fleet.enrol(&token, &second).await.0, 200);
        fleet.stop().await;
    }
}

/// A second revocation of a node says nothing about another one that has its name since.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_revoked_again_does_not_shut_out_who_has_its_name() {
    let fleet = Fleet::new().await;
    let (_, first) = fleet.joined("old").await;
    let edit = format!("/fog/storagenode/{}/edit", first.node_id);
    fleet.good("PUT", &edit, Some(json!({"name": "new"}))).await;
    let revoke = format!("/foghorn/v1/nodes/{}/revoke", first.node_id);
    fleet.good("POST", &revoke, None).await;
    let (keys, second) = fleet.joined("old").await;
    fleet.good("POST", &revoke, None).await;
    Agent::try_connect(&fleet, &second.chain_pem, &keys.key_pem)
        .await
        .unwrap();
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_certificates_bear_belongs_to_their_node() {
    let fleet = Fleet::new().await;
    let (_, text) = token(&fleet, "*", 9).await;
    let keys = Keys::new();
    let (_, enrolled) = fleet.enrol_as("old", &text, &keys).await;
    let edit = format!("/fog/storagenode/{}/edit", enrolled["node_id"]);
    fleet.good("PUT", &edit, Some(json!({"name": "new"}))).await;
    for name in ["old", "new"] {
        let (status, answer) = fleet.enrol_as(name, &text, &Keys::new()).await;
        assert_eq!(status, 409, "{name}: {answer}");
    }
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_for_many_that_was_deleted_or_has_expired_lets_nobody_in() {
    for kind in BOTH {
        let fleet = Fleet::on(kind, |_| {}).await;
        let (id, text) = token(&fleet, "*", 9).await;
        let path = format!("{ALL}/{id}");
        fleet
            .good("DELETE", &format!("{path}?dry_run=true"), None)
            .await;
        assert_eq!(fleet.enrol_as("store-1", &text, &Keys::new()).await.0, 200);
        fleet.good("DELETE", &path, None).await;
        let (status, answer) = fleet.enrol_as("store-2", &text, &Keys::new()).await;
        assert_eq!(
            (status, &answer["field"]),
            (403, &json!("join_token")),
            "{answer}"
        );
        assert_eq!(fleet.api("DELETE", &path, None).await.0, 404);
        let nodes = fleet
            .good("GET", "/foghorn/v1/nodes", None)
            .await
            .to_string();
        assert!(nodes.contains("store-1"), "who is in stays: {nodes}");

        let body = json!({"names": "*", "count": 1000, "ttl_seconds": 4});
        let made = fleet.good("POST", ALL, Some(body)).await;
        let (text, keys) = (made["token"].as_str().unwrap(), Keys::new());
        assert_eq!(fleet.enrol_as("late", text, &keys).await.0, 200);
        let until = Instant::now() + PATIENCE;
        for number in 0.. {
            let (status, answer) = fleet
                .enrol_as(&format!("l-{number}"), text, &Keys::new())
                .await;
            if status == 403 {
                assert!(
                    answer["error"].as_str().unwrap().contains("expired"),
                    "{answer}"
                );
                break;
            }
            assert!(Instant::now() < until, "it does not expire");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(
            fleet.enrol_as("late", text, &keys).await.0,
            200,
            "its answer was lost"
        );
        fleet.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_administrators_make_tokens_for_many_and_only_sensible_ones() {
    let fleet = Fleet::new().await;
    let (id, text) = token(&fleet, "*", 1).await;
    for (method, path) in [
        ("GET", ALL.to_owned()),
        ("POST", ALL.to_owned()),
        ("DELETE", format!("{ALL}/{id}")),
    ] {
        let (status, answer) = fleet.anonymous(method, &path, None).await;
        assert_eq!(status, 403, "{method} {path}: {answer}");
    }
    for (body, status, field) in [
        (json!({"names": "*", "count": 0}), 400, json!("count")),
        (json!({"names": "*", "count": 10_001}), 400, json!("count")),
        (json!({"names": "a.b*", "count": 1}), 400, json!("names")),
        (json!({"count": 1}), 400, json!("names")),
        (
            json!({"names": "*", "count": 1, "ttl_seconds": 0}),
            400,
            json!("ttl_seconds"),
        ),
        (
            json!({"names": "*", "count": 1, "ttl_seconds": 40_000_000}),
            400,
            json!("ttl_seconds"),
        ),
        (
            json!({"names": "*", "count": 1, "storage_group": 99}),
            404,
            Value::Null,
        ),
    ] {
        let (found, answer) = fleet.api("POST", ALL, Some(body)).await;
        assert_eq!((found, &answer["field"]), (status, &field), "{answer}");
    }
    // A token of one kind is none of the other.
    let as_one = text.replace("fhm1.", "fhj1.");
    assert_eq!(fleet.enrol(&as_one, &Keys::new()).await.0, 403);
    let one = fleet.join_token("north").await;
    let as_many = one.replace("fhj1.", "fhm1.");
    assert_eq!(fleet.enrol_as("north", &as_many, &Keys::new()).await.0, 403);
    let (status, answer) = fleet.enrol_as("south", &one, &Keys::new()).await;
    assert_eq!(
        (status, &answer["field"]),
        (403, &json!("name")),
        "{answer}"
    );
    assert_eq!(fleet.enrol_as("north", &one, &Keys::new()).await.0, 200);
    let (status, answer) = fleet.enrol("", &Keys::new()).await;
    assert_eq!(
        (status, &answer["field"]),
        (400, &json!("join_token")),
        "{answer}"
    );
    fleet.stop().await;
}
