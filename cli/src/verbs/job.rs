//! Jobs of a storage node (verify, scrub, sweep): waits for them and shows the result.

use std::time::{Duration, Instant};

use foghorn_rest_types::native::{JobCreated, JobStatus, Named};
use foghorn_types::{ImageId, SnapinId};

use serde::Serialize;

use crate::api::{Api, ApiError};
use crate::exit::{Exit, Failure};
use crate::number::parse_duration;
use crate::output::{Output, Table};

const ROUND: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a command stays with the job that it has ordered.
#[derive(clap::Args, Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Following {
    /// Wait for the result
    #[arg(long)]
    pub wait: bool,
    /// Stop waiting after this time, such as 90s, 30m, 2h
    #[arg(long, value_parser = parse_duration, requires = "wait")]
    pub timeout: Option<Duration>,
}

/// Orders a job and follows it.
///
/// # Errors
/// As the server answers, and as [`follow`].
pub fn order(
    api: &Api,
    output: Output,
    path: &str,
    body: Option<&impl Serialize>,
    following: Following,
) -> Result<Exit, Failure> {
    let created: JobCreated = api.native("POST", path, body)?;
    follow(api, output, &created, following)
}

/// Prints the id of the job, or with `wait` its result.
///
/// # Errors
/// When the job could not run, the timeout expires, or the server stays unreachable.
pub fn follow(
    api: &Api,
    output: Output,
    created: &JobCreated,
    Following { wait, timeout }: Following,
) -> Result<Exit, Failure> {
    if !wait {
        output.show_value(&created.job.to_string(), created)?;
        return Ok(Exit::Ok);
    }
    let path = format!("/foghorn/v1/jobs/{}", created.job);
    let started = Instant::now();
    let mut heard = started;
    let mut checked = None;
    loop {
        match api.get::<JobStatus>(&path) {
            Ok(status) if status.done => return conclude(output, &status),
            Ok(status) => {
                heard = Instant::now();
                if checked.replace(status.chunks_checked) != Some(status.chunks_checked) {
                    let (done, total) = (status.chunks_checked, status.chunks_total);
                    output.say(&format!(
                        "{} on {}: {done} of {total} chunks",
                        status.work, status.node.name
                    ));
                }
            }
            Err(ApiError::Unreachable { .. }) if heard.elapsed() < PATIENCE => {}
            Err(error) => return Err(error.into()),
        }
        if timeout.is_some_and(|limit| started.elapsed() >= limit) {
            return Err(Failure::new(
                Exit::Failed,
                format!("the timeout expired before job {} ended", created.job),
            ));
        }
        std::thread::sleep(ROUND);
    }
}

fn conclude(output: Output, status: &JobStatus) -> Result<Exit, Failure> {
    if let Some(error) = &status.error {
        return Err(Failure::new(
            Exit::Failed,
            format!(
                "could not run the {} on {}: {error}",
                status.work, status.node.name
            ),
        ));
    }
    if status.work == "sweep" {
        let text = format!(
            "sweep on {}: freed {}",
            status.node.name, status.freed_bytes
        );
        output.show_value(&text, status)?;
        return Ok(Exit::Ok);
    }
    let (chunks, records) = (status.damaged.len(), status.damaged_records.len());
    output.say(&format!(
        "{} on {}: {} chunks read, {chunks} damaged{}",
        status.work,
        status.node.name,
        status.chunks_checked,
        match records {
            0 => String::new(),
            count => format!(", and {count} lists of chunks"),
        }
    ));
    let is_clean = chunks + records == 0;
    if is_clean && output.format == crate::output::Format::Table {
        return Ok(Exit::Ok);
    }
    output.show(&damage(status), status)?;
    if is_clean {
        return Ok(Exit::Ok);
    }
    let what = match (chunks, records) {
        (0, _) => format!("{records} lists of chunks"),
        (_, 0) => format!("{chunks} chunks"),
        _ => format!("{chunks} chunks and {records} lists of chunks"),
    };
    Err(Failure::new(
        Exit::Failed,
        format!("{what} on {} are damaged", status.node.name),
    )
    .advise("check the node's disk; `foghorn doctor` says for each image and snapin what to do"))
}

fn damage(status: &JobStatus) -> Table {
    let mut table = Table::new(&["DAMAGED", "PROBLEM", "NEEDED BY"]);
    for chunk in &status.damaged {
        table.row([
            format!("chunk {}", chunk.chunk),
            chunk.problem.clone(),
            needed_by(&chunk.images, &chunk.snapins),
        ]);
    }
    for record in &status.damaged_records {
        let name = match (record.manifest, record.file, &record.path) {
            (Some(manifest), ..) => format!("manifest {manifest}"),
            (None, Some(file), _) => format!("list of file {file}"),
            (None, None, path) => format!("name {}", path.clone().unwrap_or_default()),
        };
        table.row([
            name,
            record.problem.clone(),
            needed_by(&record.images, &record.snapins),
        ]);
    }
    table
}

fn needed_by(images: &[Named<ImageId>], snapins: &[Named<SnapinId>]) -> String {
    let images = images.iter().map(|image| match &*image.name {
        "" => format!("image {}", image.id),
        name => format!("image {name}"),
    });
    let snapins = snapins
        .iter()
        .map(|snapin| format!("snapin {}", snapin.name));
    let all: Vec<String> = images.chain(snapins).collect();
    if all.is_empty() {
        "-".to_owned()
    } else {
        all.join(", ")
    }
}
