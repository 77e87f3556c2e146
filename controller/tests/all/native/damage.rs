//! What storage nodes report as damaged is shown, and not deployed; what they hold is not replaced.

use foghorn_proto::link::agent_message::Message;
use foghorn_proto::link::{DamagedContent, NodeStatus, StoredManifest};
use foghorn_types::ManifestId;
use serde_json::{Value, json};

use super::versions::{Lab, mac, manifest};
use crate::engine::BOTH;
use crate::native::agent::{Agent, opened};
use crate::native::fleet::{Fleet, PATIENCE};

fn status(image: u32, held: &[ManifestId], damaged: &[ManifestId]) -> Message {
    let manifests = held.iter().map(|manifest| StoredManifest {
        image_id: image,
        manifest_id: manifest.as_bytes().to_vec(),
        captured_unix_ms: 1_700_000_000_000,
        host_id: 3,
        host_name: "golden".to_owned(),
        used_bytes: 4096,
        stored_bytes: 2048,
    });
    let damaged = damaged.iter().map(|manifest| DamagedContent {
        manifest_id: manifest.as_bytes().to_vec(),
        chunks: 3,
        found_unix_ms: 1_700_000_000_000,
        problem: "its bytes are wrong".to_owned(),
        ..DamagedContent::default()
    });
    Message::Status(NodeStatus {
        disk_total_bytes: 100,
        disk_free_bytes: 60,
        manifests: manifests.collect(),
        damaged: damaged.collect(),
        ..NodeStatus::default()
    })
}

