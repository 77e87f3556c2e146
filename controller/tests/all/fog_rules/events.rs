//! Server-sent events: what happens is told, in order, to whoever may know.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::extract::ConnectInfo;
use axum::http::Request;
use foghorn_controller::state::Refusal;
use foghorn_controller::state::settings::{ApiSettings, hash_token};
use foghorn_controller::store::etcd::{EtcdOptions, EtcdStore};
use foghorn_controller::store::{Op, Txn};
use futures_util::StreamExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::engine::{Engine, Kind};
use crate::fog_rules::host;
use crate::fog_support::Server;
use crate::wire::Wire;

const PATIENCE: Duration = Duration::from_secs(20);

/// One event: its name, its id, its data.
type Event = (String, String, Value);

struct Listener {
    body: BodyDataStream,
    text: String,
}

impl Listener {
    async fn open(server: &Server, path: &str, last: &str) -> Self {
        Self::open_as(server, (&server.tokens(), [10, 0, 0, 1]), path, last).await
    }

    /// With these headers, from this address.
    async fn open_as(
        server: &Server,
        (headers, from): (&[(String, String)], [u8; 4]),
        path: &str,
        last: &str,
    ) -> Self {
        let from = SocketAddr::from((from, 1));
        let mut request = Request::builder().uri(path).extension(ConnectInfo(from));
        for (name, value) in headers {
            request = request.header(name, value);
        }
        if !last.is_empty() {
            request = request.header("last-event-id", last);
        }
        let response = server
            .router
            .clone()
            .oneshot(request.body(Body::empty()).unwrap())
            .await
            .unwrap();
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self {
            body: response.into_body().into_data_stream(),
            text: String::new(),
        }
    }

    /// The next event that is one; `None` when the stream has ended.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    event
                        .lines()
                        .find_map(|line| line.strip_prefix(name))
                        .unwrap_or("")
                        .trim()
                };
                let parsed = (
                    field("event:").to_owned(),
                    field("id:").to_owned(),
                    field("data:").to_owned(),
                );
                self.text = rest.to_owned();
                if !parsed.2.is_empty() {
                    return Some((parsed.0, parsed.1, serde_json::from_str(&parsed.2).unwrap()));
                }
                continue;
            }
            let chunk = tokio::time::timeout(PATIENCE, self.body.next())
                .await
                .expect("nothing came")?;
            self.text
                .push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
        }
    }

    async fn expect(&mut self, name: &str) -> Event {
        let event = self.next().await.expect("the stream has ended");
        assert_eq!(event.0, name, "{event:?}");
        event
    }
}

