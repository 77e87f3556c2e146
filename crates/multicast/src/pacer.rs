//! When the next packet may go.

use std::time::Duration;

use crate::rate::Rate;
use crate::time::Time;

/// Tokens in bytes on the wire. Filled at the rate, never above the burst; a packet may overdraw.
#[derive(Debug)]
pub(crate) struct Pacer {
    rate: Rate,
    /// How long a late driver may catch up for.
    catch_up: Duration,
    /// Millionths of a byte, so that no rounding is lost.
    tokens: i128,
    filled: Time,
    /// Tokens above the burst, which come back slowly.
    arrears: i128,
    makes_up: bool,
    /// Bytes that went over the same line and that the stream has not given way to yet.
    beside: u64,
}

const SCALE: i128 = 1_000_000;
/// Of a million bytes that the stream may take, so many are left alone: no two clocks run at the
/// same speed, and a queue that is filled as fast as it empties never becomes shorter.
const LEEWAY_PPM: i128 = 1000;
/// Most that the stream gives way to what is said beside it, of a million of its own bytes.
const BESIDE_PPM: u64 = 20_000;
/// No more than this is remembered of what was said beside the stream: a chunk for one who left it,
/// and some.
const MOST_BESIDE: u64 = 2 << 20;
/// What a driver was late for beyond its burst is made up for as long as it is no more than this, a
/// little faster than the rate: a busy machine is late by tens of milliseconds now and then, and
/// the line was idle meanwhile. Only at a rate that is known to be the right one: where it is
/// searched for, what goes beyond it would be taken for the answer.
const ARREARS: Duration = Duration::from_millis(40);
const FASTER: i128 = 8;
/// No burst is smaller: two of the largest batches that the kernel takes at once.
const SMALLEST_BURST: u64 = 3200;

impl Pacer {
    pub(crate) fn new(rate: Rate, catch_up: Duration, now: Time) -> Self {
        Self {
            rate,
            catch_up,
            tokens: 0,
            filled: now,
            arrears: 0,
            makes_up: false,
            beside: 0,
        }
    }

    pub(crate) const fn rate(&self) -> Rate {
        self.rate
    }

    /// From now on at this rate.
    pub(crate) fn set_rate(&mut self, rate: Rate, now: Time) {
        self.fill(now);
        self.rate = rate;
        self.tokens = self.tokens.min(self.burst());
        self.arrears = 0;
    }

    /// Whether lost time is made up for from now on.
    pub(crate) fn make_up(&mut self, makes_up: bool) {
        self.makes_up = makes_up;
    }

    /// Whether a packet may go now. One that is sent must be told by [`sent`](Self::sent).
    pub(crate) fn is_open(&mut self, now: Time) -> bool {
        self.fill(now);
        self.tokens > 0
    }

    pub(crate) fn sent(&mut self, bytes: u64) {
        let gives_way = self.beside.min(bytes * BESIDE_PPM / 1_000_000);
        self.beside -= gives_way;
        self.tokens -= i128::from(bytes) * (SCALE + LEEWAY_PPM) + i128::from(gives_way) * SCALE;
    }

    /// So many bytes go over the same line beside the stream: the rate is for both together, as
    /// long as this is little.
    pub(crate) fn beside(&mut self, bytes: u64) {
        self.beside = self.beside.saturating_add(bytes).min(MOST_BESIDE);
    }

