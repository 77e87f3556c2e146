//! What clients may change about a task that the controller is driving.

use foghorn_controller::state::Refusal;
use foghorn_lifecycle::TaskEvent;
use foghorn_types::{StorageNodeId, TaskId, Timestamp};
use serde_json::{Value, json};

use crate::fog_rules::{count, host, image};
use crate::fog_support::Server;

#[tokio::test]
async fn what_a_run_decides_cannot_be_edited() {
    let server = Server::start().await;
    let image = image(&server).await;
    let host = host(&server, "one", "52:54:00:00:00:01", image).await;
    assert_eq!(
        server
            .call(
                "POST",
                &format!("/fog/host/{host}/task"),
                json!({"taskTypeID": 2})
            )
            .await
            .status,
        200
    );
    begin(&server, 1).await;
    for (field, value) in [
        ("stateID", 4),
        ("stateID", 5),
        ("typeID", 1),
        ("hostID", 7),
        ("imageID", 7),
        ("storagenodeID", 7),
    ] {
        let before = server.call("GET", "/fog/task/1", Value::Null).await.json();
        let edited = server
            .call(
                "PUT",
                "/fog/task/1/edit",
                json!({field: value, "isForced": value}),
            )
            .await;
        assert_eq!(edited.status, 200, "{}", edited.text);
        assert_eq!(edited.json()[field], before[field], "{field}");
    }
    assert_eq!(
        count(&server, "/fog/task/active").await,
        1,
        "the host is still busy"
    );
    let run = server
        .state
        .read(|tables| tables.runs().get(&TaskId::new(1).unwrap()).cloned())
        .unwrap();
    assert!(!run.is_finished());
    let again = server
        .call(
            "POST",
            &format!("/fog/host/{host}/task"),
            json!({"taskTypeID": 2}),
        )
        .await;
    assert_eq!(
        again.text,
        r#"{"error":"Host is already a member of an active task"}"#
    );

    // A task without a run belongs to whoever edits it.
    let other = crate::fog_rules::host(&server, "two", "52:54:00:00:00:02", 0).await;
    assert_eq!(
        server
            .call(
                "POST",
                &format!("/fog/host/{other}/task"),
                json!({"taskTypeID": 4})
            )
            .await
            .status,
        200
    );
    let edited = server
        .call("PUT", "/fog/task/2/edit", json!({"stateID": 4}))
        .await;
    assert_eq!(edited.json()["stateID"], "4");
}

#[tokio::test]
async fn a_task_that_waits_can_be_ended_by_an_edit() {
    let server = Server::start().await;
    let image = image(&server).await;
    let host = host(&server, "one", "52:54:00:00:00:01", image).await;
    assert_eq!(
        server
            .call(
                "POST",
                &format!("/fog/host/{host}/task"),
                json!({"taskTypeID": 2})
            )
            .await
            .status,
        200
    );
    for (state, finished) in [(2, false), (3, false), (4, true)] {
        let edited = server
            .call("PUT", "/fog/task/1/edit", json!({"stateID": state}))
            .await;
        assert_eq!(edited.json()["stateID"], state.to_string());
        let run = server
            .state
            .read(|tables| tables.runs().get(&TaskId::new(1).unwrap()).cloned())
            .unwrap();
        assert_eq!(run.is_finished(), finished, "state {state}");
    }
    assert_eq!(
        server
            .call(
                "POST",
                &format!("/fog/host/{host}/task"),
                json!({"taskTypeID": 2})
            )
            .await
            .status,
        200
    );
}

/// The host of the task has checked in at a node.
pub(crate) async fn begin(server: &Server, task: u32) {
    let task = TaskId::new(task).unwrap();
    server
        .state
        .write::<_, Refusal>(|draft| {
            let mut run = foghorn_controller::state::run::Run::clone(
                draft.tables().runs().get(&task).unwrap(),
            );
            let node = StorageNodeId::new(1).unwrap();
            run.life
                .apply(Timestamp::now(), TaskEvent::Assigned { node })
                .unwrap();
            run.life
                .apply(Timestamp::now(), TaskEvent::ClientCheckedIn)
                .unwrap();
            draft.replace(&run);
            Ok(())
        })
        .await
        .unwrap();
}
