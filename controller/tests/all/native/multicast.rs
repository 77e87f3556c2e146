//! Multicast sessions: what agents are told, what becomes of their reports, and how people see and
//! change them.

use axum::body::{Body, BodyDataStream};
use axum::http::Request;
use foghorn_controller::state::Refusal;
use foghorn_proto::link::agent_message::Message;
use foghorn_proto::link::{
    Completed, MulticastOrder, MulticastPhase, MulticastReceiver, MulticastReport, OpenSession,
    SessionProgress, Stage, session_ended,
};
use foghorn_types::TaskId;
use futures_util::StreamExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::native::agent::{Agent, opened};
use crate::native::fleet::{Fleet, PATIENCE, id};
use crate::native::whole_path::{capture, ended, recorded};

const SESSIONS: &str = "/foghorn/v1/multicast-sessions";

/// A room of hosts with an image, and the agent that has it.
struct Room {
    fleet: Fleet,
    agent: Agent,
    group: u32,
    hosts: Vec<u32>,
}

fn mac(number: u32) -> String {
    format!("02:00:00:00:00:{number:02x}")
}

async fn room(fleet: Fleet, size: u32) -> Room {
    let image = fleet.image("win").await;
    let (keys, enrolled) = fleet.joined("north").await;
    let mut agent = Agent::connect(&fleet, &keys, &enrolled).await;
    let mut hosts = Vec::new();
    for number in 1..=size {
        hosts.push(
            fleet
                .host(&format!("pc{number}"), &mac(number), image)
                .await,
        );
    }
    capture(&fleet, &mut agent, hosts[0]).await;
    let group = fleet
        .good(
            "POST",
            "/fog/group",
            Some(json!({"name": "lab", "hosts": hosts})),
        )
        .await;
    Room {
        fleet,
        agent,
        group: id(&group),
        hosts,
    }
}

impl Room {
    /// Orders a session; gives its number and its tasks.
    async fn order(&self, body: Value) -> (u32, Vec<TaskId>) {
        let made = self.fleet.good("POST", SESSIONS, Some(body)).await;
        let session = made["sessions"][0].as_u64().unwrap().try_into().unwrap();
        (
            session,
            serde_json::from_value(made["tasks"].clone()).unwrap(),
        )
    }

    /// The next order of the session that `wanted` takes.
    async fn told(
        &mut self,
        session: u32,
        wanted: impl Fn(&MulticastOrder) -> bool,
    ) -> (OpenSession, MulticastOrder) {
        self.agent
            .order(|order| {
                let open = opened(order)?;
                let multicast = open
                    .multicast
                    .clone()
                    .filter(|order| order.session_id == session && wanted(order))?;
                Some((open, multicast))
            })
            .await
    }

    async fn show(&self, session: u32) -> Value {
        self.fleet
            .good("GET", &format!("{SESSIONS}/{session}"), None)
            .await
    }

