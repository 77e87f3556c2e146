//! What belongs to hosts comes and goes with them: printers, parts of the client, log-ins; and
//! classes that answer every id.

use serde_json::{Value, json};

use crate::fog_rules::{count, host};
use crate::fog_support::Server;

async fn associations(server: &Server, class: &str, host: u32) -> Vec<(String, String)> {
    let list = server
        .call(
            "GET",
            &format!("/fog/{class}association"),
            json!({"hostID": host}),
        )
        .await
        .json();
    let rows = list[format!("{class}associations")]
        .as_array()
        .unwrap()
        .clone();
    let text = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
    rows.iter()
        .map(|row| (text(row, &format!("{class}ID")), text(row, "state")))
        .collect()
}

async fn send(server: &Server, method: &str, path: &str, body: Value) {
    let reply = server.call(method, path, body).await;
    assert_eq!(reply.status, 200, "{method} {path}: {}", reply.text);
}

#[tokio::test]
async fn a_group_gives_its_hosts_printers_and_modules() {
    let server = Server::start().await;
    let one = host(&server, "one", "52:54:00:00:00:01", 0).await;
    let two = host(&server, "two", "52:54:00:00:00:02", 0).await;
    for name in ["left", "right"] {
        send(
            &server,
            "POST",
            "/fog/printer/create",
            json!({"name": name, "config": "Network"}),
        )
        .await;
    }
    send(
        &server,
        "POST",
        "/fog/group/create",
        json!({"name": "both", "hosts": [one, two, 999]}),
    )
    .await;
    send(
        &server,
        "PUT",
        "/fog/group/1/edit",
        json!({"printers": [1, 2], "modules": [3]}),
    )
    .await;
    let pair = |id: &str, state: &str| (id.to_owned(), state.to_owned());
    for host in [one, two] {
        assert_eq!(
            associations(&server, "printer", host).await,
            [pair("1", ""), pair("2", "")]
        );
        assert_eq!(
            associations(&server, "module", host).await,
            [pair("3", "1")]
        );
    }
    assert_eq!(
        associations(&server, "printer", 999).await,
        [],
        "there is no such host"
    );
    send(
        &server,
        "PUT",
        "/fog/group/1/edit",
        json!({"printers": [2], "modules": [4]}),
    )
    .await;
    assert_eq!(associations(&server, "printer", one).await, [pair("2", "")]);
    assert_eq!(associations(&server, "module", one).await, [pair("4", "1")]);
    assert_eq!(
        count(&server, "/fog/host/search/right").await,
        2,
        "a host is found by its printer"
    );
    send(
        &server,
        "PUT",
        &format!("/fog/host/{two}/edit"),
        json!({"printers": [], "modules": [1]}),
    )
    .await;
    assert_eq!(associations(&server, "printer", two).await, []);
    assert_eq!(associations(&server, "module", two).await, [pair("1", "1")]);
    send(&server, "DELETE", "/fog/module/1", Value::Null).await;
    assert_eq!(associations(&server, "module", two).await, []);
}

#[tokio::test]
async fn what_belongs_to_a_host_goes_with_it() {
    let server = Server::start().await;
    let one = host(&server, "one", "52:54:00:00:00:01", 0).await;
    send(
        &server,
        "POST",
        "/fog/printer/create",
        json!({"name": "p", "config": "Local", "hosts": [one]}),
    )
    .await;
    send(
        &server,
        "POST",
        "/fog/moduleassociation/create",
        json!({"hostID": one, "moduleID": 1}),
    )
    .await;
    send(
        &server,
        "POST",
        "/fog/usertracking/create",
        json!({"hostID": one, "username": "alice", "date": "2026-01-05"}),
    )
    .await;
    send(
        &server,
        "POST",
        "/fog/greenfog/create",
        json!({"hostID": one, "hour": 22}),
    )
    .await;
    let tracked = server
        .call("GET", "/fog/usertracking", Value::Null)
        .await
        .json();
    assert_eq!(tracked["usertrackings"][0]["date"], "2026-01-05");
    assert_eq!(tracked["usertrackings"][0]["host"]["name"], "one");
    send(&server, "DELETE", &format!("/fog/host/{one}"), Value::Null).await;
    for class in [
        "printerassociation",
        "moduleassociation",
        "usertracking",
        "greenfog",
    ] {
        assert_eq!(count(&server, &format!("/fog/{class}")).await, 0, "{class}");
    }
    assert_eq!(
        count(&server, "/fog/printer").await,
        1,
        "the printer is nobody's part"
    );
}

#[tokio::test]
async fn a_printer_of_no_kind_is_refused() {
    let server = Server::start().await;
    for body in [json!({"name": "p"}), json!({"name": "p", "config": "fax"})] {
        let reply = server.call("POST", "/fog/printer/create", body).await;
        assert_eq!(reply.status, 404);
        assert!(reply.problem.contains("config"), "{}", reply.problem);
    }
    assert_eq!(count(&server, "/fog/printer").await, 0);
}

#[tokio::test]
async fn classes_without_required_fields_answer_every_id() {
    let server = Server::start().await;
    let get = |id: u64| {
        let server = &server;
        async move {
            server
                .call("GET", &format!("/fog/history/{id}"), Value::Null)
                .await
        }
    };
    assert_eq!(get(7).await.json(), json!({"id": "7"}));
    assert_eq!(get(0).await.status, 404);
    send(&server, "DELETE", "/fog/history/7", Value::Null).await;
    send(
        &server,
        "PUT",
        "/fog/history/7/edit",
        json!({"info": "moved in"}),
    )
    .await;
    assert_eq!(
        (
            &get(7).await.json()["info"],
            &get(7).await.json()["createdBy"]
        ),
        (&json!("moved in"), &json!("fog"))
    );
    let next = server
        .call("POST", "/fog/history/create", json!({"info": "next"}))
        .await
        .json();
    assert_eq!(next["id"], "8", "ids go on above the one that was chosen");
    let beyond = server
        .call("PUT", "/fog/history/4294967295/edit", json!({"info": "x"}))
        .await;
    assert_eq!(beyond.status, 404, "no id is left above that one");
    assert_eq!(count(&server, "/fog/history").await, 2);
    let log = server
        .call("GET", "/fog/tasklog/99", Value::Null)
        .await
        .json();
    assert_eq!(log, json!({"id": "99", "ip": "0.0.0.0"}));
    assert_eq!(
        server.call("GET", "/fog/oui/7", Value::Null).await.status,
        404,
        "only classes that need nothing"
    );
}
