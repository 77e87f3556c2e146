//! What stays in the cache and what goes: pure. Sizes in bytes; the least recently used goes first,
//! and what is in use never does.

use std::collections::HashMap;
use std::hash::Hash;

/// What a cache of a limited size holds.
#[derive(Debug)]
pub(super) struct Lru<K> {
    limit: u64,
    used: u64,
    /// Room that was made and not yet taken.
    reserved: u64,
    /// Counts uses.
    clock: u64,
    items: HashMap<K, Item>,
}

#[derive(Clone, Copy, Debug)]
struct Item {
    size: u64,
    used_at: u64,
    /// How many use it now.
    pins: usize,
}

/// There is no room until something that is in use no longer is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct AllInUse;

impl<K: Copy + Eq + Hash + Ord> Lru<K> {
    pub(super) fn new(limit: u64) -> Self {
        Self {
            limit,
            used: 0,
            reserved: 0,
            clock: 0,
            items: HashMap::new(),
        }
    }

    pub(super) fn used(&self) -> u64 {
        self.used
    }

    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    /// Uses an item: it stays until it is unpinned as often. `false`: it is not there.
    pub(super) fn pin(&mut self, key: &K) -> bool {
        self.clock += 1;
        let Some(item) = self.items.get_mut(key) else {
            return false;
        };
        item.pins += 1;
        item.used_at = self.clock;
        true
    }

    pub(super) fn unpin(&mut self, key: &K) {
        if let Some(item) = self.items.get_mut(key) {
            item.pins = item.pins.saturating_sub(1);
        }
    }

    /// Adds an item that is in use, in the room that was made for it.
    pub(super) fn add_pinned(&mut self, key: K, size: u64) {
        self.give_back(size);
        self.add(key, size, 1);
    }

    /// Adds what an earlier process has left, in the order of its uses.
    pub(super) fn add_found(&mut self, key: K, size: u64) {
        self.add(key, size, 0);
    }

    fn add(&mut self, key: K, size: u64, pins: usize) {
        self.remove(&key);
        self.clock += 1;
        self.used += size;
        let used_at = self.clock;
        self.items.insert(
            key,
            Item {
                size,
                used_at,
                pins,
            },
        );
    }

    pub(super) fn remove(&mut self, key: &K) {
        if let Some(item) = self.items.remove(key) {
            self.used -= item.size;
        }
    }

    /// The room is not needed after all.
    pub(super) fn give_back(&mut self, size: u64) {
        self.reserved = self.reserved.saturating_sub(size);
    }

    /// Takes out as much as `size` more bytes need, least recently used first, and returns it. The
    /// room is kept for [`add_pinned`](Self::add_pinned). When it cannot be had, nothing is taken out.
    pub(super) fn make_room(&mut self, size: u64) -> Result<Vec<K>, AllInUse> {
        let too_much = (self.used + self.reserved + size).saturating_sub(self.limit);
        let (victims, freed) = self.oldest(too_much);
        if freed < too_much {
            return Err(AllInUse);
        }
        self.reserved += size;
        victims.iter().for_each(|key| self.remove(key));
        Ok(victims)
    }

    /// Changes the limit, and takes out what is above it and not in use.
    pub(super) fn set_limit(&mut self, limit: u64) -> Vec<K> {
        self.limit = limit;
        let (victims, _) = self.oldest((self.used + self.reserved).saturating_sub(limit));
        victims.iter().for_each(|key| self.remove(key));
        victims
    }

