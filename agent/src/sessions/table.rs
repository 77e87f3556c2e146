//! The sessions that the controller ordered, and who may use them. Pure: no sockets, tasks or
//! clocks.
//!
//! ```text
//! (absent) ──open──▶ Open ──end──▶ Ended ──recorded, then a while──▶ (absent)
//!     ▲               │ ▲ open (again): admission and deadline replaced
//!     └──unwanted─────┘
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use foghorn_chunk_store::CaptureGuard;
use foghorn_proto::link::CapturedImage;
use foghorn_types::{CertificateName, HostId, TaskId, Timestamp};
use tokio::sync::watch;

use super::capture::PartsClaim;
use super::order::{Fingerprint, Incarnation, SessionOrder};
use super::outcome::SessionOutcome;
use super::progress::Meter;
use crate::multicast::{MulticastTerms, SessionLimit};
use crate::outbox::Recorded;

/// Why the connection of a session must close.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Stop {
    /// The session is over: do not come back.
    Cancelled { reason: String },
    /// The session is over because this node ended it as failed: do not come back.
    Failed { reason: String },
    /// The task stands; another connection has taken this one's place, or this node goes down.
    Interrupted { reason: String },
}

/// Why a client is not served.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("{0} is not a client of a session")]
    NotAClient(CertificateName),
    #[error("the certificate is for task {certificate}, the request for task {asked}")]
    OtherTask { certificate: TaskId, asked: TaskId },
    #[error("nothing is ordered for task {0} on this node")]
    NotOrdered(TaskId),
    #[error("task {task} is for a different host than {found}")]
    OtherHost { task: TaskId, found: HostId },
    #[error("no client has been admitted to task {0} yet")]
    NobodyAdmitted(TaskId),
    #[error("another certificate has been admitted to task {0}: this one was replaced")]
    Replaced(TaskId),
    #[error("the deadline of task {task} passed at {deadline}")]
    Late { task: TaskId, deadline: Timestamp },
    #[error("task {task} has ended: {how}")]
    Ended { task: TaskId, how: String },
    /// As people do it every day.
    #[error("task {task} has ended: {how}")]
    Cancelled { task: TaskId, how: String },
}

impl Refusal {
    /// Whether a word from the controller that is still under way could change the answer.
    #[must_use]
    pub(super) fn may_be_early(&self) -> bool {
        matches!(
            self,
            Self::NotOrdered(_) | Self::NobodyAdmitted(_) | Self::Replaced(_)
        )
    }
}

/// What an ended session is remembered by.
#[derive(Clone)]
pub(super) struct Ended {
    /// `None`: complete. Otherwise why not.
    pub problem: Option<String>,
    /// Somebody ordered its end.
    pub cancelled: bool,
    /// Says when the controller has recorded the end.
    pub recorded: watch::Receiver<Recorded>,
    pub at: Timestamp,
}

impl Ended {
    pub(super) fn now(outcome: &SessionOutcome, recorded: watch::Receiver<Recorded>) -> Self {
        Self {
            problem: outcome.problem(),
            cancelled: matches!(outcome, SessionOutcome::Cancelled { .. }),
            recorded,
            at: Timestamp::now(),
        }
    }
}

/// What one session carries from connection to connection.
#[derive(Default)]
pub(super) struct Facts {
    pub captured: Option<CapturedImage>,
    /// Why this node could not give chunks, by name. The first few: a dead disk would fill memory.
    pub unavailable: Vec<String>,
    /// Of a capture: what it put, or was told is stored, is safe from the sweep.
    pub guard: Option<Arc<CaptureGuard>>,
    /// Of a capture: the parts of its manifest so far.
    pub parts: PartsClaim,
}

struct Entry {
    order: SessionOrder,
    meter: Arc<Meter>,
    connection: Option<Connection>,
    facts: Facts,
    ended: Option<Ended>,
}

struct Connection {
    number: u64,
    stop: watch::Sender<Option<Stop>>,
}

