//! Snapins: jobs come and go with their task, hosts run them one by one, and nothing is lost where
//! there are many.

use serde_json::{Value, json};

use crate::engine::{BOTH, Engine};
use crate::fog_rules::{count, host, id};
use crate::fog_support::Server;

async fn snapins(server: &Server, number: u32, host: u32) {
    for n in 0..number {
        let body = json!({"name": format!("s{n}"), "file": format!("s{n}.sh"), "hosts": [host]});
        assert_eq!(
            server.call("POST", "/fog/snapin/create", body).await.status,
            200
        );
    }
}

async fn task(server: &Server, host: u32, body: Value) {
    let reply = server
        .call("POST", &format!("/fog/host/{host}/task"), body)
        .await;
    assert_eq!(reply.status, 200, "{}", reply.text);
}

async fn state(server: &Server, path: &str) -> String {
    server.call("GET", path, Value::Null).await.json()["stateID"]
        .as_str()
        .unwrap_or("none")
        .to_owned()
}

async fn next(server: &Server, host: u32) -> Value {
    let reply = server
        .call(
            "GET",
            &format!("/foghorn/v1/hosts/{host}/snapins/next"),
            Value::Null,
        )
        .await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.json()
}

#[tokio::test]
async fn a_host_runs_its_snapins_one_by_one_until_the_task_is_complete() {
    let server = Server::start().await;
    let host_id = host(&server, "one", "52:54:00:00:00:01", 0).await;
    let other = host(&server, "two", "52:54:00:00:00:02", 0).await;
    snapins(&server, 3, host_id).await;
    assert_eq!(
        server
            .call("PUT", "/fog/snapin/2", json!({"isEnabled": "0"}))
            .await
            .status,
        200
    );
    task(
        &server,
        host_id,
        json!({"taskTypeID": 12, "deploySnapins": true}),
    )
    .await;
    assert_eq!(next(&server, other).await["next"], "nothing");

    let first = next(&server, host_id).await;
    assert_eq!(
        (first["next"].as_str(), first["file"].as_str()),
        (Some("run"), Some("s0.sh"))
    );
    assert_eq!(
        next(&server, host_id).await["snapin_task"],
        first["snapin_task"],
        "not reported yet"
    );
    assert_eq!(
        (
            state(&server, "/fog/task/1").await,
            state(&server, "/fog/snapinjob/1").await
        ),
        ("3".into(), "3".into())
    );
    let result =
        |host: u32, task: &Value| format!("/foghorn/v1/hosts/{host}/snapintasks/{task}/result");
    let body = json!({"exit_code": -1, "details": "x".repeat(300)});
    let stranger = server
        .call("POST", &result(other, &first["snapin_task"]), body.clone())
        .await;
    assert_eq!(
        stranger.status, 404,
        "a task of another host: {}",
        stranger.text
    );
    for _ in 0..2 {
        assert_eq!(
            server
                .call(
                    "POST",
                    &result(host_id, &first["snapin_task"]),
                    body.clone()
                )
                .await
                .status,
            204
        );
    }
    let done = server
        .call("GET", "/fog/snapintask/1", Value::Null)
        .await
        .json();
    assert_eq!(
        (done["stateID"].as_str(), done["return"].as_str()),
        (Some("4"), Some("-1"))
    );
    assert_eq!(done["details"].as_str().map(str::len), Some(250));

    // The second one is disabled and is passed over.
    let third = next(&server, host_id).await;
    assert_eq!(third["file"], "s2.sh");
    assert_eq!(state(&server, "/fog/snapintask/2").await, "5");
    assert_eq!(
        server
            .call("POST", &result(host_id, &third["snapin_task"]), body)
            .await
            .status,
        204
    );
    for path in ["/fog/task/1", "/fog/snapinjob/1"] {
        assert_eq!(state(&server, path).await, "4", "{path}");
    }
    assert_eq!(next(&server, host_id).await["next"], "nothing");
}

