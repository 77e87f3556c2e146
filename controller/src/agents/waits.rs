//! What each waiting task waits for, as the dispatcher of this controller saw it last: in memory
//! only, made anew every round.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use foghorn_types::{StorageNodeId, TaskId};

/// What a task waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WaitKind {
    /// A place on a storage node.
    Place,
    /// A storage node that answers.
    Node,
    /// Its machine.
    Client,
    /// A storage node that holds its image.
    Content,
    /// A moment: the start of its multicast session.
    Time,
}

/// One wait.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wait {
    pub kind: WaitKind,
    /// The node that it is about, if it is about one.
    pub node: Option<StorageNodeId>,
    /// Its place among the tasks that wait for the same, from 1.
    pub position: Option<u32>,
    /// The same in words.
    pub sentence: String,
}

/// The waits of all tasks.
#[derive(Default)]
pub struct Waits(RwLock<HashMap<TaskId, Wait>>);

impl Waits {
    pub(crate) fn replace(&self, waits: HashMap<TaskId, Wait>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = waits;
    }

    #[must_use]
    pub fn of(&self, task: TaskId) -> Option<Wait> {
        let waits = self.0.read().unwrap_or_else(PoisonError::into_inner);
        waits.get(&task).cloned()
    }
}
