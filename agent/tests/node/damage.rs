use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use foghorn_proto::link::agent_message::Message;
use foghorn_proto::link::controller_message::Message as ToAgent;
use foghorn_proto::link::job::Work;
use foghorn_proto::link::session_ended::Outcome;
use foghorn_proto::link::{
    AdoptImage, DropImage, Job, JobReport, ReplicaOrders, Scrub, Sweep, VerifyImage,
};
use foghorn_transport::ClientOutcome;

use crate::support::client::{capture_image, fetch_chunks, start_deploy};
use crate::support::controller::Controller;
use crate::support::image::{Chunk, Image};
use crate::support::{Node, eventually};

/// Flips one bit in the middle of a chunk's bytes, wherever they lie.
fn damage(state_dir: &Path, chunk: &Chunk) {
    for entry in std::fs::read_dir(state_dir.join("chunks/packs")).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let Some(start) = bytes
            .windows(64)
            .position(|window| window == &chunk.compressed[1000..1064])
        else {
            continue;
        };
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all_at(&[bytes[start] ^ 1], start as u64)
            .unwrap();
        return;
    }
    panic!("the chunk is nowhere");
}

async fn job(node: &Node, job_id: u64, work: Work) -> JobReport {
    node.controller
        .send(ToAgent::Job(Job {
            job_id,
            work: Some(work),
        }))
        .await;
    let pick = |message: &Message| match message {
        Message::Job(report) if report.job_id == job_id && report.done => Some(report.clone()),
        _ => None,
    };
    node.controller
        .wait_for("the job's last report", pick)
        .await
}

#[tokio::test]
async fn a_damaged_chunk_is_named_to_the_client_and_to_the_controller() {
    let node = Node::start().await;
    let image = Image::new(0..4);
    capture_image(&node, 1, &image).await;
    damage(node.folder.path(), &image.chunks[2]);
    let name = image.chunks[2].id.to_string();
    let (connection, _) = start_deploy(&node, 2, image.manifest).await;
    let told = fetch_chunks(&connection, &image.ids())
        .await
        .expect_err("a damaged chunk was served");
    assert!(told.contains(&name) && told.contains("damaged"), "{told}");
    connection
        .finish(ClientOutcome::Failed { reason: told })
        .await
        .unwrap();
    let Outcome::Failed(failed) = node.controller.ended(2).await else {
        panic!("not failed")
    };
    assert!(
        failed.reason.contains(&name) && failed.node_at_fault,
        "{failed:?}"
    );
    node.agent.shutdown().await;
}

