//! Reads a disk into an image: a survey, then bounded stages on their own threads, then the
//! manifest.
//!
//! ```text
//! disk ─ read ─▶ hash (workers) ─▶ ask what is stored ─▶ compress (workers) ─▶ send (lanes) ══▶ agent
//! ```
//!
//! A chunk that the agent has, or that this disk holds twice, ends at its hash: it is neither
//! compressed nor sent. So a second capture of a disk that changed little runs as fast as the disk
//! can be read and hashed.

mod ask;
mod board;
mod careful;
mod lost;
mod outbox;
mod read;
mod sparse;
mod steps;
mod survey;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use foghorn_disk_layout::{ReadLayoutError, ReadVolumeError, SurveyDiskError};
use foghorn_image::{
    ByteRanges, ChunkContent, ChunkEntry, ChunkList, DiskGeometry, MAX_PART, MAX_PARTS, Manifest,
    PartitionTable, fit_notes, used_chunks,
};
use foghorn_transport::client::{StoreManifestError, WhichAreStoredError};
use foghorn_transport::{AgentConnection, EndReason, Stage, StreamError};
use foghorn_types::{ByteCount, ChunkId, ManifestId, chain};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::ask::Asker;
use self::board::Shared;
use self::lost::Losses;
use self::outbox::{LaneEnd, Outbox};
pub use self::survey::CaptureOptions;
use self::survey::survey;
use crate::buffers::BufferPool;
use crate::disk::{DiskError, DiskSet};
use crate::display;
use crate::link::{LinkError, TaskLink};
use crate::progress::{Progress, QueueFill, limiting_stage};

/// Chunks between two stages.
const QUEUE: usize = 8;
const TICK: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    #[error("cancelled: {reason}")]
    Cancelled { reason: String },
    #[error("the agent ended the task as failed: {reason}")]
    EndedByAgent { reason: String },
    #[error("the disk has {} bytes; at most {} bytes can be captured", size.bytes(), most.bytes())]
    TooLarge { size: ByteCount, most: ByteCount },
    #[error(
        "the disk has {} bytes and so many fragments that its manifest would be larger than {} GiB: \
         defragment its file systems, or capture their partitions raw (--raw all)",
        size.bytes(), (MAX_PARTS as u64 * MAX_PART as u64) >> 30
    )]
    TooFragmented { size: ByteCount },
    #[error("the disk cannot be captured")]
    Survey(#[from] SurveyDiskError),
    #[error("{path} cannot be captured", path = path.display())]
    SurveyOf {
        path: PathBuf,
        source: SurveyDiskError,
    },
    #[error("the disk failed")]
    Disk(#[from] DiskError),
    #[error(
        "could not read {length} bytes at byte {offset} of {path}, {what} (--rescue captures the rest and notes what is missing)",
        path = path.display()
    )]
    Unreadable {
        path: PathBuf,
        offset: u64,
        length: u64,
        /// Whose bytes they are.
        what: String,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error(
        "{path} is failing: reads that failed took {hours} hours, up to byte {offset}, and {lost} bytes were lost; copy what can be read of it to another disk first, with a tool such as ddrescue, and capture that",
        path = path.display(), hours = careful::MOST_TIME.as_secs() / 3600
    )]
    Hopeless {
        path: PathBuf,
        offset: u64,
        lost: u64,
        source: Box<DiskError>,
    },
    #[error("could not compress a chunk")]
    Compress { source: io::Error },
    #[error("the session with the agent failed")]
    Link(#[from] LinkError),
    #[error("the agent broke the protocol: {0}")]
    Protocol(String),
    #[error("the agent did not store chunk {id}: {reason}")]
    ChunkRefused { id: ChunkId, reason: String },
    #[error("could not store the manifest")]
    StoreManifest(#[source] StoreManifestError),
    #[error("a thread of the capture panicked")]
    Panicked(#[source] tokio::task::JoinError),
}

impl CaptureError {
    /// Whether the disk was refused for what is on it, before anything was sent.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        let source = match self {
            Self::TooLarge { .. } | Self::TooFragmented { .. } => return true,
            Self::Survey(source) | Self::SurveyOf { source, .. } => source,
            _ => return false,
        };
        matches!(
            source,
            SurveyDiskError::Volume {
                source: ReadVolumeError::Dirty { .. },
                ..
            } | SurveyDiskError::Layout(ReadLayoutError::GptOtherSectors { .. })
                | SurveyDiskError::UnusableTable(_)
                | SurveyDiskError::NoSuchPartition { .. }
                | SurveyDiskError::OutsidePart { .. }
                | SurveyDiskError::NoTable
        )
    }
}

