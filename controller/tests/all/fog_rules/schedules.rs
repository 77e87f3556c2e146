//! Schedules fire: once, for whom they are meant, and say so when they cannot.

use foghorn_controller::background::Report;
use foghorn_controller::scheduler::Scheduler;
use foghorn_controller::state::Tables;
use foghorn_controller::state::schedule::Owner;
use foghorn_controller::state::wake::Wake;
use foghorn_types::{HostId, Timestamp};
use serde_json::{Value, json};
use std::time::Duration;

use crate::engine::{BOTH, Engine};
use crate::fog_rules::{count, host, id, image};
use crate::fog_support::Server;

async fn create(server: &Server, class: &str, body: Value) -> u32 {
    let reply = server
        .call("POST", &format!("/fog/{class}/create"), body)
        .await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    id(&reply.json())
}

/// A group of `count` hosts, whose ids begin with the first.
async fn group(server: &Server, count: u32, image: u32) -> (u32, Vec<u32>) {
    let mut hosts = Vec::new();
    for number in 0..count {
        hosts.push(
            host(
                server,
                &format!("pc{number}"),
                &format!("52:54:00:00:01:{number:02x}"),
                image,
            )
            .await,
        );
    }
    (
        create(server, "group", json!({"name": "room", "hosts": hosts})).await,
        hosts,
    )
}

fn outcome(server: &Server, schedule: u32) -> String {
    server
        .state
        .read(|tables| {
            tables
                .marks()
                .get(&Owner::Task(schedule))
                .map(|mark| mark.outcome.clone())
        })
        .unwrap()
}

fn wakes(server: &Server) -> Vec<Vec<u32>> {
    server.state.read(|tables| {
        tables
            .wakes()
            .iter()
            .map(|wake: &std::sync::Arc<Wake>| wake.hosts.clone())
            .collect()
    })
}

