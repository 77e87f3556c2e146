use std::time::{Duration, Instant};

use foghorn_proto::link::controller_message::Message;
use foghorn_proto::link::{AdmitClient, OpenSession};
use foghorn_transport::RefusalCode;
use foghorn_transport::client::ConnectError;
use foghorn_types::{ManifestId, Timestamp};

use crate::support::Node;
use crate::support::authority::{Authority, Issued};
use crate::support::client::{
    capture_image, connect_as, connect_at, fetch_chunks, start_deploy, store_chunks,
};
use crate::support::controller::{capture, deploy, node_name};
use crate::support::image::{Image, chunk};

async fn refusal(node: &Node, issued: &Issued, task: u32) -> (RefusalCode, String) {
    match connect_as(node, issued, task).await {
        Err(ConnectError::Refused { code, reason }) => (code, reason),
        Err(other) => panic!("not refused but {other:?}"),
        Ok(_) => panic!("served"),
    }
}

#[tokio::test]
async fn who_was_not_ordered_is_refused_and_told_why() {
    let node = Node::start_with(
        crate::support::controller::Controller::start(Duration::from_secs(3600)).await,
        |config| config.timing.admission_wait = Duration::from_millis(100),
    )
    .await;
    let authority = &node.controller.authority;
    let good = authority.client(11, 1);
    node.controller.order(capture(1, good.fingerprint)).await;
    node.controller
        .order(OpenSession {
            client_fingerprint: vec![],
            ..capture(2, [0; 32])
        })
        .await;
    let late = authority.client(13, 3);
    let deadline_unix_ms = (Timestamp::now() - Duration::from_secs(1)).as_millis();
    drop(
        connect_as(&node, &good, 1)
            .await
            .expect("the one that was ordered is served"),
    );

    let cases = [
        (
            authority.node(&node_name()),
            1,
            RefusalCode::NotReady,
            "no copy 1 is ordered",
        ),
        (
            authority.client(11, 1),
            1,
            RefusalCode::NotOrdered,
            "replaced",
        ),
        (
            authority.client(12, 1),
            1,
            RefusalCode::NotOrdered,
            "a different host",
        ),
        (
            authority.client(11, 9),
            1,
            RefusalCode::NotOrdered,
            "the certificate is for task 9",
        ),
        (
            authority.client(11, 9),
            9,
            RefusalCode::NotReady,
            "nothing is ordered",
        ),
        (
            authority.client(12, 2),
            2,
            RefusalCode::NotReady,
            "no client has been admitted",
        ),
    ];
    for (issued, task, code, words) in cases {
        let (found, reason) = refusal(&node, &issued, task).await;
        assert!(
            found == code && reason.contains(words),
            "{found:?} {reason:?}, expected {code:?} {words:?}"
        );
    }
    // The deadline ends the session on the next tick; before that it refuses by itself.
    node.controller
        .order(OpenSession {
            deadline_unix_ms,
            ..capture(3, late.fingerprint)
        })
        .await;
    let (code, reason) = refusal(&node, &late, 3).await;
    assert!(
        code == RefusalCode::NotOrdered && reason.contains("deadline"),
        "{code:?} {reason}"
    );
    node.agent.shutdown().await;
}

#[tokio::test]
async fn a_foreign_authority_gets_nowhere() {
    let node = Node::start().await;
    let foreign = Authority::new().client(11, 1);
    node.controller.order(capture(1, foreign.fingerprint)).await;
    let address = node.agent.quic_address().to_string();
    let refused = connect_at(&address, &node.controller.authority.pem, &foreign, 1).await;
    let error = refused.expect_err("served a stranger");
    assert!(
        !matches!(error, ConnectError::Refused { .. }),
        "TLS itself must refuse: {error:?}"
    );
    node.agent.shutdown().await;
}

#[tokio::test]
async fn a_client_may_be_faster_than_its_order() {
    let node = Node::start().await;
    let issued = node.controller.authority.client(11, 1);
    let early = connect_as(&node, &issued, 1);
    let order = async {
        node.controller
            .order(OpenSession {
                client_fingerprint: vec![],
                ..capture(1, [0; 32])
            })
            .await;
        let client_fingerprint = issued.fingerprint.to_vec();
        node.controller
            .send(Message::Admit(AdmitClient {
                task_id: 1,
                client_fingerprint,
            }))
            .await;
    };
    let (connected, ()) = tokio::join!(early, order);
    connected.expect("the order came within the wait");
    let started = Instant::now();
    let stranger = node.controller.authority.client(99, 9);
    refusal(&node, &stranger, 9).await;
    assert!(
        started.elapsed() >= Duration::from_secs(2),
        "who might be early is waited for"
    );
    node.agent.shutdown().await;
}

#[tokio::test]
async fn chunks_of_another_image_end_the_session() {
    let node = Node::start().await;
    let (ours, theirs) = (Image::new(0..2), Image::new(10..12));
    capture_image(&node, 1, &ours).await;
    capture_image(&node, 2, &theirs).await;
    let (connection, issued) = start_deploy(&node, 3, ours.manifest).await;
    fetch_chunks(&connection, &ours.ids()).await.unwrap();
    fetch_chunks(&connection, &theirs.ids())
        .await
        .expect_err("gave away another host's image");
    let foghorn_proto::link::session_ended::Outcome::Failed(failed) =
        node.controller.ended(3).await
    else {
        panic!("the session did not fail")
    };
    assert!(
        failed.reason.contains(&theirs.chunks[0].id.to_string()) && !failed.node_at_fault,
        "{failed:?}"
    );
    assert!(
        connect_as(&node, &issued, 3).await.is_err(),
        "the client came back"
    );
    node.agent.shutdown().await;
}

#[tokio::test]
async fn an_image_that_is_not_here_fails_the_session_and_blames_the_node() {
    let node = Node::start().await;
    let issued = node.controller.authority.client(11, 1);
    node.controller
        .order(deploy(1, ManifestId::of(b"elsewhere"), issued.fingerprint))
        .await;
    refusal(&node, &issued, 1).await;
    let foghorn_proto::link::session_ended::Outcome::Failed(failed) =
        node.controller.ended(1).await
    else {
        panic!("the session did not fail")
    };
    assert!(failed.node_at_fault, "{failed:?}");
    node.agent.shutdown().await;
}

#[tokio::test]
async fn a_lie_about_a_chunk_fails_the_capture() {
    let node = Node::start().await;
    let (connection, _) = crate::support::client::start_capture(&node, 1).await;
    let mut lie = chunk(1);
    lie.id = chunk(2).id;
    let lie_id = lie.id;
    let reason = store_chunks(&connection, &[chunk(3), lie])
        .await
        .expect_err("a false chunk was acknowledged");
    let foghorn_proto::link::session_ended::Outcome::Failed(failed) =
        node.controller.ended(1).await
    else {
        panic!("the session did not fail: {reason}")
    };
    assert!(
        failed.reason.contains(&lie_id.to_string()) && !failed.node_at_fault,
        "{failed:?}"
    );
    node.agent.shutdown().await;
}
