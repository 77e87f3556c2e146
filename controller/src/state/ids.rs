//! Ids without contention: a controller reserves a block of them in the store and gives them out
//! from memory.
//!
//! The store keeps, for each class, the last id that belongs to anybody (`key::sequence`). A draft
//! that finds no id in memory takes the next block together with its own change, under a compare on
//! that number, so blocks of several controllers never overlap and no id is given twice. While a
//! block lasts, creates have nothing in common and do not conflict.
//!
//! A block begins with one id and doubles as long as ids are wanted quickly. So whoever creates a
//! host now and then finds ids without gaps, also over restarts; a controller that is killed in the
//! middle of a large import loses the rest of one block. An id goes back only when it is certain
//! that it was not stored.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use tokio::time::Instant;

use super::tables::Tables;

/// Most ids in a block: enough that reserving is rare at thousands of creates a second.
const LARGEST_BLOCK: u32 = 512;
/// The next block is larger when this one was used up within this time, and small again otherwise.
const SOON: Duration = Duration::from_secs(5);

/// The ids that this controller may give out, by class.
#[derive(Default)]
pub(crate) struct IdPools {
    pools: Mutex<HashMap<&'static str, Pool>>,
    /// Ids that are not given out, because something outside the store has them.
    avoided: RwLock<HashMap<&'static str, HashSet<u32>>>,
}

struct Pool {
    free: BTreeSet<u32>,
    /// The end of the last block that was reserved here.
    end: u32,
    /// Ids in the last block.
    size: u32,
    reserved_at: Instant,
}

/// A block that a draft reserves if it is stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Block {
    next: u32,
    /// The last id in it.
    end: u32,
    /// How many ids it began with; 0 when it only skips.
    size: u32,
    /// Ids up to here are not given out any more, whoever has them in memory here.
    skipped: u32,
}

/// The ids that one draft has taken, and those it reserves. It has to be told what became of the
/// draft; without a word, as when its caller has gone away in the middle of a commit, its ids are
/// used up.
pub(crate) struct IdLoan {
    pools: Arc<IdPools>,
    taken: Vec<(&'static str, u32)>,
    blocks: HashMap<&'static str, Block>,
}

/// An id, and what the store has to be told for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Given {
    FromMemory(u32),
    /// The store's number for the class becomes `end`.
    FromBlock {
        id: u32,
        end: u32,
    },
}

impl IdPools {
    pub(crate) fn loan(self: &Arc<Self>) -> IdLoan {
        IdLoan {
            pools: self.clone(),
            taken: Vec::new(),
            blocks: HashMap::new(),
        }
    }

    fn with<R>(&self, act: impl FnOnce(&mut HashMap<&'static str, Pool>) -> R) -> R {
        // Every change of a pool is a single call, so a panic elsewhere leaves it whole.
        act(&mut self.pools.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// These ids are not given out any more, by this controller and until it ends.
    pub(crate) fn avoid(&self, class: &'static str, ids: impl IntoIterator<Item = u32>) {
        let ids: Vec<u32> = {
            let known = self.avoided.read().unwrap_or_else(PoisonError::into_inner);
            let known = known.get(class);
            let new = |id: &u32| known.is_none_or(|known| !known.contains(id));
            ids.into_iter().filter(new).collect()
        };
        if !ids.is_empty() {
            let mut known = self.avoided.write().unwrap_or_else(PoisonError::into_inner);
            known.entry(class).or_default().extend(ids);
        }
    }

    fn is_avoided(&self, class: &'static str, id: u32) -> bool {
        let known = self.avoided.read().unwrap_or_else(PoisonError::into_inner);
        known.get(class).is_some_and(|ids| ids.contains(&id))
    }

    /// `last` is the store's number: a store that was put back to an older state has forgotten our
    /// blocks, and so must we.
    fn take(&self, class: &'static str, last: u32, tables: &Tables) -> Option<u32> {
        self.with(|pools| {
            let pool = pools.get_mut(class)?;
            if pool.end > last {
                pools.remove(class);
                return None;
            }
            // A client may have stored an object under an id of ours that was still free
            // (`IdLoan::skip`).
            while let Some(id) = pool.free.pop_first() {
                if !tables.contains(class, id) && !self.is_avoided(class, id) {
                    return Some(id);
                }
            }
            None
        })
    }

    /// How many ids the next block should have.
    fn block_size(&self, class: &'static str) -> u32 {
        self.with(|pools| match pools.get(class) {
            Some(pool) if pool.reserved_at.elapsed() < SOON => (pool.size * 2).min(LARGEST_BLOCK),
            _ => 1,
        })
    }

    fn add(&self, class: &'static str, block: Block) {
        let size = block.size.max(1);
        self.with(|pools| {
            let pool = pools.entry(class).or_insert_with(|| Pool {
                free: BTreeSet::new(),
                end: 0,
                size,
                reserved_at: Instant::now(),
            });
            pool.free.retain(|free| *free > block.skipped);
            pool.free.extend(block.next..=block.end);
            (pool.end, pool.size, pool.reserved_at) =
                (pool.end.max(block.end), size, Instant::now());
        });
    }
}

impl IdLoan {
    /// The next id of a class.
    pub(crate) fn next(&mut self, class: &'static str, tables: &Tables) -> Given {
        let last = tables.sequence(class).map_or(0, |sequence| sequence.last);
        if !self.blocks.contains_key(class)
            && let Some(id) = self.pools.take(class, last, tables)
        {
            self.taken.push((class, id));
            return Given::FromMemory(id);
        }
        let pools = &self.pools;
        let block = self.blocks.entry(class).or_insert_with(|| {
            let size = pools.block_size(class);
            Block {
                next: last + 1,
                end: last + size,
                size,
                skipped: 0,
            }
        });
        while pools.is_avoided(class, block.next) {
            block.next += 1;
        }
        let id = block.next;
        block.next += 1;
        // A draft that wants more takes just these: default rows, which come by the hundred, leave
        // no gap.
        block.end = block.end.max(id);
        Given::FromBlock { id, end: block.end }
    }

    /// No later id of the class will be `id` or less, as far as this controller gives them out.
    /// Returns the store's number.
    pub(crate) fn skip(&mut self, class: &'static str, id: u32, tables: &Tables) -> u32 {
        let last = tables.sequence(class).map_or(0, |sequence| sequence.last);
        let block = self.blocks.entry(class).or_insert(Block {
            next: last + 1,
            end: last,
            size: 0,
            skipped: 0,
        });
        block.next = block.next.max(id + 1);
        block.end = block.end.max(id);
        block.skipped = block.skipped.max(id);
        block.end
    }

    /// Whether the draft moves the last id that belongs to anybody.
    pub(crate) fn reserves(&self) -> bool {
        !self.blocks.is_empty()
    }

    /// The draft was stored: the rest of its blocks is ours.
    pub(crate) fn stored(self) {
        for (class, block) in self.blocks {
            self.pools.add(class, block);
        }
    }

    /// The draft was certainly not stored.
    pub(crate) fn give_back(self) {
        self.pools.with(|pools| {
            for (class, id) in self.taken {
                if let Some(pool) = pools.get_mut(class)
                    && id <= pool.end
                {
                    pool.free.insert(id);
                }
            }
        });
    }
}
