//! What attackers do. Each attack has an address of its own, so that none is limited for another's
//! sake, and holds as many connections as it gets.

use std::io::Write;
use std::net::{Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::Result;

use super::http2;
use super::wire::{Target, Tls, push};

/// Attacks until told to stop, and returns how often it has connected or asked.
type Attack = fn(&Target, Ipv4Addr, &AtomicBool) -> u64;

pub(super) const ALL: &[(&str, Attack)] = &[
    ("heads", heads),
    ("bodies", bodies),
    ("unread_answers", unread_answers),
    ("made_up_methods", made_up_methods),
    ("half_open_rest", half_open_rest),
    ("half_open_link", half_open_link),
    ("streams", http2::streams),
    ("listeners", listeners),
    ("unread_lists", unread_lists),
    ("long_lists", long_lists),
];

/// Between the rounds of an attack: memory is the aim, not the two cores of the test.
const REST: Duration = Duration::from_millis(100);

/// Keeps up to `most` connections: opens what is missing, and drops those on which `step` fails.
pub(super) fn hold<S>(
    most: usize,
    stop: &AtomicBool,
    mut open: impl FnMut() -> Result<S>,
    mut step: impl FnMut(&mut S) -> bool,
) -> u64 {
    let (mut held, mut tries) = (Vec::new(), 0);
    while !stop.load(Ordering::Relaxed) {
        // A few at a time, so that an attack that is refused does not spin.
        for _ in 0..20 {
            if held.len() < most
                && let Ok(stream) = open()
            {
                tries += 1;
                held.push(stream);
            }
        }
        held.retain_mut(&mut step);
        thread::sleep(REST);
    }
    tries
}

/// Headers that never end.
fn heads(target: &Target, source: Ipv4Addr, stop: &AtomicBool) -> u64 {
    let open = || {
        let mut stream = target.h1(source)?;
        let head = format!("GET /{} HTTP/1.1\r\nhost: x\r\nslow: ", "a".repeat(60_000));
        push(&mut stream, head.as_bytes());
        Ok(stream)
    };
    hold(200, stop, open, |stream: &mut Tls| push(stream, b"x"))
}

/// Bodies without credentials that are nearly complete.
fn bodies(target: &Target, source: Ipv4Addr, stop: &AtomicBool) -> u64 {
    let open = || {
        let mut stream = target.h1(source)?;
        let head = "POST /foghorn/v1/clients/check-in HTTP/1.1\r\nhost: x\r\n\
                    content-type: application/json\r\ncontent-length: 65000\r\n\r\n";
        push(&mut stream, head.as_bytes());
        push(&mut stream, &[b' '; 64_000]);
        Ok(stream)
    };
    hold(300, stop, open, |stream: &mut Tls| push(stream, b" "))
}

/// Large answers, packed and not, that nobody reads.
fn unread_answers(target: &Target, source: Ipv4Addr, stop: &AtomicBool) -> u64 {
    let mut number = 0;
    let open = || {
        number += 1;
        let packing = ["", "accept-encoding: gzip\r\n", "accept-encoding: zstd\r\n"][number % 3];
        let ask = format!("GET /openapi.json HTTP/1.1\r\nhost: x\r\n{packing}\r\n");
        let mut stream = target.h1(source)?;
        push(&mut stream, ask.repeat(20).as_bytes());
        Ok(stream)
    };
    hold(150, stop, open, |_: &mut Tls| true)
}

fn made_up_methods(target: &Target, source: Ipv4Addr, stop: &AtomicBool) -> u64 {
    let mut number = 0_u64;
    let open = || target.h1(source);
    let step = |stream: &mut Tls| {
        let mut ask = String::new();
        for _ in 0..20 {
            number += 1;
            ask += &format!("M{number} /made/up/{number} HTTP/1.1\r\nhost: x\r\n\r\n");
        }
        // Closed now and then, when the answers have filled the sockets.
        stream.write_all(ask.as_bytes()).is_ok()
    };
    hold(10, stop, open, step)
}

/// Handshakes that are begun.
fn half_open(source: Ipv4Addr, to: std::net::SocketAddr, stop: &AtomicBool) -> u64 {
    let open = || {
        let mut stream = Target::plain(source, to)?;
        push(&mut stream, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
        Ok(stream)
    };
    hold(300, stop, open, |stream: &mut TcpStream| {
        push(stream, b"\x00")
    })
}

fn half_open_rest(target: &Target, source: Ipv4Addr, stop: &AtomicBool) -> u64 {
    half_open(source, target.rest, stop)
}

fn half_open_link(target: &Target, source: Ipv4Addr, stop: &AtomicBool) -> u64 {
    half_open(source, target.link, stop)
}

/// The reader listens to everything and reads nothing.
fn listeners(target: &Target, source: Ipv4Addr, stop: &AtomicBool) -> u64 {
    let open = || {
        let mut stream = target.h1(source)?;
        push(
            &mut stream,
            target.head("GET /events?since=1", "").as_bytes(),
        );
        Ok(stream)
    };
    hold(200, stop, open, |_: &mut Tls| true)
}

/// The reader asks for the largest list, many times, and reads nothing.
fn unread_lists(target: &Target, source: Ipv4Addr, stop: &AtomicBool) -> u64 {
    let mut number = 0;
    let open = || {
        number += 1;
        let packing = ["", "accept-encoding: gzip\r\n"][number % 2];
        let mut stream = target.h1(source)?;
        push(
            &mut stream,
            target.head("GET /fog/host", packing).repeat(5).as_bytes(),
        );
        Ok(stream)
    };
    hold(100, stop, open, |_: &mut Tls| true)
}

/// The reader filters by a hundred thousand ids.
fn long_lists(target: &Target, source: Ipv4Addr, stop: &AtomicBool) -> u64 {
    let ids = vec!["100000"; 100_000].join(",");
    let body = format!("{{\"id\":[{ids}]}}");
    let more = format!("content-length: {}\r\n", body.len());
    let ask = target.head("GET /fog/host", &more) + &body;
    let open = || {
        let mut stream = target.h1(source)?;
        push(&mut stream, ask.as_bytes());
        Ok(stream)
    };
    hold(20, stop, open, |stream: &mut Tls| {
        push(stream, ask.as_bytes())
    })
}
