//! From what receivers lack to what is sent again.
//!
//! Repairs of a group serve all who lack something of it, so the most that any receiver lacks is
//! sent, not the sum. What is on its way already counts: a report says up to which packet it
//! counted. A receiver that needs more than the others pays for the difference from a credit that
//! grows with the stream.

use std::time::Duration;

use super::members::Member;
use super::window::Window;
use crate::report::Report;
use crate::time::Time;

/// Groups' worth of repairs that a receiver may cause at first, and at most has in credit.
const FIRST_GROUPS: i64 = 1;
const MOST_GROUPS: i64 = 8;
/// One symbol of credit for so many of the stream, for each of up to eight members; a single
/// receiver keeps nobody waiting.
const STREAM_PER_CREDIT: u64 = 10;
const STREAM_PER_CREDIT_ALONE: u64 = 1;
/// With more members each has less, for together they would have too much: down to half of the
/// income, and an eighth of what there is at first. Losses that many share cost each of them
/// little.
const FEW_MEMBERS: usize = 8;
/// A refused repair of a group that was sent longer ago than this does not count against a
/// receiver: it may have been cut off for a while.
const RECENT: Duration = Duration::from_millis(300);

pub(super) fn first_credit(data_symbols: u8, members: usize) -> i64 {
    i64::from(data_symbols) * FIRST_GROUPS / (members / FEW_MEMBERS).clamp(1, 8) as i64
}

/// Schedules what a report asks for. `fresh`: symbols of the stream sent so far.
pub(super) fn schedule(
    window: &mut Window,
    member: &mut Member,
    report: &Report,
    data_symbols: u8,
    (fresh, members): (u64, usize),
    now: Time,
) {
    let price = match members {
        0 | 1 => STREAM_PER_CREDIT_ALONE,
        _ => STREAM_PER_CREDIT * (members / FEW_MEMBERS).clamp(1, 2) as u64,
    };
    let earned = fresh / price - member.fresh_seen / price;
    member.fresh_seen = fresh;
    member.credit = (member.credit + earned as i64).min(i64::from(data_symbols) * MOST_GROUPS);
    let mut refused = false;
    member.refused = false;
    // Newest first: what is refused should be what can wait for the next pass.
    for deficit in report.deficits.iter().rev() {
        let Some(group) = window.group_mut(deficit.group) else {
            continue;
        };
        let further = group.further(deficit.missing, report.as_of);
        let more = further.saturating_sub(group.demand());
        if more == 0 {
            continue;
        }
        let granted = more.min(u16::try_from(member.credit.max(0)).unwrap_or(u16::MAX));
        member.refused |= granted < more;
        refused |= granted < more && now.since(group.sent_time()) < RECENT;
        member.credit -= i64::from(granted);
        if granted > 0 {
            let was_queued = group.demand() > 0;
            group.raise_demand(group.demand() + granted);
            if !was_queued {
                window.queue_repair(deficit.group);
            }
        }
    }
    if refused {
        member.overdrawn_since.get_or_insert(now);
    } else {
        member.overdrawn_since = None;
    }
}

/// How many parity symbols go out with each group before anybody asks.
///
/// About what the upper quarter of the receivers will lack on average: nearly all of that would be
/// asked for anyway, and the rest is left to be asked for. Goes up at once and down slowly.
#[derive(Debug, Default)]
pub(super) struct Proactive {
    count: u8,
    lowered: Time,
}

/// At most one symbol for so many: more is lost only for a while, or by those who will not stay.
const MOST_PROACTIVE: u64 = 4;
/// Below this loss nothing is sent before it is asked for.
const NEGLIGIBLE_PPM: u32 = 3_000;
const LOWER_EVERY: Duration = Duration::from_secs(1);

impl Proactive {
    pub(super) fn update(&mut self, loss_ppm: u32, data_symbols: u8, now: Time) {
        let mean = if loss_ppm < NEGLIGIBLE_PPM {
            0
        } else {
            mean_loss(loss_ppm, data_symbols)
        };
        let target = mean.min(u64::from(data_symbols) / MOST_PROACTIVE) as u8;
        if target >= self.count {
            self.count = target;
            self.lowered = now;
        } else if now.since(self.lowered) >= LOWER_EVERY {
            self.count -= (self.count / 4).max(1);
            self.lowered = now;
        }
    }

    pub(super) const fn count(&self) -> u8 {
        self.count
    }

    /// For the last group of a pass, where asking costs time: so many that few will have to.
    pub(super) fn count_for_last(&self, loss_ppm: u32, data_symbols: u8) -> u8 {
        if self.count == 0 && loss_ppm < NEGLIGIBLE_PPM {
            return 0;
        }
        let mean = mean_loss(loss_ppm, data_symbols);
        (mean + 2 * (mean + 1).isqrt()).min((u64::from(data_symbols) / MOST_PROACTIVE).max(3)) as u8
    }
}

fn mean_loss(loss_ppm: u32, data_symbols: u8) -> u64 {
    u64::from(data_symbols) * u64::from(loss_ppm) / u64::from(1_000_000 - loss_ppm.min(900_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proactive_parity_follows_loss_up_at_once_and_down_slowly() {
        let mut proactive = Proactive::default();
        proactive.update(2_000, 192, Time::default());
        assert_eq!(proactive.count(), 0);
        proactive.update(50_000, 192, Time::default());
        assert_eq!(proactive.count(), 10);
        for millis in 0..2500 {
            proactive.update(0, 192, Time::from_micros(millis * 1000));
        }
        assert_eq!(proactive.count(), 6);
    }
}
