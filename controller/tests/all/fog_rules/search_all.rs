//! One search in every class.

use serde_json::{Value, json};

use crate::fog_rules::host;
use crate::fog_support::Server;

#[tokio::test]
async fn one_search_finds_objects_of_every_class() {
    let server = Server::start().await;
    for number in 0..30 {
        host(
            &server,
            &format!("zoo-pc{number:02}"),
            &format!("52:54:00:00:04:{number:02x}"),
            0,
        )
        .await;
    }
    assert_eq!(
        server
            .call("POST", "/fog/group/create", json!({"name": "Büro zoo"}))
            .await
            .status,
        200
    );
    for path in [
        "/fog/search/ZOO",
        "/fog/unisearch/zoo",
        "/fog//unisearch/zoo/",
    ] {
        let found = server.call("GET", path, Value::Null).await;
        assert_eq!(found.status, 200, "{path}");
        let found = found.json();
        assert_eq!(found["count"], 31, "{path}: {found}");
        let hosts = &found["results"]["host"];
        assert_eq!((&hosts["total"], &hosts["count"]), (&json!(30), &json!(20)));
        assert_eq!(
            (
                hosts["hosts"].as_array().unwrap().len(),
                &hosts["hosts"][0]["name"]
            ),
            (20, &json!("zoo-pc00"))
        );
        assert_eq!(found["results"]["group"]["groups"][0]["name"], "Büro zoo");
        assert_eq!(
            found["results"].as_object().unwrap().len(),
            2,
            "classes without hits are left out: {found}"
        );
    }
    let one = server
        .call("GET", "/fog/search/b%C3%BCro%20zoo?length=1", Value::Null)
        .await
        .json();
    assert_eq!(
        (&one["query"], &one["count"]),
        (&json!("büro zoo"), &json!(1))
    );
    let none = server
        .call("GET", "/fog/search/%22nothing%22", Value::Null)
        .await;
    assert_eq!(
        none.text,
        r#"{"query":"\"nothing\"","count":0,"results":{}}"#
    );
    assert_eq!(
        server
            .call("GET", "/fog/search/zoo?length=101", Value::Null)
            .await
            .status,
        400
    );
    assert_eq!(
        server.call("GET", "/fog/search", Value::Null).await.status,
        501
    );
    assert_eq!(
        server
            .call("POST", "/fog/search/zoo", Value::Null)
            .await
            .status,
        501
    );
}
