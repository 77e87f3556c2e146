//! `foghorn task`: what is being done.

use std::collections::HashMap;
use std::time::Duration;

use clap::Subcommand;
use foghorn_rest_types::fog::{FogObject as _, Row, Task};
use foghorn_rest_types::native::{TaskPhase, TaskStatus};
use foghorn_types::TaskId;
use serde_json::Value;

use super::object::{dash, show_row, show_rows};
use super::wait::{self, parse_duration};
use super::{Session, disks, notes};
use crate::api::{Api, ApiError};
use crate::exit::{Exit, Failure};

#[derive(Subcommand, Debug)]
pub enum TaskCommand {
    /// List tasks
    #[command(after_help = "Example:\n  foghorn task list --active")]
    List {
        /// Only tasks that have not ended
        #[arg(long)]
        active: bool,
    },
    /// Show one task, with its progress and the reason for its end
    #[command(after_help = "Example:\n  foghorn task show 42")]
    Show { task: TaskId },
    /// Cancel tasks that have not ended
    #[command(after_help = "Example:\n  foghorn task cancel 42 43")]
    Cancel {
        #[arg(required = true)]
        tasks: Vec<TaskId>,
    },
    /// Wait until tasks have ended and show their progress
    #[command(after_help = "Example:\n  foghorn task wait 42 43 --timeout 30m")]
    Wait {
        #[arg(required = true)]
        tasks: Vec<TaskId>,
        /// Stop waiting after this time, such as 90s, 30m, 2h
        #[arg(long, value_parser = parse_duration)]
        timeout: Option<Duration>,
    },
}

/// # Errors
/// As the server answers.
pub fn run(command: TaskCommand, session: &Session) -> Result<Exit, Failure> {
    let (api, output) = (session.api()?, session.output);
    match command {
        TaskCommand::List { active } => {
            let path = if active {
                "/fog/task/active"
            } else {
                "/fog/task"
            };
            let mut rows = api.list_at::<Task>(path, None)?;
            let mut phases = HashMap::new();
            if output.is_for_people() {
                // FOG orders by name; a person looks for the newest.
                rows.sort_by_key(|row| row.view.id);
                phases = phases_of(&api, &rows)?;
            }
            show_rows(
                output,
                &rows,
                &["ID", "TYPE", "HOST", "STATE", "DONE", "CREATED"],
                |task| {
                    vec![
                        task.id.to_string(),
                        task.type_name()
                            .map_or_else(|| task.kind.to_string(), str::to_owned),
                        dash(task.host_name()),
                        phases
                            .get(&task.id)
                            .map_or(task.state.as_str(), |phase| wait::phase(*phase))
                            .to_owned(),
                        task.percent
                            .as_ref()
                            .map_or_else(|| "-".to_owned(), |percent| format!("{percent} %")),
                        task.created.clone(),
                    ]
                },
            )?;
            Ok(Exit::Ok)
        }
        TaskCommand::Show { task } => show(&api, session, task),
        TaskCommand::Cancel { tasks } => cancel(&api, session, &tasks),
        TaskCommand::Wait { tasks, timeout } => wait::wait_for(&api, output, &tasks, timeout),
    }
}

/// State of imaging tasks. FOG has no states "failed" and "assigned": there a failed task is a
/// cancelled one.
fn phases_of(api: &Api, rows: &[Row<Task>]) -> Result<HashMap<TaskId, TaskPhase>, Failure> {
    let imaging: Vec<TaskId> = rows
        .iter()
        .filter(|row| row.view.is_imaging())
        .map(|row| row.view.id)
        .collect();
    match wait::status_of(api, &imaging) {
        Ok(statuses) => Ok(statuses
            .into_iter()
            .map(|status| (status.task, status.state))
            .collect()),
        // A server of FOG's own kind has no such route.
        Err(ApiError::NotFound(_)) => Ok(HashMap::new()),
        Err(error) => Err(error.into()),
    }
}

fn unknown(task: TaskId) -> Failure {
    Failure::new(Exit::NotFound, format!("there is no task {task}"))
        .advise("`foghorn task list` shows the existing ones")
}

/// Imaging tasks have properties without a field in FOG; other tasks are shown as in FOG.
fn show(api: &Api, session: &Session, task: TaskId) -> Result<Exit, Failure> {
    let row = api.one::<Task>(task.get())?.ok_or_else(|| unknown(task))?;
    if session.output.is_for_people() && row.view.is_imaging() {
        match api.get::<TaskStatus>(&format!("/foghorn/v1/tasks/{task}")) {
            Ok(status) => {
                let mut value = serde_json::to_value(&status).map_err(|error| {
                    Failure::new(Exit::Failed, "could not show the task").caused_by(error)
                })?;
                if let Some(fields) = value.as_object_mut() {
                    fields.remove("notes");
                    fields.remove("more_notes");
                    fields.remove("disks");
                    disks::add_to(fields, &status.disks);
                    notes::add_to(fields, &status.notes, status.more_notes);
                }
                session.output.show_object(&task.to_string(), &value)?;
                session.output.say(&wait::line(&status));
                return Ok(Exit::Ok);
            }
            // A server of FOG's own kind has no such route.
            Err(ApiError::NotFound(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    show_row(session.output, &row)?;
    Ok(Exit::Ok)
}

fn cancel(api: &Api, session: &Session, tasks: &[TaskId]) -> Result<Exit, Failure> {
    // Looked up first: FOG's cancel of an unknown id is no error, and nobody is served by a silent
    // nothing.
    for task in tasks {
        let row = api.one::<Task>(task.get())?.ok_or_else(|| unknown(*task))?;
        if !row.view.state.is_active() {
            let what = format!(
                "task {} has already ended as {}",
                row.view.number(),
                row.view.state.as_str()
            );
            return Err(Failure::new(Exit::Conflict, what));
        }
    }
    for task in tasks {
        api.text(
            "DELETE",
            &format!("/fog/task/{task}/cancel"),
            None::<&Value>,
        )?;
        session.output.say(&format!("cancelled task {task}"));
    }
    Ok(Exit::Ok)
}
