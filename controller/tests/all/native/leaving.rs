//! A controller that is told to stop hands over what it has, and nobody notices.

use std::time::{Duration, Instant};

use foghorn_proto::link::controller_message::Message as Order;
use serde_json::{Value, json};

use crate::engine::Kind;
use crate::native::agent::Agent;
use crate::native::fleet::{Fleet, PATIENCE};

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_that_leaves_says_so_serves_on_and_hands_its_links_over() {
    let stays = Fleet::on(Kind::Etcd, |config| {
        config.rest.drain = Duration::from_secs(2);
    })
    .await;
    let leaves = stays.beside().await;
    until("they hear each other", async || {
        [&leaves, &stays]
            .iter()
            .all(|fleet| !fleet.controller.ctx().peers.heard_by_id().is_empty())
    })
    .await;
    let (keys, enrolled) = leaves.joined("north").await;
    let mut agent = Agent::connect(&leaves, &keys, &enrolled).await;
    let node = format!("/foghorn/v1/nodes/{}", enrolled.node_id);
    let is_online = async |fleet: &Fleet| fleet.good("GET", &node, None).await["online"] == true;
    until("both see the node", async || {
        is_online(&stays).await && is_online(&leaves).await
    })
    .await;
    let begun = Instant::now();
    let drain = leaves.controller.drain();
    let meanwhile = async {
        let to = agent
            .order(|order| match order {
                Order::Leave(leave) => Some(leave.links),
                _ => None,
            })
            .await;
        assert_eq!(to, [stays.controller.link_address()]);
        for path in ["/readyz", "/readyz?for=reads"] {
            let (status, ready) = leaves.anonymous("GET", path, None).await;
            assert_eq!(
                (status, &ready["status"]),
                (503, &json!("draining")),
                "{ready}"
            );
        }
        // Everything is served, and the client is told not to come again.
        let (status, headers, _) = leaves.whole("GET", "/fog/host", None).await;
        assert_eq!(status, 200);
        assert_eq!(
            headers.get("connection").map(|value| value.as_bytes()),
            Some(&b"close"[..])
        );
        let image = leaves.image("win").await;
        assert_eq!(
            stays
                .api("GET", &format!("/fog/image/{image}"), None)
                .await
                .0,
            200
        );
        // Nobody new comes here, and no agent is told to.
        let again = Agent::try_connect(&leaves, &enrolled.chain_pem, &keys.key_pem).await;
        assert!(again.is_err_and(|why| why.contains("about to end")));
        let moved = Agent::connect(&stays, &keys, &enrolled).await;
        let known = moved.first.controllers.clone().unwrap_or_default().links;
        assert_eq!(known, [stays.controller.link_address()]);
        // The older link ends because there is a newer one, and the node is there all the time.
        agent.cut().await;
        assert!(is_online(&stays).await && is_online(&leaves).await);
        moved
    };
    let ((), moved) = tokio::join!(drain, meanwhile);
    assert!(
        begun.elapsed() >= Duration::from_secs(2),
        "a balancer had no time to notice"
    );
    let (url, list) = (leaves.controller.rest_url(), "/foghorn/v1/controllers");
    let address: std::net::SocketAddr = url.trim_start_matches("https://").parse().unwrap();
    assert!(
        tokio::net::TcpStream::connect(address).await.is_err(),
        "it takes no more connections"
    );
    // Its record is taken out at the end.
    assert_eq!(
        stays.good("GET", list, None).await["controllers"]
            .as_array()
            .map(Vec::len),
        Some(2)
    );
    leaves.stop().await;
    until("its record is gone", async || {
        let list: Value = stays.good("GET", list, None).await;
        list["controllers"].as_array().map(Vec::len) == Some(1)
    })
    .await;
    assert!(is_online(&stays).await);
    drop(moved);
    stays.stop().await;
}

/// Nobody else can answer, so nobody waits.
#[tokio::test(flavor = "multi_thread")]
async fn a_controller_that_is_alone_leaves_at_once() {
    let fleet = Fleet::on(Kind::Etcd, |_| {}).await;
    let begun = Instant::now();
    fleet.controller.drain().await;
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(fleet.anonymous("GET", "/readyz", None).await.0, 200);
    fleet.stop().await;
}
