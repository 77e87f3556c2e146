//! Groups of multicast sessions: no two sessions have the same, whoever leases them, and an end of
//! whatever kind frees them.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use foghorn_controller::app::multicast::{lease, sweep};
use foghorn_controller::config::MulticastConfig;
use foghorn_controller::state::Refusal;
use foghorn_types::{StorageNodeId, TaskId};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::engine::{BOTH, Engine};
use crate::fog_rules::contention::controllers;
use crate::fog_rules::{count, host, image};
use crate::fog_support::Server;

/// Sessions of one host each; gives their tasks, which have the sessions' numbers.
async fn sessions(server: &Server, how_many: u32) -> Vec<u32> {
    let image = image(server).await;
    server.give_content(image).await;
    for number in 1..=how_many {
        let host = host(
            server,
            &format!("pc{number}"),
            &format!("52:54:00:00:04:{number:02x}"),
            image,
        )
        .await;
        let body = json!({"taskTypeID": 8, "taskName": format!("s{number}")});
        let reply = server
            .call("POST", &format!("/fog/host/{host}/task"), body)
            .await;
        assert_eq!(reply.status, 200, "{}", reply.text);
    }
    assert_eq!(
        count(server, "/fog/multicastsession/active").await,
        u64::from(how_many)
    );
    (1..=how_many).collect()
}

async fn take(server: &Server, task: u32, node: u32) -> Result<(), Refusal> {
    let (config, task, node) = (
        MulticastConfig::default(),
        TaskId::new(task).unwrap(),
        StorageNodeId::new(node).unwrap(),
    );
    server
        .state
        .write(|draft| lease(draft, &config, task, node, false))
        .await
}

fn leased(server: &Server) -> Vec<IpAddr> {
    server.state.read(|tables| {
        tables
            .session_plans()
            .iter()
            .flat_map(|plan| plan.leases.values().map(|group| group.ip()))
            .collect()
    })
}

