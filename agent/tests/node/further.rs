//! Clients of tasks that other nodes have: served as listed, and nothing is reported of them.

use foghorn_proto::link::agent_message::Message;
use foghorn_proto::link::controller_message::Message as Order;
use foghorn_proto::link::session_ended::Outcome;
use foghorn_proto::link::{FurtherOrder, FurtherOrders};
use foghorn_transport::client::ConnectError;
use foghorn_transport::{ClientOutcome, EndReason, RefusalCode};

use crate::support::Node;
use crate::support::authority::Issued;
use crate::support::client::{capture_image, connect_as, fetch_chunks, report, start_deploy};
use crate::support::image::Image;

const TASK: u32 = 7;

fn list(image: &Image, issued: &Issued) -> Order {
    Order::Further(FurtherOrders {
        orders: vec![FurtherOrder {
            task_id: TASK,
            host_id: TASK + 10,
            image_id: 1,
            manifest_id: image.manifest.as_bytes().to_vec(),
            client_fingerprint: issued.fingerprint.to_vec(),
        }],
    })
}

fn speaks_of_task(message: &Message) -> bool {
    match message {
        Message::Progress(progress) => progress.task_id == TASK,
        Message::Ended(ended) => ended.task_id == TASK,
        _ => false,
    }
}

#[tokio::test]
async fn a_client_is_served_beside_the_nodes_own_as_long_as_it_is_listed() {
    let node = Node::start().await;
    let image = Image::new(0..6);
    capture_image(&node, 1, &image).await;
    let issued = node.controller.authority.client(TASK + 10, TASK);
    node.controller.send(list(&image, &issued)).await;
    let connection = connect_as(&node, &issued, TASK).await.unwrap();
    assert_eq!(connection.fetch_manifest().await.unwrap(), image.encoded);
    let fetched = fetch_chunks(&connection, &image.ids()).await.unwrap();
    assert_eq!(fetched, 6 << 20);
    report(&connection, 1 << 20, 6 << 20);

    // The end of the task is the other node's to report.
    let finishing = connect_as(&node, &issued, TASK).await.unwrap();
    let refused = finishing.finish(ClientOutcome::Complete).await.unwrap_err();
    assert!(!refused.is_transient(), "{refused}");

    // Another certificate for the same task is not served.
    let stranger = node.controller.authority.client(TASK + 10, TASK);
    let refused = connect_as(&node, &stranger, TASK).await.unwrap_err();
    let is_early = matches!(
        refused,
        ConnectError::Refused {
            code: RefusalCode::NotReady,
            ..
        }
    );
    assert!(is_early, "{refused:?}");

    // Whoever leaves the list goes on elsewhere.
    node.controller
        .send(Order::Further(FurtherOrders::default()))
        .await;
    let reason = connection.ended().await;
    assert!(
        matches!(reason, EndReason::Interrupted { .. }),
        "{reason:?}"
    );
    let told = node.controller.received();
    assert!(!told.iter().any(speaks_of_task), "{told:?}");
    node.agent.shutdown().await;
}

#[tokio::test]
async fn what_came_from_other_nodes_counts_in_the_figures_of_the_task() {
    let node = Node::start().await;
    let image = Image::new(0..4);
    capture_image(&node, 1, &image).await;
    let (connection, _) = start_deploy(&node, 2, image.manifest).await;
    fetch_chunks(&connection, &image.ids()).await.unwrap();
    let stored: u64 = image
        .chunks
        .iter()
        .map(|chunk| chunk.compressed.len() as u64)
        .sum();
    // The greatest counts, whatever comes last.
    for elsewhere in [5, 1_000_000, 7] {
        connection.report_elsewhere(elsewhere);
    }
    report(&connection, 4 << 20, 4 << 20);
    let seen = |message: &Message| match message {
        Message::Progress(progress) if progress.task_id == 2 => {
            (progress.bytes_wire == stored + 1_000_000).then_some(())
        }
        _ => None,
    };
    node.controller.wait_for("the bytes of both", seen).await;
    connection.finish(ClientOutcome::Complete).await.unwrap();
    let Outcome::Completed(completed) = node.controller.ended(2).await else {
        panic!("not complete")
    };
    assert_eq!(completed.r#final.unwrap().bytes_wire, stored + 1_000_000);
    node.agent.shutdown().await;
}
