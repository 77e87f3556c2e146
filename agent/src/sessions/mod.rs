//! Sessions: transfers that the controller ordered this node to perform for clients.
//!
//! [`table`] decides which client may use which session; [`accept`] takes connections; [`deploy`]
//! and [`capture`] move the bytes; [`outcome`] says how it ended. A session outlives its
//! connections: a client may come back, the link to the controller may be down, and nothing is lost
//! but time.

mod accept;
mod budget;
mod capture;
mod deploy;
mod further;
mod order;
mod outcome;
mod progress;
mod serve;
mod table;
mod ticker;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foghorn_proto::link::{AdmitClient, CancelSession, EndedRecorded, OpenSession};
use foghorn_types::{NodeName, TaskId, chain};
use tokio::sync::{Semaphore, watch};
use tracing::{debug, info, warn};

pub(crate) use accept::accept_all;
pub(crate) use ticker::run as run_ticker;

use self::budget::Budget;
use self::further::Further;
use self::order::{CheckOrderError, Incarnation, SessionOrder};
use self::outcome::SessionOutcome;
use self::table::{Stop, Table};
use crate::config::{Limits, Timing};
use crate::disk::Disk;
use crate::healing::Healing;
use crate::journal::{Journal, Kept};
use crate::multicast::Multicasts;
use crate::outbox::{Outbox, Recorded};
use crate::served_image::ServedImages;

/// All sessions of the node and what they share: one store, one bound on memory.
pub(crate) struct Sessions {
    table: Mutex<Table>,
    /// Woken on every change of the table, for clients that came before their order.
    changed: watch::Sender<()>,
    outbox: Arc<Outbox>,
    disk: Disk,
    images: ServedImages,
    /// Chunks read and not yet sent.
    read_ahead: Budget,
    /// Chunks received and not yet durable.
    write_behind: Budget,
    /// Decoding and checking a manifest takes several times its size; one at a time.
    manifest_turn: Semaphore,
    limits: Limits,
    timing: Timing,
    node: NodeName,
    pub(crate) multicasts: Multicasts,
    /// Clients of tasks that other nodes have.
    further: Further,
    journal: Journal,
    healing: Arc<Healing>,
}

impl Sessions {
    #[must_use]
    pub(crate) fn new(
        disk: Disk,
        outbox: Arc<Outbox>,
        node: NodeName,
        limits: Limits,
        timing: Timing,
        (journal, healing): (Journal, Arc<Healing>),
    ) -> Arc<Self> {
        let sessions = Self {
            table: Mutex::default(),
            changed: watch::Sender::new(()),
            outbox,
            images: ServedImages::new(disk.clone()),
            multicasts: Multicasts::new(disk.clone(), healing.clone(), limits.multicast_rate),
            disk,
            read_ahead: Budget::new(limits.read_ahead),
            write_behind: Budget::new(limits.write_behind),
            manifest_turn: Semaphore::new(1),
            limits,
            timing,
            node,
            further: Further::default(),
            journal,
            healing,
        };
        for kept in sessions.journal.kept() {
            sessions.resume(kept);
        }
        Arc::new(sessions)
    }

    /// Goes on with what an earlier process was told: until there is a link, that is all that is
    /// known; then the controller says what it still wants.
    fn resume(&self, kept: Kept) {
        let Some(order) = kept
            .order
            .and_then(|order| SessionOrder::try_from(order).ok())
        else {
            return;
        };
        let task = order.task;
        self.table().open(order);
        let Some(message) = kept.ended else {
            info!(%task, "a session of an earlier process goes on");
            return;
        };
        info!(%task, "a session of an earlier process has ended, and no controller has recorded it yet");
        let outcome = SessionOutcome::from_message(&message);
        let recorded = self.outbox.session_ended(task, message);
        let ended = table::Ended::now(&outcome, recorded);
        self.table().end(task, ended, None);
    }

