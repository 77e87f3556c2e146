use std::time::Duration;

use foghorn_proto::link::agent_message::Message;
use foghorn_proto::link::controller_message::Message as ToAgent;
use foghorn_proto::link::session_ended::Outcome;
use foghorn_proto::link::{EndedRecorded, Leave};
use foghorn_transport::ClientOutcome;

use crate::support::Node;
use crate::support::client::{
    capture_image, connect_as, fetch_chunks, start_capture, start_deploy, store_chunks,
};
use crate::support::controller::Controller;
use crate::support::image::Image;

#[tokio::test]
async fn a_transfer_outlives_the_link_and_its_end_is_told_later() {
    let node = Node::start().await;
    let image = Image::new(0..8);
    capture_image(&node, 1, &image).await;
    let (connection, _) = start_deploy(&node, 2, image.manifest).await;
    fetch_chunks(&connection, &image.ids()[..4]).await.unwrap();
    let links = node.controller.links();
    node.controller.go_away();
    fetch_chunks(&connection, &image.ids()[4..])
        .await
        .expect("nothing of this needs the controller");
    let finish = connection.finish(ClientOutcome::Complete);
    let back = async {
        // Long enough for several attempts to dial; the client must not hear "recorded" before it
        // is true.
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        let told = node
            .controller
            .received()
            .iter()
            .any(|message| matches!(message, Message::Ended(ended) if ended.task_id == 2));
        assert!(!told);
        node.controller.come_back();
    };
    let (finished, ()) = tokio::join!(finish, back);
    finished.expect("the end was recorded after all");
    assert!(matches!(
        node.controller.ended(2).await,
        Outcome::Completed(_)
    ));
    assert!(node.controller.links() > links);
    node.agent.shutdown().await;
}

#[tokio::test]
async fn an_unrecorded_end_is_repeated_on_every_link_and_survives_the_client() {
    let node = Node::start().await;
    let image = Image::new(0..2);
    capture_image(&node, 1, &image).await;
    let (connection, issued) = start_deploy(&node, 2, image.manifest).await;
    node.controller.answer_ended(false);
    let finish = connection.finish(ClientOutcome::Complete);
    tokio::select! {
        _ = finish => panic!("recorded, says the agent, and it is not"),
        _ = node.controller.ended(2) => {}
    }
    // The client is gone (its connection was dropped with the future) and comes back for its
    // answer.
    let again = connect_as(&node, &issued, 2)
        .await
        .expect("it may ask again");
    let links = node.controller.links();
    node.controller.go_away();
    node.controller.come_back();
    node.controller.wait_for_links(links + 1).await;
    node.controller.answer_ended(true);
    node.controller.go_away();
    node.controller.come_back();
    again.finish(ClientOutcome::Complete).await.unwrap();
    let ends = node
        .controller
        .received()
        .iter()
        .filter(|message| matches!(message, Message::Ended(ended) if ended.task_id == 2))
        .count();
    assert!(ends >= 2, "told {ends} times");
    node.agent.shutdown().await;
}

/// As after an older backup of the controller's store was restored.
#[tokio::test]
async fn a_client_hears_that_the_controller_does_not_know_its_capture() {
    let node = Node::start().await;
    let image = Image::new(0..2);
    let (connection, _) = start_capture(&node, 1).await;
    store_chunks(&connection, &image.chunks).await.unwrap();
    connection
        .store_manifest(image.encoded.clone())
        .await
        .unwrap();
    node.controller.answer_ended(false);
    let finish = connection.finish(ClientOutcome::Complete);
    let told = async {
        node.controller.ended(1).await;
        let unknown = EndedRecorded {
            task_id: 1,
            incarnation: 0,
            unknown: true,
        };
        node.controller.send(ToAgent::EndedRecorded(unknown)).await;
    };
    let (finished, ()) = tokio::join!(finish, told);
    let error = finished.expect_err("nothing was recorded").0;
    assert!(!error.is_transient(), "{error:?}");
    let text = error.to_string();
    let content = format!("{:#}", image.manifest);
    for part in [
        "does not know this task",
        "foghorn image orphans adopt",
        &content,
    ] {
        assert!(text.contains(part), "{part:?} is missing in {text:?}");
    }
    node.agent.shutdown().await;
}

