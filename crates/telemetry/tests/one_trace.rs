//! A trace goes on across a boundary that carries nothing but the `traceparent` text, with no
//! exporter configured. One test in one file, because logging is set up once per process.

use tracing::{info_span, subscriber::NoSubscriber};

#[test]
fn a_trace_is_carried_without_an_endpoint() {
    assert_eq!(
        foghorn_telemetry::current_traceparent(),
        None,
        "nothing is set up yet"
    );
    let guard =
        foghorn_telemetry::init("foghorn-test", foghorn_telemetry::LogFormat::Json).unwrap();
    assert_eq!(
        foghorn_telemetry::current_traceparent(),
        None,
        "outside every span"
    );

    let sender = info_span!(target: "foghorn_test", "request");
    let sent = sender
        .in_scope(foghorn_telemetry::current_traceparent)
        .expect("in a span");
    let parts: Vec<&str> = sent.split('-').collect();
    assert_eq!(
        (parts.len(), parts[0], parts[1].len(), parts[2].len()),
        (4, "00", 32, 16),
        "{sent}"
    );

    let receiver = info_span!(target: "foghorn_test", "work");
    foghorn_telemetry::set_parent(&receiver, &sent);
    let passed_on = receiver
        .in_scope(foghorn_telemetry::current_traceparent)
        .unwrap();
    assert_eq!(passed_on.split('-').nth(1), Some(parts[1]), "same trace");
    assert_ne!(passed_on.split('-').nth(2), Some(parts[2]), "another span");

    let broken = info_span!(target: "foghorn_test", "broken");
    foghorn_telemetry::set_parent(&broken, "not a traceparent");
    let own = broken
        .in_scope(foghorn_telemetry::current_traceparent)
        .unwrap();
    assert_ne!(
        own.split('-').nth(1),
        Some(parts[1]),
        "a broken header starts a trace of its own"
    );

    assert!(
        foghorn_telemetry::init("foghorn-test", None).is_err(),
        "twice in one process"
    );
    tracing::subscriber::with_default(NoSubscriber::default(), || {
        assert_eq!(foghorn_telemetry::current_traceparent(), None);
    });
    drop(guard);
}
