//! Users, their passwords and tokens, the switch of the API, and what failed log-ins are answered
//! with.

use data_encoding::BASE64;
use foghorn_controller::state::classes::User;
use foghorn_types::Role;
use serde_json::{Value, json};

use crate::fog_support::{Reply, Server};

/// PHP's `password_hash("rasmuslerdorf", PASSWORD_BCRYPT)`.
const BCRYPT: &str = "$2y$10$.vGA1O9wmRjrwAVXD98HNOgsNpDczlqm3Jq7KnEd1rVAGv3Fykk1a";

async fn basic(server: &Server, name: &str, password: &str) -> Reply {
    let basic = format!(
        "Basic {}",
        BASE64.encode(format!("{name}:{password}").as_bytes())
    );
    let headers = [
        ("fog-api-token".to_owned(), server.first.api_token.clone()),
        ("authorization".to_owned(), basic),
    ];
    server.send("GET", "/fog/os/1", &headers, Vec::new()).await
}

async fn with_tokens(server: &Server, path: &str, api: &str, user: &str) -> u16 {
    let headers = [
        ("fog-api-token".to_owned(), api.to_owned()),
        ("fog-user-token".to_owned(), user.to_owned()),
    ];
    server
        .send("GET", path, &headers, Vec::new())
        .await
        .status
        .as_u16()
}

#[tokio::test]
async fn a_user_is_made_changed_and_removed() {
    let server = Server::start().await;
    let body = json!({"name": "anna", "role": "operator", "password": "correct horse"});
    let made = server.call("POST", "/foghorn/v1/users", body.clone()).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let (id, token) = (
        made.json()["id"].clone(),
        made.json()["token"].as_str().unwrap().to_owned(),
    );
    let path = format!("/foghorn/v1/users/{id}");
    assert_eq!(basic(&server, "anna", "correct horse").await.status, 200);
    let api = server.first.api_token.clone();
    assert_eq!(with_tokens(&server, "/fog/os/1", &api, &token).await, 200);
    assert_eq!(
        server.call("POST", "/foghorn/v1/users", body).await.status,
        409,
        "the name is taken"
    );

    let shown = server.call("GET", &path, Value::Null).await;
    assert_eq!(
        (&shown.json()["role"], &shown.json()["password"]),
        (&json!("operator"), &json!("set"))
    );
    assert!(
        !shown.text.contains("argon2") && !shown.text.contains(&token),
        "{}",
        shown.text
    );

    let off = server
        .call("PATCH", &path, json!({"api": false, "role": "read-only"}))
        .await;
    assert_eq!(
        (&off.json()["api"], &off.json()["role"]),
        (&json!(false), &json!("read-only")),
        "{}",
        off.text
    );
    assert_eq!(with_tokens(&server, "/fog/os/1", &api, &token).await, 401);
    server.call("PATCH", &path, json!({"api": true})).await;
    let renewed = server
        .call("POST", &format!("{path}/token"), Value::Null)
        .await
        .json();
    assert_eq!(
        with_tokens(&server, "/fog/os/1", &api, &token).await,
        401,
        "the old token stops at once"
    );
    assert_eq!(
        with_tokens(
            &server,
            "/fog/os/1",
            &api,
            renewed["token"].as_str().unwrap()
        )
        .await,
        200
    );

    let changed = server
        .call(
            "PUT",
            &format!("{path}/password"),
            json!({"password": "battery staple"}),
        )
        .await;
    assert_eq!(changed.status, 204, "{}", changed.text);
    assert_eq!(basic(&server, "anna", "correct horse").await.status, 401);
    assert_eq!(basic(&server, "anna", "battery staple").await.status, 200);

    assert_eq!(server.call("DELETE", &path, Value::Null).await.status, 204);
    assert_eq!(basic(&server, "anna", "battery staple").await.status, 401);
    assert_eq!(server.call("GET", &path, Value::Null).await.status, 404);
}

