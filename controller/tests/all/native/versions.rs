//! Images that are captured again: what waiting, running and pinned deploys get, what is kept, and
//! what nodes are told to delete.

use foghorn_controller::config::StoreConfig;
use foghorn_controller::state::Refusal;
use foghorn_controller::state::run::RunKind;
use foghorn_controller::store::etcd::EtcdOptions;
use foghorn_proto::http::{CheckInResponse, OrderKind};
use foghorn_proto::link::agent_message::Message;
use foghorn_proto::link::controller_message::Message as Order;
use foghorn_proto::link::{Completed, NodeStatus, StoredManifest, job, session_ended};
use foghorn_types::{DiskPart, ImageId, ManifestId, TaskId};
use serde_json::{Value, json};

use crate::engine::{BOTH, Engine, Kind};
use crate::native::agent::{Agent, opened};
use crate::native::fleet::Fleet;
use crate::native::whole_path::{captured, ended, progress, recorded};

/// An image that is captured from the host with number 1 and deployed to the others.
pub(super) struct Lab {
    pub(super) fleet: Fleet,
    pub(super) agent: Agent,
    pub(super) image: u32,
    pub(super) hosts: Vec<u32>,
    _engine: Option<Engine>,
}

pub(super) fn mac(number: usize) -> String {
    format!("02:00:00:00:00:{number:02x}")
}

pub(super) fn manifest(version: u32) -> ManifestId {
    ManifestId::of(format!("version {version}").as_bytes())
}

impl Lab {
    pub(super) async fn new(kind: Kind, targets: usize) -> Self {
        let engine = match kind {
            Kind::Embedded => None,
            Kind::Etcd => Some(Engine::start(kind).await),
        };
        let fleet = Fleet::with(|config| {
            if let Some(engine) = &engine {
                config.store = StoreConfig::Etcd(EtcdOptions {
                    endpoints: vec![engine.endpoint()],
                    tls: None,
                    login: None,
                });
            }
        })
        .await;
        let image = fleet.image("win").await;
        let (keys, enrolled) = fleet.joined("north").await;
        let agent = Agent::connect(&fleet, &keys, &enrolled).await;
        let mut hosts = Vec::new();
        for number in 0..=targets {
            hosts.push(
                fleet
                    .host(&format!("pc{number}"), &mac(number), image)
                    .await,
            );
        }
        Self {
            fleet,
            agent,
            image,
            hosts,
            _engine: engine,
        }
    }

    /// Captures up to the report of the node, which is returned.
    async fn begin_capture(&mut self, version: u32) -> (TaskId, Message) {
        let task = self.fleet.task(self.hosts[0], 2).await;
        self.opened(task).await;
        self.check_in(0).await;
        (task, captured(task, manifest(version)))
    }

    pub(super) async fn capture(&mut self, version: u32) {
        let (task, report) = self.begin_capture(version).await;
        self.agent.send(report).await;
        recorded(&mut self.agent, task).await;
    }

    /// The manifest of the next order for this task.
    async fn opened(&mut self, task: TaskId) -> Vec<u8> {
        loop {
            let open = self.agent.order(opened).await;
            if open.task_id == task.get() {
                return open.manifest_id;
            }
        }
    }

    async fn check_in(&self, host: usize) -> CheckInResponse {
        let token = self.fleet.boot_token(self.hosts[host]).await;
        self.fleet.check_in(&mac(host), &token).await
    }

    async fn complete(&mut self, task: TaskId) {
        self.agent.send(progress(task)).await;
        let done = session_ended::Outcome::Completed(Completed::default());
        self.agent.send(ended(task, done)).await;
        recorded(&mut self.agent, task).await;
    }

    async fn pinned(&self, host: usize, version: u32) -> (u16, Value) {
        let body = json!({"kind": "deploy", "host": self.hosts[host], "version": version});
        self.fleet
            .api("POST", "/foghorn/v1/tasks", Some(body))
            .await
    }

