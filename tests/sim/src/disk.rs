//! A disk that takes its time.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::clock::Nanos;

/// A disk and the chunks that wait for it.
#[derive(Debug)]
pub struct Disk {
    rate: u64,
    free_at: Nanos,
    waiting: VecDeque<(u32, Bytes)>,
    waiting_bytes: u64,
    most_bytes: u64,
}

impl Disk {
    /// An idle disk that writes so many bytes per second.
    #[must_use]
    pub fn new(rate: u64) -> Self {
        Self {
            rate: rate.max(1),
            free_at: Nanos::ZERO,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            most_bytes: 0,
        }
    }

    /// Takes a chunk in; returns when it will be on the disk.
    pub fn push(&mut self, now: Nanos, number: u32, bytes: Bytes) -> Nanos {
        let length = bytes.len() as u64;
        self.waiting_bytes += length;
        self.most_bytes = self.most_bytes.max(self.waiting_bytes);
        self.waiting.push_back((number, bytes));
        self.free_at = self.free_at.max(now)
            + Nanos((u128::from(length) * 1_000_000_000 / u128::from(self.rate)) as u64);
        self.free_at
    }

    /// The chunk that has just been written, in the order of [`Disk::push`].
    pub fn written(&mut self) -> Option<(u32, Bytes)> {
        let (number, bytes) = self.waiting.pop_front()?;
        self.waiting_bytes -= bytes.len() as u64;
        Some((number, bytes))
    }

    /// Chunks that wait to be written.
    pub fn numbers(&self) -> impl Iterator<Item = u32> + '_ {
        self.waiting.iter().map(|(number, _)| *number)
    }

    /// Bytes that wait to be written.
    #[must_use]
    pub fn waiting_bytes(&self) -> u64 {
        self.waiting_bytes
    }

    /// The most that ever waited, in bytes.
    #[must_use]
    pub fn most_bytes(&self) -> u64 {
        self.most_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_take_their_time_and_keep_their_order() {
        let mut disk = Disk::new(1000);
        assert_eq!(
            disk.push(Nanos::ZERO, 7, Bytes::from_static(&[0; 100])),
            Nanos::millis(100)
        );
        assert_eq!(
            disk.push(Nanos::millis(50), 8, Bytes::from_static(&[0; 100])),
            Nanos::millis(200)
        );
        assert!(disk.numbers().eq([7, 8]) && disk.waiting_bytes() == 200);
        assert_eq!(disk.written().map(|(number, _)| number), Some(7));
        assert_eq!(disk.written().map(|(number, _)| number), Some(8));
        assert_eq!((disk.waiting_bytes(), disk.most_bytes()), (0, 200));
    }
}
