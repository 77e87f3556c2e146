//! `POST /foghorn/v1/tasks`: hosts that cannot have a task are left out, or, when that was ordered,
//! nothing changes because of one of them; and dry runs.

use foghorn_controller::state::classes::{Host, MulticastSession, Task};
use foghorn_types::Role;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::engine::{BOTH, Engine};
use crate::fog_rules::contention::controllers;
use crate::fog_rules::{host, image};
use crate::fog_support::{Reply, Server};

const PATH: &str = "/foghorn/v1/tasks";

async fn order(server: &Server, body: Value) -> Reply {
    server.call("POST", PATH, body).await
}

/// Hosts `pc1` and so on, without an image.
async fn hosts(server: &Server, how_many: u32) -> Vec<u32> {
    let mut hosts = Vec::new();
    for number in 1..=how_many {
        hosts.push(
            host(
                server,
                &format!("pc{number}"),
                &format!("52:54:00:00:0e:{number:02x}"),
                0,
            )
            .await,
        );
    }
    hosts
}

async fn group(server: &Server, hosts: &[u32]) -> u32 {
    let reply = server
        .call(
            "POST",
            "/fog/group/create",
            json!({"name": "room", "hosts": hosts}),
        )
        .await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.json()["id"].as_str().unwrap().parse().unwrap()
}

async fn content(server: &Server) -> u32 {
    let image = image(server).await;
    server.give_content(image).await;
    image
}

/// Images of all hosts, active tasks and sessions under way, by their numbers.
fn everything(server: &Server) -> (Vec<(u32, u32)>, Vec<u32>, Vec<u32>) {
    server.state.read(|tables| {
        let hosts = tables
            .of::<Host>()
            .iter()
            .map(|row| (row.id, row.image))
            .collect();
        let tasks = tables
            .of::<Task>()
            .by(Task::ACTIVE, 0)
            .map(|row| row.id)
            .collect();
        let sessions = tables
            .of::<MulticastSession>()
            .by(MulticastSession::ACTIVE, 0)
            .map(|row| row.id)
            .collect();
        (hosts, tasks, sessions)
    })
}

fn tasks_of(server: &Server, host: u32) -> Vec<u32> {
    server.state.read(|tables| {
        tables
            .of::<Task>()
            .by(Task::ACTIVE_BY_HOST, host.into())
            .map(|row| row.id)
            .collect()
    })
}

#[tokio::test]
async fn the_answer_has_the_task_of_each_host_and_the_hosts_have_the_image() {
    let server = Server::start().await;
    let (image, hosts) = (content(&server).await, hosts(&server, 25).await);
    let mut wanted = hosts.clone();
    wanted.reverse();
    let twice: Vec<u32> = wanted.iter().chain(&wanted[..1]).copied().collect();
    let reply = order(
        &server,
        json!({"kind": "deploy", "hosts": twice, "image": image, "name": "night"}),
    )
    .await;
    assert_eq!(reply.status, 201, "{}", reply.text);
    let made = reply.json();
    let made = made["tasks"].as_array().unwrap();
    let asked: Vec<u64> = made
        .iter()
        .map(|made| made["host"].as_u64().unwrap())
        .collect();
    assert_eq!(
        asked,
        wanted
            .iter()
            .map(|host| u64::from(*host))
            .collect::<Vec<_>>(),
        "in the order of the request"
    );
    for made in made {
        let (task, host) = (
            made["task"].as_u64().unwrap(),
            made["host"].as_u64().unwrap(),
        );
        assert_eq!(made["image"], image);
        assert_eq!(
            tasks_of(&server, u32::try_from(host).unwrap()),
            [u32::try_from(task).unwrap()]
        );
        let status = server
            .call("GET", &format!("{PATH}/{task}"), Value::Null)
            .await
            .json();
        assert_eq!(
            (&status["host"]["id"], &status["image"]["id"]),
            (&made["host"], &made["image"]),
            "{status}"
        );
    }
    let row = server
        .call(
            "GET",
            &format!("/fog/task/{}", made[0]["task"]),
            Value::Null,
        )
        .await
        .json();
    assert_eq!(row["name"], "night - pc25");
    assert!(everything(&server).0.iter().all(|(_, of)| *of == image));
}