#[tokio::test]
async fn a_client_does_not_wait_for_ever_for_the_controller() {
    let controller = Controller::start(Duration::from_secs(3600)).await;
    let node = Node::start_with(controller, |config| {
        config.timing.confirm_within = Duration::from_millis(100);
    });
    let node = node.await;
    let image = Image::new(0..2);
    let (connection, _) = start_capture(&node, 1).await;
    store_chunks(&connection, &image.chunks).await.unwrap();
    connection
        .store_manifest(image.encoded.clone())
        .await
        .unwrap();
    node.controller.go_away();
    let error = connection.finish(ClientOutcome::Complete).await;
    let text = error.expect_err("nobody has recorded it").0.to_string();
    assert!(
        text.contains("has not answered") && text.contains("orphans"),
        "{text}"
    );
    node.controller.come_back();
    assert!(matches!(
        node.controller.ended(1).await,
        Outcome::Completed(_)
    ));
    node.agent.shutdown().await;
}

#[tokio::test]
async fn the_status_names_the_images_that_are_here() {
    let node = Node::start().await;
    let image = Image::new(0..2);
    capture_image(&node, 1, &image).await;
    let status = node
        .controller
        .wait_for("a status with the image", |message| match message {
            Message::Status(status) if status.manifests.len() == 1 => Some(status.clone()),
            _ => None,
        });
    let status = status.await;
    assert_eq!((status.manifests[0].image_id, status.chunks), (101, 2));
    assert_eq!(status.manifests[0].manifest_id, image.manifest.as_bytes());
    // The order says whose disk it is.
    let origin = &status.manifests[0];
    assert_eq!((origin.host_id, &*origin.host_name), (11, "pc11"));
    assert!(
        origin.captured_unix_ms > 0 && origin.stored_bytes > 0,
        "{origin:?}"
    );
    assert!(status.disk_free_bytes > 0 && status.disk_total_bytes >= status.disk_free_bytes);
    node.agent.shutdown().await;
}

#[tokio::test]
async fn a_controller_that_leaves_is_left_when_another_one_has_the_link() {
    let node = Node::start().await;
    let image = Image::new(0..4);
    capture_image(&node, 1, &image).await;
    let (connection, _) = start_deploy(&node, 2, image.manifest).await;
    fetch_chunks(&connection, &image.ids()[..2]).await.unwrap();
    let links = node.controller.links();
    assert_eq!(node.controller.most_open(), 1);
    // The one that leaves takes the end and does not record it any more.
    node.controller.answer_ended(false);
    let finish = connection.finish(ClientOutcome::Complete);
    let leave = async {
        node.controller.ended(2).await;
        // Nobody is at the first.
        let others = vec![
            "127.0.0.1:9".to_owned(),
            node.controller.link_address().to_owned(),
        ];
        node.controller
            .send(ToAgent::Leave(Leave { links: others }))
            .await;
        node.controller.answer_ended(true);
        node.controller.wait_for_links(links + 1).await;
    };
    let (finished, ()) = tokio::join!(finish, leave);
    finished.expect("the end was told once more, on the new link");
    assert_eq!(node.controller.most_open(), 2, "the old link was cut first");
    node.controller.wait_for_one_link().await;
    let hellos = node.controller.received();
    let dialled = hellos.iter().filter_map(|message| match message {
        Message::Hello(hello) => Some((hello.process, hello.dialled)),
        _ => None,
    });
    let dialled: Vec<_> = dialled.collect();
    assert_eq!(dialled.first().map(|(_, count)| *count), Some(1));
    assert!(
        dialled
            .windows(2)
            .all(|two| two[0].0 == two[1].0 && two[0].1 < two[1].1)
    );
    node.agent.shutdown().await;
}

/// As of one that hung, and has not caught up.
#[tokio::test]
async fn a_controller_that_is_behind_ends_nothing() {
    let node = Node::start().await;
    let image = Image::new(0..4);
    capture_image(&node, 1, &image).await;
    let (connection, _) = start_deploy(&node, 2, image.manifest).await;
    fetch_chunks(&connection, &image.ids()[..2]).await.unwrap();
    node.controller.no_longer_want(2);
    node.controller.is_behind(true);
    let links = node.controller.links();
    node.controller.go_away();
    node.controller.come_back();
    node.controller.wait_for_links(links + 1).await;
    fetch_chunks(&connection, &image.ids()[2..])
        .await
        .expect("the session goes on");
    connection.finish(ClientOutcome::Complete).await.unwrap();
    node.agent.shutdown().await;
}
