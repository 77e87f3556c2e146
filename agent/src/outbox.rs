//! Reports that wait to be sent to the controller, over however many links that takes.
//!
//! Bounded by what exists and not by how long a link is down: one progress per transfer (the
//! latest), one outcome per ended session (kept until the controller has recorded it), one report
//! per job (the latest), one per copy of an image (the latest, until it is no longer ordered), one
//! status.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use foghorn_proto::link::agent_message::Message;
use foghorn_proto::link::{
    AgentMessage, JobReport, MulticastReport, NodeStatus, ReplicaReport, SessionEnded,
    SessionProgress,
};
use foghorn_types::TaskId;
use tokio::sync::{Notify, watch};

/// Finished jobs whose reports are sent again on a new link, because nothing acknowledges them.
const REPORTS_KEPT: usize = 64;

/// Shared between everything that reports and the one link that sends.
#[derive(Default)]
pub(crate) struct Outbox {
    state: Mutex<Waiting>,
    wake: Notify,
}

#[derive(Default)]
struct Waiting {
    ended: BTreeMap<TaskId, EndedSession>,
    progress: BTreeMap<TaskId, SessionProgress>,
    multicasts: BTreeMap<u32, MulticastReport>,
    jobs: BTreeMap<u64, WaitingReport>,
    replicas: BTreeMap<u32, WaitingReplica>,
    /// `None` until it was gathered for the first time.
    status: Option<NodeStatus>,
    status_due: bool,
}

/// The controller's word on the end of a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Recorded {
    NotYet,
    Yes,
    /// It does not know the task, as after an older backup of its store was restored.
    Unknown,
}

struct EndedSession {
    message: SessionEnded,
    sent: bool,
    recorded: watch::Sender<Recorded>,
}

impl EndedSession {
    /// Whether it may be of the task with this incarnation; 0 is not known.
    fn may_be(&self, incarnation: u64) -> bool {
        let own = self.message.incarnation;
        own == incarnation || own == 0 || incarnation == 0
    }
}

struct WaitingReport {
    message: JobReport,
    sent: bool,
}

struct WaitingReplica {
    message: ReplicaReport,
    sent: bool,
}

impl Outbox {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reports the end of a session. The receiver says when the controller has recorded it.
    pub(crate) fn session_ended(
        &self,
        task: TaskId,
        message: SessionEnded,
    ) -> watch::Receiver<Recorded> {
        let (recorded, receiver) = watch::channel(Recorded::NotYet);
        let mut state = self.lock();
        // The outcome carries the last figures; a progress message after it would be about a
        // session that has ended.
        state.progress.remove(&task);
        state.ended.insert(
            task,
            EndedSession {
                message,
                sent: false,
                recorded,
            },
        );
        drop(state);
        self.wake.notify_one();
        receiver
    }

    /// Replaces the transfer's progress if the last one has not been sent yet.
    pub(crate) fn progress(&self, task: TaskId, message: SessionProgress) {
        let mut state = self.lock();
        if !state.ended.contains_key(&task) {
            state.progress.insert(task, message);
            drop(state);
            self.wake.notify_one();
        }
    }

    /// Replaces the report of the multicast session if the last one has not been sent yet.
    pub(crate) fn multicast(&self, report: MulticastReport) {
        self.lock().multicasts.insert(report.session_id, report);
        self.wake.notify_one();
    }

    /// Replaces the job's report if the last one has not been sent yet.
    pub(crate) fn job(&self, message: JobReport) {
        let mut state = self.lock();
        state.jobs.insert(
            message.job_id,
            WaitingReport {
                message,
                sent: false,
            },
        );
        while state
            .jobs
            .values()
            .filter(|report| report.sent && report.message.done)
            .count()
            > REPORTS_KEPT
        {
            let oldest = state
                .jobs
                .iter()
                .find(|(_, report)| report.sent && report.message.done)
                .map(|(id, _)| *id);
            state
                .jobs
                .remove(&oldest.expect("more than none were just counted"));
        }
        drop(state);
        self.wake.notify_one();
    }

