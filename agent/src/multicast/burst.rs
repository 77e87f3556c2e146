//! Packets on their way to the network, gathered so that one call sends many.

use std::time::{Duration, Instant};

use foghorn_multicast::{Packet, Sealer};
use foghorn_transport::multicast::GroupSender;
use foghorn_types::chain;
use tracing::{error, warn};

/// Most bytes that wait: what one call to the kernel takes.
const FULL: usize = 60_000;
/// A network that has taken nothing for so long will not come back soon.
const BROKEN_AFTER: Duration = Duration::from_secs(3);

/// Sealed packets of one size, the last possibly shorter.
#[derive(Default)]
pub(super) struct Burst {
    bytes: Vec<u8>,
    size: usize,
    failing_since: Option<Instant>,
    refused: u64,
}

impl Burst {
    /// Seals a packet; sends when the burst is full. False when the session has used up its packet
    /// numbers.
    pub(super) fn push(
        &mut self,
        packet: &Packet<'_>,
        sealer: &mut Sealer,
        socket: &GroupSender,
    ) -> bool {
        let start = self.bytes.len();
        let length = match sealer.seal(packet, &mut self.bytes) {
            Ok(length) => length,
            Err(problem) => {
                error!(error = %chain(&problem), "could not seal a packet");
                return false;
            }
        };
        if start == 0 {
            self.size = length;
        } else if length > self.size {
            // Only the last one of a burst may differ, and only by being shorter.
            let longer = self.bytes.split_off(start);
            self.flush(socket);
            (self.bytes, self.size) = (longer, length);
        }
        if length < self.size || self.bytes.len() >= FULL {
            self.flush(socket);
        }
        true
    }

    /// Sends what waits. What the network does not take is lost, as packets are.
    pub(super) fn flush(&mut self, socket: &GroupSender) {
        if self.bytes.is_empty() {
            return;
        }
        match socket.send(&self.bytes, self.size) {
            Ok(sent) => {
                if sent.dropped > 0 && self.refused == 0 {
                    warn!(
                        "the kernel drops packets: the rate is higher than the interface can send"
                    );
                }
                self.refused += sent.dropped;
                self.failing_since = None;
            }
            Err(problem) => {
                if self.failing_since.is_none() {
                    warn!(error = %chain(&problem), "could not send packets to the group");
                }
                self.failing_since.get_or_insert_with(Instant::now);
            }
        }
        self.bytes.clear();
    }

    /// Whether the network has not worked for a while.
    pub(super) fn is_broken(&self) -> bool {
        self.failing_since
            .is_some_and(|since| since.elapsed() > BROKEN_AFTER)
    }
}
