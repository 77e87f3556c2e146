//! Spans reach a collector, and one that is not there costs a process no more than the flush limit.
//! Configuration comes by the environment, so each case is a run of this same program with its own.

use std::io::Read as _;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const SERVICE: &str = "foghorn-export-test";

/// What the child does; ignored in an ordinary run.
#[test]
#[ignore = "started by the other tests of this file"]
fn child() {
    let guard = foghorn_telemetry::init(SERVICE, None).unwrap();
    tracing::info_span!(target: "foghorn_test", "exported").in_scope(|| tracing::info!("inside"));
    drop(guard);
}

fn start(endpoint: &str) -> Child {
    Command::new(std::env::current_exe().expect("this program has a path"))
        .args(["--exact", "child", "--ignored"])
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("this program can be started")
}

/// The first request of a gRPC client is sent before the server has said anything, and names the
/// service in plain bytes.
#[test]
fn a_span_is_sent_to_the_endpoint() {
    let collector = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut child = start(&format!("http://{}", collector.local_addr().unwrap()));
    let (mut stream, _) = collector.accept().unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let mut seen = Vec::new();
    let mut part = [0; 4096];
    while !contains(&seen, SERVICE.as_bytes()) || !contains(&seen, b"exported") {
        let count = stream.read(&mut part).expect("the span within the time");
        assert_ne!(count, 0, "the connection ended before the span");
        seen.extend_from_slice(&part[..count]);
    }
    assert!(seen.starts_with(b"PRI * HTTP/2.0"));
    drop(stream);
    drop(collector);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_collector_that_is_not_there_holds_nobody_up() {
    let gone = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let started = Instant::now();
    assert!(start(&format!("http://{gone}")).wait().unwrap().success());
    assert!(
        started.elapsed() < Duration::from_secs(15),
        "{:?}",
        started.elapsed()
    );
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}
