//! How much processor time sender and receiver take; run by hand, prints.
//!
//! `cargo test -p foghorn-multicast --test all -- --ignored --nocapture speed`

use std::time::Duration;

use bytes::Bytes;
use foghorn_multicast::{
    ChunkSet, Epoch, IpVersion, KeyMaterial, Opener, Rate, Receiver, ReceiverAction,
    ReceiverConfig, ReceiverId, Sealer, Sender, SenderAction, SenderConfig, SessionTag, Suite,
    Time,
};

const CHUNKS: u32 = 125;
const CHUNK: usize = 1_000_000;

/// Time that this thread has spent on a processor, whatever else runs beside it.
fn on_processor() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(stat.split(' ').next().unwrap().parse().unwrap())
}

/// Sends 125 MB to one receiver that loses every `lost`-th packet; prints what each end took.
fn run(lost: usize, suite: Suite) {
    let material = KeyMaterial {
        session: SessionTag(1),
        epoch: Epoch(0),
        suite,
        secret: [1; 32],
    };
    let (mut sealer, mut opener) = (Sealer::new(&material), Opener::new(&material));
    let mut now = Time::default();
    let config = SenderConfig {
        max_rate: Some(Rate::from_megabits(1000)),
        ..SenderConfig::new(CHUNKS, 1432, IpVersion::V4)
    };
    let mut sender = Sender::new(config, 1, now).unwrap();
    let mut receiver = Receiver::new(
        ReceiverConfig::new(CHUNKS, 1432),
        ChunkSet::all(CHUNKS),
        1,
        now,
    )
    .unwrap();
    let chunk: Bytes = vec![5; CHUNK].into();
    sender
        .join(ReceiverId(1), ChunkSet::all(CHUNKS), now)
        .unwrap();
    sender.start(now);
    let (mut sending, mut receiving, mut packets) = (Duration::ZERO, Duration::ZERO, 0);
    let mut batch: Vec<u8> = Vec::with_capacity(1 << 20);
    let mut ends = Vec::new();
    loop {
        let start = on_processor();
        let (mut wake, mut over) = (now, false);
        loop {
            match sender.poll(now) {
                SenderAction::Send(packet) => {
                    sealer.seal(&packet, &mut batch).unwrap();
                    ends.push(batch.len());
                }
                SenderAction::Load(number) => sender.chunk(number, Ok(chunk.clone()), now),
                SenderAction::Wait(until) => break wake = until,
                SenderAction::Over => break over = true,
                _ => {}
            }
        }
        sending += on_processor() - start;
        let start = on_processor();
        let mut begin = 0;
        for end in ends.drain(..) {
            packets += 1;
            if packets % lost != 0 {
                receiver.packet(&opener.open(&mut batch[begin..end]).unwrap(), now);
            }
            begin = end;
        }
        batch.clear();
        while let Some(chunk) = receiver.take_chunk() {
            receiver.chunk_done(chunk.number);
        }
        loop {
            match receiver.poll(now) {
                ReceiverAction::Report(report) => sender.report(ReceiverId(1), &report, now),
                ReceiverAction::Have(have) => sender.have(ReceiverId(1), &have),
                _ => break,
            }
        }
        receiving += on_processor() - start;
        if over {
            break;
        }
        now = wake;
    }
    assert!(receiver.is_complete());
    eprintln!(
        "{suite:?}, 1 of {lost} lost: {packets} packets, sender {sending:?}, receiver {receiving:?}"
    );
}

#[test]
#[ignore = "prints times"]
fn how_long_125_megabytes_take() {
    for lost in [usize::MAX, 100, 20] {
        run(lost, Suite::Aes128Gcm);
    }
    run(usize::MAX, Suite::ChaCha20Poly1305);
}
