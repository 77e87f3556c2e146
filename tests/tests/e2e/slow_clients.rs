//! Ten thousand callers that never finish their request: the others are served, and nothing is left
//! behind.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use foghorn_tests::net::connect_from;
use foghorn_tests::process::until;
use foghorn_tests::stack::{Engine, Options, PATIENCE, Stack};
use rustix::process::{Resource, getrlimit};

const WANTED: usize = 10_000;
/// Fewer prove little.
const LEAST: usize = 2_000;
/// Clients at one address.
const EACH: usize = 500;
/// Descriptors of the test itself.
const OWN: usize = 500;
/// With ten thousand others on two busy cores.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);

fn open_files(process: u32) -> usize {
    std::fs::read_dir(format!("/proc/{process}/fd"))
        .unwrap()
        .count()
}

#[test]
fn ten_thousand_slow_clients_hold_up_nobody() {
    let options = Options {
        plain_http: true,
        ..Options::default()
    };
    let mut stack = Stack::controller_only(Engine::Embedded, &options).unwrap();
    let before = open_files(stack.controller.id());
    let limit = getrlimit(Resource::Nofile)
        .current
        .map_or(usize::MAX, |limit| usize::try_from(limit).unwrap());
    let clients = WANTED.min(limit.saturating_sub(OWN));
    assert!(
        clients >= LEAST,
        "the limit of open files, {limit}, is too low for this test: `ulimit -n 12000`"
    );

    let address = stack.rest.url.strip_prefix("http://").unwrap();
    let address: SocketAddr = address.parse().unwrap();
    let mut slow = Vec::with_capacity(clients);
    for number in 0..clients {
        // No address may have this many alone.
        let source = Ipv4Addr::new(127, 0, 1, u8::try_from(number / EACH).unwrap());
        let mut stream = connect_from(source, address)
            .unwrap_or_else(|error| panic!("client {number}: {error}"));
        stream
            .write_all(b"GET /fog/host/1 HTTP/1.1\r\nhost: x\r\nslow: ")
            .unwrap();
        slow.push(stream);
        if number % 1000 == 999 {
            let asked = Instant::now();
            assert_eq!(stack.rest.get("/fog/host").unwrap().status, 200);
            assert!(
                asked.elapsed() < ANSWERED_WITHIN,
                "{:?} with {number} slow clients",
                asked.elapsed()
            );
        }
    }
    stack.create_host("meanwhile", "52:54:00:00:07:01").unwrap();

    // Their time for a header runs out: each is told so or cut off.
    for stream in &mut slow {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer) {
            Ok(_) => assert!(
                answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"),
                "{answer:?}"
            ),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}"),
        }
    }
    drop(slow);
    until("the connections to be given back", PATIENCE, || {
        Ok((open_files(stack.controller.id()) <= before + 20).then_some(()))
    })
    .unwrap();
    assert!(stack.controller.is_running().unwrap());
    let peak = stack.controller.peak_memory_kib().unwrap();
    assert!(peak < 1 << 20, "{peak} KiB");
}
