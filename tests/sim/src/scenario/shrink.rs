//! Makes a failing scenario small, so that a person can follow it.

use super::{Fate, Scenario};
use crate::network::{CableShape, Loss};

/// Simplifies a scenario as long as it still fails, in at most `runs` runs.
#[must_use]
pub fn shrink(scenario: &Scenario, mut runs: u32, fails: impl Fn(&Scenario) -> bool) -> Scenario {
    let mut best = scenario.clone();
    loop {
        let mut better = false;
        for candidate in candidates(&best) {
            if runs == 0 {
                return best;
            }
            runs -= 1;
            if fails(&candidate) {
                best = candidate;
                better = true;
                break;
            }
        }
        if !better {
            return best;
        }
    }
}

/// Simpler scenarios, those that are much simpler first.
fn candidates(from: &Scenario) -> Vec<Scenario> {
    let mut simpler = Vec::new();
    let mut change = |edit: &dyn Fn(&mut Scenario)| {
        let mut candidate = from.clone();
        edit(&mut candidate);
        if candidate != *from && !candidate.machines.is_empty() {
            simpler.push(candidate);
        }
    };
    let count = from.machines.len();
    change(&|s| s.machines.truncate(count.div_ceil(2)));
    change(&|s| drop(s.machines.drain(..count / 2)));
    change(&|s| s.agent_restart_ms = None);
    change(&|s| s.attack.per_second = 0);
    change(&|s| {
        s.trunks
            .iter_mut()
            .for_each(|trunk| trunk.loss = Loss::None)
    });
    change(&|s| s.image.load_us = 0);
    change(&|s| s.image.even = true);
    change(&|s| s.image.chunks = s.image.chunks.div_ceil(2).max(1));
    for index in 0..count.min(40) {
        change(&|s| drop(s.machines.remove(index)));
    }
    for index in 0..count.min(40) {
        change(&|s| {
            let cable = &mut s.machines[index].cable;
            *cable = CableShape {
                loss: cable.loss,
                cuts_ms: cable.cuts_ms.clone(),
                ..CableShape::clean(cable.pipe)
            };
        });
        change(&|s| s.machines[index].cable.loss = Loss::None);
        change(&|s| s.machines[index].cable.cuts_ms.clear());
        change(&|s| s.machines[index].fate = Fate::Works);
        change(&|s| s.machines[index].start_ms = 0);
        change(&|s| s.machines[index].has = 0.0);
        change(&|s| s.machines[index].report_loss = 0.0);
    }
    simpler
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_matters_is_left() {
        let scenario = (0..)
            .map(Scenario::generate)
            .find(|s| {
                s.machines.len() > 8 && s.machines.iter().any(|machine| machine.fate == Fate::Lies)
            })
            .expect("one of them has a liar");
        let small = shrink(&scenario, 1000, |s| {
            s.machines.iter().any(|machine| machine.fate == Fate::Lies)
        });
        assert_eq!(small.machines.len(), 1);
        assert_eq!(small.image.chunks, 1);
        assert_eq!(small.machines[0].start_ms, 0);
    }
}
