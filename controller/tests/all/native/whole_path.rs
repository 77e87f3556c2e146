//! Capture, then deploy, from the request to the end, with the messages in between.

use foghorn_controller::state::classes::ImagingLog;
use foghorn_proto::http::OrderKind;
use foghorn_proto::link::agent_message::Message;
use foghorn_proto::link::controller_message::Message as Order;
use foghorn_proto::link::{
    CapturedImage, Completed, EndedRecorded, Failed, ImageNote, SessionEnded, SessionKind,
    SessionProgress, session_ended,
};
use foghorn_types::{ManifestId, TaskId};
use serde_json::json;

use crate::engine::BOTH;
use crate::native::agent::{Agent, opened};
use crate::native::fleet::Fleet;

const MAC: &str = "02:00:00:00:00:01";

pub(crate) fn progress(task: TaskId) -> Message {
    Message::Progress(SessionProgress {
        task_id: task.get(),
        bytes_done: 10,
        bytes_total: 40,
        bytes_wire: 5,
        ..SessionProgress::default()
    })
}

pub(crate) fn captured(task: TaskId, manifest: ManifestId) -> Message {
    let image = CapturedImage {
        manifest_id: manifest.as_bytes().to_vec(),
        logical_bytes: 40,
        used_bytes: 30,
        stored_bytes: 20,
        new_bytes: 10,
        notes: vec![ImageNote {
            kind: 5,
            partition: 2,
            offset: 16,
            length: 8,
            text: "could not be read".to_owned(),
        }],
        more_notes: 1,
        disks: Vec::new(),
        partitions: Vec::new(),
        minimum: 32,
    };
    let completed = Completed {
        r#final: None,
        captured: Some(image),
    };
    ended(task, session_ended::Outcome::Completed(completed))
}

pub(crate) fn ended(task: TaskId, outcome: session_ended::Outcome) -> Message {
    Message::Ended(SessionEnded {
        task_id: task.get(),
        outcome: Some(outcome),
        incarnation: 0,
    })
}

pub(crate) async fn recorded(agent: &mut Agent, task: TaskId) {
    agent
        .order(|order| {
            matches!(order, Order::EndedRecorded(end) if end.task_id == task.get()).then_some(())
        })
        .await;
}

/// Captures with a client of one host; gives the manifest.
pub(crate) async fn capture(fleet: &Fleet, agent: &mut Agent, host: u32) -> ManifestId {
    let task = fleet.task(host, 2).await;
    agent.order(opened).await;
    fleet.check_in(MAC, &fleet.boot_token(host).await).await;
    let manifest = ManifestId::of(b"the disk");
    agent.send(captured(task, manifest)).await;
    recorded(agent, task).await;
    manifest
}

