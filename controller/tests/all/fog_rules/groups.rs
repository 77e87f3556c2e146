//! Orders for groups say whom they leave out, cancels take no more than they name, and what was
//! planned for a group goes with it.

use foghorn_controller::state::classes::{Group, ScheduledTask, Task};
use foghorn_controller::state::schedule::{Mark, Owner};
use foghorn_controller::store::Revision;
use serde_json::{Value, json};

use crate::engine::{BOTH, Engine};
use crate::fog_rules::{count, host, id, image};
use crate::fog_support::Server;

async fn create(server: &Server, class: &str, body: Value) -> u32 {
    let reply = server
        .call("POST", &format!("/fog/{class}/create"), body)
        .await;
    assert_eq!(reply.status, 200, "{class}: {reply:?}");
    id(&reply.json())
}

fn active(server: &Server) -> Vec<(u32, u32)> {
    server.state.read(|tables| {
        let active = tables.of::<Task>().by(Task::ACTIVE, 0);
        active.map(|task| (task.id, task.host)).collect()
    })
}

/// A group of a host that can be deployed to, one without an image and one with a task.
async fn room(server: &Server) -> (u32, [u32; 3]) {
    let image = image(server).await;
    server.give_content(image).await;
    let free = host(server, "free", "52:54:00:00:11:01", image).await;
    let bare = host(server, "bare", "52:54:00:00:11:02", 0).await;
    let busy = host(server, "busy", "52:54:00:00:11:03", image).await;
    let hosts = [free, bare, busy];
    let group = create(server, "group", json!({"name": "room", "hosts": hosts})).await;
    let path = format!("/fog/host/{busy}/task");
    let reply = server.call("POST", &path, json!({"taskTypeID": 1})).await;
    assert_eq!((reply.status.as_u16(), reply.problem.as_str()), (200, ""));
    (group, hosts)
}

#[tokio::test]
async fn an_order_for_a_group_names_the_hosts_that_it_leaves_out() {
    for kind in BOTH {
        let engine = Engine::start(kind).await;
        let server = Server::start_on(engine.store()).await;
        let (group, [free, bare, busy]) = room(&server).await;
        let path = format!("/fog/group/{group}/task");
        let mut headers = server.tokens();
        headers.push(("idempotency-key".to_owned(), "night".to_owned()));
        // The second one is a repetition, and says the same.
        for _ in 0..2 {
            let body = br#"{"taskTypeID": 1}"#.to_vec();
            let reply = server.send("POST", &path, &headers, body).await;
            assert_eq!((reply.status.as_u16(), reply.text.as_str()), (200, "\"\""));
            assert_eq!(
                reply.problem,
                format!(
                    "2 hosts got no task: host {bare} (bare): Image is not valid; host {busy} \
                     (busy): Host is already a member of an active task"
                )
            );
        }
        let hosts: Vec<u32> = active(&server).iter().map(|(_, host)| *host).collect();
        assert_eq!(hosts, [busy, free]);
        // A capture of a group has never done anything; now it says so.
        let before = active(&server);
        let reply = server.call("POST", &path, json!({"taskTypeID": 2})).await;
        assert_eq!((reply.status.as_u16(), reply.text.as_str()), (200, "\"\""));
        assert!(
            reply.problem.starts_with("3 hosts got no task")
                && reply.problem.contains("order a capture of one host"),
            "{}",
            reply.problem
        );
        assert_eq!(active(&server), before);
        // In our own words by host.
        let cancelled = server
            .call("DELETE", &format!("/fog/host/{free}/cancel"), Value::Null)
            .await;
        assert_eq!(cancelled.status, 200, "{}", cancelled.text);
        let reply = server
            .call(
                "POST",
                "/foghorn/v1/multicast-sessions",
                json!({"group": group}),
            )
            .await;
        assert_eq!(reply.status, 201, "{}", reply.text);
        let left_out = reply.json()["left_out"].clone();
        let left_out: Vec<_> = left_out
            .as_array()
            .unwrap()
            .iter()
            .map(|host| (host["host"].clone(), host["name"].clone()))
            .collect();
        assert_eq!(
            left_out,
            [(json!(bare), json!("bare")), (json!(busy), json!("busy"))]
        );
    }
}

#[tokio::test]
async fn a_cancel_takes_no_more_than_it_names() {
    let server = Server::start().await;
    let (_, [free, _, busy]) = room(&server).await;
    let path = format!("/fog/host/{free}/task");
    assert_eq!(
        server
            .call("POST", &path, json!({"taskTypeID": 1}))
            .await
            .status,
        200
    );
    let before = active(&server);
    assert_eq!(before.len(), 2);
    // What the path names is cancelled whole.
    let path = format!("/fog/host/{free}/cancel");
    let narrower = json!({"typeID": [12]});
    let reply = server.call("DELETE", &path, narrower).await;
    assert_eq!(reply.status, 400, "{}", reply.text);
    assert_eq!(active(&server), before);
    for (body, field) in [
        (json!({"typeID": 1, "hostId": busy}), "hostId"),
        (json!({"hostid": busy, "stateID": [1, 2, 3]}), "hostid"),
        (json!({"typeID": 1, "hostID": null}), "hostID"),
        (json!({"typeID": 1, "hostID": {"id": busy}}), "hostID"),
        (json!({"typeID": 1, "hostID": [busy, null]}), "hostID"),
        (json!({"typeID": 1, "hostID": "pc1"}), "hostID"),
        (json!({"typeID": 1, "hostID": 1.5}), "hostID"),
    ] {
        let reply = server
            .call("DELETE", "/fog/task/cancel", body.clone())
            .await;
        assert_eq!(reply.status, 400, "{body}: {}", reply.text);
        assert!(
            reply.text.contains(&format!("{field}: "))
                && reply.text.contains("nothing was changed"),
            "{body}: {}",
            reply.text
        );
        assert_eq!(active(&server), before, "{body}");
    }
    for class in [
        "snapinjob",
        "snapintask",
        "multicastsession",
        "scheduledtask",
    ] {
        let path = format!("/fog/{class}/cancel");
        let reply = server.call("DELETE", &path, json!({"nothing": 1})).await;
        assert_eq!(reply.status, 400, "{class}: {}", reply.text);
    }
    let body = json!({"typeID": "1", "hostID": [busy]});
    let reply = server.call("DELETE", "/fog/task/cancel", body).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    let hosts: Vec<u32> = active(&server).iter().map(|(_, host)| *host).collect();
    assert_eq!(hosts, [free]);
}

