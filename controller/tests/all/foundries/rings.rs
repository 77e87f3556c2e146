//! What following a tag does: devices are imaged, by the policy of their site or by the file of an operator.

use foghorn_controller::app::devices::contact::{self, Headers, New};
use foghorn_controller::app::devices::report;
use foghorn_controller::app::devices::rings::Planner;
use foghorn_controller::app::moves;
use foghorn_controller::app::tasks;
use foghorn_controller::background::Report;
use foghorn_controller::ctx::Ctx;
use foghorn_controller::state::machines::device::Network;
use foghorn_controller::state::machines::policy::RingPolicy;
use foghorn_controller::state::run::{Run, RunKind};
use foghorn_lifecycle::{Outcome, TaskEvent};
use foghorn_types::{HostId, MachineUuid, StorageNodeId, TaskId, Timestamp};
use serde_json::{Value, json};

use super::{Factory, assert_refused};
use crate::devices::{factory, identity};
use crate::engine::{BOTH, Engine, Kind};
use crate::fog_rules::id;
use crate::fog_support::Server;

const POLICY: &str = "/foghorn/v1/sites/1/ring-policy";

/// A site with an image `disk`, whose second version has the tag `lab`.
pub(super) async fn site(kind: Kind) -> Factory {
    let factory = Factory::start_on(kind).await;
    factory.image().await;
    tag(&factory, "disk-2", "lab").await;
    factory
}

async fn tag(factory: &Factory, target: &str, tag: &str) {
    let body = json!({"targets": {target: {"custom": {"tags": [tag]}}}});
    let path = factory.at("targets/");
    let tagged = factory.call("PATCH", &path, body).await;
    assert_eq!(tagged.status, 200, "{}", tagged.text);
}

/// A host with the image.
async fn host(server: &Server, name: &str, mac: &str) -> HostId {
    let image = server.state.read(|tables| {
        let row = tables.images().named("disk").unwrap();
        row.id
    });
    let body = json!({"name": name, "macs": [mac], "imageID": image});
    let made = server.call("POST", "/fog/host/create", body).await;
    assert_eq!(made.status, 200, "{}", made.text);
    HostId::new(id(&made.json())).unwrap()
}

/// A host with the image, and the device that it is by its certificate. It runs the first version.
pub(super) async fn machine(factory: &Factory, number: u8) -> (HostId, MachineUuid) {
    let server = &factory.server;
    let mac = format!("52:54:00:00:07:{number:02x}");
    let host = host(server, &format!("pc-{number}"), &mac).await;
    let new = New {
        identity: identity(&server.state, number.into()),
        name: String::new(),
        group: String::new(),
        hardware_id: None,
        host: Some(host),
        owner: 1,
    };
    let device = contact::register(&server.state, &new).await.unwrap();
    factory.device(number.into(), "disk-1", "lab").await;
    (host, device.uuid)
}

pub(super) async fn set(factory: &Factory, edit: Value) {
    let set = factory.server.call("PUT", POLICY, edit).await;
    assert_eq!(set.status, 200, "{}", set.text);
}

pub(super) async fn round(ctx: &Ctx, now: Timestamp) {
    let mut report = Report::default();
    Planner::default().round(ctx, now, &mut report).await;
}

pub(super) fn policy(server: &Server) -> RingPolicy {
    let stored = server
        .state
        .read(|tables| tables.ring_policies().get(&factory()).cloned());
    RingPolicy::clone(&stored.unwrap())
}

/// The runs of a host, the oldest first.
pub(super) fn runs(server: &Server, host: HostId) -> Vec<Run> {
    server.state.read(|tables| {
        let runs = tables.runs().iter().filter(|run| run.host == host);
        runs.map(|run| Run::clone(run)).collect()
    })
}

fn active(server: &Server) -> usize {
    server.state.read(|tables| tables.runs().active().count())
}

/// The machine comes, and the deploy ends like this.
pub(super) async fn ends(server: &Server, task: TaskId, outcome: Outcome) {
    let node = StorageNodeId::new(1).unwrap();
    begins(server, task).await;
    let end = TaskEvent::Ended { node, outcome };
    moves::apply_event(&server.ctx, task, end).await.unwrap();
}

async fn begins(server: &Server, task: TaskId) {
    let node = StorageNodeId::new(1).unwrap();
    for event in [
        TaskEvent::Assigned { node },
        TaskEvent::ClientCheckedIn,
        TaskEvent::Progressed { node },
    ] {
        moves::apply_event(&server.ctx, task, event).await.unwrap();
    }
}