    /// Waits until the session is shown as `wanted` takes it.
    async fn shown(&self, session: u32, wanted: impl Fn(&Value) -> bool) -> Value {
        let search = async {
            loop {
                let shown = self.show(session).await;
                if wanted(&shown) {
                    return shown;
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        match tokio::time::timeout(PATIENCE, search).await {
            Ok(shown) => shown,
            Err(_) => panic!("{}", self.show(session).await),
        }
    }

    async fn fog_row(&self, session: u32) -> Value {
        self.fleet
            .good("GET", &format!("/fog/multicastsession/{session}"), None)
            .await
    }

    async fn check_in(&self, number: usize) {
        let token = self.fleet.boot_token(self.hosts[number]).await;
        self.fleet
            .check_in(&mac(u32::try_from(number).unwrap() + 1), &token)
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_tasks_of_a_session_have_one_order() {
    let mut room = room(Fleet::new().await, 3).await;
    let (session, tasks) = room.order(json!({"group": room.group})).await;
    assert_eq!(tasks.len(), 3);
    let mut seen = std::collections::HashMap::new();
    while seen.len() < 3
        || seen
            .values()
            .any(|order| order != seen.values().next().unwrap())
    {
        let (open, order) = room.told(session, |_| true).await;
        seen.insert(open.task_id, order);
    }
    let order = seen.into_values().next().unwrap();
    assert_eq!(
        (
            order.start_receivers,
            order.start_unix_ms,
            order.start_latest_unix_ms
        ),
        (3, 0, 0)
    );
    assert_eq!(
        (
            order.ttl,
            order.max_rate_bytes_per_second,
            order.source_specific
        ),
        (1, 0, false)
    );
    let group: std::net::SocketAddr = order.group.parse().unwrap();
    assert!(group.ip().is_multicast(), "{group}");
    let row = room.fog_row(session).await;
    assert_eq!(
        (row["clients"].as_str(), row["port"].as_str()),
        (Some("0"), Some(&*group.port().to_string()))
    );

    // The first receiver starts the clock that ends the waiting.
    room.check_in(0).await;
    let (_, order) = room
        .told(session, |order| order.start_latest_unix_ms != 0)
        .await;
    let wait = order.start_latest_unix_ms - foghorn_types::Timestamp::now().as_millis();
    assert!((9 * 60_000..=10 * 60_000).contains(&wait), "{wait} ms");
    let shown = room.show(session).await;
    assert_eq!(
        (&shown["summary"]["phase"], &shown["summary"]["waiting_for"]),
        (
            &json!("waiting"),
            &json!("receivers: 1 of 3 have checked in")
        )
    );
    assert_eq!(room.fog_row(session).await["clients"], "1");

    // A host that does not come is not waited for.
    room.fleet
        .good("DELETE", &format!("/fog/task/{}/cancel", tasks[2]), None)
        .await;
    room.told(session, |order| order.start_receivers == 2).await;
    room.fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_side_by_side_have_groups_of_their_own_and_give_them_back() {
    let mut room = room(Fleet::new().await, 4).await;
    let (first, _) = room.order(json!({"hosts": &room.hosts[..2]})).await;
    let (second, tasks) = room.order(json!({"hosts": &room.hosts[2..]})).await;
    let (_, one) = room.told(first, |_| true).await;
    let (_, two) = room.told(second, |_| true).await;
    assert_ne!(one.group, two.group);
    let used = |room: &Room| {
        room.fleet
            .controller
            .ctx()
            .state
            .read(|tables| tables.session_plans().used().len())
    };
    assert_eq!(used(&room), 2);

    let placed = |room: &Room| {
        let state = &room.fleet.controller.ctx().state;
        state.read(|tables| {
            let active = tables.runs().active();
            active.filter(|run| run.node().is_some()).count()
        })
    };
    let all = async {
        while placed(&room) < 4 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, all).await;
    waited.expect("every task has a place");

    // A controller that starts again tells its agents the same.
    let Room {
        fleet,
        agent,
        group,
        hosts,
    } = room;
    drop(agent);
    let fleet = fleet.restarted().await;
    let (keys, enrolled) = fleet.joined("north").await;
    let agent = Agent::connect(&fleet, &keys, &enrolled).await;
    let told: Vec<_> = agent
        .first
        .sessions
        .iter()
        .filter_map(|open| open.multicast.clone())
        .collect();
    assert_eq!(
        told.iter().filter(|order| order.group == one.group).count(),
        2
    );
    assert_eq!(
        told.iter().filter(|order| order.group == two.group).count(),
        2
    );
    let room = Room {
        fleet,
        agent,
        group,
        hosts,
    };

    let (status, _) = room
        .fleet
        .api("DELETE", &format!("{SESSIONS}/{first}"), None)
        .await;
    assert_eq!((status, used(&room)), (204, 1));
    let shown = room.show(first).await;
    assert_eq!(
        (&shown["summary"]["phase"], &shown["receivers"][0]["path"]),
        (&json!("cancelled"), &json!("failed"))
    );
    for task in tasks {
        room.fleet
            .good("DELETE", &format!("/fog/task/{task}/cancel"), None)
            .await;
    }
    // The last task takes the session with it; that is seen to once a minute, and told by hand
    // here.
    let state = &room.fleet.controller.ctx().state;
    foghorn_controller::app::sessions::settle(
        state,
        foghorn_controller::app::sessions::Settle::All,
    )
    .await
    .unwrap();
    assert_eq!(used(&room), 0);
    room.fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_starts_when_it_is_told_to_and_is_as_fast_as_it_is_told() {
    let fleet =
        Fleet::with(|config| config.multicast.max_rate = Some("800m".parse().unwrap())).await;
    let mut room = room(fleet, 3).await;
    let at = foghorn_types::Timestamp::now() + std::time::Duration::from_secs(20 * 3600);
    let hosts = room.hosts.clone();
    let (timed, tasks) = room
        .order(json!({"hosts": [hosts[0]], "start_at": at.to_string()}))
        .await;
    let (open, order) = room.told(timed, |_| true).await;
    assert_eq!(
        (order.start_receivers, order.start_unix_ms),
        (0, at.as_millis())
    );
    assert_eq!(order.max_rate_bytes_per_second, 100_000_000);
    assert!(
        open.deadline_unix_ms > at.as_millis(),
        "its tasks have their time from then on"
    );
    assert_eq!(open.task_id, tasks[0].get());
    let body =
        json!({"hosts": &hosts[1..], "start_receivers": 1, "max_rate_bytes_per_second": 5_000_000});
    let (counted, _) = room.order(body).await;
    let (_, order) = room.told(counted, |_| true).await;
    assert_eq!(
        (order.start_receivers, order.max_rate_bytes_per_second),
        (1, 5_000_000)
    );

    let path = format!("{SESSIONS}/{timed}");
    let edited = room
        .fleet
        .good(
            "PATCH",
            &path,
            Some(json!({"max_rate_bytes_per_second": 0})),
        )
        .await;
    assert_eq!(edited["max_rate_bytes_per_second"], 0);
    room.told(timed, |order| order.max_rate_bytes_per_second == 0)
        .await;
    room.fleet
        .good("PATCH", &path, Some(json!({"start_now": true})))
        .await;
    let (_, order) = room
        .told(timed, |order| order.start_unix_ms < at.as_millis())
        .await;
    assert!(order.start_unix_ms <= foghorn_types::Timestamp::now().as_millis());

    // What the node's row says holds for every session that it sends.
    let node = room.show(timed).await["senders"][0]["node"]["id"]
        .as_u64()
        .unwrap();
    let row = json!({"bitrate": "8m", "interface": "lan0"});
    room.fleet
        .good("PUT", &format!("/fog/storagenode/{node}"), Some(row))
        .await;
    let (_, order) = room.told(timed, |order| order.interface == "lan0").await;
    assert_eq!(order.max_rate_bytes_per_second, 1_000_000);
    room.fleet.api("DELETE", &path, None).await;
    let (status, answer) = room
        .fleet
        .api("PATCH", &path, Some(json!({"start_now": true})))
        .await;
    assert_eq!(status, 409, "{answer}");
    room.fleet.stop().await;
}

async fn listen(fleet: &Fleet, path: &str) -> BodyDataStream {
    let first = fleet.controller.first_run().unwrap();
    let request = Request::builder()
        .uri(path)
        .header("fog-api-token", &first.api_token)
        .header("fog-user-token", &first.user_token)
        .body(Body::empty());
    let router = foghorn_controller::api::router(fleet.controller.ctx().clone());
    let answer = router.oneshot(request.unwrap()).await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.into_body().into_data_stream()
}

/// The data of the next event that tells of progress; others are passed over.
async fn next_progress(events: &mut BodyDataStream) -> Value {
    let mut text = String::new();
    loop {
        let chunk = tokio::time::timeout(PATIENCE, events.next())
            .await
            .expect("an event in time");
        text.push_str(std::str::from_utf8(&chunk.expect("the stream goes on").unwrap()).unwrap());
        while let Some((event, rest)) = text.split_once("\n\n") {
            let data = event.lines().find_map(|line| line.strip_prefix("data:"));
            if event.contains("event: progress") {
                return serde_json::from_str(data.expect("progress has data")).unwrap();
            }
            text = rest.to_owned();
        }
    }
}

fn receiver(task: TaskId, done: u64) -> MulticastReceiver {
    let progress = SessionProgress {
        task_id: task.get(),
        bytes_done: done,
        bytes_total: 40,
        rate_bytes_per_second: 7,
        limiting_stage: Stage::Disk.into(),
        ..SessionProgress::default()
    };
    MulticastReceiver {
        task_id: task.get(),
        progress: Some(progress),
        ..MulticastReceiver::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_agent_reports_is_shown_by_receiver() {
    let mut room = room(Fleet::new().await, 3).await;
    let (session, tasks) = room.order(json!({"group": room.group})).await;
    room.told(session, |order| order.start_receivers == 3).await;
    for number in 0..3 {
        room.check_in(number).await;
    }
    let mut lost = receiver(tasks[0], 20);
    (lost.loss_ppm, lost.parity_used, lost.next_unicast) = (12_000, 44, true);
    let mut deaf = receiver(tasks[1], 10);
    (deaf.unicast, deaf.unicast_reason) = (true, "the group was not heard within 2 s".to_owned());
    let report = MulticastReport {
        session_id: session,
        phase: MulticastPhase::Sending.into(),
        rate_bytes_per_second: 1000,
        payload_bytes: 100,
        wire_bytes: 120,
        parity_bytes: 5,
        receivers: vec![lost, deaf, receiver(tasks[2], 30)],
    };
    let mut events = listen(&room.fleet, "/events?class=multicastsession").await;
    room.agent.send(Message::Multicast(report.clone())).await;
    let told = next_progress(&mut events).await;
    assert_eq!(
        (&told["id"], &told["phase"], &told["by_unicast"]),
        (&json!(session), &json!("sending"), &json!(1))
    );
    let shown = room
        .shown(session, |shown| shown["summary"]["percent"] == 25)
        .await;
    let summary = &shown["summary"];
    assert_eq!(
        (
            &summary["phase"],
            &summary["joined"],
            &summary["by_unicast"]
        ),
        (&json!("sending"), &json!(3), &json!(1))
    );
    assert_eq!(
        (
            &shown["senders"][0]["wire_bytes"],
            &shown["senders"][0]["phase"]
        ),
        (&json!(120), &json!("sending"))
    );
    let rows = shown["receivers"].as_array().unwrap();
    let row = |number: usize, name: &str| &rows[number][name];
    assert_eq!(
        (row(0, "path"), row(0, "loss_ppm"), row(0, "next_unicast")),
        (&json!("multicast"), &json!(12_000), &json!(true))
    );
    assert_eq!(
        (
            row(0, "percent"),
            row(0, "limiting_stage"),
            row(0, "parity_used")
        ),
        (&json!(50), &json!("disk"), &json!(44))
    );
    assert_eq!(
        (row(1, "path"), row(1, "reason")),
        (
            &json!("unicast"),
            &json!("the group was not heard within 2 s")
        )
    );
    let task = room.fleet.status(tasks[1]).await;
    assert_eq!(
        (&task["multicast"]["session"], &task["multicast"]["path"]),
        (&json!(session), &json!("unicast"))
    );
    assert_eq!(
        task["state"], "running",
        "progress in a report is progress of the task"
    );
    let fog = room.fog_row(session).await;
    assert_eq!(
        (&fog["percent"], &fog["clients"]),
        (&json!("25"), &json!("3"))
    );

    // Reports on a session that the node does not have are nobody's business.
    room.agent
        .send(Message::Multicast(MulticastReport {
            session_id: session + 1,
            ..report
        }))
        .await;
    for task in &tasks {
        room.agent
            .send(ended(
                *task,
                session_ended::Outcome::Completed(Completed::default()),
            ))
            .await;
        recorded(&mut room.agent, *task).await;
    }
    let shown = room
        .shown(session, |shown| shown["summary"]["phase"] == "complete")
        .await;
    assert_eq!(
        (&shown["summary"]["done"], &shown["receivers"][0]["path"]),
        (&json!(3), &json!("done"))
    );
    assert_eq!(
        shown["senders"],
        json!([]),
        "a session that has ended has no group"
    );
    let fog = room.fog_row(session).await;
    assert_eq!(
        (&fog["stateID"], &fog["percent"], &fog["clients"]),
        (&json!("4"), &json!("100"), &json!("3"))
    );
    room.fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_joins_late_is_told_the_same_stream() {
    let mut room = room(Fleet::new().await, 2).await;
    let hosts = room.hosts.clone();
    let (session, _) = room
        .order(json!({"hosts": [hosts[0]], "name": "all"}))
        .await;
    let (_, order) = room.told(session, |_| true).await;
    let body = json!({"taskTypeID": 8, "sessionjoin": "all - pc1"});
    room.fleet
        .good("POST", &format!("/fog/host/{}/task", hosts[1]), Some(body))
        .await;
    let (open, joined) = room.told(session, |order| order.start_receivers == 2).await;
    assert_eq!((joined.group, open.host_id), (order.group, hosts[1]));
    room.fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_session_at_a_time_when_the_setting_says_so() {
    let mut room = room(Fleet::new().await, 2).await;
    let settings = room
        .fleet
        .good("GET", "/fog/service?name=FOG_MULTICAST_MAX_SESSIONS", None)
        .await;
    let rows = settings["services"].as_array().unwrap();
    let row = id(rows
        .iter()
        .find(|row| row["name"] == "FOG_MULTICAST_MAX_SESSIONS")
        .unwrap());
    room.fleet
        .good(
            "PUT",
            &format!("/fog/service/{row}"),
            Some(json!({"value": "1"})),
        )
        .await;
    let hosts = room.hosts.clone();
    let (first, _) = room.order(json!({"hosts": [hosts[0]]})).await;
    room.told(first, |_| true).await;
    let (second, _) = room.order(json!({"hosts": [hosts[1]]})).await;
    let shown = room
        .shown(second, |shown| shown["summary"]["waiting_for"].is_string())
        .await;
    assert!(
        shown["summary"]["waiting_for"]
            .as_str()
            .unwrap()
            .contains("FOG_MULTICAST_MAX_SESSIONS"),
        "{shown}"
    );
    let list = room.fleet.good("GET", SESSIONS, None).await;
    assert_eq!(list["sessions"].as_array().unwrap().len(), 2);
    room.fleet
        .api("DELETE", &format!("{SESSIONS}/{first}"), None)
        .await;
    room.told(second, |_| true).await;
    let list = room.fleet.good("GET", SESSIONS, None).await;
    assert_eq!(
        list["sessions"].as_array().unwrap().len(),
        1,
        "those under way"
    );
    assert_eq!(
        room.fleet
            .good("GET", &format!("{SESSIONS}?all=true"), None)
            .await["sessions"][1]["session"],
        first
    );
    room.fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_name_the_field_and_order_nothing() {
    let room = room(Fleet::new().await, 1).await;
    let host = room.hosts[0];
    for (body, status, field) in [
        (json!({}), 400, "group"),
        (json!({"group": 1, "hosts": [host]}), 400, "hosts"),
        (json!({"hosts": []}), 400, "hosts"),
        (
            json!({"hosts": [host], "start_receivers": 0}),
            400,
            "start_receivers",
        ),
        (
            json!({"hosts": [host], "start_at": "tomorrow"}),
            400,
            "start_at",
        ),
        (
            json!({"hosts": [host], "start_at": "2020-01-01T00:00:00Z"}),
            400,
            "start_at",
        ),
        (
            json!({"hosts": [host], "max_wait_seconds": 86_401}),
            400,
            "max_wait_seconds",
        ),
        (
            json!({"hosts": [host], "max_rate_bytes_per_second": -1}),
            400,
            "max_rate_bytes_per_second",
        ),
        (json!({"hosts": [host], "speed": 1}), 400, "speed"),
    ] {
        let (found, answer) = room.fleet.api("POST", SESSIONS, Some(body.clone())).await;
        assert_eq!(
            (found, &answer["field"]),
            (status, &json!(field)),
            "{body}: {answer}"
        );
    }
    assert_eq!(
        room.fleet
            .api("POST", SESSIONS, Some(json!({"hosts": [99]})))
            .await
            .0,
        404
    );
    assert_eq!(
        room.fleet
            .api("POST", SESSIONS, Some(json!({"group": 99})))
            .await
            .0,
        404
    );
    assert_eq!(
        room.fleet
            .api("GET", &format!("{SESSIONS}/99"), None)
            .await
            .0,
        404
    );
    assert_eq!(
        room.fleet
            .api("DELETE", &format!("{SESSIONS}/99"), None)
            .await
            .0,
        404
    );
    assert_eq!(
        room.fleet.good("GET", "/fog/multicastsession", None).await["count"],
        0
    );
    room.fleet
        .good("POST", SESSIONS, Some(json!({"hosts": [host]})))
        .await;
    let (status, answer) = room
        .fleet
        .api("POST", SESSIONS, Some(json!({"hosts": [host]})))
        .await;
    assert_eq!(
        (status, &answer["field"]),
        (400, &json!("hosts")),
        "{answer}"
    );
    assert_eq!(
        room.fleet
            .api("PATCH", &format!("{SESSIONS}/1"), Some(json!({})))
            .await
            .0,
        400
    );
    assert_eq!(room.fleet.anonymous("GET", SESSIONS, None).await.0, 403);
    room.fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_of_two_sites_are_one_session_with_a_sender_at_each() {
    let mut room = room(Fleet::new().await, 2).await;
    let hosts = room.hosts.clone();
    let plugins = room.fleet.config.plugins_folder();
    std::fs::create_dir_all(&plugins).unwrap();
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/plugins/location.rhai");
    std::fs::copy(example, plugins.join("location.rhai")).unwrap();
    room.fleet.controller.ctx().plugins.reload().await;
    let group = id(&room
        .fleet
        .good("POST", "/fog/storagegroup", Some(json!({"name": "branch"})))
        .await);
    let (keys, enrolled) = room.fleet.joined("south").await;
    let node = enrolled.node_id;
    let path = format!("/fog/storagenode/{node}");
    room.fleet
        .good("PUT", &path, Some(json!({"storagegroupID": group})))
        .await;
    let place = json!({"name": "Branch", "storagegroupID": group, "hosts": [hosts[1]]});
    room.fleet.good("POST", "/fog/location", Some(place)).await;
    // What replication does.
    let image = foghorn_types::ImageId::new(1).unwrap();
    let state = room.fleet.controller.ctx().state.clone();
    let copied = state.write::<_, Refusal>(|draft| {
        let mut content = draft
            .tables()
            .contents()
            .get(&image)
            .unwrap()
            .as_ref()
            .clone();
        content.nodes.push(node);
        draft.store(&content);
        Ok(())
    });
    copied.await.unwrap();
    let mut south = Agent::connect(&room.fleet, &keys, &enrolled).await;

    let (session, tasks) = room.order(json!({"hosts": hosts})).await;
    let (north, at_north) = room.told(session, |_| true).await;
    let at_south = south.order(opened).await;
    assert_eq!(
        (north.task_id, at_south.task_id),
        (tasks[0].get(), tasks[1].get())
    );
    let at_south = at_south.multicast.unwrap();
    assert_eq!(
        (
            at_north.session_id,
            at_north.start_receivers,
            at_south.start_receivers
        ),
        (session, 1, 1)
    );
    assert_ne!(at_north.group, at_south.group);
    assert_eq!(
        room.show(session).await["senders"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    room.fleet.stop().await;
}
