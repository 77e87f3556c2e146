//! What is sent next: the pass over the chunks, their bytes on the way in, the group being filled.

use std::collections::VecDeque;

use bytes::Bytes;

use super::members::Members;
use crate::chunks::{ChunkSet, SessionChunk};
use crate::layout::{MAX_CHUNK_BYTES, Packer};
use crate::rope::Rope;

#[derive(Debug)]
enum Slot {
    Asked(SessionChunk),
    Ready(SessionChunk, Bytes),
}

/// One pass after the other over the wanted chunks.
#[derive(Debug)]
pub(super) struct Source {
    read_ahead: usize,
    symbol_size: usize,
    /// Next chunk to look at.
    cursor: u32,
    /// A chunk goes into this pass when so many receivers want it.
    least: u16,
    /// Chunks that this pass is about, when it is not about all.
    only: Option<ChunkSet>,
    slots: VecDeque<Slot>,
    /// How far the first slot's chunk has been packed.
    offset: usize,
    packer: Packer,
    /// Chunks that the store does not give.
    unavailable: ChunkSet,
    /// Chunks of which bytes were sent; counts the payload.
    sent: ChunkSet,
    payload_bytes: u64,
}

impl Source {
    pub(super) const fn new(group_size: usize, symbol_size: usize, read_ahead: u32) -> Self {
        Self {
            read_ahead: if read_ahead == 0 {
                1
            } else {
                read_ahead as usize
            },
            symbol_size,
            cursor: 0,
            least: 1,
            only: None,
            slots: VecDeque::new(),
            offset: 0,
            packer: Packer::new(group_size),
            unavailable: ChunkSet::new(),
            sent: ChunkSet::new(),
            payload_bytes: 0,
        }
    }

    /// Begins a pass over what at least `least` receivers want, of `only` if it is given.
    pub(super) fn begin_pass(&mut self, least: u16, only: Option<ChunkSet>) {
        self.only = only;
        self.cursor = 0;
        self.least = least;
    }

    /// The next chunk to ask the store for.
    pub(super) fn next_load(&mut self, members: &Members) -> Option<SessionChunk> {
        if self.slots.len() >= self.read_ahead {
            return None;
        }
        let suits = |number| {
            !self.unavailable.contains(number)
                && self.only.as_ref().is_none_or(|only| only.contains(number))
        };
        match members.next_wanted(self.cursor, self.least, suits) {
            Some(number) => {
                self.cursor = number.0 + 1;
                self.slots.push_back(Slot::Asked(number));
                Some(number)
            }
            None => {
                self.cursor = u32::MAX;
                None
            }
        }
    }

    /// The store's answer.
    pub(super) fn loaded(&mut self, number: SessionChunk, bytes: Option<Bytes>) {
        let Some(at) = self
            .slots
            .iter()
            .position(|slot| matches!(slot, Slot::Asked(asked) if *asked == number))
        else {
            return;
        };
        match bytes.filter(|bytes| !bytes.is_empty() && bytes.len() <= MAX_CHUNK_BYTES as usize) {
            Some(bytes) => self.slots[at] = Slot::Ready(number, bytes),
            None => {
                self.unavailable.insert(number);
                self.slots.remove(at);
            }
        }
    }

    /// The next group and its first chunk, when there are bytes for a full one, or when the pass
    /// has no more.
    pub(super) fn next_group(&mut self, members: &Members) -> Option<(Rope, SessionChunk)> {
        while !self.packer.is_full() {
            match self.slots.front() {
                Some(Slot::Ready(number, bytes)) => {
                    // Whoever wanted it may have left meanwhile; what has begun is finished.
                    let taken = if self.offset == 0 && members.wanted_by(*number) == 0 {
                        bytes.len()
                    } else {
                        let taken = self.packer.push(*number, bytes, self.offset);
                        if self.offset == 0 && self.sent.insert(*number) {
                            self.payload_bytes += bytes.len() as u64;
                        }
                        taken
                    };
                    self.offset += taken;
                    if self.offset >= bytes.len() {
                        self.offset = 0;
                        self.slots.pop_front();
                    }
                }
                Some(Slot::Asked(_)) => return None,
                None => break,
            }
        }
        let finished = self.packer.is_full() || (self.is_exhausted() && !self.packer.is_empty());
        finished.then(|| self.packer.finish(self.symbol_size))
    }

    /// The pass has no more chunks: the group made next is its last one.
    pub(super) fn is_exhausted(&self) -> bool {
        self.cursor == u32::MAX && self.slots.is_empty()
    }

    /// Nothing is left of the pass.
    pub(super) fn is_empty(&self) -> bool {
        self.is_exhausted() && self.packer.is_empty()
    }

    pub(super) const fn unavailable(&self) -> &ChunkSet {
        &self.unavailable
    }

    /// Compressed bytes of chunks, counted when they were sent for the first time.
    pub(super) const fn payload_bytes(&self) -> u64 {
        self.payload_bytes
    }
}