#[tokio::test]
async fn without_an_image_a_host_gets_its_own_and_a_capture_is_of_one_host() {
    let server = Server::start().await;
    let (image, hosts) = (content(&server).await, hosts(&server, 2).await);
    let own = host(&server, "own", "52:54:00:00:0e:f0", image).await;
    let reply = order(&server, json!({"kind": "deploy", "host": own})).await;
    assert_eq!(
        (reply.status.as_u16(), &reply.json()["tasks"][0]["image"]),
        (201, &json!(image)),
        "{}",
        reply.text
    );
    let reply = order(
        &server,
        json!({"kind": "capture", "host": hosts[0], "image": image, "shutdown": true}),
    )
    .await;
    assert_eq!(reply.status, 201, "{}", reply.text);
    let row = server
        .call(
            "GET",
            &format!("/fog/task/{}", reply.json()["tasks"][0]["task"]),
            Value::Null,
        )
        .await
        .json();
    assert_eq!(
        (&row["typeID"], &row["shutdown"]),
        (&json!("2"), &json!("1")),
        "{row}"
    );
}

#[tokio::test]
async fn a_multicast_has_one_session_for_each_image() {
    let server = Server::start().await;
    let (image, hosts) = (content(&server).await, hosts(&server, 14).await);
    let group = group(&server, &hosts).await;
    let body = json!({"kind": "deploy", "multicast": true, "group": group, "image": image,
        "start_receivers": 3});
    let reply = order(&server, body).await;
    assert_eq!(reply.status, 201, "{}", reply.text);
    let made = reply.json();
    assert_eq!(made["tasks"].as_array().unwrap().len(), 14);
    let sessions = made["sessions"].as_array().unwrap();
    assert_eq!(sessions.len(), 1, "{made}");
    let path = format!("/foghorn/v1/multicast-sessions/{}", sessions[0]);
    let session = server.call("GET", &path, Value::Null).await.json();
    assert_eq!(
        (
            &session["summary"]["receivers"],
            &session["start_receivers"]
        ),
        (&json!(14), &json!(3)),
        "{session}"
    );
}

#[tokio::test]
async fn one_bad_host_in_the_middle_leaves_everything_as_it_was() {
    let server = Server::start().await;
    let (image, hosts) = (content(&server).await, hosts(&server, 21).await);
    let busy = hosts[13];
    assert_eq!(
        order(
            &server,
            json!({"kind": "deploy", "host": busy, "image": image})
        )
        .await
        .status,
        201
    );
    let group = group(&server, &hosts).await;
    let before = everything(&server);
    let mut gone = hosts.clone();
    gone[11] = 4711;
    gone.retain(|host| *host != busy);
    let named = format!("host {busy} (pc14) already has imaging task");
    for multicast in [false, true] {
        for (whom, value, status, why) in [
            ("hosts", json!(hosts), 409, named.as_str()),
            ("group", json!(group), 409, named.as_str()),
            ("hosts", json!(gone), 404, "host 4711 does not exist"),
        ] {
            let reply = order(
                &server,
                json!({"kind": "deploy", "multicast": multicast, whom: value, "image": image,
                    "all_or_nothing": true}),
            )
            .await;
            let said = reply.json();
            assert_eq!(
                (reply.status.as_u16(), &said["field"]),
                (status, &json!(whom)),
                "{}",
                reply.text
            );
            assert!(said["error"].as_str().unwrap().contains(why), "{said}");
            assert_eq!(everything(&server), before, "{whom}, multicast {multicast}");
        }
        // Hosts without an image of their own, and none is given.
        let reply = order(
            &server,
            json!({"kind": "deploy", "multicast": multicast, "hosts": hosts[..5]}),
        )
        .await;
        let said = reply.json();
        assert_eq!(
            (reply.status.as_u16(), &said["field"]),
            (400, &json!("hosts")),
            "{said}"
        );
        assert!(
            said["error"]
                .as_str()
                .unwrap()
                .starts_with(&format!("host {} (pc1)", hosts[0])),
            "{said}"
        );
        assert_eq!(everything(&server), before);
    }
}

