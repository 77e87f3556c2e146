//! A client that reaches the controller and not the storage node of its task.

use foghorn_proto::http::{CheckInResponse, UNREACHED_PATH};
use foghorn_types::TaskId;
use serde_json::{Value, json};

use crate::engine::BOTH;
use crate::native::agent::{Agent, opened};
use crate::native::fleet::{Fleet, call};
use crate::native::whole_path::progress;

const MAC: &str = "02:00:00:00:00:01";
const ADDRESS: &str = "127.0.0.1:4433";

async fn report(fleet: &Fleet, session: &str, address: &str, gave_up: bool) -> (u16, Value) {
    let header = [("authorization".to_owned(), format!("Bearer {session}"))];
    let body = json!({"address": address, "gave_up": gave_up});
    call(
        fleet.controller.ca_pem(),
        &fleet.controller.rest_url(),
        "POST",
        UNREACHED_PATH,
        &header,
        Some(body),
    )
    .await
}

/// A capture whose client has checked in, with its agent.
async fn checked_in(fleet: &Fleet) -> (TaskId, CheckInResponse, Agent) {
    let image = fleet.image("win").await;
    let host = fleet.host("pc1", MAC, image).await;
    let (keys, enrolled) = fleet.joined("north").await;
    let mut agent = Agent::connect(fleet, &keys, &enrolled).await;
    let task = fleet.task(host, 2).await;
    let token = fleet.boot_token(host).await;
    let answer = fleet.check_in(MAC, &token).await;
    agent.order(opened).await;
    fleet.wait_for_state(task, "checked_in").await;
    (task, answer, agent)
}

const REASON: &str = "the machine cannot reach the node north (UDP 4433 to 127.0.0.1)";

#[tokio::test(flavor = "multi_thread")]
async fn a_task_says_why_it_waits_until_bytes_move_and_ends_with_that_reason() {
    for kind in BOTH {
        let fleet = Fleet::on(kind, |_| {}).await;
        let (task, answer, agent) = checked_in(&fleet).await;
        assert_eq!(fleet.status(task).await["reason"], Value::Null);
        let (status, known) = report(&fleet, &answer.session, ADDRESS, false).await;
        assert_eq!((status, &known["node"]), (200, &json!("north")), "{known}");
        assert_eq!(known["online"], json!(true));
        let waits = fleet.status(task).await;
        assert_eq!(waits["reason"], json!(REASON), "{waits}");
        assert_eq!(waits["state"], json!("checked_in"));

        agent.send(progress(task)).await;
        let runs = fleet.wait_for_state(task, "running").await;
        assert_eq!(runs["reason"], Value::Null, "it was reached: {runs}");

        let (status, _) = report(&fleet, &answer.session, ADDRESS, true).await;
        assert_eq!(status, 200);
        let ended = fleet.wait_for_state(task, "failed").await;
        assert_eq!(ended["reason"], json!(REASON), "{ended}");
        let (status, over) = report(&fleet, &answer.session, ADDRESS, false).await;
        assert_eq!(status, 410, "{over}");
        fleet.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_client_of_the_task_says_so_and_only_of_its_node() {
    let fleet = Fleet::new().await;
    let (task, answer, _agent) = checked_in(&fleet).await;
    assert_eq!(report(&fleet, "somebody", ADDRESS, true).await.0, 403);
    assert_eq!(
        fleet
            .anonymous("POST", UNREACHED_PATH, Some(json!({"address": ADDRESS})))
            .await
            .0,
        401
    );
    let elsewhere = "10.0.0.1:7472 </script>";
    assert_eq!(
        report(&fleet, &answer.session, elsewhere, true).await.0,
        409
    );
    let status = fleet.status(task).await;
    assert_eq!(
        (&status["state"], &status["reason"]),
        (&json!("checked_in"), &Value::Null)
    );
    fleet.stop().await;
}
