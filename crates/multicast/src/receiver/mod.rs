//! The receiving machine: packets in, chunks and reports out.

mod assembly;
mod config;
mod group;
mod reporting;

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

pub use assembly::ReceivedChunk;
pub(crate) use config::check_session;
pub use config::{InvalidConfig, ReceiverConfig};

use crate::chunks::{ChunkSet, SessionChunk};
use crate::erasure::ErasureSolver;
use crate::layout::read_table;
use crate::packet::{Body, Packet, Phase, Symbol, Tick};
use crate::random::Random;
use crate::report::{Report, Stage};
use crate::time::Time;
use assembly::Assembler;
use group::{GroupState, Groups, PartialGroup};
use reporting::Reporting;

/// A group of which no more than so many symbols were sent before the receiver listened is worth
/// repairing.
const FEW_SYMBOLS: u8 = 8;

/// What the driver of a [`Receiver`] is to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ReceiverAction {
    /// Tell the sender. May be lost.
    Report(Report),
    /// Tell the sender that these chunks are right. Must arrive, in order.
    Have(ChunkSet),
    /// No packet that carries chunks can reach this machine, it seems: continue by unicast. Said
    /// once.
    NotHeard(Unheard),
    /// Nothing to do before this, unless a packet comes or a chunk is judged.
    Wait(Time),
}

/// What was not heard, which hints at the reason.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unheard {
    /// Nothing at all: IGMP or MLD, TTL, a firewall, the wrong interface.
    Anything,
    /// Short packets come, and others that were sent do not: most likely the MTU.
    LongPackets,
    /// Short packets come, and none is missing: the sender has sent no long one.
    NoLongPacketSent,
}

/// Receives the chunks it wants from a multicast session.
///
/// The driver passes packets to [`packet`](Self::packet), takes chunks from
/// [`take_chunk`](Self::take_chunk) as fast as it can use them, judges each by
/// [`chunk_done`](Self::chunk_done) or [`chunk_bad`](Self::chunk_bad), and does what
/// [`poll`](Self::poll) says. Chunks not taken or not judged count as held: when the memory is
/// full, groups pass by and are reported as such.
#[derive(Debug)]
pub struct Receiver {
    config: ReceiverConfig,
    random: Random,
    /// Chunks of which bytes are wanted: neither right nor in hand.
    lacking: ChunkSet,
    /// Complete chunks that have not been judged, with their length.
    in_hand: BTreeMap<SessionChunk, usize>,
    in_hand_bytes: usize,
    ready: VecDeque<ReceivedChunk>,
    groups: Groups,
    assembler: Assembler,
    solver: ErasureSolver,
    reporting: Reporting,
    /// A tick was heard: it is known which groups were sent before.
    in_step: bool,
    /// The group that was on its way when the first tick was heard, until its first symbol is
    /// heard.
    joined_in: Option<u32>,
    skipped_groups: u32,
    /// Bytes thrown away that have not made a whole group yet.
    forgotten_bytes: usize,
    repaired: u64,
    useless: u64,
}

impl Receiver {
    /// A receiver that wants `wants`; `seed` spreads the reports of many receivers over time.
    ///
    /// # Errors
    /// What the session cannot be.
    pub fn new(
        config: ReceiverConfig,
        wants: ChunkSet,
        seed: u64,
        now: Time,
    ) -> Result<Self, InvalidConfig> {
        config.check()?;
        Ok(Self {
            reporting: Reporting::new(now),
            config,
            random: Random::new(seed),
            lacking: wants,
            in_hand: BTreeMap::new(),
            in_hand_bytes: 0,
            ready: VecDeque::new(),
            groups: Groups::default(),
            assembler: Assembler::default(),
            solver: ErasureSolver::default(),
            in_step: false,
            joined_in: None,
            skipped_groups: 0,
            forgotten_bytes: 0,
            repaired: 0,
            useless: 0,
        })
    }

    /// An authentic packet came.
    pub fn packet(&mut self, packet: &Packet<'_>, now: Time) {
        self.reporting.heard(packet, now);
        match &packet.body {
            Body::Symbol(symbol) => self.symbol(symbol, now),
            Body::Tick(tick) => self.tick(tick, now),
            Body::Probe { .. } => {}
        }
    }

    /// The next complete chunk, in the order in which they became complete.
    pub fn take_chunk(&mut self) -> Option<ReceivedChunk> {
        self.ready.pop_front()
    }

    /// The chunk is right: its hash is the manifest's. Also for chunks that came by another way.
    pub fn chunk_done(&mut self, number: SessionChunk) {
        self.put_down(number);
        if self.lacking.remove(number) {
            self.assembler.forget(number);
        }
        self.reporting.done(number);
    }

    /// The chunk is not what the manifest says: it is wanted again.
    pub fn chunk_bad(&mut self, number: SessionChunk) {
        if self.put_down(number) {
            self.lacking.insert(number);
        }
    }

