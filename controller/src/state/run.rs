//! What an imaging task is doing: one record per task beside the task's row, moved by the
//! dispatcher alone.
//!
//! The row speaks FOG's words (five states); the run keeps the whole truth: node, reason, client,
//! deadline.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use foghorn_lifecycle::{Client, NodeFault, Outcome, Parts, Task, TaskEvent, TaskKind, TaskState};
use foghorn_types::{
    Digest, DiskPart, HostId, ImageId, ManifestId, StorageGroupId, StorageNodeId, TaskId, Timestamp,
};
use serde::{Deserialize, Serialize};

use super::notes::Notes;
use super::shelf::{Index, Record, Shelf, numbered_by};
use crate::store::Revision;

/// Keys of runs: this and the task's id.
const PREFIX: &str = "/foghorn/v1/run/";

/// Time from its creation in which a task must end, unless the configuration says otherwise.
pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(12 * 60 * 60);

/// One imaging task's run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Run {
    pub task: TaskId,
    /// Random: tells it from the run of a task that had its number in a store that was restored
    /// since. 0 for one that an earlier version has stored.
    pub incarnation: u64,
    pub kind: RunKind,
    /// The same of all tasks that one order created for several hosts; 0 for an order for one.
    pub order: u64,
    pub host: HostId,
    pub image: ImageId,
    /// Of the image.
    pub storage_group: StorageGroupId,
    /// The site that its host belongs to, if it belongs to one.
    pub home: Option<Home>,
    pub scope: Scope,
    pub life: Task,
    /// W3C trace context of the request that created the task.
    pub traceparent: Option<String>,
    pub created: Timestamp,
    /// BLAKE3 of the certificate (DER) of the client that checked in last; nobody else is served.
    pub client_fingerprint: Option<Digest>,
    /// BLAKE3 of the bearer with which that client asks for its order.
    pub client_session: Option<Digest>,
    /// Nodes that its client would also fetch from, beside the one that has the task. Which of them
    /// serve it follows from what else is there (`app::further`).
    pub further: Vec<StorageNodeId>,
    /// Notes of the image, from the end on.
    pub notes: Notes,
    /// The store's revision of this record; 0 for one that was never stored.
    pub modified: Revision,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "what")]
pub enum RunKind {
    /// Without a manifest, the version is what the image is when the machine comes.
    Deploy {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        manifest: Option<ManifestId>,
        /// The number of the version, once there is a manifest; orders of earlier releases have
        /// none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<u32>,
    },
    Capture,
}

/// The site that a host belongs to, and what says so.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Home {
    pub site: StorageGroupId,
    pub by: HomeBy,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HomeBy {
    /// The address that it checked in from.
    Address(IpAddr),
    /// Its location, as a plugin keeps it.
    Location,
    /// A group of hosts that the site names.
    Group,
}

/// What of the disk is imaged, and how: fixed when the task is ordered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Scope {
    pub part: DiskPart,
    /// A capture takes every block that is not zero.
    pub raw: bool,
    /// It is about several disks, as many as the rules name.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub several: bool,
}

impl Scope {
    fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

impl RunKind {
    #[must_use]
    pub fn task_kind(self) -> TaskKind {
        match self {
            Self::Deploy { .. } => TaskKind::Deploy,
            Self::Capture => TaskKind::Capture,
        }
    }
}

impl Run {
    /// A run nobody has touched yet, due [`DEFAULT_DEADLINE`] from `now`.
    #[must_use]
    pub fn queued(
        task: TaskId,
        kind: RunKind,
        host: HostId,
        image: ImageId,
        storage_group: StorageGroupId,
        traceparent: Option<String>,
        now: Timestamp,
    ) -> Self {
        let life = Task::new(kind.task_kind(), now + DEFAULT_DEADLINE);
        Self {
            task,
            incarnation: 0,
            order: 0,
            kind,
            host,
            image,
            storage_group,
            home: None,
            scope: Scope::default(),
            life,
            traceparent,
            created: now,
            client_fingerprint: None,
            client_session: None,
            further: Vec::new(),
            notes: Notes::default(),
            modified: 0,
        }
    }

    /// The same run for this part of the disk.
    #[must_use]
    pub fn within(self, scope: Scope) -> Self {
        Self { scope, ..self }
    }

    /// The same run, for a host of this site.
    #[must_use]
    pub fn at_home(self, home: Option<Home>) -> Self {
        Self { home, ..self }
    }

    /// The same run, told from others with its number by this.
    #[must_use]
    pub fn told_apart_by(self, incarnation: u64) -> Self {
        Self {
            incarnation,
            ..self
        }
    }

    /// The same run, as one of those of an order.
    #[must_use]
    pub fn of_order(self, order: u64) -> Self {
        Self { order, ..self }
    }

    /// Whether a report about a session of this incarnation may be about this run. Agents of
    /// earlier versions do not tell (0).
    #[must_use]
    pub fn may_be(&self, incarnation: u64) -> bool {
        self.incarnation == incarnation || self.incarnation == 0 || incarnation == 0
    }

