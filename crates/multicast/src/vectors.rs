//! The test vectors of `docs/protocol/multicast.md` are what the code does.

use bytes::Bytes;

use crate::chunks::{ChunkSet, SessionChunk};
use crate::layout::Packer;
use crate::packet::{Body, GroupNumber, Packet, Phase, Symbol, Tick};
use crate::parity::ParityEncoder;
use crate::report::{Deficit, Report, Stage};
use crate::seal::{Epoch, KeyMaterial, Opener, Sealer, SessionTag, Suite};

const PAGE: &str = include_str!("../../../docs/protocol/multicast.md");

/// The page has these bytes as the value of the vector with this name.
fn check(name: &str, bytes: &[u8]) {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let vectors = PAGE.split("## Test vectors").nth(1).unwrap();
    let value = vectors
        .split("```text")
        .filter_map(|block| block.split("```").next())
        .flat_map(|block| block.split("\n\n"));
    let mut value = value.filter_map(|vector| vector.trim().strip_prefix(&format!("{name}:")));
    let on_page: Option<String> = value.next().map(|value| value.split_whitespace().collect());
    assert_eq!(on_page.as_deref(), Some(hex.as_str()), "vector {name:?}");
}

fn key(suite: Suite) -> KeyMaterial {
    let secret = std::array::from_fn(|at| at as u8);
    KeyMaterial {
        session: SessionTag(0x0102_0304),
        epoch: Epoch(5),
        suite,
        secret,
    }
}

#[test]
fn group_and_parity() {
    let mut packer = Packer::new(4 * 32);
    let chunk: Bytes = (0..40).collect();
    assert_eq!(
        packer.push(SessionChunk(7), &Bytes::from_static(b"seven"), 0),
        5
    );
    assert_eq!(packer.push(SessionChunk(9), &chunk, 0), 40);
    let (rope, first) = packer.finish(32);
    assert_eq!(first, SessionChunk(7));
    let parity = ParityEncoder::default().encode(&rope, 32, 2, &mut Vec::new());
    let mut scratch = Vec::new();
    let data = rope.slice(0, rope.len(), &mut scratch);
    check("group", data);
    check("parity symbol 0", &parity[..32]);
    check("parity symbol 1", &parity[32..]);
    let payload = &data[..32];
    let symbol = Symbol {
        group: GroupNumber(258),
        pass: 1,
        data_symbols: 3,
        index: 0,
        first_chunk: SessionChunk(7),
        payload,
    };
    let packet = Packet {
        sequence: 0x0a0b_0c0d_0e0f,
        body: Body::Symbol(symbol),
    };
    let mut body = Vec::new();
    packet.body.encode(&mut body);
    check("body of a symbol", &body);
    for (name, suite) in [
        ("AES-128-GCM", Suite::Aes128Gcm),
        ("ChaCha20-Poly1305", Suite::ChaCha20Poly1305),
    ] {
        let mut datagram = Vec::new();
        Sealer::new(&key(suite))
            .seal(&packet, &mut datagram)
            .unwrap();
        check(&format!("datagram, {name}"), &datagram);
        assert_eq!(Opener::new(&key(suite)).open(&mut datagram), Ok(packet));
    }
}

#[test]
fn tick_and_probe() {
    let mut body = Vec::new();
    Body::Tick(Tick {
        phase: Phase::Settling,
        pass: 2,
        next_group: GroupNumber(300),
        oldest_group: GroupNumber(120),
        report_interval_ms: 25,
    })
    .encode(&mut body);
    check("body of a tick", &body);
    body.clear();
    Body::Probe { padding: 4 }.encode(&mut body);
    check("body of a probe", &body);
}

#[test]
fn reports() {
    let report = Report {
        as_of: 1_000_000,
        expected: 999_000,
        received: 989_000,
        repaired: 9_000,
        rejected: 1,
        socket_drops: 0,
        skipped_groups: 2,
        chunks_in_hand: 3,
        chunks_declared: 512,
        stage: Stage::Disk,
        fill_percent: 70,
        deficits: vec![
            Deficit {
                group: GroupNumber(5200),
                missing: Some(3),
            },
            Deficit {
                group: GroupNumber(5201),
                missing: None,
            },
            Deficit {
                group: GroupNumber(5203),
                missing: Some(1),
            },
        ],
    };
    check("report", &report.encode());
}

#[test]
fn sets() {
    let mut set = ChunkSet::new();
    set.insert_range(0..1000);
    set.insert_range(2000..2001);
    check("set as runs", &set.encode());
    let odd: ChunkSet = (65..100)
        .filter(|number| number % 2 == 1)
        .map(SessionChunk)
        .collect();
    check("set as a bitmap", &odd.encode());
}
