//! What a transfer costs: bytes on the wire over payload, and time over the time that the payload
//! alone would take.

use crate::support::{Lan, Spec};
use foghorn_multicast::Rate;

/// Wire bytes over payload, and the time of the slowest over the payload's at the rate.
fn cost(receivers: u32, loss: f64, chunks: u32) -> (f64, f64) {
    let rate = Rate::from_megabits(200);
    let mut lan = Lan::new(Spec {
        receivers,
        loss,
        rate,
        chunks,
        chunk_size: 1 << 20,
        sealed: false,
        ..Spec::default()
    });
    lan.run();
    lan.assert_all_complete();
    let wire = lan.sender.status().wire_bytes as f64 / lan.payload() as f64;
    let time = lan.slowest().as_secs_f64() / rate.time_for(lan.payload()).as_secs_f64();
    eprintln!(
        "{receivers} receivers, {:.1} % loss: wire {wire:.4}, time {time:.4}",
        loss * 100.0
    );
    (wire, time)
}

#[test]
fn a_transfer_costs_little_more_than_its_payload() {
    let (wire, time) = cost(8, 0.0, 40);
    assert!(wire <= 1.08 && time <= 1.08, "no loss");
    let (wire, time) = cost(8, 0.01, 40);
    assert!(wire <= 1.12 && time <= 1.12, "1 %");
    let (wire, time) = cost(8, 0.05, 100);
    assert!(wire <= 1.20 && time <= 1.20, "5 %");
}

#[test]
fn many_receivers_cost_what_one_does() {
    let (one, many) = (cost(1, 0.0, 16), cost(80, 0.0, 16));
    assert!(many.1 <= one.1 * 1.05 && many.0 <= one.0 * 1.01);
    let lossy = cost(80, 0.01, 16);
    assert!(lossy.0 <= many.0 * 1.05, "repairs");
}
