//! Replays the corpus of the `wire` fuzz target with a fixed number of mutations of each input, on
//! a stable compiler.

use std::fs;
use std::path::PathBuf;

use foghorn_types::{ByteCount, ChunkId, ManifestId, PartId, TaskId};

use crate::session::Hello;
use crate::wire::{
    AgentMessage, ClientMessage, WireDatagram, WireGoodbye, WireGoodbyeKind, WireKey, WireKind,
    WireOutcome, WireRefusal, WireTerms, decode_agent_message, decode_client_message,
    decode_datagram, decode_goodbye, decode_hello, encode, encode_hello,
};

const MUTATIONS: u32 = 2000;

fn corpus() -> PathBuf {
    PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../fuzz/corpus/wire"
    ))
}

/// No decoder panics, and what one accepts survives being sent again.
fn feed(bytes: &[u8]) {
    if let Ok(message) = decode_client_message(bytes) {
        assert_eq!(decode_client_message(&encode(&message)).unwrap(), message);
    }
    if let Ok(message) = decode_agent_message(bytes) {
        assert_eq!(decode_agent_message(&encode(&message)).unwrap(), message);
    }
    let _ = decode_hello(bytes);
    let _ = decode_datagram(bytes);
    let _ = decode_goodbye(bytes);
}

#[test]
fn the_corpus_and_its_mutations_are_decoded_or_refused() {
    let mut files: Vec<PathBuf> = fs::read_dir(corpus())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(
        files.len() >= 10,
        "the corpus has only {} files",
        files.len()
    );
    for file in files {
        let input = fs::read(&file).unwrap();
        feed(&input);
        let mut noise = 0x9E37_79B9_7F4A_7C15_u64 ^ input.len() as u64;
        let mut next = |below: usize| {
            noise ^= noise << 13;
            noise ^= noise >> 7;
            noise ^= noise << 17;
            (noise >> 11) as usize % below.max(1)
        };
        for _ in 0..MUTATIONS {
            let mut bytes = input.clone();
            for _ in 0..=next(3) {
                let (length, place, value) = (bytes.len(), next(bytes.len()), next(256) as u8);
                match next(4) {
                    0 => bytes.truncate(place),
                    1 if length > 0 => bytes[place] = value,
                    2 if length > 0 => bytes[place] ^= 1 << (value % 8),
                    _ => bytes.insert(place, value),
                }
            }
            feed(&bytes);
        }
    }
}

#[test]
#[ignore = "rewrites fuzz/corpus/wire"]
fn make_the_corpus_anew() {
    let ids = vec![ChunkId::of(b"a"), ChunkId::of(b"b")];
    let (id, manifest) = (ids[0], ManifestId::of(b"m"));
    let text = || "a reason in words".to_owned();
    let hello = Hello {
        task: TaskId::new(7).unwrap(),
        software: "client 1".to_owned(),
        traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned(),
    };
    let terms = WireTerms {
        group: ([239, 255, 1, 7], 49152).into(),
        source: [10, 1, 0, 1].into(),
        source_specific: false,
        symbol_size: 1432,
        key: WireKey {
            session: 7,
            epoch: 1,
            suite: 1,
            secret: [7; 32],
        },
    };
    let samples: Vec<(&str, Vec<u8>)> = vec![
        ("hello", encode_hello(&hello)),
        ("want", encode(&ClientMessage::Want { ids: ids.clone() })),
        (
            "which",
            encode(&ClientMessage::WhichAreStored { ids: ids.clone() }),
        ),
        (
            "client-chunk",
            encode(&ClientMessage::Chunk {
                id,
                plain_len: 1 << 20,
                compressed_len: 4096,
            }),
        ),
        (
            "store-manifest",
            encode(&ClientMessage::StoreManifest { len: 4096 }),
        ),
        (
            "store-part",
            encode(&ClientMessage::StorePart {
                disk: ByteCount::from_mib(1 << 24),
                len: 4096,
            }),
        ),
        (
            "fetch-part",
            encode(&ClientMessage::FetchPart { number: 300 }),
        ),
        (
            "part-stored",
            encode(&AgentMessage::PartStored {
                id: PartId::of(b"p"),
            }),
        ),
        (
            "finished",
            encode(&ClientMessage::Finished {
                outcome: WireOutcome::Complete,
                progress: None,
            }),
        ),
        (
            "failed",
            encode(&ClientMessage::Finished {
                outcome: WireOutcome::Failed { reason: text() },
                progress: None,
            }),
        ),
        (
            "welcome",
            encode(&AgentMessage::Welcome {
                kind: WireKind::Deploy { manifest },
                multicast: true,
            }),
        ),
        (
            "agent-chunk",
            encode(&AgentMessage::Chunk {
                id,
                plain_len: 1 << 20,
                compressed_len: 4096,
            }),
        ),
        (
            "unavailable",
            encode(&AgentMessage::Unavailable { id, reason: text() }),
        ),
        (
            "stored",
            encode(&AgentMessage::Stored {
                stored: vec![true, false, true],
            }),
        ),
        ("durable", encode(&AgentMessage::Durable { ids })),
        (
            "refused",
            encode(&AgentMessage::Refused {
                code: WireRefusal::Busy,
                reason: text(),
            }),
        ),
        (
            "join-multicast",
            encode(&ClientMessage::JoinMulticast {
                chunks: 9,
                wants: vec![0, 1, 2, 3],
            }),
        ),
        (
            "multicast-joined",
            encode(&AgentMessage::MulticastJoined(terms)),
        ),
        (
            "multicast-datagram",
            encode(&WireDatagram::Multicast(vec![1, 2, 3])),
        ),
        (
            "goodbye",
            encode(&WireGoodbye::new(
                WireGoodbyeKind::Failed,
                "the disk is full",
            )),
        ),
    ];
    fs::create_dir_all(corpus()).unwrap();
    for (name, bytes) in samples {
        fs::write(corpus().join(name), bytes).unwrap();
    }
}