/// A finished capture.
#[derive(Clone, Debug)]
pub struct Captured {
    pub manifest: ManifestId,
    /// The manifest itself, for [`crate::link::TaskLink::finish_capture`].
    pub encoded: Bytes,
}

/// Captures the disks, or a part of the disk. When this returns `Ok`, every chunk and the manifest are durable at the
/// agent. Telling it that the task is done is the caller's.
///
/// # Errors
/// The disk cannot be understood or read, a file system is dirty, the agent cannot take the image,
/// or the task was cancelled.
pub async fn capture(
    disks: impl Into<DiskSet>,
    link: &mut TaskLink,
    options: impl Into<CaptureOptions>,
    progress: Arc<Progress>,
    stop: CancellationToken,
) -> Result<Captured, CaptureError> {
    let (disk, options) = (Arc::new(disks.into()), options.into());
    let geometry = disk.geometry();
    progress.set_disks(&disk);
    let rescue = options.surveys.iter().any(|survey| survey.rescue);
    let surveyed = tokio::task::spawn_blocking({
        let disk = disk.clone();
        move || survey(&disk, &options)
    });
    let surveyed = surveyed.await.map_err(CaptureError::Panicked)?;
    let mut contents = surveyed?;
    display::notes(&progress, &contents.notes);
    let losses = Arc::new(Losses::new(&contents, rescue));
    let chunks = surveyed_chunks(geometry, &contents.used);
    // From here on the list says the same in a tenth of the memory.
    drop(contents.used);
    check_size(geometry, &chunks)?;
    let shared = Arc::new(Shared::new(
        disk,
        geometry,
        chunks,
        contents.sparse,
        progress,
        stop.child_token(),
    ));
    let total = ByteCount::from_bytes(shared.used_total());
    shared.progress.set_total(total);
    run_stages(&shared, &losses, link)
        .await
        .map_err(|error| shared.take_failure().unwrap_or(error))?;
    contents.notes.extend(missing(&shared, losses).await?);

    let manifest = Manifest {
        geometry,
        table: contents.table.unwrap_or(PartitionTable::None),
        file_systems: contents.file_systems,
        chunks: ChunkList::new(),
        notes: fit_notes(contents.notes),
        disks: contents.disks,
    };
    let encoded = Bytes::from(shared.finish(&manifest).ok_or_else(stopped)?);
    foghorn_faults::wait!("client.capture.before-manifest");
    let manifest = store_manifest(&shared, link, encoded.clone()).await?;
    foghorn_faults::wait!("client.capture.manifest-stored");
    link.report(shared.progress.snapshot().into());
    Ok(Captured { manifest, encoded })
}

/// The used chunks of the disk.
fn surveyed_chunks(geometry: DiskGeometry, used: &ByteRanges) -> ChunkList {
    used_chunks(geometry, used)
        .map(|(index, used)| ChunkEntry {
            index,
            used,
            content: ChunkContent::Zero,
        })
        .collect()
}

/// Refuses a disk whose manifest could become larger than manifests can be, before anything is read.
fn check_size(geometry: DiskGeometry, chunks: &ChunkList) -> Result<(), CaptureError> {
    let size = geometry.size;
    if !geometry.can_have_a_manifest() {
        return Err(CaptureError::TooLarge {
            size,
            most: DiskGeometry::LARGEST,
        });
    }
    if chunks.most_parts() > MAX_PARTS {
        return Err(CaptureError::TooFragmented { size });
    }
    Ok(())
}

/// The notes about what the image lacks because it could not be read, which everybody is told.
async fn missing(
    shared: &Arc<Shared>,
    losses: Arc<Losses>,
) -> Result<Vec<foghorn_image::Note>, CaptureError> {
    let lost = losses.bytes();
    if lost == 0 {
        return Ok(Vec::new());
    }
    let disk = shared.disk.clone();
    let notes = tokio::task::spawn_blocking(move || losses.notes(&disk))
        .await
        .map_err(CaptureError::Panicked)?;
    display::line(&format!(
        "WARNING: {lost} bytes of {} could not be read and are zero in the image",
        shared.disk.paths()
    ));
    let notes = fit_notes(notes);
    display::notes(&shared.progress, &notes);
    Ok(notes)
}