async fn group(server: &Server, name: &str) {
    assert_eq!(
        server
            .call("POST", "/fog/group/create", json!({"name": name}))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn changes_are_told_in_order_with_the_object() {
    let server = Server::start().await;
    let mut hosts = Listener::open(&server, "/events?class=host", "").await;
    let mut all = Listener::open(&server, "/foghorn/v1/events", "").await;
    hosts.expect("ready").await;
    let (_, start, _) = all.expect("ready").await;
    group(&server, "lab").await;
    host(&server, "one", "52:54:00:00:00:01", 0).await;
    assert_eq!(
        server
            .call("PUT", "/fog/host/1", json!({"description": "x"}))
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

    let (_, created, data) = hosts.expect("create").await;
    assert_eq!(
        (&data["class"], &data["id"], &data["change"]),
        (&json!("host"), &json!(1), &json!("create"))
    );
    assert_eq!(data["revision"].to_string(), created);
    let (_, edited, data) = hosts.expect("edit").await;
    assert_eq!(data["id"], 1);
    assert!(
        data["object"].is_null() || data["object"]["description"] == "x",
        "{data}"
    );
    let (_, deleted, data) = hosts.expect("delete").await;
    assert_eq!(data["object"], Value::Null);
    let ids = [&start, &created, &edited, &deleted].map(|id| id.parse::<u64>().unwrap());
    assert!(ids.is_sorted(), "{ids:?}");

    let (_, _, data) = all.expect("create").await;
    assert_eq!(
        (&data["class"], &data["object"]["name"]),
        (&json!("group"), &json!("lab"))
    );

    // Away after the create, and back.
    let mut back = Listener::open(&server, "/events?class=host&since=0", &created).await;
    assert_eq!(back.expect("ready").await.1, created);
    assert_eq!(
        (back.expect("edit").await.1, back.expect("delete").await.1),
        (edited, deleted.clone())
    );
    host(&server, "two", "52:54:00:00:00:02", 0).await;
    assert_eq!(back.expect("create").await.2["object"]["name"], "two");
}

#[tokio::test]
async fn what_cannot_be_told_any_more_is_a_reset_and_what_means_nothing_is_refused() {
    let server = Server::start().await;
    for since in ["since=0", "since=99999999"] {
        let mut listener = Listener::open(&server, &format!("/events?{since}"), "").await;
        let (_, id, data) = listener.expect("reset").await;
        assert_eq!(data["revision"].to_string(), id, "{since}");
        group(&server, &format!("after {since}")).await;
        assert_eq!(listener.expect("create").await.2["class"], "group");
    }
    for (query, field) in [
        ("class=nosuch", "class"),
        ("class=user", "class"),
        ("since=now", "since"),
    ] {
        let refused = server
            .call("GET", &format!("/events?{query}"), Value::Null)
            .await;
        assert_eq!(
            (refused.status.as_u16(), refused.json()["field"].as_str()),
            (400, Some(field)),
            "{}",
            refused.text
        );
    }
    let nobody = server.send("GET", "/events", &[], Vec::new()).await;
    assert!(
        [401, 403].contains(&nobody.status.as_u16()),
        "{}",
        nobody.status
    );
}

#[tokio::test]
async fn listening_ends_with_the_right_to_listen() {
    let server = Server::start().await;
    let mut listener = Listener::open(&server, "/events", "").await;
    listener.expect("ready").await;
    let api = server.state.read(|tables| tables.api().cloned()).unwrap();
    let replaced = ApiSettings {
        token_hash: hash_token("another"),
        ..api
    };
    let replace = server.state.write::<_, Refusal>(|draft| {
        draft.store(&replaced);
        Ok(())
    });
    replace.await.unwrap();
    let ended = tokio::time::timeout(PATIENCE, listener.next())
        .await
        .expect("the stream goes on");
    assert_eq!(ended, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_listeners_hear_the_same_and_one_who_does_not_listen_is_cut_off() {
    let server = Server::start().await;
    let mut listeners = Vec::new();
    // No user and no address has so many places.
    for number in 0..10 {
        let user = server
            .user(&format!("listener{number}"), foghorn_types::Role::ReadOnly)
            .await;
        for _ in 0..50 {
            let who = (user.as_slice(), [10, 0, 1, number]);
            let mut listener = Listener::open_as(&server, who, "/events?class=group", "").await;
            listener.expect("ready").await;
            listeners.push(listener);
        }
    }
    group(&server, "lab").await;
    for listener in &mut listeners {
        assert_eq!(listener.expect("create").await.2["object"]["name"], "lab");
    }
    let mut deaf = listeners.remove(0);
    drop(listeners);
    let (_, last, _) = {
        let mut listener = Listener::open(&server, "/events?class=group", "").await;
        listener.expect("ready").await
    };
    let mut follower = Listener::open(&server, "/events?class=group", &last).await;
    follower.expect("ready").await;
    // More than a listener may be behind.
    for number in 0..1100_u32 {
        let write = server.state.write::<_, Refusal>(|draft| {
            let row = draft
                .tables()
                .of::<foghorn_controller::state::classes::Group>()
                .get(1)
                .unwrap()
                .clone();
            let mut group = foghorn_controller::state::classes::Group::clone(&row);
            group.description = number.to_string();
            draft.update(&row, &group)
        });
        write.await.unwrap();
        assert_eq!(follower.expect("edit").await.2["id"], 1);
    }
    assert_eq!(deaf.next().await, None, "it is not kept for");
}

#[tokio::test]
async fn one_user_does_not_take_all_places() {
    let server = Server::start().await;
    let reader = server.user("reader", foghorn_types::Role::ReadOnly).await;
    let open = async |headers: &[(String, String)]| {
        let mut request = Request::builder().uri("/events");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.body(Body::empty()).unwrap();
        server.router.clone().oneshot(request).await.unwrap()
    };
    let mut open_ones = Vec::new();
    let refused = loop {
        let response = open(&reader).await;
        if response.status() != 200 {
            break response;
        }
        open_ones.push(response);
    };
    assert_eq!((open_ones.len(), refused.status().as_u16()), (64, 429));
    assert!(refused.headers().contains_key("retry-after"));
    let text = axum::body::to_bytes(refused.into_body(), 10_000).await;
    assert!(String::from_utf8_lossy(&text.unwrap()).contains("listeners of one user"));
    let other = open(&server.tokens()).await;
    assert_eq!(other.status(), 200, "others have their own places");
    open_ones.pop();
    assert_eq!(open(&reader).await.status(), 200, "places are given back");
}

/// While a controller is cut off from etcd, another one changes, deletes and makes rows, and the history
/// of it is compacted away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_compaction_hid_is_a_reset_and_no_row_is_lost_or_invented() {
    let engine = Engine::start(Kind::Etcd).await;
    let wire = Wire::to(engine.endpoint().trim_start_matches("http://")).await;
    let options = EtcdOptions::plain([wire.address()]);
    let cut_off = Arc::new(EtcdStore::connect(&options).await.unwrap());
    let server = Server::start_on(cut_off).await;
    let other = server.beside(engine.store()).await;
    for name in ["stays", "goes", "changes"] {
        group(&server, name).await;
    }
    let names = |server: &Server| {
        let mut names: Vec<String> = server.state.read(|tables| {
            let groups = tables.of::<foghorn_controller::state::classes::Group>();
            groups.iter().map(|group| group.name.clone()).collect()
        });
        names.sort();
        names
    };
    let mut listener = Listener::open(&server, "/events?class=group", "").await;
    listener.expect("ready").await;

    let mut seen = other.state.changed();
    while names(&other) != names(&server) {
        let news = tokio::time::timeout(PATIENCE, seen.changed()).await;
        news.expect("the other controller sees the groups").unwrap();
    }
    wire.cut();
    let id = |name: &str| {
        other.state.read(|tables| {
            let groups = tables.of::<foghorn_controller::state::classes::Group>();
            groups
                .iter()
                .find(|group| group.name == name)
                .map(|group| group.id)
        })
    };
    let goes = format!("/fog/group/{}/delete", id("goes").unwrap());
    assert_eq!(other.call("DELETE", &goes, Value::Null).await.status, 200);
    let changes = format!("/fog/group/{}/edit", id("changes").unwrap());
    let edit = json!({"name": "changed"});
    assert_eq!(other.call("PUT", &changes, edit).await.status, 200);
    group(&other, "new").await;
    // More of history than the cache knows is gone, and a little of it is left.
    let store = engine.store();
    let last = other.state.read_at(|_, revision| revision);
    store.compact(last).await.unwrap();
    let noise = Op::Put {
        key: "/elsewhere".into(),
        value: "x".into(),
    };
    let txn = Txn {
        compares: Vec::new(),
        ops: vec![noise],
    };
    store.commit(txn).await.unwrap();
    assert_eq!(
        names(&server),
        ["changes", "goes", "stays"],
        "it sees nothing of it"
    );
    wire.mend();

    let start = std::time::Instant::now();
    while names(&server) != ["changed", "new", "stays"] {
        assert!(start.elapsed() < PATIENCE * 2, "{:?}", names(&server));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Events are told after the tables show them: it may have begun to listen before the last of the
    // first three groups was told.
    let mut told = 0;
    loop {
        let (name, _, data) = listener.next().await.expect("the stream goes on");
        if name == "reset" {
            break;
        }
        told += 1;
        assert!(name == "create" && told <= 3, "{name} {data}");
    }
    assert_eq!(names(&server), names(&other));
    while server.state.stale_for().is_some() {
        assert!(start.elapsed() < PATIENCE * 2, "it is current again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // And it goes on from there.
    group(&other, "later").await;
    loop {
        let (name, _, data) = listener.next().await.expect("the stream goes on");
        if name != "reset" && data.to_string().contains("later") {
            break;
        }
    }
}
