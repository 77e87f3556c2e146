//! In which order chunks are read, and which need not be, because they are in holes. Asks about a
//! hole once, however long it is.

use std::collections::VecDeque;
use std::ops::Range;

use foghorn_image::{CHUNK_SIZE, DiskGeometry};
use foghorn_types::ChunkIndex;

use super::board::{Shared, Slot};

/// What is to be done next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// These chunks are zero without being read.
    Holes(Range<Slot>),
    Read(Slot),
}

/// All chunks of a survey, in order.
struct Steps<'a> {
    shared: &'a Shared,
    slot: usize,
    /// The next data that is known of, if any: nothing lies between the chunk at hand and its start.
    data: Range<u64>,
}

impl Iterator for Steps<'_> {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        let first = self.slot;
        let base = DiskGeometry::chunk_offset(self.shared.index(first)?).bytes();
        if self.data.end <= base {
            self.data = self.shared.disk.data_from(base);
        }
        // The chunks that end before the next data begins.
        if self.data.start / CHUNK_SIZE > base / CHUNK_SIZE {
            let data = u32::try_from(self.data.start / CHUNK_SIZE).unwrap_or(u32::MAX);
            self.slot = self.shared.slots_below(ChunkIndex::new(data)) as usize;
            return Some(Step::Holes(first as Slot..self.slot as Slot));
        }
        self.slot += 1;
        Some(Step::Read(first as Slot))
    }
}

/// The steps, with a view of those ahead, of which the kernel is told.
pub(super) struct Ahead<'a> {
    steps: Steps<'a>,
    waiting: VecDeque<Step>,
    most: usize,
}

impl<'a> Ahead<'a> {
    /// Looks as far ahead as `most` chunks that are to be read.
    pub(super) fn new(shared: &'a Shared, most: usize) -> Self {
        Self {
            steps: Steps {
                shared,
                slot: 0,
                data: 0..0,
            },
            waiting: VecDeque::new(),
            most,
        }
    }

    /// The next step. With `hints`, the kernel is asked to read what comes after it.
    pub(super) fn next(&mut self, hints: bool) -> Option<Step> {
        // A row of holes is one step, so there are at most as many of them as of the others.
        while self.waiting.len() <= self.most {
            let Some(step) = self.steps.next() else { break };
            if let Step::Read(slot) = step
                && hints
            {
                let shared = self.steps.shared;
                if let Some(index) = shared.index(slot as usize) {
                    let base = DiskGeometry::chunk_offset(index).bytes();
                    shared.disk.will_need(base, CHUNK_SIZE);
                }
            }
            self.waiting.push_back(step);
        }
        self.waiting.pop_front()
    }
}
