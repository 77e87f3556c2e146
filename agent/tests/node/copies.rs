//! What a node gives to other nodes: what was ordered, to whom it was ordered, as long as it is.

use std::time::Duration;

use foghorn_proto::link::controller_message::Message;
use foghorn_proto::link::{ReplicaOrders, ServeReplica};
use foghorn_transport::client::ConnectError;
use foghorn_transport::{EndReason, RefusalCode, SessionKind};

use crate::support::authority::Issued;
use crate::support::client::{capture_image, connect_as, fetch_chunks};
use crate::support::controller::Controller;
use crate::support::image::{Image, chunk};
use crate::support::{Node, eventually};

const COPY: u32 = 4_000_000_077;

async fn order(node: &Node, serve: Vec<ServeReplica>, rate: u64) {
    let orders = ReplicaOrders {
        serve,
        max_serve_bytes_per_second: rate,
        ..ReplicaOrders::default()
    };
    node.controller.send(Message::Replicas(orders)).await;
}

async fn refusal(node: &Node, issued: &Issued, copy: u32) -> Option<RefusalCode> {
    match connect_as(node, issued, copy).await {
        Err(ConnectError::Refused { code, .. }) => Some(code),
        Err(other) => panic!("not refused but {other:?}"),
        Ok(_) => None,
    }
}

#[tokio::test]
async fn a_node_gives_only_what_was_ordered_for_the_certificate_that_comes() {
    let node = Node::start_with(
        Controller::start(Duration::from_secs(3600)).await,
        |config| config.timing.admission_wait = Duration::from_millis(100),
    )
    .await;
    let image = Image::new(0..6);
    capture_image(&node, 1, &image).await;
    let authority = &node.controller.authority;
    let (south, west) = ("south".parse().unwrap(), "west".parse().unwrap());
    let (south, west) = (authority.node(&south), authority.node(&west));
    assert_eq!(
        refusal(&node, &south, COPY).await,
        Some(RefusalCode::NotReady)
    );

    let serve = ServeReplica {
        copy_id: COPY,
        manifest_id: image.manifest.as_bytes().to_vec(),
        node: "south".to_owned(),
    };
    order(&node, vec![serve.clone()], 0).await;
    let connection = eventually("the order", async || {
        connect_as(&node, &south, COPY).await.ok()
    })
    .await;
    let manifest = image.manifest;
    assert_eq!(connection.kind(), SessionKind::Deploy { manifest });
    assert_eq!(connection.fetch_manifest().await.unwrap(), image.encoded);
    fetch_chunks(&connection, &image.ids()).await.unwrap();

    // A chunk that is not part of it, another node, a client, another copy: nothing.
    let other = fetch_chunks(&connection, &[chunk(99).id]).await;
    assert!(other.is_err(), "{other:?}");
    assert_eq!(
        refusal(&node, &west, COPY).await,
        Some(RefusalCode::NotOrdered)
    );
    let client = authority.client(11, COPY);
    assert_eq!(
        refusal(&node, &client, COPY).await,
        Some(RefusalCode::NotReady)
    );
    assert_eq!(refusal(&node, &south, 5).await, Some(RefusalCode::NotReady));
    assert!(
        connection
            .store_manifest(image.encoded.clone())
            .await
            .is_err()
    );

    // Orders are complete: what is not in them any more ends.
    order(&node, vec![], 0).await;
    let ended = connection.ended().await;
    assert!(matches!(ended, EndReason::Cancelled { .. }), "{ended:?}");
    assert_eq!(
        refusal(&node, &south, COPY).await,
        Some(RefusalCode::NotReady)
    );

    // One that names content that is not here.
    let unknown = ServeReplica {
        manifest_id: vec![7; 32],
        ..serve
    };
    order(&node, vec![unknown], 0).await;
    eventually("the refusal", async || {
        (refusal(&node, &south, COPY).await == Some(RefusalCode::NotOrdered)).then_some(())
    })
    .await;
    node.agent.shutdown().await;
}

#[tokio::test]
async fn a_limit_holds_and_is_lifted_on_what_is_under_way() {
    let node = Node::start().await;
    let image = Image::new(0..8);
    capture_image(&node, 1, &image).await;
    let south = "south".parse().unwrap();
    let south = node.controller.authority.node(&south);
    let serve = ServeReplica {
        copy_id: COPY,
        manifest_id: image.manifest.as_bytes().to_vec(),
        node: "south".to_owned(),
    };
    // A chunk takes minutes at this rate.
    order(&node, vec![serve.clone()], 1_000).await;
    let connection = connect_as(&node, &south, COPY).await.unwrap();
    let ids = image.ids();
    let fetching = fetch_chunks(&connection, &ids);
    tokio::pin!(fetching);
    let early = tokio::time::timeout(Duration::from_secs(2), &mut fetching).await;
    assert!(early.is_err(), "the limit does not hold: {early:?}");
    order(&node, vec![serve], 0).await;
    fetching.await.unwrap();
    node.agent.shutdown().await;
}
