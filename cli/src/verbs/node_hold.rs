//! `foghorn node cordon|drain|uncordon|readmit`.

use std::time::{Duration, Instant};

use foghorn_rest_types::fog::{Row, StorageNode};
use foghorn_rest_types::native::{CordonRequest, TaskStatus};
use serde_json::Value;

use crate::api::Api;
use crate::confirm::Rehearsal;
use crate::exit::{Exit, Failure};
use crate::find::find;
use crate::native::{self, Wanted};
use crate::output::Output;

const LOOK_EVERY: Duration = Duration::from_secs(1);

pub(super) fn cordon(
    api: &Api,
    output: Output,
    node: &str,
    reason: &str,
    rehearsal: &Rehearsal,
) -> Result<(), Failure> {
    let row = find::<StorageNode>(api, node)?;
    hold(api, &row, reason, rehearsal)?;
    let name = &row.view.name;
    output.say(&format!(
        "cordoned {name}; it gets no new tasks until `foghorn node uncordon {name}`"
    ));
    Ok(())
}

fn hold(
    api: &Api,
    row: &Row<StorageNode>,
    reason: &str,
    rehearsal: &Rehearsal,
) -> Result<(), Failure> {
    rehearsal.tell(&format!("give storage node {} no new tasks", row.view.name));
    let api = api.rehearsing(rehearsal.dry_run)?;
    let body = CordonRequest {
        reason: reason.to_owned(),
    };
    let path = format!("/foghorn/v1/nodes/{}/cordon", row.view.id);
    api.text("POST", &path, Some(&body))?;
    Ok(())
}

pub(super) fn drain(
    api: &Api,
    output: Output,
    node: &str,
    reason: &str,
    (timeout, rehearsal): (Option<Duration>, &Rehearsal),
) -> Result<Exit, Failure> {
    let row = find::<StorageNode>(api, node)?;
    hold(api, &row, reason, rehearsal)?;
    if rehearsal.dry_run {
        return Ok(Exit::Ok);
    }
    let (name, begun) = (&row.view.name, Instant::now());
    let mut said = usize::MAX;
    loop {
        let tasks = native::list::<TaskStatus>(api, "tasks", &Wanted::default())?;
        let here = |task: &&native::Native<TaskStatus>| task.view.node.as_deref() == Some(name);
        let left = tasks.iter().filter(here).count();
        if left == 0 {
            output.say(&format!("nothing runs on {name} any more"));
            return Ok(Exit::Ok);
        }
        if timeout.is_some_and(|timeout| begun.elapsed() >= timeout) {
            let what = super::made::count(left, "task");
            return Err(
                Failure::usage(format!("{what} still on storage node {name}")).advise(format!(
                    "it stays cordoned; `foghorn node drain {name}` waits on"
                )),
            );
        }
        if left != said {
            output.say(&format!(
                "waiting for {} on {name}",
                super::made::count(left, "task")
            ));
            said = left;
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// `uncordon` and `readmit`.
pub(super) fn free(
    api: &Api,
    output: Output,
    node: &str,
    what: &str,
    rehearsal: &Rehearsal,
) -> Result<(), Failure> {
    let row = find::<StorageNode>(api, node)?;
    let name = &row.view.name;
    rehearsal.tell(&format!("{what} storage node {name}"));
    let api = api.rehearsing(rehearsal.dry_run)?;
    let path = format!("/foghorn/v1/nodes/{}/{what}", row.view.id);
    api.text("POST", &path, None::<&Value>)?;
    output.say(&format!("{what}ed storage node {name}").replace("readmited", "readmitted"));
    Ok(())
}
