//! Which source owes which chunk, when there are several. Pure: time is an argument, counted from the
//! start of the deploy.
//!
//! All sources take from one board, as many chunks at a time as their lanes have room for, so a fast
//! one takes more. A slow or silent one could only delay the end: whoever finds nothing left to take
//! asks once more for what another one would still need long for, from the end of what that one
//! owes. Whichever copy comes first counts.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use foghorn_types::ChunkNumber;

/// A source that owes chunks and has brought none for this long is taken for silent.
pub const SILENT: Duration = Duration::from_secs(2);
/// What a source needs longer for than this is asked for once more by one that has nothing to do.
const LONG: Duration = Duration::from_secs(2);
/// How far the latest second counts in a source's rate.
const LATEST: f64 = 0.5;

/// One source in one deploy.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SourceId(u32);

#[derive(Debug, Default)]
struct Source {
    /// Connections to it.
    connections: u32,
    /// In the order in which it was asked.
    owed: VecDeque<ChunkNumber>,
    brought: u64,
    /// As of the last tick.
    counted: u64,
    /// Chunks in a second, once known.
    rate: Option<f64>,
    /// When it last brought something, or was asked while it owed nothing.
    moved: Duration,
}

impl Source {
    /// How long it needs for all that it owes, as far as anybody can tell.
    fn time_left(&self, now: Duration) -> f64 {
        if self.owed.is_empty() {
            return 0.0;
        }
        if self.is_silent(now) {
            return f64::INFINITY;
        }
        // One that has only begun is given the time until it would be silent.
        self.rate.map_or(0.0, |rate| {
            self.owed.len() as f64 / rate.max(f64::MIN_POSITIVE)
        })
    }

    fn is_silent(&self, now: Duration) -> bool {
        !self.owed.is_empty() && now.saturating_sub(self.moved) >= SILENT
    }
}

/// See the module page.
#[derive(Debug, Default)]
pub struct Sharing {
    names: HashMap<String, SourceId>,
    sources: BTreeMap<SourceId, Source>,
    /// How many sources owe a chunk.
    owed: HashMap<ChunkNumber, u32>,
    /// Who brought something else for a chunk, or does not have it.
    refused: HashMap<ChunkNumber, BTreeSet<SourceId>>,
}

impl Sharing {
    /// There is a connection to the source of this name.
    pub fn joins(&mut self, name: &str) -> SourceId {
        let next = SourceId(u32::try_from(self.names.len()).unwrap_or(u32::MAX));
        let id = *self.names.entry(name.to_owned()).or_insert(next);
        let source = self.sources.entry(id).or_default();
        source.connections += 1;
        id
    }

    /// A connection is over; what was owed on it was given back.
    pub fn leaves(&mut self, id: SourceId) {
        if let Some(source) = self.sources.get_mut(&id) {
            source.connections = source.connections.saturating_sub(1);
            if source.connections == 0 {
                source.rate = None;
            }
        }
    }

    pub fn asked(&mut self, id: SourceId, number: ChunkNumber, now: Duration) {
        let source = self.sources.entry(id).or_default();
        if source.owed.is_empty() {
            source.moved = now;
        }
        source.owed.push_back(number);
        *self.owed.entry(number).or_default() += 1;
    }

    /// A source has brought a chunk, whatever is in it.
    pub fn brought(&mut self, id: SourceId, number: ChunkNumber, now: Duration) {
        if let Some(source) = self.sources.get_mut(&id) {
            source.brought += 1;
            source.moved = now;
        }
        self.no_longer_owes(id, number);
    }

    /// A source will not bring a chunk after all; whether nobody else does.
    pub fn gave_back(&mut self, id: SourceId, number: ChunkNumber) -> bool {
        self.no_longer_owes(id, number);
        !self.is_owed(number)
    }

    fn no_longer_owes(&mut self, id: SourceId, number: ChunkNumber) {
        let Some(source) = self.sources.get_mut(&id) else {
            return;
        };
        let Some(at) = source.owed.iter().position(|owed| *owed == number) else {
            return;
        };
        source.owed.remove(at);
        if let Some(count) = self.owed.get_mut(&number) {
            *count -= 1;
            if *count == 0 {
                self.owed.remove(&number);
            }
        }
    }

    #[must_use]
    pub fn is_owed(&self, number: ChunkNumber) -> bool {
        self.owed.contains_key(&number)
    }

    /// What this source brought for the chunk is not it.
    pub fn refused(&mut self, id: SourceId, number: ChunkNumber) {
        self.refused.entry(number).or_default().insert(id);
    }

    /// Whether the source may still have the chunk.
    #[must_use]
    pub fn may_have(&self, id: SourceId, number: ChunkNumber) -> bool {
        let refused = self.refused.get(&number);
        refused.is_none_or(|refused| !refused.contains(&id))
    }

    /// Whether a source that is connected may still have the chunk.
    #[must_use]
    pub fn anybody_may_have(&self, number: ChunkNumber) -> bool {
        let mut connected = self
            .sources
            .iter()
            .filter(|(_, source)| source.connections > 0);
        connected.any(|(id, _)| self.may_have(*id, number))
    }

