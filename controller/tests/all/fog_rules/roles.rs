//! Roles: every route with every role, through the real router.

use foghorn_controller::api::access::Need;
use foghorn_controller::api::native_routes;
use foghorn_types::Role;
use serde_json::Value;

use crate::fog_support::{Reply, Server};

type Headers = [(String, String); 2];

/// Whether the door refused the request because of the role.
fn is_forbidden(reply: &Reply) -> bool {
    reply.status == 403
        && reply.json()["error"]
            .as_str()
            .is_some_and(|error| error.contains("needs the role"))
}

async fn users(server: &Server) -> Vec<(Role, Headers)> {
    let mut users = Vec::new();
    for role in Role::ALL {
        users.push((role, server.user(role.as_str(), role).await));
    }
    users
}

#[tokio::test]
async fn every_native_route_asks_for_its_role() {
    let server = Server::start().await;
    let users = users(&server).await;
    for (role, headers) in &users {
        let reply = server
            .send("GET", "/foghorn/v1/madeup", headers, Vec::new())
            .await;
        assert_eq!(
            reply.status.as_u16(),
            if *role == Role::Administrator {
                404
            } else {
                403
            },
            "{role}"
        );
    }
    let mut walked = 0;
    for (method, route, need) in native_routes() {
        let path = route
            .replace("{id}", "99999")
            .replace("{task}", "99999")
            .replace("{*rest}", "x");
        let anonymous = server.send(method.as_str(), &path, &[], Vec::new()).await;
        let Need::Role(needed) = need else {
            assert!(!is_forbidden(&anonymous), "{method} {path}");
            continue;
        };
        assert_eq!(anonymous.status, 403, "{method} {path}: {}", anonymous.text);
        let (_, administrator) = users.last().unwrap();
        if method.as_str() == "GET"
            && !route.contains('{')
            && server
                .send_head(method.as_str(), &path, administrator)
                .await
                == 404
        {
            continue; // Not served by this program: closed to everybody else.
        }
        for (role, headers) in &users {
            // A stream of events has no end; that it is let in is enough.
            let sent = server.send_head(method.as_str(), &path, headers).await;
            assert_eq!(
                sent == 403,
                *role < needed,
                "{method} {path} as {role}: {sent}"
            );
        }
        walked += 1;
    }
    assert!(walked >= 9, "{walked} routes");
}

#[tokio::test]
async fn every_class_is_read_by_all_and_changed_by_few() {
    let server = Server::start().await;
    let users = users(&server).await;
    for class in [
        "host",
        "group",
        "image",
        "task",
        "storagenode",
        "storagegroup",
        "tasktype",
        "imaginglog",
        "user",
    ] {
        let operated = matches!(class, "host" | "group" | "image" | "task");
        let change = if operated {
            Role::Operator
        } else {
            Role::Administrator
        };
        for (method, tail, needed) in [
            ("GET", "", Role::ReadOnly),
            ("GET", "/1", Role::ReadOnly),
            ("GET", "/search/x", Role::ReadOnly),
            ("GET", "/names", Role::ReadOnly),
            ("POST", "", change),
            ("POST", "/create", change),
            ("PUT", "/99999", change),
            ("PUT", "/99999/update", change),
            ("DELETE", "/99999", change),
            ("DELETE", "/99999/remove", change),
            ("POST", "/99999/task", Role::Operator),
            ("DELETE", "/99999/cancel", Role::Operator),
            ("DELETE", "/cancel", Role::Operator),
        ] {
            let path = format!("/fog/{class}{tail}");
            for (role, headers) in &users {
                let reply = server.send(method, &path, headers, Vec::new()).await;
                assert_eq!(
                    is_forbidden(&reply),
                    *role < needed,
                    "{method} {path} as {role}: {}",
                    reply.status
                );
            }
        }
    }
}

#[tokio::test]
async fn a_refused_change_is_not_made_and_names_the_role() {
    let server = Server::start().await;
    let viewer = server.user("viewer", Role::ReadOnly).await;
    let body = br#"{"name":"x","macs":["52:54:00:00:00:01"]}"#.to_vec();
    let reply = server.send("POST", "/fog/host/create", &viewer, body).await;
    assert_eq!(reply.status, 403);
    assert_eq!(
        reply.json()["error"],
        "this needs the role operator, and viewer has read-only"
    );
    assert_eq!(
        server.call("GET", "/fog/host", Value::Null).await.json()["count"],
        0
    );
}

#[tokio::test]
async fn secrets_are_for_administrators_who_ask() {
    let server = Server::start().await;
    let node = server
        .call(
            "PUT",
            "/fog/storagenode/1",
            serde_json::json!({"pass": "s3cret"}),
        )
        .await;
    assert_eq!(node.status, 200, "{}", node.text);
    for (role, shown) in [(Role::Operator, ""), (Role::Administrator, "s3cret")] {
        let mut headers = server.user(role.as_str(), role).await.to_vec();
        headers.push(("foghorn-secrets".to_owned(), "show".to_owned()));
        let reply = server
            .send("GET", "/fog/storagenode/1", &headers, Vec::new())
            .await;
        assert_eq!(reply.json()["pass"], shown, "{role}");
    }
}