    /// When there will be tokens for `quantum`'s worth of packets: waking for each single one would
    /// cost too much.
    pub(crate) fn opens_at(&self, quantum: Duration) -> Time {
        let wanted = (i128::from(self.rate.bytes_in(quantum)) * SCALE).clamp(SCALE, self.burst());
        let lacking = (wanted - self.tokens).max(0);
        let micros = lacking.div_euclid(i128::from(self.rate.bytes_per_second().max(1))) + 1;
        self.filled + Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    fn burst(&self) -> i128 {
        i128::from(self.rate.bytes_in(self.catch_up).max(SMALLEST_BURST)) * SCALE
    }

    fn fill(&mut self, now: Time) {
        let passed = now.since(self.filled).as_micros() as i128;
        let gained = i128::from(self.rate.bytes_per_second()) * passed;
        let back = self.arrears.min(gained / FASTER);
        let tokens = self.tokens + gained + back;
        self.tokens = tokens.min(self.burst());
        let most = if self.makes_up {
            i128::from(self.rate.bytes_in(ARREARS)) * SCALE
        } else {
            0
        };
        self.arrears = (self.arrears - back + tokens - self.tokens).min(most);
        self.filled = self.filled.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes sent in `span` by a driver that always wakes `late` after it was told to.
    /// What a driver sends that is always late, while so many of a million bytes go beside it.
    fn bytes_in(rate: Rate, span: Duration, late: Duration, beside_ppm: u64) -> u64 {
        let (mut now, mut bytes) = (Time::default(), 0);
        let mut pacer = Pacer::new(rate, Duration::from_millis(5), now);
        while now.since(Time::default()) < span {
            while pacer.is_open(now) {
                pacer.sent(1514);
                bytes += 1514;
            }
            let next = pacer.opens_at(Duration::from_millis(1)) + late;
            pacer.beside(rate.share_ppm(beside_ppm).bytes_in(next.since(now)));
            now = next;
        }
        bytes
    }

    #[test]
    fn keeps_the_rate_also_when_the_driver_is_late() {
        for megabits in [1, 10, 200, 1000, 10_000] {
            let rate = Rate::from_megabits(megabits);
            for late in [0, 50, 2000] {
                let bytes =
                    bytes_in(rate, Duration::from_secs(2), Duration::from_micros(late), 0) as f64;
                let share = bytes / (2 * rate.bytes_per_second()) as f64;
                assert!(
                    (0.99..1.02).contains(&share),
                    "{rate}, {late} µs late: {share}"
                );
            }
        }
    }

    #[test]
    fn gives_way_to_a_little() {
        let rate = Rate::from_megabits(100);
        let share = |beside_ppm| {
            bytes_in(rate, Duration::from_secs(1), Duration::ZERO, beside_ppm) as f64
                / rate.bytes_per_second() as f64
        };
        assert!((0.997..1.001).contains(&share(0)), "{}", share(0));
        assert!((0.987..0.991).contains(&share(10_000)), "{}", share(10_000));
        assert!(
            (0.977..0.981).contains(&share(500_000)),
            "{}",
            share(500_000)
        );
    }

    #[test]
    fn makes_up_for_hiccups() {
        let (rate, second) = (Rate::from_megabits(200), Duration::from_secs(1));
        let (mut now, mut bytes) = (Time::default(), 0);
        let mut pacer = Pacer::new(rate, Duration::from_millis(5), now);
        pacer.make_up(true);
        let mut hiccup_at = Time::default() + Duration::from_millis(100);
        while now.since(Time::default()) < second {
            while pacer.is_open(now) {
                pacer.sent(1514);
                bytes += 1514;
            }
            now = pacer.opens_at(Duration::from_millis(1));
            if now >= hiccup_at {
                now = now + Duration::from_millis(25);
                hiccup_at = now + Duration::from_millis(275);
            }
        }
        let share = bytes as f64 / rate.bytes_per_second() as f64;
        assert!((0.993..1.001).contains(&share), "{share}");
    }

    #[test]
    fn a_long_pause_is_not_made_up_for() {
        let (rate, mut now) = (Rate::from_megabits(100), Time::default());
        let mut pacer = Pacer::new(rate, Duration::from_millis(5), now);
        now = now + Duration::from_secs(10);
        let mut burst = 0;
        while pacer.is_open(now) {
            pacer.sent(1514);
            burst += 1514;
        }
        assert!(
            burst <= rate.bytes_in(Duration::from_millis(5)) + 1514,
            "{burst}"
        );
    }
}