/// The hosts of tasks, of hosts that were left out, or of planned tasks in an answer.
fn hosts_in(answer: &Value, list: &str) -> Vec<u64> {
    let listed = answer[list]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let hosts = listed.iter().map(|one| one["host"].as_u64().unwrap());
    hosts.collect()
}

#[tokio::test]
async fn a_busy_host_is_left_out_and_the_others_get_their_tasks() {
    for multicast in [false, true] {
        let server = Server::start().await;
        let (image, hosts) = (content(&server).await, hosts(&server, 21).await);
        let busy = hosts[13];
        let body = |whom: Value| json!({"kind": "deploy", "hosts": whom, "image": image, "multicast": multicast});
        assert_eq!(order(&server, body(json!([busy]))).await.status, 201);
        let group = group(&server, &hosts).await;
        let reply = order(
            &server,
            json!({"kind": "deploy", "group": group, "image": image, "multicast": multicast}),
        )
        .await;
        assert_eq!(reply.status, 201, "{}", reply.text);
        let made = reply.json();
        assert_eq!(made["tasks"].as_array().unwrap().len(), 20);
        assert_eq!(hosts_in(&made, "left_out"), [u64::from(busy)]);
        let left_out = &made["left_out"][0];
        assert_eq!(left_out["name"], "pc14");
        let reason = left_out["reason"].as_str().unwrap();
        assert!(
            reason.starts_with("it already has imaging task"),
            "{reason}"
        );
        for host in &hosts {
            assert_eq!(tasks_of(&server, *host).len(), 1, "{host}");
        }
        // Now nobody is free: nothing is made, and the first is named.
        let before = everything(&server);
        let reply = order(&server, body(json!(hosts))).await;
        assert_eq!(
            (reply.status.as_u16(), &reply.json()["field"]),
            (409, &json!("hosts")),
            "{}",
            reply.text
        );
        assert_eq!(everything(&server), before);
    }
}

#[tokio::test]
async fn a_dry_run_finds_what_would_be_refused_and_stores_nothing() {
    for kind in BOTH {
        let engine = Engine::start(kind).await;
        let servers = controllers(&engine).await;
        let server = &servers[0];
        let (image, hosts) = (content(server).await, hosts(server, 14).await);
        let body = |whom: &[u32], multicast: bool| json!({"kind": "deploy", "hosts": whom, "image": image, "multicast": multicast});
        assert_eq!(order(server, body(&hosts[2..3], false)).await.status, 201);
        let stored = || {
            (
                everything(server),
                server.state.read_at(|_, revision| revision),
            )
        };
        let before = stored();
        for multicast in [false, true] {
            let path = format!("{PATH}?dry_run=true");
            let reply = server.call("POST", &path, body(&hosts, multicast)).await;
            assert_eq!(reply.status, 200, "{}", reply.text);
            let answer = reply.json();
            assert_eq!(hosts_in(&answer, "planned").len(), 13, "{answer}");
            assert_eq!(hosts_in(&answer, "left_out"), [u64::from(hosts[2])]);
            assert_eq!(
                (&answer["tasks"], &answer["sessions"]),
                (&json!([]), &json!([]))
            );
        }
        let protect = json!({"protected": "1"});
        for (method, path, body, status) in [
            ("POST", PATH.to_owned(), body(&hosts[2..3], false), 409),
            (
                "POST",
                PATH.to_owned(),
                json!({"kind": "deploy", "host": hosts[0]}),
                400,
            ),
            ("PUT", format!("/fog/image/{image}/edit"), protect, 200),
            (
                "DELETE",
                format!("/fog/host/{}/delete", hosts[0]),
                Value::Null,
                200,
            ),
            (
                "DELETE",
                format!("/fog/host/{}/cancel", hosts[2]),
                Value::Null,
                200,
            ),
            (
                "POST",
                format!("/fog/host/{}/task", hosts[2]),
                json!({"taskTypeID": 1}),
                500,
            ),
            (
                "POST",
                "/fog/host/create".into(),
                json!({"name": "x", "macs": ["zz"]}),
                500,
            ),
            (
                "POST",
                "/fog/group/create".into(),
                json!({"name": "new"}),
                200,
            ),
            (
                "DELETE",
                format!("/foghorn/v1/images/{image}/versions/9"),
                Value::Null,
                404,
            ),
            ("DELETE", "/foghorn/v1/users/9".into(), Value::Null, 404),
            ("POST", "/foghorn/v1/nodes/0/scrub".into(), Value::Null, 400),
        ] {
            let reply = server
                .call(method, &format!("{path}?dry_run=true"), body)
                .await;
            assert_eq!(
                reply.status.as_u16(),
                status,
                "{method} {path}: {}",
                reply.text
            );
            assert_eq!(stored(), before, "{method} {path}");
        }
        let vague = format!("{PATH}?dry_run=yes");
        let reply = server.call("POST", &vague, body(&hosts[..1], false)).await;
        assert_eq!(reply.json()["field"], "dry_run", "{}", reply.text);
        assert_eq!(stored(), before);
    }
}

