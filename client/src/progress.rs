//! How far a transfer is and where it spends its time: counters that every stage adds to, read once
//! a second.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use foghorn_image::Note;
use foghorn_transport::{ClientProgress, Stage};
use foghorn_types::ByteCount;
use serde::Serialize;

use crate::disk::{Disk, DiskSet};

/// The kinds of work whose time is counted, per thread or lane that does it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Work {
    /// Reading the disk (capture).
    Read,
    /// Hashing and zero detection (capture).
    Hash,
    /// Compressing (capture).
    Compress,
    /// Reading and hashing what the target holds already (deploy).
    Scan,
    /// Decompressing and verifying (deploy).
    Verify,
    /// Writing and flushing the disk (deploy).
    Write,
    /// Waiting for the network: to take a chunk (capture), to bring one (deploy).
    Network,
}

const WORKS: [(Work, &str); 7] = [
    (Work::Read, "read"),
    (Work::Hash, "hash"),
    (Work::Compress, "compress"),
    (Work::Scan, "scan"),
    (Work::Verify, "verify"),
    (Work::Write, "write"),
    (Work::Network, "network"),
];

/// A disk that is read or written, for the report.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct TaskDisk {
    pub path: String,
    /// Path, model and serial number.
    pub name: String,
    /// In bytes.
    pub size: u64,
    /// In bytes.
    pub sector_size: u64,
    /// Where its bytes start in the numbering of the task, in which a first disk starts at 0.
    pub start: u64,
}

/// Counters of one transfer. All byte counts but `wire` are plain bytes of the disk.
#[derive(Debug)]
pub struct Progress {
    started: Instant,
    total: AtomicU64,
    done: AtomicU64,
    reused: AtomicU64,
    wire: AtomicU64,
    multicast: AtomicU64,
    written: AtomicU64,
    /// Index into [`STAGES`], or [`UNKNOWN`].
    limiting: AtomicU8,
    /// Index into [`PATHS`].
    path: AtomicU8,
    unicast_reason: Mutex<Option<String>>,
    /// What the user was told about the image.
    notes: Mutex<Vec<Note>>,
    disks: Mutex<Vec<TaskDisk>>,
    /// Compressed bytes of chunks by the storage node that they came from.
    from: Mutex<BTreeMap<String, u64>>,
    busy_nanos: [AtomicU64; WORKS.len()],
}

const STAGES: [Stage; 3] = [Stage::Network, Stage::Compression, Stage::Disk];
const UNKNOWN: u8 = u8::MAX;

/// How chunks come.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Path {
    #[default]
    Unicast,
    /// A multicast session was joined and nothing was heard of it yet.
    Waiting,
    Multicast,
}

const PATHS: [Path; 3] = [Path::Unicast, Path::Waiting, Path::Multicast];

impl Default for Progress {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            total: AtomicU64::new(0),
            done: AtomicU64::new(0),
            reused: AtomicU64::new(0),
            wire: AtomicU64::new(0),
            multicast: AtomicU64::new(0),
            written: AtomicU64::new(0),
            limiting: AtomicU8::new(UNKNOWN),
            path: AtomicU8::new(0),
            unicast_reason: Mutex::new(None),
            notes: Mutex::new(Vec::new()),
            disks: Mutex::new(Vec::new()),
            from: Mutex::default(),
            busy_nanos: Default::default(),
        }
    }
}

impl Progress {
    pub fn set_total(&self, total: ByteCount) {
        self.total.store(total.bytes(), Ordering::Relaxed);
    }

