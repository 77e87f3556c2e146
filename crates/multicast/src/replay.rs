//! Which sequence numbers have been seen.

/// How far behind the newest a packet may be and still be taken. Reordering on a LAN is far below
/// it.
pub(crate) const REPLAY_SPAN: u64 = 8192;

/// A sliding window of seen numbers: a number is taken once.
#[derive(Debug)]
pub(crate) struct ReplayWindow {
    /// One past the highest seen.
    next: u64,
    /// Bit `n % REPLAY_SPAN` is for number `n` of the last `REPLAY_SPAN`.
    seen: Box<[u64]>,
}

impl ReplayWindow {
    pub(crate) fn new() -> Self {
        Self {
            next: 0,
            seen: vec![0; (REPLAY_SPAN / 64) as usize].into(),
        }
    }

    /// Whether the number is new and not too old.
    pub(crate) fn is_new(&self, number: u64) -> bool {
        if number >= self.next {
            return true;
        }
        self.next - number <= REPLAY_SPAN && self.seen[word(number)] & bit(number) == 0
    }

    /// Marks a number for which [`is_new`](Self::is_new) held.
    pub(crate) fn mark(&mut self, number: u64) {
        if number >= self.next {
            if number - self.next >= REPLAY_SPAN {
                self.seen.fill(0);
            } else {
                (self.next..number).for_each(|skipped| self.seen[word(skipped)] &= !bit(skipped));
            }
            self.next = number + 1;
        }
        self.seen[word(number)] |= bit(number);
    }
}

const fn word(number: u64) -> usize {
    (number % REPLAY_SPAN / 64) as usize
}

const fn bit(number: u64) -> u64 {
    1 << (number % 64)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn takes_every_number_once_in_any_order() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut window = ReplayWindow::new();
        let (mut taken, mut front) = (HashSet::new(), 0_u64);
        for round in 0..200_000 {
            front += if round % 5000 == 0 {
                random.u64(0..30_000)
            } else {
                random.u64(0..3)
            };
            let number = front.saturating_sub(random.u64(0..REPLAY_SPAN));
            if window.is_new(number) {
                window.mark(number);
                assert!(taken.insert(number), "{number} was taken twice");
            } else {
                assert!(
                    taken.contains(&number) || number + REPLAY_SPAN <= front,
                    "{number} was refused"
                );
            }
        }
    }
}
