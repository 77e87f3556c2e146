//! Which receivers may stay: silent ones are dropped; slow receivers, and those that need too many
//! repairs, continue by unicast.

use std::time::Duration;

use super::action::{DemoteReason, ReceiverId};
use super::config::{Floor, SenderConfig};
use super::members::{Look, Member, Members};
use crate::rate::Rate;
use crate::report::Stage;
use crate::time::Time;

/// How long a receiver is watched for one judgement of its speed, and how many packets there must
/// be.
const LOOK: Duration = Duration::from_millis(100);
const LOOK_PACKETS: u64 = 30;
/// A look older than this says nothing about now.
pub(super) const LOOK_FRESH: Duration = Duration::from_millis(400);
/// So many looks in a row below the floor, and a receiver goes.
const SLOW_LOOKS: u8 = 4;
/// How long a receiver may ask for more than its credit.
const OVERDRAWN: Duration = Duration::from_millis(500);
/// Parity ahead of loss is for no more loss than this, unless most receivers have it.
const UPPER_MOST_PPM: u32 = 100_000;
/// Who takes this much of what is sent is not slow, whatever the floor.
const GOOD_SHARE_PPM: u64 = 900_000;

/// Takes a receiver's latest report into its look at its speed. `symbol_wire`: bytes of a packet on
/// the wire.
pub(super) fn look(member: &mut Member, data_symbols: u8, symbol_wire: u64, now: Time) {
    let (since, before) = member.looked;
    let tally = member.tally().since(&before);
    let span = now.since(since);
    if span < LOOK || tally.expected < LOOK_PACKETS {
        return;
    }
    member.looked = (now, member.tally());
    let groups = (tally.expected / u64::from(data_symbols)).max(1);
    let skipped = (u64::from(tally.skipped_groups) * 1_000_000 / groups).min(1_000_000);
    let arrived = 1_000_000 - u64::from(tally.loss_ppm());
    let share = arrived * (1_000_000 - skipped) / 1_000_000;
    let sent = tally.expected * symbol_wire * 1_000_000 / (span.as_micros() as u64).max(1);
    let sent = Rate::from_bytes_per_second(sent);
    member.look = Some(Look {
        at: now,
        share_ppm: share as u32,
        sent,
        is_disk: skipped > u64::from(tally.loss_ppm()),
    });
    let lost = (1_000_000 - share) as i64;
    let smoothed = i64::from(member.loss_ppm);
    // About the mean over the last eight looks; the first counts in full.
    member.loss_ppm = if member.folded {
        smoothed + (lost - smoothed) / 8
    } else {
        lost
    } as u32;
    member.folded = true;
}

/// What the middle receiver loses at present, of a million; of two the better one. `None` until
/// most have been looked at: those in trouble report more often than the others.
///
/// Looks older than `age` say nothing.
pub(super) fn middle_loss(members: &Members, age: Duration, now: Time) -> Option<u32> {
    let fresh = members
        .iter()
        .filter_map(|(_, member)| member.look)
        .filter(|look| now.since(look.at) < age);
    let mut losses: Vec<u32> = fresh.map(|look| 1_000_000 - look.share_ppm).collect();
    if losses.len() * 2 <= members.len() {
        return None;
    }
    let middle = (losses.len() - 1) / 2;
    Some(*losses.select_nth_unstable(middle).1)
}

/// What the upper quarter of the receivers loses, of a million, smoothed; a few that lose very much
/// do not count for more than the others can be made to wait for.
pub(super) fn upper_loss(members: &Members) -> u32 {
    // Who has not reported enough to be judged loses nothing so far: who loses much reports first.
    let loss = |member: &Member| {
        if member.folded && member.slow_looks == 0 {
            member.loss_ppm
        } else {
            0
        }
    };
    let mut losses: Vec<u32> = members.iter().map(|(_, member)| loss(member)).collect();
    if losses.is_empty() {
        return 0;
    }
    losses.sort_unstable();
    let (middle, upper) = (
        losses[(losses.len() - 1) / 2],
        losses[(losses.len() - 1) * 3 / 4],
    );
    upper.min(UPPER_MOST_PPM).max(middle)
}

/// Receivers that were not heard for too long.
pub(super) fn silent(members: &Members, silence: Duration, now: Time) -> Vec<ReceiverId> {
    members
        .iter()
        .filter(|(_, member)| now.since(member.heard_at) > silence)
        .map(|(id, _)| id)
        .collect()
}

/// Receivers that are to continue by unicast. `rate`: what the session goes at.
pub(super) fn to_demote(
    members: &mut Members,
    config: &SenderConfig,
    rate: Rate,
    now: Time,
) -> Vec<(ReceiverId, DemoteReason)> {
    let floor = match config.floor {
        Floor::Rate(floor) => floor,
        // Of what the middle receiver gets: while the rate is too high for everybody, nobody is
        // slow.
        Floor::Share(ppm) => {
            let lost = middle_loss(members, LOOK_FRESH, now).unwrap_or(0);
            rate.share_ppm(1_000_000 - u64::from(lost))
                .share_ppm(u64::from(ppm))
        }
    };
    let mut slow = Vec::new();
    let mut demoted = Vec::new();
    for (id, member) in members.iter_mut() {
        if member
            .overdrawn_since
            .is_some_and(|since| now.since(since) > OVERDRAWN)
        {
            demoted.push((id, DemoteReason::TooManyRepairs));
        } else if let Some(reason) = judge(member, floor) {
            slow.push((id, reason));
        }
    }
    // When most are slow, the stream is too fast, unless it cannot be any slower.
    if slow.len() * 2 <= members.len() || rate <= floor {
        demoted.extend(slow);
    }
    demoted
}

/// Counts a look that was not judged yet; a reason after enough slow ones in a row.
fn judge(member: &mut Member, floor: Rate) -> Option<DemoteReason> {
    if let Some(look) = member.look.filter(|look| Some(look.at) != member.judged) {
        member.judged = Some(look.at);
        let rate = look.sent.share_ppm(u64::from(look.share_ppm));
        let slow = u64::from(look.share_ppm) < GOOD_SHARE_PPM && rate < floor;
        member.slow_looks = if slow {
            member.slow_looks.saturating_add(1)
        } else {
            0
        };
    }
    let look = member.look.filter(|_| member.slow_looks >= SLOW_LOOKS)?;
    let rate = look.sent.share_ppm(u64::from(look.share_ppm));
    let by_disk =
        look.is_disk || member.report.stage == Stage::Disk && member.report.fill_percent >= 90;
    Some(if by_disk {
        DemoteReason::SlowDisk { rate, floor }
    } else {
        DemoteReason::SlowLink { rate, floor }
    })
}

/// Who would be the next to go, if anybody is worse off than the noise.
pub(super) fn next_to_go(members: &Members) -> Option<ReceiverId> {
    let worst = members
        .iter()
        .max_by_key(|(_, member)| (member.slow_looks, member.loss_ppm))?;
    (worst.1.loss_ppm > 10_000).then_some(worst.0)
}
