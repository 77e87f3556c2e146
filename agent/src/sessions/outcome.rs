//! How a session ended, as a type of ours and as a message to the controller.

use foghorn_proto::link::session_ended::Outcome as WireOutcome;
use foghorn_proto::link::{
    Cancelled, CapturedImage, Completed, Failed, SessionEnded, SessionProgress,
};
use foghorn_types::TaskId;
use tracing::{info, warn};

use super::order::Incarnation;

#[derive(Clone, PartialEq, Debug)]
pub(super) enum SessionOutcome {
    /// With the figures of the new image when it was a capture.
    Complete(Option<CapturedImage>),
    Failed {
        reason: String,
        /// Another node might have done better.
        node_at_fault: bool,
    },
    Cancelled {
        reason: String,
    },
}

impl SessionOutcome {
    pub(super) fn to_message(
        &self,
        task: TaskId,
        incarnation: Incarnation,
        last: Option<SessionProgress>,
    ) -> SessionEnded {
        let outcome = match self.clone() {
            Self::Complete(captured) => WireOutcome::Completed(Completed {
                r#final: last,
                captured,
            }),
            Self::Failed {
                reason,
                node_at_fault,
            } => WireOutcome::Failed(Failed {
                reason,
                node_at_fault,
            }),
            Self::Cancelled { reason } => WireOutcome::Cancelled(Cancelled { reason }),
        };
        SessionEnded {
            task_id: task.get(),
            outcome: Some(outcome),
            incarnation: incarnation.0,
        }
    }

    /// The other way. What this version does not know was no success.
    pub(super) fn from_message(message: &SessionEnded) -> Self {
        match message.outcome.clone() {
            Some(WireOutcome::Completed(done)) => Self::Complete(done.captured),
            Some(WireOutcome::Failed(failed)) => Self::Failed {
                reason: failed.reason,
                node_at_fault: failed.node_at_fault,
            },
            Some(WireOutcome::Cancelled(cancelled)) => Self::Cancelled {
                reason: cancelled.reason,
            },
            None => Self::Failed {
                reason: "nobody knows how it ended".to_owned(),
                node_at_fault: false,
            },
        }
    }

    /// Why a client that comes back is not served; `None` for a complete session, whose client may
    /// ask again.
    pub(super) fn problem(&self) -> Option<String> {
        match self {
            Self::Complete(_) => None,
            Self::Failed { reason, .. } => Some(format!("failed: {reason}")),
            Self::Cancelled { reason } => Some(format!("cancelled: {reason}")),
        }
    }

    pub(super) fn log(&self, task: TaskId) {
        match self {
            Self::Complete(_) => info!(%task, "session complete"),
            Self::Failed {
                reason,
                node_at_fault,
            } => warn!(%task, reason, node_at_fault, "session failed"),
            Self::Cancelled { reason } => info!(%task, reason, "session cancelled"),
        }
    }
}
