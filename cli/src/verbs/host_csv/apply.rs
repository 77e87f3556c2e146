//! Carries an import out: several requests at a time, because each waits for a disk.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

use foghorn_rest_types::fog::Host;
use indicatif::ProgressBar;
use serde_json::json;

use super::plan::{Job, Work};
use crate::api::{Api, ApiError};

/// Requests under way at a time.
const AT_ONCE: usize = 8;

/// What became of a job.
#[derive(Debug)]
pub(super) enum Done {
    Created {
        id: u32,
    },
    Changed,
    /// In a dry run.
    WouldWork,
    Refused {
        reason: String,
    },
    /// The server cannot be reached any more, or fails.
    Lost {
        reason: String,
    },
}

/// Carries out `jobs`; what became of each, in the same order. `None` for those that were not begun
/// because the server was lost.
pub(super) fn carry_out(api: &Api, jobs: &[Job], bar: &ProgressBar) -> Vec<Option<Done>> {
    let (next, lost) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (sender, receiver) = mpsc::channel();
    let mut done: Vec<Option<Done>> = jobs.iter().map(|_| None).collect();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(jobs.len()) {
            let (sender, next, lost) = (sender.clone(), &next, &lost);
            scope.spawn(move || {
                while !lost.load(Ordering::Relaxed) {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(job) = jobs.get(at) else { return };
                    let end = one(api, job);
                    if matches!(end, Done::Lost { .. }) {
                        lost.store(true, Ordering::Relaxed);
                    }
                    if sender.send((at, end)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        for (at, end) in receiver {
            bar.inc(1);
            done[at] = Some(end);
        }
    });
    done
}

fn one(api: &Api, job: &Job) -> Done {
    let result = match &job.work {
        Work::Create { body } => api.create::<Host>(body).map(|row| Done::Created {
            id: row.view.id.get(),
        }),
        Work::Change { .. } => change(api, &job.work).map(|()| Done::Changed),
    };
    match result {
        Ok(done) => done,
        Err(ApiError::Rehearsed { .. }) => Done::WouldWork,
        Err(
            error @ (ApiError::Unreachable { .. }
            | ApiError::Server { .. }
            | ApiError::Credentials { .. }
            | ApiError::Answer { .. }),
        ) => Done::Lost {
            reason: crate::exit::Failure::from(error).in_one_line(),
        },
        Err(error) => Done::Refused {
            reason: error.to_string(),
        },
    }
}

/// Every step does nothing when it was done before.
fn change(api: &Api, work: &Work) -> Result<(), ApiError> {
    let Work::Change {
        host,
        body,
        macs,
        groups,
        ..
    } = work
    else {
        return Ok(());
    };
    let mut rehearsed = None;
    let mut step = |result: Result<serde_json::Value, ApiError>| match result {
        Ok(_) => Ok(()),
        // The further steps are rehearsed as well.
        Err(end @ ApiError::Rehearsed { .. }) => {
            rehearsed = Some(end);
            Ok(())
        }
        Err(error) => Err(error),
    };
    if !body.is_empty() {
        step(api.value("PUT", &format!("/fog/host/{host}/edit"), Some(body)))?;
    }
    for mac in macs {
        let body = json!({"hostID": host, "mac": mac, "primary": "0"});
        let path = "/fog/macaddressassociation/create";
        step(api.value("POST", path, Some(&body)))?;
    }
    for group in groups {
        let body = json!({"hostID": host, "groupID": group});
        step(api.value("POST", "/fog/groupassociation/create", Some(&body)))?;
    }
    rehearsed.map_or(Ok(()), Err)
}
