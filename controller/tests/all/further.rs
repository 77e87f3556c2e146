//! Further sources: which nodes serve a client beside the one that has its task, and that no task
//! waits for a place because of them.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foghorn_controller::agents::live::NodeLive;
use foghorn_controller::app::further::{self, ClaimError};
use foghorn_controller::app::{check_in, holds};
use foghorn_controller::config::Limits;
use foghorn_controller::dispatch;
use foghorn_controller::state::Refusal;
use foghorn_controller::state::enrolment::{EnrolledNode, Standing};
use foghorn_proto::http::{CheckInRequest, FurtherRequest};
use foghorn_types::{HostId, ImageId, ManifestId, StorageNodeId, Timestamp};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::engine::{BOTH, Engine, PATIENCE};
use crate::fog_rules::{id, image};
use crate::fog_support::Server;
use crate::native::fleet::Keys;

const NAMES: [&str; 5] = ["defaultmember", "second", "third", "old", "north1"];

struct Fleet {
    server: Arc<Server>,
    image: u32,
    /// As in `NAMES`: three that know further sources, one that does not, one of another site.
    nodes: Vec<StorageNodeId>,
    stop: CancellationToken,
}

impl Fleet {
    async fn start(engine: &Engine) -> Self {
        let server = Arc::new(Server::start_on(engine.store()).await);
        let mut fleet = Self {
            server,
            image: 0,
            nodes: vec![StorageNodeId::new(1).unwrap()],
            stop: CancellationToken::new(),
        };
        let north = fleet.made("storagegroup", json!({"name": "north"})).await;
        for (name, group) in NAMES[1..].iter().zip([1, 1, 1, north]) {
            let node = json!({"name": name, "ip": "10.1.0.1", "storagegroupID": group,
                "isEnabled": "1", "maxClients": 1, "path": "/images", "ftppath": "/images",
                "user": "fog", "pass": "x"});
            let node = fleet.made("storagenode", node).await;
            fleet.nodes.push(StorageNodeId::new(node).unwrap());
        }
        let (nodes, server) = (fleet.nodes.clone(), fleet.server.clone());
        let stored = server.state.write::<_, Refusal>(|draft| {
            for (node, name) in nodes.iter().zip(NAMES) {
                draft.store(&EnrolledNode {
                    node: *node,
                    name: name.parse().unwrap(),
                    standing: Standing::Enrolled {
                        at: Timestamp::now(),
                    },
                    key: None,
                    vouched: false,
                    named_after: None,
                    modified: 0,
                });
            }
            Ok(())
        });
        stored.await.unwrap();
        fleet.image = image(&fleet.server).await;
        fleet.server.give_content(fleet.image).await;
        let held = (
            ImageId::new(fleet.image).unwrap(),
            ManifestId::of(b"manifest"),
        );
        for (node, name) in fleet.nodes.iter().zip(NAMES) {
            let live = NodeLive {
                online: true,
                reported: true,
                gives_further: name != "old",
                quic_address: "127.0.0.1:9".to_owned(),
                manifests: HashSet::from([held]),
                ..NodeLive::default()
            };
            fleet.server.ctx.live.set_node(*node, live);
        }
        let (ctx, stop) = (fleet.server.ctx.clone(), fleet.stop.clone());
        tokio::spawn(dispatch::run(ctx.clone(), Limits::default(), stop.clone()));
        tokio::spawn(further::run(ctx, stop));
        fleet
    }

    async fn made(&self, class: &str, body: Value) -> u32 {
        let path = format!("/fog/{class}/create");
        let reply = self.server.call("POST", &path, body).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        id(&reply.json())
    }

    /// Only these nodes take tasks.
    async fn only(&self, open: &[usize]) {
        for (index, node) in self.nodes.iter().enumerate() {
            let ctx = &self.server.ctx;
            match open.contains(&index) {
                true => holds::uncordon(ctx, *node).await.unwrap(),
                false => holds::cordon(ctx, *node, "a test").await.unwrap(),
            }
        }
    }

    /// A deploy to a new host; its number.
    async fn order(&self, number: u32) -> HostId {
        let mac = format!("52:54:23:00:00:{number:02x}");
        let body = json!({"name": format!("pc{number}"), "macs": [mac], "imageID": self.image});
        let host = self.made("host", body).await;
        let path = format!("/fog/host/{host}/task");
        let body = json!({"taskTypeID": 1});
        let reply = self.server.call("POST", &path, body).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        HostId::new(host).unwrap()
    }

    /// The bearer of its machine.
    async fn check_in(&self, number: u32, host: HostId) -> String {
        let ctx = &self.server.ctx;
        let token = check_in::boot_token(ctx, host, Duration::from_secs(60)).await;
        let request = CheckInRequest {
            mac: format!("52:54:23:00:00:{number:02x}").parse().unwrap(),
            boot_token: token.unwrap().text,
            csr_pem: Keys::new().csr_pem,
            software: "test".to_owned(),
            options_for: None,
            hardware: None,
        };
        let answer = check_in::check_in(ctx, &request, None).await.unwrap();
        answer.session
    }

