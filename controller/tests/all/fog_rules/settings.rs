//! Settings: there from the start and after an upgrade, in force at once, secret where they must
//! be.

use foghorn_controller::app::accounts;
use foghorn_controller::state::State;
use foghorn_controller::state::classes::Service;
use foghorn_controller::state::key;
use foghorn_controller::store::{Op, Txn};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::engine::{BOTH, Engine};
use crate::fog_rules::count;
use crate::fog_support::Server;

async fn set(server: &Server, id: u32, value: &str) -> u16 {
    server
        .call(
            "PUT",
            &format!("/fog/service/{id}/edit"),
            json!({"value": value}),
        )
        .await
        .status
        .as_u16()
}

#[tokio::test]
async fn the_switch_of_the_api_is_a_setting() {
    let server = Server::start().await;
    let shown = server
        .call("GET", "/fog/service/190", Value::Null)
        .await
        .json();
    assert_eq!(
        (&shown["name"], &shown["value"]),
        (&json!("FOG_API_ENABLED"), &json!("1"))
    );
    assert_eq!(set(&server, 190, "0").await, 200);
    assert_eq!(
        server.call("GET", "/fog/host", Value::Null).await.status,
        302
    );
    accounts::set_api_enabled(&server.state, true)
        .await
        .unwrap();
    let shown = server
        .call("GET", "/fog/service/190", Value::Null)
        .await
        .json();
    assert_eq!(shown["value"], "1", "the row follows the switch");
    for (method, path, body) in [
        ("DELETE", "/fog/service/190", Value::Null),
        ("PUT", "/fog/service/190/edit", json!({"name": "OTHER"})),
        ("DELETE", "/fog/service/191", Value::Null),
    ] {
        assert_eq!(
            server.call(method, path, body).await.status,
            500,
            "{method} {path}"
        );
    }
    assert_eq!(count(&server, "/fog/host").await, 0, "the API is still on");
}

#[tokio::test]
async fn the_token_can_be_set_and_is_never_shown() {
    let mut server = Server::start().await;
    let first = server.first.api_token.clone();
    assert_eq!(
        set(&server, 191, "").await,
        500,
        "nobody could get in any more"
    );
    assert_eq!(set(&server, 191, "another token").await, 200);
    assert_eq!(
        server
            .call("GET", "/fog/service/191", Value::Null)
            .await
            .status,
        403,
        "the old token stopped"
    );
    server.first.api_token = "another token".to_owned();
    let mut headers = server.tokens();
    headers.push(("foghorn-secrets".to_owned(), "show".to_owned()));
    for path in ["/fog/service/191", "/fog/service/ids/x/value"] {
        let reply = server.send("GET", path, &headers, Vec::new()).await;
        assert_eq!(reply.status, 200, "{path}");
        assert!(
            !reply.text.contains("another token") && !reply.text.contains(&first),
            "{path}"
        );
    }
}

#[tokio::test]
async fn secret_settings_are_for_administrators_who_ask() {
    let server = Server::start().await;
    assert_eq!(set(&server, 88, "hush").await, 200);
    let shown = server
        .call("GET", "/fog/service/88", Value::Null)
        .await
        .json();
    assert_eq!(
        (&shown["name"], &shown["value"]),
        (&json!("FOG_PROXY_PASSWORD"), &json!(""))
    );
    let find = |body: Value| server.call("GET", "/fog/service/list", body);
    assert_eq!(
        find(json!({"value": "hu%"})).await.json()["count"],
        0,
        "a filter would tell it letter by letter"
    );
    assert_eq!(count(&server, "/fog/service/search/hush").await, 0);
    assert!(
        !server
            .call("GET", "/fog/service/ids/x/value", Value::Null)
            .await
            .text
            .contains("hush")
    );
    let mut headers = server.tokens();
    headers.push(("foghorn-secrets".to_owned(), "show".to_owned()));
    let shown = server
        .send("GET", "/fog/service/88", &headers, Vec::new())
        .await;
    assert_eq!(shown.json()["value"], "hush");
}

#[tokio::test]
async fn settings_are_read_by_name() {
    let server = Server::start().await;
    let zone =
        |state: &State| state.read(|tables| tables.setting("FOG_TZ_INFO").map(str::to_owned));
    assert_eq!(zone(&server.state).as_deref(), Some("UTC"));
    assert_eq!(set(&server, 122, "Europe/Madrid").await, 200);
    assert_eq!(zone(&server.state).as_deref(), Some("Europe/Madrid"));
    assert_eq!(set(&server, 122, " ").await, 200);
    assert_eq!(zone(&server.state), None, "blank is none");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_adds_what_is_missing_and_leaves_the_rest() {
    for kind in BOTH {
        let engine = Engine::start(kind).await;
        let server = Server::start_on(engine.store()).await;
        assert_eq!(set(&server, 122, "Europe/Madrid").await, 200);
        assert_eq!(
            server
                .call("DELETE", "/fog/usercleanup/1", Value::Null)
                .await
                .status,
            200
        );
        // As if a first start had been stopped in the middle of the settings.
        let gone = (150..=195).filter_map(|id| {
            let row = server
                .state
                .read(|tables| tables.of::<Service>().get(id).map(|row| row.name.clone()))?;
            Some([
                key::object("service", id),
                key::unique("service", "name", &row),
            ])
        });
        let mut keys: Vec<String> = gone.flatten().collect();
        keys.push(key::sequence("service"));
        let ops = keys.into_iter().map(|key| Op::Delete { key }).collect();
        server
            .state
            .commit(Txn {
                compares: Vec::new(),
                ops,
            })
            .await
            .unwrap();

        let cancel = CancellationToken::new();
        let (state, task) = State::start(engine.store(), cancel.clone()).await.unwrap();
        state.read(|tables| {
            assert_eq!(tables.of::<Service>().len(), 179);
            assert_eq!(tables.setting("FOG_TZ_INFO"), Some("Europe/Madrid"));
            assert!(
                tables
                    .of::<foghorn_controller::state::classes::UserCleanup>()
                    .get(1)
                    .is_none(),
                "it was deleted"
            );
        });
        cancel.cancel();
        task.await.unwrap();
    }
}
