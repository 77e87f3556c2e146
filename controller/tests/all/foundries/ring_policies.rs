//! Policies of rings, by Foghorn's own routes.

use serde_json::{Value, json};

use super::rings::{machine, set, site};
use crate::engine::BOTH;

#[tokio::test(flavor = "multi_thread")]
async fn a_protected_host_that_is_deleted_is_no_obstacle() {
    const POLICY: &str = "/foghorn/v1/sites/1/ring-policy";
    for kind in BOTH {
        let factory = site(kind).await;
        let server = &factory.server;
        let (kept, _) = machine(&factory, 1).await;
        let (gone, _) = machine(&factory, 2).await;
        set(&factory, json!({"protected": [kept, gone]})).await;
        let path = format!("/fog/host/{gone}");
        let deleted = server.call("DELETE", &path, Value::Null).await;
        assert_eq!(deleted.status, 200, "{kind:?}: {}", deleted.text);
        let protected = async || {
            let shown = server.call("GET", POLICY, Value::Null).await.json();
            let hosts = shown["protected"].as_array().unwrap().iter();
            hosts.map(|host| host["id"].clone()).collect::<Vec<_>>()
        };
        assert_eq!(protected().await, [json!(kept)], "{kind:?}");
        set(&factory, json!({"at_most": 4})).await;
        assert_eq!(protected().await, [json!(kept)], "{kind:?}");
        // Who names one is told.
        let named = server.call("PUT", POLICY, json!({"protected": [gone]}));
        assert_eq!(named.await.status, 400, "{kind:?}");
    }
}