    pub(super) fn versions_path(&self) -> String {
        format!("/foghorn/v1/images/{}/versions", self.image)
    }

    /// Number and state of each version.
    async fn versions(&self) -> Vec<(u64, String)> {
        let found = self.fleet.good("GET", &self.versions_path(), None).await;
        let versions = found["versions"].as_array().unwrap().iter();
        versions
            .map(|one| {
                let state = one["state"].as_str().unwrap().to_owned();
                (one["version"].as_u64().unwrap(), state)
            })
            .collect()
    }

    /// Which version a task shows, and whether it stays.
    async fn shown(&self, task: TaskId) -> (Value, Value) {
        let status = self.fleet.status(task).await;
        (
            status["image_version"].clone(),
            status["version_is_fixed"].clone(),
        )
    }

    /// Reports what the node holds.
    async fn holds(&self, versions: &[u32]) {
        let manifests = versions.iter().map(|version| StoredManifest {
            image_id: self.image,
            manifest_id: manifest(*version).as_bytes().to_vec(),
            ..StoredManifest::default()
        });
        let status = NodeStatus {
            manifests: manifests.collect(),
            ..NodeStatus::default()
        };
        self.agent.send(Message::Status(status)).await;
    }
}

fn deploys(order: &CheckInResponse, version: u32) -> bool {
    let wanted = OrderKind::deploy(manifest(version), DiskPart::Everything);
    order
        .order
        .as_ref()
        .is_some_and(|order| order.kind == wanted)
}