fn stopped() -> CaptureError {
    CaptureError::Cancelled {
        reason: "stopped".to_owned(),
    }
}

/// Stores the parts that the agent does not have yet, and then the manifest.
async fn store_manifest(
    shared: &Shared,
    link: &mut TaskLink,
    encoded: Bytes,
) -> Result<ManifestId, CaptureError> {
    loop {
        let connection = link.connection().await?;
        let store = async {
            store_parts(shared, connection).await?;
            connection.store_manifest(encoded.clone()).await
        };
        let stored = tokio::select! {
            biased;
            () = shared.stop.cancelled() => return Err(stopped()),
            stored = store => stored,
        };
        match stored {
            Ok(id) => return Ok(id),
            Err(StoreManifestError::Stream(error)) => {
                lost(link, error).map_err(|refusal| match refusal {
                    CaptureError::Protocol(reason) => CaptureError::StoreManifest(
                        StoreManifestError::Stream(StreamError::Refused { reason }),
                    ),
                    other => other,
                })?
            }
            Err(error) => return Err(CaptureError::StoreManifest(error)),
        }
    }
}

/// Stores the parts that are ready.
async fn store_parts(
    shared: &Shared,
    connection: &AgentConnection,
) -> Result<(), StoreManifestError> {
    while let Some(part) = shared.next_part() {
        connection.store_part(shared.geometry.size, &part).await?;
        shared.part_stored();
    }
    Ok(())
}

/// Stores parts as they become ready, until something fails.
async fn store_parts_meanwhile(shared: &Shared, connection: &AgentConnection) -> TurnEnd {
    loop {
        if let Err(error) = store_parts(shared, connection).await {
            return TurnEnd::Parts(error);
        }
        shared.part_ready.notified().await;
    }
}

/// The network's side of the pipeline.
struct Stages {
    asker: Asker,
    outbox: Arc<Outbox>,
    /// Only looked at, to see how full it is.
    compress: mpsc::WeakSender<read::Hashed>,
}

async fn run_stages(
    shared: &Arc<Shared>,
    losses: &Arc<Losses>,
    link: &mut TaskLink,
) -> Result<(), CaptureError> {
    let mut threads = JoinSet::new();
    let mut stages = start_threads(shared, losses, &mut threads);
    let ended = drive(shared, link, &mut stages).await;
    if ended.is_err() {
        shared.stop.cancel();
    }
    drop(stages);
    while let Some(joined) = threads.join_next().await {
        if let Err(error) = joined {
            shared.fail(CaptureError::Panicked(error));
        }
    }
    ended?;
    shared.take_failure().map_or(Ok(()), Err)
}

/// Closes the outbox when the last compressor has ended, however it ends.
struct CloseWhenDone(Arc<Outbox>);

impl Drop for CloseWhenDone {
    fn drop(&mut self) {
        self.0.close();
    }
}

fn start_threads(shared: &Arc<Shared>, losses: &Arc<Losses>, threads: &mut JoinSet<()>) -> Stages {
    let workers = std::thread::available_parallelism()
        .map_or(2, usize::from)
        .min(8);
    // Every holder of a buffer, each with its most: three queues, the reader, both kinds of
    // workers, the open questions.
    let pool = BufferPool::new(3 * QUEUE + 1 + 2 * workers + ask::HELD);
    let (read_out, hash_in) = mpsc::channel(QUEUE);
    let (hash_out, hashed) = mpsc::channel(QUEUE);
    let (compress, compress_in) = mpsc::channel(QUEUE);
    let outbox = Arc::new(Outbox::new());
    let runtime = tokio::runtime::Handle::current();
    let (for_reader, losses) = (shared.clone(), losses.clone());
    threads.spawn_blocking(move || read::read_disk(&for_reader, &losses, &pool, &read_out));
    let (hash_in, compress_in) = (
        Arc::new(Mutex::new(hash_in)),
        Arc::new(Mutex::new(compress_in)),
    );
    let closer = Arc::new(CloseWhenDone(outbox.clone()));
    for _ in 0..workers {
        let (shared_here, hash_in, hash_out) = (shared.clone(), hash_in.clone(), hash_out.clone());
        threads.spawn_blocking(move || read::hash_chunks(&shared_here, &hash_in, &hash_out));
        let (shared, compress_in, closer, runtime) = (
            shared.clone(),
            compress_in.clone(),
            closer.clone(),
            runtime.clone(),
        );
        threads.spawn_blocking(move || {
            outbox::compress_chunks(&shared, &compress_in, &closer.0, &runtime)
        });
    }
    let weak = compress.downgrade();
    Stages {
        asker: Asker::new(hashed, compress),
        outbox,
        compress: weak,
    }
}

