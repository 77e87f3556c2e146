//! Whole sessions of one sender and several receivers on a link without delay, sealed packets and
//! encoded reports included.

use crate::support::{Lan, Spec};
use foghorn_multicast::{ChunkSet, Phase, Rate, Suite};

#[test]
fn one_receiver_without_loss_gets_everything_once() {
    let mut lan = Lan::new(Spec::default());
    lan.run();
    lan.assert_all_complete();
    let status = lan.sender.status();
    assert_eq!(status.phase, Phase::Over);
    assert_eq!(status.payload_bytes, lan.payload());
    assert_eq!(status.repair_bytes, 0);
    assert!(
        status.wire_bytes as f64 <= lan.payload() as f64 * 1.08,
        "{status:?}"
    );
}

#[test]
fn receivers_with_loss_get_everything() {
    for loss in [0.001, 0.01, 0.05, 0.2] {
        let mut lan = Lan::new(Spec {
            receivers: 8,
            loss,
            ..Spec::default()
        });
        lan.run();
        lan.assert_all_complete();
    }
}

#[test]
fn chacha_does_as_well() {
    let mut lan = Lan::new(Spec {
        suite: Suite::ChaCha20Poly1305,
        receivers: 2,
        loss: 0.01,
        chunks: 8,
        ..Spec::default()
    });
    lan.run();
    lan.assert_all_complete();
}

#[test]
fn who_joins_late_takes_the_stream_and_gets_the_rest_afterwards() {
    let mut lan = Lan::new(Spec {
        receivers: 4,
        late: 2,
        chunks: 64,
        rate: Rate::from_megabits(400),
        ..Spec::default()
    });
    lan.run();
    lan.assert_all_complete();
    let status = lan.sender.status();
    assert!(status.pass >= 2, "{status:?}");
    assert!(status.wire_bytes < lan.payload() * 3 / 2, "{status:?}");
}

#[test]
fn who_wants_little_is_sent_little() {
    let wants: ChunkSet = [3, 4, 17]
        .map(foghorn_multicast::SessionChunk)
        .into_iter()
        .collect();
    let mut lan = Lan::new(Spec {
        wants: Some(wants),
        loss: 0.02,
        ..Spec::default()
    });
    lan.run();
    lan.assert_all_complete();
    assert!(lan.sender.status().wire_bytes < lan.payload() / 4);
}
