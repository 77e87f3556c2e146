//! Puts an image on a disk: three overlapping stages with bounded queues between them, and a
//! scanner beside them.
//!
//! ```text
//! agent ══ fetch (lanes) ══▶ verify (workers) ══▶ write (one thread) ──▶ disk
//!            ▲                                     ▲                      │
//!            └── board: who fetches what ── scan (threads): what is right already
//! ```
//!
//! The order of things on the disk is what keeps it honest: tables are wiped before the first
//! write, data is verified before it is written, and tables come back only after everything else is
//! flushed.

pub mod board;
mod drive;
mod fetch;
mod further;
pub mod growth;
mod multicast;
pub mod part;
mod places;
pub mod plan;
pub mod policy;
pub mod resume;
mod scan;
mod sectors;
pub(crate) mod several;
mod shared;
pub mod sharing;
#[cfg(test)]
mod sharing_sim;
mod stale;
mod table;
mod verify;
mod write;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use foghorn_disk_layout::RenderGptError;
use foghorn_image::{ChunkList, DecodeManifestError, Manifest, ManifestRoot};
use foghorn_transport::client::FetchManifestError;
use foghorn_transport::{AgentConnection, EndReason, StreamError};
use foghorn_types::{ByteCount, ByteOffset, ChunkId, DiskPart, ManifestId, chain};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::board::Board;
use self::drive::drive;
use self::part::PartError;
use self::plan::Plan;
use self::resume::{ResumeFile, WrittenBitmap};
use self::several::{Prepared, WhichDiskError};
use self::shared::Shared;
use self::verify::Arrived;
use self::write::Verified;
use crate::buffers::BufferPool;
use crate::disk::{Disk, DiskError, DiskSet};
use crate::display;
use crate::link::{LinkError, TaskLink};
use crate::progress::{Progress, QueueFill};

pub(crate) use self::write::is_zero;