    /// The same run with another time limit, counted from its creation.
    #[must_use]
    pub fn due_in(mut self, limit: Duration) -> Self {
        let parts = Parts {
            deadline: self.created + limit,
            ..self.life.parts().clone()
        };
        self.life = Task::from_parts(parts);
        self
    }

    #[must_use]
    pub fn deadline(&self) -> Timestamp {
        self.life.deadline()
    }

    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.life.state().is_finished()
    }

    #[must_use]
    pub fn node(&self) -> Option<StorageNodeId> {
        self.life.state().node()
    }

    /// The run after a cancellation, or `None` when it has already ended. Store it under
    /// [`Record::unchanged`] of the original.
    #[must_use]
    pub fn cancelled(&self, now: Timestamp, reason: &str) -> Option<Self> {
        let mut next = self.clone();
        next.life
            .apply(
                now,
                TaskEvent::Cancelled {
                    reason: reason.to_owned(),
                },
            )
            .ok()?;
        Some(next)
    }
}

impl Record for Run {
    const WHAT: &'static str = "run of a task";
    type Body = RunBody;
    type Index = Sessions;

    numbered_by!(PREFIX, task: TaskId);

    fn to_body(&self) -> RunBody {
        self.into()
    }

    fn from_body(_task: TaskId, body: RunBody, modified: Revision) -> Self {
        body.into_run(modified)
    }
}

/// Tasks by the hash of the bearer that their client holds, and those whose clients would fetch from
/// several nodes.
#[derive(Default)]
pub struct Sessions {
    by_bearer: HashMap<Digest, TaskId>,
    with_further: BTreeSet<TaskId>,
}

impl Index<Run> for Sessions {
    fn add(&mut self, run: &Run) {
        if let Some(session) = run.client_session {
            self.by_bearer.insert(session, run.task);
        }
        if !run.further.is_empty() && !run.is_finished() {
            self.with_further.insert(run.task);
        }
    }

    fn remove(&mut self, run: &Run) {
        if let Some(session) = run.client_session {
            self.by_bearer.remove(&session);
        }
        self.with_further.remove(&run.task);
    }
}

impl Shelf<Run> {
    /// The run whose client holds this bearer. Looked up by hash, so the time it takes says nothing
    /// about stored ones.
    #[must_use]
    pub fn by_session(&self, bearer: &str) -> Option<&Arc<Run>> {
        self.get(
            self.index()
                .by_bearer
                .get(blake3::hash(bearer.as_bytes()).as_bytes())?,
        )
    }

    /// Runs that have not ended and whose clients would fetch from several nodes, in the order of their
    /// numbers.
    pub fn with_further(&self) -> impl Iterator<Item = &Arc<Run>> {
        let tasks = self.index().with_further.iter();
        tasks.filter_map(|task| self.get(task))
    }

    /// Runs that have not ended.
    pub fn active(&self) -> impl Iterator<Item = &Arc<Run>> {
        self.iter().filter(|run| !run.is_finished())
    }

    /// Runs that ended before this time.
    pub fn ended_before(&self, time: Timestamp) -> impl Iterator<Item = &Arc<Run>> {
        self.iter().filter(
            move |run| matches!(run.life.state(), TaskState::Finished { at, .. } if *at < time),
        )
    }
}

/// The stored form.
#[derive(Serialize, Deserialize)]
pub struct RunBody {
    task: TaskId,
    #[serde(default, skip_serializing_if = "is_unknown")]
    incarnation: u64,
    #[serde(default, skip_serializing_if = "is_unknown")]
    order: u64,
    kind: RunKind,
    host: HostId,
    image: ImageId,
    storage_group: StorageGroupId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    home: Option<Home>,
    #[serde(default, skip_serializing_if = "Scope::is_usual")]
    scope: Scope,
    created: Timestamp,
    deadline: Timestamp,
    started: Option<Timestamp>,
    state: StoredState,
    #[serde(default)]
    former: Vec<StorageNodeId>,
    #[serde(default)]
    faults: Vec<(StorageNodeId, String)>,
    traceparent: Option<String>,
    client_fingerprint: Option<Digest>,
    client_session: Option<Digest>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    further: Vec<StorageNodeId>,
    #[serde(default, skip_serializing_if = "Notes::is_empty")]
    notes: Notes,
}

