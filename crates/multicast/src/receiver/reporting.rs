//! When a receiver reports, and what.

use std::collections::VecDeque;
use std::time::Duration;

use super::{ReceiverConfig, Unheard};
use crate::chunks::{ChunkSet, SessionChunk};
use crate::packet::{Body, GroupNumber, Packet, Phase, Tick};
use crate::random::Random;
use crate::report::{Deficit, MAX_DEFICITS, Report, Stage};
use crate::time::Time;

/// How long right chunks are gathered before they are told.
const HAVE_INTERVAL: Duration = Duration::from_millis(100);
/// How far apart reports are until a tick says otherwise.
const REPORT_INTERVAL: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(super) struct Reporting {
    started: Time,
    /// Lowest and highest packet number heard, and how many packets.
    first: u64,
    highest: u64,
    received: u64,
    heard_long: bool,
    unheard_told: bool,
    /// A group and since when it is known that all before it were sent; ascending.
    sent: VecDeque<(u32, Time)>,
    due_below: u32,
    tick: Option<Tick>,
    stage: Stage,
    fill_percent: u8,
    rejected: u64,
    socket_drops: u64,
    /// Right chunks not told yet, and since when the first of them waits.
    have: ChunkSet,
    have_since: Time,
    declared: u32,
    /// When the last report went out, whether a packet had been heard then, and how many chunks
    /// were in hand.
    reported: Option<(Time, bool, u32)>,
    /// How long to wait after the last report when there is something to say.
    pause: Duration,
    /// Whether the last look found something to say, so that `wake_at` is soon.
    pending: bool,
}

impl Reporting {
    pub(super) fn new(now: Time) -> Self {
        Self {
            started: now,
            first: 0,
            highest: 0,
            received: 0,
            heard_long: false,
            unheard_told: false,
            sent: VecDeque::new(),
            due_below: 0,
            tick: None,
            stage: Stage::Network,
            fill_percent: 0,
            rejected: 0,
            socket_drops: 0,
            have: ChunkSet::new(),
            have_since: now,
            declared: 0,
            reported: None,
            pause: REPORT_INTERVAL,
            pending: false,
        }
    }

    pub(super) fn heard(&mut self, packet: &Packet<'_>, now: Time) {
        if self.received == 0 {
            self.first = packet.sequence;
            self.have_since = now;
        }
        self.heard_long |= !matches!(packet.body, Body::Tick(_));
        self.highest = self.highest.max(packet.sequence);
        if packet.sequence >= self.first {
            self.received += 1;
        }
    }

    /// All groups below `group` have been sent.
    pub(super) fn sent_below(&mut self, group: u32, now: Time) {
        if self
            .sent
            .back()
            .map_or(group > self.due_below, |(last, _)| group > *last)
        {
            self.sent.push_back((group, now));
        }
    }

    /// Groups below this are complete or missing something.
    pub(super) fn due_below(&mut self, grace: Duration, now: Time) -> u32 {
        while let Some((group, since)) = self.sent.front() {
            if now.since(*since) < grace {
                break;
            }
            self.due_below = *group;
            self.sent.pop_front();
        }
        self.due_below
    }

    pub(super) fn tick(&mut self, tick: &Tick, _now: Time) {
        self.tick = Some(*tick);
    }

    pub(super) fn done(&mut self, number: SessionChunk) {
        self.have.insert(number);
    }

    pub(super) fn pressure(&mut self, stage: Stage, fill_percent: u8) {
        self.stage = stage;
        self.fill_percent = fill_percent;
    }

    pub(super) fn count_datagrams(&mut self, rejected: u64, socket_drops: u64) {
        self.rejected = rejected;
        self.socket_drops = socket_drops;
    }

    pub(super) const fn phase(&self) -> Option<Phase> {
        match &self.tick {
            Some(tick) => Some(tick.phase),
            None => None,
        }
    }

    pub(super) const fn packets(&self) -> (u64, u64) {
        let expected = if self.received == 0 {
            0
        } else {
            self.highest - self.first + 1
        };
        (
            if self.received < expected {
                self.received
            } else {
                expected
            },
            expected,
        )
    }

    /// Said once, when the time to hear something is over.
    pub(super) fn unheard(&mut self, config: &ReceiverConfig, now: Time) -> Option<Unheard> {
        if self.heard_long || self.unheard_told || now.since(self.started) < config.unheard_after {
            return None;
        }
        self.unheard_told = true;
        Some(if self.received == 0 {
            Unheard::Anything
        } else if self.highest - self.first < self.received {
            Unheard::NoLongPacketSent
        } else {
            Unheard::LongPackets
        })
    }

