//! The machine token in the order of a deploy: who gets one, and how long it is good.

use foghorn_types::TaskId;
use serde_json::{Value, json};

use super::enrolment::enrol;
use super::fleet;
use crate::engine::BOTH;
use crate::native::agent::{Agent, opened};
use crate::native::fleet::{Fleet, Keys};
use crate::native::whole_path::capture;

/// That of [`capture`].
const MAC: &str = "02:00:00:00:00:01";

async fn choose(fleet: &Fleet, path: &str, identity: Value) -> Value {
    let path = format!("/foghorn/v1/{path}/identity");
    let body = json!({ "identity": identity });
    fleet.good("PUT", &path, Some(body)).await
}

/// A client checks in: its bearer, and the token in its order.
async fn token(fleet: &Fleet, host: u32) -> (String, Value) {
    let client = fleet.check_in(MAC, &fleet.boot_token(host).await).await;
    let (status, order) = fleet.order(&client.session, 20).await;
    assert_eq!(status, 200, "{order}");
    (client.session, order["machine_token"].clone())
}

async fn deploy(fleet: &Fleet, agent: &mut Agent, host: u32) -> TaskId {
    let task = fleet.task(host, 1).await;
    // Each client that checks in has the task before opened again.
    while agent.order(opened).await.task_id != task.get() {}
    task
}

async fn cancel(fleet: &Fleet, task: TaskId) {
    let path = format!("/fog/task/{task}/cancel");
    fleet.good("DELETE", &path, None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_order_of_a_deploy_has_a_token_that_is_good_once_and_until_the_deploy_ends() {
    for kind in BOTH {
        let fleet = fleet(kind).await;
        let image = fleet.image("win").await;
        let host = fleet.host("pc1", MAC, image).await;
        let (keys, enrolled) = fleet.joined("north").await;
        let mut agent = Agent::connect(&fleet, &keys, &enrolled).await;
        capture(&fleet, &mut agent, host).await;

        // Nobody has asked for it.
        let task = deploy(&fleet, &mut agent, host).await;
        assert_eq!(token(&fleet, host).await.1, Value::Null);
        cancel(&fleet, task).await;

        let shown = choose(&fleet, &format!("images/{image}"), json!(true)).await;
        assert_eq!(shown["identity"], true, "{shown}");
        let task = deploy(&fleet, &mut agent, host).await;
        let (session, first) = token(&fleet, host).await;
        let first = first.as_str().unwrap();
        assert!(first.starts_with("fhh1.") && !first.contains(&session));
        let (_, again) = fleet.order(&session, 20).await;
        assert_eq!(again["machine_token"], first, "the same client");

        // Another client has taken its place, and with that its token.
        let (_, second) = token(&fleet, host).await;
        let second = second.as_str().unwrap();
        assert_ne!(first, second);
        let (status, said) = enrol(&fleet, first, &Keys::new(), json!({})).await;
        assert_eq!((status, &said["field"]), (403, &json!("token")), "{said}");
        let (status, machine) = enrol(&fleet, second, &Keys::new(), json!({})).await;
        assert_eq!((status, &machine["host"]), (200, &json!(host)), "{machine}");
        let (status, said) = enrol(&fleet, second, &Keys::new(), json!({})).await;
        assert_eq!(status, 403, "once: {said}");
        cancel(&fleet, task).await;

        let task = deploy(&fleet, &mut agent, host).await;
        let (_, third) = token(&fleet, host).await;
        cancel(&fleet, task).await;
        let third = third.as_str().unwrap();
        let (status, said) = enrol(&fleet, third, &Keys::new(), json!({})).await;
        let why = said["error"].as_str().unwrap();
        assert_eq!(status, 403, "{said}");
        assert!(why.contains("has ended"), "{said}");

        // What is said of the host counts.
        let shown = choose(&fleet, &format!("hosts/{host}"), json!(false)).await;
        assert_eq!(shown["identity"], false, "{shown}");
        let task = deploy(&fleet, &mut agent, host).await;
        assert_eq!(token(&fleet, host).await.1, Value::Null);
        cancel(&fleet, task).await;
        let shown = choose(&fleet, &format!("hosts/{host}"), Value::Null).await;
        assert_eq!(shown["identity"], Value::Null, "{shown}");
        fleet.stop().await;
    }
}