async fn set(server: &Server, setting: &str, value: &str) {
    let found = server
        .call("GET", &format!("/fog/service?name={setting}"), Value::Null)
        .await
        .json();
    let rows = found["services"].as_array().cloned().unwrap_or_default();
    let row = rows
        .iter()
        .find(|row| row["name"] == setting)
        .unwrap_or_else(|| panic!("{setting}: {found}"));
    let path = format!("/fog/service/{}", row["id"].as_str().unwrap());
    let reply = server.call("PUT", &path, json!({"value": value})).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_controllers_never_lease_a_group_twice() {
    for kind in BOTH {
        let engine = Engine::start(kind).await;
        let servers = controllers(&engine).await;
        let tasks = sessions(&servers[0], 8).await;
        for server in &servers {
            let mut changed = server.state.changed();
            let all = |server: &Arc<Server>| {
                server.state.read(|tables| tables.tasks().len()) >= tasks.len()
            };
            while !all(server) {
                changed.changed().await.unwrap();
            }
        }
        // Every group is wanted at once: there are as many as are needed.
        set(&servers[0], "FOG_MULTICAST_ADDRESS", "239.1.2.0").await;
        set(&servers[0], "FOG_MULTICAST_MAX_SESSIONS", "16").await;
        let mut racers = JoinSet::new();
        for task in tasks.clone() {
            for node in [1, 2] {
                // Both controllers of a node's neighbours may see the same plan.
                let server = servers[(task + node) as usize % servers.len()].clone();
                racers.spawn(async move { take(&server, task, node).await });
            }
        }
        for result in racers.join_all().await {
            result.unwrap_or_else(|error| panic!("{kind:?}: {error}"));
        }
        let mut changed = servers[0].state.changed();
        while leased(&servers[0]).len() < 16 {
            changed.changed().await.unwrap();
        }
        let groups: HashSet<IpAddr> = leased(&servers[0]).into_iter().collect();
        assert_eq!(groups.len(), 16, "{kind:?}");
        servers[1]
            .call("DELETE", "/fog/multicastsession/3/cancel", Value::Null)
            .await;
        assert_eq!(
            leased(&servers[1]).len(),
            14,
            "{kind:?}: a cancelled session keeps nothing"
        );
    }
}

#[tokio::test]
async fn sessions_and_groups_are_limited_by_the_settings() {
    let server = Server::start().await;
    sessions(&server, 3).await;
    set(&server, "FOG_MULTICAST_MAX_SESSIONS", "2").await;
    set(&server, "FOG_MULTICAST_ADDRESS", "239.9.9.9").await;
    take(&server, 1, 1).await.unwrap();
    take(&server, 1, 1).await.unwrap();
    assert_eq!(leased(&server).len(), 1, "leasing twice is leasing once");
    take(&server, 2, 1).await.unwrap();
    let refused = take(&server, 3, 1).await.unwrap_err().to_string();
    assert!(
        refused.contains("the maximum number of multicast sessions"),
        "{refused}"
    );
    let refused = take(&server, 2, 2).await.unwrap_err().to_string();
    assert!(refused.contains("no multicast group is free"), "{refused}");
    let mut groups = leased(&server);
    groups.sort_unstable();
    assert_eq!(
        groups,
        [
            "239.9.9.9".parse::<IpAddr>().unwrap(),
            "239.9.9.10".parse().unwrap()
        ]
    );
    server
        .call("DELETE", "/fog/multicastsession/1/cancel", Value::Null)
        .await;
    take(&server, 3, 1).await.unwrap();
}

#[tokio::test]
async fn whatever_ends_a_session_frees_its_group() {
    let server = Server::start().await;
    sessions(&server, 4).await;
    for task in 1..=4 {
        take(&server, task, 1).await.unwrap();
    }
    sweep(&server.state).await.unwrap();
    assert_eq!(
        leased(&server).len(),
        4,
        "a session under way keeps its group"
    );
    server
        .call("DELETE", "/fog/multicastsession/1/cancel", Value::Null)
        .await;
    assert_eq!(leased(&server).len(), 3);
    // These are what a script or a crash leaves behind: the row says that it is over, or has gone.
    server
        .call("PUT", "/fog/multicastsession/2", json!({"stateID": 5}))
        .await;
    server
        .call("DELETE", "/fog/multicastsession/3", Value::Null)
        .await;
    assert_eq!(
        leased(&server).len(),
        3,
        "a row that somebody edits takes nothing with it"
    );
    server
        .call("DELETE", "/fog/host/4/cancel", Value::Null)
        .await;
    foghorn_controller::app::sessions::settle(
        &server.state,
        foghorn_controller::app::sessions::Settle::All,
    )
    .await
    .unwrap();
    assert!(leased(&server).is_empty(), "{:?}", leased(&server));
}

/// A session without a task would keep its group and the content of its image, and nobody would end it.
#[tokio::test]
async fn a_session_ends_with_the_last_of_its_tasks_that_is_deleted() {
    let server = Server::start().await;
    let tasks = sessions(&server, 4).await;
    for task in tasks {
        take(&server, task, 1).await.unwrap();
    }
    let join = json!({"taskTypeID": 8, "sessionjoin": "s4 - pc4"});
    let image = json!(server.call("GET", "/fog/host/4", Value::Null).await.json()["imageID"]);
    let image = image.as_str().unwrap().parse().unwrap();
    let more = host(&server, "more", "52:54:00:00:05:01", image).await;
    let order = format!("/fog/host/{more}/task");
    assert_eq!(server.call("POST", &order, join).await.status, 200);
    for path in [
        "/fog/task/1",
        "/fog/host/2",
        "/fog/multicastsessionassociation/3",
        "/fog/host/4",
    ] {
        let reply = server.call("DELETE", path, Value::Null).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text);
    }
    let left = server
        .call("GET", "/fog/multicastsession/active", Value::Null)
        .await
        .json();
    assert_eq!(left["count"], 1, "one still has a task: {left}");
    assert_eq!(left["multicastsessions"][0]["id"], "4", "{left}");
    assert_eq!(leased(&server).len(), 1);
    let last = format!("/fog/host/{more}");
    server.call("DELETE", &last, Value::Null).await;
    assert_eq!(count(&server, "/fog/multicastsession/active").await, 0);
    assert!(leased(&server).is_empty(), "{:?}", leased(&server));
}