/// Why a connection is not used any longer.
enum TurnEnd {
    Asking(WhichAreStoredError),
    Parts(StoreManifestError),
    Lane(LaneEnd),
    Stopped,
}

/// Keeps a connection to some agent until every chunk is durable.
async fn drive(
    shared: &Arc<Shared>,
    link: &mut TaskLink,
    stages: &mut Stages,
) -> Result<(), CaptureError> {
    loop {
        let connection = tokio::select! {
            biased;
            () = shared.stop.cancelled() => return Err(stopped()),
            connection = link.connection() => connection?,
        };
        match take_turn(shared, connection, stages).await {
            Ok(()) if shared.stop.is_cancelled() => return Err(stopped()),
            Ok(()) if stages.outbox.is_empty() => return Ok(()),
            // A lane ended well, yet something is unacknowledged: the agent lost count, so send
            // that again.
            Ok(()) => {}
            Err(TurnEnd::Stopped) => return Err(stopped()),
            Err(TurnEnd::Lane(LaneEnd::Refused { id, reason })) => {
                return Err(CaptureError::ChunkRefused { id, reason });
            }
            Err(TurnEnd::Parts(StoreManifestError::Stream(error))) if error.is_transient() => {
                lost(link, error)?
            }
            Err(TurnEnd::Parts(error)) => return Err(CaptureError::StoreManifest(error)),
            Err(
                TurnEnd::Asking(WhichAreStoredError(error)) | TurnEnd::Lane(LaneEnd::Lost(error)),
            ) => lost(link, error)?,
        }
        stages.outbox.take_back();
    }
}

async fn take_turn(
    shared: &Shared,
    connection: &AgentConnection,
    stages: &mut Stages,
) -> Result<(), TurnEnd> {
    let Stages {
        asker,
        outbox,
        compress,
    } = stages;
    let asking = async { asker.run(shared, connection).await.map_err(TurnEnd::Asking) };
    let lane = || async {
        outbox
            .run_lane(shared, connection)
            .await
            .map_err(TurnEnd::Lane)
    };
    let all = async { tokio::try_join!(asking, lane(), lane()).map(drop) };
    let parts = store_parts_meanwhile(shared, connection);
    tokio::pin!(all, parts);
    loop {
        tokio::select! {
            biased;
            () = shared.stop.cancelled() => return Err(TurnEnd::Stopped),
            ended = &mut all => return ended,
            failed = &mut parts => return Err(failed),
            reason = connection.ended() => return Err(TurnEnd::Lane(LaneEnd::Lost(StreamError::Ended(reason)))),
            () = tokio::time::sleep(TICK) => {
                let waiting = compress.upgrade().map_or(0.0,
                    |queue| 1.0 - queue.capacity() as f64 / queue.max_capacity() as f64);
                let fill = QueueFill { second: waiting, last: outbox.fill() };
                shared.progress.set_limiting(limiting_stage([Stage::Disk, Stage::Compression,
                    Stage::Network], fill));
                connection.report(shared.progress.snapshot().into());
            }
        }
    }
}

/// What a lost connection means: continue with another agent, or fail.
fn lost(link: &mut TaskLink, error: StreamError) -> Result<(), CaptureError> {
    match error {
        StreamError::Ended(EndReason::Cancelled { reason }) => {
            Err(CaptureError::Cancelled { reason })
        }
        StreamError::Ended(EndReason::Failed { reason }) => {
            Err(CaptureError::EndedByAgent { reason })
        }
        error if error.is_transient() => {
            tracing::warn!(
                error = %chain(&error),
                "lost the connection to the agent; connecting again"
            );
            link.move_on();
            Ok(())
        }
        error => Err(CaptureError::Protocol(chain(&error).to_string())),
    }
}
