use foghorn_proto::link::CancelSession;
use foghorn_proto::link::controller_message::Message;
use foghorn_proto::link::session_ended::Outcome;
use foghorn_transport::EndReason;
use foghorn_transport::client::ConnectError;

use crate::support::Node;
use crate::support::client::{
    capture_image, connect_as, fetch_chunks, start_capture, start_deploy,
};
use crate::support::image::Image;

async fn cancel(node: &Node, task_id: u32) {
    node.controller
        .send(Message::Cancel(CancelSession {
            task_id,
            reason: "the operator said so".into(),
            withdrawn: false,
        }))
        .await;
}

#[tokio::test]
async fn a_cancelled_deploy_stops_in_mid_transfer() {
    let node = Node::start().await;
    let image = Image::new(0..8);
    capture_image(&node, 1, &image).await;
    let (connection, issued) = start_deploy(&node, 2, image.manifest).await;
    fetch_chunks(&connection, &image.ids()).await.unwrap();
    let endless = async { while fetch_chunks(&connection, &image.ids()).await.is_ok() {} };
    tokio::join!(endless, cancel(&node, 2));
    assert_eq!(
        connection.ended().await,
        EndReason::Cancelled {
            reason: "the operator said so".to_owned()
        }
    );
    let Outcome::Cancelled(cancelled) = node.controller.ended(2).await else {
        panic!("not reported as cancelled")
    };
    assert_eq!(cancelled.reason, "the operator said so");
    let Err(ConnectError::Refused { code, reason }) = connect_as(&node, &issued, 2).await else {
        panic!("not refused")
    };
    assert!(
        !code.is_transient() && reason.contains("the operator said so"),
        "{code:?} {reason}"
    );
    node.agent.shutdown().await;
}

#[tokio::test]
async fn a_session_that_the_controller_forgot_ends_with_the_next_link() {
    let node = Node::start().await;
    let (kept, _) = start_capture(&node, 1).await;
    let (dropped, _) = start_capture(&node, 2).await;
    let links = node.controller.links();
    node.controller.no_longer_want(2);
    node.controller.go_away();
    node.controller.come_back();
    node.controller.wait_for_links(links + 1).await;
    // Its task may go on at another node: the controller tells its client.
    assert!(matches!(
        dropped.ended().await,
        EndReason::Interrupted { .. }
    ));
    assert_eq!(
        kept.which_are_stored(&Image::new(0..1).ids())
            .await
            .unwrap(),
        [false]
    );
    node.agent.shutdown().await;
}