#[tokio::test]
async fn disk_rules_and_rates_are_checked_when_they_are_set() {
    let server = Server::start().await;
    let host = hosts(&server, 1).await[0];
    let group = group(&server, &[host]).await;
    for path in [
        format!("/fog/host/{host}/edit"),
        format!("/fog/group/{group}/edit"),
    ] {
        for (rule, meant) in [
            ("sda", "path:/dev/sda"),
            ("size:200", "size:>=200GB"),
            ("ony", "only"),
        ] {
            let reply = server
                .call("PUT", &path, json!({"kernelDevice": rule}))
                .await;
            let said = reply.json()["error"].as_str().unwrap().to_owned();
            assert!(said.starts_with("kernelDevice: "), "{said}");
            assert!(said.ends_with(&format!("did you mean {meant}?")), "{said}");
        }
        for rule in ["only", "size:>=200GB", "path:/dev/sda", ""] {
            let reply = server
                .call("PUT", &path, json!({"kernelDevice": rule}))
                .await;
            assert_eq!(reply.status, 200, "{rule}: {}", reply.text);
        }
    }
    let image = content(&server).await;
    let reply = order(
        &server,
        json!({"kind": "deploy", "host": host, "image": image, "multicast": true,
            "max_rate_bytes_per_second": 62}),
    )
    .await;
    let said = reply.json();
    assert_eq!(said["field"], "max_rate_bytes_per_second", "{said}");
    assert!(
        said["error"]
            .as_str()
            .unwrap()
            .ends_with("did you mean 496m?"),
        "{said}"
    );
}