/// Two controllers look at the same time, twice.
async fn rounds(server: &Server, now: Timestamp) {
    for _ in 0..2 {
        let (mut one, mut other) = (Scheduler::default(), Scheduler::default());
        let (mut ones, mut others) = (Report::default(), Report::default());
        tokio::join!(
            one.round(&server.ctx, now, &mut ones),
            other.round(&server.ctx, now, &mut others)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moment_fires_once_for_everyone_in_the_group_by_then() {
    for engine in BOTH {
        let engine = Engine::start(engine).await;
        let server = Server::start_on(engine.store()).await;
        let (room, mut hosts) = group(&server, 30, 0).await;
        let now = Timestamp::now();
        let body = json!({
            "name": "night", "type": "S", "taskType": 10, "hostID": room, "isGroupTask": 1,
                "isActive": 1,
            "scheduleTime": (now.as_millis() / 1000 + 60).to_string(), "other4": "1",
        });
        let schedule = create(&server, "scheduledtask", body).await;
        rounds(&server, now).await;
        assert_eq!(count(&server, "/fog/task").await, 0, "it is not due");
        // Who joins the group later belongs to it.
        hosts.push(host(&server, "late", "52:54:00:00:02:01", 0).await);
        let edit = server
            .call(
                "PUT",
                &format!("/fog/group/{room}/edit"),
                json!({"hosts": hosts}),
            )
            .await;
        assert_eq!(edit.status, 200, "{}", edit.text);
        rounds(&server, now + Duration::from_secs(61)).await;
        assert_eq!(count(&server, "/fog/task").await, 31);
        let mut woken: Vec<u32> = wakes(&server).into_iter().flatten().collect();
        woken.sort_unstable();
        assert_eq!(woken, hosts);
        let row = server
            .call(
                "GET",
                &format!("/fog/scheduledtask/{schedule}"),
                Value::Null,
            )
            .await
            .json();
        assert_eq!(row["isActive"], "0");
        assert_eq!(outcome(&server, schedule), "tasks created: 31");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_calendar_goes_on_when_it_cannot_fire() {
    let server = Server::start().await;
    let win = image(&server).await;
    let pc = host(&server, "pc", "52:54:00:00:00:01", win).await;
    let body = json!({
        "name": "hourly", "type": "C", "taskType": 1, "hostID": pc, "isActive": "1",
        "minute": "*/5", "hour": "*", "dayOfMonth": "*", "month": "*", "dayOfWeek": "*",
    });
    let schedule = create(&server, "scheduledtask", body).await;
    let now = Timestamp::now();
    // The image has no content.
    rounds(&server, now + Duration::from_secs(5 * 60)).await;
    assert_eq!(count(&server, "/fog/task").await, 0);
    assert!(
        outcome(&server, schedule).contains("no content"),
        "{}",
        outcome(&server, schedule)
    );
    server.give_content(win).await;
    rounds(&server, now + Duration::from_secs(10 * 60)).await;
    assert_eq!(count(&server, "/fog/task/active").await, 1);
    // The host is busy.
    rounds(&server, now + Duration::from_secs(15 * 60)).await;
    assert_eq!(count(&server, "/fog/task").await, 1);
    assert!(
        outcome(&server, schedule).contains("already a member"),
        "{}",
        outcome(&server, schedule)
    );
    let history = server.call("GET", "/fog/history", Value::Null).await.json();
    let why = |place: usize| {
        history["historys"][place]["info"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(
        history["count"], 2,
        "each firing that did not come about, once: {history}"
    );
    assert!(
        why(0).contains("did not run") && why(0).contains("no content"),
        "{history}"
    );
    assert!(why(1).contains("already a member"), "{history}");
    assert_eq!(
        count(&server, "/fog/tasklog").await,
        0,
        "what people and schedules create is no change of a run"
    );
    assert_eq!(count(&server, "/fog/scheduledtask/active").await, 1);
}

/// Three in the morning is 14 hours earlier on Kiritimati than in UTC. One scheduler sees the zone
/// come and go.
#[tokio::test(flavor = "multi_thread")]
async fn a_calendar_is_meant_in_the_time_zone_of_the_site() {
    let server = Server::start().await;
    let (room, hosts) = group(&server, 1, 0).await;
    let site = async |body: Value| {
        let reply = server.call("PUT", "/foghorn/v1/sites/1", body).await;
        (reply.status.as_u16(), reply.json())
    };
    let (status, refused) = site(json!({"time_zone": "Mars/Base"})).await;
    assert_eq!(
        (status, &refused["field"]),
        (400, &json!("time_zone")),
        "{refused}"
    );
    let (status, made) =
        site(json!({"host_groups": [room], "time_zone": "Pacific/Kiritimati"})).await;
    assert_eq!(
        (status, &made["time_zone"]),
        (200, &json!("Pacific/Kiritimati"))
    );
    let mut schedules = Vec::new();
    for (name, target, is_group) in [("group", room, "1"), ("host", hosts[0], "0")] {
        let body = json!({"name": name, "type": "C", "taskType": 10, "hostID": target,
            "isGroupTask": is_group, "isActive": "1", "other4": "1",
            "minute": "00", "hour": "3", "dayOfMonth": "*", "month": "*", "dayOfWeek": "*"});
        schedules.push(create(&server, "scheduledtask", body).await);
    }
    let day = 24 * 60 * 60 * 1000;
    let after = |now: i64, hour: i64| {
        let today = now - now.rem_euclid(day) + hour * 60 * 60 * 1000;
        today + if today > now { 0 } else { day }
    };
    let mut scheduler = Scheduler::default();
    let mut through = async |millis: i64| {
        let now = Timestamp::from_millis(millis);
        scheduler
            .round(&server.ctx, now, &mut Report::default())
            .await;
        let mark = |id: &u32| {
            let of = |tables: &Tables| tables.marks().get(&Owner::Task(*id)).map(|it| it.through);
            server.state.read(of).unwrap().as_millis()
        };
        schedules.iter().map(mark).collect::<Vec<_>>()
    };
    let there = after(Timestamp::now().as_millis(), 13);
    assert!(through(there - 30_000).await.iter().all(|at| *at < there));
    assert_eq!(through(there + 30_000).await, [there; 2]);
    // Without a zone of its own it is meant in that of the installation.
    let (status, made) = site(json!({"time_zone": ""})).await;
    assert_eq!((status, made.get("time_zone")), (200, None));
    let here = after(there, 3);
    assert_eq!(through(here - 30_000).await, [there; 2]);
    assert_eq!(through(here + 30_000).await, [here; 2]);
}

#[tokio::test]
async fn calendars_that_mean_nothing_are_refused_by_field() {
    let server = Server::start().await;
    let pc = host(&server, "pc", "52:54:00:00:00:01", 0).await;
    for (field, value) in [
        ("minute", json!("")),
        ("minute", json!("0")),
        ("hour", json!("25")),
        ("dayOfMonth", json!("32")),
        ("type", json!("X")),
    ] {
        let mut body = json!({
            "type": "C", "taskType": 10, "hostID": pc, "isActive": 1,
            "minute": "30", "hour": "3", "dayOfMonth": "*", "month": "*", "dayOfWeek": "*",
        });
        body[field] = value;
        let reply = server.call("POST", "/fog/scheduledtask/create", body).await;
        assert_eq!(reply.status, 500, "{field}: {}", reply.text);
        assert!(reply.text.contains(field), "{}", reply.text);
    }
    assert_eq!(count(&server, "/fog/scheduledtask").await, 0);
    let rule = json!({"hostID": pc, "min": "x", "hour": "3", "dom": "*", "month": "*", "dow": "*",
        "action": "reboot"});
    let reply = server
        .call("POST", "/fog/powermanagement/create", rule)
        .await;
    assert!(
        reply.status == 500 && reply.text.contains("min"),
        "{}",
        reply.text
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn power_is_told_once_and_wakes_are_ordered_once() {
    let server = Server::start().await;
    let pc = host(&server, "pc", "52:54:00:00:00:01", 0).await;
    let every_hour = |action: &str, on_demand: u32| {
        json!({"hostID": pc, "min": "30", "hour": "*",
        "dom": "*", "month": "*", "dow": "*", "onDemand": on_demand, "action": action})
    };
    create(&server, "powermanagement", every_hour("shutdown", 0)).await;
    create(&server, "powermanagement", every_hour("reboot", 1)).await;
    create(&server, "powermanagement", every_hour("wol", 1)).await;
    let path = format!("/foghorn/v1/hosts/{pc}/power");
    let told = server.call("GET", &path, Value::Null).await;
    assert_eq!(
        (told.status.as_u16(), &told.json()["actions"][0]["action"]),
        (200, &json!("reboot")),
        "{}",
        told.text
    );
    let again = server.call("GET", &path, Value::Null).await.json();
    assert_eq!(again["actions"], json!([]));
    let later = |minutes: u64| Timestamp::now() + Duration::from_secs(minutes * 60);
    rounds(&server, later(1)).await;
    assert_eq!(wakes(&server), [[pc]]);
    assert_eq!(
        count(&server, "/fog/powermanagement").await,
        1,
        "what was on demand is gone"
    );
    let take = async |now| {
        let key = HostId::new(pc).unwrap();
        foghorn_controller::app::power::take(&server.state, key, now)
            .await
            .unwrap()
            .len()
    };
    // Within the hour the shutdown comes once; a machine that asks much later is left alone.
    let mut told = 0;
    for minutes in (0..=60).step_by(5) {
        told += take(later(minutes)).await;
    }
    assert_eq!(told, 1);
    let reply = server
        .call("DELETE", &format!("/fog/host/{pc}/delete"), Value::Null)
        .await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!(count(&server, "/fog/powermanagement").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_follows_its_tasks() {
    let server = Server::start().await;
    let win = image(&server).await;
    server.give_content(win).await;
    let (room, hosts) = group(&server, 14, win).await;
    let body = json!({"taskTypeID": 8, "taskName": "all"});
    let reply = server
        .call("POST", &format!("/fog/group/{room}/task"), body)
        .await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!(
        count(&server, "/fog/multicastsession/active").await,
        1,
        "one for all steps"
    );
    assert_eq!(count(&server, "/fog/multicastsessionassociation").await, 14);
    let extra = host(&server, "extra", "52:54:00:00:02:01", win).await;
    let join = |name: &str| json!({"taskTypeID": 8, "sessionjoin": name});
    let path = format!("/fog/host/{extra}/task");
    let wrong = server.call("POST", &path, join("nosuch")).await;
    assert!(
        wrong.status == 500 && wrong.text.contains("sessionjoin"),
        "{}",
        wrong.text
    );
    assert_eq!(
        server.call("POST", &path, join("all - room")).await.status,
        200
    );
    assert_eq!(count(&server, "/fog/multicastsessionassociation").await, 15);
    let session = server
        .call("GET", "/fog/multicastsession/1", Value::Null)
        .await
        .json();
    assert_eq!(
        (
            &session["clients"],
            &session["imageID"],
            &session["stateID"]
        ),
        (&json!("0"), &json!(win.to_string()), &json!("0"))
    );
    let other = host(&server, "other", "52:54:00:00:02:02", win).await;
    server
        .call(
            "POST",
            &format!("/fog/host/{other}/task"),
            json!({"taskTypeID": 1}),
        )
        .await;
    assert_eq!(
        server
            .call("DELETE", "/fog/multicastsession/1/cancel", Value::Null)
            .await
            .status,
        200
    );
    assert_eq!(
        count(&server, "/fog/task/active").await,
        1,
        "the task of another host stays"
    );
    let session = server
        .call("GET", "/fog/multicastsession/1", Value::Null)
        .await
        .json();
    assert_eq!(
        (&session["name"], &session["stateID"]),
        (&json!(""), &json!("5"))
    );
    assert_eq!(hosts.len(), 14);
}