    /// Replaces the copy's report.
    pub(crate) fn replica(&self, message: ReplicaReport) {
        let waiting = WaitingReplica {
            message,
            sent: false,
        };
        self.lock()
            .replicas
            .insert(waiting.message.copy_id, waiting);
        self.wake.notify_one();
    }

    /// Forgets the reports of all copies but these.
    pub(crate) fn keep_replicas(&self, copies: &BTreeSet<u32>) {
        self.lock().replicas.retain(|copy, _| copies.contains(copy));
    }

    /// Replaces the status of the node and sends it soon.
    pub(crate) fn status(&self, status: NodeStatus) {
        let mut state = self.lock();
        state.status = Some(status);
        state.status_due = true;
        drop(state);
        self.wake.notify_one();
    }

    /// The controller has recorded the end of the session, or does not know it. Returns whether that
    /// was news.
    pub(crate) fn recorded(&self, task: TaskId, incarnation: u64, word: Recorded) -> bool {
        let mut state = self.lock();
        if !state
            .ended
            .get(&task)
            .is_some_and(|ended| ended.may_be(incarnation))
        {
            return false;
        }
        let Some(ended) = state.ended.remove(&task) else {
            return false;
        };
        ended.recorded.send_replace(word);
        true
    }

    /// Whether the session's end has yet to be recorded. The end of another task that had the
    /// number in a store that was restored since is of no use to anybody any more, and is dropped.
    pub(crate) fn has_unrecorded(&self, task: TaskId, incarnation: u64) -> bool {
        let mut state = self.lock();
        match state.ended.get(&task) {
            Some(ended) if ended.may_be(incarnation) => true,
            Some(_) => {
                state.ended.remove(&task);
                false
            }
            None => false,
        }
    }

    /// Tasks whose end has yet to be recorded.
    pub(crate) fn unrecorded(&self) -> Vec<TaskId> {
        self.lock().ended.keys().copied().collect()
    }

    /// A new link is up: everything that a lost one may have swallowed is due again. Returns the
    /// status for the hello.
    pub(crate) fn begin_link(&self) -> Option<NodeStatus> {
        let mut state = self.lock();
        for outcome in state.ended.values_mut() {
            outcome.sent = false;
        }
        for report in state.jobs.values_mut() {
            report.sent = false;
        }
        for report in state.replicas.values_mut() {
            report.sent = false;
        }
        state.status_due = false;
        state.status.clone()
    }

    /// The link is another one now, which was opened while the last one was still sending: what that
    /// one has taken meanwhile may not have arrived.
    pub(crate) fn moved(&self) {
        let has_status = self.begin_link().is_some();
        self.lock().status_due = has_status;
        self.wake.notify_one();
    }

    /// The next message: outcomes first, then jobs, progress and status. Cancel-safe: a message is
    /// taken only in the moment in which it is returned.
    pub(crate) async fn next(&self) -> AgentMessage {
        loop {
            let woken = self.wake.notified();
            if let Some(message) = self.take() {
                return AgentMessage {
                    message: Some(message),
                };
            }
            woken.await;
        }
    }

