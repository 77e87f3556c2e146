//! The state of a session as it is reported to the controller.

use std::collections::BTreeMap;

use foghorn_multicast::{Phase, ReceiverId, ReceiverStatus};
use foghorn_proto::link::{MulticastPhase, MulticastReceiver, MulticastReport, SessionProgress};
use foghorn_types::{SessionId, TaskId};

use super::control::SessionStatus;

/// `progress` is how far tasks are, of this session and others.
pub(super) fn of(
    session: SessionId,
    status: &SessionStatus,
    progress: &BTreeMap<TaskId, SessionProgress>,
) -> MulticastReport {
    let sender = &status.sender;
    let phase = match sender.phase {
        Phase::Waiting => MulticastPhase::Waiting,
        Phase::Sending if sender.pass == 1 => MulticastPhase::Sending,
        Phase::Sending | Phase::Settling => MulticastPhase::Repairing,
        Phase::Over => MulticastPhase::Ended,
    };
    let of_task = |receiver: ReceiverId| {
        TaskId::new(receiver.0)
            .and_then(|task| progress.get(&task))
            .cloned()
    };
    let listening = sender.receivers.iter().map(|receiver| MulticastReceiver {
        progress: of_task(receiver.receiver),
        ..listener(receiver)
    });
    let left = status
        .unicast
        .iter()
        .filter(|(receiver, _)| !sender.receivers.iter().any(|r| r.receiver == **receiver));
    let by_unicast = left.map(|(receiver, reason)| MulticastReceiver {
        task_id: receiver.0,
        unicast: true,
        unicast_reason: reason.clone(),
        progress: of_task(*receiver),
        ..Default::default()
    });
    MulticastReport {
        session_id: session.get(),
        phase: phase.into(),
        rate_bytes_per_second: sender.rate.bytes_per_second(),
        payload_bytes: sender.payload_bytes,
        wire_bytes: sender.wire_bytes,
        parity_bytes: sender.repair_bytes,
        receivers: listening.chain(by_unicast).collect(),
    }
}

fn listener(receiver: &ReceiverStatus) -> MulticastReceiver {
    MulticastReceiver {
        task_id: receiver.receiver.0,
        unicast: false,
        unicast_reason: String::new(),
        loss_ppm: receiver.loss_ppm,
        parity_used: receiver.parity_used,
        forged: receiver.rejected,
        next_unicast: receiver.next_unicast,
        progress: None,
    }
}
