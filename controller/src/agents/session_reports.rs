//! State of multicast sessions as last reported by the nodes that send them: in memory only, like
//! all progress.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use foghorn_types::{ByteCount, SessionId, StorageNodeId, TaskId};

/// The report on an ended session is kept this long, so that its result can be shown.
const MEMORY: Duration = Duration::from_secs(600);

/// Phase of a session on one node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SessionPhase {
    /// Waiting for receivers or for the start time.
    Waiting,
    Sending,
    /// Second pass: what several receivers lack.
    Repairing,
    Ended,
}

impl SessionPhase {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Sending => "sending",
            Self::Repairing => "repairing",
            Self::Ended => "ended",
        }
    }
}

/// A session on one node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionReport {
    pub phase: SessionPhase,
    /// Current rate on the wire, per second.
    pub rate: ByteCount,
    /// Bytes of chunks that were sent for the first time.
    pub payload: ByteCount,
    /// All bytes that were sent to the group.
    pub wire: ByteCount,
    /// Part of `wire`.
    pub parity: ByteCount,
    pub receivers: BTreeMap<TaskId, ReceiverReport>,
    pub received: Instant,
}

/// One receiver of a session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReceiverReport {
    /// Why it does not, or no longer, listen to the group.
    pub unicast: Option<String>,
    /// Recent packet loss in millionths.
    pub loss_ppm: u32,
    /// Packets repaired by parity.
    pub parity_used: u64,
    /// Packets that do not belong to the session.
    pub forged: u64,
    /// Would be the next to be moved to unicast.
    pub next_unicast: bool,
}

/// Reports by session and node. Locks are held for a map access.
#[derive(Default)]
pub struct SessionReports {
    reports: RwLock<HashMap<(SessionId, StorageNodeId), SessionReport>>,
}

impl SessionReports {
    #[must_use]
    pub fn get(&self, session: SessionId, node: StorageNodeId) -> Option<SessionReport> {
        self.reports
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&(session, node))
            .cloned()
    }

    /// All known reports.
    #[must_use]
    pub fn all(&self) -> HashMap<(SessionId, StorageNodeId), SessionReport> {
        self.reports
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Sessions that wait for their start, with the nodes on which they wait.
    #[must_use]
    pub fn waiting(&self) -> HashSet<(SessionId, StorageNodeId)> {
        let reports = self.reports.read().unwrap_or_else(PoisonError::into_inner);
        reports
            .iter()
            .filter(|(_, report)| report.phase == SessionPhase::Waiting)
            .map(|(key, _)| *key)
            .collect()
    }

    /// Stores a report; returns the receivers that were moved to unicast since the last one.
    pub(crate) fn set(
        &self,
        session: SessionId,
        node: StorageNodeId,
        report: SessionReport,
    ) -> Vec<(TaskId, String)> {
        let mut reports = self.reports.write().unwrap_or_else(PoisonError::into_inner);
        let before = reports.get(&(session, node));
        let listened = |task: &TaskId| {
            before
                .and_then(|before| before.receivers.get(task))
                .is_none_or(|receiver| receiver.unicast.is_none())
        };
        let moved = report.receivers.iter().filter(|(task, _)| listened(task));
        let moved = moved
            .filter_map(|(task, receiver)| Some((*task, receiver.unicast.clone()?)))
            .collect();
        reports.insert((session, node), report);
        moved
    }

    /// Removes old reports on sessions for which `active` returns false.
    pub(crate) fn forget(&self, now: Instant, active: impl Fn(SessionId) -> bool) {
        let old = |report: &SessionReport| now.saturating_duration_since(report.received) >= MEMORY;
        let mut reports = self.reports.write().unwrap_or_else(PoisonError::into_inner);
        reports.retain(|(session, _), report| !old(report) || active(*session));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(unicast: Option<&str>, received: Instant) -> SessionReport {
        let receiver = ReceiverReport {
            unicast: unicast.map(str::to_owned),
            loss_ppm: 0,
            parity_used: 0,
            forged: 0,
            next_unicast: false,
        };
        SessionReport {
            phase: SessionPhase::Waiting,
            rate: ByteCount::ZERO,
            payload: ByteCount::ZERO,
            wire: ByteCount::ZERO,
            parity: ByteCount::ZERO,
            receivers: BTreeMap::from([(TaskId::new(1).unwrap(), receiver)]),
            received,
        }
    }

    #[test]
    fn who_goes_over_to_unicast_is_told_once() {
        let (reports, session, node, now) = (
            SessionReports::default(),
            SessionId::new(7).unwrap(),
            StorageNodeId::new(3).unwrap(),
            Instant::now(),
        );
        assert!(reports.set(session, node, report(None, now)).is_empty());
        let moved = reports.set(session, node, report(Some("not heard"), now));
        assert_eq!(moved, [(TaskId::new(1).unwrap(), "not heard".to_owned())]);
        assert!(
            reports
                .set(session, node, report(Some("not heard"), now))
                .is_empty()
        );
        assert_eq!(reports.waiting(), HashSet::from([(session, node)]));
    }

    #[test]
    fn a_report_outlives_its_session_for_a_while() {
        let (reports, session, node, now) = (
            SessionReports::default(),
            SessionId::new(7).unwrap(),
            StorageNodeId::new(3).unwrap(),
            Instant::now(),
        );
        reports.set(session, node, report(None, now));
        reports.forget(now + MEMORY / 2, |_| false);
        reports.forget(now + MEMORY, |_| true);
        assert!(reports.get(session, node).is_some());
        reports.forget(now + MEMORY, |_| false);
        assert!(reports.get(session, node).is_none());
    }
}
