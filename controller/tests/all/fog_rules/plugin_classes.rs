//! Classes that plugins declare: served, stored and tied to the other classes like those of the
//! program.

use std::sync::Arc;

use serde_json::{Value, json};

use super::plugins::{drop_in, drop_in_example, get};
use super::{count, host, id};
use crate::engine::{BOTH, Engine};
use crate::fog_support::Server;

async fn location(server: &Server, body: Value) -> u32 {
    let reply = server.call("POST", "/fog/location/create", body).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    id(&reply.json())
}

async fn with_hosts(server: &Server) {
    for number in 1..=3_u8 {
        host(
            server,
            &format!("pc{number}"),
            &format!("52:54:00:00:00:{number:02x}"),
            0,
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_location_of_the_documentation_works_on_both_engines() {
    for kind in BOTH {
        let engine = Engine::start(kind).await;
        let server = Server::start_on(engine.store()).await;
        with_hosts(&server).await;
        assert_eq!(
            server
                .call("GET", "/fog/location", Value::Null)
                .await
                .status,
            501
        );
        drop_in_example(&server, "location").await;
        routes_of_a_new_class(&server).await;
        both_ends(&server).await;
    }
}

async fn routes_of_a_new_class(server: &Server) {
    let body = json!({"name": "Library", "seats": "12", "inUse": true, "storagegroupID": 1,
        "openedTime": "2026-01-02"});
    let made = server
        .call("POST", "/fog/location/create", body)
        .await
        .json();
    let all = json!({"id": "1", "name": "Library", "description": "", "storagegroupID": "1",
        "seats": "12",
        "inUse": "1", "openedTime": "2026-01-02 00:00:00", "hosts": []});
    assert_eq!(made, all);
    assert_eq!(location(server, json!({"name": "archive"})).await, 2);
    for path in ["/fog/location", "/fog/location/list", "/fog/location/all"] {
        let list = get(server, path).await;
        assert_eq!(
            (&list["count"], &list["locations"][0]["name"]),
            (&json!(2), &json!("archive")),
            "{path}"
        );
    }
    assert_eq!(get(server, "/fog/location/1").await, all);
    assert_eq!(get(server, "/fog/location/ids").await, json!(["2", "1"]));
    assert_eq!(
        get(server, "/fog/location/ids/x/seats").await,
        json!(["0", "12"])
    );
    assert_eq!(
        get(server, "/fog/location/names").await[1],
        json!({"id": "1", "name": "Library"})
    );
    assert_eq!(count(server, "/fog/location/search/libr").await, 1);
    assert_eq!(
        count(server, "/fog/location/search/default").await,
        1,
        "by the name of what it refers to"
    );
    assert_eq!(
        get(server, "/fog/location/active").await["locations"][0]["id"],
        "1"
    );
    for (filter, hits) in [
        (json!({"seats": 12}), 1),
        (json!({"seats": 0}), 1),
        (json!({"name": "LIB%"}), 1),
        (json!({"id": [1, 2]}), 2),
        (json!({"inUse": 1, "name": "archive"}), 0),
        (json!({"nosuch": 1}), 2),
    ] {
        let list = server
            .call("GET", "/fog/location", filter.clone())
            .await
            .json();
        assert_eq!(list["count"], hits, "{filter}");
    }
    for (body, status, word) in [
        (json!({}), 417, "name"),
        (json!({"name": "LIBRARY "}), 500, "Already created"),
        (json!({"name": "x", "seats": "many"}), 500, "seats"),
        (json!({"name": "x", "seats": 10001}), 500, "seats"),
        (
            json!({"name": "x", "storagegroupID": 99}),
            500,
            "storagegroupID",
        ),
        (
            json!({"name": "x", "openedTime": "soon"}),
            500,
            "openedTime",
        ),
        (json!({"name": ["x"]}), 500, "name"),
        (json!({"name": "x".repeat(65)}), 500, "name"),
        (json!({"name": "x", "hosts": [1, 99]}), 500, "hosts"),
    ] {
        let reply = server
            .call("POST", "/fog/location/create", body.clone())
            .await;
        assert_eq!(reply.status, status, "{body}: {}", reply.text);
        assert!(
            reply.text.contains(word) || reply.problem.contains(word),
            "{body}: {}",
            reply.text
        );
    }
    assert_eq!(count(server, "/fog/location").await, 2);
    let edited = server
        .call(
            "PUT",
            "/fog/location/2/edit",
            json!({"description": "old", "seats": 3}),
        )
        .await
        .json();
    assert_eq!(
        (&edited["description"], &edited["seats"], &edited["name"]),
        (&json!("old"), &json!("3"), &json!("archive"))
    );
    assert_eq!(
        server
            .call("PUT", "/fog/location/2", json!({"name": "library"}))
            .await
            .status,
        500
    );
    assert_eq!(
        server
            .call("PUT", "/fog/location/9", json!({"seats": 1}))
            .await
            .status,
        404
    );
    assert_eq!(
        server
            .call("DELETE", "/fog/location/2", Value::Null)
            .await
            .status,
        200
    );
    assert_eq!(
        server
            .call("GET", "/fog/location/2", Value::Null)
            .await
            .status,
        404
    );
    assert_eq!(
        server
            .call("DELETE", "/fog/location/2", Value::Null)
            .await
            .status,
        404
    );
    assert_eq!(
        location(server, json!({"name": "archive"})).await,
        3,
        "the name is free, the id is not"
    );
}

async fn both_ends(server: &Server) {
    let edited = server
        .call("PUT", "/fog/location/1", json!({"hosts": [1, 2]}))
        .await
        .json();
    assert_eq!(edited["hosts"], json!(["1", "2"]));
    assert_eq!(
        get(server, "/fog/host/1").await["location"]["name"],
        "Library"
    );
    assert_eq!(get(server, "/fog/host/3").await["location"], Value::Null);
    assert_eq!(count(server, "/fog/locationassociation").await, 2);
    // From the other end: host 2 moves, host 3 comes.
    let moved = server
        .call("PUT", "/fog/host/2", json!({"locations": [3]}))
        .await
        .json();
    assert_eq!(moved["location"]["name"], "archive");
    server
        .call("PUT", "/fog/location/3", json!({"hosts": [2, 3]}))
        .await;
    assert_eq!(get(server, "/fog/location/1").await["hosts"], json!(["1"]));
    assert_eq!(
        get(server, "/fog/location/3").await["hosts"],
        json!(["2", "3"])
    );
    // Naming a host of another place moves it.
    server
        .call("PUT", "/fog/location/1", json!({"hosts": [1, 3]}))
        .await;
    assert_eq!(get(server, "/fog/location/3").await["hosts"], json!(["2"]));
    let clash = server
        .call(
            "POST",
            "/fog/locationassociation/create",
            json!({"locationID": 1, "hostID": 2}),
        )
        .await;
    assert_eq!(
        (clash.status.as_u16(), clash.text.contains("hostID")),
        (500, true),
        "{}",
        clash.text
    );
    assert_eq!(
        count(server, "/fog/location/search/pc2").await,
        1,
        "by the name of a host there"
    );
    // A new host arrives with its place.
    let body = json!({"name": "pc4", "macs": ["52:54:00:00:00:04"], "locations": [1]});
    assert_eq!(
        server.call("POST", "/fog/host/create", body).await.json()["location"]["id"],
        "1"
    );
    // Deleting either end ends the relation; a place that goes leaves its hosts alone.
    assert_eq!(
        server
            .call("DELETE", "/fog/host/1", Value::Null)
            .await
            .status,
        200
    );
    assert_eq!(
        get(server, "/fog/location/1").await["hosts"],
        json!(["3", "4"])
    );
    assert_eq!(
        server
            .call("DELETE", "/fog/location/1", Value::Null)
            .await
            .status,
        200
    );
    assert_eq!(get(server, "/fog/host/4").await["location"], Value::Null);
    assert_eq!(count(server, "/fog/locationassociation").await, 1);
    assert_eq!(count(server, "/fog/host").await, 3);
    // What is only referred to is cleared.
    server
        .call("PUT", "/fog/location/3", json!({"storagegroupID": 1}))
        .await;
    let group = server
        .call("POST", "/fog/storagegroup/create", json!({"name": "other"}))
        .await
        .json();
    server
        .call(
            "PUT",
            "/fog/location/3",
            json!({"storagegroupID": id(&group)}),
        )
        .await;
    assert_eq!(
        server
            .call(
                "DELETE",
                &format!("/fog/storagegroup/{}", id(&group)),
                Value::Null
            )
            .await
            .status,
        200
    );
    assert_eq!(get(server, "/fog/location/3").await["storagegroupID"], "0");
}

#[tokio::test]
async fn rows_outlive_their_plugin_and_stay_whole_meanwhile() {
    let server = Server::start().await;
    with_hosts(&server).await;
    drop_in_example(&server, "location").await;
    location(&server, json!({"name": "Library", "hosts": [1, 2]})).await;
    std::fs::remove_file(server.plugins_folder.join("location.rhai")).unwrap();
    server.plugins.reload().await;
    assert_eq!(
        server
            .call("GET", "/fog/location/1", Value::Null)
            .await
            .status,
        501
    );
    assert_eq!(
        server
            .call("DELETE", "/fog/host/2", Value::Null)
            .await
            .status,
        200
    );
    drop_in_example(&server, "location").await;
    assert_eq!(get(&server, "/fog/location/1").await["hosts"], json!(["1"]));
    assert_eq!(count(&server, "/fog/locationassociation").await, 1);
    // Another shape of the class: old rows show the new field empty and keep the old one.
    let text = r#"fn plugin() { #{ classes: [#{ name: "location", fields: [
        #{ name: "name", type: "text", unique: true }, #{ name: "floor",
            type: "number" } ] }] } }"#;
    drop_in(&server, "location", text).await;
    assert_eq!(
        get(&server, "/fog/location/1").await,
        json!({"id": "1", "name": "Library", "floor": "0"})
    );
    assert_eq!(
        server
            .call("PUT", "/fog/location/1", json!({"floor": 2}))
            .await
            .json()["floor"],
        "2"
    );
    drop_in_example(&server, "location").await;
    assert_eq!(get(&server, "/fog/location/1").await["name"], "Library");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_name_created_at_once_has_one_winner_in_a_new_class() {
    for kind in BOTH {
        let engine = Engine::start(kind).await;
        let server = Arc::new(Server::start_on(engine.store()).await);
        drop_in_example(&server, "location").await;
        let mut requests = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let server = server.clone();
            requests.spawn(async move {
                server
                    .call("POST", "/fog/location/create", json!({"name": "same"}))
                    .await
                    .status
                    .as_u16()
            });
        }
        let statuses = requests.join_all().await;
        assert_eq!(
            statuses.iter().filter(|status| **status == 200).count(),
            1,
            "{statuses:?}"
        );
        assert_eq!(count(&server, "/fog/location").await, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_of_hundreds_of_hosts_is_filled_and_deleted_in_steps() {
    let server = Server::start().await;
    drop_in_example(&server, "location").await;
    let hosts: Vec<u32> = (1..=150).collect();
    for number in &hosts {
        let mac = format!("52:54:00:01:{:02x}:{:02x}", number / 256, number % 256);
        host(&server, &format!("pc{number}"), &mac, 0).await;
    }
    let place = location(&server, json!({"name": "Hall", "hosts": hosts})).await;
    assert_eq!(count(&server, "/fog/locationassociation").await, 150);
    let other = location(&server, json!({"name": "Annexe", "hosts": hosts})).await;
    assert_eq!(
        get(&server, &format!("/fog/location/{place}")).await["hosts"],
        json!([])
    );
    assert_eq!(
        server
            .call("DELETE", &format!("/fog/location/{other}"), Value::Null)
            .await
            .status,
        200
    );
    assert_eq!(count(&server, "/fog/locationassociation").await, 0);
    assert_eq!(count(&server, "/fog/location").await, 1);
}