fn is_unknown(number: &u64) -> bool {
    *number == 0
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
enum StoredState {
    Queued {
        checked_in: bool,
    },
    Assigned {
        node: StorageNodeId,
    },
    CheckedIn {
        node: StorageNodeId,
    },
    Running {
        node: StorageNodeId,
    },
    Complete {
        at: Timestamp,
    },
    Failed {
        reason: String,
        node_at_fault: bool,
        at: Timestamp,
    },
    Cancelled {
        reason: String,
        at: Timestamp,
    },
}

impl From<&TaskState> for StoredState {
    fn from(state: &TaskState) -> Self {
        match state.clone() {
            TaskState::Queued { client } => Self::Queued {
                checked_in: client == Client::CheckedIn,
            },
            TaskState::Assigned { node } => Self::Assigned { node },
            TaskState::CheckedIn { node } => Self::CheckedIn { node },
            TaskState::Running { node } => Self::Running { node },
            TaskState::Finished { outcome, at } => match outcome {
                Outcome::Complete => Self::Complete { at },
                Outcome::Failed {
                    reason,
                    node_at_fault,
                } => Self::Failed {
                    reason,
                    node_at_fault,
                    at,
                },
                Outcome::Cancelled { reason } => Self::Cancelled { reason, at },
            },
        }
    }
}

impl From<StoredState> for TaskState {
    fn from(record: StoredState) -> Self {
        match record {
            StoredState::Queued { checked_in } => Self::Queued {
                client: if checked_in {
                    Client::CheckedIn
                } else {
                    Client::Awaited
                },
            },
            StoredState::Assigned { node } => Self::Assigned { node },
            StoredState::CheckedIn { node } => Self::CheckedIn { node },
            StoredState::Running { node } => Self::Running { node },
            StoredState::Complete { at } => Self::Finished {
                outcome: Outcome::Complete,
                at,
            },
            StoredState::Failed {
                reason,
                node_at_fault,
                at,
            } => Self::Finished {
                outcome: Outcome::Failed {
                    reason,
                    node_at_fault,
                },
                at,
            },
            StoredState::Cancelled { reason, at } => Self::Finished {
                outcome: Outcome::Cancelled { reason },
                at,
            },
        }
    }
}

impl From<&Run> for RunBody {
    fn from(run: &Run) -> Self {
        let parts = run.life.parts();
        Self {
            task: run.task,
            incarnation: run.incarnation,
            order: run.order,
            kind: run.kind,
            host: run.host,
            image: run.image,
            storage_group: run.storage_group,
            home: run.home,
            scope: run.scope,
            created: run.created,
            deadline: parts.deadline,
            started: parts.started,
            state: (&parts.state).into(),
            former: parts.former.clone(),
            faults: parts
                .faults
                .iter()
                .map(|fault| (fault.node, fault.reason.clone()))
                .collect(),
            traceparent: run.traceparent.clone(),
            client_fingerprint: run.client_fingerprint,
            client_session: run.client_session,
            further: run.further.clone(),
            notes: run.notes.clone(),
        }
    }
}

impl RunBody {
    fn into_run(self, modified: Revision) -> Run {
        let life = Task::from_parts(Parts {
            kind: self.kind.task_kind(),
            state: self.state.into(),
            deadline: self.deadline,
            started: self.started,
            former: self.former,
            faults: self
                .faults
                .into_iter()
                .map(|(node, reason)| NodeFault { node, reason })
                .collect(),
        });
        Run {
            task: self.task,
            incarnation: self.incarnation,
            order: self.order,
            kind: self.kind,
            host: self.host,
            image: self.image,
            storage_group: self.storage_group,
            home: self.home,
            scope: self.scope,
            life,
            traceparent: self.traceparent,
            created: self.created,
            client_fingerprint: self.client_fingerprint,
            client_session: self.client_session,
            further: self.further,
            notes: self.notes,
            modified,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::shelf::{decode, encode};

    fn read_back(run: &Run) -> Run {
        Run::from_body(
            run.task,
            decode(Run::WHAT, &encode(&run.to_body())).unwrap(),
            run.modified,
        )
    }

    #[test]
    fn a_run_survives_storage_in_every_state() {
        let now = Timestamp::from_millis(5);
        let node = StorageNodeId::new(3).unwrap();
        let kind = RunKind::Deploy {
            manifest: Some(ManifestId::of(b"m")),
            version: Some(3),
        };
        let ids = (
            TaskId::new(1).unwrap(),
            HostId::new(2).unwrap(),
            ImageId::new(4).unwrap(),
            StorageGroupId::new(1).unwrap(),
        );
        let mut run = Run::queued(
            ids.0,
            kind,
            ids.1,
            ids.2,
            ids.3,
            Some("00-ab-cd-01".into()),
            now,
        )
        .due_in(Duration::from_secs(9))
        .told_apart_by(u64::MAX)
        .at_home(Some(Home {
            site: ids.3,
            by: HomeBy::Address("10.1.2.3".parse().unwrap()),
        }))
        .within(Scope {
            part: DiskPart::partition(2).unwrap(),
            raw: true,
            several: true,
        });
        run.client_fingerprint = Some([7; 32]);
        run.further = vec![StorageNodeId::new(9).unwrap()];
        for event in [
            TaskEvent::Assigned { node },
            TaskEvent::ClientCheckedIn,
            TaskEvent::Progressed { node },
            TaskEvent::NodeLost { node },
            TaskEvent::Cancelled {
                reason: "asked".into(),
            },
        ] {
            assert_eq!(read_back(&run), run);
            run.life.apply(now, event).unwrap();
        }
        assert_eq!(read_back(&run), run);
        assert!(run.cancelled(now, "again").is_none());
    }
}
