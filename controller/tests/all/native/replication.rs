//! Copies of images as records, orders and reports, on both engines.

use std::time::Duration;

use foghorn_proto::link::agent_message::Message;
use foghorn_proto::link::controller_message::Message as Order;
use foghorn_proto::link::{
    DamagedContent, NodeStatus, ReplicaOrders, ReplicaPhase, ReplicaReport, StoredManifest,
    UnverifiedContent,
};
use foghorn_types::ManifestId;
use serde_json::{Value, json};

use super::versions::{Lab, manifest};
use crate::engine::BOTH;
use crate::native::agent::Agent;
use crate::native::fleet::PATIENCE;

fn status(image: u32, held: &[ManifestId]) -> Message {
    let manifests = held.iter().map(|manifest| StoredManifest {
        image_id: image,
        manifest_id: manifest.as_bytes().to_vec(),
        ..StoredManifest::default()
    });
    Message::Status(NodeStatus {
        disk_total_bytes: 100,
        disk_free_bytes: 60,
        manifests: manifests.collect(),
        ..NodeStatus::default()
    })
}

fn report(copy: u32, phase: ReplicaPhase, verified: u64, problem: &str) -> Message {
    Message::Replica(ReplicaReport {
        copy_id: copy,
        phase: phase.into(),
        chunks_verified: verified,
        chunks_total: 9,
        bytes_fetched: verified * 100,
        source: "north".to_owned(),
        problem: problem.to_owned(),
        ..ReplicaReport::default()
    })
}

fn replicas(order: Order) -> Option<ReplicaOrders> {
    match order {
        Order::Replicas(orders) => Some(orders),
        _ => None,
    }
}

/// The next orders that have, or have not, a copy for the node.
async fn orders(agent: &mut Agent, fetches: bool) -> ReplicaOrders {
    agent
        .order(|order| replicas(order).filter(|orders| orders.fetch.is_empty() != fetches))
        .await
}

impl Lab {
    /// How the image is on a node; null if it is not to be there.
    async fn replica(&self, node: &str) -> Value {
        let path = format!("/foghorn/v1/replication?image={}", self.image);
        let list = self.fleet.good("GET", &path, None).await;
        let all = list["replicas"].as_array().unwrap();
        let found = all.iter().find(|one| one["node"]["name"] == node);
        found.cloned().unwrap_or_default()
    }