#[tokio::test]
async fn bad_bodies_name_the_field() {
    let server = Server::start().await;
    let (image, hosts) = (content(&server).await, hosts(&server, 2).await);
    let empty = group(&server, &[]).await;
    let host = hosts[0];
    let before = everything(&server);
    let listed = order(&server, json!(["deploy", host])).await;
    assert_eq!(listed.status, 400, "{}", listed.text);
    assert!(
        listed.text.contains("must be a JSON object"),
        "{}",
        listed.text
    );
    for (body, status, field) in [
        (json!({"host": host}), 400, "kind"),
        (json!({"kind": "destroy", "host": host}), 400, "kind"),
        (json!({"kind": 1, "host": host}), 400, "kind"),
        (json!({"kind": "deploy"}), 400, "host"),
        (json!({"kind": "deploy", "host": 0}), 400, "host"),
        (json!({"kind": "deploy", "hosts": []}), 400, "hosts"),
        (
            json!({"kind": "deploy", "hosts": [host, "x"]}),
            400,
            "hosts",
        ),
        (
            json!({"kind": "deploy", "host": host, "hosts": [host]}),
            400,
            "hosts",
        ),
        (
            json!({"kind": "deploy", "host": host, "group": empty}),
            400,
            "group",
        ),
        (
            json!({"kind": "deploy", "group": empty, "image": image}),
            400,
            "group",
        ),
        (
            json!({"kind": "deploy", "group": 99, "image": image}),
            404,
            "group",
        ),
        (
            json!({"kind": "deploy", "host": 99, "image": image}),
            404,
            "host",
        ),
        (
            json!({"kind": "deploy", "host": host, "image": 99}),
            404,
            "image",
        ),
        (json!({"kind": "deploy", "host": host}), 400, "host"),
        (
            json!({"kind": "capture", "hosts": hosts, "image": image}),
            400,
            "hosts",
        ),
        (
            json!({"kind": "capture", "group": empty, "image": image}),
            400,
            "group",
        ),
        (
            json!({"kind": "capture", "host": host, "image": image, "multicast": true}),
            400,
            "multicast",
        ),
        (
            json!({"kind": "capture", "host": host, "image": image, "snapins": true}),
            400,
            "snapins",
        ),
        (
            json!({"kind": "deploy", "host": host, "image": image, "start_receivers": 2}),
            400,
            "start_receivers",
        ),
        (
            json!(
                {"kind": "deploy", "host": host, "image": image, "multicast": true, "start_at": "soon"}
            ),
            400,
            "start_at",
        ),
        (
            json!({"kind": "deploy", "host": host, "image": image, "surprise": 1}),
            400,
            "surprise",
        ),
    ] {
        let reply = order(&server, body.clone()).await;
        assert_eq!(
            (reply.status.as_u16(), &reply.json()["field"]),
            (status, &json!(field)),
            "{body}: {}",
            reply.text
        );
    }
    assert_eq!(everything(&server), before);
    let viewer = server.user("viewer", Role::ReadOnly).await;
    let body = json!({"kind": "deploy", "host": host, "image": image})
        .to_string()
        .into_bytes();
    assert_eq!(server.send("POST", PATH, &viewer, body).await.status, 403);
}

/// Orders for the same hosts in opposite order, over several controllers: each that was confirmed
/// is whole, each that was refused has left nothing, and no host has two tasks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_that_meet_are_whole_or_not_there() {
    for kind in BOTH {
        let engine = Engine::start(kind).await;
        let servers = controllers(&engine).await;
        let (image, hosts) = (content(&servers[0]).await, hosts(&servers[0], 24).await);
        for server in &servers {
            let mut changed = server.state.changed();
            while server
                .state
                .read(|tables| tables.hosts().get(hosts[23]).is_none())
            {
                changed.changed().await.unwrap();
            }
        }
        let mut racers = JoinSet::new();
        for (number, server) in servers.iter().enumerate() {
            let (server, mut hosts) = (server.clone(), hosts.clone());
            if number % 2 == 1 {
                hosts.reverse();
            }
            racers.spawn(async move {
                order(
                    &server,
                    json!({"kind": "deploy", "hosts": hosts, "image": image, "all_or_nothing": true}),
                )
                .await
            });
        }
        let replies = racers.join_all().await;
        let won = replies.iter().filter(|reply| reply.status == 201).count();
        assert!(
            won <= 1,
            "{kind:?}: {won} orders for the same hosts were confirmed"
        );
        for reply in replies.iter().filter(|reply| reply.status != 201) {
            assert_eq!(
                (reply.status.as_u16(), &reply.json()["field"]),
                (409, &json!("hosts")),
                "{}",
                reply.text
            );
        }
        let expected = if won == 1 { image } else { 0 };
        // The first controller may learn what the others stored after they have answered.
        let mut changed = servers[0].state.changed();
        let seen = async {
            loop {
                let (found, tasks, _) = everything(&servers[0]);
                if tasks.len() == won * hosts.len() && found.iter().all(|(_, of)| *of == expected) {
                    break;
                }
                changed.changed().await.unwrap();
            }
        };
        let settled = tokio::time::timeout(std::time::Duration::from_secs(10), seen).await;
        assert!(
            settled.is_ok(),
            "{kind:?}: {won} confirmed, {:?}",
            everything(&servers[0])
        );
    }
}
