//! The types of the state machine: kinds, states, outcomes, events.

use foghorn_types::{StorageNodeId, Timestamp};

/// What a task does to the disk of its host.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum TaskKind {
    /// An image goes to the host's disk. Any node that holds the image can serve it, and another
    /// can take over.
    Deploy,
    /// The host's disk becomes the image's content. It stays with one node: what was received so
    /// far lies there.
    Capture,
}

/// Whether the machine to be imaged has proved itself.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Client {
    /// It has not checked in.
    Awaited,
    /// It holds a certificate for the task.
    CheckedIn,
}

/// Where a task is in its life. [`Task`](crate::Task) draws the diagram.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the variants say what their fields are")]
pub enum TaskState {
    /// No node has it.
    Queued { client: Client },
    /// A node is to serve it, the client has not shown up.
    Assigned { node: StorageNodeId },
    /// Node and client know of each other, nothing has been transferred.
    CheckedIn { node: StorageNodeId },
    /// Bytes flow.
    Running { node: StorageNodeId },
    /// It has ended, and stays so.
    Finished { outcome: Outcome, at: Timestamp },
}

/// How a task ended.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the variants say what their fields are")]
pub enum Outcome {
    /// Everything was transferred and verified.
    Complete,
    /// `node_at_fault`: another node might have done better.
    Failed { reason: String, node_at_fault: bool },
    /// Somebody ended it.
    Cancelled { reason: String },
}

/// A node that was tried and failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeFault {
    /// The node.
    pub node: StorageNodeId,
    /// What it said went wrong.
    pub reason: String,
}

/// What can happen to a task.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the variants say what their fields are")]
pub enum TaskEvent {
    /// The dispatcher chose a node.
    Assigned { node: StorageNodeId },
    /// The client holds a certificate. May happen again: it was rebooted and came back with a new
    /// token.
    ClientCheckedIn,
    /// The node reports that bytes moved.
    Progressed { node: StorageNodeId },
    /// The node reports the end of its session.
    Ended {
        node: StorageNodeId,
        outcome: Outcome,
    },
    /// The node has been unreachable for longer than the grace period, and another one could serve.
    NodeLost { node: StorageNodeId },
    /// The node does not hold what the task needs by now; nothing has been transferred.
    NodeLacks { node: StorageNodeId },
    /// The node shall not keep a place for a machine that has not come: one that is there needs it,
    /// or the node takes no more tasks.
    Withdrawn { node: StorageNodeId },
    /// Every node that could have served the task has failed at it.
    NoNodeLeft,
    /// Client and node are both there, and nothing has moved for longer than the stall limit.
    Stalled { reason: String },
    /// The time that the task was given is over.
    DeadlinePassed,
    /// Somebody wants it to end.
    Cancelled { reason: String },
}

impl TaskState {
    /// The node that has the task now.
    #[must_use]
    pub fn node(&self) -> Option<StorageNodeId> {
        match self {
            Self::Assigned { node } | Self::CheckedIn { node } | Self::Running { node } => {
                Some(*node)
            }
            Self::Queued { .. } | Self::Finished { .. } => None,
        }
    }

    /// Whether nothing can happen to it any more.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        matches!(self, Self::Finished { .. })
    }

    /// The client as this state knows it; `None` once finished.
    #[must_use]
    pub fn client(&self) -> Option<Client> {
        match self {
            Self::Queued { client } => Some(*client),
            Self::Assigned { .. } => Some(Client::Awaited),
            Self::CheckedIn { .. } | Self::Running { .. } => Some(Client::CheckedIn),
            Self::Finished { .. } => None,
        }
    }
}
