//! The summary of a run, for scripts and benchmarks: one JSON file, written whether the run
//! succeeded or not.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use foghorn_image::Note;
use foghorn_types::chain;
use serde::Serialize;

use crate::exit::Exit;
use crate::progress::{BusySeconds, Progress, TaskDisk};

/// What `--report` writes. Bytes are plain bytes of the disk, except `bytes_wire`, which are
/// compressed.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct RunReport {
    /// `deploy`, `capture`, or absent when the client never learnt its task.
    pub task: Option<&'static str>,
    /// `done`, `failed`, `no task`, `refused` or `cancelled`.
    pub outcome: &'static str,
    pub error: Option<String>,
    /// From the order to the recorded end.
    pub seconds: f64,
    pub bytes_total: u64,
    pub bytes_done: u64,
    pub bytes_wire: u64,
    /// Part of `bytes_wire`: what came by multicast.
    pub bytes_multicast: u64,
    /// Part of `bytes_wire`: what came from each storage node, by name.
    pub bytes_from: BTreeMap<String, u64>,
    /// Why there was no multicast although it was offered.
    pub unicast_reason: Option<String>,
    pub bytes_reused: u64,
    pub bytes_written: u64,
    /// `network`, `compression` or `disk`; absent when the run was too short to tell.
    pub limiting_stage: Option<&'static str>,
    /// Seconds per kind of work, summed over its threads or lanes.
    pub busy_seconds: BusySeconds,
    /// The disks that were read or written, in the order of the image; empty when none was chosen.
    pub disks: Vec<TaskDisk>,
    /// What people should know about the image: of a capture all notes, of a deploy those that
    /// limit what can be expected of the machine.
    pub notes: Vec<ReportedNote>,
    /// Most memory that the process had resident, in bytes.
    pub peak_memory_bytes: Option<u64>,
}

/// A note about the image, as the REST API shows it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ReportedNote {
    /// `taken_raw`, `encrypted`, `unclean`, `left_out`, `unreadable`, `table`, `size_tied`,
    /// `part_of_disk` or `partition_size_tied`.
    pub kind: &'static str,
    /// As Linux counts; 0: the disk.
    pub partition: u32,
    /// First byte of the disk that it is about; of several disks, in the numbering of the image.
    pub offset: u64,
    /// Bytes that it is about; 0: none in particular.
    pub length: u64,
    pub text: String,
}

impl ReportedNote {
    fn new(note: &Note) -> Self {
        Self {
            kind: note.kind.name(),
            partition: note.partition,
            offset: note.range.start,
            length: note.range.size().bytes(),
            text: note.text.to_string(),
        }
    }
}

impl RunReport {
    #[must_use]
    pub fn new(
        task: Option<&'static str>,
        exit: Exit,
        error: Option<&(dyn std::error::Error + 'static)>,
        progress: &Progress,
    ) -> Self {
        let snapshot = progress.snapshot();
        Self {
            task,
            outcome: match exit {
                Exit::Done => "done",
                Exit::Failed | Exit::Usage => "failed",
                Exit::NoTask => "no task",
                Exit::Refused => "refused",
                Exit::Cancelled => "cancelled",
            },
            error: error.map(|error| chain(error).to_string()),
            seconds: snapshot.elapsed.as_secs_f64(),
            bytes_total: snapshot.total.bytes(),
            bytes_done: snapshot.done.bytes(),
            bytes_wire: snapshot.wire.bytes(),
            bytes_multicast: snapshot.multicast.bytes(),
            bytes_from: progress.from(),
            unicast_reason: progress.unicast_reason(),
            bytes_reused: snapshot.reused.bytes(),
            bytes_written: snapshot.written.bytes(),
            limiting_stage: snapshot.limiting.map(stage_name),
            busy_seconds: progress.busy_seconds(),
            disks: progress.disks(),
            notes: progress.notes().iter().map(ReportedNote::new).collect(),
            peak_memory_bytes: peak_memory(),
        }
    }

    /// # Errors
    /// The file system's.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        std::fs::write(
            path,
            serde_json::to_vec_pretty(self).map_err(io::Error::other)?,
        )
    }
}

pub(crate) fn stage_name(stage: foghorn_transport::Stage) -> &'static str {
    match stage {
        foghorn_transport::Stage::Network => "network",
        foghorn_transport::Stage::Compression => "compression",
        foghorn_transport::Stage::Disk => "disk",
    }
}

/// `VmHWM` of `/proc/self/status`, which is in KiB.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim()
        .strip_suffix("kB")?
        .trim()
        .parse::<u64>()
        .ok()
        .map(|kib| kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_written_as_json() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let progress = Progress::default();
        progress.add_wire(7);
        RunReport::new(Some("deploy"), Exit::Done, None, &progress)
            .write(file.path())
            .unwrap();
        let read: serde_json::Value =
            serde_json::from_slice(&std::fs::read(file.path()).unwrap()).unwrap();
        assert_eq!(
            (&read["outcome"], &read["bytes_wire"]),
            (&"done".into(), &7.into())
        );
        assert!(read["peak_memory_bytes"].as_u64().unwrap() > 1 << 20);
    }
}