    /// The least recently used items that are not in use, as many as have this size together, and
    /// their size.
    fn oldest(&self, size: u64) -> (Vec<K>, u64) {
        let mut idle: Vec<_> = self
            .items
            .iter()
            .filter(|(_, item)| size > 0 && item.pins == 0)
            .map(|(key, item)| (item.used_at, *key, item.size))
            .collect();
        idle.sort_unstable();
        let (mut victims, mut freed) = (Vec::new(), 0);
        for (_, key, of_one) in idle {
            if freed >= size {
                break;
            }
            freed += of_one;
            victims.push(key);
        }
        (victims, freed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(limit: u64, items: &[(u32, u64)]) -> Lru<u32> {
        let mut lru = Lru::new(limit);
        items
            .iter()
            .for_each(|(key, size)| lru.add_found(*key, *size));
        lru
    }

    #[test]
    fn the_least_recently_used_goes_first_and_no_more_than_is_needed() {
        let mut lru = with(100, &[(1, 40), (2, 30), (3, 30)]);
        assert!(lru.pin(&1));
        lru.unpin(&1);
        assert_eq!(lru.make_room(20), Ok(vec![2]));
        assert_eq!(lru.used(), 70);
        // What is on its way counts.
        assert_eq!(lru.make_room(11), Ok(vec![3]));
        lru.give_back(20);
        lru.give_back(11);
        lru.add_found(3, 30);
        assert_eq!(lru.make_room(30), Ok(vec![]));
        lru.add_pinned(4, 30);
        assert_eq!(lru.make_room(31), Ok(vec![1]));
        assert!(lru.pin(&3));
        assert!(!lru.pin(&1) && !lru.pin(&9));
    }

    #[test]
    fn what_is_in_use_stays_until_the_last_one_lets_go() {
        let mut lru = with(100, &[(1, 60), (2, 40)]);
        assert!(lru.pin(&1) && lru.pin(&1) && lru.pin(&2));
        assert_eq!(lru.make_room(10), Err(AllInUse));
        lru.unpin(&1);
        assert_eq!(lru.make_room(10), Err(AllInUse));
        // Too little of it is idle: then that stays, too.
        lru.unpin(&2);
        assert_eq!(lru.make_room(50), Err(AllInUse));
        assert_eq!(lru.used(), 100);
        lru.unpin(&1);
        assert_eq!(lru.make_room(50), Ok(vec![1]));
    }

    #[test]
    fn a_lower_limit_takes_out_what_is_idle() {
        let mut lru = with(100, &[(1, 30), (2, 30), (3, 30)]);
        assert!(lru.pin(&1));
        assert_eq!(lru.set_limit(40), [2, 3]);
        assert_eq!((lru.used(), lru.limit()), (30, 40));
        assert!(lru.set_limit(10).is_empty());
        assert_eq!(lru.make_room(1), Err(AllInUse));
    }

    /// Whatever happens, sizes add up, the limit holds, and nothing that is in use goes.
    #[test]
    fn any_history_keeps_the_limit_and_what_is_in_use() {
        for seed in 1..200_u64 {
            let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            let mut random = |below: u64| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state % below
            };
            let mut lru = Lru::new(1000);
            let (mut pins, mut sizes) = (HashMap::new(), HashMap::<u64, u64>::new());
            for _ in 0..300 {
                let key = random(20);
                match random(3) {
                    0 if lru.pin(&key) => *pins.entry(key).or_insert(0) += 1,
                    1 if pins.get(&key).is_some_and(|pins| *pins > 0) => {
                        lru.unpin(&key);
                        *pins.entry(key).or_insert(0) -= 1;
                    }
                    _ if sizes.contains_key(&key) => {}
                    _ => {
                        let size = 1 + random(400);
                        let Ok(victims) = lru.make_room(size) else {
                            let in_use: u64 = sizes
                                .iter()
                                .filter(|(key, _)| pins.get(*key).is_some_and(|pins| *pins > 0))
                                .map(|(_, size)| size)
                                .sum();
                            assert!(in_use + size > 1000, "seed {seed}");
                            continue;
                        };
                        for victim in victims {
                            assert_eq!(pins.get(&victim).copied().unwrap_or(0), 0, "seed {seed}");
                            sizes.remove(&victim);
                        }
                        lru.add_pinned(key, size);
                        sizes.insert(key, size);
                        pins.insert(key, 1);
                    }
                }
                assert_eq!(lru.used(), sizes.values().sum::<u64>(), "seed {seed}");
                assert!(lru.used() <= 1000, "seed {seed}");
            }
        }
    }
}