    async fn ask(&self, session: &str, wanted: u8, without: &[usize]) -> Vec<String> {
        let without = without.iter();
        let request = FurtherRequest {
            wanted,
            without: without
                .map(|index| format!("{}.node.foghorn.internal", NAMES[*index]))
                .collect(),
        };
        let answer = further::claim(&self.server.ctx, session, &request).await;
        let nodes = answer.unwrap().nodes.into_iter();
        nodes.map(|node| node.node.to_string()).collect()
    }

    /// Nodes that are to serve somebody beside their tasks.
    fn told(&self) -> Vec<&'static str> {
        let ctx = &self.server.ctx;
        let nodes = self.nodes.iter().zip(NAMES);
        let told = nodes.filter(|(node, _)| {
            let orders = ctx
                .state
                .read(|tables| further::orders(tables, ctx.terms(), **node));
            !orders.orders.is_empty()
        });
        told.map(|(_, name)| name).collect()
    }

    /// Waits until the task of the host is as wanted.
    async fn until(&self, host: HostId, what: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let path = "/foghorn/v1/tasks?limit=100";
            let reply = self.server.call("GET", path, json!(null)).await;
            let tasks = reply.json()["tasks"].as_array().unwrap().clone();
            let of_host = |task: &&Value| task["host"]["id"] == json!(host.get());
            let task = tasks.iter().find(of_host).cloned().unwrap_or_default();
            if what(&task) {
                return task;
            }
            assert!(Instant::now() < end, "{task}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_gets_nodes_of_its_site_with_places_that_nobody_needs() {
    for kind in BOTH {
        let engine = Engine::start(kind).await;
        let fleet = Fleet::start(&engine).await;
        fleet.only(&[0]).await;
        let host = fleet.order(1).await;
        fleet
            .until(host, |task| task["node"] == "DefaultMember")
            .await;
        let session = fleet.check_in(1, host).await;
        assert!(
            fleet.ask(&session, 2, &[]).await.is_empty(),
            "all others are cordoned"
        );
        fleet.only(&[0, 1, 2, 3, 4]).await;

        // Three in all by default; not the old agent, not the other site.
        assert_eq!(fleet.ask(&session, 7, &[]).await, ["second", "third"]);
        assert_eq!(fleet.told(), ["second", "third"]);
        let task = fleet
            .until(host, |task| {
                task["served_from"]["further"] == json!(["second", "third"])
            })
            .await;
        assert_eq!(task["node"], "DefaultMember", "{task}");
        assert_eq!(
            fleet.ask(&session, 1, &[]).await,
            ["second"],
            "one is given back"
        );
        assert_eq!(
            fleet.ask(&session, 1, &[1]).await,
            ["third"],
            "one was of no use"
        );
        assert_eq!(fleet.ask(&session, 2, &[]).await, ["third", "second"]);

        // A task takes the place at once.
        fleet.only(&[1, 2]).await;
        fleet.only(&[1]).await;
        assert_eq!(
            fleet.told(),
            ["second"],
            "a cordoned node serves only its tasks"
        );
        let other = fleet.order(2).await;
        fleet.until(other, |task| task["node"] == "second").await;
        assert!(fleet.told().is_empty());
        fleet.only(&[0, 1, 2]).await;
        assert_eq!(fleet.told(), ["third"]);
        assert!(
            fleet.ask(&session, 2, &[2]).await.is_empty(),
            "no place is free"
        );
        assert_eq!(fleet.ask(&session, 2, &[]).await, ["third"]);

        // The site may have another rule.
        let rule = json!({"sources_per_client": 1});
        let reply = fleet.server.call("PUT", "/foghorn/v1/sites/1", rule).await;
        assert_eq!(reply.json()["sources_per_client"], 1, "{}", reply.text);
        assert!(fleet.told().is_empty());
        let rule = json!({"sources_per_client": 9});
        let reply = fleet.server.call("PUT", "/foghorn/v1/sites/1", rule).await;
        assert_eq!(reply.status, 400, "{}", reply.text);
        let rule = json!({"sources_per_client": 0});
        fleet.server.call("PUT", "/foghorn/v1/sites/1", rule).await;
        assert_eq!(fleet.told(), ["third"]);

        // The end of the task ends all.
        let path = format!("/fog/task/{}/cancel", task["id"]);
        let reply = fleet.server.call("DELETE", &path, json!(null)).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        assert!(fleet.told().is_empty());
        let request = FurtherRequest {
            wanted: 1,
            without: Vec::new(),
        };
        let ctx = &fleet.server.ctx;
        let ended = further::claim(ctx, &session, &request).await;
        assert!(matches!(ended, Err(ClaimError::Ended { .. })), "{ended:?}");
        let stranger = further::claim(ctx, "nobody", &request).await;
        assert!(
            matches!(stranger, Err(ClaimError::Stranger)),
            "{stranger:?}"
        );
        fleet.stop.cancel();
    }
}
