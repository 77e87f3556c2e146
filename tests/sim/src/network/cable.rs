//! The cable from the switch to one machine: loss, delay, and everything else that happens to a
//! packet on the way.

use fastrand::Rng;
use serde::{Deserialize, Serialize};

use super::{Loss, LossState, Pipe, PipeShape};
use crate::clock::Nanos;

/// How a cable behaves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CableShape {
    /// Rate and queue of the switch's port.
    pub pipe: PipeShape,
    /// Loss of multicast packets on this cable alone.
    pub loss: Loss,
    /// Delay in microseconds, on top of the time that the rate takes.
    pub delay_us: u32,
    /// Up to so many microseconds more, packet by packet; packets may overtake each other when it
    /// is large.
    pub jitter_us: u32,
    /// Share of packets that are held up by `reorder_us`.
    pub reorder: f64,
    /// How long a packet is held up that others overtake, in microseconds.
    pub reorder_us: u32,
    /// Share of packets that come twice.
    pub duplicate: f64,
    /// Share of packets that come with bits changed.
    pub garble: f64,
    /// Nothing passes, either way, within these spans of milliseconds.
    pub cuts_ms: Vec<(u32, u32)>,
}

impl CableShape {
    /// A cable on which nothing goes wrong.
    #[must_use]
    pub fn clean(pipe: PipeShape) -> Self {
        Self {
            pipe,
            loss: Loss::None,
            delay_us: 100,
            jitter_us: 0,
            reorder: 0.0,
            reorder_us: 0,
            duplicate: 0.0,
            garble: 0.0,
            cuts_ms: Vec::new(),
        }
    }
}

/// A packet that comes out of a cable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// When.
    pub at: Nanos,
    /// Whether bits of it were changed on the way.
    pub garbled: bool,
}

/// A cable and what is on it.
#[derive(Debug)]
pub struct Cable {
    shape: CableShape,
    pipe: Pipe,
    loss: LossState,
    rng: Rng,
    lost: u64,
}

impl Cable {
    /// An idle cable. The same seed makes it do the same again.
    #[must_use]
    pub fn new(shape: CableShape, seed: u64) -> Self {
        let (pipe, loss) = (Pipe::new(shape.pipe), LossState::new(shape.loss));
        Self {
            shape,
            pipe,
            loss,
            rng: Rng::with_seed(seed),
            lost: 0,
        }
    }

    /// Whether the cable is plugged in.
    #[must_use]
    pub fn is_whole(&self, now: Nanos) -> bool {
        self.whole_from(now) == now
    }

    /// The first time from `now` on at which the cable is plugged in.
    #[must_use]
    pub fn whole_from(&self, now: Nanos) -> Nanos {
        let cut = |at: Nanos| {
            let spans = self
                .shape
                .cuts_ms
                .iter()
                .map(|&(from, to)| (Nanos::millis(from.into()), Nanos::millis(to.into())));
            spans
                .filter(|(from, to)| (*from..*to).contains(&at))
                .map(|(_, to)| to)
                .max()
        };
        std::iter::successors(Some(now), |&at| cut(at))
            .last()
            .unwrap_or(now)
    }

    /// Sends a datagram of the group towards the machine: its arrivals, none if it is lost, two if
    /// it is duplicated.
    pub fn carry(&mut self, now: Nanos, bytes: usize) -> [Option<Arrival>; 2] {
        let lost = self.loss.loses(now, &mut self.rng);
        let Some(out) = self
            .pipe
            .offer(now, bytes)
            .filter(|_| !lost && self.is_whole(now))
        else {
            self.lost += 1;
            return [None, None];
        };
        let first = self.arrival(out);
        let again = self.chance(self.shape.duplicate).then(|| self.arrival(out));
        [Some(first), again]
    }

    /// Sends a segment of the machine's QUIC connection; `None` if the port's queue is full. Loss
    /// is left to the model of the connection, which repeats what was lost.
    pub fn carry_unicast(&mut self, now: Nanos, bytes: usize) -> Option<Nanos> {
        self.pipe.offer(now, bytes).map(|out| out + self.one_way())
    }

    /// Time that a small message takes in either direction.
    #[must_use]
    pub fn one_way(&self) -> Nanos {
        Nanos::micros(u64::from(self.shape.delay_us))
    }

    /// Whether something with this probability happens now.
    pub fn chance(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.rng.f64() < probability
    }

    /// Randomness of this cable, for the bits that it changes.
    pub fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }

    /// Packets of the group that did not arrive.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost
    }

    fn arrival(&mut self, out: Nanos) -> Arrival {
        let mut at = out + self.one_way();
        if self.shape.jitter_us > 0 {
            at += Nanos::micros(self.rng.u64(0..=u64::from(self.shape.jitter_us)));
        }
        if self.chance(self.shape.reorder) {
            at += Nanos::micros(u64::from(self.shape.reorder_us));
        }
        Arrival {
            at,
            garbled: self.chance(self.shape.garble),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAST: PipeShape = PipeShape {
        rate: 1_000_000,
        queue: 100_000,
    };

    #[test]
    fn a_cut_lets_nothing_through_and_heals() {
        let shape = CableShape {
            cuts_ms: vec![(10, 20)],
            ..CableShape::clean(FAST)
        };
        let mut cable = Cable::new(shape, 1);
        let arrives = |cable: &mut Cable, ms| cable.carry(Nanos::millis(ms), 100)[0].is_some();
        assert_eq!(
            [9, 10, 19, 20].map(|ms| arrives(&mut cable, ms)),
            [true, false, false, true]
        );
        assert_eq!(cable.lost(), 2);
    }

    #[test]
    fn packets_double_overtake_and_break() {
        let shape = CableShape {
            duplicate: 0.1,
            reorder: 0.1,
            reorder_us: 3000,
            garble: 0.1,
            ..CableShape::clean(PipeShape {
                rate: 1 << 40,
                queue: 1 << 40,
            })
        };
        let mut cable = Cable::new(shape, 2);
        let arrivals: Vec<Arrival> = (0..1000)
            .flat_map(|n| cable.carry(Nanos::micros(n * 1000), 100))
            .flatten()
            .collect();
        let overtaken = arrivals
            .windows(2)
            .filter(|pair| pair[1].at < pair[0].at)
            .count();
        let garbled = arrivals.iter().filter(|arrival| arrival.garbled).count();
        assert!((1050..1150).contains(&arrivals.len()), "{}", arrivals.len());
        assert!(
            overtaken > 50 && garbled > 50,
            "{overtaken} overtaken, {garbled} garbled"
        );
    }
}
