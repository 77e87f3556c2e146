//! Groups that are being received.

use std::collections::VecDeque;

use crate::chunks::{ChunkSet, SessionChunk};
use crate::erasure::ErasureSolver;
use crate::packet::{MAX_SYMBOLS, Symbol};
use crate::parity::{MAX_DATA_SYMBOLS, PARITY_SYMBOLS};

/// How many groups may be open; more than any window of a sender.
pub(super) const MAX_SPAN: u32 = 4096;

/// A group of which some symbols are there.
#[derive(Debug)]
pub(super) struct PartialGroup {
    data_symbols: usize,
    data: Vec<u8>,
    /// By index, data and parity.
    have: [u64; MAX_SYMBOLS / 64],
    data_count: usize,
    /// Parity symbols (from 0) that are there, and in the place of which data symbol each of them
    /// waits: together there are never more symbols than data symbols, so that parity takes no
    /// further memory.
    parity: Vec<(u8, u8)>,
}

impl PartialGroup {
    /// `None` for a group that no sender of this version makes.
    pub(super) fn new(symbol: &Symbol<'_>) -> Option<Self> {
        let data_symbols = usize::from(symbol.data_symbols);
        (data_symbols <= MAX_DATA_SYMBOLS).then(|| Self {
            data_symbols,
            data: vec![0; data_symbols * symbol.payload.len()],
            have: [0; MAX_SYMBOLS / 64],
            data_count: 0,
            parity: Vec::new(),
        })
    }

    /// Takes a symbol; `false` when it is of no use.
    pub(super) fn take(&mut self, symbol: &Symbol<'_>) -> bool {
        let index = usize::from(symbol.index);
        let size = self.data.len() / self.data_symbols;
        let of_this_group =
            usize::from(symbol.data_symbols) == self.data_symbols && symbol.payload.len() == size;
        if !of_this_group
            || index >= self.data_symbols + PARITY_SYMBOLS
            || self.has(index)
            || self.missing() == 0
        {
            return false;
        }
        if index < self.data_symbols {
            self.clear_place(index, size);
            self.put(index, size, symbol.payload);
            self.data_count += 1;
        } else {
            let Some(place) = self.free_place(None) else {
                return false;
            };
            self.put(place, size, symbol.payload);
            self.parity
                .push(((index - self.data_symbols) as u8, place as u8));
        }
        self.have[index / 64] |= 1 << (index % 64);
        true
    }

    /// The place of a data symbol that is neither there nor lent to parity.
    fn free_place(&self, except: Option<usize>) -> Option<usize> {
        (0..self.data_symbols).find(|&place| {
            Some(place) != except
                && !self.has(place)
                && self
                    .parity
                    .iter()
                    .all(|&(_, lent)| usize::from(lent) != place)
        })
    }

    /// Moves the parity symbol away that waits where this data symbol goes.
    fn clear_place(&mut self, index: usize, size: usize) {
        let Some(at) = self
            .parity
            .iter()
            .position(|&(_, lent)| usize::from(lent) == index)
        else {
            return;
        };
        let place = self
            .free_place(Some(index))
            .expect("a group that is not whole has fewer symbols than places");
        self.data
            .copy_within(index * size..(index + 1) * size, place * size);
        self.parity[at].1 = place as u8;
    }

    fn put(&mut self, place: usize, size: usize, payload: &[u8]) {
        self.data[place * size..(place + 1) * size].copy_from_slice(payload);
    }

    /// How many symbols more make it whole.
    pub(super) fn missing(&self) -> usize {
        self.data_symbols
            .saturating_sub(self.data_count + self.parity.len())
    }

    /// The bytes at the group's start, as far as its first symbol goes.
    pub(super) fn head(&self) -> Option<&[u8]> {
        self.has(0)
            .then(|| &self.data[..self.data.len() / self.data_symbols])
    }

    pub(super) fn size(&self) -> usize {
        self.data.len()
    }

    pub(super) fn memory(&self) -> usize {
        self.data.len()
    }

    /// The group's bytes and how many symbols were restored; `missing` must be zero. `None`: it
    /// could not be restored.
    pub(super) fn finish(mut self, solver: &mut ErasureSolver) -> Option<(Vec<u8>, usize)> {
        let restored = self.data_symbols - self.data_count;
        if restored > 0 {
            let size = self.data.len() / self.data_symbols;
            let missing: Vec<usize> = (0..self.data_symbols)
                .filter(|index| !self.has(*index))
                .collect();
            let lent = |place: u8| &self.data[usize::from(place) * size..][..size];
            let symbols: Vec<Vec<u8>> = self
                .parity
                .iter()
                .map(|&(_, place)| lent(place).to_vec())
                .collect();
            let parity: Vec<(usize, &[u8])> = self
                .parity
                .iter()
                .zip(&symbols)
                .map(|(&(index, _), symbol)| (usize::from(index), &symbol[..]))
                .collect();
            if !solver.restore(&mut self.data, size, &missing, &parity) {
                return None;
            }
        }
        Some((self.data, restored))
    }