    /// Right chunks to be told now: gathered for a while, except when the sender waits for them.
    pub(super) fn have(&mut self, complete: bool, now: Time) -> Option<ChunkSet> {
        let urgent = complete || self.phase() == Some(Phase::Settling);
        if self.have.is_empty() || (!urgent && now.since(self.have_since) < HAVE_INTERVAL) {
            return None;
        }
        self.have_since = now;
        self.declared = self.declared.wrapping_add(self.have.len());
        Some(std::mem::take(&mut self.have))
    }

    pub(super) fn report(
        &mut self,
        config: &ReceiverConfig,
        incomplete: impl Iterator<Item = (u32, Option<usize>)>,
        in_hand: u32,
        fill: u8,
        random: &mut Random,
        now: Time,
    ) -> Option<Report> {
        let heard = self.received > 0;
        if let Some((last, had_heard, had_in_hand)) = self.reported {
            let passed = now.since(last);
            let mut incomplete = incomplete.peekable();
            // The sender of a pass that is over waits to hear that nothing is on its way any more.
            let emptied = self.phase() == Some(Phase::Settling) && had_in_hand > 0 && in_hand == 0;
            self.pending = emptied || incomplete.peek().is_some();
            let due = passed >= config.keep_alive
                || (heard && !had_heard)
                || (self.pending && passed >= self.pause);
            return due.then(|| self.make_report(incomplete, in_hand, fill, random, now));
        }
        Some(self.make_report(incomplete, in_hand, fill, random, now))
    }

    fn make_report(
        &mut self,
        incomplete: impl Iterator<Item = (u32, Option<usize>)>,
        in_hand: u32,
        fill: u8,
        random: &mut Random,
        now: Time,
    ) -> Report {
        let interval = self
            .tick
            .map_or(REPORT_INTERVAL, |tick| tick.report_interval());
        self.pause = random.shorten(interval);
        self.reported = Some((now, self.received > 0, in_hand));
        self.pending = false;
        let deficits = incomplete
            .take(MAX_DEFICITS)
            .map(|(group, missing)| Deficit {
                group: GroupNumber(group),
                missing: missing.map(|missing| u8::try_from(missing).unwrap_or(u8::MAX)),
            });
        let (received, expected) = self.packets();
        Report {
            as_of: self.highest,
            expected,
            received,
            rejected: self.rejected,
            socket_drops: self.socket_drops,
            chunks_in_hand: in_hand,
            chunks_declared: self.declared,
            stage: self.stage,
            fill_percent: self.fill_percent.max(fill),
            deficits: deficits.collect(),
            ..Report::default()
        }
    }

    /// When there may be something to do, after nothing was due at `now`.
    pub(super) fn wake_at(&self, config: &ReceiverConfig, now: Time) -> Time {
        let last = self.reported.map_or(now, |(last, ..)| last);
        let mut at = last + config.keep_alive;
        if self.pending {
            at = at.min(last + self.pause);
        }
        if let Some((_, since)) = self.sent.front() {
            at = at.min((*since + config.reorder_grace).max(last + self.pause));
        }
        if !self.have.is_empty() {
            at = at.min(self.have_since + HAVE_INTERVAL);
        }
        if !self.heard_long && !self.unheard_told {
            at = at.min(self.started + config.unheard_after);
        }
        at.max(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said after packets with these numbers, all of them ticks.
    fn told(numbers: &[u64]) -> Option<Unheard> {
        let mut reporting = Reporting::new(Time::default());
        for number in numbers {
            let tick = Tick {
                phase: Phase::Waiting,
                pass: 0,
                next_group: GroupNumber(0),
                oldest_group: GroupNumber(0),
                report_interval_ms: 50,
            };
            let packet = Packet {
                sequence: *number,
                body: Body::Tick(tick),
            };
            reporting.heard(&packet, Time::default());
        }
        let config = ReceiverConfig::new(8, 1400);
        let before = Time::from_micros(1_900_000);
        assert_eq!(reporting.unheard(&config, before), None);
        reporting.unheard(&config, Time::from_micros(2_100_000))
    }

    #[test]
    fn the_mtu_is_blamed_only_when_something_is_missing() {
        assert_eq!(told(&[]), Some(Unheard::Anything));
        assert_eq!(told(&[7, 8, 9]), Some(Unheard::NoLongPacketSent));
        assert_eq!(told(&[7]), Some(Unheard::NoLongPacketSent));
        assert_eq!(told(&[7, 9, 10, 12]), Some(Unheard::LongPackets));
    }
}
