//! One direction of a machine's QUIC connection: streams that lose nothing and keep their order,
//! datagrams that may get lost.

use crate::clock::Nanos;
use crate::network::Cable;

/// How long QUIC takes to notice a loss and to repeat what was lost, beside the delay of the cable.
const REPEAT: Nanos = Nanos::millis(10);

/// One direction of a connection.
#[derive(Debug, Default)]
pub(super) struct Channel {
    last: Nanos,
}

impl Channel {
    /// When a message on a stream arrives; after those that were sent before it, and after a cut
    /// has healed.
    pub(super) fn stream(&mut self, now: Nanos, cable: &mut Cable, loss: f64) -> Nanos {
        let mut at = cable.whole_from(now) + cable.one_way();
        while cable.chance(loss) {
            at += REPEAT;
        }
        self.last = self.last.max(at);
        self.last
    }

    /// When a datagram arrives, if it does.
    pub(super) fn datagram(&self, now: Nanos, cable: &mut Cable, loss: f64) -> Option<Nanos> {
        (cable.is_whole(now) && !cable.chance(loss)).then(|| now + cable.one_way())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{CableShape, PipeShape};

    #[test]
    fn a_cut_delays_streams_and_eats_datagrams() {
        let shape = CableShape {
            delay_us: 1000,
            cuts_ms: vec![(10, 30), (30, 40)],
            ..CableShape::clean(PipeShape {
                rate: 1000,
                queue: 1000,
            })
        };
        let mut cable = Cable::new(shape, 1);
        let mut channel = Channel::default();
        assert_eq!(
            channel.datagram(Nanos::millis(5), &mut cable, 0.0),
            Some(Nanos::millis(6))
        );
        assert_eq!(channel.datagram(Nanos::millis(15), &mut cable, 0.0), None);
        assert_eq!(
            channel.stream(Nanos::millis(15), &mut cable, 0.0),
            Nanos::millis(41)
        );
        assert_eq!(
            channel.stream(Nanos::millis(16), &mut cable, 0.0),
            Nanos::millis(41)
        );
        assert!(channel.stream(Nanos::millis(50), &mut cable, 0.5) >= Nanos::millis(51));
    }
}
