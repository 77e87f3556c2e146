//! Groups that have been or are being sent, kept for repairs.

use std::collections::VecDeque;

use crate::chunks::SessionChunk;
use crate::packet::{GroupNumber, Symbol};
use crate::parity::{PARITY_SYMBOLS, ParityEncoder};
use crate::rope::Rope;
use crate::time::Time;

/// Parity symbols are made in multiples of this: few groups need more, and encoding again costs
/// little.
const PARITY_STEP: usize = 16;

/// One group.
#[derive(Debug)]
pub(super) struct Group {
    number: u32,
    pass: u8,
    first_chunk: SessionChunk,
    data: Rope,
    /// The first parity symbols, as many as were wanted and some more.
    parity: Vec<u8>,
    data_symbols: u8,
    /// Parity symbols to be sent right after the data.
    proactive: u8,
    /// How many of the first symbols (data and proactive parity) have been sent.
    sent: u16,
    /// Packet number of the last of them.
    sent_at: u64,
    sent_time: Time,
    /// Packet number of each repair so far.
    repairs: Vec<u64>,
    /// Repairs to be sent.
    demand: u16,
}

impl Group {
    const fn first_symbols(&self) -> u16 {
        self.data_symbols as u16 + self.proactive as u16
    }

    pub(super) const fn is_sent(&self) -> bool {
        self.sent >= self.first_symbols()
    }

    pub(super) const fn demand(&self) -> u16 {
        self.demand
    }

    /// When the last of the first symbols was sent.
    pub(super) const fn sent_time(&self) -> Time {
        self.sent_time
    }

    /// How many repairs would have to be sent further so that a receiver that lacked `missing`
    /// symbols when it had heard packet `as_of` could make the group whole. Zero while the
    /// first symbols are on their way.
    pub(super) fn further(&self, missing: Option<u8>, as_of: u64) -> u16 {
        if !self.is_sent() || as_of < self.sent_at {
            return 0;
        }
        let missing = missing.map_or(u16::from(self.data_symbols), |missing| {
            u16::from(missing.min(self.data_symbols))
        });
        let on_their_way =
            self.repairs.len() - self.repairs.partition_point(|sequence| *sequence <= as_of);
        missing.saturating_sub(u16::try_from(on_their_way).unwrap_or(u16::MAX))
    }

    pub(super) const fn raise_demand(&mut self, to: u16) {
        self.demand = to;
    }

    /// The `n`-th repair: parity that nobody has had, then the data again, then the same once more.
    fn repair_index(&self) -> u8 {
        let at = (usize::from(self.proactive) + self.repairs.len())
            % (PARITY_SYMBOLS + usize::from(self.data_symbols));
        let index = if at < PARITY_SYMBOLS {
            usize::from(self.data_symbols) + at
        } else {
            at - PARITY_SYMBOLS
        };
        index as u8
    }

    fn memory(&self) -> usize {
        self.data.len() + self.parity.len()
    }
}

/// Which symbol goes next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Chosen {
    group: u32,
    index: u8,
    pub(super) is_parity: bool,
    pub(super) is_repair: bool,
}

/// The groups from the oldest that can be repaired to the newest.
#[derive(Debug)]
pub(super) struct Window {
    groups: VecDeque<Group>,
    next_number: u32,
    symbol_size: usize,
    limit: usize,
    memory: usize,
    encoder: ParityEncoder,
    /// For symbols that lie in several pieces.
    scratch: Vec<u8>,
    /// Groups with demand; each once.
    repair_queue: VecDeque<u32>,
}

impl Window {
    pub(super) fn new(symbol_size: usize, limit: usize) -> Self {
        Self {
            groups: VecDeque::new(),
            next_number: 0,
            symbol_size,
            limit,
            memory: 0,
            encoder: ParityEncoder::default(),
            scratch: Vec::new(),
            repair_queue: VecDeque::new(),
        }
    }