    /// These chunks are wanted, too; the sender is to be told as well. Those in hand are not asked
    /// for again.
    pub fn want(&mut self, chunks: &ChunkSet) {
        for number in chunks
            .iter()
            .filter(|number| !self.in_hand.contains_key(number))
        {
            self.lacking.insert(number);
        }
    }

    /// These chunks come by another way: their bytes are not wanted any more.
    pub fn forgo(&mut self, chunks: &ChunkSet) {
        for number in chunks.iter() {
            if self.lacking.remove(number) {
                self.assembler.forget(number);
            }
        }
    }

    /// What the driver sees behind the network: which stage is the slowest, and how full the queues
    /// are (0 to 100).
    pub fn pressure(&mut self, stage: Stage, fill_percent: u8) {
        self.reporting.pressure(stage, fill_percent.min(100));
    }

    /// Counters that only the driver has: datagrams that were not ours (`OpenerCounts::rejected`),
    /// datagrams that the kernel dropped.
    pub fn count_datagrams(&mut self, rejected: u64, socket_drops: u64) {
        self.reporting.count_datagrams(rejected, socket_drops);
    }

    /// Chunks whose bytes are still wanted.
    #[must_use]
    pub const fn missing(&self) -> &ChunkSet {
        &self.lacking
    }

    /// Every chunk has come and been judged right, or is to come by another way.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.lacking.is_empty() && self.in_hand.is_empty()
    }

    /// Bytes held now.
    #[must_use]
    pub const fn memory(&self) -> usize {
        self.groups.memory() + self.assembler.memory() + self.in_hand_bytes
    }

    /// What the sender said last about where it is.
    #[must_use]
    pub const fn phase(&self) -> Option<Phase> {
        self.reporting.phase()
    }

    /// Packets that came, and packets that should have come since the first heard.
    #[must_use]
    pub const fn packets(&self) -> (u64, u64) {
        self.reporting.packets()
    }

    /// Symbols that were made from parity.
    #[must_use]
    pub const fn repaired(&self) -> u64 {
        self.repaired
    }

    /// Symbols that came without being of use: of groups that were whole already, or carry nothing
    /// that is wanted.
    #[must_use]
    pub const fn useless(&self) -> u64 {
        self.useless
    }

    /// What to do now. Call it again after every action but `Wait`.
    pub fn poll(&mut self, now: Time) -> ReceiverAction {
        if let Some(unheard) = self.reporting.unheard(&self.config, now) {
            return ReceiverAction::NotHeard(unheard);
        }
        let end = self.reporting.due_below(self.config.reorder_grace, now);
        let complete = self.is_complete();
        if let Some(have) = self.reporting.have(complete, now) {
            return ReceiverAction::Have(have);
        }
        let fill = (self.memory() * 100 / self.config.memory.max(1)).min(100) as u8;
        let in_hand = self.in_hand.len() as u32;
        let incomplete = self.groups.incomplete(end, &self.lacking);
        let report = self.reporting.report(
            &self.config,
            incomplete,
            in_hand,
            fill,
            &mut self.random,
            now,
        );
        if let Some(mut report) = report {
            report.skipped_groups = self.skipped_groups;
            report.repaired = self.repaired;
            return ReceiverAction::Report(report);
        }
        ReceiverAction::Wait(self.reporting.wake_at(&self.config, now))
    }

    fn put_down(&mut self, number: SessionChunk) -> bool {
        let bytes = self.in_hand.remove(&number);
        self.in_hand_bytes -= bytes.unwrap_or(0);
        bytes.is_some()
    }

    fn tick(&mut self, tick: &Tick, now: Time) {
        if !self.in_step {
            self.in_step = true;
            // What was sent before this receiver listened is not missing: it is for a later pass.
            if self.groups.end() == self.groups.base() {
                self.groups.close_below(tick.next_group.0);
                self.joined_in = Some(tick.next_group.0);
            }
        }
        self.groups.close_below(tick.oldest_group.0);
        self.groups.shrink();
        if let Some(last) = tick.next_group.0.checked_sub(1) {
            self.groups.slot(last);
            self.reporting.sent_below(tick.next_group.0, now);
        }
        self.reporting.tick(tick, now);
    }

    fn symbol(&mut self, symbol: &Symbol<'_>, now: Time) {
        let group = symbol.group.0;
        if symbol.payload.len() != self.config.symbol_size {
            return;
        }
        self.step_in(symbol);
        self.reporting.sent_below(group, now);
        let Some(slot) = self.groups.slot(group) else {
            self.useless += 1;
            return;
        };
        slot.starts.get_or_insert((symbol.pass, symbol.first_chunk));
        match &mut slot.state {
            GroupState::Closed => {
                self.useless += 1;
                return;
            }
            GroupState::Unheard => {
                let size = usize::from(symbol.data_symbols) * symbol.payload.len();
                let state = if self.make_room(size) {
                    PartialGroup::new(symbol)
                } else {
                    None
                };
                self.open(group, state);
            }
            GroupState::Partial(_) => {}
        }
        self.add(symbol);
    }

    /// Of the group that was on its way when this receiver began to listen, what was sent before is
    /// not missing either: it is left to a later pass.
    fn step_in(&mut self, symbol: &Symbol<'_>) {
        let group = symbol.group.0;
        let end = self.groups.end();
        // Before the first tick a gap in the groups means that what came first was a repair of an
        // old one.
        let unsure = !self.in_step && group >= end + u32::from(end != 0);
        if unsure || self.joined_in.is_some_and(|joined_in| group >= joined_in) {
            let begun = u32::from(symbol.index >= FEW_SYMBOLS);
            if unsure || self.joined_in == Some(group) {
                self.groups.close_below(group + begun);
            }
            self.joined_in = None;
        }
    }

    /// Starts a group, or lets it pass by when there is no memory for it.
    fn open(&mut self, group: u32, partial: Option<PartialGroup>) {
        let Some(slot) = self.groups.slot(group) else {
            return;
        };
        match partial {
            Some(partial) => {
                let memory = partial.memory();
                slot.state = GroupState::Partial(Box::new(partial));
                self.groups.memory_changed(0, memory);
            }
            None => {
                slot.state = GroupState::Closed;
                self.passed_by(1);
            }
        }
    }

    /// Groups passed by. They count when it is chunks not judged yet that fill the memory; what
    /// loss leaves unfinished fills it too, but says nothing about this machine.
    const fn passed_by(&mut self, groups: u32) {
        if self.in_hand_bytes >= self.config.memory / 2 {
            self.skipped_groups += groups;
        }
    }

    /// Chunks that cannot become complete in this pass go first; what goes with them counts as
    /// groups that passed by.
    fn make_room(&mut self, size: usize) -> bool {
        while self.memory() + size > self.config.memory {
            let before = self.assembler.memory();
            if !self.assembler.forget_stale(self.groups.base()) {
                return false;
            }
            self.forgotten_bytes += before - self.assembler.memory();
            self.passed_by((self.forgotten_bytes / size) as u32);
            self.forgotten_bytes %= size;
        }
        true
    }

    fn add(&mut self, symbol: &Symbol<'_>) {
        let group = symbol.group.0;
        let chunks = self.config.chunks;
        let Some(slot) = self.groups.slot(group) else {
            return;
        };
        let GroupState::Partial(partial) = &mut slot.state else {
            return;
        };
        let before = partial.memory();
        if !partial.take(symbol) {
            return;
        }
        let after = partial.memory();
        let unneeded = symbol.index == 0
            && {
                let table = partial
                    .head()
                    .map(|head| read_table(head, partial.size(), chunks));
                matches!(
                    table,
                    Some(Ok(Some(table))) if table.iter().all(|(segment, _)| !self.lacking.contains(segment.chunk))
                )
            };
        self.useless += u64::from(unneeded);
        if unneeded || partial.missing() == 0 {
            let state = std::mem::replace(&mut slot.state, GroupState::Closed);
            self.groups.memory_changed(before, 0);
            if let (GroupState::Partial(partial), false) = (state, unneeded) {
                self.whole(*partial, group);
            }
            self.groups.shrink();
        } else {
            self.groups.memory_changed(before, after);
        }
    }

    fn whole(&mut self, partial: PartialGroup, group: u32) {
        let Some((bytes, restored)) = partial.finish(&mut self.solver) else {
            return;
        };
        self.repaired += restored as u64;
        let Ok(Some(table)) = read_table(&bytes, bytes.len(), self.config.chunks) else {
            return;
        };
        let wanted = table
            .iter()
            .filter(|(segment, _)| self.lacking.contains(segment.chunk));
        let wanted_bytes: usize = wanted.map(|(segment, _)| segment.length as usize).sum();
        // A slice keeps the whole group in memory; where little of it is wanted, that little is
        // copied.
        let slice = wanted_bytes >= bytes.len() / 8 * 7;
        let bytes = Bytes::from(bytes);
        for (segment, at) in table {
            if !self.lacking.contains(segment.chunk) {
                continue;
            }
            let part = bytes.slice(at..at + segment.length as usize);
            let part = if slice {
                part
            } else {
                Bytes::copy_from_slice(&part)
            };
            if let Some(chunk) = self.assembler.add(&segment, &part, group) {
                self.lacking.remove(chunk.number);
                self.in_hand_bytes += chunk.len();
                self.in_hand.insert(chunk.number, chunk.len());
                self.ready.push_back(chunk);
            }
        }
    }
}
