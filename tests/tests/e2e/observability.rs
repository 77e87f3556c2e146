//! One deploy is one trace; the controller's health and metrics say what is going on.

use foghorn_tests::disks::{self, Kind, MIB};
use foghorn_tests::stack::{Engine, Stack};

#[test]
fn a_trace_context_reaches_every_process() {
    let stack = Stack::start(Engine::Embedded).unwrap();
    let golden = disks::make_gpt(
        &stack.folder().join("golden"),
        32 * MIB,
        512,
        &[(Kind::Raw, 8)],
        71,
    )
    .unwrap();
    let (host, image) = (
        stack.create_host("golden", "52:54:00:00:06:0a").unwrap(),
        stack.create_image("image").unwrap(),
    );
    stack.assign(host, image).unwrap();
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    stack
        .rest
        .send_with(
            "POST",
            &format!("/fog/host/{host}/task"),
            Some(br#"{"taskTypeID":2}"#.to_vec()),
            &[("traceparent", &format!("00-{trace}-00f067aa0ba902b7-01"))],
        )
        .unwrap()
        .ok()
        .unwrap();
    let mut client = stack
        .start_client("capture", host, "52:54:00:00:06:0a", &golden.path)
        .unwrap();
    assert!(
        client
            .wait(foghorn_tests::stack::PATIENCE)
            .unwrap()
            .success(),
        "{}",
        client.log()
    );
    for (name, log) in [
        ("controller", stack.controller.log()),
        ("agent", stack.agents[0].process.log()),
        ("client", client.log()),
    ] {
        assert!(
            log.contains(trace),
            "the {name} did not log the trace id:\n{log}"
        );
    }
}

#[test]
fn health_and_metrics() {
    let stack = Stack::start(Engine::Embedded).unwrap();
    assert_eq!(stack.rest.get("/healthz").unwrap().status, 200);
    assert_eq!(stack.rest.get("/readyz").unwrap().status, 200);
    let golden = disks::make_gpt(
        &stack.folder().join("golden"),
        32 * MIB,
        512,
        &[(Kind::Raw, 8)],
        72,
    )
    .unwrap();
    stack
        .capture("golden", "52:54:00:00:06:0b", &golden.path)
        .unwrap();
    let metrics = stack.rest.get("/metrics").unwrap();
    assert_eq!(metrics.status, 200);
    for name in [
        "foghorn_agents_online 1",
        "foghorn_tasks",
        "foghorn_http_request_duration_seconds",
    ] {
        assert!(
            metrics.body.contains(name),
            "no {name} in\n{}",
            metrics.body
        );
    }
}
