//! `foghorn task cancel`: tasks by their ids, or all that are for a host, a group or an image.

use std::collections::{BTreeMap, BTreeSet};

use foghorn_rest_types::fog::{FogObject as _, Group, Host, Image, Row, Task};
use foghorn_types::{HostId, ImageId, TaskId};
use serde_json::Value;

use super::group;
use crate::api::{Api, ApiError};
use crate::confirm::{Consent, NOTHING_CHANGED, confirm};
use crate::exit::{Exit, Failure, of_many};
use crate::find::find;
use crate::human;
use crate::output::Output;

#[derive(clap::Args, Debug)]
#[command(group(clap::ArgGroup::new("which").required(true).multiple(true)
    .args(["tasks", "host", "group", "image", "all"])))]
pub struct CancelArgs {
    tasks: Vec<TaskId>,
    /// All tasks of this host that have not ended; may be given several times
    #[arg(long)]
    host: Vec<String>,
    /// All tasks of the hosts of this group; may be given several times
    #[arg(long)]
    group: Vec<String>,
    /// All tasks for this image; may be given several times
    #[arg(long)]
    image: Vec<String>,
    /// All tasks that have not ended
    #[arg(long, conflicts_with_all = ["tasks", "host", "group", "image"])]
    all: bool,
    #[command(flatten)]
    consent: Consent,
}

/// # Errors
/// As the server answers; [`Exit::Refused`] when it was not confirmed.
pub(super) fn run(api: &Api, output: Output, args: &CancelArgs) -> Result<Exit, Failure> {
    let active: BTreeMap<TaskId, Row<Task>> = api
        .list_at::<Task>("/fog/task/active", None)?
        .into_iter()
        .map(|row| (row.view.id, row))
        .collect();
    let chosen = chosen(api, args, &active)?;
    // Who names ids knows what they are; who names a group is shown what that means.
    let consent = Consent {
        yes: args.consent.yes || chosen.is_empty(),
        ..args.consent
    };
    let lines: Vec<String> = chosen
        .iter()
        .filter_map(|id| active.get(id))
        .map(line)
        .collect();
    confirm(
        consent,
        &lines,
        &format!("Cancel {}?", human::count(lines.len(), "task")),
    )?;
    let named = args.tasks.iter().filter(|id| !chosen.contains(*id));
    let all: Vec<TaskId> = named.chain(&chosen).copied().collect();
    if all.is_empty() {
        output.say("there is no such task that has not ended; nothing was cancelled");
        return Ok(Exit::Ok);
    }
    let api = api.rehearsing(consent.is_dry_run())?;
    let mut failures = Vec::new();
    for task in &all {
        match cancel(&api, &active, *task) {
            Ok(()) => output.say(&format!("cancelled task {task}")),
            Err(end) if end.exit() == Exit::Ok => {
                output.say(&format!("would cancel {}", line_of(&active, *task)));
            }
            Err(failure) => failures.push(failure),
        }
    }
    if all.len() == 1 && failures.len() == 1 {
        return Err(failures.remove(0));
    }
    for failure in &failures {
        eprintln!("error: {failure}");
    }
    if consent.is_dry_run() {
        output.say(NOTHING_CHANGED);
    }
    Ok(of_many(all.len() - failures.len(), failures.len()))
}

/// The active tasks that are meant by what they are for.
fn chosen(
    api: &Api,
    args: &CancelArgs,
    active: &BTreeMap<TaskId, Row<Task>>,
) -> Result<BTreeSet<TaskId>, Failure> {
    let mut hosts: BTreeSet<HostId> = BTreeSet::new();
    for name in &args.host {
        hosts.insert(find::<Host>(api, name)?.view.id);
    }
    for name in &args.group {
        let found = find::<Group>(api, name)?;
        let members = group::members(api, found.view.id)?;
        hosts.extend(members.iter().map(|host| host.view.id));
    }
    let images = args
        .image
        .iter()
        .map(|name| find::<Image>(api, name).map(|row| row.view.id))
        .collect::<Result<BTreeSet<ImageId>, _>>()?;
    let is_meant = |task: &Task| {
        args.all
            || task.host.is_some_and(|host| hosts.contains(&host))
            || task.is_imaging() && task.image.is_some_and(|image| images.contains(&image))
    };
    let meant = active.values().filter(|row| is_meant(&row.view));
    Ok(meant.map(|row| row.view.id).collect())
}

/// FOG's cancel of an unknown id is no error, and nobody is served by a silent nothing.
fn cancel(api: &Api, active: &BTreeMap<TaskId, Row<Task>>, task: TaskId) -> Result<(), Failure> {
    if !active.contains_key(&task) {
        let row = api.one::<Task>(task.get())?.ok_or_else(|| unknown(task))?;
        if !row.view.state.is_active() {
            let state = row.view.state.as_str();
            let what = format!("task {task} has already ended as {state}");
            return Err(Failure::new(Exit::Conflict, what));
        }
    }
    let path = format!("/fog/task/{task}/cancel");
    match api.text("DELETE", &path, None::<&Value>) {
        Ok(_) => Ok(()),
        Err(ApiError::NotFound(_)) => Err(unknown(task)),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn unknown(task: TaskId) -> Failure {
    Failure::new(Exit::NotFound, format!("there is no task {task}"))
        .advise("`foghorn task list` shows the existing ones")
}

fn line_of(active: &BTreeMap<TaskId, Row<Task>>, task: TaskId) -> String {
    active
        .get(&task)
        .map_or_else(|| format!("task {task}"), line)
}

fn line(row: &Row<Task>) -> String {
    let task = &row.view;
    let kind = task.type_name().unwrap_or("task");
    let host = task
        .host_name()
        .map_or_else(String::new, |host| format!(" of host {host}"));
    let state = task.state.as_str();
    format!("task {} ({kind}){host}: {state}, it ends", task.number())
}
