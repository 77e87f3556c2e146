//! Jobs that users start on a node's store (scrub, verify): in memory, updated by the agent's
//! reports.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use foghorn_types::{ByteCount, ChunkId, FileId, ImageId, ManifestId, StorageNodeId, Timestamp};

/// Maximum number of finished jobs; the oldest are removed first.
const REMEMBERED: usize = 1000;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JobState {
    pub job: u64,
    pub node: StorageNodeId,
    pub work: JobWork,
    pub created: Timestamp,
    /// Time of the agent's last report on it.
    pub reported: Timestamp,
    pub done: bool,
    /// Why the job could not run.
    pub error: Option<String>,
    pub chunks_checked: u64,
    pub chunks_total: u64,
    pub damaged: Vec<Damage>,
    pub records: Vec<RecordDamage>,
    /// By a sweep.
    pub freed: ByteCount,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum JobWork {
    Scrub,
    Sweep,
    Verify {
        image: ImageId,
    },
    Drop {
        image: ImageId,
    },
    /// Content that the node holds under the number `from` becomes that of image `to`.
    Adopt {
        from: ImageId,
        to: ImageId,
    },
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Damage {
    pub chunk: ChunkId,
    pub problem: String,
    pub images: Vec<ImageId>,
    pub files: Vec<FileId>,
}

/// A manifest, the record of a file or the name of an image that cannot be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordDamage {
    pub manifest: Option<ManifestId>,
    pub file: Option<FileId>,
    /// Of a name.
    pub path: String,
    pub problem: String,
    pub images: Vec<ImageId>,
}

impl JobState {
    fn new(job: u64, node: StorageNodeId, work: JobWork, now: Timestamp) -> Self {
        Self {
            job,
            node,
            work,
            created: now,
            reported: now,
            done: false,
            error: None,
            chunks_checked: 0,
            chunks_total: 0,
            damaged: vec![],
            records: vec![],
            freed: ByteCount::ZERO,
        }
    }
}

/// Every job since the controller started.
pub struct Jobs {
    jobs: Mutex<Inner>,
}

struct Inner {
    next: u64,
    jobs: BTreeMap<u64, JobState>,
}

impl Jobs {
    /// Ids start from the clock, in microseconds, so that an id from before a restart, or of another
    /// controller, does not belong to another job as well.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        let next = u64::try_from(now.as_millis()).unwrap_or(1) * 1000
            + u64::from(getrandom::u32().unwrap_or_default() % 1000);
        Self {
            jobs: Mutex::new(Inner {
                next,
                jobs: BTreeMap::new(),
            }),
        }
    }

    pub fn create(&self, node: StorageNodeId, work: JobWork, now: Timestamp) -> u64 {
        let mut inner = self.lock();
        let job = inner.next;
        inner.next += 1;
        if inner.jobs.len() >= REMEMBERED {
            inner.jobs.pop_first();
        }
        inner.jobs.insert(job, JobState::new(job, node, work, now));
        job
    }

    /// Another controller has ordered this job.
    pub(crate) fn learn(&self, job: u64, node: StorageNodeId, work: JobWork, created: Timestamp) {
        let mut inner = self.lock();
        if inner.jobs.contains_key(&job) {
            return;
        }
        if inner.jobs.len() >= REMEMBERED {
            inner.jobs.pop_first();
        }
        // Our own numbers go on from where they were: two controllers that went on from the same
        // one would give it twice.
        let state = JobState::new(job, node, work, created);
        inner.jobs.insert(job, state);
    }

    /// Removes a job whose order was not sent.
    pub(crate) fn forget(&self, job: u64) {
        self.lock().jobs.remove(&job);
    }

    #[must_use]
    pub fn get(&self, job: u64) -> Option<JobState> {
        self.lock().jobs.get(&job).cloned()
    }

    /// Stores a report; reports about jobs of other nodes are ignored.
    pub(crate) fn update(&self, node: StorageNodeId, job: u64, change: impl FnOnce(&mut JobState)) {
        if let Some(state) = self
            .lock()
            .jobs
            .get_mut(&job)
            .filter(|state| state.node == node)
        {
            change(state);
        }
    }

    /// Ends jobs without reports for some time: the agent was restarted and no longer knows them.
    pub(crate) fn give_up(&self, now: Timestamp, patience: Duration) {
        for state in self
            .lock()
            .jobs
            .values_mut()
            .filter(|state| !state.done && now.since(state.reported) > patience)
        {
            state.done = true;
            state.error = Some("the storage node stopped sending reports on this job".to_owned());
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
