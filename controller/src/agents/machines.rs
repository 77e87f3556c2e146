//! Two machines that use the certificate of one storage node in turns.
//!
//! Every agent process has a random number, which it says when it opens a link. A process that was
//! replaced by another one never comes back; if it does, both are alive.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use foghorn_types::StorageNodeId;

/// Processes that are remembered for each node, the last one last.
const REMEMBERED: usize = 8;

#[derive(Default)]
pub(super) struct Machines(Mutex<HashMap<StorageNodeId, Vec<u64>>>);

impl Machines {
    /// Remembers the process; whether another one was there since it was last. Agents of earlier
    /// versions say 0, which is nobody.
    pub(super) fn alternates(&self, node: StorageNodeId, machine: u64) -> bool {
        if machine == 0 {
            return false;
        }
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = all.entry(node).or_default();
        if seen.last() == Some(&machine) {
            return false;
        }
        let came_back = seen.contains(&machine);
        seen.push(machine);
        if seen.len() > REMEMBERED {
            seen.remove(0);
        }
        came_back
    }

    /// Remembers a process of which another controller tells, perhaps late.
    pub(super) fn learn(&self, node: StorageNodeId, machine: u64) {
        let is_new = {
            let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            all.get(&node).is_none_or(|seen| !seen.contains(&machine))
        };
        if is_new {
            self.alternates(node, machine);
        }
    }

    pub(super) fn forget(&self, node: StorageNodeId) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(&node);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_comes_back_after_another_is_a_second_machine() {
        let (machines, node) = (Machines::default(), StorageNodeId::new(1).unwrap());
        // Restarts, and links that were lost.
        for process in [7, 7, 8, 8, 9] {
            assert!(!machines.alternates(node, process));
        }
        assert!(machines.alternates(node, 8));
        assert!(!machines.alternates(StorageNodeId::new(2).unwrap(), 8));
        // What is told late is nobody's return.
        machines.learn(node, 9);
        machines.learn(node, 8);
        assert!(!machines.alternates(node, 8));
        machines.learn(node, 6);
        assert!(machines.alternates(node, 8));
        machines.forget(node);
        assert!(!machines.alternates(node, 9));
        assert!(!machines.alternates(node, 0) && !machines.alternates(node, 0));
    }
}
