//! What has to be done after a move.

use foghorn_types::StorageNodeId;

/// Performed after the new state is stored. Each is idempotent: repeating one after a crash
/// disturbs nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the variants say what their fields are")]
pub enum Effect {
    /// Tell the node to open the session, or to replace the admission of an open one.
    OpenSession { node: StorageNodeId },
    /// Tell the node which client certificate it may serve.
    AdmitClient { node: StorageNodeId },
    /// Tell the node to end the session.
    CloseSession { node: StorageNodeId, reason: String },
    /// Tell the node to forget the session, which goes on elsewhere or later: nothing has ended, and
    /// the node reports nothing.
    WithdrawSession { node: StorageNodeId },
    /// Record that the node failed the task.
    RecordNodeFailure { node: StorageNodeId, reason: String },
}
