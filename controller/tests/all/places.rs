//! Places on storage nodes: sixty orders at once through two controllers on one store.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use foghorn_controller::agents::live::NodeLive;
use foghorn_controller::app::tasks;
use foghorn_controller::config::Limits;
use foghorn_controller::dispatch;
use foghorn_controller::state::Refusal;
use foghorn_controller::state::enrolment::{EnrolledNode, Standing};
use foghorn_types::{ImageId, ManifestId, StorageNodeId, TaskId, Timestamp};
use futures_util::future::join_all;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::engine::{BOTH, Engine, Kind, PATIENCE};
use crate::fog_rules::contention::settle;
use crate::fog_rules::{id, image};
use crate::fog_support::Server;

const ORDERS: usize = 60;
const PLACES: usize = 5;

struct Site {
    servers: Vec<Arc<Server>>,
    node: StorageNodeId,
    image: u32,
}

/// Two controllers, both of which the node is connected to.
async fn site(engine: &Engine) -> Site {
    let first = Arc::new(Server::start_on(engine.store()).await);
    let store = match engine.kind {
        Kind::Embedded => engine.store(),
        Kind::Etcd => engine.another_client().await,
    };
    let second = Arc::new(first.beside(store).await);
    let node = StorageNodeId::new(1).unwrap();
    let edit = json!({"maxClients": PLACES});
    let reply = first.call("PUT", "/fog/storagenode/1/edit", edit).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    let enrolled = EnrolledNode {
        node,
        name: "defaultmember".parse().unwrap(),
        standing: Standing::Enrolled {
            at: Timestamp::now(),
        },
        key: None,
        vouched: false,
        named_after: None,
        modified: 0,
    };
    let stored = first.state.write::<_, Refusal>(|draft| {
        draft.store(&enrolled);
        Ok(())
    });
    stored.await.unwrap();
    let image = image(&first).await;
    first.give_content(image).await;
    let servers = vec![first, second];
    settle(&servers).await;
    let live = NodeLive {
        online: true,
        reported: true,
        quic_address: "127.0.0.1:9".to_owned(),
        manifests: HashSet::from([(ImageId::new(image).unwrap(), ManifestId::of(b"manifest"))]),
        ..NodeLive::default()
    };
    for server in &servers {
        server.ctx.live.set_node(node, live.clone());
    }
    Site {
        servers,
        node,
        image,
    }
}

impl Site {
    fn holders(&self, server: usize) -> BTreeSet<TaskId> {
        self.servers[server].state.read(|tables| {
            let runs = tables.runs().active();
            let mine = runs.filter(|run| run.node() == Some(self.node));
            mine.map(|run| run.task).collect()
        })
    }

    /// Waits until so many tasks have a place, and nobody ever saw more than there are.
    async fn filled(&self, wanted: usize) -> BTreeSet<TaskId> {
        let mut changed = self.servers[0].state.changed();
        let filled = async {
            loop {
                let holders = self.holders(0);
                assert!(holders.len() <= PLACES, "{holders:?}");
                if holders.len() == wanted {
                    return holders;
                }
                changed.changed().await.unwrap();
            }
        };
        tokio::time::timeout(PATIENCE, filled)
            .await
            .expect("free places are given away")
    }

    async fn order_all(&self) {
        let server = |number: usize| &self.servers[number % 2];
        let hosts = join_all((0..ORDERS).map(|number| async move {
            let mac = format!("52:54:02:00:00:{number:02x}");
            let body = json!({"name": format!("pc{number}"), "macs": [mac], "imageID": self.image});
            let reply = server(number).call("POST", "/fog/host/create", body).await;
            assert_eq!(reply.status, 200, "{}", reply.text);
            id(&reply.json())
        }));
        let hosts = hosts.await;
        settle(&self.servers).await;
        let orders = hosts.iter().enumerate().map(|(number, host)| async move {
            let path = format!("/fog/host/{host}/task");
            let body = json!({"taskTypeID": 1});
            let reply = server(number).call("POST", &path, body).await;
            assert_eq!(reply.status, 200, "{}", reply.text);
        });
        join_all(orders).await;
    }

    /// Positions of the tasks that wait for a place, as the second controller tells them.
    async fn positions(&self) -> BTreeMap<u64, String> {
        let path = "/foghorn/v1/tasks?limit=1000";
        let reply = self.servers[1].call("GET", path, json!(null)).await;
        let tasks = reply.json()["tasks"].as_array().unwrap().clone();
        let waits = tasks.iter().map(|task| &task["waits_for"]);
        let places = waits.filter(|wait| wait["kind"] == "place");
        places
            .map(|wait| {
                let sentence = wait["sentence"].as_str().unwrap().to_owned();
                assert_eq!(wait["node"], "DefaultMember");
                (wait["position"].as_u64().unwrap(), sentence)
            })
            .collect()
    }
}

fn dispatcher(server: &Server) -> CancellationToken {
    let stop = CancellationToken::new();
    let run = dispatch::run(server.ctx.clone(), Limits::default(), stop.clone());
    tokio::spawn(run);
    stop
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_never_has_more_tasks_than_places_and_each_end_lets_the_next_in() {
    for kind in BOTH {
        let engine = Engine::start(kind).await;
        let site = site(&engine).await;
        let stops = [dispatcher(&site.servers[0]), dispatcher(&site.servers[1])];
        site.order_all().await;
        let mut seen = site.filled(PLACES).await;
        settle(&site.servers).await;
        let until = tokio::time::Instant::now() + PATIENCE;
        loop {
            let positions = site.positions().await;
            let all: Vec<u64> = positions.keys().copied().collect();
            if all == (1..=(ORDERS - PLACES) as u64).collect::<Vec<_>>() {
                let words =
                    "all 5 places of storage node DefaultMember are taken; number 1 in the queue";
                assert_eq!(positions[&1], words);
                break;
            }
            assert!(tokio::time::Instant::now() < until, "{positions:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // One of the controllers dies in the middle: the other gives the places away.
        let mut ended = 0;
        while seen.len() < ORDERS {
            if ended > ORDERS / 2 {
                stops[0].cancel();
            }
            for task in site.holders(0).into_iter().take(2) {
                let cancelled = tasks::cancel_task(&site.servers[0].state, task.get()).await;
                cancelled.unwrap();
                ended += 1;
            }
            seen.extend(site.filled(PLACES.min(ORDERS - ended)).await);
        }
        stops[1].cancel();
    }
}
