//! The work that the server does by itself: does all of it go on, and without errors.

use foghorn_rest_types::background::{BackgroundList, BackgroundWork};

use super::Finding;
use crate::api::{Api, ApiError};

const CHECK: &str = "background";

pub(super) fn check(api: &Api) -> Vec<Finding> {
    match api.get::<BackgroundList>("/foghorn/v1/background") {
        Ok(list) => judge(&list.work),
        // A server of an earlier version.
        Err(ApiError::NotFound(_)) => Vec::new(),
        Err(error) => vec![Finding::warn(
            CHECK,
            error.to_string(),
            "look at the server's log",
        )],
    }
}

/// One line for everything that is well, and one for each work that is not.
fn judge(work: &[BackgroundWork]) -> Vec<Finding> {
    let failed: Vec<Finding> = work.iter().filter_map(failing).collect();
    if failed.is_empty() {
        return vec![Finding::ok(
            CHECK,
            format!("{} kinds of work go on without errors", work.len()),
        )];
    }
    failed
}

fn failing(work: &BackgroundWork) -> Option<Finding> {
    let error = work.last.as_ref()?.error.as_ref()?;
    let found = format!(
        "{}: {error} ({} of {} rounds failed)",
        work.name, work.failures, work.rounds
    );
    Some(Finding::warn(
        CHECK,
        found,
        "look at the server's log; the next round tries again by itself",
    ))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use foghorn_rest_types::background::BackgroundRound;

    use super::*;
    use crate::doctor::Verdict;

    fn work(name: &str, error: Option<&str>) -> BackgroundWork {
        let began = "2026-01-01T00:00:00Z".to_owned();
        let (reason, error) = ("period".to_owned(), error.map(str::to_owned));
        BackgroundWork {
            name: name.to_owned(),
            period_seconds: 1.0,
            woken_by: Vec::new(),
            running_since: None,
            rounds: 7,
            failures: u64::from(error.is_some()),
            last: Some(BackgroundRound {
                began,
                seconds: 0.1,
                reason,
                did: BTreeMap::new(),
                error,
            }),
            last_failure: None,
        }
    }

    #[test]
    fn work_whose_last_round_failed_is_named() {
        let findings = judge(&[work("dispatch", None), work("upkeep", Some("disk full"))]);
        let lines: Vec<_> = findings
            .iter()
            .map(|finding| (finding.verdict, finding.found.as_str()))
            .collect();
        assert_eq!(
            lines,
            [(Verdict::Warn, "upkeep: disk full (1 of 7 rounds failed)")]
        );
        assert_eq!(judge(&[work("dispatch", None)])[0].verdict, Verdict::Ok);
    }
}
