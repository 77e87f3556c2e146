//! Sites: a host is served by its own first, then by its fallbacks; nodes that take no tasks.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foghorn_controller::agents::live::NodeLive;
use foghorn_controller::app::check_in;
use foghorn_controller::config::Limits;
use foghorn_controller::dispatch;
use foghorn_controller::state::Refusal;
use foghorn_controller::state::enrolment::{EnrolledNode, Standing};
use foghorn_proto::http::CheckInRequest;
use foghorn_types::{HostId, ImageId, ManifestId, StorageNodeId, Timestamp};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::engine::{BOTH, Engine, PATIENCE};
use crate::fog_rules::{id, image};
use crate::fog_support::Server;
use crate::native::fleet::Keys;

const MAC: &str = "52:54:03:00:00:01";

struct Sites {
    server: Arc<Server>,
    live: NodeLive,
    image: u32,
    north: u32,
    nodes: [StorageNodeId; 2],
    stop: CancellationToken,
}

impl Sites {
    /// The default site, and `north` with a node of its own; both nodes hold the image.
    async fn start(engine: &Engine) -> Self {
        let server = Arc::new(Server::start_on(engine.store()).await);
        let made = |class: &'static str, body| {
            let server = server.clone();
            async move {
                let path = format!("/fog/{class}/create");
                let reply = server.call("POST", &path, body).await;
                assert_eq!(reply.status, 200, "{}", reply.text);
                id(&reply.json())
            }
        };
        let north = made("storagegroup", json!({"name": "north"})).await;
        let node = json!({"name": "north1", "ip": "10.1.0.1", "storagegroupID": north,
            "isEnabled": "1", "maxClients": 10, "path": "/images", "ftppath": "/images",
            "user": "fog", "pass": "x"});
        let node = made("storagenode", node).await;
        let nodes = [1, node].map(|id| StorageNodeId::new(id).unwrap());
        let stored = server.state.write::<_, Refusal>(|draft| {
            for (node, name) in nodes.iter().zip(["defaultmember", "north1"]) {
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
        let image = image(&server).await;
        server.give_content(image).await;
        let live = NodeLive {
            online: true,
            reported: true,
            quic_address: "127.0.0.1:9".to_owned(),
            manifests: HashSet::from([(ImageId::new(image).unwrap(), ManifestId::of(b"manifest"))]),
            ..NodeLive::default()
        };
        for node in nodes {
            server.ctx.live.set_node(node, live.clone());
        }
        let stop = CancellationToken::new();
        let run = dispatch::run(server.ctx.clone(), Limits::default(), stop.clone());
        tokio::spawn(run);
        Self {
            server,
            live,
            image,
            north,
            nodes,
            stop,
        }
    }

    async fn edit(&self, body: Value) -> (u16, Value) {
        let path = format!("/foghorn/v1/sites/{}", self.north);
        let reply = self.server.call("PUT", &path, body).await;
        (reply.status.as_u16(), reply.json())
    }

    async fn tell(&self, node: usize, what: &str, body: Value) {
        let path = format!("/foghorn/v1/nodes/{}/{what}", self.nodes[node]);
        let reply = self.server.call("POST", &path, body).await;
        assert_eq!(reply.status, 204, "{}", reply.text);
    }

    async fn until(&self, what: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let reply = self
                .server
                .call("GET", "/foghorn/v1/tasks", json!(null))
                .await;
            let task = reply.json()["tasks"][0].clone();
            if what(&task) {
                return task;
            }
            assert!(Instant::now() < end, "{task}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A deploy, with a token for its machine.
    async fn order(&self) -> String {
        let body = json!({"name": "pc1", "macs": [MAC], "imageID": self.image});
        let reply = self.server.call("POST", "/fog/host/create", body).await;
        let host = id(&reply.json());
        let path = format!("/fog/host/{host}/task");
        let reply = self
            .server
            .call("POST", &path, json!({"taskTypeID": 1}))
            .await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        let (ctx, host) = (&self.server.ctx, HostId::new(host).unwrap());
        let token = check_in::boot_token(ctx, host, Duration::from_secs(60)).await;
        token.unwrap().text
    }

    async fn check_in(&self, token: String, from: &str) {
        let request = CheckInRequest {
            mac: MAC.parse().unwrap(),
            boot_token: token,
            csr_pem: Keys::new().csr_pem,
            software: "test".to_owned(),
            options_for: None,
            hardware: None,
        };
        let from = Some(from.parse().unwrap());
        check_in::check_in(&self.server.ctx, &request, from)
            .await
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_is_served_by_the_site_that_it_checks_in_from_and_then_by_a_fallback() {
    for kind in BOTH {
        let engine = Engine::start(kind).await;
        let sites = Sites::start(&engine).await;
        let (status, answer) = sites
            .edit(json!({"subnets": ["10.1.0.0/16"], "fallbacks": [1]}))
            .await;
        assert_eq!(
            (status, &answer["nodes"]),
            (200, &json!(["north1"])),
            "{answer}"
        );
        for (body, field) in [
            (json!({"subnets": ["10.1.0.1/16"]}), "subnets"),
            (json!({"fallbacks": [99]}), "fallbacks"),
            (json!({"fallbacks": [sites.north]}), "fallbacks"),
            (json!({"host_groups": [99]}), "host_groups"),
        ] {
            let (status, answer) = sites.edit(body).await;
            assert_eq!(status, 400, "{answer}");
            assert!(answer.to_string().contains(field), "{answer}");
        }
        let token = sites.order().await;
        sites
            .until(|task| task["node"] == "DefaultMember" && task["waits_for"]["kind"] == "client")
            .await;
        sites.check_in(token, "10.1.0.7").await;
        let task = sites.until(|task| task["node"] == "north1").await;
        let why = "north, its own site: it checked in from 10.1.0.7";
        assert_eq!(task["served_from"]["why"], why, "{task}");
        assert_eq!(task["served_from"]["own"], true, "{task}");
        // The node is gone for longer than the grace: the fallback takes over, and says so.
        let down = NodeLive {
            online: false,
            down_since: Instant::now().checked_sub(Duration::from_secs(60)),
            ..sites.live.clone()
        };
        sites.server.ctx.live.set_node(sites.nodes[1], down);
        let task = sites.until(|task| task["node"] == "DefaultMember").await;
        assert_eq!(task["served_from"]["own"], false, "{task}");
        let failures = sites
            .server
            .call("GET", "/fog/nodefailure", json!(null))
            .await;
        assert_eq!(failures.json()["count"], 1, "{}", failures.text);
        // A node that is back does not take it back.
        sites
            .server
            .ctx
            .live
            .set_node(sites.nodes[1], sites.live.clone());
        tokio::time::sleep(Duration::from_millis(1500)).await;
        sites.until(|task| task["node"] == "DefaultMember").await;
        sites.stop.cancel();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cordoned_node_gets_no_tasks_and_a_waiting_task_says_so() {
    for kind in BOTH {
        let engine = Engine::start(kind).await;
        let sites = Sites::start(&engine).await;
        sites
            .tell(0, "cordon", json!({"reason": "new disks"}))
            .await;
        sites.order().await;
        let task = sites
            .until(|task| task["waits_for"]["kind"] == "node")
            .await;
        let sentence = task["waits_for"]["sentence"].as_str().unwrap();
        assert!(sentence.contains("cordoned"), "{task}");
        let path = format!("/foghorn/v1/nodes/{}", sites.nodes[0]);
        let node = sites.server.call("GET", &path, json!(null)).await.json();
        assert_eq!(node["cordoned"]["reason"], "new disks", "{node}");
        sites.tell(0, "uncordon", json!(null)).await;
        sites.until(|task| task["node"] == "DefaultMember").await;
        sites.stop.cancel();
    }
}
