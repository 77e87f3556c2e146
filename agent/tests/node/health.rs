//! What a node says of itself to a cluster that asks whether it lives and whether it is ready.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use foghorn_agent::{Agent, StartError};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::joining::one_of_many;
use crate::support::controller::Controller;
use crate::support::{Node, config, eventually};

/// Status and body, or `None` while nobody answers.
async fn get(address: SocketAddr, path: &str) -> Option<(u16, Value)> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: node\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    let status = answer.split(' ').nth(1)?.parse().ok()?;
    let (_, body) = answer.split_once("\r\n\r\n")?;
    Some((status, serde_json::from_str(body).ok()?))
}

/// What is answered once it has this status.
async fn ready(address: SocketAddr, wanted: u16) -> Value {
    eventually("the node to change", async || {
        let (status, body) = get(address, "/readyz").await?;
        (status == wanted).then_some(body)
    })
    .await
}

async fn lives(address: SocketAddr) -> bool {
    get(address, "/healthz").await.map(|(status, _)| status) == Some(200)
}

async fn node() -> (Node, SocketAddr) {
    let controller = Controller::start(Duration::from_secs(3600)).await;
    let node = Node::start_with(controller, |config| {
        config.health_listen = Some(([127, 0, 0, 1], 0).into());
    });
    let node = node.await;
    let address = node.agent.health_address().unwrap();
    (node, address)
}

#[tokio::test]
async fn a_node_is_ready_with_a_controller_and_lives_without_one() {
    let (node, address) = node().await;
    let body = ready(address, 200).await;
    assert_eq!(body["status"], "ok", "{body}");
    node.controller.go_away();
    let body = ready(address, 503).await;
    assert_eq!(body["linked"], false, "{body}");
    for there in ["joined", "store", "listening"] {
        assert_eq!(body[there], true, "{body}");
    }
    assert!(lives(address).await);
    node.controller.come_back();
    ready(address, 200).await;
    node.agent.shutdown().await;
    assert!(get(address, "/healthz").await.is_none(), "it has ended");
}

#[tokio::test]
async fn a_node_that_cannot_write_is_not_ready_and_says_why() {
    let (node, address) = node().await;
    ready(address, 200).await;
    // No file can be made in its place, not even by root.
    let in_the_way = node.folder.path().join("chunks/writable");
    std::fs::create_dir(&in_the_way).unwrap();
    let body = ready(address, 503).await;
    assert_eq!(body["store"], false, "{body}");
    let problem = body["problem"].as_str().unwrap();
    assert!(problem.contains("could not write in"), "{problem}");
    assert!(lives(address).await);
    std::fs::remove_dir(&in_the_way).unwrap();
    ready(address, 200).await;
    node.agent.shutdown().await;
}

#[tokio::test]
async fn a_node_that_waits_to_be_let_in_lives_and_is_not_ready() {
    let controller = Controller::start(Duration::from_secs(3600)).await;
    let folder = tempfile::tempdir().unwrap();
    let port = foghorn_test_ports::free_port().unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut config = one_of_many(&controller, &folder);
    config.health_listen = Some(address);
    controller.asked.lost.store(usize::MAX, Ordering::SeqCst);
    let meanwhile = async {
        let body = ready(address, 503).await;
        assert_eq!(body["status"], "starting", "{body}");
        assert!(lives(address).await);
        controller.asked.lost.store(0, Ordering::SeqCst);
    };
    let (agent, ()) = tokio::join!(Agent::start(config), meanwhile);
    let agent = agent.unwrap();
    ready(address, 200).await;
    agent.shutdown().await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let controller = Controller::start(Duration::from_secs(3600)).await;
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = config(&controller, &folder);
    config.health_listen = Some(taken.local_addr().unwrap());
    let error = Agent::start(config).await.err().expect("the agent started");
    assert!(matches!(error, StartError::Health { .. }), "{error:?}");
    assert!(error.to_string().contains("health.listen"), "{error}");
}
