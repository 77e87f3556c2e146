//! Changes that touch more rows than a transaction takes, on both engines.

use std::time::Instant;

use foghorn_controller::state::classes::GroupAssociation;
use serde_json::{Value, json};

use crate::engine::{BOTH, Engine};
use crate::fog_rules::{count, id, image};
use crate::fog_support::{Reply, Server};

const HOSTS: usize = 400;

async fn good(server: &Server, method: &str, path: &str, body: Value) -> Reply {
    let reply = server.call(method, path, body).await;
    assert_eq!(reply.status, 200, "{method} {path}: {}", reply.text);
    reply
}

async fn hosts(server: &Server) -> Vec<u32> {
    let mut hosts = Vec::with_capacity(HOSTS);
    for number in 0..HOSTS {
        let mac = format!("52:54:00:02:{:02x}:{:02x}", number / 256, number % 256);
        let body = json!({"name": format!("pc{number}"), "macs": [mac]});
        hosts.push(id(&good(server, "POST", "/fog/host/create", body)
            .await
            .json()));
    }
    hosts
}

fn with_image(server: &Server, image: u32) -> usize {
    server.state.read(|tables| {
        tables
            .hosts()
            .iter()
            .filter(|host| host.image == image)
            .count()
    })
}

fn members(server: &Server, group: u32) -> Vec<u32> {
    server.state.read(|tables| {
        let rows = tables
            .of::<GroupAssociation>()
            .by(GroupAssociation::BY_GROUP, group.into());
        rows.map(|row| row.host).collect()
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_of_four_hundred_hosts_works_like_one_of_four() {
    for kind in BOTH {
        let engine = Engine::start(kind).await;
        let server = Server::start_on(engine.store()).await;
        let hosts = hosts(&server).await;
        let win = image(&server).await;
        server.give_content(win).await;

        let start = Instant::now();
        let lab = good(
            &server,
            "POST",
            "/fog/group/create",
            json!({"name": "lab", "hosts": hosts}),
        )
        .await
        .json();
        assert_eq!(
            (lab["hostcount"].as_u64(), members(&server, 1)),
            (Some(400), hosts.clone()),
            "{kind:?}"
        );
        good(&server, "PUT", "/fog/group/1/edit", json!({"imageID": win})).await;
        assert_eq!(with_image(&server, win), HOSTS, "{kind:?}");

        good(
            &server,
            "POST",
            "/fog/group/1/task",
            json!({"taskTypeID": 1}),
        )
        .await;
        assert_eq!(count(&server, "/fog/task/active").await, 400);
        assert_eq!(
            server.state.read(|tables| tables.runs().active().count()),
            HOSTS,
            "{kind:?}"
        );
        crate::fog_rules::task_edits::begin(&server, 1).await;
        assert_eq!(
            server
                .call("DELETE", &format!("/fog/image/{win}"), Value::Null)
                .await
                .status,
            409,
            "it is in use"
        );
        assert_eq!(
            with_image(&server, win),
            HOSTS,
            "{kind:?}: a refused delete left traces"
        );
        good(&server, "DELETE", "/fog/group/1/cancel", Value::Null).await;
        assert_eq!(count(&server, "/fog/task/active").await, 0);
        assert_eq!(
            server.state.read(|tables| tables.runs().active().count()),
            0,
            "{kind:?}"
        );

        good(
            &server,
            "PUT",
            "/fog/group/1/edit",
            json!({"hosts": &hosts[350..]}),
        )
        .await;
        assert_eq!(members(&server, 1), hosts[350..], "{kind:?}");
        good(&server, "PUT", "/fog/group/1/edit", json!({"hosts": hosts})).await;
        assert_eq!(members(&server, 1).len(), HOSTS, "{kind:?}");

        good(&server, "DELETE", &format!("/fog/image/{win}"), Value::Null).await;
        assert_eq!(
            (with_image(&server, win), with_image(&server, 0)),
            (0, HOSTS),
            "{kind:?}"
        );
        assert!(
            server
                .state
                .read(|tables| tables.contents().iter().next().is_none()),
            "{kind:?}"
        );
        let linux =
            json!({"name": "linux", "path": "linux", "imageTypeID": 1, "osID": 50, "hosts": hosts});
        let linux = id(&good(&server, "POST", "/fog/image/create", linux)
            .await
            .json());
        assert_eq!(with_image(&server, linux), HOSTS, "{kind:?}");

        good(&server, "DELETE", "/fog/group/1", Value::Null).await;
        assert_eq!(
            (
                count(&server, "/fog/group").await,
                count(&server, "/fog/groupassociation").await
            ),
            (0, 0)
        );
        println!(
            "{kind:?}: {:?} for everything after the hosts",
            start.elapsed()
        );
    }
}

/// A host has a task for every time it was imaged, and rows of its log.
#[tokio::test]
async fn a_host_with_a_long_history_can_be_deleted() {
    let server = Server::start().await;
    let win = image(&server).await;
    server.give_content(win).await;
    let host = crate::fog_rules::host(&server, "one", "52:54:00:00:00:01", win).await;
    for _ in 0..150 {
        good(
            &server,
            "POST",
            &format!("/fog/host/{host}/task"),
            json!({"taskTypeID": 1}),
        )
        .await;
        good(
            &server,
            "DELETE",
            &format!("/fog/host/{host}/cancel"),
            Value::Null,
        )
        .await;
    }
    assert_eq!(count(&server, "/fog/task").await, 150);
    good(&server, "DELETE", &format!("/fog/host/{host}"), Value::Null).await;
    assert_eq!(
        (
            count(&server, "/fog/task").await,
            count(&server, "/fog/host").await
        ),
        (0, 0)
    );
    assert_eq!(
        server
            .call("DELETE", &format!("/fog/host/{host}"), Value::Null)
            .await
            .status,
        404
    );
}

/// Sends a request and gives it up as soon as the tables show what it did first.
async fn cut_off(server: &Server, method: &str, path: &str, body: Value, begun: impl Fn() -> bool) {
    let mut changed = server.state.changed();
    let watch = async {
        while !begun() {
            changed.changed().await.unwrap();
        }
    };
    tokio::select! {
        biased;
        () = watch => {}
        reply = server.call(method, path, body) => panic!("{method} {path} was done at once: {}",
            reply.text),
    }
}

/// What a controller that was stopped between two steps leaves behind is completed by the same
/// request.
#[tokio::test]
async fn a_change_that_was_cut_off_is_completed_by_the_same_request() {
    let server = Server::start().await;
    let hosts = hosts(&server).await;
    good(&server, "POST", "/fog/group/create", json!({"name": "lab"})).await;
    let edit = json!({"hosts": hosts, "imageID": 7});
    cut_off(&server, "PUT", "/fog/group/1/edit", edit.clone(), || {
        !members(&server, 1).is_empty()
    })
    .await;
    let some = members(&server, 1).len();
    assert!(some > 0 && some < HOSTS, "{some} members");
    good(&server, "PUT", "/fog/group/1/edit", edit).await;
    assert_eq!(
        (members(&server, 1), with_image(&server, 7)),
        (hosts, HOSTS)
    );

    cut_off(&server, "DELETE", "/fog/group/1", Value::Null, || {
        members(&server, 1).len() < HOSTS
    })
    .await;
    assert!(!members(&server, 1).is_empty());
    assert_eq!(
        count(&server, "/fog/group").await,
        1,
        "the group itself goes last"
    );
    good(&server, "DELETE", "/fog/group/1", Value::Null).await;
    assert_eq!(
        (count(&server, "/fog/group").await, members(&server, 1)),
        (0, Vec::new())
    );
}
