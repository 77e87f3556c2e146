//! Who has changed something sees it at every controller, or is told that it has to wait.

use std::sync::Arc;

use foghorn_controller::store::etcd::{EtcdOptions, EtcdStore};
use serde_json::{Value, json};

use crate::engine::{Engine, Kind};
use crate::fog_support::{Reply, Server};
use crate::wire::Wire;

async fn read(server: &Server, path: &str, seen: &str) -> Reply {
    let mut headers = server.tokens();
    headers.push(("foghorn-revision".to_owned(), seen.to_owned()));
    server.send("GET", path, &headers, Vec::new()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_controller_that_is_behind_answers_nobody_who_has_seen_more() {
    let engine = Engine::start(Kind::Etcd).await;
    let wire = Wire::to(engine.endpoint().trim_start_matches("http://")).await;
    let options = EtcdOptions::plain([wire.address()]);
    let behind = Arc::new(EtcdStore::connect(&options).await.unwrap());
    let behind = Server::start_on(behind).await;
    let other = behind.beside(engine.store()).await;
    wire.cut();
    let made = other
        .call("POST", "/fog/group/create", json!({"name": "new"}))
        .await;
    let (id, seen) = (made.json()["id"].clone(), made.header("foghorn-revision"));
    let path = format!("/fog/group/{}", id.as_str().unwrap());
    assert_eq!(behind.call("GET", &path, Value::Null).await.status, 404);
    let refused = read(&behind, &path, seen).await;
    assert_eq!(
        (refused.status.as_u16(), refused.header("retry-after")),
        (503, "1"),
        "{}",
        refused.json()
    );
    wire.mend();
    while read(&behind, &path, seen).await.status == 503 {}
    assert_eq!(read(&behind, &path, seen).await.json()["name"], "new");
    assert_eq!(read(&behind, &path, "yesterday").await.status, 400);
}