    /// Waits until what was told to this node, and how its sessions ended, is on its disk.
    pub(crate) async fn settled(&self) {
        self.journal.settled().await;
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tasks of the open sessions.
    #[must_use]
    pub(crate) fn open_tasks(&self) -> Vec<TaskId> {
        self.table().open_orders().map(|order| order.task).collect()
    }

    /// Open sessions that have a client right now, and clients of tasks that other nodes have.
    #[must_use]
    pub(crate) fn active_transfers(&self) -> u32 {
        let own = u32::try_from(self.table().running().len()).unwrap_or(u32::MAX);
        own.saturating_add(self.further.connected())
    }

    /// The controller's complete list: sessions that are not in it end, the others open. Of one that is
    /// `behind`, nothing ends.
    pub(crate) fn reconcile(&self, orders: Vec<OpenSession>, behind: bool) {
        let wanted: BTreeSet<TaskId> = orders
            .iter()
            .filter_map(|order| TaskId::new(order.task_id))
            .collect();
        if behind {
            info!("the controller may not know of every session yet: none is ended");
        } else {
            let unwanted = self.table().keep_only(&wanted);
            for task in unwanted {
                self.journal.forget(task);
                info!(%task, "the controller no longer wants this session; ending it");
            }
        }
        for order in orders {
            self.open(order);
        }
    }

    /// Opens a session, or brings an open one up to date.
    pub(crate) fn open(&self, wire: OpenSession) {
        let (task, incarnation) = (TaskId::new(wire.task_id), Incarnation(wire.incarnation));
        match (SessionOrder::try_from(wire.clone()), task) {
            (Ok(order), _) => self.open_checked(order, &wire),
            (Err(problem), Some(task)) => self.reject(task, incarnation, &problem),
            (Err(problem), None) => {
                warn!(error = %chain(&problem), "the controller sent an order that is not valid")
            }
        }
    }

    fn open_checked(&self, order: SessionOrder, wire: &OpenSession) {
        let (task, host, image, kind) = (order.task, order.host, order.image, order.kind);
        // A session ends under this lock, too: it must not between the question and the answer.
        let mut table = self.table();
        // It has ended here and the controller has yet to hear so: it will, and then it will not
        // want this any more.
        if self.outbox.has_unrecorded(task, order.incarnation.0) {
            return;
        }
        self.journal.opened(task, wire);
        let is_new = table.open(order);
        drop(table);
        if is_new {
            info!(%task, %host, %image, ?kind, "session opened");
        }
        self.changed.send_replace(());
    }

    fn reject(&self, task: TaskId, incarnation: Incarnation, problem: &CheckOrderError) {
        warn!(%task, error = %chain(&problem), "the controller sent an order that is not valid");
        let outcome = SessionOutcome::Failed {
            reason: problem.to_string(),
            node_at_fault: false,
        };
        self.outbox
            .session_ended(task, outcome.to_message(task, incarnation, None));
    }

    /// The client that has checked in for a task.
    pub(crate) fn admit(&self, admit: AdmitClient) {
        match (
            TaskId::new(admit.task_id),
            order::fingerprint(&admit.client_fingerprint),
        ) {
            (Some(task), Ok(fingerprint)) => {
                let known = self.table().admit_certificate(task, fingerprint);
                self.journal.admitted(task, &fingerprint);
                debug!(%task, known, "client admitted");
                self.changed.send_replace(());
            }
            (_, fingerprint) => {
                warn!(
                    task = admit.task_id,
                    ?fingerprint,
                    "the controller sent an admission that is not valid"
                )
            }
        }
    }

    /// Ends a session on the controller's word.
    pub(crate) fn cancel(&self, cancel: CancelSession) {
        let Some(task) = TaskId::new(cancel.task_id) else {
            return;
        };
        let reason = cancel.reason;
        if cancel.withdrawn {
            let known = self.table().withdraw(task, &reason);
            // The journal of one that has ended stays until a controller has recorded the end.
            if known {
                self.journal.forget(task);
            }
            debug!(%task, known, "the controller has withdrawn a session");
            self.changed.send_replace(());
            return;
        }
        // A client that is connected is expelled by its connection, after it has left.
        let away = {
            let table = self.table();
            let connected = table.running().iter().any(|(running, _)| *running == task);
            let order = table.open_orders().find(|order| order.task == task);
            order
                .and_then(|order| order.multicast.as_ref())
                .filter(|_| !connected)
                .map(|terms| terms.session)
        };
        if let Some(session) = away {
            self.multicasts.expel(session, task);
        }
        if self
            .end(
                task,
                SessionOutcome::Cancelled {
                    reason: reason.clone(),
                },
                Some(Stop::Cancelled { reason }),
            )
            .is_none()
        {
            debug!(%task, "there is no such session to cancel");
        }
    }

    /// The controller has recorded the end of a session.
    pub(crate) fn recorded(&self, ended: EndedRecorded) {
        let word = if ended.unknown {
            Recorded::Unknown
        } else {
            Recorded::Yes
        };
        if let Some(task) = TaskId::new(ended.task_id)
            && self.outbox.recorded(task, ended.incarnation, word)
        {
            self.journal.forget(task);
            match word {
                Recorded::Unknown => {
                    warn!(%task, "the controller does not know the task of a session that has ended");
                }
                _ => debug!(%task, "the end of the session is recorded"),
            }
        }
    }

    /// Ends an open session, closing its connection when `stop` says so, and reports it. `None`
    /// when there is no open session of this task; otherwise a receiver that says when the
    /// controller has recorded the end.
    fn end(
        &self,
        task: TaskId,
        outcome: SessionOutcome,
        stop: Option<Stop>,
    ) -> Option<watch::Receiver<Recorded>> {
        let mut table = self.table();
        let meter = table.meter(task).filter(|_| table.ended(task).is_none())?;
        let last = meter.report(task, std::time::Instant::now(), self.timing.progress_every);
        let message = outcome.to_message(task, table.incarnation(task), Some(last));
        self.journal.ended(task, &message);
        let recorded = self.outbox.session_ended(task, message);
        table.end(task, table::Ended::now(&outcome, recorded.clone()), stop);
        drop(table);
        outcome.log(task);
        Some(recorded)
    }
}