#[tokio::test]
async fn a_client_waits_for_a_damaged_chunk_until_nobody_can_give_it() {
    let controller = Controller::start(Duration::from_secs(3600)).await;
    // Without a word of the controller it would wait for minutes.
    let node = Node::start_with(controller, |config| {
        config.timing.heal_within = Duration::from_secs(600);
    })
    .await;
    let image = Image::new(0..4);
    capture_image(&node, 1, &image).await;
    damage(node.folder.path(), &image.chunks[2]);
    let (connection, _) = start_deploy(&node, 2, image.manifest).await;
    let ids = image.ids();
    let fetching = fetch_chunks(&connection, &ids);
    tokio::pin!(fetching);
    // The controller hears of it while the client waits.
    let reported = node.controller.wait_for("its damage", damaged);
    let told = tokio::select! {
        told = reported => told,
        early = &mut fetching => panic!("the client did not wait: {early:?}"),
    };
    assert_eq!(told, [(image.manifest.as_bytes().to_vec(), 1)]);
    let orders = ReplicaOrders {
        no_source: vec![image.manifest.as_bytes().to_vec()],
        ..ReplicaOrders::default()
    };
    node.controller.send(ToAgent::Replicas(orders)).await;
    let told = fetching.await.expect_err("a damaged chunk was served");
    let name = image.chunks[2].id.to_string();
    for part in [
        &name,
        "image 102",
        "no other storage node",
        "capture the image again",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    node.agent.shutdown().await;
}

/// What a status says is damaged: (manifest, chunks).
fn damaged(message: &Message) -> Option<Vec<(Vec<u8>, u64)>> {
    match message {
        Message::Status(status) if !status.damaged.is_empty() => {
            let damaged = status.damaged.iter();
            Some(
                damaged
                    .map(|one| (one.manifest_id.clone(), one.chunks))
                    .collect(),
            )
        }
        _ => None,
    }
}

#[tokio::test]
async fn damage_is_reported_after_a_restart_and_until_the_image_is_captured_again() {
    let node = Node::start().await;
    let image = Image::new(0..4);
    capture_image(&node, 1, &image).await;
    damage(node.folder.path(), &image.chunks[2]);
    let found = job(&node, 1, Work::Scrub(Scrub {})).await;
    let expected = vec![(image.manifest.as_bytes().to_vec(), 1)];
    let listed = found.damage.expect("what is known afterwards").contents;
    assert_eq!(
        (&listed[0].manifest_id, listed[0].chunks),
        (&expected[0].0, 1)
    );
    assert!(listed[0].found_unix_ms > 0 && !listed[0].problem.is_empty());
    let told = node.controller.wait_for("its damage", damaged).await;
    assert_eq!(told, expected);

    let before = node.controller.received().len();
    let node = node.restart().await;
    eventually("its damage after the restart", async || {
        let received = node.controller.received();
        received[before..]
            .iter()
            .find_map(damaged)
            .filter(|told| *told == expected)
    })
    .await;

    capture_image(&node, 2, &image).await;
    let before = node.controller.received().len();
    eventually("no damage any more", async || {
        let received = node.controller.received();
        let mut statuses = received[before..]
            .iter()
            .rev()
            .filter_map(|message| match message {
                Message::Status(status) => Some(status.damaged.len()),
                _ => None,
            });
        statuses.next().filter(|damaged| *damaged == 0)
    })
    .await;
    node.agent.shutdown().await;
}

#[tokio::test]
async fn jobs_find_damage_and_drop_images() {
    let node = Node::start().await;
    let image = Image::new(0..4);
    capture_image(&node, 1, &image).await;
    let clean = job(&node, 1, Work::Scrub(Scrub {})).await;
    assert_eq!(
        (
            clean.error.as_str(),
            clean.chunks_checked,
            clean.damaged.len()
        ),
        ("", 4, 0)
    );

    damage(node.folder.path(), &image.chunks[1]);
    let verify = VerifyImage {
        image_id: 101,
        manifest_id: image.manifest.as_bytes().to_vec(),
    };
    let found = job(&node, 2, Work::Verify(verify)).await;
    let damaged: Vec<_> = found
        .damaged
        .iter()
        .map(|damaged| (damaged.chunk_id.clone(), damaged.images.clone()))
        .collect();
    assert_eq!(
        damaged,
        [(image.chunks[1].id.as_bytes().to_vec(), vec![101])]
    );

    let adopt = AdoptImage {
        manifest_id: image.manifest.as_bytes().to_vec(),
        to_image_id: 102,
        from_image_id: 101,
    };
    let refused = job(&node, 3, Work::Adopt(adopt)).await;
    assert!(refused.error.contains("damaged"), "{refused:?}");
    assert_eq!((refused.adopted, refused.damaged.len()), (None, 1));

    let drop = DropImage {
        image_id: 101,
        manifest_id: image.manifest.as_bytes().to_vec(),
    };
    let dropped = job(&node, 4, Work::Drop(drop)).await;
    assert_eq!(dropped.error, "");
    let gone = |message: &Message| match message {
        Message::Status(status) if status.chunks == 4 && status.manifests.is_empty() => Some(()),
        _ => None,
    };
    node.controller
        .wait_for("a status without the image", gone)
        .await;
    // A sweep with its grace leaves what was useful a moment ago, one without takes it.
    let swept = job(&node, 5, Work::Sweep(Sweep { now: false })).await;
    assert_eq!((swept.error.as_str(), swept.freed_bytes), ("", 0));
    let swept = job(&node, 6, Work::Sweep(Sweep { now: true })).await;
    assert_eq!(swept.error, "");
    let stored: u64 = image
        .chunks
        .iter()
        .map(|chunk| chunk.compressed.len() as u64)
        .sum();
    assert!(swept.freed_bytes >= stored, "{swept:?}");
    let empty = |message: &Message| match message {
        Message::Status(status) if status.chunks == 0 => Some(status.clone()),
        _ => None,
    };
    let status = node.controller.wait_for("an empty store", empty).await;
    assert!(status.chunks_path.ends_with("chunks"), "{status:?}");
    assert_eq!(
        (status.keep_free_bytes, status.problem.as_str()),
        (64 << 20, "")
    );
    node.agent.shutdown().await;
}