/// A client that may be served.
pub(super) struct Admission {
    pub order: SessionOrder,
    pub meter: Arc<Meter>,
    /// Which of the session's connections this is; later ones replace earlier ones.
    pub number: u64,
    pub stop: watch::Receiver<Option<Stop>>,
}

impl std::fmt::Debug for Admission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admission")
            .field("order", &self.order)
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

#[derive(Default)]
pub(super) struct Table {
    entries: BTreeMap<TaskId, Entry>,
    next_connection: u64,
}

impl Table {
    /// Makes the session exist. One that is open keeps running; its admission and deadline follow
    /// the order. Returns whether the session is new.
    pub(super) fn open(&mut self, order: SessionOrder) -> bool {
        self.share(order.multicast.as_ref());
        self.share_limit(order.limit);
        if let Some(entry) = self.entries.get_mut(&order.task) {
            let same = entry.order.incarnation.may_be(order.incarnation)
                && entry.order.kind == order.kind
                && entry.order.host == order.host
                && entry.order.image == order.image;
            if same && entry.ended.is_none() {
                entry.order.incarnation.learn(order.incarnation);
                entry.order.deadline = order.deadline;
                entry.order.multicast = order.multicast;
                entry.order.limit = order.limit;
                if let Some(fingerprint) = order.admitted {
                    entry.admit(fingerprint);
                }
                return false;
            }
            entry.stop(Stop::Cancelled {
                reason: "the task was ordered again".to_owned(),
            });
        }
        let entry = Entry {
            order,
            meter: Arc::default(),
            connection: None,
            facts: Facts::default(),
            ended: None,
        };
        self.entries.insert(entry.order.task, entry);
        true
    }

    /// What is new about a multicast session comes with one of its tasks and holds for all of them.
    fn share(&mut self, terms: Option<&MulticastTerms>) {
        let Some(terms) = terms else { return };
        let others = self
            .entries
            .values_mut()
            .filter_map(|entry| entry.order.multicast.as_mut());
        others
            .filter(|other| other.session == terms.session)
            .for_each(|other| other.clone_from(terms));
    }

    fn share_limit(&mut self, limit: Option<SessionLimit>) {
        let Some(limit) = limit else { return };
        let others = self.entries.values_mut();
        let others = others.filter_map(|entry| entry.order.limit.as_mut());
        others
            .filter(|other| other.session == limit.session)
            .for_each(|other| *other = limit);
    }

    /// From now on this certificate, and no other, is the task's client. Returns whether there is
    /// such a session.
    pub(super) fn admit_certificate(&mut self, task: TaskId, fingerprint: Fingerprint) -> bool {
        let open = self
            .entries
            .get_mut(&task)
            .filter(|entry| entry.ended.is_none());
        open.map(|entry| entry.admit(fingerprint)).is_some()
    }

    /// Closes the session's connection, if it has one, and remembers how it ended. Returns false
    /// when there is no open session of the task.
    pub(super) fn end(&mut self, task: TaskId, ended: Ended, stop: Option<Stop>) -> bool {
        let Some(entry) = self
            .entries
            .get_mut(&task)
            .filter(|entry| entry.ended.is_none())
        else {
            return false;
        };
        if let Some(stop) = stop {
            entry.stop(stop);
        }
        entry.ended = Some(ended);
        entry.facts.guard = None;
        true
    }

    /// Drops every open session whose task is not in `wanted`, closing its connection. Returns
    /// their tasks.
    pub(super) fn keep_only(&mut self, wanted: &BTreeSet<TaskId>) -> Vec<TaskId> {
        let unwanted: Vec<TaskId> = self
            .entries
            .values()
            .filter(|entry| entry.ended.is_none() && !wanted.contains(&entry.order.task))
            .map(|entry| entry.order.task)
            .collect();
        for task in &unwanted {
            self.withdraw(*task, "this node does not serve the task any more");
        }
        unwanted
    }