    fn take(&self) -> Option<Message> {
        let mut state = self.lock();
        if let Some(outcome) = state.ended.values_mut().find(|outcome| !outcome.sent) {
            outcome.sent = true;
            return Some(Message::Ended(outcome.message.clone()));
        }
        if let Some(id) = state
            .jobs
            .iter()
            .find(|(_, report)| !report.sent)
            .map(|(id, _)| *id)
        {
            let report = state.jobs.get_mut(&id)?;
            report.sent = true;
            return Some(Message::Job(report.message.clone()));
        }
        let replica = state.replicas.values_mut().find(|report| !report.sent);
        if let Some(report) = replica {
            report.sent = true;
            return Some(Message::Replica(report.message.clone()));
        }
        if let Some((_, progress)) = state.progress.pop_first() {
            return Some(Message::Progress(progress));
        }
        if let Some((_, report)) = state.multicasts.pop_first() {
            return Some(Message::Multicast(report));
        }
        let due = std::mem::take(&mut state.status_due);
        state.status.clone().filter(|_| due).map(Message::Status)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn task(number: u32) -> TaskId {
        TaskId::new(number).unwrap()
    }

    fn drain(outbox: &Outbox) -> Vec<Message> {
        std::iter::from_fn(|| outbox.next().now_or_never())
            .map(|message| message.message.unwrap())
            .collect()
    }

    #[test]
    fn only_the_latest_progress_of_a_transfer_is_sent() {
        let outbox = Outbox::default();
        for bytes_done in 0..1000 {
            outbox.progress(
                task(1),
                SessionProgress {
                    task_id: 1,
                    bytes_done,
                    ..Default::default()
                },
            );
        }
        let sent = drain(&outbox);
        assert!(
            matches!(sent.as_slice(), [Message::Progress(progress)] if progress.bytes_done == 999),
            "{sent:?}"
        );
    }

    #[test]
    fn an_outcome_is_sent_on_every_link_until_it_is_recorded() {
        let outbox = Outbox::default();
        let recorded = outbox.session_ended(
            task(1),
            SessionEnded {
                task_id: 1,
                outcome: None,
                incarnation: 5,
            },
        );
        assert_eq!(drain(&outbox).len(), 1);
        assert_eq!(drain(&outbox).len(), 0, "once per link");
        outbox.begin_link();
        assert_eq!(drain(&outbox).len(), 1);
        assert_eq!(*recorded.borrow(), Recorded::NotYet);
        assert!(
            !outbox.recorded(task(1), 6, Recorded::Yes),
            "of another task of that number"
        );
        assert!(outbox.has_unrecorded(task(1), 5));
        assert!(outbox.recorded(task(1), 5, Recorded::Unknown));
        assert_eq!(*recorded.borrow(), Recorded::Unknown);
        outbox.begin_link();
        assert_eq!(drain(&outbox).len(), 0);
        assert!(
            !outbox.recorded(task(1), 5, Recorded::Yes),
            "a second answer is no news"
        );
    }

    #[test]
    fn the_end_of_a_task_whose_number_was_given_out_again_is_dropped() {
        let outbox = Outbox::default();
        let _receiver = outbox.session_ended(
            task(1),
            SessionEnded {
                task_id: 1,
                outcome: None,
                incarnation: 5,
            },
        );
        assert!(outbox.has_unrecorded(task(1), 0), "not known");
        assert!(!outbox.has_unrecorded(task(1), 6));
        assert_eq!(drain(&outbox).len(), 0);
    }

    #[test]
    fn no_progress_follows_an_outcome() {
        let outbox = Outbox::default();
        outbox.progress(
            task(1),
            SessionProgress {
                task_id: 1,
                ..Default::default()
            },
        );
        outbox.session_ended(
            task(1),
            SessionEnded {
                task_id: 1,
                outcome: None,
                incarnation: 5,
            },
        );
        outbox.progress(
            task(1),
            SessionProgress {
                task_id: 1,
                ..Default::default()
            },
        );
        assert!(matches!(drain(&outbox).as_slice(), [Message::Ended(_)]));
    }

    #[test]
    fn reports_of_finished_jobs_are_repeated_but_not_for_ever() {
        let outbox = Outbox::default();
        for job_id in 0..200 {
            outbox.job(JobReport {
                job_id,
                done: true,
                ..Default::default()
            });
            drain(&outbox);
        }
        outbox.begin_link();
        let repeated = drain(&outbox).len();
        assert!(
            (REPORTS_KEPT..=REPORTS_KEPT + 1).contains(&repeated),
            "{repeated} reports"
        );
    }
}
