//! Doing one job on a thread of its own, with a report about once a second.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use foghorn_chunk_store::{
    DamagedChunk, DamagedRecord, RecordName, ScrubProgress, ScrubReport, Store,
};
use foghorn_proto::link::{
    DamagedChunk as WireDamagedChunk, DamagedRecord as WireDamagedRecord, JobReport,
};
use foghorn_types::{ImageId, ManifestId, chain};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::Work;
use crate::cold::Cold;
use crate::damage;
use crate::stored_image::store_image;

/// Between two reports of a running job.
const REPORT_EVERY: Duration = Duration::from_secs(1);
/// Damaged chunks named in one report: gRPC messages are limited to 4 MiB, and a node with more
/// than this has lost its disk.
const NAMED: usize = 10_000;

/// Does `work` and gives its last report. Blocking; ends soon after `cancel` is.
pub(super) fn perform(
    (store, cold): (&Store, Option<&Cold>),
    work: Work,
    job_id: u64,
    cancel: &CancellationToken,
    report: &dyn Fn(JobReport),
) -> JobReport {
    let mut last = Instant::now();
    let mut progress = |progress: ScrubProgress| {
        if last.elapsed() >= REPORT_EVERY {
            last = Instant::now();
            let (chunks_checked, chunks_total) = (progress.checked, progress.total);
            report(JobReport {
                job_id,
                chunks_checked,
                chunks_total,
                ..Default::default()
            });
        }
        if cancel.is_cancelled() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let checked = match work {
        Work::Scrub => store.scrub(&mut progress),
        Work::Sweep(grace) => return finished(job_id, sweep(store, grace, job_id, report)),
        Work::Verify(manifest) => store.verify_manifest(manifest, &mut progress),
        Work::Adopt { manifest, from, to } => {
            let adopted = adopt((store, cold), manifest, (from, to), &mut progress);
            return finished(job_id, adopted);
        }
        Work::Drop(image, manifest) => {
            let dropped = drop_image((store, cold), image, manifest);
            return finished(
                job_id,
                dropped.map(|was_there| {
                    info!(%image, was_there, "image dropped; a later sweep removes its chunks");
                    JobReport::default()
                }),
            );
        }
    };
    let report = checked
        .map_err(|problem| chain(&problem).to_string())
        .and_then(to_report);
    finished(
        job_id,
        report.map(|report| JobReport {
            // With the report, so that whoever has waited for it sees the same everywhere.
            damage: damage::list(store),
            ..report
        }),
    )
}

/// Drops an image here, and its cold copy after its grace. Returns whether it was here.
fn drop_image(
    (store, cold): (&Store, Option<&Cold>),
    image: ImageId,
    manifest: ManifestId,
) -> Result<bool, String> {
    // First: when it is gone here, the order does not come again.
    if let Some(cold) = cold {
        cold.drop_ordered(image, manifest)
            .map_err(|problem| chain(&problem).to_string())?;
        foghorn_faults::point!("agent.cold.drop-ordered");
    }
    store
        .drop_image(image, manifest)
        .map_err(|problem| chain(&problem).to_string())
}

/// Says every second that it goes on; a sweep does not tell how far it is.
fn sweep(
    store: &Store,
    grace: Duration,
    job_id: u64,
    report: &dyn Fn(JobReport),
) -> Result<JobReport, String> {
    let swept = std::thread::scope(|scope| {
        let sweeping = scope.spawn(|| store.sweep(grace));
        let mut last = Instant::now();
        while !sweeping.is_finished() {
            std::thread::sleep(Duration::from_millis(20));
            if last.elapsed() >= REPORT_EVERY {
                last = Instant::now();
                report(JobReport {
                    job_id,
                    ..Default::default()
                });
            }
        }
        sweeping.join()
    });
    let done = swept.map_err(|_| "the sweep broke off on this node".to_owned())?;
    let done = done.map_err(|problem| chain(&problem).to_string())?;
    Ok(JobReport {
        freed_bytes: done.freed.bytes(),
        ..Default::default()
    })
}

/// Checks every chunk of the manifest, and only then makes it the content of the image `to`, and no
/// longer that of `from`.
fn adopt(
    (store, cold): (&Store, Option<&Cold>),
    manifest: ManifestId,
    (from, to): (ImageId, ImageId),
    progress: &mut dyn FnMut(ScrubProgress) -> ControlFlow<()>,
) -> Result<JobReport, String> {
    let checked = store
        .verify_manifest(manifest, progress)
        .map_err(|problem| chain(&problem).to_string())
        .and_then(to_report)?;
    if !checked.damaged.is_empty() || !checked.records.is_empty() {
        return Ok(JobReport {
            error: "some of it is damaged, so nothing was changed".to_owned(),
            damage: damage::list(store),
            ..checked
        });
    }
    let encoded = store
        .read_manifest(manifest)
        .map_err(|problem| chain(&problem).to_string())?;
    let (_, adopted) =
        store_image(store, to, &encoded.into()).map_err(|problem| chain(&problem).to_string())?;
    if from != to {
        drop_image((store, cold), from, manifest)?;
    }
    info!(%from, %to, %manifest, "content adopted");
    Ok(JobReport {
        adopted: Some(adopted),
        ..checked
    })
}

fn finished(job_id: u64, result: Result<JobReport, String>) -> JobReport {
    match result {
        Ok(report) => JobReport {
            job_id,
            done: true,
            ..report
        },
        Err(error) => JobReport {
            job_id,
            done: true,
            error,
            ..Default::default()
        },
    }
}

fn to_report(found: ScrubReport) -> Result<JobReport, String> {
    for damaged in &found.damaged {
        error!(
            chunk = %damaged.id,
            error = %damaged.problem,
            images = ?damaged.images,
            "a stored chunk is damaged"
        );
    }
    for record in &found.records {
        error!(record = ?record.what, error = record.problem, images = ?record.images,
            "what names the chunks of an image or a file is damaged");
    }
    if found.stopped {
        return Err("the node was stopped before the job was finished".to_owned());
    }
    Ok(JobReport {
        chunks_checked: found.checked,
        chunks_total: found.total,
        damaged: found.damaged.into_iter().take(NAMED).map(to_wire).collect(),
        records: found
            .records
            .into_iter()
            .take(NAMED)
            .map(record_to_wire)
            .collect(),
        ..Default::default()
    })
}

fn to_wire(damaged: DamagedChunk) -> WireDamagedChunk {
    WireDamagedChunk {
        chunk_id: damaged.id.as_bytes().to_vec(),
        problem: damaged.problem.to_string(),
        images: damaged
            .images
            .into_iter()
            .map(foghorn_types::ImageId::get)
            .collect(),
        files: damaged
            .files
            .into_iter()
            .map(|file| file.as_bytes().to_vec())
            .collect(),
    }
}

fn record_to_wire(damaged: DamagedRecord) -> WireDamagedRecord {
    let named = match damaged.what {
        RecordName::Manifest(id) => WireDamagedRecord {
            manifest_id: id.as_bytes().to_vec(),
            ..Default::default()
        },
        RecordName::File(id) => WireDamagedRecord {
            file_id: id.as_bytes().to_vec(),
            ..Default::default()
        },
        RecordName::Name(path) => WireDamagedRecord {
            path: path.display().to_string(),
            ..Default::default()
        },
    };
    WireDamagedRecord {
        problem: damaged.problem,
        images: damaged.images.into_iter().map(ImageId::get).collect(),
        ..named
    }
}
