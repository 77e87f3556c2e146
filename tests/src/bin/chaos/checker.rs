//! Is a history of one register linearizable: can each operation be given a moment between question
//! and answer, so that every read gives what was written last? The search of Wing and Gong, with the
//! memory of Lowe: a set of operations that were placed and the value then are tried once.
//!
//! Every write has a value of its own. A write that was never answered and never read is left out:
//! if an order exists with it, one exists without.

use std::collections::HashSet;
use std::time::Duration;

use crate::history::{Did, Operation};

/// Where the search got stuck.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Impossible {
    /// In the order of the questions: those that could not be placed any more.
    pub stuck: Vec<Operation>,
    /// What was written last when it got furthest.
    pub value: String,
}

/// Tells whether the operations fit; `first` is the value before all of them. A read may be older
/// than its question by `behind`.
pub(crate) fn check(
    first: &str,
    operations: &[Operation],
    behind: Duration,
) -> Result<(), Impossible> {
    let mut operations: Vec<Operation> = relevant(operations);
    for operation in &mut operations {
        if matches!(operation.did, Did::Read(_)) {
            operation.asked = operation.asked.saturating_sub(behind);
        }
    }
    operations.sort_by_key(|operation| operation.asked);
    Search::new(&operations, first).run()
}

fn relevant(operations: &[Operation]) -> Vec<Operation> {
    let read: HashSet<&str> = operations
        .iter()
        .filter_map(|operation| match &operation.did {
            Did::Read(value) => Some(value.as_str()),
            Did::Wrote(_) => None,
        })
        .collect();
    let matters = |operation: &&Operation| match &operation.did {
        Did::Wrote(value) => operation.answered.is_some() || read.contains(value.as_str()),
        Did::Read(_) => operation.answered.is_some(),
    };
    operations.iter().filter(matters).cloned().collect()
}

/// The reads whose values had been overwritten for longest when they were asked for, and how long that
/// was: who answered them is where to look.
pub(crate) fn latest(operations: &[Operation], most: usize) -> Vec<(Duration, &Operation)> {
    let writes = || {
        let wrote = |operation: &&Operation| matches!(operation.did, Did::Wrote(_));
        operations.iter().filter(wrote)
    };
    let age = |read: &Operation| {
        let Did::Read(value) = &read.did else {
            return None;
        };
        let of_it = writes().find(|write| matches!(&write.did, Did::Wrote(own) if own == value));
        let written = of_it.map_or(Some(Duration::ZERO), |write| write.answered)?;
        let later = writes().filter(|write| write.asked > written);
        let overwritten = later.filter_map(|write| write.answered).min()?;
        read.asked.checked_sub(overwritten)
    };
    let mut late: Vec<_> = operations
        .iter()
        .filter_map(|read| Some((age(read)?, read)))
        .collect();
    late.sort_by_key(|(age, _)| std::cmp::Reverse(*age));
    late.truncate(most);
    late
}

/// A write that was chosen, and the reads that followed from it.
struct Step {
    placed: Vec<usize>,
    value_before: Option<usize>,
    others: Vec<usize>,
}

struct Search<'o> {
    operations: &'o [Operation],
    first: &'o str,
    placed: Vec<bool>,
    /// Everything before is placed.
    low: usize,
    /// The write whose value is there; `None`: the first one.
    value: Option<usize>,
    seen: HashSet<(Vec<u64>, Option<usize>)>,
    furthest: (usize, Vec<bool>, Option<usize>),
}

impl<'o> Search<'o> {
    fn new(operations: &'o [Operation], first: &'o str) -> Self {
        let placed = vec![false; operations.len()];
        Self {
            operations,
            first,
            furthest: (0, placed.clone(), None),
            placed,
            low: 0,
            value: None,
            seen: HashSet::new(),
        }
    }

