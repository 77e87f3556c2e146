//! When a further source is worth its place. Pure: called about once a second.
//!
//! A source is added when the network limits the deploy, calmly and for long enough to come. Whether
//! that was the way to the first source or this machine's own cable shows only when it is there: a
//! source that brings no more in all than before is let go again, and for a while none is tried.

use std::collections::VecDeque;
use std::time::Duration;

/// Seconds in a row in which the network has to be the limit.
const CALM: u32 = 2;
/// Seconds that a new source gets to reach its speed.
const RAMP: u32 = 2;
/// Seconds over which what came before and after is compared.
const MEASURE: u32 = 3;
/// How much more has to come than before.
const GAIN: f64 = 1.1;
/// A deploy that ends sooner is not worth a place.
const WORTH: Duration = Duration::from_secs(4);
/// Seconds without another attempt: after a source that was no gain, doubled each time; after one
/// that was lost; and when there was none.
const AFTER_NO_GAIN: u32 = 60;
const LONGEST: u32 = 960;
const AFTER_LOSS: u32 = 5;
const AFTER_NONE: u32 = 20;

/// What happened in the last second.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// Whether there was work that waited for the network alone.
    pub network_limits: bool,
    /// Compressed bytes that came from all sources.
    pub wire: u64,
    /// How long the rest takes at this speed.
    pub left: Duration,
    /// Further sources that are connected.
    pub further: usize,
    /// Further sources that are looked for or being connected to.
    pub expected: usize,
}

/// What to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    Stay,
    /// Look for one more.
    Add,
    /// Let the newest one go.
    Drop,
}

#[derive(Debug)]
struct Trial {
    /// Bytes in a second before.
    before: f64,
    further: usize,
    seconds: u32,
    bytes: u64,
}

/// See the module page.
#[derive(Debug)]
pub struct Growth {
    most: usize,
    /// Bytes of the latest seconds.
    recent: VecDeque<u64>,
    calm: u32,
    /// Seconds to come without another attempt.
    rest: u32,
    next_rest: u32,
    trial: Option<Trial>,
}

impl Growth {
    /// Never more than so many further sources.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self {
            most,
            recent: VecDeque::new(),
            calm: 0,
            rest: 0,
            next_rest: AFTER_NO_GAIN,
            trial: None,
        }
    }

    /// A further source was connected: from now on it has to show what it is worth.
    pub fn joined(&mut self, further: usize) {
        let before = self.recent.iter().sum::<u64>() as f64 / self.recent.len().max(1) as f64;
        self.trial = Some(Trial {
            before,
            further,
            seconds: 0,
            bytes: 0,
        });
    }

    /// A further source has gone by itself.
    pub fn lost(&mut self) {
        self.trial = None;
        self.rest = self.rest.max(AFTER_LOSS);
    }

    /// Nobody else serves the task.
    pub fn found_none(&mut self) {
        self.rest = self.rest.max(AFTER_NONE);
    }

    pub fn tick(&mut self, seen: &Seen) -> Step {
        self.recent.push_back(seen.wire);
        if self.recent.len() > MEASURE as usize {
            self.recent.pop_front();
        }
        self.calm = if seen.network_limits {
            self.calm + 1
        } else {
            0
        };
        if let Some(trial) = &mut self.trial {
            trial.seconds += 1;
            if trial.seconds > RAMP {
                trial.bytes += seen.wire;
            }
            if trial.seconds < RAMP + MEASURE {
                return Step::Stay;
            }
            return self.judge(seen);
        }
        self.rest = self.rest.saturating_sub(1);
        let worth_it = self.calm >= CALM && seen.left >= WORTH;
        if worth_it && self.rest == 0 && seen.expected == 0 && seen.further < self.most {
            return Step::Add;
        }
        Step::Stay
    }

    fn judge(&mut self, seen: &Seen) -> Step {
        let Some(trial) = self.trial.take() else {
            return Step::Stay;
        };
        let after = trial.bytes as f64 / f64::from(MEASURE);
        if after >= trial.before * GAIN {
            self.next_rest = AFTER_NO_GAIN;
            return Step::Stay;
        }
        self.rest = self.next_rest;
        self.next_rest = (self.next_rest * 2).min(LONGEST);
        match seen.further >= trial.further {
            true => Step::Drop,
            false => Step::Stay,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// What comes in a second through a cable of this machine, from sources with these links.
    struct Lab {
        cable: u64,
        disk: u64,
        links: Vec<u64>,
        growth: Growth,
        further: usize,
        adds: u32,
        drops: u32,
    }

    impl Lab {
        fn new(cable: u64, disk: u64, links: &[u64]) -> Self {
            Self {
                cable,
                disk,
                links: links.to_vec(),
                growth: Growth::new(3),
                further: 0,
                adds: 0,
                drops: 0,
            }
        }

        fn run(&mut self, seconds: u32, left: u64) {
            for _ in 0..seconds {
                let sent: u64 = self.links.iter().take(self.further + 1).sum();
                let wire = sent.min(self.cable).min(self.disk) * MIB;
                let seen = Seen {
                    network_limits: sent.min(self.cable) < self.disk,
                    wire,
                    left: Duration::from_secs(left),
                    further: self.further,
                    expected: 0,
                };
                match self.growth.tick(&seen) {
                    Step::Stay => {}
                    Step::Add if self.further + 1 >= self.links.len() => self.growth.found_none(),
                    Step::Add => {
                        self.adds += 1;
                        self.further += 1;
                        self.growth.joined(self.further);
                    }
                    Step::Drop => {
                        self.drops += 1;
                        self.further -= 1;
                    }
                }
            }
        }
    }

    #[test]
    fn sources_are_added_as_long_as_each_brings_more() {
        let mut lab = Lab::new(120, 500, &[25, 25, 25, 25, 25]);
        lab.run(60, 100);
        assert_eq!(
            (lab.further, lab.drops),
            (3, 0),
            "and never more than allowed"
        );
    }

    #[test]
    fn a_source_that_brings_nothing_is_let_go_and_not_tried_again_soon() {
        let mut lab = Lab::new(25, 500, &[25, 25]);
        lab.run(60, 100);
        assert_eq!((lab.further, lab.adds, lab.drops), (0, 1, 1));
        lab.run(3600, 100);
        assert!(lab.adds <= 8, "{} attempts in an hour", lab.adds);
        assert_eq!(lab.adds, lab.drops);
    }

    #[test]
    fn a_slow_disk_needs_no_further_source() {
        let mut lab = Lab::new(120, 20, &[25, 25]);
        lab.run(60, 100);
        assert_eq!(lab.adds, 0);
    }

    #[test]
    fn a_source_that_makes_the_disk_the_limit_is_kept() {
        let mut lab = Lab::new(120, 40, &[25, 25, 25]);
        lab.run(600, 100);
        assert_eq!((lab.further, lab.adds, lab.drops), (1, 1, 0));
    }

    #[test]
    fn the_end_of_a_deploy_is_not_worth_a_place() {
        let mut lab = Lab::new(120, 500, &[25, 25]);
        lab.run(60, 3);
        assert_eq!(lab.adds, 0);
    }

    #[test]
    fn after_a_loss_there_is_a_pause() {
        let mut lab = Lab::new(120, 500, &[25, 25, 25]);
        lab.run(4, 100);
        assert_eq!(lab.further, 1);
        lab.further = 0;
        lab.growth.lost();
        lab.run(AFTER_LOSS - 1, 100);
        assert_eq!(lab.adds, 1);
        lab.run(2, 100);
        assert_eq!(lab.adds, 2);
    }
}
