//! The receivers of a session and what they want.

use std::collections::BTreeMap;
use std::time::Duration;

use super::action::{JoinError, ReceiverId};
use crate::chunks::{ChunkSet, SessionChunk};
use crate::rate::Rate;
use crate::report::Report;
use crate::time::Time;

/// Most receivers of one session; more than any switch has ports for.
pub(super) const MAX_MEMBERS: usize = 4096;

/// What packets did on the way to a receiver, over some while.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Tally {
    pub(super) expected: u64,
    pub(super) received: u64,
    pub(super) skipped_groups: u32,
}

impl Tally {
    const fn of(report: &Report) -> Self {
        Self {
            expected: report.expected,
            received: report.received,
            skipped_groups: report.skipped_groups,
        }
    }

    pub(super) const fn since(&self, earlier: &Self) -> Self {
        Self {
            expected: self.expected.saturating_sub(earlier.expected),
            received: self.received.saturating_sub(earlier.received),
            skipped_groups: self.skipped_groups.saturating_sub(earlier.skipped_groups),
        }
    }

    /// Packets lost of a million.
    pub(super) fn loss_ppm(&self) -> u32 {
        let lost = self.expected.saturating_sub(self.received);
        (lost * 1_000_000)
            .checked_div(self.expected)
            .map_or(0, |ppm| ppm as u32)
    }
}

/// How fast a receiver was for a while.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub(super) at: Time,
    /// What it took of what was sent, of a million.
    pub(super) share_ppm: u32,
    pub(super) sent: Rate,
    /// More passed by for want of memory than was lost.
    pub(super) is_disk: bool,
}

/// One receiver.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) wants: ChunkSet,
    /// Chunks that it said it has since it joined, and how many it had said before: compared with
    /// its own count.
    pub(super) declared: u32,
    declared_before: u32,
    pub(super) heard_at: Time,
    /// The latest report.
    pub(super) report: Report,
    /// Smoothed over about a second.
    pub(super) loss_ppm: u32,
    /// There has been a look, so `loss_ppm` means something.
    pub(super) folded: bool,
    /// When the next look at its speed began, and its totals then.
    pub(super) looked: (Time, Tally),
    /// The last look, and which one has been judged.
    pub(super) look: Option<Look>,
    pub(super) judged: Option<Time>,
    /// Symbols of repairs it may still cause, and how far the stream was when that was reckoned.
    pub(super) credit: i64,
    pub(super) fresh_seen: u64,
    /// Not all that its last report asked for is going to be sent as repairs.
    pub(super) refused: bool,
    /// Since when it has asked for more than its credit.
    pub(super) overdrawn_since: Option<Time>,
    /// Looks in a row that found it below the floor.
    pub(super) slow_looks: u8,
}

impl Member {
    fn new(wants: ChunkSet, (credit, fresh): (i64, u64), now: Time) -> Self {
        Self {
            wants,
            declared: 0,
            declared_before: 0,
            heard_at: now,
            report: Report::default(),
            loss_ppm: 0,
            folded: false,
            looked: (now, Tally::default()),
            look: None,
            judged: None,
            credit,
            fresh_seen: fresh,
            refused: false,
            overdrawn_since: None,
            slow_looks: 0,
        }
    }

    /// Whether it has heard the group.
    pub(super) const fn hears(&self) -> bool {
        self.report.received > 0
    }

    pub(super) const fn tally(&self) -> Tally {
        Tally::of(&self.report)
    }

    /// Takes the totals of the first report for what was before.
    pub(super) const fn begin_counting(&mut self, report: &Report, now: Time) {
        self.looked = (now, Tally::of(report));
        self.declared_before = report.chunks_declared.saturating_sub(self.declared);
    }

    /// Nothing that was sent before packet `mark` is still on its way to being a right chunk, as
    /// far as it can be told.
    pub(super) fn is_settled(&self, mark: u64) -> bool {
        self.report.as_of >= mark
            && self.report.deficits.is_empty()
            && self.report.chunks_in_hand == 0
            && self.declared.saturating_add(self.declared_before) >= self.report.chunks_declared
    }
}

/// When somebody who was sent away may come back.
#[derive(Clone, Copy, Debug)]
enum Absence {
    Until { time: Time, rest: Duration },
    Forever,
}

