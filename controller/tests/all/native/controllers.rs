//! Three controllers on one store: whichever is asked, the answer is the same.

use std::time::{Duration, Instant};

use foghorn_proto::link::agent_message::Message;
use foghorn_proto::link::controller_message::Message as Order;
use foghorn_proto::link::peer_link_client::PeerLinkClient;
use foghorn_proto::link::{JobReport, NodeStatus, PeerHello, PeerOrder, peer_order};
use foghorn_types::ManifestId;
use serde_json::{Value, json};

use crate::engine::Kind;
use crate::native::agent::{Agent, channel, opened};
use crate::native::fleet::{Fleet, PATIENCE};
use crate::native::whole_path::{captured, progress, recorded};

const MAC: &str = "02:00:00:00:00:01";

/// Three controllers that hear each other.
async fn three() -> [Fleet; 3] {
    let first = Fleet::on(Kind::Etcd, |_| {}).await;
    let (second, third) = (first.beside().await, first.beside().await);
    let all = [first, second, third];
    let heard = |fleet: &Fleet| fleet.controller.ctx().peers.heard_by_id().len();
    let until = Instant::now() + PATIENCE;
    while all.iter().any(|fleet| heard(fleet) < 2) {
        assert!(Instant::now() < until, "the controllers hear each other");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    all
}

async fn stop(all: [Fleet; 3]) {
    // The one with the store last.
    for fleet in all.into_iter().rev() {
        fleet.stop().await;
    }
}

/// Asks again until `is_right`.
async fn shows(fleet: &Fleet, path: &str, is_right: impl Fn(&Value) -> bool) -> Value {
    let until = Instant::now() + PATIENCE;
    loop {
        let answer = fleet.good("GET", path, None).await;
        if is_right(&answer) {
            return answer;
        }
        assert!(Instant::now() < until, "{path}: {answer}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_controller_shows_what_an_agent_tells_one() {
    let all = three().await;
    let [a, b, c] = &all;
    let (keys, enrolled) = a.joined("north").await;
    let agent = Agent::connect(b, &keys, &enrolled).await;
    let node = format!("/foghorn/v1/nodes/{}", enrolled.node_id);
    for fleet in &all {
        shows(fleet, &node, |node| node["online"] == true).await;
    }
    let status = NodeStatus {
        disk_total_bytes: 100,
        disk_free_bytes: 42,
        ..NodeStatus::default()
    };
    agent.send(Message::Status(status)).await;
    for fleet in &all {
        shows(fleet, &node, |node| node["disk_free_bytes"] == 42).await;
    }
    // One that comes later hears it, too.
    let late = a.beside().await;
    shows(&late, &node, |node| {
        node["online"] == true && node["disk_free_bytes"] == 42
    })
    .await;
    // The agent calls another one.
    let moved = Agent::connect(c, &keys, &enrolled).await;
    agent.cut().await;
    for fleet in &all {
        shows(fleet, &node, |node| node["online"] == true).await;
    }
    drop(moved);
    for fleet in &all {
        shows(fleet, &node, |node| node["online"] == false).await;
    }
    late.stop().await;
    stop(all).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_goes_its_whole_way_over_three_controllers() {
    let all = three().await;
    let [a, b, c] = &all;
    let image = a.image("win").await;
    let host = b.host("pc1", MAC, image).await;
    let (keys, enrolled) = c.joined("north").await;
    let mut agent = Agent::connect(b, &keys, &enrolled).await;
    // Ordered at one, checked in at another, followed at all; the agent is linked to the second.
    let task = a.task(host, 2).await;
    let open = agent.order(opened).await;
    assert_eq!(
        (open.task_id, open.client_fingerprint.len()),
        (task.get(), 0)
    );
    c.check_in(MAC, &a.boot_token(host).await).await;
    agent
        .order(|order| match order {
            Order::Open(open) => (!open.client_fingerprint.is_empty()).then_some(()),
            Order::Admit(_) => Some(()),
            _ => None,
        })
        .await;
    agent.send(progress(task)).await;
    let path = format!("/foghorn/v1/tasks/{task}");
    for fleet in &all {
        shows(fleet, &path, |task| task["progress"]["bytes_done"] == 10).await;
    }
    agent
        .send(captured(task, ManifestId::of(b"the disk")))
        .await;
    recorded(&mut agent, task).await;
    for fleet in &all {
        let ended = fleet.good("GET", &path, None).await;
        assert_eq!(ended["state"], "complete", "{ended}");
    }
    // What ends at one is told the agent at another.
    let task = c.task(host, 1).await;
    agent.order(opened).await;
    a.good("DELETE", &format!("/fog/task/{task}/cancel"), None)
        .await;
    let told = |order| match order {
        Order::Cancel(cancel) => Some(cancel.task_id),
        _ => None,
    };
    assert_eq!(agent.order(told).await, task.get());
    stop(all).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_ordered_at_one_controller_and_followed_at_another() {
    let all = three().await;
    let [a, b, c] = &all;
    let (keys, enrolled) = a.joined("north").await;
    let mut agent = Agent::connect(b, &keys, &enrolled).await;
    let node = format!("/foghorn/v1/nodes/{}", enrolled.node_id);
    shows(a, &node, |node| node["online"] == true).await;
    let scrub = a.good("POST", &format!("{node}/scrub"), None).await;
    let job = scrub["job"].as_u64().unwrap();
    agent
        .order(|order| matches!(order, Order::Job(ordered) if ordered.job_id == job).then_some(()))
        .await;
    let report = JobReport {
        job_id: job,
        done: true,
        chunks_checked: 7,
        chunks_total: 7,
        ..JobReport::default()
    };
    agent.send(Message::Job(report)).await;
    for fleet in [a, b, c] {
        let path = format!("/foghorn/v1/jobs/{job}");
        let done = shows(fleet, &path, |job| job["done"] == true).await;
        assert_eq!(
            (&done["work"], &done["chunks_checked"]),
            (&json!("scrub"), &json!(7))
        );
    }
    // A node that is revoked at one controller has no link at another.
    a.good("POST", &format!("{node}/revoke"), None).await;
    agent.cut().await;
    stop(all).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_at_one_is_read_at_each_of_the_others() {
    let all = three().await;
    for number in 0..60 {
        let (writer, readers) = (number % 3, [(number + 1) % 3, (number + 2) % 3]);
        let image = all[writer].image(&format!("image{number}")).await;
        for reader in readers {
            let path = format!("/fog/image/{image}");
            let (status, answer) = all[reader].api("GET", &path, None).await;
            assert_eq!(status, 200, "{number}: {answer}");
        }
    }
    stop(all).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_that_goes_takes_no_node_with_it() {
    let [a, b, c] = three().await;
    let (keys, enrolled) = a.joined("north").await;
    let agent = Agent::connect(&c, &keys, &enrolled).await;
    let node = format!("/foghorn/v1/nodes/{}", enrolled.node_id);
    shows(&a, &node, |node| node["online"] == true).await;
    let others = agent.first.controllers.clone().unwrap_or_default().links;
    assert_eq!(
        others.len(),
        3,
        "the agent knows whom else to call: {others:?}"
    );
    c.stop().await;
    agent.cut().await;
    for fleet in [&a, &b] {
        shows(fleet, &node, |node| node["online"] == false).await;
    }
    let _moved = Agent::connect(&b, &keys, &enrolled).await;
    for fleet in [&a, &b] {
        shows(fleet, &node, |node| node["online"] == true).await;
    }
    b.stop().await;
    a.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_controller_may_listen_to_a_controller() {
    let fleet = Fleet::on(Kind::Etcd, |_| {}).await;
    let (keys, enrolled) = fleet.joined("north").await;
    let identity = (enrolled.chain_pem.as_str(), keys.key_pem.as_str());
    let channel = channel(&fleet, Some(identity)).await.unwrap();
    let hello = peer_order::Order::Hello(PeerHello::default());
    let orders = tokio_stream::iter([PeerOrder { order: Some(hello) }]);
    let refused = PeerLinkClient::new(channel).talk(orders).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::PermissionDenied, "{refused}");
    fleet.stop().await;
}