/// Waits until the route shows something, and gives it.
async fn until(fleet: &Fleet, path: &str, shows: impl Fn(&Value) -> bool) -> Value {
    let found = tokio::time::timeout(PATIENCE, async {
        loop {
            let answer = fleet.good("GET", path, None).await;
            if shows(&answer) {
                return answer;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    });
    found
        .await
        .unwrap_or_else(|_| panic!("{path} never showed it"))
}

fn damage_of_nodes(answer: &Value) -> Vec<Value> {
    let nodes = answer["nodes"].as_array().unwrap().iter();
    nodes
        .flat_map(|node| node["damaged"].as_array().unwrap().clone())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_shown_everywhere_and_a_deploy_of_it_is_refused() {
    for kind in BOTH {
        let mut lab = Lab::new(kind, 2).await;
        lab.capture(1).await;
        lab.capture(2).await;
        let (image, held) = (lab.image, [manifest(1), manifest(2)]);
        lab.agent.send(status(image, &held, &[manifest(2)])).await;
        let nodes = until(&lab.fleet, "/foghorn/v1/nodes", |answer| {
            !damage_of_nodes(answer).is_empty()
        });
        let found = damage_of_nodes(&nodes.await);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(
            (&found[0]["node"]["name"], &found[0]["image"]["name"]),
            (&json!("north"), &json!("win"))
        );
        assert_eq!(
            (&found[0]["version"], &found[0]["chunks"]),
            (&json!(2), &json!(3))
        );
        let path = format!("/foghorn/v1/images/{image}");
        let shown = lab.fleet.good("GET", &path, None).await;
        assert_eq!(shown["content"]["damaged"], json!(found));
        let shown = lab.fleet.good("GET", &lab.versions_path(), None).await;
        assert_eq!(shown["versions"][0]["damaged"], json!(found));
        assert_eq!(shown["versions"][1]["damaged"], json!([]));

        // Every way to order it.
        let host = lab.hosts[1];
        let body = json!({"kind": "deploy", "host": host});
        let native = lab.fleet.api("POST", "/foghorn/v1/tasks", Some(body));
        let fog = format!("/fog/host/{host}/task");
        let body = json!({"taskTypeID": 1});
        let refused = [native.await, lab.fleet.api("POST", &fog, Some(body)).await];
        for (status, answer) in refused {
            let text = answer.to_string();
            assert!(
                status == 409 && text.contains("damaged") && text.contains("3 chunks"),
                "{kind:?}: {status} {text}"
            );
        }
        // An earlier version is whole.
        let body = json!({"kind": "deploy", "host": host, "version": 1});
        let made = lab.fleet.api("POST", "/foghorn/v1/tasks", Some(body)).await;
        assert_eq!(made.0, 201, "{made:?}");

        // Another node has it whole, and serves it.
        let (keys, enrolled) = lab.fleet.joined("south").await;
        let mut south = Agent::connect(&lab.fleet, &keys, &enrolled).await;
        south.send(status(image, &held, &[])).await;
        let host = lab.hosts[2];
        let order = json!({"kind": "deploy", "host": host});
        let made = tokio::time::timeout(PATIENCE, async {
            loop {
                let order = Some(order.clone());
                let made = lab.fleet.api("POST", "/foghorn/v1/tasks", order).await;
                if made.0 != 409 {
                    return made;
                }
            }
        });
        assert_eq!(made.await.unwrap().0, 201);
        let open = south.order(opened).await;
        assert_eq!(open.manifest_id, manifest(2).as_bytes());

        // Undoing to what is damaged everywhere is refused, too.
        lab.agent.send(status(image, &held, &[manifest(1)])).await;
        south.send(status(image, &[manifest(2)], &[])).await;
        until(&lab.fleet, "/foghorn/v1/nodes", |answer| {
            damage_of_nodes(answer).first().map(|one| &one["version"]) == Some(&json!(1))
        })
        .await;
        let live = lab.fleet.controller.ctx().live.clone();
        until(&lab.fleet, "/foghorn/v1/nodes", |answer| {
            let south = live.node(enrolled.node_id).unwrap();
            damage_of_nodes(answer).len() == 1 && south.manifests.len() == 1
        })
        .await;
        let path = format!("/foghorn/v1/images/{image}/undo");
        let undone = lab.fleet.api("POST", &path, Some(json!({}))).await;
        let text = undone.1.to_string();
        assert!(undone.0 == 409 && text.contains("damaged"), "{undone:?}");
        lab.fleet.controller.shutdown().await;
    }
}

/// A machine that comes for a task that was ordered before the damage was found.
#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_deploy_of_what_was_found_damaged_does_not_begin() {
    for kind in BOTH {
        let mut lab = Lab::new(kind, 1).await;
        lab.capture(1).await;
        let task = lab.fleet.task(lab.hosts[1], 1).await;
        lab.agent.order(opened).await;
        lab.agent
            .send(status(lab.image, &[manifest(1)], &[manifest(1)]))
            .await;
        until(&lab.fleet, "/foghorn/v1/nodes", |answer| {
            !damage_of_nodes(answer).is_empty()
        })
        .await;
        let token = lab.fleet.boot_token(lab.hosts[1]).await;
        let (status, answer) = lab.fleet.try_check_in(&mac(1), &token).await;
        let text = answer.to_string();
        assert!(status == 409 && text.contains("damaged"), "{status} {text}");
        // It waits, and the token is good once the image is whole again.
        assert_eq!(lab.fleet.status(task).await["state"], "assigned");
        lab.agent
            .send(self::status(lab.image, &[manifest(1)], &[]))
            .await;
        until(&lab.fleet, "/foghorn/v1/nodes", |answer| {
            damage_of_nodes(answer).is_empty()
        })
        .await;
        lab.fleet.check_in(&mac(1), &token).await;
        lab.fleet.controller.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_of_unknown_content_are_not_given_to_new_images() {
    for kind in BOTH {
        let lab = Lab::new(kind, 0).await;
        let next = lab.image + 1;
        lab.agent.send(status(next, &[manifest(9)], &[])).await;
        let list = until(&lab.fleet, "/foghorn/v1/orphans", |answer| {
            answer["orphans"] != json!([])
        });
        let orphan = list.await["orphans"][0].clone();
        assert_eq!(orphan["image"], json!({"id": next, "name": ""}));
        let captured = orphan["captured"].as_str().unwrap();
        assert!(captured.starts_with("2023-11-14T22:13:20"), "{captured}");
        assert_eq!(
            (&orphan["captured_from"]["name"], &orphan["used_bytes"]),
            (&json!("golden"), &json!(4096))
        );
        for name in ["a", "b", "c"] {
            assert!(lab.fleet.image(name).await > next, "{kind:?}");
        }
        lab.fleet.controller.shutdown().await;
    }
}

/// Until a node has said what it holds, nobody knows what a capture would replace.
#[tokio::test(flavor = "multi_thread")]
async fn a_capture_waits_until_its_node_has_said_what_it_holds() {
    for kind in BOTH {
        let fleet = Fleet::on(kind, |_| {}).await;
        let image = fleet.image("win").await;
        let host = fleet.host("pc1", &mac(1), image).await;
        let (keys, enrolled) = fleet.joined("north").await;
        let names = (&*enrolled.chain_pem, &*keys.key_pem);
        let connected = Agent::try_connect_saying(&fleet, names, None).await;
        let mut agent = connected.unwrap();
        let task = fleet.task(host, 2).await;
        agent.send(status(image, &[manifest(9)], &[])).await;
        until(&fleet, "/foghorn/v1/orphans", |answer| {
            answer["orphans"] != json!([])
        })
        .await;
        assert_eq!(fleet.status(task).await["state"], "queued", "{kind:?}");
        agent.send(status(image, &[], &[])).await;
        assert_eq!(agent.order(opened).await.task_id, task.get());
        fleet.controller.shutdown().await;
    }
}