#[tokio::test]
async fn bad_users_are_refused_by_field() {
    let server = Server::start().await;
    for (body, field) in [
        (json!({"role": "operator"}), "name"),
        (json!({"name": "", "role": "operator"}), "name"),
        (json!({"name": "a:b", "role": "operator"}), "name"),
        (json!({"name": "a", "role": "root"}), "role"),
        (
            json!({"name": "a", "role": "operator", "password": "short"}),
            "password",
        ),
        (
            json!({"name": "a", "role": "operator", "password_hash": "$1$md5"}),
            "password_hash",
        ),
        (
            json!(
                {"name": "a", "role": "operator", "password": "long enough", "password_hash": BCRYPT}
            ),
            "password_hash",
        ),
        (
            json!({"name": "a", "role": "operator", "surprise": 1}),
            "surprise",
        ),
    ] {
        let reply = server.call("POST", "/foghorn/v1/users", body.clone()).await;
        assert_eq!(
            (reply.status.as_u16(), &reply.json()["field"]),
            (400, &json!(field)),
            "{body}: {}",
            reply.text
        );
    }
    assert_eq!(server.state.read(|tables| tables.of::<User>().len()), 1);
}

#[tokio::test]
async fn the_last_administrator_stays() {
    let server = Server::start().await;
    let me = server
        .state
        .read(|tables| tables.of::<User>().iter().next().unwrap().id);
    let path = format!("/foghorn/v1/users/{me}");
    // One who cannot call is none to rely on.
    let silent = json!({"name": "silent", "role": "administrator", "api": false});
    let silent = server
        .call("POST", "/foghorn/v1/users", silent)
        .await
        .json()["id"]
        .clone();
    for (method, body) in [
        ("DELETE", Value::Null),
        ("PATCH", json!({"role": "operator"})),
        ("PATCH", json!({"api": false})),
    ] {
        let reply = server.call(method, &path, body).await;
        assert_eq!(reply.status, 400, "{method}: {}", reply.text);
        assert!(reply.text.contains("last administrator"), "{}", reply.text);
    }
    server
        .call(
            "PATCH",
            &format!("/foghorn/v1/users/{silent}"),
            json!({"api": true}),
        )
        .await;
    assert_eq!(
        server
            .call("PATCH", &path, json!({"role": "operator"}))
            .await
            .status,
        200
    );
    assert_eq!(
        server
            .call("GET", "/foghorn/v1/users", Value::Null)
            .await
            .status,
        403,
        "no administrator any more"
    );
}

#[tokio::test]
async fn an_imported_password_works_and_is_hashed_anew() {
    let server = Server::start().await;
    let body = json!({"name": "rasmus", "role": "operator", "password_hash": BCRYPT});
    let made = server.call("POST", "/foghorn/v1/users", body).await.json();
    assert_eq!(made["password"], "imported", "{made}");
    let hash = || {
        server.state.read(|tables| {
            tables
                .of::<User>()
                .named("rasmus")
                .unwrap()
                .password_hash
                .clone()
        })
    };
    assert_eq!(basic(&server, "rasmus", "wrong").await.status, 401);
    assert_eq!(hash(), BCRYPT);
    for _ in 0..2 {
        assert_eq!(basic(&server, "rasmus", "rasmuslerdorf").await.status, 200);
        assert!(hash().starts_with("$argon2id$"), "{}", hash());
    }
}

#[tokio::test]
async fn the_api_goes_off_for_all_but_administrators_on_native_routes() {
    let server = Server::start().await;
    let operator = server.user("op", Role::Operator).await;
    assert_eq!(
        server
            .call("PUT", "/foghorn/v1/api", json!({"enabled": false}))
            .await
            .json(),
        json!({"enabled": false})
    );
    assert_eq!(
        server.call("GET", "/fog/host", Value::Null).await.status,
        302
    );
    assert_eq!(
        server
            .send("GET", "/foghorn/v1/tasks", &operator, Vec::new())
            .await
            .status,
        403
    );
    assert_eq!(
        server
            .call("GET", "/foghorn/v1/users", Value::Null)
            .await
            .status,
        200
    );
    assert_eq!(
        server
            .call("PUT", "/foghorn/v1/api", json!({"enabled": true}))
            .await
            .status,
        200
    );
    assert_eq!(
        server.call("GET", "/fog/host", Value::Null).await.status,
        200
    );

    let token = server
        .call("POST", "/foghorn/v1/api/token", Value::Null)
        .await
        .json()["token"]
        .clone();
    assert_eq!(
        server.call("GET", "/fog/host", Value::Null).await.status,
        403,
        "the old token stops at once"
    );
    assert_eq!(
        with_tokens(
            &server,
            "/fog/host",
            token.as_str().unwrap(),
            &server.first.user_token
        )
        .await,
        200
    );
}

