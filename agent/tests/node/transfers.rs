use foghorn_proto::link::agent_message::Message;
use foghorn_proto::link::session_ended::Outcome;
use foghorn_transport::{ClientOutcome, EndReason};

use crate::support::Node;
use crate::support::client::{
    capture_image, connect_as, fetch_chunks, report, start_capture, start_deploy, store_chunks,
};
use crate::support::image::Image;

#[tokio::test]
async fn what_was_captured_can_be_deployed_also_after_a_restart() {
    let node = Node::start().await;
    let image = Image::new(0..20);
    capture_image(&node, 1, &image).await;
    let Outcome::Completed(completed) = node.controller.ended(1).await else {
        panic!("not complete")
    };
    let captured = completed.captured.unwrap();
    let stored: u64 = image
        .chunks
        .iter()
        .map(|chunk| chunk.compressed.len() as u64)
        .sum();
    assert_eq!(captured.manifest_id, image.manifest.as_bytes());
    assert_eq!(
        (captured.logical_bytes, captured.used_bytes),
        (21 << 20, 21 << 20)
    );
    assert_eq!(
        (captured.stored_bytes, captured.new_bytes),
        (stored, stored)
    );

    let node = node.restart().await;
    let (connection, _) = start_deploy(&node, 2, image.manifest).await;
    assert_eq!(connection.fetch_manifest().await.unwrap(), image.encoded);
    assert_eq!(
        fetch_chunks(&connection, &image.ids()).await.unwrap(),
        20 << 20
    );
    report(&connection, 20 << 20, 20 << 20);
    connection.finish(ClientOutcome::Complete).await.unwrap();
    let Outcome::Completed(completed) = node.controller.ended(2).await else {
        panic!("not complete")
    };
    let last = completed.r#final.unwrap();
    assert_eq!((last.bytes_done, last.bytes_total), (20 << 20, 20 << 20));
    assert_eq!(last.bytes_wire, stored + image.encoded.len() as u64);
    node.agent.shutdown().await;
}

#[tokio::test]
async fn a_second_capture_stores_only_what_is_new() {
    let node = Node::start().await;
    let (first, second) = (Image::new(0..10), Image::new(8..12));
    capture_image(&node, 1, &first).await;
    let (connection, _) = start_capture(&node, 2).await;
    assert_eq!(
        connection.which_are_stored(&second.ids()).await.unwrap(),
        [true, true, false, false]
    );
    store_chunks(&connection, &second.chunks[2..])
        .await
        .unwrap();
    connection
        .store_manifest(second.encoded.clone())
        .await
        .unwrap();
    connection.finish(ClientOutcome::Complete).await.unwrap();
    let Outcome::Completed(completed) = node.controller.ended(2).await else {
        panic!("not complete")
    };
    let captured = completed.captured.unwrap();
    let new: u64 = second.chunks[2..]
        .iter()
        .map(|chunk| chunk.compressed.len() as u64)
        .sum();
    assert_eq!(captured.new_bytes, new);
    assert!(captured.stored_bytes > new);
    node.agent.shutdown().await;
}

#[tokio::test]
async fn a_capture_is_complete_only_with_a_manifest_whose_chunks_are_all_here() {
    let node = Node::start().await;
    let image = Image::new(0..3);
    let (connection, issued) = start_capture(&node, 1).await;
    store_chunks(&connection, &image.chunks[..2]).await.unwrap();
    connection
        .store_manifest(image.encoded.clone())
        .await
        .expect_err("a chunk is missing");
    connection
        .store_manifest(image.encoded.slice(..40))
        .await
        .expect_err("half a manifest is none");
    connection
        .finish(ClientOutcome::Complete)
        .await
        .expect_err("nothing was captured");
    let connection = connect_as(&node, &issued, 1)
        .await
        .expect("the session stands");
    store_chunks(&connection, &image.chunks[2..]).await.unwrap();
    connection
        .store_manifest(image.encoded.clone())
        .await
        .unwrap();
    connection.finish(ClientOutcome::Complete).await.unwrap();
    node.agent.shutdown().await;
}

#[tokio::test]
async fn a_client_that_comes_back_takes_its_session_over() {
    let node = Node::start().await;
    let image = Image::new(0..4);
    let (first, issued) = start_capture(&node, 1).await;
    store_chunks(&first, &image.chunks[..2]).await.unwrap();
    let second = connect_as(&node, &issued, 1).await.unwrap();
    assert!(matches!(first.ended().await, EndReason::Interrupted { .. }));
    assert_eq!(
        second.which_are_stored(&image.ids()).await.unwrap(),
        [true, true, false, false]
    );
    store_chunks(&second, &image.chunks[2..]).await.unwrap();
    second.store_manifest(image.encoded.clone()).await.unwrap();
    second.finish(ClientOutcome::Complete).await.unwrap();
    let Outcome::Completed(completed) = node.controller.ended(1).await else {
        panic!("not complete")
    };
    let all: u64 = image
        .chunks
        .iter()
        .map(|chunk| chunk.compressed.len() as u64)
        .sum();
    assert_eq!(
        completed.captured.unwrap().new_bytes,
        all,
        "both connections count"
    );
    node.agent.shutdown().await;
}

#[tokio::test]
async fn progress_says_how_far_and_how_fast() {
    let node = Node::start().await;
    let image = Image::new(0..4);
    capture_image(&node, 1, &image).await;
    let (connection, _) = start_deploy(&node, 2, image.manifest).await;
    let fetched = async {
        let mut done = 0;
        loop {
            done += fetch_chunks(&connection, &image.ids()).await.unwrap();
            report(&connection, done, 1 << 40);
        }
    };
    let pick = |message: &Message| match message {
        Message::Progress(progress)
            if progress.task_id == 2 && progress.rate_bytes_per_second > 0 =>
        {
            Some(*progress)
        }
        _ => None,
    };
    let progress = tokio::select! {
        progress = node.controller.wait_for("progress with a rate", pick) => progress,
        () = fetched => unreachable!("it fetches until it is dropped"),
    };
    assert_eq!(progress.bytes_total, 1 << 40);
    assert!(
        progress.bytes_wire > 0 && progress.eta_seconds > 0,
        "{progress:?}"
    );
    node.agent.shutdown().await;
}

#[tokio::test]
async fn a_full_disk_fails_the_capture_and_acknowledges_nothing() {
    let controller =
        crate::support::controller::Controller::start(std::time::Duration::from_secs(3600)).await;
    // More than any disk has: the store refuses for want of space as it would at the end of a real
    // one.
    let full = |config: &mut foghorn_agent::Config| {
        config.limits.keep_free = foghorn_types::ByteCount::from_bytes(u64::MAX >> 8);
    };
    let node = Node::start_with(controller, full).await;
    let image = Image::new(0..2);
    let (connection, _) = start_capture(&node, 1).await;
    let reason = store_chunks(&connection, &image.chunks)
        .await
        .expect_err("acknowledged without space");
    let Outcome::Failed(failed) = node.controller.ended(1).await else {
        panic!("did not fail: {reason}")
    };
    assert!(
        failed.reason.contains("full") && failed.node_at_fault,
        "{failed:?}"
    );
    node.agent.shutdown().await;
}