fn states(versions: &[(u64, &str)]) -> Vec<(u64, String)> {
    let owned = versions
        .iter()
        .map(|(number, state)| (*number, (*state).to_owned()));
    owned.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_deploy_gets_what_its_image_is_when_its_machine_comes() {
    for kind in BOTH {
        let mut lab = Lab::new(kind, 3).await;
        lab.capture(1).await;
        let waiting = lab.fleet.task(lab.hosts[1], 1).await;
        assert_eq!(lab.opened(waiting).await, manifest(1).as_bytes());
        let (status, made) = lab.pinned(2, 1).await;
        assert_eq!(status, 201, "{made}");
        let pinned: TaskId = serde_json::from_value(made["tasks"][0]["task"].clone()).unwrap();
        assert_eq!(lab.shown(waiting).await, (json!(1), json!(false)));
        assert_eq!(lab.shown(pinned).await, (json!(1), json!(true)));

        lab.capture(2).await;
        assert_eq!(
            lab.shown(waiting).await,
            (json!(2), json!(false)),
            "{kind:?}"
        );
        let order = lab.check_in(1).await;
        assert!(deploys(&order, 2), "{kind:?}: {order:?}");
        assert_eq!(
            lab.opened(waiting).await,
            manifest(2).as_bytes(),
            "the node is told of the new version"
        );
        assert_eq!(lab.shown(waiting).await, (json!(2), json!(true)));

        // What runs keeps its version, and so does what names one.
        lab.capture(3).await;
        assert_eq!(lab.shown(waiting).await, (json!(2), json!(true)));
        let again = lab.check_in(1).await;
        assert!(deploys(&again, 2), "the same machine, again: {again:?}");
        let order = lab.check_in(2).await;
        assert!(deploys(&order, 1), "{kind:?}: {order:?}");
        assert_eq!(
            lab.versions().await,
            states(&[(3, "present"), (2, "kept"), (1, "kept")]),
            "two tasks rely on them"
        );
        let (status, refusal) = lab.pinned(3, 9).await;
        assert_eq!(
            (status, &refusal["field"]),
            (400, &json!("version")),
            "{refusal}"
        );
        lab.complete(waiting).await;
        lab.complete(pinned).await;
        let (_, image) = lab
            .fleet
            .api("GET", &format!("/fog/image/{}", lab.image), None)
            .await;
        let row = |host: u32| format!("/fog/host/{host}");
        let host = lab.fleet.good("GET", &row(lab.hosts[1]), None).await;
        let never = lab.fleet.good("GET", &row(lab.hosts[0]), None).await;
        let date = |object: &Value| object["deployed"].as_str().unwrap_or_default().to_owned();
        assert!(date(&image).starts_with("20"), "set at capture: {image}");
        assert!(date(&host).starts_with("20"), "set at deploy: {host}");
        assert!(
            !date(&never).starts_with("20"),
            "not set by a capture: {never}"
        );

        // Only what is neither kept nor used is deleted, and by name.
        lab.capture(4).await;
        assert_eq!(
            lab.versions().await,
            states(&[(4, "present"), (3, "kept")]),
            "{kind:?}"
        );
        let last = lab.fleet.task(lab.hosts[3], 1).await;
        assert!(deploys(&lab.check_in(3).await, 4));
        lab.holds(&[1, 2, 3, 4]).await;
        // What makes the controller look.
        lab.agent.send(progress(last)).await;
        let mut dropped = Vec::new();
        while dropped.len() < 2 {
            let named = lab.agent.order(|order| match order {
                Order::Job(job) => match job.work {
                    Some(job::Work::Drop(drop)) => Some(drop.manifest_id),
                    _ => None,
                },
                _ => None,
            });
            let named = named.await;
            if !dropped.contains(&named) {
                dropped.push(named);
            }
        }
        for kept in [3, 4] {
            assert!(!dropped.contains(&manifest(kept).as_bytes().to_vec()));
        }
        lab.fleet.controller.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_earlier_version_becomes_the_present_one_again_and_is_named_by_its_number() {
    let mut lab = Lab::new(Kind::Embedded, 1).await;
    let undo = format!("/foghorn/v1/images/{}/undo", lab.image);
    assert_eq!(lab.versions().await, []);
    assert_eq!(lab.fleet.api("POST", &undo, Some(json!({}))).await.0, 409);
    lab.capture(1).await;
    lab.capture(2).await;
    let found = lab.fleet.good("GET", &lab.versions_path(), None).await;
    assert_eq!(
        (
            &found["versions"][1]["captured_from"]["name"],
            &found["versions"][1]["used_bytes"],
            &found["keep_versions"],
            &found["keep_days"]
        ),
        (&json!("pc0"), &json!(30), &json!(1), &json!(14))
    );
    lab.fleet.good("POST", &undo, Some(json!({}))).await;
    assert_eq!(lab.versions().await, states(&[(1, "present"), (2, "kept")]));
    let task = lab.fleet.task(lab.hosts[1], 1).await;
    let order = lab.check_in(1).await;
    assert!(deploys(&order, 1), "{order:?}");
    lab.opened(task).await;
    lab.complete(task).await;

    for (body, status) in [
        (json!({"version": 1}), 409),
        (json!({"version": 7}), 404),
        (json!({"version": "two"}), 400),
    ] {
        let (got, answer) = lab.fleet.api("POST", &undo, Some(body.clone())).await;
        assert_eq!(
            (got, &answer["field"]),
            (status, &json!("version")),
            "{body}"
        );
    }
    lab.fleet
        .good("POST", &undo, Some(json!({"version": 2})))
        .await;
    assert_eq!(lab.versions().await, states(&[(2, "present"), (1, "kept")]));
    // Numbers are not used again.
    let drop = format!("{}/1", lab.versions_path());
    assert_eq!(lab.fleet.api("DELETE", &drop, None).await.0, 204);
    assert_eq!(lab.fleet.api("DELETE", &drop, None).await.0, 404);
    let present = format!("{}/2", lab.versions_path());
    assert_eq!(lab.fleet.api("DELETE", &present, None).await.0, 409);
    lab.capture(3).await;
    assert_eq!(lab.versions().await, states(&[(3, "present"), (2, "kept")]));
    // The first content once more is a version of its own, and nobody has ordered that to be
    // deleted.
    lab.capture(1).await;
    assert_eq!(lab.versions().await, states(&[(4, "present"), (3, "kept")]));
    let removals = lab.fleet.controller.ctx().state.read(|tables| {
        let removals = tables.removals().iter();
        removals.map(|removal| removal.what).collect::<Vec<_>>()
    });
    let image = ImageId::new(lab.image).unwrap();
    use foghorn_controller::state::removal::Stored;
    assert_eq!(removals, [Stored::Image(image, manifest(2))]);
    lab.fleet.controller.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_captured_into_a_protected_image() {
    let mut lab = Lab::new(Kind::Embedded, 1).await;
    lab.capture(1).await;
    let waiting = lab.fleet.task(lab.hosts[0], 2).await;
    lab.opened(waiting).await;
    let row = format!("/fog/image/{}", lab.image);
    let protect = |on: u32| json!({"protected": on});
    lab.fleet.good("PUT", &row, Some(protect(1))).await;

    // Protected since the order: the machine is turned away, and its task and its token stay.
    let token = lab.fleet.boot_token(lab.hosts[0]).await;
    let (status, refusal) = lab.fleet.try_check_in(&mac(0), &token).await;
    assert_eq!(status, 409, "{refusal}");
    let text = refusal["error"].as_str().unwrap();
    assert!(text.contains("protected"), "{text}");
    let state = &lab.fleet.status(waiting).await["state"];
    assert!(*state == "assigned" || *state == "queued", "{state}");

    let capture = |host: u32| json!({"kind": "capture", "host": host});
    let (status, refusal) = lab
        .fleet
        .api("POST", "/foghorn/v1/tasks", Some(capture(lab.hosts[1])))
        .await;
    assert_eq!(status, 400, "{refusal}");
    let fog = format!("/fog/host/{}/task", lab.hosts[1]);
    let body = json!({"taskTypeID": 2});
    let (status, refusal) = lab.fleet.api("POST", &fog, Some(body)).await;
    assert_eq!(status, 409);
    assert!(refusal.to_string().contains("protected"), "{refusal}");
    let undo = format!("/foghorn/v1/images/{}/undo", lab.image);
    let (status, refusal) = lab.fleet.api("POST", &undo, Some(json!({}))).await;
    assert!(
        refusal.to_string().contains("protected"),
        "{status} {refusal}"
    );
    // A deploy reads it.
    let deploy = lab.fleet.task(lab.hosts[1], 1).await;
    let order = lab.check_in(1).await;
    assert!(deploys(&order, 1), "{order:?}");
    lab.complete(deploy).await;

    lab.fleet.good("PUT", &row, Some(protect(0))).await;
    lab.fleet.check_in(&mac(0), &token).await;
    // A capture that has begun ends in an image that is not protected.
    let (status, refusal) = lab.fleet.api("PUT", &row, Some(protect(1))).await;
    assert_eq!(status, 409, "{refusal}");
    lab.agent.send(captured(waiting, manifest(2))).await;
    recorded(&mut lab.agent, waiting).await;
    assert_eq!(lab.versions().await, states(&[(2, "present"), (1, "kept")]));
    lab.fleet.controller.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_hosts_of_a_session_get_one_version() {
    for kind in BOTH {
        let mut lab = Lab::new(kind, 3).await;
        lab.capture(1).await;
        let body = json!({"hosts": lab.hosts[1..3], "max_wait_seconds": 600});
        let made = lab
            .fleet
            .good("POST", "/foghorn/v1/multicast-sessions", Some(body))
            .await;
        let second: TaskId = serde_json::from_value(made["tasks"][1].clone()).unwrap();
        let alone = lab.fleet.task(lab.hosts[3], 1).await;
        lab.capture(2).await;
        assert_eq!(lab.shown(second).await, (json!(2), json!(false)));
        let order = lab.check_in(1).await;
        assert!(deploys(&order, 2), "{kind:?}: {order:?}");
        lab.capture(3).await;
        assert_eq!(
            lab.shown(second).await,
            (json!(2), json!(false)),
            "{kind:?}"
        );
        assert_eq!(lab.shown(alone).await, (json!(3), json!(false)));
        let (first, other) = (lab.check_in(2).await, lab.check_in(3).await);
        assert!(deploys(&first, 2), "{kind:?}: {first:?}");
        assert!(deploys(&other, 3), "{kind:?}: {other:?}");
        lab.fleet.controller.shutdown().await;
    }
}

/// A node that has what the image was before is left for the one that has what it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_task_leaves_a_node_that_does_not_hold_the_new_version() {
    let mut lab = Lab::new(Kind::Embedded, 1).await;
    lab.capture(1).await;
    let task = lab.fleet.task(lab.hosts[1], 1).await;
    lab.opened(task).await;
    let (keys, enrolled) = lab.fleet.joined("south").await;
    let mut south = Agent::connect(&lab.fleet, &keys, &enrolled).await;
    // As if the capture had gone to the other node.
    let image = ImageId::new(lab.image).unwrap();
    let state = &lab.fleet.controller.ctx().state;
    state
        .write::<_, Refusal>(|draft| {
            let mut content = (**draft.tables().contents().get(&image).unwrap()).clone();
            content.manifest = manifest(2);
            content.version = 2;
            content.nodes = vec![enrolled.node_id];
            draft.store(&content);
            Ok(())
        })
        .await
        .unwrap();
    let open = south.order(opened).await;
    assert_eq!(
        (open.task_id, open.manifest_id.as_slice()),
        (task.get(), manifest(2).as_bytes().as_slice())
    );
    let order = lab.check_in(1).await;
    assert!(deploys(&order, 2), "{order:?}");
    assert_eq!(lab.fleet.status(task).await["node"], "south");
    lab.fleet.controller.shutdown().await;
}

/// A machine that comes at the moment at which its image is captured gets what the image was or
/// what it is, and the store agrees on which.
#[tokio::test(flavor = "multi_thread")]
async fn a_check_in_and_a_capture_at_once_come_one_after_the_other() {
    const ROUNDS: u32 = 12;
    for kind in BOTH {
        let mut lab = Lab::new(kind, 1).await;
        lab.capture(1).await;
        let image = ImageId::new(lab.image).unwrap();
        let mut earlier = 0;
        for round in 2..2 + ROUNDS {
            let deploy = lab.fleet.task(lab.hosts[1], 1).await;
            let (capture, report) = lab.begin_capture(round).await;
            let token = lab.fleet.boot_token(lab.hosts[1]).await;
            let target = mac(1);
            let (order, ()) =
                tokio::join!(lab.fleet.check_in(&target, &token), lab.agent.send(report));
            recorded(&mut lab.agent, capture).await;
            let got = lab.fleet.controller.ctx().state.read(|tables| {
                let content = tables.contents().get(&image).unwrap();
                assert_eq!(content.version, round, "{kind:?}");
                let run = tables.runs().get(&deploy).unwrap();
                let RunKind::Deploy {
                    manifest: Some(got),
                    version,
                } = run.kind
                else {
                    panic!("{kind:?}: {run:?}")
                };
                let kept = content.with_manifest(got).expect("it is kept");
                assert_eq!(Some(kept.version), version, "{kind:?}");
                // Nothing has touched the run since.
                if got == content.manifest {
                    assert!(run.modified > content.modified, "{kind:?}: {run:?}");
                } else {
                    assert!(run.modified < content.modified, "{kind:?}: {run:?}");
                }
                got
            });
            earlier += u32::from(got == manifest(round - 1));
            if let Some(order) = &order.order {
                assert_eq!(
                    order.kind,
                    OrderKind::deploy(got, DiskPart::Everything),
                    "{kind:?}"
                );
            }
            lab.complete(deploy).await;
        }
        assert!(earlier <= ROUNDS);
        lab.fleet.controller.shutdown().await;
    }
}
