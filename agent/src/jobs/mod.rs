//! Work on the node's own store, outside any session: what the controller orders ([`Jobs`]) and
//! what comes round by itself ([`upkeep`]).

mod check;
pub(crate) mod patrol;
pub(crate) mod upkeep;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use foghorn_chunk_store::Store;
use foghorn_proto::link::job::Work as WireWork;
use foghorn_proto::link::{
    AdoptImage, DropImage, Job, JobReport, StoredManifest, Sweep, VerifyImage,
};
use foghorn_types::{ImageId, ManifestId, chain};
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, info, info_span, warn};

use crate::cold::Cold;
use crate::marks::Marks;
use crate::outbox::Outbox;

/// Jobs that may wait for their turn.
const WAITING: usize = 64;

/// Runs what the controller orders, one job at a time, so that checking never takes the disk from
/// clients altogether.
pub(crate) struct Jobs {
    store: Arc<Store>,
    outbox: Arc<Outbox>,
    cold: Option<Arc<Cold>>,
    tasks: TaskTracker,
    cancel: CancellationToken,
    /// How long a sweep leaves what became useless.
    grace: Duration,
    turn: Arc<Semaphore>,
    /// Accepted and not finished. An order that comes twice is done once.
    known: Arc<Mutex<BTreeSet<u64>>>,
    /// Woken when the store holds something else than before, so that the controller hears of it
    /// soon.
    store_changed: Arc<Notify>,
    marks: Arc<Marks>,
}

/// What to do, checked.
#[derive(Clone, Copy, Debug)]
enum Work {
    Scrub,
    /// Remove what nothing has needed for this long.
    Sweep(Duration),
    Verify(ManifestId),
    /// Only if the image still is this.
    Drop(ImageId, ManifestId),
    /// Make the content of one image that of another, which may be the same.
    Adopt {
        manifest: ManifestId,
        from: ImageId,
        to: ImageId,
    },
}

impl Jobs {
    #[must_use]
    pub(crate) fn new(
        store: Arc<Store>,
        outbox: Arc<Outbox>,
        cold: Option<Arc<Cold>>,
        grace: Duration,
        (store_changed, marks): (Arc<Notify>, Arc<Marks>),
        cancel: CancellationToken,
    ) -> Self {
        Self {
            store,
            outbox,
            cold,
            tasks: TaskTracker::new(),
            cancel,
            grace,
            turn: Arc::new(Semaphore::new(1)),
            known: Arc::default(),
            store_changed,
            marks,
        }
    }

    /// Starts a job, or queues it behind the running one. Reports go to the outbox.
    pub(crate) fn start(&self, job: Job) {
        let job_id = job.job_id;
        let refuse = |error: &str| {
            warn!(job = job_id, error, "refused a job");
            self.outbox.job(JobReport {
                job_id,
                done: true,
                error: error.to_owned(),
                ..Default::default()
            });
        };
        let work = match check_work(job, self.grace) {
            Ok(work) => work,
            Err(problem) => return refuse(problem),
        };
        {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            if known.contains(&job_id) {
                return;
            }
            if known.len() >= WAITING {
                drop(known);
                return refuse("too many jobs are waiting on this node");
            }
            known.insert(job_id);
        }
        let span = info_span!("job", job = job_id, ?work);
        self.tasks.spawn(self.run(job_id, work).instrument(span));
    }

    fn run(&self, job_id: u64, work: Work) -> impl Future<Output = ()> + use<> {
        let (store, outbox, cancel) =
            (self.store.clone(), self.outbox.clone(), self.cancel.clone());
        let cold = self.cold.clone();
        let (turn, known, changed) = (
            self.turn.clone(),
            self.known.clone(),
            self.store_changed.clone(),
        );
        let marks = self.marks.clone();
        async move {
            // At once: a capture that is ordered later may bring the same content again, and must
            // not lose it to an order from before.
            let permit = if matches!(work, Work::Drop(..)) {
                None
            } else {
                tokio::select! {
                    permit = turn.acquire_owned() =>
                        Some(permit.expect("the semaphore is never closed")),
                    () = cancel.cancelled() => return,
                }
            };
            foghorn_faults::wait!("agent.job.before");
            let reporter = outbox.clone();
            let done = tokio::task::spawn_blocking(move || {
                let _permit = permit;
                let kept = (&*store, cold.as_deref());
                check::perform(kept, work, job_id, &cancel, &|report| reporter.job(report))
            });
            let report = done.await.unwrap_or_else(|_| JobReport {
                job_id,
                done: true,
                error: "the job broke off on this node".to_owned(),
                ..Default::default()
            });
            if report.error.is_empty() && report.damaged.is_empty() && report.records.is_empty() {
                match work {
                    Work::Verify(manifest) => marks.verified(manifest),
                    Work::Scrub => marks.all_verified(),
                    Work::Sweep(_) | Work::Drop(..) | Work::Adopt { .. } => {}
                }
            }
            info!(
                checked = report.chunks_checked,
                damaged = report.damaged.len(),
                error = report.error,
                "job done"
            );
            known
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(&job_id);
            foghorn_faults::wait!("agent.job.done");
            outbox.job(report);
            changed.notify_one();
        }
    }

    /// Says in the log which images are here that the controller does not know. They stay: deletion
    /// is an order of its own.
    pub(crate) fn compare(&self, keep: &[StoredManifest]) {
        let known: BTreeSet<u32> = keep.iter().map(|stored| stored.image_id).collect();
        let held = match self.store.manifests() {
            Ok(held) => held,
            Err(problem) => return warn!(error = %chain(&problem), "could not list the images"),
        };
        for (image, manifest) in held
            .into_iter()
            .filter(|(image, _)| !known.contains(&image.get()))
        {
            warn!(
                %image,
                manifest = %format!("{manifest:#}"),
                "this node stores an image that the controller does not know"
            );
        }
    }

    /// Lets running jobs stop at the next chunk and waits for them. The token must be cancelled
    /// already.
    pub(crate) async fn stopped(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

fn check_work(job: Job, grace: Duration) -> Result<Work, &'static str> {
    match job.work {
        Some(WireWork::Scrub(_)) => Ok(Work::Scrub),
        Some(WireWork::Sweep(Sweep { now })) => {
            Ok(Work::Sweep(if now { Duration::ZERO } else { grace }))
        }
        Some(WireWork::Verify(VerifyImage { manifest_id, .. })) => {
            manifest(manifest_id).map(Work::Verify)
        }
        Some(WireWork::Drop(DropImage {
            image_id,
            manifest_id,
        })) => Ok(Work::Drop(image(image_id)?, manifest(manifest_id)?)),
        Some(WireWork::Adopt(AdoptImage {
            manifest_id,
            to_image_id,
            from_image_id,
        })) => Ok(Work::Adopt {
            manifest: manifest(manifest_id)?,
            from: image(from_image_id)?,
            to: image(to_image_id)?,
        }),
        None => Err("this version of the agent does not know this kind of job"),
    }
}

fn image(id: u32) -> Result<ImageId, &'static str> {
    ImageId::new(id).ok_or("0 is not an image id")
}

fn manifest(bytes: Vec<u8>) -> Result<ManifestId, &'static str> {
    let digest = bytes
        .try_into()
        .map_err(|_| "the manifest id does not have 32 bytes")?;
    Ok(ManifestId::from_digest(digest))
}
