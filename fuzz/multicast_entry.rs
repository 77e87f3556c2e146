//! What the multicast fuzz target calls, and what must hold whatever it is given. Shared with the
//! replay of the corpus.

use std::time::Duration;

use foghorn_multicast::{
    Body, ChunkSet, Epoch, KeyMaterial, Opener, Packet, Receiver, ReceiverAction, ReceiverConfig,
    Report, SessionTag, Suite, Time,
};

const CHUNKS: u32 = 500;
const SYMBOL: usize = 32;
const MEMORY: usize = 64 << 10;

/// No decoder panics; what one accepts survives being sent again; a forged packet is refused; a
/// receiver bears any packets.
pub(crate) fn multicast(input: &[u8]) {
    if let Ok(body) = Body::decode(input) {
        let mut again = Vec::new();
        body.encode(&mut again);
        assert_eq!(Body::decode(&again), Ok(body));
    }
    if let Ok(report) = Report::decode(input) {
        assert_eq!(Report::decode(&report.encode()), Ok(report));
    }
    if let Ok(set) = ChunkSet::decode(input, CHUNKS) {
        assert_eq!(ChunkSet::decode(&set.encode(), CHUNKS), Ok(set));
    }
    let key = KeyMaterial {
        session: SessionTag(1),
        epoch: Epoch(0),
        suite: Suite::Aes128Gcm,
        secret: [1; 32],
    };
    assert!(Opener::new(&key).open(&mut input.to_vec()).is_err());
    receive(input);
}

/// Takes the input for bodies of packets, each after a byte with its length, and gives them to a
/// receiver.
fn receive(mut input: &[u8]) {
    let mut now = Time::default();
    let config = ReceiverConfig {
        memory: MEMORY,
        ..ReceiverConfig::new(CHUNKS, SYMBOL)
    };
    let mut receiver = Receiver::new(config, ChunkSet::all(CHUNKS), 1, now)
        .expect("the session is a possible one");
    let mut sequence = 0;
    while let Some((length, rest)) = input.split_first() {
        let (body, after) = rest.split_at(usize::from(*length).min(rest.len()));
        input = after;
        sequence += 1;
        now = now + Duration::from_millis(u64::from(*length) % 7);
        let Ok(body) = Body::decode(body) else {
            continue;
        };
        receiver.packet(&Packet { sequence, body }, now);
        assert!(receiver.memory() <= MEMORY, "{} bytes", receiver.memory());
        while let Some(chunk) = receiver.take_chunk() {
            if chunk.len() % 2 == 0 {
                receiver.chunk_done(chunk.number);
            } else {
                receiver.chunk_bad(chunk.number);
            }
        }
        for _ in 0..4 {
            match receiver.poll(now) {
                ReceiverAction::Report(report) => {
                    let bytes = report.encode();
                    assert_eq!(Report::decode(&bytes), Ok(report));
                }
                ReceiverAction::Wait(until) => {
                    assert!(until >= now);
                    break;
                }
                ReceiverAction::Have(_) | ReceiverAction::NotHeard(_) => {}
            }
        }
    }
}
