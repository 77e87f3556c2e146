//! A node that has lost its controllers, and is started again meanwhile.

use std::time::Duration;

use foghorn_agent::Agent;
use foghorn_proto::link::agent_message::Message;
use foghorn_proto::link::session_ended::Outcome;
use foghorn_transport::{AgentConnection, ClientOutcome};

use crate::support::authority::Issued;
use crate::support::client::{capture_image, connect_as, fetch_chunks, start_deploy};
use crate::support::controller::deploy;
use crate::support::image::Image;
use crate::support::{Node, config, eventually};

/// Stops the agent and starts it again while there is no controller.
async fn restart_alone(node: Node) -> Node {
    let Node {
        agent,
        controller,
        folder,
    } = node;
    agent.shutdown().await;
    let mut config = config(&controller, &folder);
    config.timing.confirm_within = Duration::from_millis(100);
    Node {
        agent: Agent::start(config).await.unwrap(),
        controller,
        folder,
    }
}

async fn expected(node: &Node, task: u32, image: &Image) -> Issued {
    let issued = node.controller.authority.client(task + 10, task);
    let order = deploy(task, image.manifest, issued.fingerprint);
    node.controller.order(order).await;
    issued
}

async fn completes(connection: AgentConnection, image: &Image) {
    assert_eq!(connection.fetch_manifest().await.unwrap(), image.encoded);
    fetch_chunks(&connection, &image.ids()).await.unwrap();
    let said = connection.finish(ClientOutcome::Complete).await;
    let text = said.expect_err("nobody has recorded it").0.to_string();
    assert!(text.contains("has not answered"), "{text}");
}

fn notes(node: &Node) -> Vec<String> {
    let entries = std::fs::read_dir(node.folder.path().join("sessions"));
    let names = entries.into_iter().flatten().map(|entry| {
        let name = entry.unwrap().file_name();
        name.into_string().unwrap()
    });
    names.collect()
}

#[tokio::test]
async fn it_serves_whom_it_was_told_to_expect_and_reports_later() {
    let node = Node::start().await;
    let image = Image::new(0..4);
    capture_image(&node, 1, &image).await;
    node.controller.no_longer_want(1);
    let waiting = expected(&node, 3, &image).await;
    let given_up = expected(&node, 4, &image).await;
    // The order of this one came last.
    let (connection, present) = start_deploy(&node, 2, image.manifest).await;
    assert_eq!(connection.fetch_manifest().await.unwrap(), image.encoded);
    node.controller.go_away();

    let node = restart_alone(node).await;
    for (task, issued) in [(2, &present), (3, &waiting)] {
        let connection = connect_as(&node, issued, task).await.unwrap();
        completes(connection, &image).await;
    }
    let stranger = node.controller.authority.client(13, 3);
    assert!(connect_as(&node, &stranger, 3).await.is_err());

    let node = restart_alone(node).await;
    let connection = connect_as(&node, &waiting, 3).await.unwrap();
    completes(connection, &image).await;
    node.controller.no_longer_want(4);
    node.controller.come_back();
    for task in [2, 3] {
        assert!(matches!(
            node.controller.ended(task).await,
            Outcome::Completed(_)
        ));
    }
    let empty = async || notes(&node).is_empty().then_some(());
    eventually("nothing to be left to remember", empty).await;
    assert!(connect_as(&node, &given_up, 4).await.is_err());

    // What was recorded is not reported again.
    let before = node.controller.received().len();
    node.controller.no_longer_want(2);
    node.controller.no_longer_want(3);
    let node = node.restart().await;
    let news = &node.controller.received()[before..];
    let ends = news.iter().filter(|news| matches!(news, Message::Ended(_)));
    assert_eq!(ends.count(), 0, "{news:?}");
    node.agent.shutdown().await;
}