/// Chunks between two stages.
const QUEUE: usize = 8;
/// Threads that read and hash the target.
const SCANNERS: usize = 2;
/// How often progress is reported and the resume bitmap saved.
const TICK: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    #[error("cancelled: {reason}")]
    Cancelled { reason: String },
    #[error("the agent ended the task as failed: {reason}")]
    EndedByAgent { reason: String },
    #[error("{path} has {have} bytes, but the image needs {need}", path = path.display(), have = have.bytes(), need = need.bytes())]
    TooSmall {
        path: PathBuf,
        have: ByteCount,
        need: ByteCount,
    },
    #[error("{path} has sectors of {have} bytes, but the image needs sectors of {need}", path = path.display())]
    OtherSectors { path: PathBuf, have: u64, need: u64 },
    #[error(
        "{path} has {size} bytes, which are not whole sectors of {sector} as the image has them; use a file whose size is a multiple of that",
        path = path.display(), size = size.bytes()
    )]
    OddSize {
        path: PathBuf,
        size: ByteCount,
        sector: u64,
    },
    #[error(transparent)]
    Part(#[from] PartError),
    #[error(transparent)]
    WhichDisk(#[from] WhichDiskError),
    #[error("{path} has {have} bytes, but the image can only be deployed to a disk of exactly {need} bytes: {why}", path = path.display(), have = have.bytes(), need = need.bytes())]
    OtherSize {
        path: PathBuf,
        have: ByteCount,
        need: ByteCount,
        why: Box<str>,
    },
    #[error("the partition table does not fit the disk")]
    Table(#[from] RenderGptError),
    #[error("the session with the agent failed")]
    Link(#[from] LinkError),
    #[error("could not get the manifest from the agent")]
    FetchManifest(#[from] FetchManifestError),
    #[error("the manifest cannot be used")]
    Manifest(#[from] DecodeManifestError),
    #[error("could not get chunk {id}: {problem}")]
    Chunk { id: ChunkId, problem: String },
    #[error("the agent broke the protocol: {0}")]
    Protocol(String),
    #[error("the disk failed")]
    Disk(#[from] DiskError),
    #[error("the partition table at {offset} of {path} reads back differently from what was written", path = path.display())]
    TableReadsBackWrong { path: PathBuf, offset: ByteOffset },
    #[error("could not set up a decompressor")]
    Decompressor(#[source] io::Error),
    #[error("a thread of the deploy panicked")]
    Panicked(#[source] tokio::task::JoinError),
}

impl DeployError {
    /// Whether the target disk was refused before anything was written to it.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::TooSmall { .. }
                | Self::OtherSectors { .. }
                | Self::OddSize { .. }
                | Self::Part(_)
                | Self::WhichDisk(_)
                | Self::OtherSize { .. }
                | Self::Table(_)
        )
    }
}

/// What to deploy, and what to remember on the way.
#[derive(Clone, Debug)]
pub struct DeployOptions {
    pub manifest: ManifestId,
    /// What of the image is written; the rest of the disk is left as it is.
    pub part: DiskPart,
    /// Where the resume bitmap is kept; without one, an interrupted deploy is found again by
    /// scanning alone.
    pub state_dir: Option<PathBuf>,
}

/// Brings the disks, or the ordered part of the disk, to the state that the manifest describes. When this
/// returns `Ok`, every used byte was verified, written (or found by hash) and flushed, and the
/// tables were read back. Telling the agent is the caller's.
///
/// `stop` ends it promptly; the disks then stay without tables.
///
/// # Errors
/// The disk is unsuitable (nothing was written), the image cannot be had, the disk failed, or the
/// task was cancelled.
pub async fn deploy(
    disks: impl Into<DiskSet>,
    link: &mut TaskLink,
    options: &DeployOptions,
    progress: Arc<Progress>,
    stop: CancellationToken,
) -> Result<(), DeployError> {
    let manifest = fetch_manifest(link, &stop).await?;
    let mut disk = several::arrange(disks.into(), &manifest)?;
    for (nth, member) in disk.iter_mut().enumerate() {
        let of_image = manifest.disks.get(nth).map(|disk| disk.sector_size);
        member.adopt_sector_size(of_image.unwrap_or(manifest.geometry.sector_size));
    }
    progress.set_disks(&disk);
    display::notes(
        &progress,
        manifest
            .notes
            .iter()
            .filter(|note| note.kind.matters_to_a_deploy()),
    );
    let Prepared {
        placement,
        pieces,
        wiped,
    } = several::prepare(&disk, &manifest, options.part)?;
    let plan = Plan::new(manifest, placement);
    if options.part == DiskPart::Table {
        part::check_in_the_way(disk.nth(0), &plan.written(&wiped.all(), &pieces))?;
    }
    let disk = Arc::new(disk);
    progress.set_total(plan.used_total());

    let identity = disk.identity();
    let empty = WrittenBitmap::new(options.manifest, &identity, plan.count());
    let resume = options
        .state_dir
        .as_deref()
        .map(|dir| ResumeFile::new(dir, &identity));
    let earlier = resume.as_ref().and_then(|file| file.load(&empty));
    if let Some(earlier) = &earlier {
        tracing::info!(
            chunks = earlier.marked().count(),
            "an earlier run wrote some of the chunks; they are checked first"
        );
    }
    let board = Board::new(
        plan.count() as usize,
        |number| plan.is_needed(number),
        earlier.iter().flat_map(WrittenBitmap::marked),
        SCANNERS,
    );
    let shared = Arc::new(Shared::new(
        plan,
        board,
        disk,
        progress,
        stop.child_token(),
        (link.source_count(), link.ways().is_some()),
    ));

    blocking(&shared, move |shared| {
        Ok(table::wipe(&shared.disk, &wiped)?)
    })
    .await?;
    foghorn_faults::wait!("client.deploy.wiped");
    let resume = resume.map(|file| (file, empty));
    let ended = run_stages(&shared, link, resume.clone()).await;
    if let Err(error) = ended {
        // The first failure is the cause; what the connection says after it is a consequence.
        return Err(shared.take_failure().unwrap_or(error));
    }
    blocking(&shared, move |shared| write_tables(shared, &pieces)).await?;
    foghorn_faults::wait!("client.deploy.complete");
    if let Some((file, _)) = resume {
        file.remove();
    }
    link.report(shared.progress.snapshot().into());
    link.report_elsewhere(shared.elsewhere());
    Ok(())
}

/// The end of a deploy: what makes the disks bootable is written last.
fn write_tables(shared: &Shared, pieces: &[(ByteOffset, Vec<u8>)]) -> Result<(), DeployError> {
    let mut boot_chunks = shared
        .boot_chunks
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let boot_chunks = std::mem::take(&mut *boot_chunks);
    table::complete(&shared.disk, &shared.plan, pieces, &boot_chunks)
}

/// Fetches the manifest with all its parts. What is in memory is packed: about 34 bytes per chunk.
async fn fetch_manifest(
    link: &mut TaskLink,
    stop: &CancellationToken,
) -> Result<Manifest, DeployError> {
    let encoded = fetch_some(link, stop, AgentConnection::fetch_manifest).await?;
    let root = ManifestRoot::decode(&encoded)?;
    drop(encoded);
    let (mut chunks, mut reader) = (ChunkList::new(), root.reader());
    let mut keep = |entry| {
        chunks.push(&entry);
        Ok::<_, DecodeManifestError>(())
    };
    reader.inline(&mut keep)?;
    let mut number = 0;
    while let Some(part) = reader.next_part() {
        let fetch =
            async |connection: &AgentConnection| connection.fetch_part(number, part.id).await;
        let bytes = fetch_some(link, stop, fetch).await?;
        reader.part(&bytes, &mut keep)?;
        number += 1;
    }
    Ok(root.with_chunks(chunks))
}

/// Fetches the manifest or a part of it, on a new connection if the old one is lost.
async fn fetch_some(
    link: &mut TaskLink,
    stop: &CancellationToken,
    fetch: impl AsyncFn(&AgentConnection) -> Result<Bytes, FetchManifestError>,
) -> Result<Bytes, DeployError> {
    loop {
        let connection = link.connection().await?;
        let fetched = tokio::select! {
            biased;
            () = stop.cancelled() => return Err(stopped()),
            fetched = fetch(connection) => fetched,
        };
        match fetched {
            Ok(bytes) => return Ok(bytes),
            Err(FetchManifestError::Stream(error @ StreamError::Ended(_))) => lost(link, error)?,
            Err(error) if error.is_transient() => {
                tracing::warn!(
                    error = %chain(&error),
                    "could not fetch the manifest; trying again"
                );
                link.move_on();
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn check_target(disk: &Disk, manifest: &Manifest) -> Result<(), DeployError> {
    // Partitions keep their sizes when the disk as a whole is written.
    if let Some(note) = manifest.size_tie(0)
        && disk.disk_size() != manifest.geometry.size
    {
        return Err(DeployError::OtherSize {
            path: disk.path().to_owned(),
            have: disk.disk_size(),
            need: manifest.geometry.size,
            why: note.text.clone(),
        });
    }
    let (have, need) = (disk.disk_size(), manifest.minimum_disk());
    if have < need {
        return Err(DeployError::TooSmall {
            path: disk.path().to_owned(),
            have,
            need,
        });
    }
    let (have, need) = (
        disk.sector_size().bytes(),
        manifest.geometry.sector_size.bytes(),
    );
    if have != need && sectors::matter(manifest, disk.sector_size()) {
        return Err(DeployError::OtherSectors {
            path: disk.path().to_owned(),
            have,
            need,
        });
    }
    if !disk.disk_size().bytes().is_multiple_of(have) {
        return Err(DeployError::OddSize {
            path: disk.path().to_owned(),
            size: disk.disk_size(),
            sector: have,
        });
    }
    Ok(())
}

async fn blocking<T: Send + 'static>(
    shared: &Arc<Shared>,
    work: impl FnOnce(&Shared) -> Result<T, DeployError> + Send + 'static,
) -> Result<T, DeployError> {
    let shared = shared.clone();
    tokio::task::spawn_blocking(move || work(&shared))
        .await
        .map_err(DeployError::Panicked)?
}

/// The ends of the queues that the network side holds; the threads end when all are dropped.
#[derive(Clone)]
struct Queues {
    verify: mpsc::Sender<Arrived>,
    /// Only looked at, to see how full it is.
    write: mpsc::WeakSender<Verified>,
}

impl Queues {
    fn fill(&self) -> QueueFill {
        let fill = |free: usize, all: usize| 1.0 - free as f64 / all as f64;
        let last = self
            .write
            .upgrade()
            .map_or(0.0, |write| fill(write.capacity(), write.max_capacity()));
        QueueFill {
            second: fill(self.verify.capacity(), self.verify.max_capacity()),
            last,
        }
    }
}

async fn run_stages(
    shared: &Arc<Shared>,
    link: &mut TaskLink,
    resume: Option<(ResumeFile, WrittenBitmap)>,
) -> Result<(), DeployError> {
    let mut threads = JoinSet::new();
    let queues = start_threads(shared, &mut threads);
    let saver_stop = shared.stop.child_token();
    let saver = resume.map(|(file, empty)| {
        tokio::spawn(save_bitmap(shared.clone(), file, empty, saver_stop.clone()))
    });

    let ended = drive(shared, link, &queues).await;
    if ended.is_err() {
        shared.stop.cancel();
    }
    drop(queues);
    let mut panicked = None;
    while let Some(joined) = threads.join_next().await {
        if let Err(error) = joined {
            shared.stop.cancel();
            panicked.get_or_insert(DeployError::Panicked(error));
        }
    }
    saver_stop.cancel();
    if let Some(saver) = saver {
        saver.await.map_err(DeployError::Panicked)?;
    }
    ended?;
    match (shared.take_failure(), panicked) {
        (Some(error), _) | (None, Some(error)) => Err(error),
        (None, None) if shared.stop.is_cancelled() => Err(DeployError::Cancelled {
            reason: "stopped".to_owned(),
        }),
        (None, None) => Ok(()),
    }
}

fn start_threads(shared: &Arc<Shared>, threads: &mut JoinSet<()>) -> Queues {
    let workers = std::thread::available_parallelism()
        .map_or(2, usize::from)
        .min(8);
    // Every holder of a buffer, each with its most: the queue, the writer, the workers, two per
    // scanner, the zeroer.
    let pool = BufferPool::new(QUEUE + 1 + workers + 2 * SCANNERS + 1);
    let (verify, arrived) = mpsc::channel::<Arrived>(QUEUE);
    let (write, verified) = mpsc::channel::<Verified>(QUEUE);
    let arrived = Arc::new(Mutex::new(arrived));
    for _ in 0..workers {
        let (shared, arrived, pool, write) =
            (shared.clone(), arrived.clone(), pool.clone(), write.clone());
        threads.spawn_blocking(move || verify::verify_chunks(&shared, &arrived, &pool, &write));
    }
    for _ in 0..SCANNERS {
        let (shared, pool, write) = (shared.clone(), pool.clone(), write.clone());
        threads.spawn_blocking(move || scan::scan_chunks(&shared, &pool, &write));
    }
    let for_zeroes = (shared.clone(), pool);
    threads.spawn_blocking(move || scan::make_zeroes(&for_zeroes.0, &for_zeroes.1));
    let weak = write.downgrade();
    let for_writer = shared.clone();
    threads.spawn_blocking(move || write::write_chunks(&for_writer, verified));
    Queues {
        verify,
        write: weak,
    }
}

/// The name of a storage node as people know it, from that in its certificate.
fn short_name(server_name: &str) -> &str {
    server_name.split('.').next().unwrap_or(server_name)
}

fn stopped() -> DeployError {
    DeployError::Cancelled {
        reason: "stopped".to_owned(),
    }
}

/// What a lost connection means: continue with another agent, or fail.
fn lost(link: &mut TaskLink, error: StreamError) -> Result<(), DeployError> {
    match error {
        StreamError::Ended(EndReason::Cancelled { reason }) => {
            Err(DeployError::Cancelled { reason })
        }
        StreamError::Ended(EndReason::Failed { reason }) => {
            Err(DeployError::EndedByAgent { reason })
        }
        error if error.is_transient() => {
            tracing::warn!(
                error = %chain(&error),
                "lost the connection to the agent; connecting again"
            );
            link.move_on();
            Ok(())
        }
        error => Err(DeployError::Protocol(chain(&error).to_string())),
    }
}

/// Once a second: what is right is flushed, then the bitmap that says so is saved. A last time at
/// the end.
async fn save_bitmap(
    shared: Arc<Shared>,
    file: ResumeFile,
    empty: WrittenBitmap,
    stop: CancellationToken,
) {
    let mut over = false;
    while !over {
        tokio::select! {
            () = stop.cancelled() => over = true,
            () = tokio::time::sleep(TICK) => {}
        }
        let (file, mut bitmap) = (file.clone(), empty.clone());
        let saved = blocking(&shared, move |shared| {
            {
                let board = shared.board();
                shared
                    .plan
                    .numbers()
                    .filter(|&number| board.is_right(number))
                    .for_each(|number| bitmap.mark(number));
            }
            shared.disk.flush()?;
            if let Err(error) = file.save(&bitmap) {
                tracing::warn!(error = %chain(&error), "could not save the resume bitmap");
            }
            Ok(())
        });
        if let Err(error) = saved.await {
            return shared.fail(error);
        }
    }
}
