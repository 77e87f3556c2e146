//! Replays the corpus of the `multicast` fuzz target with a fixed number of mutations of each
//! input, on a stable compiler.

#[path = "../../../../fuzz/multicast_entry.rs"]
mod multicast_entry;

use std::fs;
use std::path::PathBuf;

use bytes::Bytes;
use foghorn_multicast::{
    ChunkSet, Deficit, GroupNumber, IpVersion, ReceiverId, Report, Sender, SenderAction,
    SenderConfig, SessionChunk, Time,
};
use multicast_entry::multicast;

const MUTATIONS: u32 = 500;

fn corpus() -> PathBuf {
    PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../fuzz/corpus/multicast"
    ))
}

#[test]
fn the_corpus_and_its_mutations_are_borne() {
    let mut files: Vec<PathBuf> = fs::read_dir(corpus())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(
        files.len() >= 4,
        "the corpus has only {} files",
        files.len()
    );
    for (seed, file) in (1..).zip(files) {
        let input = fs::read(&file).unwrap();
        multicast(&input);
        let mut random = fastrand::Rng::with_seed(seed);
        for number in 0..MUTATIONS {
            let mut bytes = input.clone();
            for _ in 0..random.usize(1..5) {
                let at = random.usize(..bytes.len());
                match random.u8(..4) {
                    0 => bytes.truncate(at.max(1)),
                    1 => bytes[at] ^= 1 << random.u8(..8),
                    2 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][random.usize(..5)],
                    _ => bytes.insert(at, random.u8(..)),
                }
            }
            let result = std::panic::catch_unwind(|| multicast(&bytes));
            assert!(
                result.is_ok(),
                "mutation {number} of {} panics",
                file.display()
            );
        }
    }
}

/// The packets of a small session, each after its length.
fn session() -> Vec<u8> {
    let mut now = Time::from_micros(1);
    let config = SenderConfig {
        data_symbols: 4,
        ..SenderConfig::new(500, 32, IpVersion::V4)
    };
    let mut sender = Sender::new(config, 1, now).unwrap();
    let wants: ChunkSet = [3, 4, 9].map(SessionChunk).into_iter().collect();
    sender.join(ReceiverId(1), wants, now).unwrap();
    sender.start(now);
    let mut out = Vec::new();
    while out.len() < 1500 {
        match sender.poll(now) {
            SenderAction::Send(packet) => {
                out.push(packet.body.encoded_len() as u8);
                packet.body.encode(&mut out);
            }
            SenderAction::Load(number) => {
                sender.chunk(number, Ok(Bytes::from(vec![number.0 as u8; 100])), now)
            }
            SenderAction::Wait(until) => now = until,
            _ => {}
        }
    }
    out
}

#[test]
#[ignore = "rewrites fuzz/corpus/multicast"]
fn make_the_corpus_anew() {
    let deficits = [3, 4, 70_000]
        .map(|n| Deficit {
            group: GroupNumber(n),
            missing: Some(2),
        })
        .to_vec();
    let report = Report {
        as_of: 1 << 30,
        expected: 70,
        received: 60,
        deficits,
        ..Report::default()
    };
    let runs: ChunkSet = [1, 2, 3, 90, 400].map(SessionChunk).into_iter().collect();
    let odd: ChunkSet = (0..300).filter(|n| n % 2 == 1).map(SessionChunk).collect();
    let samples = [
        ("session", session()),
        ("report", report.encode()),
        ("runs", runs.encode()),
        ("bitmap", odd.encode()),
    ];
    fs::create_dir_all(corpus()).unwrap();
    for (name, bytes) in samples {
        fs::write(corpus().join(name), bytes).unwrap();
    }
}