/// A failure that is not the node's: it is final.
pub(super) fn failed() -> Outcome {
    Outcome::Failed {
        reason: "the disk is broken".to_owned(),
        node_at_fault: false,
    }
}

async fn shown(factory: &Factory, uuid: MachineUuid) -> Value {
    factory.get(&format!("/ota/devices/{uuid}/")).await.json()
}

/// Kinds of the events of the latest update, and its success.
async fn events(factory: &Factory, uuid: MachineUuid) -> (Vec<String>, Value) {
    let path = format!("/ota/devices/{uuid}/updates/");
    let updates = factory.get(&path).await.json();
    let id = updates["updates"][0]["correlation-id"].as_str().unwrap();
    let events = factory.get(&format!("{path}{id}/")).await.json();
    let events = events.as_array().unwrap();
    let kinds = events.iter().map(|event| {
        let kind = event["eventType"]["id"].as_str().unwrap();
        kind.to_owned()
    });
    let last = events.last().unwrap()["event"]["success"].clone();
    (kinds.collect(), last)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_whose_tag_has_a_newer_target_is_imaged_with_it() {
    for kind in BOTH {
        let factory = site(kind).await;
        let server = &factory.server;
        let (host, uuid) = machine(&factory, 1).await;
        assert_eq!(shown(&factory, uuid).await["up-to-date"], false);
        let now = Timestamp::now();
        round(&server.ctx, now).await;
        assert_eq!(active(server), 0, "nobody has said anything: manual");
        set(&factory, json!({"mode": "auto"})).await;
        round(&server.ctx, now).await;
        round(&server.ctx, now).await;
        let ordered = runs(server, host);
        let [run] = &ordered[..] else {
            panic!("{kind:?}: {} runs", ordered.len());
        };
        assert!(
            matches!(
                run.kind,
                RunKind::Deploy {
                    version: Some(2),
                    manifest: Some(_)
                }
            ),
            "{:?}",
            run.kind
        );
        let woken = server.state.read(|tables| {
            let wakes = tables.wakes().iter();
            wakes
                .flat_map(|wake| wake.hosts.clone())
                .collect::<Vec<_>>()
        });
        assert_eq!(woken, [host.get()]);
        let update = shown(&factory, uuid).await["current-update"].clone();
        assert_eq!(update, policy(server).orders[&uuid].id);
        assert_eq!(events(&factory, uuid).await.0, ["EcuDownloadStarted"]);

        begins(server, run.task).await;
        round(&server.ctx, now).await;
        round(&server.ctx, now).await;
        let (kinds, _) = events(&factory, uuid).await;
        assert_eq!(kinds, ["EcuDownloadStarted", "EcuInstallationStarted"]);
        let end = TaskEvent::Ended {
            node: StorageNodeId::new(1).unwrap(),
            outcome: Outcome::Complete,
        };
        moves::apply_event(&server.ctx, run.task, end)
            .await
            .unwrap();
        // What it runs follows from the end of the deploy itself.
        let after = shown(&factory, uuid).await;
        assert_eq!(
            (&after["target-name"], &after["up-to-date"]),
            (&json!("disk-2"), &json!(true))
        );
        round(&server.ctx, now).await;
        assert_eq!(shown(&factory, uuid).await["current-update"], "");
        let (kinds, success) = events(&factory, uuid).await;
        assert_eq!(kinds.last().unwrap(), "EcuInstallationCompleted");
        assert_eq!(success, true);
        assert!(policy(server).orders.is_empty());

        // It says that it runs something else: once is enough.
        factory.device(1, "disk-1", "lab").await;
        let headers = Headers {
            hash: Some(String::new()),
            ..Headers::default()
        };
        let who = identity(&server.state, 1);
        contact::contact(&server.state, &server.ctx.sightings, &who, &headers)
            .await
            .unwrap();
        round(&server.ctx, now).await;
        assert_eq!(runs(server, host).len(), 1, "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_controllers_order_no_more_than_the_policy_says_and_nothing_twice() {
    for kind in BOTH {
        let engine = Engine::start(kind).await;
        let server = Server::start_on(engine.store()).await;
        let store = match kind {
            Kind::Embedded => engine.store(),
            Kind::Etcd => engine.another_client().await,
        };
        let other = server.beside(store).await;
        let factory = Factory::of(server, Some(engine)).await;
        factory.image().await;
        tag(&factory, "disk-2", "lab").await;
        let mut hosts = Vec::new();
        for number in 1..=6 {
            hosts.push(machine(&factory, number).await.0);
        }
        set(&factory, json!({"mode": "auto", "at_most": 4})).await;
        let now = Timestamp::now();
        for _ in 0..4 {
            tokio::join!(round(&factory.server.ctx, now), round(&other.ctx, now));
        }
        assert_eq!(active(&factory.server), 4, "{kind:?}");
        assert_eq!(policy(&factory.server).orders.len(), 4, "{kind:?}");
        for host in hosts {
            assert!(runs(&factory.server, host).len() <= 1, "{kind:?} {host}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_one_after_the_other_hold_the_site_until_an_operator_resumes() {
    for kind in BOTH {
        let factory = site(kind).await;
        let server = &factory.server;
        for number in 1..=3 {
            machine(&factory, number).await;
        }
        set(
            &factory,
            json!({"mode": "auto", "at_most": 1, "stop_after": 2}),
        )
        .await;
        let now = Timestamp::now();
        for _ in 0..2 {
            round(&server.ctx, now).await;
            let orders = policy(server).orders;
            let order = orders.values().next().expect("one is ordered");
            ends(server, order.task, failed()).await;
            let uuid = *orders.keys().next().unwrap();
            round(&server.ctx, now).await;
            assert_eq!(events(&factory, uuid).await.1, false, "{kind:?}");
        }
        let shown = server.call("GET", POLICY, Value::Null).await.json();
        assert!(shown["held"].is_string(), "{kind:?}: {shown}");
        assert_eq!((&shown["failures"], active(server)), (&json!(2), 0));
        assert_eq!(shown["due"], 1);
        let why = "it was tried with this target and not finished";
        assert_eq!(shown["left_out"], json!([{"why": why, "devices": 2}]));

        let resume = format!("{POLICY}/resume");
        let resumed = server.call("POST", &resume, Value::Null).await;
        assert_eq!(resumed.status, 200, "{}", resumed.text);
        assert_eq!(resumed.json()["due"], 3, "what failed may be tried again");
        round(&server.ctx, now).await;
        assert_eq!(active(server), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_does_not_come_gives_its_place_to_another_and_comes_again() {
    for kind in BOTH {
        let factory = site(kind).await;
        let server = &factory.server;
        for number in 1..=2 {
            machine(&factory, number).await;
        }
        set(
            &factory,
            json!({"mode": "auto", "at_most": 1, "patience_minutes": 30}),
        )
        .await;
        let mut now = Timestamp::now();
        let mut order = Vec::new();
        for _ in 0..3 {
            round(&server.ctx, now).await;
            let orders = policy(server).orders;
            order.push(*orders.keys().next().expect("one is ordered"));
            assert_eq!(active(server), 1, "{kind:?}");
            now = now + std::time::Duration::from_secs(30 * 60);
        }
        assert!(order[0] != order[1] && order[0] == order[2], "{kind:?}");
        assert_eq!(policy(server).failures, 0);
        // A day without the window: what waits is taken back.
        let never = "mon-sun 00:00-00:01";
        set(&factory, json!({"window": never})).await;
        let noon = Timestamp::from_millis(now.as_millis() / 86_400_000 * 86_400_000 + 43_200_000);
        round(&server.ctx, noon).await;
        assert_eq!(
            (active(server), policy(server).orders.len()),
            (0, 0),
            "{kind:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_are_busy_protected_or_only_claimed_are_left_alone() {
    let factory = site(Kind::Embedded).await;
    let server = &factory.server;
    let (busy, _) = machine(&factory, 1).await;
    let (protected, _) = machine(&factory, 2).await;
    // It says that it is the host with this address.
    let claimed = host(server, "claimed", "52:54:00:00:08:01").await;
    let liar = factory.device(9, "disk-1", "lab").await.uuid;
    let network = Network {
        mac: "52:54:00:00:08:01".to_owned(),
        ..Network::default()
    };
    report::network(&server.state, liar, &network)
        .await
        .unwrap();
    let task = json!({"taskTypeID": 1});
    let ordered = server
        .call("POST", &format!("/fog/host/{busy}/task"), task)
        .await;
    assert_eq!(ordered.status, 200, "{}", ordered.text);
    set(&factory, json!({"mode": "auto", "protected": [protected]})).await;
    let now = Timestamp::now();
    round(&server.ctx, now).await;
    assert_eq!(active(server), 1, "the one that was there");
    let shown = server.call("GET", POLICY, Value::Null).await.json();
    assert_eq!(shown["left_out"].as_array().unwrap().len(), 3, "{shown}");

    set(&factory, json!({"by_address": true, "protected": []})).await;
    round(&server.ctx, now).await;
    assert_eq!(runs(server, protected).len(), 1);
    assert_eq!(runs(server, claimed).len(), 1, "an operator has said so");
    assert_eq!(runs(server, busy).len(), 1);
    let gone = json!({"protected": [999]});
    let refused = server.call("PUT", POLICY, gone).await;
    assert_eq!(refused.status, 400, "{}", refused.text);
    for bad in [
        json!({"window": "at night"}),
        json!({"at_most": 0}),
        json!({"patience_minutes": 0}),
        json!({"mode": "always"}),
    ] {
        let refused = server.call("PUT", POLICY, bad.clone()).await;
        assert_eq!(refused.status, 400, "{bad}: {}", refused.text);
    }
    let none = server
        .call("GET", "/foghorn/v1/sites/77/ring-policy", Value::Null)
        .await;
    assert_eq!(none.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_somebody_cancels_is_no_failure_and_is_not_ordered_again() {
    let factory = site(Kind::Embedded).await;
    let server = &factory.server;
    let (host, uuid) = machine(&factory, 1).await;
    set(&factory, json!({"mode": "auto", "stop_after": 1})).await;
    let now = Timestamp::now();
    round(&server.ctx, now).await;
    tasks::cancel_host(&server.state, host).await.unwrap();
    round(&server.ctx, now).await;
    round(&server.ctx, now).await;
    assert_eq!(runs(server, host).len(), 1);
    let policy = policy(server);
    assert_eq!(
        (policy.failures, policy.held, policy.orders.len()),
        (0, None, 0)
    );
    assert_eq!(events(&factory, uuid).await.1, false);
}

pub(super) fn order(id: &str) -> Value {
    json!({"reason": "reimage", "files": [{
        "name": "fioconfig-oneshot-reimage",
        "value": format!("COMMAND_ID={id}\nCOMMAND_CAPTURE=1\n"),
        "unencrypted": true,
        "on-changed": ["/usr/share/fioconfig/handlers/fioconfig-oneshot", "reimage"],
    }]})
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_of_an_operator_has_a_machine_imaged_once() {
    for kind in BOTH {
        let factory = site(kind).await;
        let server = &factory.server;
        let (host, uuid) = machine(&factory, 1).await;
        let path = format!("/ota/devices/{uuid}/config/");
        let dry = format!("{path}?dry_run=true");
        let tried = factory.call("PATCH", &dry, order("reimage_0000001")).await;
        assert_eq!((tried.status.as_u16(), runs(server, host).len()), (200, 0));
        let made = factory.call("PATCH", &path, order("reimage_0000001")).await;
        assert_eq!(made.status, 201, "{kind:?}: {}", made.text);
        let run = runs(server, host).remove(0);
        assert!(matches!(
            run.kind,
            RunKind::Deploy {
                version: Some(2),
                ..
            }
        ));
        let update = shown(&factory, uuid).await["current-update"].clone();
        assert_eq!(update, policy(server).orders[&uuid].id);
        // The same order, and another one while the host is busy.
        let again = factory.call("PATCH", &path, order("reimage_0000001")).await;
        assert_eq!(again.status, 201, "{}", again.text);
        let busy = factory.call("PATCH", &path, order("reimage_0000002")).await;
        assert_refused(&busy, 409);
        let versions = factory.get(&path).await.json();
        assert_eq!(versions["total"], 2, "a refused order leaves no version");
        assert_eq!(runs(server, host).len(), 1, "{kind:?}");

        ends(server, run.task, Outcome::Complete).await;
        round(&server.ctx, Timestamp::now()).await;
        assert_eq!(events(&factory, uuid).await.1, true);
        // It is up to date, and is imaged all the same.
        let next = factory.call("PATCH", &path, order("reimage_0000002")).await;
        assert_eq!(next.status, 201, "{}", next.text);
        assert_eq!(runs(server, host).len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_nobody_can_carry_out_is_refused() {
    let factory = site(Kind::Embedded).await;
    let alone = factory.device(1, "disk-1", "lab").await.uuid;
    let path = format!("/ota/devices/{alone}/config/");
    let refused = factory.call("PATCH", &path, order("reimage_0000001")).await;
    assert_refused(&refused, 409);
    let (_, uuid) = machine(&factory, 2).await;
    let path = format!("/ota/devices/{uuid}/config/");
    assert_refused(&factory.call("PATCH", &path, order("short")).await, 400);
    let everywhere = factory.at("config/");
    let refused = factory
        .call("PATCH", &everywhere, order("reimage_0000001"))
        .await;
    assert_refused(&refused, 400);
    assert_eq!(active(&factory.server), 0);
}
