//! What a machine fetches over its own QUIC connection: a few segments on the way at a time,
//! sharing the agent's line with the stream. While the stream goes on, all fetches together may
//! have a small share of the line.

use std::collections::VecDeque;

use crate::clock::Nanos;

/// Segments that a connection has on the way at most.
const IN_FLIGHT: u32 = 4;

/// Bytes of a segment on the wire beside its payload: headers, and QUIC's own.
pub(super) const SEGMENT_OVERHEAD: usize = 42 + 32;

/// A piece of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// Number of the chunk.
    pub(super) chunk: u32,
    /// Payload bytes of this segment.
    pub(super) bytes: u32,
}

/// The agent's end of a machine's fetches.
#[derive(Debug, Default)]
pub(super) struct Feed {
    wanted: VecDeque<(u32, u32)>,
    lost: VecDeque<Segment>,
    offset: u32,
    in_flight: u32,
}

impl Feed {
    /// Adds a chunk of so many bytes.
    pub(super) fn want(&mut self, chunk: u32, bytes: u32) {
        self.wanted.push_back((chunk, bytes));
    }

    /// Whether a segment may go now.
    #[must_use]
    pub(super) fn is_ready(&self) -> bool {
        self.in_flight < IN_FLIGHT && !(self.wanted.is_empty() && self.lost.is_empty())
    }

    /// The segment that goes next, of at most `most` bytes.
    #[must_use]
    pub(super) fn peek(&self, most: u32) -> Option<Segment> {
        if !self.is_ready() {
            return None;
        }
        if let Some(&segment) = self.lost.front() {
            return Some(segment);
        }
        let &(chunk, length) = self.wanted.front()?;
        Some(Segment {
            chunk,
            bytes: (length - self.offset).min(most),
        })
    }

    /// [`Feed::peek`]'s segment has gone.
    pub(super) fn sent(&mut self, segment: Segment) {
        self.in_flight += 1;
        if self.lost.pop_front().is_some() {
            return;
        }
        self.offset += segment.bytes;
        if self
            .wanted
            .front()
            .is_some_and(|&(_, length)| self.offset >= length)
        {
            self.wanted.pop_front();
            self.offset = 0;
        }
    }

    /// A segment was lost; it goes again.
    pub(super) fn lost(&mut self, segment: Segment) {
        self.acknowledged();
        self.lost.push_back(segment);
    }

    /// A segment has arrived.
    pub(super) fn acknowledged(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }
}

/// The share of the line that fetches may have, as a bucket of bytes.
#[derive(Debug)]
pub(super) struct Share {
    bytes: f64,
    at: Nanos,
}

impl Share {
    /// An empty bucket.
    #[must_use]
    pub(super) const fn new() -> Self {
        Self {
            bytes: 0.0,
            at: Nanos::ZERO,
        }
    }

    /// Takes so many bytes out if they are there; `rate` is in bytes per second. Otherwise the time
    /// at which they will be.
    ///
    /// # Errors
    ///
    /// When there are too few: the span to wait.
    pub(super) fn take(&mut self, now: Nanos, rate: f64, bytes: usize) -> Result<(), Nanos> {
        let most = 4.0 * bytes as f64;
        self.bytes = (self.bytes + now.since(self.at).as_secs() * rate).min(most);
        self.at = now;
        let missing = bytes as f64 - self.bytes;
        if missing > 0.0 {
            return Err(Nanos((missing / rate * 1e9) as u64 + 1));
        }
        self.bytes -= bytes as f64;
        Ok(())
    }
}

impl Default for Share {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_go_in_segments_and_few_at_a_time() {
        let mut feed = Feed::default();
        feed.want(3, 250);
        feed.want(4, 100);
        let mut sent = Vec::new();
        while let Some(segment) = feed.peek(100) {
            feed.sent(segment);
            sent.push((segment.chunk, segment.bytes));
        }
        assert_eq!(sent, [(3, 100), (3, 100), (3, 50), (4, 100)]);
        feed.want(5, 10);
        assert_eq!(feed.peek(100), None);
        feed.lost(Segment {
            chunk: 3,
            bytes: 50,
        });
        assert_eq!(
            feed.peek(100),
            Some(Segment {
                chunk: 3,
                bytes: 50
            })
        );
        feed.sent(Segment {
            chunk: 3,
            bytes: 50,
        });
        feed.acknowledged();
        assert_eq!(
            feed.peek(100),
            Some(Segment {
                chunk: 5,
                bytes: 10
            })
        );
    }

    #[test]
    fn a_share_is_what_it_says() {
        let (mut share, mut now, mut taken) = (Share::new(), Nanos::ZERO, 0);
        while now < Nanos::millis(10_000) {
            match share.take(now, 1000.0, 100) {
                Ok(()) => taken += 100,
                Err(span) => now += span,
            }
        }
        assert!((9_800..=10_200).contains(&taken), "{taken}");
    }
}
