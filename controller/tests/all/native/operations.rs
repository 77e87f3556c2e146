//! Health, credentials, jobs.

use std::time::{Duration, Instant};

use foghorn_proto::link::agent_message::Message;
use foghorn_proto::link::controller_message::Message as Order;
use foghorn_proto::link::job::Work;
use foghorn_proto::link::{DamagedChunk, Job, JobReport};
use foghorn_types::ChunkId;
use serde_json::json;

use crate::native::agent::Agent;
use crate::native::fleet::Fleet;

#[tokio::test(flavor = "multi_thread")]
async fn health_is_for_everyone_and_the_rest_for_operators() {
    let fleet = Fleet::new().await;
    for path in ["/healthz", "/readyz", "/metrics", "/foghorn/v1/ca"] {
        assert_eq!(fleet.anonymous("GET", path, None).await.0, 200, "{path}");
    }
    for (method, path) in [
        ("GET", "/foghorn/v1/tasks"),
        ("GET", "/foghorn/v1/tasks/1"),
        ("GET", "/foghorn/v1/images/1"),
        ("GET", "/foghorn/v1/jobs/1"),
        ("POST", "/foghorn/v1/hosts/1/boot-token"),
        ("POST", "/foghorn/v1/nodes/join-token"),
        ("POST", "/foghorn/v1/nodes/1/revoke"),
        ("POST", "/foghorn/v1/nodes/1/scrub"),
        ("POST", "/foghorn/v1/images/1/verify"),
    ] {
        let (status, answer) = fleet.anonymous(method, path, None).await;
        assert_eq!(status, 403, "{method} {path}: {answer}");
    }
    let (_, metrics) = fleet.anonymous("GET", "/metrics", None).await;
    let metrics = metrics.as_str().unwrap();
    for name in [
        "foghorn_tasks{state=\"queued\"} 0",
        "foghorn_agents_online 0",
        "foghorn_http_request_duration_seconds_bucket",
        "foghorn_store_commit_duration_seconds_count",
    ] {
        assert!(metrics.contains(name), "{name} is missing in\n{metrics}");
    }
    fleet.controller.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn work_in_the_background_is_shown_with_how_it_went() {
    let fleet = Fleet::new().await;
    assert_eq!(
        fleet
            .anonymous("GET", "/foghorn/v1/background", None)
            .await
            .0,
        403
    );
    let deadline = Instant::now() + Duration::from_secs(30);
    let dispatch = loop {
        let (status, answer) = fleet.api("GET", "/foghorn/v1/background", None).await;
        assert_eq!(status, 200, "{answer}");
        let work = answer["work"].as_array().unwrap().clone();
        let dispatch = work.into_iter().find(|work| work["name"] == "dispatch");
        if let Some(dispatch) = dispatch.filter(|work| !work["last"].is_null()) {
            break dispatch;
        }
        assert!(Instant::now() < deadline, "no round was shown: {answer}");
        tokio::task::yield_now().await;
    };
    assert_eq!(dispatch["failures"], 0, "{dispatch}");
    assert!(dispatch["rounds"].as_u64() >= Some(1), "{dispatch}");
    assert!(dispatch["last"]["error"].is_null(), "{dispatch}");
    fleet.controller.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_exist_is_said_so() {
    let fleet = Fleet::new().await;
    for (method, path, expected) in [
        ("GET", "/foghorn/v1/tasks/99", 404),
        ("GET", "/foghorn/v1/tasks/0", 400),
        ("GET", "/foghorn/v1/tasks/-1", 400),
        ("GET", "/foghorn/v1/tasks?ids=1,x", 400),
        ("GET", "/foghorn/v1/images/99", 404),
        ("POST", "/foghorn/v1/images/99/verify", 404),
        ("POST", "/foghorn/v1/nodes/99/scrub", 404),
        ("POST", "/foghorn/v1/nodes/99/revoke", 404),
        ("POST", "/foghorn/v1/hosts/99/boot-token", 404),
        ("GET", "/foghorn/v1/jobs/99", 404),
    ] {
        let (status, answer) = fleet.api(method, path, None).await;
        assert_eq!(status, expected, "{method} {path}: {answer}");
    }
    let (status, answer) = fleet
        .api(
            "POST",
            "/foghorn/v1/nodes/join-token",
            Some(json!({"name": "no.label"})),
        )
        .await;
    assert_eq!((status, &answer["field"]), (400, &json!("name")));
    fleet.controller.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_cannot_be_read_is_refused_in_plain_words() {
    let fleet = Fleet::new().await;
    const TASKS: &str = "/foghorn/v1/tasks";
    for (method, path, body, field, words) in [
        (
            "POST",
            TASKS,
            Some(json!({"kind": "deploy", "host": 0})),
            "host",
            "must be a whole number from 1 to 4294967295, not 0",
        ),
        (
            "POST",
            TASKS,
            Some(json!({"kind": "wipe", "host": 1})),
            "kind",
            "must be `deploy` or `capture`, not `wipe`",
        ),
        (
            "POST",
            TASKS,
            Some(json!({"host": 1})),
            "kind",
            "is required",
        ),
        (
            "GET",
            "/foghorn/v1/multicast-sessions?all=1",
            None,
            "all",
            "must be true or false",
        ),
    ] {
        let (status, answer) = fleet.api(method, path, body).await;
        assert_eq!(
            (status, &answer["field"], &answer["error"]),
            (400, &json!(field), &json!(words)),
            "{method} {path}"
        );
    }
    fleet.controller.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scrub_is_ordered_followed_and_its_damage_named() {
    let fleet = Fleet::new().await;
    let image = fleet.image("win").await;
    let (keys, enrolled) = fleet.joined("north").await;
    let path = format!("/foghorn/v1/nodes/{}/scrub", enrolled.node_id);
    assert_eq!(
        fleet.api("POST", &path, None).await.0,
        503,
        "the node is not connected"
    );
    let mut agent = Agent::connect(&fleet, &keys, &enrolled).await;
    let job = fleet.good("POST", &path, None).await["job"]
        .as_u64()
        .unwrap();
    agent
        .order(|order| matches!(order, Order::Job(ordered) if ordered.job_id == job).then_some(()))
        .await;
    let damaged = DamagedChunk {
        chunk_id: ChunkId::of(b"x").as_bytes().to_vec(),
        problem: "wrong hash".into(),
        images: vec![image],
        files: vec![],
    };
    agent
        .send(Message::Job(JobReport {
            job_id: job,
            done: true,
            chunks_checked: 7,
            chunks_total: 7,
            damaged: vec![damaged],
            ..JobReport::default()
        }))
        .await;
    let status = tokio::time::timeout(crate::native::fleet::PATIENCE, async {
        loop {
            let status = fleet
                .good("GET", &format!("/foghorn/v1/jobs/{job}"), None)
                .await;
            if status["done"] == true {
                return status;
            }
        }
    })
    .await
    .unwrap();
    assert_eq!(
        (&status["work"], &status["chunks_checked"]),
        (&json!("scrub"), &json!(7))
    );
    assert_eq!(
        (
            &status["damaged"][0]["chunk"],
            &status["damaged"][0]["images"][0]["name"]
        ),
        (&json!(ChunkId::of(b"x")), &json!("win"))
    );
    fleet.controller.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_is_ordered_and_says_what_it_freed() {
    let fleet = Fleet::new().await;
    let (keys, enrolled) = fleet.joined("north").await;
    let mut agent = Agent::connect(&fleet, &keys, &enrolled).await;
    let path = format!("/foghorn/v1/nodes/{}/sweep", enrolled.node_id);
    let unknown = fleet.api("POST", &path, Some(json!({"soon": true}))).await;
    assert_eq!(unknown.0, 400, "{unknown:?}");
    let nobody = "/foghorn/v1/nodes/99/sweep";
    assert_eq!(fleet.api("POST", nobody, Some(json!({}))).await.0, 404);
    let ordered = fleet.good("POST", &path, Some(json!({"now": true}))).await;
    let job = ordered["job"].as_u64().unwrap();
    let now = agent
        .order(|order| match order {
            Order::Job(Job {
                job_id,
                work: Some(Work::Sweep(sweep)),
            }) if job_id == job => Some(sweep.now),
            _ => None,
        })
        .await;
    assert!(now);
    let report = JobReport {
        job_id: job,
        done: true,
        freed_bytes: 77,
        ..JobReport::default()
    };
    agent.send(Message::Job(report)).await;
    let path = format!("/foghorn/v1/jobs/{job}");
    let status = tokio::time::timeout(crate::native::fleet::PATIENCE, async {
        loop {
            let status = fleet.good("GET", &path, None).await;
            if status["done"] == true {
                return status;
            }
        }
    });
    let status = status.await.unwrap();
    assert_eq!(
        (&status["work"], &status["freed_bytes"]),
        (&json!("sweep"), &json!(77))
    );
    fleet.controller.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_waits_for_no_idle_connection() {
    let fleet = Fleet::new().await;
    let (keys, enrolled) = fleet.joined("north").await;
    let agent = Agent::connect(&fleet, &keys, &enrolled).await;
    let rest = fleet.controller.rest_url();
    let _idle = tokio::net::TcpStream::connect(rest.strip_prefix("https://").unwrap())
        .await
        .unwrap();
    fleet.good("GET", "/foghorn/v1/tasks", None).await;
    let started = std::time::Instant::now();
    fleet.controller.shutdown().await;
    agent.cut().await;
    assert!(
        started.elapsed() < std::time::Duration::from_secs(4),
        "it took {:?}",
        started.elapsed()
    );
}
