//! Strangers: made-up methods and paths, wrong tokens, TLS that never goes on, bodies that never end.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use foghorn_tests::rest::Rest;

use foghorn_tests::writers::Gate;

/// Connections that are opened and left half-way, at a time.
const HALF_OPEN: usize = 50;

/// Starts one stranger of each kind against the REST port.
pub(crate) fn start(
    rest: &dyn Fn() -> anyhow::Result<Rest>,
    gate: &Arc<Gate>,
) -> anyhow::Result<Vec<JoinHandle<()>>> {
    let address = rest()?.url.trim_start_matches("https://").to_owned();
    let mut threads = Vec::new();
    let (caller, until) = (rest()?, gate.clone());
    threads.push(std::thread::spawn(move || {
        let mut turn = 0_u64;
        while !until.is_stopped() {
            call(&caller, turn);
            turn += 1;
        }
    }));
    let until = gate.clone();
    threads.push(std::thread::spawn(move || {
        let mut open = Vec::new();
        let mut turn = 0_u64;
        while !until.is_stopped() {
            if open.len() >= HALF_OPEN {
                open.remove(0);
            }
            open.extend(half_open(&address, turn));
            turn += 1;
            std::thread::sleep(Duration::from_millis(20));
        }
    }));
    Ok(threads)
}

/// One request that is nothing but trouble. What is answered does not matter, only what it leaves.
fn call(rest: &Rest, turn: u64) {
    let token = format!("stranger{turn}");
    let wrong: [(&str, &str); 2] = [("fog-api-token", &token), ("fog-user-token", &token)];
    let method = format!("METHOD{turn}");
    let path = format!("/fog/{turn}/{token}?{token}=1");
    let answer = match turn % 5 {
        0 => rest.send_with(&method, "/fog/host", None, &wrong),
        1 => rest.send_with("GET", &path, None, &wrong),
        2 => rest.send_with("GET", "/openapi.json", None, &wrong),
        3 => rest.send_with(
            "POST",
            "/fog/host/create",
            Some(vec![b'['; 100_000]),
            &wrong,
        ),
        _ => rest.send_with(
            "POST",
            "/foghorn/v1/clients/check-in",
            Some(b"{\"mac\":1}".to_vec()),
            &[],
        ),
    };
    if answer.is_err() {
        // The controller is away; there is no hurry.
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A connection that says nothing, or the first bytes of a handshake, or rubbish.
fn half_open(address: &str, turn: u64) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(address).ok()?;
    let hello: &[u8] = match turn % 3 {
        0 => b"",
        1 => &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3],
        _ => b"GET / HTTP/1.1\r\n",
    };
    stream.write_all(hello).ok()?;
    Some(stream)
}
