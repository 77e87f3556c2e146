//! A node that comes back: what it holds counts at once when nothing can have happened to it, and
//! otherwise when it was read and verified again.

use std::path::Path;

use foghorn_agent::Config;
use foghorn_proto::link::NodeStatus;
use foghorn_proto::link::agent_message::Message;
use foghorn_types::{BitRate, Timetable};

use crate::support::client::capture_image;
use crate::support::image::Image;
use crate::support::{Node, eventually};

/// As a backup does that is written over the present state: the same bytes in other files.
fn restored(state_dir: &Path) {
    let mark = state_dir.join("chunks/identity");
    let bytes = std::fs::read(&mark).unwrap();
    std::fs::remove_file(&mark).unwrap();
    std::fs::write(&mark, bytes).unwrap();
}

/// A chunk takes minutes.
fn slowly(config: &mut Config) {
    config.upkeep.verify = Timetable::always(BitRate::from_bytes_per_second(1_000));
}

/// The statuses that the node has sent since then.
fn statuses(node: &Node, since: usize) -> Vec<NodeStatus> {
    let received = node.controller.received();
    let statuses = received[since..]
        .iter()
        .filter_map(|message| match message {
            Message::Status(status) => Some(status.clone()),
            Message::Hello(hello) => hello.status.clone(),
            _ => None,
        });
    statuses
        .filter(|status| !status.manifests.is_empty())
        .collect()
}

#[tokio::test]
async fn a_node_that_was_stopped_and_started_counts_at_once() {
    let node = Node::start().await;
    capture_image(&node, 1, &Image::new(0..4)).await;
    let before = node.controller.received().len();
    let node = node.restart_after(|_| {}, slowly).await;
    let first = eventually("a status", async || {
        statuses(&node, before).into_iter().next()
    })
    .await;
    assert_eq!(first.unverified, []);
    node.agent.shutdown().await;
}

#[tokio::test]
async fn what_comes_from_a_backup_counts_when_it_was_verified_again() {
    let node = Node::start().await;
    let image = Image::new(0..4);
    capture_image(&node, 1, &image).await;
    let before = node.controller.received().len();
    let node = node.restart_after(restored, slowly).await;
    let doubtful = |status: &NodeStatus| status.unverified.first().cloned();
    let found = eventually("a status that says so", async || {
        let mut all = statuses(&node, before).into_iter();
        all.find(|status| doubtful(status).is_some_and(|one| one.chunks_total > 0))
    })
    .await;
    let one = doubtful(&found).unwrap();
    assert_eq!(one.manifest_id, image.manifest.as_bytes());
    assert_eq!((one.chunks_total, found.damaged.len()), (4, 0));
    assert!(
        one.chunks_verified < 4 && one.reason.contains("backup"),
        "{one:?}"
    );
    let never = statuses(&node, before)
        .iter()
        .all(|status| doubtful(status).is_some());
    assert!(never, "it counted before");

    // A restart does not make it count; reading it does.
    let before = node.controller.received().len();
    let node = node.restart().await;
    eventually("everything to count", async || {
        let all = statuses(&node, before);
        let last = all.last()?;
        (last.unverified.is_empty() && last.check.as_ref()?.last_ended_unix_ms > 0).then_some(())
    })
    .await;
    node.agent.shutdown().await;
}

/// As a copy of a disk that was not complete.
fn cut_short(state_dir: &Path) {
    restored(state_dir);
    for entry in std::fs::read_dir(state_dir.join("chunks/packs")).unwrap() {
        let path = entry.unwrap().path();
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        let length = file.metadata().unwrap().len();
        file.set_len(length - length.min(1000)).unwrap();
    }
}

#[tokio::test]
async fn what_is_not_there_is_known_before_anything_was_read() {
    let node = Node::start().await;
    let image = Image::new(0..4);
    capture_image(&node, 1, &image).await;
    let before = node.controller.received().len();
    let node = node.restart_after(cut_short, slowly).await;
    let found = eventually("the damage", async || {
        let all = statuses(&node, before);
        all.into_iter().find(|status| !status.damaged.is_empty())
    })
    .await;
    assert_eq!(found.damaged[0].chunks, 1, "{:?}", found.damaged);
    node.agent.shutdown().await;
}