    /// Adds a group to be sent. `data` is a whole number of symbols. Old groups fall out when the
    /// memory is full.
    pub(super) fn push(&mut self, data: Rope, first_chunk: SessionChunk, pass: u8, proactive: u8) {
        let data_symbols = (data.len() / self.symbol_size) as u8;
        self.memory += data.len();
        self.groups.push_back(Group {
            number: self.next_number,
            pass,
            first_chunk,
            data,
            parity: Vec::new(),
            data_symbols,
            proactive: proactive.min(PARITY_SYMBOLS as u8),
            sent: 0,
            sent_at: 0,
            sent_time: Time::default(),
            repairs: Vec::new(),
            demand: 0,
        });
        self.next_number += 1;
        while self.memory > self.limit && self.groups.len() > 1 {
            let Some(group) = self.groups.pop_front() else {
                break;
            };
            self.memory -= group.memory();
        }
    }

    /// Bytes held.
    pub(super) const fn memory(&self) -> usize {
        self.memory
    }

    /// The newest group has been sent as far as was planned (or there is none).
    pub(super) fn is_sent(&self) -> bool {
        self.groups.back().is_none_or(Group::is_sent)
    }

    /// All groups below this have been sent.
    pub(super) fn next_group(&self) -> GroupNumber {
        GroupNumber(self.next_number - u32::from(!self.is_sent()))
    }

    pub(super) fn oldest_group(&self) -> GroupNumber {
        GroupNumber(
            self.groups
                .front()
                .map_or(self.next_number, |group| group.number),
        )
    }

    pub(super) fn group_mut(&mut self, number: GroupNumber) -> Option<&mut Group> {
        let at = number.0.checked_sub(self.oldest_group().0)?;
        self.groups.get_mut(at as usize)
    }

    /// The group's demand was raised from nothing.
    pub(super) fn queue_repair(&mut self, number: GroupNumber) {
        self.repair_queue.push_back(number.0);
    }

    pub(super) fn wants_repair(&mut self) -> bool {
        let oldest = self.oldest_group().0;
        while self
            .repair_queue
            .front()
            .is_some_and(|number| *number < oldest)
        {
            self.repair_queue.pop_front();
        }
        !self.repair_queue.is_empty()
    }

    /// Takes the next repair, sent as packet `sequence`.
    pub(super) fn take_repair(&mut self, sequence: u64) -> Option<Chosen> {
        if !self.wants_repair() {
            return None;
        }
        let number = *self.repair_queue.front()?;
        let group = self.group_mut(GroupNumber(number))?;
        let index = group.repair_index();
        group.repairs.push(sequence);
        group.demand -= 1;
        let is_parity = index >= group.data_symbols;
        if group.demand == 0 {
            self.repair_queue.pop_front();
        }
        Some(Chosen {
            group: number,
            index,
            is_parity,
            is_repair: true,
        })
    }

    /// Takes the next of the newest group's first symbols, sent as packet `sequence`.
    pub(super) fn take_first(&mut self, sequence: u64, now: Time) -> Option<Chosen> {
        let group = self.groups.back_mut().filter(|group| !group.is_sent())?;
        let index = group.sent as u8;
        group.sent += 1;
        group.sent_at = sequence;
        group.sent_time = now;
        Some(Chosen {
            group: group.number,
            index,
            is_parity: index >= group.data_symbols,
            is_repair: false,
        })
    }

    /// The symbol's bytes and what goes with them.
    pub(super) fn symbol(&mut self, chosen: Chosen) -> Option<Symbol<'_>> {
        let size = self.symbol_size;
        let at = chosen.group.checked_sub(self.oldest_group().0)?;
        let group = self.groups.get_mut(at as usize)?;
        let index = usize::from(chosen.index);
        let data_symbols = usize::from(group.data_symbols);
        if chosen.is_parity && group.parity.len() < (index - data_symbols + 1) * size {
            let wanted = (index - data_symbols + 1)
                .next_multiple_of(PARITY_STEP)
                .min(PARITY_SYMBOLS);
            self.memory -= group.parity.len();
            group.parity = self
                .encoder
                .encode(&group.data, size, wanted, &mut self.scratch);
            self.memory += group.parity.len();
        }
        let payload = if chosen.is_parity {
            &group.parity[(index - data_symbols) * size..][..size]
        } else {
            group.data.slice(index * size, size, &mut self.scratch)
        };
        Some(Symbol {
            group: GroupNumber(group.number),
            pass: group.pass,
            data_symbols: group.data_symbols,
            index: chosen.index,
            first_chunk: group.first_chunk,
            payload,
        })
    }
}