    async fn until_replica(&self, node: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let found = tokio::time::timeout(PATIENCE, async {
            loop {
                let replica = self.replica(node).await;
                if is_so(&replica) {
                    return replica;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        match found.await {
            Ok(replica) => replica,
            Err(_) => panic!("{node} stays {}", self.replica(node).await),
        }
    }

    async fn holders(&self) -> Vec<String> {
        let path = format!("/foghorn/v1/images/{}", self.image);
        let shown = self.fleet.good("GET", &path, None).await;
        let nodes = shown["content"]["nodes"].as_array().unwrap();
        let name = |node: &Value| node["name"].as_str().unwrap().to_owned();
        nodes.iter().map(name).collect()
    }

    /// Makes the node the master of the group and the other one not.
    async fn make_master(&self, node: u32, other: u32) {
        for (node, is_master) in [(other, "0"), (node, "1")] {
            let path = format!("/fog/storagenode/{node}/edit");
            let body = json!({ "isMaster": is_master });
            self.fleet.good("PUT", &path, Some(body)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_counts_when_every_chunk_was_verified_there_and_not_before() {
    for kind in BOTH {
        let mut lab = Lab::new(kind, 0).await;
        lab.capture(1).await;
        let image = lab.image;
        lab.agent.send(status(image, &[manifest(1)])).await;
        let (keys, enrolled) = lab.fleet.joined("south").await;
        let mut south = Agent::connect(&lab.fleet, &keys, &enrolled).await;
        // An empty node that becomes the master of its group erases nothing.
        lab.make_master(enrolled.node_id.get(), 1).await;

        let taken = orders(&mut south, true).await;
        let fetch = &taken.fetch[0];
        let what = fetch.what.clone().unwrap();
        assert_eq!((taken.fetch.len(), what.image_id), (1, image));
        assert_eq!(what.manifest_id, manifest(1).as_bytes());
        assert_eq!(fetch.sources[0].node, "north");
        assert!(!fetch.sources[0].addresses.is_empty());
        let given = lab.agent.order(replicas).await;
        assert_eq!(given.serve[0].copy_id, fetch.copy_id);
        assert_eq!(given.serve[0].node, "south");
        assert_eq!(given.serve[0].manifest_id, manifest(1).as_bytes());
        assert!(given.fetch.is_empty());

        let copy = fetch.copy_id;
        south.send(report(copy, ReplicaPhase::Copying, 4, "")).await;
        let shown = lab
            .until_replica("south", |one| one["progress"]["verified"] == 4)
            .await;
        assert_eq!(shown["state"], "copying", "{shown}");
        assert_eq!(shown["progress"]["total"], 9);
        assert_eq!(shown["progress"]["source"], "north");
        assert_eq!(lab.holders().await, ["north"]);

        // Another node's word on the copy is worth nothing.
        lab.agent
            .send(report(copy, ReplicaPhase::Done, 9, ""))
            .await;
        south.send(report(copy, ReplicaPhase::Copying, 5, "")).await;
        lab.until_replica("south", |one| one["progress"]["verified"] == 5)
            .await;
        assert_eq!(lab.holders().await, ["north"]);

        south.send(report(copy, ReplicaPhase::Done, 9, "")).await;
        lab.until_replica("south", |one| one["state"] == "ready")
            .await;
        assert_eq!(lab.holders().await, ["north", "south"]);
        orders(&mut south, false).await;
        // A report that is repeated is no news.
        south.send(report(copy, ReplicaPhase::Done, 9, "")).await;
        south.send(status(image, &[manifest(1)])).await;
        assert_eq!(lab.replica("north").await["state"], "ready");
        let removals = lab
            .fleet
            .controller
            .ctx()
            .state
            .read(|tables| (tables.removals().len(), tables.replica_jobs().len()));
        assert_eq!(removals, (0, 0), "{kind:?}");
        lab.fleet.controller.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_what_was_captured_anew_or_deleted_is_not_counted() {
    for kind in BOTH {
        let mut lab = Lab::new(kind, 0).await;
        lab.capture(1).await;
        let image = lab.image;
        lab.agent.send(status(image, &[manifest(1)])).await;
        let (keys, enrolled) = lab.fleet.joined("south").await;
        let mut south = Agent::connect(&lab.fleet, &keys, &enrolled).await;
        let first = orders(&mut south, true).await.fetch[0].copy_id;
        lab.capture(2).await;
        lab.agent
            .send(status(image, &[manifest(1), manifest(2)]))
            .await;
        south.send(report(first, ReplicaPhase::Done, 9, "")).await;
        let second = south
            .order(|order| {
                let fetch = replicas(order)?.fetch.into_iter().next()?;
                let what = fetch.what.clone()?;
                (what.manifest_id == manifest(2).as_bytes()).then_some(fetch)
            })
            .await;
        assert_ne!(second.copy_id, first);
        assert_eq!(lab.holders().await, ["north"], "of the new content");

        let path = format!("/fog/image/{image}/delete");
        lab.fleet.good("DELETE", &path, None).await;
        orders(&mut south, false).await;
        let done = report(second.copy_id, ReplicaPhase::Done, 9, "");
        south.send(done).await;
        assert_eq!(lab.replica("south").await, Value::Null);
        lab.fleet.controller.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_tried_again_and_people_stop_start_and_limit_copies() {
    for kind in BOTH {
        let mut lab = Lab::new(kind, 0).await;
        lab.capture(1).await;
        lab.agent.send(status(lab.image, &[manifest(1)])).await;
        let (keys, enrolled) = lab.fleet.joined("south").await;
        let node = enrolled.node_id.get();
        let mut south = Agent::connect(&lab.fleet, &keys, &enrolled).await;
        let first = orders(&mut south, true).await.fetch[0].copy_id;
        let failed = report(first, ReplicaPhase::Failed, 2, "the disk is full");
        south.send(failed).await;
        let shown = lab
            .until_replica("south", |one| one["state"] == "failed")
            .await;
        assert_eq!(shown["reason"], "the disk is full", "{shown}");
        assert!(shown["retry"].is_string(), "{shown}");

        // It need not wait; and somebody may not want it at all.
        let which = json!({ "image": lab.image, "node": node });
        let steer = async |what: &str| {
            let path = format!("/foghorn/v1/replication/{what}");
            lab.fleet.api("POST", &path, Some(which.clone())).await.0
        };
        assert_eq!(steer("start").await, 204);
        let second = south
            .order(|order| {
                let fetch = replicas(order)?.fetch.into_iter().next()?;
                (fetch.copy_id != first).then_some(fetch)
            })
            .await;
        assert_eq!(steer("stop").await, 204);
        orders(&mut south, false).await;
        let late = report(second.copy_id, ReplicaPhase::Done, 9, "");
        south.send(late).await;
        assert_eq!(lab.replica("south").await["state"], "stopped");
        assert_eq!(lab.holders().await, ["north"], "{kind:?}");
        assert_eq!(steer("start").await, 204);
        orders(&mut south, true).await;

        // A limit takes effect on what is under way; FOG's field of the node counts, too.
        let limit = async |body: Value| {
            let path = "/foghorn/v1/replication/limits";
            lab.fleet.api("POST", path, Some(body)).await
        };
        let set = limit(json!({ "node": node, "timetable": "00:00-24:00 8m, else 1m" })).await;
        assert_eq!(set.0, 204, "{set:?}");
        let rate = |order: Order| replicas(order).map(|orders| orders.max_fetch_bytes_per_second);
        let eight = south
            .order(|order| rate(order).filter(|rate| *rate > 0))
            .await;
        assert_eq!(eight, 1_000_000);
        let path = format!("/fog/storagenode/{node}/edit");
        let body = json!({ "bandwidth": 800 });
        lab.fleet.good("PUT", &path, Some(body)).await;
        let less = south
            .order(|order| rate(order).filter(|rate| *rate != eight))
            .await;
        assert_eq!(less, 100_000);
        let refused = limit(json!({ "node": node, "timetable": "soon" })).await;
        assert!(
            refused.0 == 400 && refused.1.to_string().contains("timetable"),
            "{refused:?}"
        );
        assert_eq!(limit(json!({ "node": 99, "timetable": "8m" })).await.0, 404);
        assert_eq!(steer("start").await, 204, "it is under way: nothing to do");
        lab.fleet.controller.shutdown().await;
    }
}

/// Both controllers of an installation see the same records; whoever has the link of a node orders.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_outlives_the_link_and_what_stays_where_it_is_is_not_copied() {
    for kind in BOTH {
        let mut lab = Lab::new(kind, 0).await;
        lab.capture(1).await;
        lab.agent.send(status(lab.image, &[manifest(1)])).await;
        let path = format!("/fog/image/{}/edit", lab.image);
        let stays = json!({ "toReplicate": "0" });
        lab.fleet.good("PUT", &path, Some(stays)).await;
        let (keys, enrolled) = lab.fleet.joined("south").await;
        let mut south = Agent::connect(&lab.fleet, &keys, &enrolled).await;
        assert_eq!(lab.replica("south").await, Value::Null);
        let goes = json!({ "toReplicate": "1" });
        lab.fleet.good("PUT", &path, Some(goes)).await;
        let before = orders(&mut south, true).await;
        drop(south);
        let south = Agent::connect(&lab.fleet, &keys, &enrolled).await;
        let after = south.first.replicas.clone().unwrap();
        assert_eq!(after.fetch, before.fetch, "{kind:?}");
        lab.fleet.controller.shutdown().await;
    }
}

fn unverified(image: u32, verified: u64) -> Message {
    let Message::Status(mut status) = status(image, &[manifest(1)]) else {
        unreachable!("it is a status");
    };
    status.unverified.push(UnverifiedContent {
        manifest_id: manifest(1).as_bytes().to_vec(),
        chunks_verified: verified,
        chunks_total: 9,
        reason: "the chunks come from a backup".to_owned(),
    });
    Message::Status(status)
}

fn damaged(image: u32) -> Message {
    let Message::Status(mut status) = status(image, &[manifest(1)]) else {
        unreachable!("it is a status");
    };
    status.damaged.push(DamagedContent {
        manifest_id: manifest(1).as_bytes().to_vec(),
        chunks: 1,
        found_unix_ms: 1,
        problem: "bad".to_owned(),
        ..DamagedContent::default()
    });
    Message::Status(status)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_returning_node_holds_counts_when_it_has_verified_it_again() {
    for kind in BOTH {
        let mut lab = Lab::new(kind, 0).await;
        lab.capture(1).await;
        let image = lab.image;
        lab.agent.send(unverified(image, 4)).await;
        let is_so = |one: &Value| one["state"] == "verifying" && one["progress"]["verified"] == 4;
        let shown = lab.until_replica("north", is_so).await;
        assert_eq!(shown["progress"]["total"], 9, "{shown}");
        assert_eq!(shown["reason"], "the chunks come from a backup");
        let path = format!("/foghorn/v1/nodes/{}", shown["node"]["id"]);
        let node = lab.fleet.good("GET", &path, None).await;
        assert_eq!(node["unverified_count"], 1, "{node}");
        // It is the only copy, so it gives what it has: whoever takes it verifies it.
        let (keys, enrolled) = lab.fleet.joined("south").await;
        let mut south = Agent::connect(&lab.fleet, &keys, &enrolled).await;
        assert_eq!(
            orders(&mut south, true).await.fetch[0].sources[0].node,
            "north"
        );
        lab.agent.send(status(image, &[manifest(1)])).await;
        lab.until_replica("north", |one| one["state"] == "ready")
            .await;
        assert_eq!(lab.holders().await, ["north"], "{kind:?}");
        lab.fleet.controller.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_hears_at_once_who_mends_its_damage_and_when_nobody_can() {
    for kind in BOTH {
        let mut lab = Lab::new(kind, 0).await;
        lab.capture(1).await;
        let image = lab.image;
        lab.agent.send(damaged(image)).await;
        let vain = |order: Order| replicas(order).filter(|orders| !orders.no_source.is_empty());
        let told = lab.agent.order(vain).await;
        assert_eq!(told.no_source, [manifest(1).as_bytes().to_vec()]);
        assert!(told.fetch.is_empty());

        // Another node gets a copy, as far as it goes, and is then a source.
        let (keys, enrolled) = lab.fleet.joined("south").await;
        let mut south = Agent::connect(&lab.fleet, &keys, &enrolled).await;
        let copy = orders(&mut south, true).await.fetch[0].copy_id;
        south.send(report(copy, ReplicaPhase::Done, 9, "")).await;
        south.send(status(image, &[manifest(1)])).await;
        let mends = orders(&mut lab.agent, true).await;
        assert_eq!(mends.fetch[0].sources[0].node, "south");
        assert!(mends.no_source.is_empty());
        let copy = mends.fetch[0].copy_id;
        let done = report(copy, ReplicaPhase::Done, 9, "");
        let Message::Replica(mut done) = done else {
            unreachable!("it is a report");
        };
        done.chunks_fetched = 1;
        lab.agent.send(Message::Replica(done)).await;
        lab.until_replica("north", |one| one["state"] == "ready")
            .await;
        let (_, metrics) = lab.fleet.anonymous("GET", "/metrics", None).await;
        let metrics = metrics.to_string();
        assert!(metrics.contains("foghorn_chunks_healed_total"), "{metrics}");
        let history = lab.fleet.good("GET", "/fog/history", None).await;
        let said = history.to_string();
        assert!(
            said.contains("Storage node north: 1 damaged chunks of image win"),
            "{said}"
        );
        lab.fleet.controller.shutdown().await;
    }
}
