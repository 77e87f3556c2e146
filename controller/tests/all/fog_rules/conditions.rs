//! Versions of answers and changes that are meant for one of them.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::engine::{BOTH, Engine};
use crate::fog_rules::{count, host};
use crate::fog_support::{Reply, Server};

async fn ask(
    server: &Server,
    method: &str,
    path: &str,
    condition: (&str, &str),
    body: Value,
) -> Reply {
    let mut headers = server.tokens();
    headers.push((condition.0.to_owned(), condition.1.to_owned()));
    let body = if body.is_null() {
        Vec::new()
    } else {
        body.to_string().into_bytes()
    };
    server.send(method, path, &headers, body).await
}

async fn tag(server: &Server, path: &str) -> String {
    let tag = server
        .call("GET", path, Value::Null)
        .await
        .header("etag")
        .to_owned();
    assert!(
        tag.starts_with('"') && tag.ends_with('"') && tag.len() > 10,
        "{path}: {tag}"
    );
    tag
}

#[tokio::test]
async fn what_has_not_changed_is_not_sent_again() {
    let server = Server::start().await;
    host(&server, "one", "52:54:00:00:00:01", 0).await;
    for path in [
        "/fog/host/1",
        "/fog/host",
        "/fog/host/search/one",
        "/fog/host/names",
        "/fog/host?length=1",
        "/fog/os/1",
    ] {
        let tag = tag(&server, path).await;
        let again = ask(
            &server,
            "GET",
            path,
            ("if-none-match", &format!("\"x\", W/{tag}")),
            Value::Null,
        )
        .await;
        assert_eq!(
            (
                again.status.as_u16(),
                again.text.as_str(),
                again.header("etag")
            ),
            (304, "", tag.as_str()),
            "{path}"
        );
        let other = ask(
            &server,
            "GET",
            path,
            ("if-none-match", "\"x\""),
            Value::Null,
        )
        .await;
        assert_eq!(other.status, 200, "{path}");
    }
}

/// Also by what is shown of other objects, and by what is not shown.
#[tokio::test]
async fn a_tag_changes_with_everything_that_belongs_to_an_object() {
    let server = Server::start().await;
    host(&server, "one", "52:54:00:00:00:01", 0).await;
    let mut seen = vec![tag(&server, "/fog/host/1").await];
    let image = crate::fog_rules::image(&server).await;
    for (method, path, body) in [
        ("PUT", "/fog/host/1", json!({"imageID": image})),
        ("PUT", "/fog/image/1", json!({"description": "of the host"})),
        ("PUT", "/fog/host/1", json!({"ADPass": "hush"})),
        (
            "POST",
            "/fog/macaddressassociation",
            json!({"hostID": 1, "mac": "52:54:00:00:00:02"}),
        ),
    ] {
        let reply = server.call(method, path, body.clone()).await;
        assert_eq!(reply.status, 200, "{method} {path}: {}", reply.text);
        let now = tag(&server, "/fog/host/1").await;
        assert!(!seen.contains(&now), "{method} {path} {body}");
        seen.push(now);
    }
    assert_eq!(
        tag(&server, "/fog/host/1").await,
        seen[4],
        "and with nothing else"
    );
}

#[tokio::test]
async fn a_change_is_made_to_the_version_that_was_meant() {
    let server = Server::start().await;
    host(&server, "one", "52:54:00:00:00:01", 0).await;
    let first = tag(&server, "/fog/host/1").await;
    let edit = |tag: String, text: &'static str| {
        let server = &server;
        async move {
            ask(
                server,
                "PUT",
                "/fog/host/1",
                ("if-match", &tag),
                json!({"description": text}),
            )
            .await
        }
    };
    let done = edit(first.clone(), "a").await;
    assert_eq!(done.status, 200, "{}", done.text);
    let second = done.header("etag").to_owned();
    assert_eq!(
        second,
        tag(&server, "/fog/host/1").await,
        "an answer to a change has the new tag"
    );
    let late = edit(first.clone(), "b").await;
    assert_eq!(
        (late.status.as_u16(), late.text.contains("If-Match")),
        (412, true),
        "{}",
        late.text
    );
    assert_eq!(
        edit(format!("W/{second}"), "b").await.status,
        412,
        "a weak tag names no version"
    );
    assert_eq!(
        server.call("GET", "/fog/host/1", Value::Null).await.json()["description"],
        "a"
    );
    let delete = async |tag: &str| {
        ask(
            &server,
            "DELETE",
            "/fog/host/1",
            ("if-match", tag),
            Value::Null,
        )
        .await
        .status
    };
    assert_eq!(
        (
            delete(&first).await.as_u16(),
            count(&server, "/fog/host").await
        ),
        (412, 1)
    );
    assert_eq!(edit("*".to_owned(), "c").await.status, 200);
    assert_eq!(
        delete(&tag(&server, "/fog/host/1").await).await.as_u16(),
        200
    );
    assert_eq!(
        edit("*".to_owned(), "d").await.status,
        404,
        "what is not there is not found"
    );
}

#[tokio::test]
async fn who_sees_secrets_may_name_what_was_seen() {
    let server = Server::start().await;
    let body = json!({"name": "one", "macs": ["52:54:00:00:00:01"], "ADPass": "hush"});
    assert_eq!(
        server.call("POST", "/fog/host/create", body).await.status,
        200
    );
    let seen = ask(
        &server,
        "GET",
        "/fog/host/1",
        ("foghorn-secrets", "show"),
        Value::Null,
    )
    .await;
    assert_ne!(
        seen.header("etag"),
        tag(&server, "/fog/host/1").await,
        "other bytes, another tag"
    );
    let edit = ask(
        &server,
        "PUT",
        "/fog/host/1",
        ("if-match", seen.header("etag")),
        json!({"description": "x"}),
    )
    .await;
    assert_eq!(edit.status, 200, "{}", edit.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_edits_at_once_one_wins() {
    for kind in BOTH {
        let engine = Engine::start(kind).await;
        let server = Arc::new(Server::start_on(engine.store()).await);
        host(&server, "one", "52:54:00:00:00:01", 0).await;
        let tag = tag(&server, "/fog/host/1").await;
        let mut edits = tokio::task::JoinSet::new();
        for number in 0..12 {
            let (server, tag) = (server.clone(), tag.clone());
            edits.spawn(async move {
                let body = json!({"description": number.to_string()});
                ask(&server, "PUT", "/fog/host/1", ("if-match", &tag), body)
                    .await
                    .status
                    .as_u16()
            });
        }
        let mut statuses = edits.join_all().await;
        statuses.sort_unstable();
        assert_eq!(
            (statuses[0], &statuses[1..]),
            (200, &[412; 11][..]),
            "{kind:?}"
        );
    }
}