/// Lines of FOG's history, the oldest first.
async fn history(fleet: &Fleet) -> Vec<String> {
    let found = fleet.good("GET", "/fog/history", None).await;
    found["historys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["info"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_goes_and_comes_back_is_in_the_history() {
    let fleet =
        Fleet::with(|config| config.limits.node_grace = std::time::Duration::from_millis(200))
            .await;
    let (_, never_called) = fleet.joined("south").await;
    let (keys, enrolled) = fleet.joined("north").await;
    let gone = format!(
        "Storage node north ({}) has stopped answering",
        enrolled.node_id
    );
    let back = format!("Storage node north ({}) answers again", enrolled.node_id);
    drop(Agent::connect(&fleet, &keys, &enrolled).await);
    let mut changed = fleet.controller.ctx().state.changed();
    let patience = std::time::Duration::from_secs(20);
    while history(&fleet).await != [gone.clone()] {
        tokio::time::timeout(patience, changed.changed())
            .await
            .expect("the loss is told")
            .unwrap();
    }
    let _north = Agent::connect(&fleet, &keys, &enrolled).await;
    while history(&fleet).await != [gone.clone(), back.clone()] {
        tokio::time::timeout(patience, changed.changed())
            .await
            .expect("the return is told")
            .unwrap();
    }
    assert_ne!(never_called.node_id, enrolled.node_id);
    fleet.controller.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capture_goes_its_whole_way_and_a_deploy_follows() {
    let fleet = Fleet::new().await;
    let image = fleet.image("win").await;
    let host = fleet.host("pc1", MAC, image).await;
    let (keys, enrolled) = fleet.joined("north").await;
    let mut agent = Agent::connect(&fleet, &keys, &enrolled).await;
    assert!(agent.first.sessions.is_empty());

    let (status, refusal) = fleet
        .api(
            "POST",
            &format!("/fog/host/{host}/task"),
            Some(json!({"taskTypeID": 1})),
        )
        .await;
    assert_eq!(
        status, 409,
        "an image without content is not deployed: {refusal}"
    );

    let task = fleet.task(host, 2).await;
    let open = agent.order(opened).await;
    assert_eq!(
        (open.task_id, open.kind(), open.client_fingerprint.len()),
        (task.get(), SessionKind::Capture, 0)
    );
    let checked_in = fleet.check_in(MAC, &fleet.boot_token(host).await).await;
    let order = checked_in.order.expect("the node is there");
    assert_eq!(
        (order.task, order.kind, order.image_name.as_str()),
        (task, OrderKind::Capture, "win")
    );
    assert_eq!(
        (
            order.sources[0].address.as_str(),
            order.sources[0].server_name.as_str()
        ),
        ("127.0.0.1:4433", "north.node.foghorn.internal")
    );
    let admitted = agent
        .order(|order| {
            if let Order::Admit(admit) = order {
                Some(admit.client_fingerprint)
            } else {
                None
            }
        })
        .await;
    let der = pem_der(&checked_in.chain_pem);
    assert_eq!(admitted, blake3::hash(&der).as_bytes());
    assert_eq!(fleet.status(task).await["state"], "checked_in");

    agent.send(progress(task)).await;
    let running = fleet.wait_for_state(task, "running").await;
    assert_eq!(
        (&running["node"], &running["host"]["name"]),
        (&json!("north"), &json!("pc1"))
    );
    agent
        .send(captured(task, ManifestId::of(b"the disk")))
        .await;
    recorded(&mut agent, task).await;
    assert_eq!(fleet.status(task).await["state"], "complete");
    let content = fleet
        .good("GET", &format!("/foghorn/v1/images/{image}"), None)
        .await;
    assert_eq!(
        (
            &content["content"]["logical_bytes"],
            &content["content"]["nodes"][0]["name"]
        ),
        (&json!(40), &json!("north"))
    );
    assert_eq!(
        fleet.good("GET", &format!("/fog/task/{task}"), None).await["stateID"],
        "4"
    );
    let logs = fleet.controller.ctx().state.read(|tables| {
        tables
            .of::<ImagingLog>()
            .iter()
            .map(|log| (log.kind.clone(), log.image.clone(), log.finish.0.is_some()))
            .collect::<Vec<_>>()
    });
    assert_eq!(logs, [("up".to_owned(), "win".to_owned(), true)]);
    let states = fleet.good("GET", "/fog/tasklog", None).await;
    let states: Vec<_> = states["tasklogs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (&row["taskID"], &row["stateID"]))
        .collect();
    let text = json!(task.to_string());
    assert_eq!(
        states,
        [
            (&text, &json!("2")),
            (&text, &json!("3")),
            (&text, &json!("4"))
        ]
    );
    assert_eq!(
        history(&fleet).await,
        [format!("Task {task}: win was captured from pc1")]
    );
    let (gone, _) = fleet.order(&checked_in.session, 0).await;
    assert_eq!(gone, 410);

    let deploy = fleet.task(host, 1).await;
    let open = agent.order(opened).await;
    assert_eq!(
        (open.task_id, open.kind(), open.manifest_id),
        (
            deploy.get(),
            SessionKind::Deploy,
            ManifestId::of(b"the disk").as_bytes().to_vec()
        )
    );
    fleet.controller.shutdown().await;
}

/// A store that was restored gives numbers of tasks out again; an agent may still have the end of the
/// task that had the number before.
#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_task_that_had_the_number_before_ends_no_other() {
    for kind in BOTH {
        let fleet = Fleet::on(kind, |_| {}).await;
        let host = fleet.host("pc1", MAC, fleet.image("win").await).await;
        let (keys, enrolled) = fleet.joined("north").await;
        let mut agent = Agent::connect(&fleet, &keys, &enrolled).await;
        let task = fleet.task(host, 2).await;
        let open = agent.order(opened).await;
        assert_ne!(open.incarnation, 0);
        let of = |incarnation: u64, message: Message| match message {
            Message::Ended(ended) => Message::Ended(SessionEnded {
                incarnation,
                ..ended
            }),
            other => other,
        };
        let failed = || {
            let failed = Failed {
                reason: "the disk is full".into(),
                node_at_fault: false,
            };
            ended(task, session_ended::Outcome::Failed(failed))
        };
        let before = open.incarnation.wrapping_add(1).max(1);
        // Before and after the check-in: a completion without one would end the task otherwise.
        for checked_in in [false, true] {
            if checked_in {
                fleet.check_in(MAC, &fleet.boot_token(host).await).await;
            }
            let state = fleet.status(task).await["state"].clone();
            for message in [failed(), captured(task, ManifestId::of(b"older"))] {
                agent.send(of(before, message)).await;
                let answer = agent.order(answered).await;
                assert_eq!((answer.task_id, answer.incarnation), (task.get(), before));
                assert_eq!(fleet.status(task).await["state"], state, "{kind:?}");
            }
        }
        agent.send(of(open.incarnation, failed())).await;
        agent.order(answered).await;
        assert_eq!(fleet.status(task).await["state"], "failed");
        fleet.stop().await;
    }
}

fn answered(order: Order) -> Option<EndedRecorded> {
    match order {
        Order::EndedRecorded(answer) => Some(answer),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_session_is_recorded_once_and_answered_every_time() {
    let fleet = Fleet::new().await;
    let host = fleet.host("pc1", MAC, fleet.image("win").await).await;
    let (keys, enrolled) = fleet.joined("north").await;
    let mut agent = Agent::connect(&fleet, &keys, &enrolled).await;
    let task = fleet.task(host, 2).await;
    agent.order(opened).await;
    fleet.check_in(MAC, &fleet.boot_token(host).await).await;
    for _ in 0..2 {
        let failed = Failed {
            reason: "the disk is full".into(),
            node_at_fault: false,
        };
        agent
            .send(ended(task, session_ended::Outcome::Failed(failed)))
            .await;
        recorded(&mut agent, task).await;
    }
    let status = fleet.status(task).await;
    assert_eq!(
        (&status["state"], &status["reason"]),
        (&json!("failed"), &json!("the disk is full"))
    );
    let lines = [format!(
        "Task {task}: capture of win from pc1 failed: the disk is full"
    )];
    assert_eq!(
        history(&fleet).await,
        lines,
        "told twice, and happened once"
    );
    assert_eq!(
        fleet.good("GET", &format!("/fog/task/{task}"), None).await["stateID"],
        "5"
    );
    fleet.controller.shutdown().await;
}

/// As after an older backup of the store was restored: the node has the content, and nobody here
/// knows it.
#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_an_unknown_task_is_answered_as_unknown() {
    let fleet = Fleet::new().await;
    let (keys, enrolled) = fleet.joined("north").await;
    let mut agent = Agent::connect(&fleet, &keys, &enrolled).await;
    let task = TaskId::new(77).unwrap();
    let report = captured(task, ManifestId::of(b"content"));
    agent.send(report).await;
    assert!(agent.order(answered).await.unknown);
    let host = fleet.host("pc1", MAC, fleet.image("win").await).await;
    let task = fleet.task(host, 2).await;
    agent.order(opened).await;
    fleet.check_in(MAC, &fleet.boot_token(host).await).await;
    agent.send(captured(task, ManifestId::of(b"content"))).await;
    assert!(!agent.order(answered).await.unknown);
    fleet.controller.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_completes_a_task_whose_client_never_came() {
    let fleet = Fleet::new().await;
    let host = fleet.host("pc1", MAC, fleet.image("win").await).await;
    let (keys, enrolled) = fleet.joined("north").await;
    let mut agent = Agent::connect(&fleet, &keys, &enrolled).await;
    let task = fleet.task(host, 2).await;
    agent.order(opened).await;
    agent
        .send(captured(task, ManifestId::of(b"invented")))
        .await;
    recorded(&mut agent, task).await;
    assert_eq!(fleet.status(task).await["state"], "failed");
    let failures = fleet.good("GET", "/fog/nodefailure", None).await;
    assert_eq!(failures["count"], 1, "{failures}");
    fleet.controller.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_task_ends_at_the_node_and_at_the_client() {
    let fleet = Fleet::new().await;
    let host = fleet.host("pc1", MAC, fleet.image("win").await).await;
    let (keys, enrolled) = fleet.joined("north").await;
    let mut agent = Agent::connect(&fleet, &keys, &enrolled).await;
    let task = fleet.task(host, 2).await;
    agent.order(opened).await;
    let client = fleet.check_in(MAC, &fleet.boot_token(host).await).await;
    fleet
        .good("DELETE", &format!("/fog/task/{task}/cancel"), None)
        .await;
    agent
        .order(|order| {
            matches!(order, Order::Cancel(cancel) if cancel.task_id == task.get()).then_some(())
        })
        .await;
    assert_eq!(fleet.order(&client.session, 20).await.0, 410);
    assert_eq!(fleet.status(task).await["state"], "cancelled");
    assert!(
        history(&fleet).await.is_empty(),
        "what people do is in the audit log"
    );
    fleet.controller.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_controller_knows_what_was_running() {
    let fleet = Fleet::new().await;
    let host = fleet.host("pc1", MAC, fleet.image("win").await).await;
    let (keys, enrolled) = fleet.joined("north").await;
    let mut agent = Agent::connect(&fleet, &keys, &enrolled).await;
    let task = fleet.task(host, 2).await;
    agent.order(opened).await;
    let client = fleet.check_in(MAC, &fleet.boot_token(host).await).await;
    drop(agent);
    let fleet = fleet.restarted().await;
    let agent = Agent::connect(&fleet, &keys, &enrolled).await;
    let session = &agent.first.sessions[0];
    assert_eq!(
        (session.task_id, session.client_fingerprint.as_slice()),
        (
            task.get(),
            blake3::hash(&pem_der(&client.chain_pem))
                .as_bytes()
                .as_slice()
        )
    );
    let (status, order) = fleet.order(&client.session, 20).await;
    assert_eq!((status, &order["task"]), (200, &json!(task)));
    fleet.controller.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_moves_to_another_node_when_its_own_is_lost() {
    let fleet =
        Fleet::with(|config| config.limits.node_grace = std::time::Duration::from_millis(300))
            .await;
    let image = fleet.image("win").await;
    let host = fleet.host("pc1", MAC, image).await;
    let (keys, enrolled) = fleet.joined("north").await;
    let mut north = Agent::connect(&fleet, &keys, &enrolled).await;
    let manifest = capture(&fleet, &mut north, host).await;
    let (keys, enrolled) = fleet.joined("south").await;
    let mut south = Agent::connect(&fleet, &keys, &enrolled).await;
    let status = foghorn_proto::link::NodeStatus {
        manifests: vec![foghorn_proto::link::StoredManifest {
            image_id: image,
            manifest_id: manifest.as_bytes().to_vec(),
            ..foghorn_proto::link::StoredManifest::default()
        }],
        ..Default::default()
    };

    let task = fleet.task(host, 1).await;
    assert_eq!(north.order(opened).await.task_id, task.get());
    fleet.check_in(MAC, &fleet.boot_token(host).await).await;
    north.send(progress(task)).await;
    fleet.wait_for_state(task, "running").await;
    south.send(Message::Status(status)).await;
    drop(north);
    assert_eq!(south.order(opened).await.task_id, task.get());
    let status = fleet.wait_for_state(task, "checked_in").await;
    assert_eq!(status["node"], "south");
    assert_eq!(
        fleet.good("GET", "/fog/nodefailure", None).await["count"],
        1
    );
    fleet.controller.shutdown().await;
}

/// The first certificate of a chain.
pub(crate) fn pem_der(pem: &str) -> Vec<u8> {
    let body: String = pem
        .lines()
        .skip(1)
        .take_while(|line| !line.starts_with("-----"))
        .collect();
    data_encoding::BASE64.decode(body.as_bytes()).unwrap()
}
