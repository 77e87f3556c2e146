//! Finding the rate that the group sustains.
//!
//! What most receivers lose together is congestion when it goes away at a lower rate, or when as
//! much arrives at the lower rate as did before; otherwise it is random loss, which is not a reason
//! to send more slowly. So loss is put to the test: the rate is lowered for a moment and the two
//! are compared.

use std::time::Duration;

use crate::random::Random;
use crate::rate::Rate;
use crate::time::Time;

/// No session is slower, but for a test.
const LEAST: Rate = Rate::from_megabits(1);
/// How often the rate is looked at.
const STEP: Duration = Duration::from_millis(100);
/// More loss than is tolerated by this is put to the test.
const SUSPICIOUS_PPM: u32 = 20_000;
/// No link that is worth sending to loses more at random.
const MOST_TOLERATED_PPM: u32 = 300_000;
/// Loss that grows in a test by a quarter of itself and this is not random.
const WORSE_PPM: u32 = 50_000;
/// What a test leaves of the rate.
const TEST_SHARE_PPM: u64 = 850_000;
/// A test's reports are believed after this: those before are about packets sent at the old rate.
const TEST_BLIND: Duration = Duration::from_millis(150);
const TEST_LENGTH: Duration = Duration::from_millis(350);
/// How long nothing is tested after a change of the rate.
const CALM: Duration = Duration::from_millis(250);

#[derive(Debug)]
enum RateState {
    /// Going up as long as nothing speaks against it.
    Climbing { calm_until: Time },
    /// At a lower rate, to see what becomes of the loss.
    Testing {
        before: Rate,
        loss_before: u32,
        since: Time,
        sum: u64,
        samples: u32,
    },
}

/// Says how fast to send.
#[derive(Debug)]
pub(super) struct RateControl {
    rate: Rate,
    max: Option<Rate>,
    /// Where loss by congestion was met. From there the rate goes up slowly, and faster the longer
    /// nothing happens.
    ceiling: Option<Rate>,
    /// Steps up since the ceiling was reached.
    steps_above: u32,
    /// Loss that does not go away at a lower rate.
    tolerated_ppm: u32,
    state: RateState,
    stepped: Time,
    random: Random,
}

impl RateControl {
    pub(super) fn new(max: Option<Rate>, first: Rate, seed: u64, now: Time) -> Self {
        Self {
            // Below this, packets that carry data would not come before receivers give up.
            rate: max.map_or(first, |max| max.max(LEAST)),
            max,
            ceiling: None,
            steps_above: 0,
            tolerated_ppm: 0,
            state: RateState::Climbing { calm_until: now },
            stepped: now,
            random: Random::new(seed),
        }
    }

    pub(super) const fn rate(&self) -> Rate {
        self.rate
    }

    /// Whether it goes at its bound, and is not looking for anything.
    pub(super) fn is_at_bound(&self) -> bool {
        self.max == Some(self.rate)
    }

    /// What the session goes at, tests left out of account.
    pub(super) const fn sustained(&self) -> Rate {
        match self.state {
            RateState::Climbing { .. } => self.rate,
            RateState::Testing { before, .. } => before,
        }
    }

    /// Another bound. Without one the search goes on from where it is.
    pub(super) fn set_max(&mut self, max: Option<Rate>, now: Time) {
        let follow = max.is_some() && (self.max == Some(self.rate) || max < Some(self.rate));
        self.max = max;
        if let (true, Some(max)) = (follow, max) {
            self.rate = max.max(LEAST);
            self.state = RateState::Climbing {
                calm_until: now + CALM,
            };
        }
    }

    /// Looks at the latest: what the middle receiver loses (of a million; `None` when nobody has
    /// reported enough), and whether as much was sent as the rate allows.
    pub(super) fn step(&mut self, loss_ppm: Option<u32>, busy: bool, now: Time) {
        if now.since(self.stepped) < STEP {
            return;
        }
        self.stepped = now;
        let Some(loss) = loss_ppm else { return };
        match &mut self.state {
            RateState::Climbing { calm_until } => {
                if now < *calm_until {
                    return;
                }
                if loss > self.tolerated_ppm + SUSPICIOUS_PPM {
                    let state = RateState::Testing {
                        before: self.rate,
                        loss_before: loss,
                        since: now,
                        sum: 0,
                        samples: 0,
                    };
                    self.state = state;
                    self.rate = self.rate.share_ppm(TEST_SHARE_PPM);
                } else if busy {
                    self.climb();
                }
            }
            RateState::Testing {
                before,
                loss_before,
                since,
                sum,
                samples,
            } => {
                let passed = now.since(*since);
                if passed >= TEST_BLIND {
                    *sum += u64::from(loss);
                    *samples += 1;
                }
                if passed >= TEST_LENGTH {
                    let after = sum.checked_div(u64::from(*samples)).unwrap_or(0) as u32;
                    let (before, loss_before) = (*before, *loss_before);
                    self.conclude(before, loss_before, after, now);
                }
            }
        }
    }