#[tokio::test]
async fn guessing_is_slowed_down_and_others_go_on() {
    let server = Server::start().await;
    let body = json!({"name": "anna", "role": "operator", "password": "correct horse"});
    assert_eq!(
        server.call("POST", "/foghorn/v1/users", body).await.status,
        201
    );
    // A name that exists and one that does not are answered alike.
    for name in ["anna", "nobody"] {
        let mut statuses = Vec::new();
        for number in 0..12 {
            statuses.push(
                basic(&server, name, &format!("guess {number}"))
                    .await
                    .status
                    .as_u16(),
            );
        }
        assert_eq!(statuses, [vec![401; 10], vec![429; 2]].concat(), "{name}");
    }
    let history = server.call("GET", "/fog/history", Value::Null).await.json();
    assert_eq!(history["count"], 2, "one line for each name: {history}");
    for (place, name) in ["anna", "nobody"].into_iter().enumerate() {
        let line = history["historys"][place]["info"].as_str().unwrap();
        assert!(line.contains(&format!("log-ins as {name}:")), "{history}");
    }
    let refused = basic(&server, "ANNA", "correct horse").await;
    assert_eq!(
        refused.status, 429,
        "the right password has to wait as well"
    );
    assert!(refused.json()["error"].is_string(), "{}", refused.text);
    let wait: u64 = refused.headers["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=31).contains(&wait), "{wait}");
    let first = server.first.clone();
    assert_eq!(
        basic(&server, &first.user, &first.password).await.status,
        200,
        "another name"
    );
    assert_eq!(
        server.call("GET", "/fog/os/1", Value::Null).await.status,
        200,
        "right tokens"
    );
}

#[tokio::test]
async fn wrong_tokens_are_counted_by_address_and_missing_ones_are_not() {
    let server = Server::start().await;
    for _ in 0..100 {
        assert_eq!(
            server
                .send("GET", "/fog/host", &[], Vec::new())
                .await
                .status,
            403
        );
    }
    let api = server.first.api_token.clone();
    let mut statuses = Vec::new();
    for number in 0..62 {
        statuses.push(with_tokens(&server, "/fog/host", &api, &format!("{number:0128}")).await);
    }
    assert_eq!((statuses[59], statuses[61]), (401, 429), "{statuses:?}");
    assert_eq!(with_tokens(&server, "/fog/host", "wrong", "").await, 429);
    assert_eq!(
        server.call("GET", "/fog/host", Value::Null).await.status,
        200,
        "right tokens are never held up"
    );
}

#[tokio::test]
async fn a_host_reports_who_uses_it() {
    let server = Server::start().await;
    let host = json!({"name": "pc1", "macs": ["52:54:00:00:00:01"]});
    assert_eq!(
        server.call("POST", "/fog/host/create", host).await.status,
        200
    );
    let path = "/foghorn/v1/hosts/1/user-tracking";
    for (body, action) in [
        (
            json!({"user": "LAB\\anna", "action": "login", "time": "2026-11-22T08:00:00+01:00"}),
            "1",
        ),
        (json!({"user": "anna", "action": "logout"}), "0"),
        (
            json!({"user": "anna", "action": "start", "description": "boot"}),
            "99",
        ),
    ] {
        let made = server.call("POST", path, body).await;
        assert_eq!(made.status, 201, "{}", made.text);
        let row = server
            .call(
                "GET",
                &format!("/fog/usertracking/{}", made.json()["id"]),
                Value::Null,
            )
            .await
            .json();
        assert_eq!(
            (&row["action"], &row["hostID"]),
            (&json!(action), &json!("1")),
            "{row}"
        );
    }
    let first = server
        .call("GET", "/fog/usertracking/1", Value::Null)
        .await
        .json();
    assert_eq!(
        (&first["datetime"], &first["date"]),
        (&json!("2026-11-22 07:00:00"), &json!("2026-11-22"))
    );
    for (body, field) in [
        (json!({"user": "", "action": "login"}), "user"),
        (json!({"user": "a", "action": "nap"}), "action"),
        (
            json!({"user": "a", "action": "login", "time": "noon"}),
            "time",
        ),
    ] {
        let reply = server.call("POST", path, body.clone()).await;
        assert_eq!(
            (reply.status.as_u16(), &reply.json()["field"]),
            (400, &json!(field)),
            "{body}"
        );
    }
    let unknown = json!({"user": "a", "action": "login"});
    assert_eq!(
        server
            .call("POST", "/foghorn/v1/hosts/99/user-tracking", unknown)
            .await
            .status,
        404
    );
}
