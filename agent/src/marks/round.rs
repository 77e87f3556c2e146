//! How far the check of everything is. Pure: time is an argument.

use std::time::Duration;

use foghorn_chunk_store::PARTS;
use foghorn_types::Timestamp;
use serde::{Deserialize, Serialize};

/// The present round, or the one that is interrupted, and when the last one came to its end.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Round {
    /// In milliseconds of Unix time; 0: none is under way.
    #[serde(default)]
    began: i64,
    /// Parts of the store that were checked in it.
    #[serde(default)]
    done: usize,
    /// Damaged chunks that it has found.
    #[serde(default)]
    damaged: u64,
    /// When the last round came to its end; 0: none has.
    #[serde(default)]
    ended: i64,
    /// What that one found.
    #[serde(default)]
    ended_damaged: u64,
    /// When this node was started for the first time.
    #[serde(default)]
    first: i64,
}

impl Round {
    /// Everything is to be looked at, whatever was looked at before.
    pub(super) fn begin_anew(&mut self) {
        (self.began, self.done, self.damaged) = (0, 0, 0);
    }

    pub(super) fn first_start(&mut self, now: Timestamp) {
        if self.first == 0 {
            self.first = now.as_millis();
        }
    }

    pub(crate) fn parts_done(&self) -> usize {
        self.done.min(PARTS)
    }

    pub(crate) fn is_under_way(&self) -> bool {
        self.began != 0
    }

    /// The part that comes next; `None`: only the records are left.
    pub(crate) fn next_part(&self) -> Option<u8> {
        u8::try_from(self.done).ok()
    }

    /// Whether a round is under way, or due because the last one was so long ago.
    pub(crate) fn is_due(&self, every: Option<Duration>, now: Timestamp) -> bool {
        let Some(every) = every else { return false };
        let last = Timestamp::from_millis(self.ended.max(self.first));
        self.is_under_way() || now.since(last) >= every
    }

    /// A part was looked at to its end.
    pub(crate) fn part_done(&mut self, part: u8, damaged: u64, now: Timestamp) {
        if self.began == 0 {
            (self.began, self.damaged) = (now.as_millis(), 0);
        }
        self.done = usize::from(part) + 1;
        self.damaged += damaged;
    }

    /// Everything was looked at.
    pub(crate) fn end(&mut self, damaged: u64, now: Timestamp) {
        let found = self.damaged + damaged;
        self.begin_anew();
        (self.ended, self.ended_damaged) = (now.as_millis(), found);
    }

    /// When the last one came to its end, and how many damaged chunks it had found.
    pub(crate) fn last(&self) -> (i64, u64) {
        (self.ended, self.ended_damaged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_is_due_after_its_time_and_goes_on_until_its_end() {
        let (at, day) = (Timestamp::from_millis, Duration::from_secs(86_400));
        let every = Some(day);
        let mut round = Round::default();
        round.first_start(at(5));
        round.first_start(at(9_000_000));
        assert!(!round.is_due(every, at(86_400_004)) && round.is_due(every, at(86_400_005)));
        assert!(!round.is_due(None, at(i64::MAX)));
        round.part_done(0, 1, at(86_400_006));
        assert_eq!(round.next_part(), Some(1));
        assert!(round.is_under_way() && round.is_due(every, at(0)));
        round.part_done(255, 2, at(86_400_007));
        assert_eq!(round.next_part(), None);
        round.end(4, at(86_400_010));
        assert_eq!((round.last(), round.parts_done()), ((86_400_010, 7), 0));
        assert!(!round.is_due(every, at(2 * 86_400_000)));
    }
}