async fn schedule(server: &Server, name: &str, more: Value) -> u32 {
    let mut body = json!({"name": name, "type": "S", "isActive": 1,
        "scheduleTime": "4102444800", "taskType": 1});
    if let Value::Object(more) = more {
        body.as_object_mut().unwrap().extend(more);
    }
    create(server, "scheduledtask", body).await
}

fn schedules(server: &Server) -> (Vec<u32>, Vec<u32>) {
    server.state.read(|tables| {
        let rows = tables.of::<ScheduledTask>().iter().map(|row| row.id);
        let marks = tables
            .marks()
            .iter()
            .filter_map(|mark: &std::sync::Arc<Mark>| match mark.owner {
                Owner::Task(id) => Some(id),
                Owner::Power(_) => None,
            });
        (rows.collect(), marks.collect())
    })
}

#[tokio::test]
async fn what_was_planned_for_a_group_a_host_or_a_snapin_goes_with_it() {
    for kind in BOTH {
        let engine = Engine::start(kind).await;
        let server = Server::start_on(engine.store()).await;
        let pc = host(&server, "pc", "52:54:00:00:12:01", 0).await;
        let rooms = [
            create(&server, "group", json!({"name": "one", "hosts": [pc]})).await,
            create(&server, "group", json!({"name": "two"})).await,
        ];
        assert_eq!(pc, rooms[0], "a host and a group with one number");
        let snapin = create(
            &server,
            "snapin",
            json!({"name": "office", "file": "office.msi"}),
        )
        .await;
        let of_group = |group: u32| json!({"hostID": group, "isGroupTask": "1"});
        let first = schedule(&server, "first", of_group(rooms[0])).await;
        let again = schedule(&server, "again", of_group(rooms[0])).await;
        let second = schedule(&server, "second", of_group(rooms[1])).await;
        let of_host = schedule(&server, "host", json!({"hostID": pc})).await;
        let runs = json!({"hostID": pc, "taskType": 13, "other2": snapin.to_string()});
        let runs = schedule(&server, "runs", runs).await;
        let all = vec![first, again, second, of_host, runs];
        assert_eq!(schedules(&server), (all.clone(), all));
        let delete = async |path: String| {
            let reply = server.call("DELETE", &path, Value::Null).await;
            assert_eq!(reply.status, 200, "{path}: {}", reply.text);
            schedules(&server)
        };
        let left = vec![second, of_host, runs];
        assert_eq!(
            delete(format!("/fog/group/{}/delete", rooms[0])).await,
            (left.clone(), left)
        );
        let left = vec![second, of_host];
        assert_eq!(
            delete(format!("/fog/snapin/{snapin}/delete")).await,
            (left.clone(), left)
        );
        let left = vec![second];
        assert_eq!(
            delete(format!("/fog/host/{pc}/delete")).await,
            (left.clone(), left)
        );
        assert_eq!(count(&server, "/fog/scheduledtask").await, 1);
    }
}

/// Schedules are made while their group is deleted: none is left for a group that is gone, unless
/// it was made after that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_schedule_is_overlooked_by_the_deletion_of_its_group() {
    for kind in BOTH {
        let engine = Engine::start(kind).await;
        let server = Server::start_on(engine.store()).await;
        for round in 0..10 {
            let name = format!("room{round}");
            let group = create(&server, "group", json!({"name": name})).await;
            let path = format!("/fog/group/{group}/delete");
            let body = json!({"name": name, "type": "S", "isActive": 1, "taskType": 1,
                "scheduleTime": "4102444800", "hostID": group, "isGroupTask": "1"});
            let (made, deleted, last_seen) = tokio::join!(
                server.call("POST", "/fog/scheduledtask/create", body),
                server.call("DELETE", &path, Value::Null),
                last_seen(&server, group)
            );
            assert_eq!(deleted.status, 200);
            // Its answer is read from the tables, where it may be gone again by then.
            if made.status == 404 {
                continue;
            }
            assert_eq!(made.status, 200, "{}", made.text);
            let schedule = id(&made.json());
            let left = server.state.read(|tables| {
                let row = tables.of::<ScheduledTask>().get(schedule);
                row.map(|row| row.modified())
            });
            if let Some(modified) = left {
                assert!(modified > last_seen, "{kind:?}, round {round}");
            }
        }
    }
}

/// A revision at which the group was still there.
async fn last_seen(server: &Server, group: u32) -> Revision {
    let (mut changed, mut last) = (server.state.changed(), 0);
    loop {
        let (is_there, revision) = server
            .state
            .read_at(|tables, at| (tables.of::<Group>().get(group).is_some(), at));
        if !is_there {
            return last;
        }
        last = revision;
        changed.changed().await.unwrap();
    }
}