    /// Forgets an open session. Its client asks the controller who serves it now, or hears there
    /// that the task has ended; returns whether there was one.
    pub(super) fn withdraw(&mut self, task: TaskId, reason: &str) -> bool {
        let is_open = |entry: &Entry| entry.ended.is_none() && entry.order.task == task;
        let key = self.entries.iter().find(|(_, entry)| is_open(entry));
        let Some(entry) = key
            .map(|(key, _)| *key)
            .and_then(|key| self.entries.remove(&key))
        else {
            return false;
        };
        entry.stop(Stop::Interrupted {
            reason: reason.to_owned(),
        });
        true
    }

    /// Decides whether the holder of a verified certificate is served, and gives it the session: an
    /// earlier connection of the same client closes.
    ///
    /// # Errors
    /// The reason to tell the client.
    pub(super) fn connect(
        &mut self,
        peer: &CertificateName,
        fingerprint: &Fingerprint,
        asked: TaskId,
        now: Timestamp,
    ) -> Result<Admission, Refusal> {
        let CertificateName::Client { host, task } = *peer else {
            return Err(Refusal::NotAClient(peer.clone()));
        };
        if task != asked {
            return Err(Refusal::OtherTask {
                certificate: task,
                asked,
            });
        }
        let entry = self
            .entries
            .get_mut(&task)
            .ok_or(Refusal::NotOrdered(task))?;
        if entry.order.host != host {
            return Err(Refusal::OtherHost { task, found: host });
        }
        match &entry.order.admitted {
            None => return Err(Refusal::NobodyAdmitted(task)),
            Some(admitted) if admitted != fingerprint => return Err(Refusal::Replaced(task)),
            Some(_) => {}
        }
        if let Some(Ended {
            problem: Some(how),
            cancelled,
            ..
        }) = &entry.ended
        {
            let how = how.clone();
            return Err(if *cancelled {
                Refusal::Cancelled { task, how }
            } else {
                Refusal::Ended { task, how }
            });
        }
        if now > entry.order.deadline {
            return Err(Refusal::Late {
                task,
                deadline: entry.order.deadline,
            });
        }
        entry.stop(Stop::Interrupted {
            reason: "the client has connected again".to_owned(),
        });
        let (stop, receiver) = watch::channel(None);
        self.next_connection += 1;
        entry.connection = Some(Connection {
            number: self.next_connection,
            stop,
        });
        Ok(Admission {
            order: entry.order.clone(),
            meter: entry.meter.clone(),
            number: self.next_connection,
            stop: receiver,
        })
    }

    /// The connection is closed; if it is still the session's, the session waits for the next one.
    pub(super) fn disconnected(&mut self, task: TaskId, number: u64) {
        if let Some(entry) = self.entries.get_mut(&task)
            && entry
                .connection
                .as_ref()
                .is_some_and(|connection| connection.number == number)
        {
            entry.connection = None;
        }
    }

    /// Forgets ended sessions that the controller recorded before `before`.
    pub(super) fn forget(&mut self, before: Timestamp) {
        self.entries.retain(|_, entry| match &entry.ended {
            Some(ended) => *ended.recorded.borrow() == Recorded::NotYet || ended.at > before,
            None => true,
        });
    }

    /// Open sessions past their deadline.
    pub(super) fn late(&self, now: Timestamp) -> Vec<TaskId> {
        self.open_orders()
            .filter(|order| now > order.deadline)
            .map(|order| order.task)
            .collect()
    }

    pub(super) fn open_orders(&self) -> impl Iterator<Item = &SessionOrder> {
        self.entries
            .values()
            .filter(|entry| entry.ended.is_none())
            .map(|entry| &entry.order)
    }

    /// Counters of the open sessions that have a client.
    pub(super) fn running(&self) -> Vec<(TaskId, Arc<Meter>)> {
        let running = |entry: &&Entry| entry.ended.is_none() && entry.connection.is_some();
        self.entries
            .values()
            .filter(running)
            .map(|entry| (entry.order.task, entry.meter.clone()))
            .collect()
    }

    pub(super) fn facts(&mut self, task: TaskId) -> Option<&mut Facts> {
        self.entries.get_mut(&task).map(|entry| &mut entry.facts)
    }

