//! Virtual time, and the queue of what is going to happen.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::ops::{Add, AddAssign, Sub};

use foghorn_multicast::Time;

/// Nanoseconds of virtual time since the start of the run; also a span of it. Finer than the
/// machines' microseconds, so that the rate of a line is exact to a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nanos(pub u64);

impl Nanos {
    /// The start of the run.
    pub const ZERO: Self = Self(0);

    /// A span of milliseconds.
    #[must_use]
    pub const fn millis(ms: u64) -> Self {
        Self(ms * 1_000_000)
    }

    /// A span of microseconds.
    #[must_use]
    pub const fn micros(us: u64) -> Self {
        Self(us * 1000)
    }

    /// In seconds, for people and ratios.
    #[must_use]
    pub fn as_secs(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// The clock that the machines under test see: microseconds, rounded down.
    #[must_use]
    pub const fn machine_time(self) -> Time {
        Time::from_micros(self.0 / 1000)
    }

    /// The first instant at which a machine's clock shows `time`.
    #[must_use]
    pub const fn of_machine(time: Time) -> Self {
        Self(time.micros().saturating_mul(1000))
    }

    /// `self - other`, zero if that is negative.
    #[must_use]
    pub const fn since(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Add for Nanos {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl AddAssign for Nanos {
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}

impl Sub for Nanos {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}

struct Entry<E> {
    at: Nanos,
    order: u64,
    event: E,
}

// The heap gives the greatest first: the earliest is the greatest. Among equals, first come, first
// served.
impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<E> Eq for Entry<E> {}

/// Events in the order of their time; those of one instant in the order in which they were
/// scheduled, so that a run repeats.
pub struct Agenda<E> {
    heap: BinaryHeap<Entry<E>>,
    order: u64,
    now: Nanos,
}

impl<E> Default for Agenda<E> {
    fn default() -> Self {
        Self {
            heap: BinaryHeap::new(),
            order: 0,
            now: Nanos::ZERO,
        }
    }
}

impl<E> Agenda<E> {
    /// The time of the event that was taken last.
    #[must_use]
    pub fn now(&self) -> Nanos {
        self.now
    }

    /// Schedules an event; one in the past happens now.
    pub fn at(&mut self, at: Nanos, event: E) {
        self.order += 1;
        self.heap.push(Entry {
            at: at.max(self.now),
            order: self.order,
            event,
        });
    }

    /// Schedules an event a span from now.
    pub fn after(&mut self, span: Nanos, event: E) {
        self.at(self.now + span, event);
    }

    /// The next event; the clock goes to its time.
    pub fn take(&mut self) -> Option<E> {
        let entry = self.heap.pop()?;
        self.now = entry.at;
        Some(entry.event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_by_time_and_equals_in_order() {
        let mut agenda = Agenda::default();
        agenda.at(Nanos(5), 'c');
        agenda.at(Nanos(1), 'a');
        agenda.at(Nanos(5), 'd');
        agenda.at(Nanos(2), 'b');
        let order: String = std::iter::from_fn(|| agenda.take()).collect();
        assert_eq!(order, "abcd");
        assert_eq!(agenda.now(), Nanos(5));
    }

    #[test]
    fn the_past_is_now() {
        let mut agenda = Agenda::default();
        agenda.at(Nanos(9), 1);
        agenda.take();
        agenda.at(Nanos(3), 2);
        assert_eq!(agenda.take(), Some(2));
        assert_eq!(agenda.now(), Nanos(9));
    }
}