#[tokio::test]
async fn cancelling_takes_the_job_along_and_only_what_was_named() {
    let server = Server::start().await;
    let (one, two) = (
        host(&server, "one", "52:54:00:00:00:01", 0).await,
        host(&server, "two", "52:54:00:00:00:02", 0).await,
    );
    snapins(&server, 2, one).await;
    for host in [one, two] {
        task(&server, host, json!({"taskTypeID": 13, "deploySnapins": 1})).await;
    }
    for path in ["/fog/snapinjob/9/cancel", "/fog/snapintask/9/cancel"] {
        assert_eq!(
            server.call("DELETE", path, Value::Null).await.status,
            404,
            "{path}"
        );
    }
    assert_eq!(
        server
            .call("DELETE", "/fog/snapinjob/cancel", Value::Null)
            .await
            .status,
        500
    );
    assert_eq!(
        (
            count(&server, "/fog/snapinjob/active").await,
            count(&server, "/fog/snapintask/active").await
        ),
        (2, 2)
    );
    assert_eq!(
        server
            .call("DELETE", &format!("/fog/host/{one}/cancel"), Value::Null)
            .await
            .status,
        200
    );
    assert_eq!(
        (
            state(&server, "/fog/snapinjob/1").await,
            state(&server, "/fog/snapintask/1").await
        ),
        ("5".into(), "5".into())
    );
    assert_eq!(
        (
            count(&server, "/fog/snapinjob/active").await,
            count(&server, "/fog/snapintask/active").await
        ),
        (1, 1)
    );
    let late = server
        .call(
            "POST",
            &format!("/foghorn/v1/hosts/{one}/snapintasks/1/result"),
            json!({"exit_code": 0}),
        )
        .await;
    assert_eq!(
        late.status, 400,
        "a cancelled task has no result: {}",
        late.text
    );
    // One that ended is run again when a job that is still there gets it once more.
    assert_eq!(
        server
            .call("DELETE", "/fog/snapintask/2/cancel", Value::Null)
            .await
            .status,
        200
    );
    task(
        &server,
        two,
        json!({"taskTypeID": 13, "deploySnapins": [1, 2]}),
    )
    .await;
    assert_eq!(count(&server, "/fog/snapintask/active").await, 2);
    assert_eq!(count(&server, "/fog/snapintask").await, 3);
    assert_eq!(
        server
            .call("DELETE", &format!("/fog/host/{two}"), Value::Null)
            .await
            .status,
        200
    );
    assert_eq!(
        count(&server, "/fog/snapintask").await,
        1,
        "those of the other host"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_with_many_snapins_gets_and_loses_all_of_them() {
    for kind in BOTH {
        let engine = Engine::start(kind).await;
        let server = Server::start_on(engine.store()).await;
        let host_id = host(&server, "one", "52:54:00:00:00:01", 0).await;
        snapins(&server, 90, host_id).await;
        assert_eq!(count(&server, "/fog/snapinassociation").await, 90);
        task(
            &server,
            host_id,
            json!({"taskTypeID": 12, "deploySnapins": -1}),
        )
        .await;
        assert_eq!(
            (
                count(&server, "/fog/snapintask/active").await,
                count(&server, "/fog/snapinjob").await
            ),
            (90, 1)
        );
        assert_eq!(
            server
                .call(
                    "DELETE",
                    &format!("/fog/host/{host_id}/cancel"),
                    Value::Null
                )
                .await
                .status,
            200
        );
        assert_eq!(
            (
                count(&server, "/fog/snapintask/active").await,
                count(&server, "/fog/snapintask").await
            ),
            (0, 90)
        );
    }
}

#[tokio::test]
async fn bad_requests_name_the_field_and_change_nothing() {
    let server = Server::start().await;
    let host_id = host(&server, "one", "52:54:00:00:00:01", 0).await;
    snapins(&server, 1, host_id).await;
    let reply = server
        .call(
            "POST",
            &format!("/fog/host/{host_id}/task"),
            json!({"taskTypeID": 12, "deploySnapins": "x"}),
        )
        .await;
    assert!(
        reply.status == 500 && reply.text.contains("deploySnapins"),
        "{}",
        reply.text
    );
    assert_eq!(count(&server, "/fog/task").await, 0);
    let headers = [
        ("fog-api-token".to_owned(), server.first.api_token.clone()),
        ("fog-user-token".to_owned(), server.first.user_token.clone()),
    ];
    for (path, status, word) in [
        ("/foghorn/v1/snapins/1/file?name=a.sh", 503, "storage node"),
        ("/foghorn/v1/snapins/1/file?name=..%2Fa.sh", 400, "name"),
        ("/foghorn/v1/snapins/1/file", 400, "name"),
        ("/foghorn/v1/snapins/9/file?name=a.sh", 404, "snapin"),
        ("/foghorn/v1/snapins/x/file?name=a.sh", 400, "id"),
    ] {
        let reply = server
            .send("PUT", path, &headers, b"content".to_vec())
            .await;
        assert_eq!(reply.status, status, "{path}: {}", reply.text);
        assert!(reply.text.contains(word), "{path}: {}", reply.text);
    }
    assert_eq!(
        server
            .call("GET", "/fog/snapin/1", Value::Null)
            .await
            .json()["file"],
        "s0.sh"
    );
    assert_eq!(
        server
            .send("GET", "/foghorn/v1/snapins/1/file", &headers, Vec::new())
            .await
            .status,
        404
    );
    assert_eq!(
        id(&server
            .call("GET", "/fog/snapins/1", Value::Null)
            .await
            .json()),
        1,
        "the documentation's spelling"
    );
}
