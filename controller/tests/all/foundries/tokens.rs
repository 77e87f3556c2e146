//! Factory tokens over Foghorn's own routes.

use foghorn_types::Role;
use serde_json::{Value, json};

use super::{Factory, assert_refused};
use crate::engine::BOTH;

const ALL: &str = "/foghorn/v1/factory-tokens";

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_made_shown_once_used_and_revoked() {
    for kind in BOTH {
        let factory = Factory::start_on(kind).await;
        let server = &factory.server;
        let wanted = json!({
            "description": "for the lab",
            "scopes": ["devices:read", "targets:read"],
            "factories": [factory.name],
            "ttl_seconds": 600,
        });
        let tried = format!("{ALL}?dry_run=true");
        let tried = server.call("POST", &tried, wanted.clone()).await;
        assert_eq!(
            (tried.status.as_u16(), tried.header("foghorn-dry-run")),
            (200, "true")
        );
        let made = server.call("POST", ALL, wanted).await;
        assert_eq!(made.status, 201, "{kind:?}: {}", made.text);
        let made = made.json();
        let token = made["token"].as_str().unwrap();
        assert_eq!(made["served"], true);
        let listed = server.call("GET", ALL, Value::Null).await;
        assert!(!listed.text.contains(token));
        let listed = listed.json();
        // The first one is that of the test.
        assert_eq!(listed["tokens"].as_array().unwrap().len(), 2);
        let view = &listed["tokens"][1];
        assert_eq!(
            (&view["id"], &view["expires"]),
            (&made["id"], &made["expires"])
        );
        assert_eq!(view["scopes"], json!(["devices:read", "targets:read"]));
        assert_eq!(view["factories"][0]["name"], json!(factory.name));

        let used = factory
            .call_as(token, "GET", "/ota/devices/", Value::Null)
            .await;
        assert_eq!(used.status, 200, "{}", used.text);
        let one = format!("{ALL}/{}", made["id"]);
        assert_eq!(server.call("DELETE", &one, Value::Null).await.status, 204);
        assert_eq!(server.call("DELETE", &one, Value::Null).await.status, 404);
        let used = factory
            .call_as(token, "GET", "/ota/devices/", Value::Null)
            .await;
        assert_refused(&used, 401);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_does_not_more_than_its_user_and_only_administrators_make_some() {
    let factory = Factory::start().await;
    let server = &factory.server;
    let reader = server.user("anna", Role::ReadOnly).await;
    let scopes = |scopes: Value| json!({"user": "anna", "scopes": scopes});
    for (body, status, field) in [
        (scopes(json!(["devices:read-update"])), 400, "scopes"),
        (scopes(json!(["devices:*"])), 400, "scopes"),
        (scopes(json!([])), 400, "scopes"),
        (
            json!({"user": "nobody", "scopes": ["devices:read"]}),
            404,
            "user",
        ),
        (
            json!({"factories": ["nowhere"], "scopes": ["devices:read"]}),
            404,
            "factories",
        ),
        (
            json!({"ttl_seconds": 0, "scopes": ["devices:read"]}),
            400,
            "ttl_seconds",
        ),
    ] {
        let refused = server.call("POST", ALL, body).await;
        assert_eq!(refused.status, status, "{}", refused.text);
        assert_eq!(refused.json()["field"], field, "{}", refused.text);
    }
    let made = server
        .call("POST", ALL, scopes(json!(["devices:read"])))
        .await;
    let token = made.json()["token"].as_str().unwrap().to_owned();
    let seen = factory
        .call_as(&token, "GET", "/ota/devices/", Value::Null)
        .await;
    assert_eq!(seen.status, 200, "{}", seen.text);
    for method in ["GET", "POST"] {
        let reply = server.send(method, ALL, &reader, Vec::new()).await;
        assert_eq!(reply.status, 403, "{method}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_with_a_token_is_in_the_audit_log_under_its_user() {
    let factory = Factory::start().await;
    let group = json!({"name": "room"});
    let made = factory
        .call("POST", &factory.at("device-groups/"), group)
        .await;
    assert_eq!(made.status, 201, "{}", made.text);
    let log = factory
        .server
        .call("GET", "/foghorn/v1/audit", Value::Null)
        .await;
    assert_eq!(log.status, 200, "{}", log.text);
    let user = factory.get(&factory.at("users/")).await.json()[0]["name"].clone();
    let path = format!("/ota/factories/{}/device-groups/", factory.name);
    let entries = log.json();
    let entries = entries["entries"].as_array().unwrap().clone();
    let entry = entries.iter().find(|entry| entry["path"] == path);
    let entry = entry.unwrap_or_else(|| panic!("{}", log.text));
    assert_eq!((&entry["name"], &entry["method"]), (&user, &json!("POST")));
}
