//! Jobs of a storage node (verify, scrub, sweep): waits for them and shows the result.

use std::time::{Duration, Instant};

use foghorn_rest_types::native::{JobCreated, JobStatus};

use crate::api::{Api, ApiError};
use crate::exit::{Exit, Failure};
use crate::output::{Output, Table};

const ROUND: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(60);

/// Prints the id of the job, or with `wait` its result.
///
/// # Errors
/// When the job could not run, the timeout expires, or the server stays unreachable.
pub fn follow(
    api: &Api,
    output: Output,
    created: &JobCreated,
    wait: bool,
    timeout: Option<Duration>,
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
    let mut table = Table::new(&["CHUNK", "PROBLEM", "IMAGES"]);
    for chunk in &status.damaged {
        let images: Vec<&str> = chunk
            .images
            .iter()
            .map(|image| image.name.as_str())
            .collect();
        table.row([
            chunk.chunk.clone(),
            chunk.problem.clone(),
            images.join(", "),
        ]);
    }
    output.say(&format!(
        "{} on {}: {} chunks read, {} damaged",
        status.work,
        status.node.name,
        status.chunks_checked,
        status.damaged.len()
    ));
    if status.damaged.is_empty() && output.format == crate::output::Format::Table {
        return Ok(Exit::Ok);
    }
    output.show(&table, status)?;
    if status.damaged.is_empty() {
        return Ok(Exit::Ok);
    }
    Err(Failure::new(Exit::Failed, format!("{} chunks on {} are damaged", status.damaged.len(),
        status.node.name))
        .advise("capture the images again, or deploy them from another storage node; then check the node's disk"))
}