    /// There is nobody else to ask: all may be asked for everything again.
    pub fn forgive(&mut self) {
        self.refused.clear();
    }

    /// To be called about every second.
    pub fn tick(&mut self, passed: Duration) {
        let seconds = passed.as_secs_f64();
        for source in self
            .sources
            .values_mut()
            .filter(|source| source.connections > 0)
        {
            let brought = (source.brought - source.counted) as f64;
            source.counted = source.brought;
            if seconds <= 0.0 || (brought == 0.0 && source.owed.is_empty()) {
                continue;
            }
            let latest = brought / seconds;
            let rate = source.rate;
            source.rate = match rate {
                Some(rate) => Some(rate + LATEST * (latest - rate)),
                None => (brought > 0.0).then_some(latest),
            };
        }
    }

    /// Up to `most` chunks that another source owes, would still need long for, and that are `wanted`;
    /// for a source that finds nothing else to do. None of them is asked for a third time.
    #[must_use]
    pub fn once_more(
        &self,
        id: SourceId,
        now: Duration,
        most: usize,
        wanted: impl Fn(ChunkNumber) -> bool,
    ) -> Vec<ChunkNumber> {
        let own = self.sources.get(&id);
        let own_left = own.map_or(0.0, |own| own.time_left(now));
        let others = self.sources.iter().filter(|(other, _)| **other != id);
        let mut slow: Vec<(f64, &Source)> = others
            .map(|(_, source)| (source.time_left(now), source))
            .filter(|(left, _)| *left >= LONG.as_secs_f64() && *left >= 2.0 * own_left)
            .collect();
        slow.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        let of_use = |number: &ChunkNumber| {
            self.owed.get(number) == Some(&1) && self.may_have(id, *number) && wanted(*number)
        };
        let chosen = slow.into_iter().map(|(_, source)| -> Vec<ChunkNumber> {
            // Its share stays with it: they meet where both are through at the same time.
            let share = match (
                source.is_silent(now),
                own.and_then(|own| own.rate),
                source.rate,
            ) {
                (false, Some(own), Some(its)) => own / (own + its).max(f64::MIN_POSITIVE),
                _ => 1.0,
            };
            let count = (source.owed.len() as f64 * share).ceil() as usize;
            let late = source.owed.iter().rev().take(count).copied();
            late.filter(of_use).take(most).collect()
        });
        // All that a source owes may have come from elsewhere.
        let mut chosen = chosen.filter(|numbers| !numbers.is_empty());
        chosen.next().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn n(number: u32) -> ChunkNumber {
        ChunkNumber::new(number)
    }

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn what_a_silent_source_owes_is_asked_for_once_more_from_its_end() {
        let mut sharing = Sharing::default();
        let (one, two) = (sharing.joins("one"), sharing.joins("two"));
        for number in 0..6 {
            sharing.asked(one, n(number), s(10));
        }
        assert!(
            sharing.once_more(two, s(11), 9, |_| true).is_empty(),
            "it has just begun"
        );
        let more = sharing.once_more(two, s(12), 2, |_| true);
        assert_eq!(more, [5, 4].map(n));
        for number in more {
            sharing.asked(two, number, s(12));
        }
        assert_eq!(
            sharing.once_more(two, s(12), 9, |_| true),
            [3, 2, 1, 0].map(n),
            "not a third time"
        );
        assert!(!sharing.gave_back(one, n(5)), "the other one still owes it");
        assert!(sharing.gave_back(one, n(0)));
        sharing.brought(two, n(5), s(13));
        assert!(!sharing.is_owed(n(5)));
    }

    #[test]
    fn a_slow_source_keeps_its_share_and_a_fast_one_is_left_alone() {
        let mut sharing = Sharing::default();
        let (slow, fast) = (sharing.joins("slow"), sharing.joins("fast"));
        for number in 0..110 {
            let id = if number < 10 { slow } else { fast };
            sharing.asked(id, n(number), s(0));
            sharing.brought(id, n(number), s(1));
        }
        sharing.tick(s(1));
        for number in 200..232 {
            sharing.asked(slow, n(number), s(1));
        }
        // 10 and 100 in a second: of 32, three are the share of the slow one.
        let more = sharing.once_more(fast, s(2), 100, |_| true);
        assert_eq!(more.len(), 30);
        assert!(
            !more.contains(&n(200)),
            "what it brings next is not asked for"
        );
        for number in 300..305 {
            sharing.asked(fast, n(number), s(2));
        }
        assert!(sharing.once_more(slow, s(2), 100, |_| true).is_empty());
    }

    #[test]
    fn a_damaged_chunk_is_left_to_those_who_may_have_it() {
        let mut sharing = Sharing::default();
        let one = sharing.joins("one");
        sharing.refused(one, n(7));
        assert!(!sharing.may_have(one, n(7)) && !sharing.anybody_may_have(n(7)));
        let two = sharing.joins("two");
        assert!(sharing.anybody_may_have(n(7)));
        sharing.leaves(two);
        assert!(!sharing.anybody_may_have(n(7)));
        assert_eq!(
            sharing.joins("one"),
            one,
            "the same node, whatever the connection"
        );
        sharing.forgive();
        assert!(sharing.may_have(one, n(7)));
    }
}