    /// Bytes that are right on the disk (deploy) or safe on the agent (capture) from now on.
    pub fn add_done(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes that needed no transfer; counts as done too.
    pub fn add_reused(&self, bytes: u64) {
        self.reused.fetch_add(bytes, Ordering::Relaxed);
        self.add_done(bytes);
    }

    /// Compressed bytes of chunks that crossed the network.
    pub fn add_wire(&self, bytes: u64) {
        self.wire.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Compressed bytes of chunks that came from this storage node.
    pub fn add_from(&self, node: &str, bytes: u64) {
        let mut from = self.from.lock().unwrap_or_else(PoisonError::into_inner);
        match from.get_mut(node) {
            Some(sum) => *sum += bytes,
            None => drop(from.insert(node.to_owned(), bytes)),
        }
    }

    /// Compressed bytes of chunks by the storage node that they came from, without multicast.
    #[must_use]
    pub fn from(&self) -> BTreeMap<String, u64> {
        let from = self.from.lock().unwrap_or_else(PoisonError::into_inner);
        from.clone()
    }

    /// Compressed bytes of chunks that came by multicast.
    pub fn add_multicast(&self, bytes: u64) {
        self.multicast.fetch_add(bytes, Ordering::Relaxed);
        self.add_wire(bytes);
    }

    pub fn set_path(&self, path: Path) {
        let index = PATHS
            .iter()
            .position(|known| *known == path)
            .unwrap_or_default();
        self.path.store(index as u8, Ordering::Relaxed);
    }

    /// Why there is no multicast although the agent offers it, in words for people.
    pub fn set_unicast_reason(&self, reason: String) {
        *self
            .unicast_reason
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(reason);
    }

    #[must_use]
    pub fn unicast_reason(&self) -> Option<String> {
        self.unicast_reason
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Keeps what people should know about the image, for the report; returns what is new.
    pub fn add_notes<'n>(&self, notes: impl IntoIterator<Item = &'n Note>) -> Vec<Note> {
        let mut known = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        let before: HashSet<Note> = known.iter().cloned().collect();
        let new: Vec<Note> = notes
            .into_iter()
            .filter(|note| !before.contains(*note))
            .cloned()
            .collect();
        known.extend(new.iter().cloned());
        new
    }

    /// Keeps which disks are read or written, for the report.
    pub fn set_disks(&self, disks: &DiskSet) {
        let disk = |(start, disk): (u64, &Disk)| TaskDisk {
            path: disk.path().display().to_string(),
            name: disk.name().to_owned(),
            size: disk.disk_size().bytes(),
            sector_size: disk.sector_size().bytes(),
            start,
        };
        *self.disks.lock().unwrap_or_else(PoisonError::into_inner) =
            disks.iter().map(disk).collect();
    }

    /// Which disks are read or written, once that is known.
    #[must_use]
    pub fn disks(&self) -> Vec<TaskDisk> {
        self.disks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// What people should know about the image.
    #[must_use]
    pub fn notes(&self) -> Vec<Note> {
        self.notes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Bytes that were written to the disk.
    pub fn add_written(&self, bytes: u64) {
        self.written.fetch_add(bytes, Ordering::Relaxed);
    }

    pub fn set_limiting(&self, stage: Stage) {
        let index = STAGES
            .iter()
            .position(|known| *known == stage)
            .map_or(UNKNOWN, |index| index as u8);
        self.limiting.store(index, Ordering::Relaxed);
    }

    /// Does `work` and counts its time.
    pub fn timed<T>(&self, kind: Work, work: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let result = work();
        self.add_busy(kind, begun.elapsed());
        result
    }

    pub fn add_busy(&self, kind: Work, time: Duration) {
        self.busy_nanos[kind as usize].fetch_add(time.as_nanos() as u64, Ordering::Relaxed);
    }

    #[must_use]
    pub fn busy(&self, kind: Work) -> Duration {
        Duration::from_nanos(self.busy_nanos[kind as usize].load(Ordering::Relaxed))
    }

    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let read = |counter: &AtomicU64| ByteCount::from_bytes(counter.load(Ordering::Relaxed));
        Snapshot {
            elapsed: self.started.elapsed(),
            total: read(&self.total),
            done: read(&self.done),
            reused: read(&self.reused),
            wire: read(&self.wire),
            multicast: read(&self.multicast),
            path: PATHS
                .get(usize::from(self.path.load(Ordering::Relaxed)))
                .copied()
                .unwrap_or_default(),
            written: read(&self.written),
            limiting: STAGES
                .get(usize::from(self.limiting.load(Ordering::Relaxed)))
                .copied(),
        }
    }

    /// Seconds per kind of work, those that took any.
    #[must_use]
    pub fn busy_seconds(&self) -> BusySeconds {
        let seconds = WORKS.iter().filter_map(|&(work, name)| {
            let nanos = self.busy_nanos[work as usize].load(Ordering::Relaxed);
            (nanos > 0).then_some((name, nanos as f64 / 1e9))
        });
        BusySeconds(seconds.collect())
    }
}

/// Seconds per kind of work, summed over its threads.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
#[serde(transparent)]
pub struct BusySeconds(pub std::collections::BTreeMap<&'static str, f64>);

/// The counters at one moment.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Snapshot {
    pub elapsed: Duration,
    pub total: ByteCount,
    pub done: ByteCount,
    pub reused: ByteCount,
    pub wire: ByteCount,
    /// Part of `wire`.
    pub multicast: ByteCount,
    pub path: Path,
    pub written: ByteCount,
    pub limiting: Option<Stage>,
}

impl From<Snapshot> for ClientProgress {
    fn from(snapshot: Snapshot) -> Self {
        Self {
            bytes_done: snapshot.done,
            bytes_total: snapshot.total,
            bytes_reused: snapshot.reused,
            limiting_stage: snapshot.limiting,
        }
    }
}

/// How full the queues between the stages are, 0 to 1.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct QueueFill {
    /// In front of the stage that comes second.
    pub second: f64,
    /// In front of the stage that comes last.
    pub last: f64,
}

/// The stage that holds the others up: the last one whose own queue is at least half full, else the
/// first, which cannot fill the queue behind it. `order` names the stages from first to last.
#[must_use]
pub fn limiting_stage<S: Copy>(order: [S; 3], fill: QueueFill) -> S {
    if fill.last >= 0.5 {
        order[2]
    } else if fill.second >= 0.5 {
        order[1]
    } else {
        order[0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_blames_the_stage_behind_it() {
        let deploy = [Stage::Network, Stage::Compression, Stage::Disk];
        assert_eq!(
            limiting_stage(
                deploy,
                QueueFill {
                    second: 0.0,
                    last: 0.1
                }
            ),
            Stage::Network
        );
        assert_eq!(
            limiting_stage(
                deploy,
                QueueFill {
                    second: 0.9,
                    last: 0.1
                }
            ),
            Stage::Compression
        );
        assert_eq!(
            limiting_stage(
                deploy,
                QueueFill {
                    second: 1.0,
                    last: 1.0
                }
            ),
            Stage::Disk
        );
    }

    #[test]
    fn what_was_reused_is_done_too() {
        let progress = Progress::default();
        progress.set_total(ByteCount::from_mib(3));
        progress.add_reused(1 << 20);
        progress.add_done(1 << 20);
        progress.timed(Work::Write, || std::hint::black_box(0));
        let snapshot = progress.snapshot();
        assert_eq!(
            (snapshot.done, snapshot.reused),
            (ByteCount::from_mib(2), ByteCount::from_mib(1))
        );
        assert_eq!(
            progress
                .busy_seconds()
                .0
                .keys()
                .copied()
                .collect::<Vec<_>>(),
            ["write"]
        );
        assert_eq!(snapshot.limiting, None);
    }
}
