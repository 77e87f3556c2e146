//! The audit log: one entry for each change, with it or not at all, without values.

use foghorn_controller::state::audit;
use foghorn_types::Role;
use serde_json::{Value, json};

use crate::engine::{BOTH, Engine};
use crate::fog_support::Server;

async fn log(server: &Server, query: &str) -> Vec<Value> {
    let reply = server
        .call("GET", &format!("/foghorn/v1/audit{query}"), Value::Null)
        .await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.json()["entries"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_has_its_entry_on_both_engines() {
    for kind in BOTH {
        let engine = Engine::start(kind).await;
        changes_are_told(Server::start_on(engine.store()).await).await;
    }
}

async fn changes_are_told(server: Server) {
    let body = json!({"name": "pc1", "macs": ["52:54:00:00:00:01"], "ADPass": "top secret"});
    assert_eq!(
        server.call("POST", "/fog/host/create", body).await.status,
        200
    );
    let mut headers = server.user("anna", Role::Operator).await.to_vec();
    headers.push(("idempotency-key".to_owned(), "key-7".to_owned()));
    headers.push(("x-request-id".to_owned(), "request-9".to_owned()));
    let edit = br#"{"description":"front desk","ADPass":"another secret"}"#.to_vec();
    assert_eq!(
        server
            .send("PUT", "/fog/host/1/edit", &headers, edit)
            .await
            .status,
        200
    );
    assert_eq!(
        server
            .call("DELETE", "/fog/host/1", Value::Null)
            .await
            .status,
        200
    );

    let entries = log(&server, "?class=host&id=1").await;
    let told: Vec<_> = entries
        .iter()
        .map(|entry| (&entry["method"], &entry["path"], &entry["name"]))
        .collect();
    assert_eq!(
        told,
        [
            (&json!("DELETE"), &json!("/fog/host/1"), &json!("fog")),
            (&json!("PUT"), &json!("/fog/host/1/edit"), &json!("anna")),
            (&json!("POST"), &json!("/fog/host/create"), &json!("fog")),
        ]
    );
    let edited = &entries[1];
    assert_eq!(
        edited["changes"],
        json!(
            [{"class": "host", "id": "1", "what": "changed", "fields": ["description", "ADPass"]}]
        )
    );
    assert_eq!(
        (&edited["idempotency_key"], &edited["request"]),
        (&json!("key-7"), &json!("request-9"))
    );
    let made = entries[2]["changes"].as_array().unwrap();
    assert!(
        made.iter().any(|change| change["class"] == "macaddressassociation" && change["what"] == "created")
    );
    assert!(!format!("{entries:?}").contains("secret"), "{entries:?}");

    assert_eq!(log(&server, "?user=anna").await.len(), 1);
    assert_eq!(log(&server, "?since=2099-01-01T00:00:00Z").await.len(), 0);
    let page = server
        .call("GET", "/foghorn/v1/audit?class=host&limit=2", Value::Null)
        .await
        .json();
    let next = page["next"].as_str().unwrap();
    assert_eq!(
        log(&server, &format!("?class=host&before={next}")).await,
        entries[2..],
        "the log goes on"
    );
}

#[tokio::test]
async fn what_is_refused_or_read_leaves_no_entry() {
    let server = Server::start().await;
    let before = server
        .state
        .store()
        .list(audit::PREFIX)
        .await
        .unwrap()
        .entries
        .len();
    assert_eq!(
        server
            .call("POST", "/fog/host/create", json!({"name": "pc1"}))
            .await
            .status,
        404
    );
    assert_eq!(
        server.call("GET", "/fog/host", Value::Null).await.status,
        200
    );
    assert_eq!(
        server
            .send("DELETE", "/fog/os/1", &[], Vec::new())
            .await
            .status,
        403
    );
    let after = server
        .state
        .store()
        .list(audit::PREFIX)
        .await
        .unwrap()
        .entries
        .len();
    assert_eq!(before, after);
}

#[tokio::test]
async fn bad_queries_are_refused_by_name_and_the_log_is_for_administrators() {
    let server = Server::start().await;
    for (query, field) in [
        ("?limit=0", "limit"),
        ("?limit=x", "limit"),
        ("?since=yesterday", "since"),
        ("?before=../obj", "before"),
    ] {
        let reply = server
            .call("GET", &format!("/foghorn/v1/audit{query}"), Value::Null)
            .await;
        assert_eq!(
            (reply.status.as_u16(), &reply.json()["field"]),
            (400, &json!(field)),
            "{query}"
        );
    }
    let operator = server.user("op", Role::Operator).await;
    assert_eq!(
        server
            .send("GET", "/foghorn/v1/audit", &operator, Vec::new())
            .await
            .status,
        403
    );
}

#[tokio::test]
async fn users_and_settings_are_told_without_their_secrets() {
    let server = Server::start().await;
    let body = json!({"name": "anna", "role": "operator", "password": "correct horse"});
    assert_eq!(
        server.call("POST", "/foghorn/v1/users", body).await.status,
        201
    );
    server
        .call("PUT", "/foghorn/v1/api", json!({"enabled": true}))
        .await;
    let entries = log(&server, "").await;
    assert_eq!(entries[0]["changes"][0]["class"], "setting");
    let fields = entries[1]["changes"][0]["fields"].as_array().unwrap();
    assert!(
        fields.contains(&json!("passwordHash")) && fields.contains(&json!("role")),
        "{fields:?}"
    );
    assert!(!format!("{entries:?}").contains("argon2"));
}