    fn has(&self, index: usize) -> bool {
        self.have[index / 64] & (1 << (index % 64)) != 0
    }
}

/// How far a group is.
#[derive(Debug, Default)]
pub(super) enum GroupState {
    #[default]
    Unheard,
    Partial(Box<PartialGroup>),
    /// Whole, or not needed, or given up.
    Closed,
}

/// What is known of a group.
#[derive(Debug, Default)]
pub(super) struct Slot {
    pub(super) state: GroupState,
    /// Pass and first chunk, once a symbol was heard.
    pub(super) starts: Option<(u8, SessionChunk)>,
}

/// The groups that may still become whole, in order.
#[derive(Debug, Default)]
pub(super) struct Groups {
    /// Number of the first slot. All groups before it are closed.
    base: u32,
    slots: VecDeque<Slot>,
    /// Where the last closed group that was heard started.
    before: Option<(u8, SessionChunk)>,
    /// Bytes in partial groups.
    memory: usize,
}

impl Groups {
    pub(super) const fn base(&self) -> u32 {
        self.base
    }

    /// One past the highest group that has a slot.
    pub(super) fn end(&self) -> u32 {
        self.base + self.slots.len() as u32
    }

    pub(super) const fn memory(&self) -> usize {
        self.memory
    }

    pub(super) fn memory_changed(&mut self, before: usize, after: usize) {
        self.memory = self.memory + after - before;
    }

    /// The group's slot, made when there is none; `None` for groups that are closed for good.
    pub(super) fn slot(&mut self, group: u32) -> Option<&mut Slot> {
        let at = group.checked_sub(self.base)?;
        if at >= MAX_SPAN {
            self.close_below(group - MAX_SPAN + 1);
        }
        let at = (group - self.base) as usize;
        while self.slots.len() <= at {
            self.slots.push_back(Slot::default());
        }
        Some(&mut self.slots[at])
    }

    /// Gives up the groups below `group`; returns how many were neither closed nor unheard of.
    pub(super) fn close_below(&mut self, group: u32) -> u32 {
        let mut lost = 0;
        while self.base < group {
            match self.slots.pop_front() {
                Some(slot) => {
                    if let GroupState::Partial(partial) = &slot.state {
                        self.memory -= partial.memory();
                        lost += 1;
                    }
                    self.before = slot.starts.or(self.before);
                    self.base += 1;
                }
                None => self.base = group,
            }
        }
        lost
    }

    /// Closed groups at the front need no slot.
    pub(super) fn shrink(&mut self) {
        while matches!(
            self.slots.front(),
            Some(Slot {
                state: GroupState::Closed,
                ..
            })
        ) {
            self.close_below(self.base + 1);
        }
    }

    /// Groups below `end` that are not whole and may carry a chunk of `wants`: number and, when
    /// known, what is missing.
    pub(super) fn incomplete<'a>(
        &'a self,
        end: u32,
        wants: &'a ChunkSet,
    ) -> impl Iterator<Item = (u32, Option<usize>)> + 'a {
        let count = end.saturating_sub(self.base) as usize;
        let mut before = self.before;
        self.slots
            .iter()
            .enumerate()
            .take(count)
            .filter_map(move |(at, slot)| {
                let from = slot.starts.or(before);
                before = from;
                let missing = match &slot.state {
                    GroupState::Closed => return None,
                    GroupState::Unheard => None,
                    GroupState::Partial(partial) => Some(partial.missing()),
                };
                self.may_carry(at, from, wants)
                    .then_some((self.base + at as u32, missing))
            })
    }

    /// Chunks ascend within a pass: the group lies between where it (or the last one heard before
    /// it) starts and where the next one heard starts.
    fn may_carry(&self, at: usize, from: Option<(u8, SessionChunk)>, wants: &ChunkSet) -> bool {
        let to = self.slots.range(at + 1..).find_map(|slot| slot.starts);
        match (from, to) {
            (Some((pass, first)), Some((next_pass, next))) if pass == next_pass => {
                wants.touches(first, next)
            }
            (Some((_, first)), None) => wants.touches(first, SessionChunk(u32::MAX)),
            _ => !wants.is_empty(),
        }
    }
}