    fn climb(&mut self) {
        let grown = match self.ceiling {
            Some(ceiling) if self.rate < ceiling.share_ppm(900_000) => {
                self.rate.share_ppm(1_500_000).min(ceiling)
            }
            Some(_) => {
                self.steps_above += 1;
                self.rate
                    .share_ppm(1_000_000 + (5_000 << (self.steps_above / 8).min(5)))
            }
            None => self.rate.share_ppm(1_500_000),
        };
        self.rate = self.max.map_or(grown, |max| grown.min(max)).max(LEAST);
    }

    fn conclude(&mut self, before: Rate, loss_before: u32, loss_after: u32, now: Time) {
        let arriving =
            |rate: Rate, loss: u32| rate.share_ppm(1_000_000 - u64::from(loss.min(1_000_000)));
        let arrived_before = arriving(before, loss_before);
        let as_much = arriving(self.rate, loss_after) > arrived_before.share_ppm(930_000);
        let went_away = u64::from(loss_after) * 2 < u64::from(loss_before);
        // More loss at a lower rate: queues were still filling when the first was measured.
        let grew = loss_after > loss_before + loss_before / 4 + WORSE_PPM;
        if grew || as_much || went_away {
            let arriving = if grew {
                arriving(self.rate, loss_after)
            } else {
                arrived_before
            };
            self.rate = arriving.share_ppm(970_000).max(LEAST);
            self.ceiling = Some(self.rate);
            self.steps_above = 0;
        } else {
            self.rate = self.max.map_or(before, |max| before.min(max));
            self.tolerated_ppm = (loss_before.max(loss_after) / 4 * 5).min(MOST_TOLERATED_PPM);
        }
        // Sessions that share a link should not test at the same time for ever.
        self.state = RateState::Climbing {
            calm_until: now + CALM + self.random.shorten(CALM),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Rate = Rate::from_megabits(20);

    /// Runs for `seconds` on a link of that rate with random loss; gives the rates over the last
    /// quarter.
    fn settle(mut control: RateControl, link: Rate, random_ppm: u64, seconds: u64) -> (Rate, Rate) {
        let mut seen: Vec<Rate> = Vec::new();
        let steps = seconds * 50;
        let mut loss = [0; 4];
        for at in 0..steps {
            let now = Time::from_micros(at * 20_000);
            let through = link.min(control.rate()).share_ppm(1_000_000 - random_ppm);
            loss[at as usize % 4] = (1_000_000
                - through.bytes_per_second() * 1_000_000 / control.rate().bytes_per_second())
                as u32;
            // Reports are some 60 ms old.
            control.step(Some(loss[(at as usize + 1) % 4]), true, now);
            seen.push(control.rate());
        }
        let tail = &seen[seen.len() * 3 / 4..];
        (*tail.iter().min().unwrap(), *tail.iter().max().unwrap())
    }

    #[test]
    fn finds_what_the_link_takes() {
        for megabits in [20, 100, 940, 9_400] {
            let link = Rate::from_megabits(megabits);
            let (low, high) = settle(
                RateControl::new(None, FIRST, 1, Time::default()),
                link,
                0,
                20,
            );
            assert!(
                low >= link.share_ppm(780_000) && high <= link.share_ppm(1_060_000),
                "{link}: {low} to {high}"
            );
        }
    }

    #[test]
    fn random_loss_is_no_reason_to_be_slow() {
        let max = Rate::from_megabits(200);
        for loss in [10_000, 50_000, 150_000] {
            let (low, _) = settle(
                RateControl::new(Some(max), FIRST, 1, Time::default()),
                Rate::from_megabits(1000),
                loss,
                8,
            );
            assert_eq!(low, max, "at {loss} ppm");
        }
    }

    #[test]
    fn a_bound_above_the_link_is_found_out() {
        let link = Rate::from_megabits(90);
        let (low, high) = settle(
            RateControl::new(Some(Rate::from_megabits(1000)), FIRST, 1, Time::default()),
            link,
            0,
            20,
        );
        assert!(
            low >= link.share_ppm(780_000) && high <= link.share_ppm(1_060_000),
            "{low} to {high}"
        );
    }

    #[test]
    fn a_lower_bound_holds_at_once_and_a_higher_one_is_used() {
        let mut control =
            RateControl::new(Some(Rate::from_megabits(200)), FIRST, 1, Time::default());
        control.set_max(Some(Rate::from_megabits(50)), Time::default());
        assert_eq!(control.rate(), Rate::from_megabits(50));
        control.set_max(Some(Rate::from_megabits(100)), Time::default());
        assert_eq!(control.rate(), Rate::from_megabits(100));
    }
}