/// All receivers, and how many of them want each chunk.
#[derive(Debug)]
pub(super) struct Members {
    all: BTreeMap<ReceiverId, Member>,
    wanted: Vec<u16>,
    away: BTreeMap<ReceiverId, Absence>,
}

impl Members {
    pub(super) fn new(chunks: u32) -> Self {
        Self {
            all: BTreeMap::new(),
            wanted: vec![0; chunks as usize],
            away: BTreeMap::new(),
        }
    }

    pub(super) fn join(
        &mut self,
        id: ReceiverId,
        wants: ChunkSet,
        credit: (i64, u64),
        now: Time,
    ) -> Result<(), JoinError> {
        let chunks = self.wanted.len() as u32;
        if let Some(chunk) = wants.last().filter(|last| last.0 >= chunks) {
            return Err(JoinError::UnknownChunk { chunk, chunks });
        }
        match self.away.get(&id) {
            Some(Absence::Forever) => return Err(JoinError::Expelled),
            Some(Absence::Until { time, .. }) if *time > now => {
                return Err(JoinError::TooSoon {
                    wait: time.since(now),
                });
            }
            _ => {}
        }
        self.remove(id);
        if self.all.len() >= MAX_MEMBERS {
            return Err(JoinError::Full { most: MAX_MEMBERS });
        }
        wants
            .iter()
            .for_each(|number| self.wanted[number.0 as usize] += 1);
        self.all.insert(id, Member::new(wants, credit, now));
        Ok(())
    }

    /// Takes a receiver out; says whether it was there.
    pub(super) fn remove(&mut self, id: ReceiverId) -> bool {
        let Some(member) = self.all.remove(&id) else {
            return false;
        };
        member
            .wants
            .iter()
            .for_each(|number| self.wanted[number.0 as usize] -= 1);
        true
    }

    /// Takes a receiver out that may come back after a rest, which doubles each time.
    pub(super) fn send_away(&mut self, id: ReceiverId, rest: Duration, now: Time) {
        self.remove(id);
        let rest = match self.away.get(&id) {
            Some(Absence::Until { rest, .. }) => *rest * 2,
            _ => rest,
        };
        self.away.insert(
            id,
            Absence::Until {
                time: now + rest,
                rest,
            },
        );
    }

    pub(super) fn expel(&mut self, id: ReceiverId) -> bool {
        self.away.insert(id, Absence::Forever);
        self.remove(id)
    }

    /// The receiver wants these chunks, too; those that the session does not have are left out.
    pub(super) fn want(&mut self, id: ReceiverId, chunks: &ChunkSet) {
        let Some(member) = self.all.get_mut(&id) else {
            return;
        };
        for number in chunks.iter() {
            let Some(wanted) = self.wanted.get_mut(number.0 as usize) else {
                return;
            };
            *wanted += u16::from(member.wants.insert(number));
        }
    }

    /// The receiver has these chunks, or will get them in another way.
    pub(super) fn unwant(&mut self, id: ReceiverId, chunks: &ChunkSet) {
        let Some(member) = self.all.get_mut(&id) else {
            return;
        };
        for number in chunks.iter() {
            if member.wants.remove(number) {
                self.wanted[number.0 as usize] -= 1;
            }
        }
    }

    pub(super) fn wanted_by(&self, number: SessionChunk) -> u16 {
        self.wanted.get(number.0 as usize).copied().unwrap_or(0)
    }

    /// The first chunk from `from` on that at least `least` receivers want and that suits.
    pub(super) fn next_wanted(
        &self,
        from: u32,
        least: u16,
        suits: impl Fn(SessionChunk) -> bool,
    ) -> Option<SessionChunk> {
        let wanted = self.wanted.get(from as usize..)?;
        let numbers = wanted
            .iter()
            .zip(from..)
            .filter(|(count, _)| **count >= least);
        numbers
            .map(|(_, number)| SessionChunk(number))
            .find(|number| suits(*number))
    }

    pub(super) fn get_mut(&mut self, id: ReceiverId) -> Option<&mut Member> {
        self.all.get_mut(&id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ReceiverId, &Member)> {
        self.all.iter().map(|(id, member)| (*id, member))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (ReceiverId, &mut Member)> {
        self.all.iter_mut().map(|(id, member)| (*id, member))
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}
