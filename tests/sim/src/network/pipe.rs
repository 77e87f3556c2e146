//! One direction of a line: a rate, and a queue that drops what it cannot hold.

use serde::{Deserialize, Serialize};

use crate::clock::Nanos;

/// Rate and queue of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipeShape {
    /// Bytes per second on the wire.
    pub rate: u64,
    /// How many bytes may wait.
    pub queue: u64,
}

/// A line that sends one frame after the other.
#[derive(Debug)]
pub struct Pipe {
    shape: PipeShape,
    free_at: Nanos,
    carried: u64,
    dropped: u64,
}

impl Pipe {
    /// An idle line.
    #[must_use]
    pub const fn new(shape: PipeShape) -> Self {
        Self {
            shape,
            free_at: Nanos::ZERO,
            carried: 0,
            dropped: 0,
        }
    }

    /// Hands a frame over. Returns when its last bit has left, or `None` if the queue was full.
    pub fn offer(&mut self, now: Nanos, bytes: usize) -> Option<Nanos> {
        if self.waiting(now) + bytes as u64 > self.shape.queue {
            self.dropped += 1;
            return None;
        }
        self.free_at = self.free_at.max(now) + self.duration(bytes as u64);
        self.carried += bytes as u64;
        Some(self.free_at)
    }

    /// Bytes that are waiting or being sent.
    #[must_use]
    pub fn waiting(&self, now: Nanos) -> u64 {
        (u128::from(self.free_at.since(now).0) * u128::from(self.shape.rate) / 1_000_000_000) as u64
    }

    /// How long the line is busy with so many bytes.
    #[must_use]
    pub fn duration(&self, bytes: u64) -> Nanos {
        Nanos((u128::from(bytes) * 1_000_000_000 / u128::from(self.shape.rate.max(1))) as u64)
    }

    /// Bytes that were accepted so far.
    #[must_use]
    pub fn carried(&self) -> u64 {
        self.carried
    }

    /// Frames that found the queue full.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_leave_at_the_rate_and_the_queue_is_bounded() {
        let mut pipe = Pipe::new(PipeShape {
            rate: 1000,
            queue: 250,
        });
        assert_eq!(pipe.offer(Nanos::ZERO, 100), Some(Nanos::millis(100)));
        assert_eq!(pipe.offer(Nanos::ZERO, 100), Some(Nanos::millis(200)));
        assert_eq!(pipe.offer(Nanos::ZERO, 100), None);
        assert_eq!(
            pipe.offer(Nanos::millis(100), 100),
            Some(Nanos::millis(300))
        );
        assert_eq!((pipe.carried(), pipe.dropped()), (300, 1));
        assert_eq!(
            pipe.offer(Nanos::millis(1000), 10),
            Some(Nanos::millis(1010))
        );
    }
}