    pub(super) fn meter(&self, task: TaskId) -> Option<Arc<Meter>> {
        self.entries.get(&task).map(|entry| entry.meter.clone())
    }

    pub(super) fn incarnation(&self, task: TaskId) -> Incarnation {
        let of = |entry: &Entry| entry.order.incarnation;
        self.entries.get(&task).map(of).unwrap_or_default()
    }

    pub(super) fn ended(&self, task: TaskId) -> Option<Ended> {
        self.entries
            .get(&task)
            .and_then(|entry| entry.ended.clone())
    }
}

impl Entry {
    fn admit(&mut self, fingerprint: Fingerprint) {
        if self
            .order
            .admitted
            .is_some_and(|admitted| admitted != fingerprint)
        {
            self.stop(Stop::Cancelled {
                reason: "another certificate was admitted to the task".to_owned(),
            });
        }
        self.order.admitted = Some(fingerprint);
    }

    fn stop(&self, stop: Stop) {
        if let Some(connection) = &self.connection {
            connection.stop.send_if_modified(|present| {
                let first = present.is_none();
                present.get_or_insert(stop);
                first
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use foghorn_proto::link::MulticastOrder;
    use foghorn_types::{ImageId, NodeName};

    use super::*;
    use crate::sessions::order::OrderKind;

    const NOW: Timestamp = Timestamp::from_millis(1_000);

    fn task(number: u32) -> TaskId {
        TaskId::new(number).unwrap()
    }

    fn order(number: u32) -> SessionOrder {
        SessionOrder {
            host_name: String::new(),
            task: task(number),
            incarnation: Incarnation(5),
            kind: OrderKind::Capture,
            host: HostId::new(7).unwrap(),
            image: ImageId::new(3).unwrap(),
            deadline: Timestamp::from_millis(2_000),
            traceparent: None,
            admitted: Some([1; 32]),
            limit: None,
            multicast: None,
        }
    }

    fn client(host: u32, number: u32) -> CertificateName {
        CertificateName::Client {
            host: HostId::new(host).unwrap(),
            task: task(number),
        }
    }

    fn table() -> Table {
        let mut table = Table::default();
        table.open(order(1));
        table.open(SessionOrder {
            admitted: None,
            ..order(2)
        });
        table
    }

    #[test]
    fn a_task_that_has_the_number_of_another_is_another_session() {
        let mut table = table();
        let of = |incarnation| SessionOrder {
            incarnation: Incarnation(incarnation),
            ..order(1)
        };
        // A controller that does not know says 0.
        for (incarnation, is_new) in [(5, false), (0, false), (6, true), (6, false)] {
            assert_eq!(table.open(of(incarnation)), is_new, "{incarnation}");
        }
    }

    #[test]
    fn the_last_order_of_a_multicast_session_counts_for_all_its_tasks() {
        let part = |number, session_id, start_receivers| {
            let group = "239.255.1.7:49152".to_owned();
            let wire = MulticastOrder {
                session_id,
                group,
                start_receivers,
                ..MulticastOrder::default()
            };
            SessionOrder {
                multicast: Some(wire.try_into().unwrap()),
                ..order(number)
            }
        };
        let mut table = Table::default();
        table.open(part(1, 7, 1));
        table.open(part(2, 8, 5));
        table.open(part(3, 7, 2));
        table.open(order(4));
        let awaited: Vec<_> = table
            .open_orders()
            .map(|order| order.multicast.as_ref().map(|m| m.start.receivers))
            .collect();
        assert_eq!(awaited, [Some(2), Some(5), Some(2), None]);
    }

    #[test]
    fn each_wrong_client_is_told_why() {
        let node = CertificateName::Node("north".parse::<NodeName>().unwrap());
        let refused = |peer: &CertificateName, fingerprint, asked, now| {
            table()
                .connect(
                    peer,
                    &[fingerprint; 32],
                    task(asked),
                    Timestamp::from_millis(now),
                )
                .unwrap_err()
        };
        assert!(matches!(refused(&node, 1, 1, 0), Refusal::NotAClient(_)));
        assert!(matches!(
            refused(&CertificateName::Controller, 1, 1, 0),
            Refusal::NotAClient(_)
        ));
        assert!(matches!(
            refused(&client(7, 2), 1, 1, 0),
            Refusal::OtherTask { .. }
        ));
        assert!(matches!(
            refused(&client(7, 9), 1, 9, 0),
            Refusal::NotOrdered(_)
        ));
        assert!(matches!(
            refused(&client(8, 1), 1, 1, 0),
            Refusal::OtherHost { .. }
        ));
        assert!(matches!(
            refused(&client(7, 2), 1, 2, 0),
            Refusal::NobodyAdmitted(_)
        ));
        assert!(matches!(
            refused(&client(7, 1), 2, 1, 0),
            Refusal::Replaced(_)
        ));
        assert!(matches!(
            refused(&client(7, 1), 1, 1, 2_001),
            Refusal::Late { .. }
        ));
        assert!(
            table()
                .connect(&client(7, 1), &[1; 32], task(1), NOW)
                .is_ok()
        );
    }

    #[test]
    fn a_client_that_connects_anew_takes_the_session_over() {
        let mut table = table();
        let first = table
            .connect(&client(7, 1), &[1; 32], task(1), NOW)
            .unwrap();
        let second = table
            .connect(&client(7, 1), &[1; 32], task(1), NOW)
            .unwrap();
        assert!(matches!(
            *first.stop.borrow(),
            Some(Stop::Interrupted { .. })
        ));
        table.disconnected(task(1), first.number);
        assert_eq!(
            table.running().len(),
            1,
            "the end of the first says nothing about the second"
        );
        assert_eq!(*second.stop.borrow(), None);
    }

    #[test]
    fn opening_again_disturbs_nothing_unless_the_client_is_another() {
        let mut table = table();
        let running = table
            .connect(&client(7, 1), &[1; 32], task(1), NOW)
            .unwrap();
        assert!(!table.open(SessionOrder {
            deadline: Timestamp::from_millis(9_000),
            admitted: None,
            ..order(1)
        }));
        assert_eq!(*running.stop.borrow(), None);
        assert!(!table.open(SessionOrder {
            admitted: Some([2; 32]),
            ..order(1)
        }));
        assert!(matches!(
            *running.stop.borrow(),
            Some(Stop::Cancelled { .. })
        ));
        assert!(
            table
                .connect(&client(7, 1), &[1; 32], task(1), NOW)
                .is_err()
        );
        assert!(table.connect(&client(7, 1), &[2; 32], task(1), NOW).is_ok());
    }

    #[test]
    fn reconciling_drops_what_is_not_wanted_and_keeps_the_ended() {
        let mut table = table();
        let (_recorded, receiver) = watch::channel(Recorded::NotYet);
        table.end(
            task(2),
            Ended {
                problem: None,
                cancelled: false,
                recorded: receiver,
                at: NOW,
            },
            None,
        );
        assert_eq!(table.keep_only(&BTreeSet::new()), [task(1)]);
        assert!(table.ended(task(2)).is_some());
    }

    #[test]
    fn an_ended_session_is_forgotten_once_recorded_and_old() {
        let mut table = table();
        let (recorded, receiver) = watch::channel(Recorded::NotYet);
        table.end(
            task(1),
            Ended {
                problem: None,
                cancelled: false,
                recorded: receiver,
                at: NOW,
            },
            None,
        );
        table.forget(Timestamp::from_millis(5_000));
        assert!(
            table.connect(&client(7, 1), &[1; 32], task(1), NOW).is_ok(),
            "it may still ask for its answer"
        );
        recorded.send(Recorded::Yes).unwrap();
        table.forget(Timestamp::from_millis(999));
        assert!(table.ended(task(1)).is_some());
        table.forget(NOW);
        assert!(table.ended(task(1)).is_none());
    }
}