    fn run(mut self) -> Result<(), Impossible> {
        let mut steps: Vec<Step> = Vec::new();
        let mut placed = self.place_reads();
        let mut others = self.choices();
        let mut before = None;
        loop {
            if self.is_done() {
                return Ok(());
            }
            self.note();
            if !self.is_new() {
                others.clear();
            }
            loop {
                if let Some(next) = others.pop() {
                    steps.push(Step {
                        placed,
                        value_before: before,
                        others,
                    });
                    before = self.value;
                    self.placed[next] = true;
                    self.value = Some(next);
                    placed = vec![next];
                    placed.extend(self.place_reads());
                    others = self.choices();
                    break;
                }
                for number in placed {
                    self.placed[number] = false;
                    self.low = self.low.min(number);
                }
                let Some(step) = steps.pop() else {
                    return Err(self.impossible());
                };
                self.value = before;
                (placed, before, others) = (step.placed, step.value_before, step.others);
            }
        }
    }

    fn text(&self) -> &str {
        self.value
            .map_or(self.first, |write| match &self.operations[write].did {
                Did::Wrote(value) | Did::Read(value) => value,
            })
    }

    /// Those that may come next: nothing that is not placed ended before they began.
    fn may_be_next(&mut self) -> Vec<usize> {
        while self.placed.get(self.low) == Some(&true) {
            self.low += 1;
        }
        let mut end = None::<Duration>;
        let mut found = Vec::new();
        for number in self.low..self.operations.len() {
            let operation = &self.operations[number];
            if end.is_some_and(|end| operation.asked > end) {
                break;
            }
            if self.placed[number] {
                continue;
            }
            found.push(number);
            end = match (end, operation.answered) {
                (Some(end), Some(answered)) => Some(end.min(answered)),
                (end, answered) => end.or(answered),
            };
        }
        found.retain(|number| end.is_none_or(|end| self.operations[*number].asked <= end));
        found
    }

    /// A read that gives what is there changes nothing, so it is placed as soon as it can be.
    fn place_reads(&mut self) -> Vec<usize> {
        let mut placed = Vec::new();
        loop {
            let next = self.may_be_next();
            let fits = |number: &usize| match &self.operations[*number].did {
                Did::Read(value) => value == self.text(),
                Did::Wrote(_) => false,
            };
            let fitting: Vec<usize> = next.into_iter().filter(fits).collect();
            if fitting.is_empty() {
                return placed;
            }
            for number in fitting {
                self.placed[number] = true;
                placed.push(number);
            }
        }
    }

    /// Writes that may come next; the first to be tried, that which ended first, is the last.
    fn choices(&mut self) -> Vec<usize> {
        let mut next = self.may_be_next();
        next.retain(|number| matches!(self.operations[*number].did, Did::Wrote(_)));
        let end = |number: &usize| self.operations[*number].answered.unwrap_or(Duration::MAX);
        next.sort_by_key(|number| std::cmp::Reverse(end(number)));
        next
    }

    fn is_done(&self) -> bool {
        let rest = self.placed.iter().zip(self.operations).skip(self.low);
        rest.into_iter()
            .all(|(placed, operation)| *placed || operation.answered.is_none())
    }

    fn is_new(&mut self) -> bool {
        let mut bits = vec![0_u64; self.placed.len().div_ceil(64)];
        for (number, placed) in self.placed.iter().enumerate() {
            bits[number / 64] |= u64::from(*placed) << (number % 64);
        }
        self.seen.insert((bits, self.value))
    }

    fn note(&mut self) {
        let count = self.placed.iter().filter(|placed| **placed).count();
        if count >= self.furthest.0 {
            self.furthest = (count, self.placed.clone(), self.value);
        }
    }

    fn impossible(mut self) -> Impossible {
        self.value = self.furthest.2;
        let value = self.text().to_owned();
        let rest = self.operations.iter().zip(&self.furthest.1);
        let stuck = rest.filter(|(_, placed)| !**placed).take(6);
        Impossible {
            stuck: stuck.map(|(operation, _)| operation.clone()).collect(),
            value,
        }
    }
}

#[cfg(test)]
#[path = "checker_tests.rs"]
mod tests;
