//! What lasts is told once: lost nodes, damage, tasks that are stuck, full disks.

use std::time::Duration;

use foghorn_proto::link::agent_message::Message;
use foghorn_proto::link::controller_message::Message as Order;
use foghorn_proto::link::{DamagedChunk, JobReport, NodeStatus};
use serde_json::json;

use super::receiver::Receiver;
use super::{deliveries, one_host, quick, webhook};
use crate::native::agent::Agent;
use crate::native::fleet::Fleet;

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_goes_and_comes_back_is_told_twice() {
    let fleet = Fleet::with(|config| {
        quick(config);
        config.limits.node_grace = Duration::from_millis(200);
    })
    .await;
    let receiver = Receiver::http().await;
    webhook(&fleet, &receiver, json!({})).await;
    let (keys, enrolled) = fleet.joined("north").await;
    let agent = Agent::connect(&fleet, &keys, &enrolled).await;
    // That it answers is noted before it can be lost.
    let node = enrolled.node_id.get();
    let mut changed = fleet.controller.ctx().state.changed();
    let state = &fleet.controller.ctx().state;
    while state.read(|tables| tables.notify_nodes().get(&node).is_none()) {
        changed.changed().await.unwrap();
    }
    drop(agent);
    let taken = receiver.taken(1).await;
    assert_eq!(taken[0].json()["type"], "node-lost");
    assert_eq!(
        taken[0].json()["data"]["text"],
        "Storage node north has stopped answering"
    );
    let _agent = Agent::connect(&fleet, &keys, &enrolled).await;
    let taken = receiver.taken(2).await;
    assert_eq!(taken[1].json()["type"], "node-back");
    assert_eq!(taken[1].json()["data"]["node"]["name"], "north");
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_told_when_it_is_found_and_not_again() {
    let fleet = Fleet::with(quick).await;
    let receiver = Receiver::http().await;
    let (id, _) = webhook(&fleet, &receiver, json!({})).await;
    let image = fleet.image("win").await;
    let (keys, enrolled) = fleet.joined("north").await;
    let mut agent = Agent::connect(&fleet, &keys, &enrolled).await;
    for round in 0..3 {
        let scrub = format!("/foghorn/v1/nodes/{}/scrub", enrolled.node_id);
        fleet.good("POST", &scrub, None).await;
        let job = agent
            .order(|order| match order {
                Order::Job(job) => Some(job.job_id),
                _ => None,
            })
            .await;
        let damaged = DamagedChunk {
            chunk_id: vec![7; 32],
            problem: "its hash is wrong".to_owned(),
            images: vec![image],
            files: vec![],
        };
        let report = JobReport {
            job_id: job,
            done: true,
            damaged: if round == 2 { vec![] } else { vec![damaged] },
            ..JobReport::default()
        };
        agent.send(Message::Job(report)).await;
        let path = format!("/foghorn/v1/jobs/{job}");
        let until = std::time::Instant::now() + crate::native::fleet::PATIENCE;
        while fleet.good("GET", &path, None).await["done"] != true {
            assert!(std::time::Instant::now() < until);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let list = deliveries(&fleet, id, |list| {
        list.first().is_some_and(|one| one["state"] == "delivered")
    })
    .await;
    assert_eq!(list.len(), 1, "{list:?}");
    let taken = receiver.taken(1).await;
    assert_eq!(
        taken[0].json()["data"]["text"],
        "Storage node north has 1 damaged chunk: it belongs to win"
    );
    let alarms = fleet
        .controller
        .ctx()
        .state
        .read(|tables| tables.notify_alarms().len());
    assert_eq!(alarms, 0, "the last scrub found nothing");
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_too_long_and_a_full_disk_are_told() {
    let fleet = Fleet::with(|config| {
        quick(config);
        config.notifications.waiting_after = Duration::from_millis(300);
        config.limits.node_grace = Duration::from_secs(1);
    })
    .await;
    let receiver = Receiver::http().await;
    let (agent, host) = one_host(&fleet).await;
    webhook(&fleet, &receiver, json!({})).await;
    let task = fleet.task(host, 2).await;
    let taken = receiver.taken(1).await;
    let body = taken[0].json();
    assert_eq!(body["type"], "task-stuck");
    assert_eq!(
        body["data"]["text"],
        format!("Task {task}: capture of win from pc1 has waited for its machine for 0 seconds")
    );
    assert_eq!(body["data"]["host"]["name"], "pc1");
    let full = NodeStatus {
        disk_total_bytes: 1000 << 30,
        disk_free_bytes: 1 << 30,
        ..NodeStatus::default()
    };
    agent.send(Message::Status(full)).await;
    let taken = receiver.taken(2).await;
    assert_eq!(taken[1].json()["type"], "node-nearly-full");
    assert_eq!(
        taken[1].json()["data"]["text"],
        "The disk of storage node north is nearly full: 1.00 GiB of 1000 GiB free"
    );
    fleet.stop().await;
}
