//! `foghorn task`: what is being done.

use std::time::Duration;

use clap::Subcommand;
use foghorn_rest_types::fog::{Group, Host, Image, Task};
use foghorn_rest_types::native::TaskStatus;
use foghorn_types::{TaskId, Timestamp};

use super::object::{show_fog, show_natives, show_row};
use super::task_cancel::{self, CancelArgs, unknown};
use super::wait::{self, parse_duration};
use super::{Session, task_view};
use crate::api::{Api, ApiError};
use crate::exit::{Exit, Failure};
use crate::find::find;
use crate::native::{self, Wanted};
use crate::number::within;
use crate::output::Output;

#[derive(Subcommand, Debug)]
pub enum TaskCommand {
    /// List tasks, the newest last
    #[command(
        after_help = "Examples:\n  foghorn task list --active\n  foghorn task list --group lab --state failed --since 24h\n  foghorn task list --limit 20"
    )]
    List(TaskFilter),
    /// Show one task, with its progress and the reason for its end
    #[command(after_help = "Example:\n  foghorn task show 42")]
    Show {
        task: TaskId,
        /// Show FOG's object
        #[arg(long)]
        fog: bool,
    },
    /// Cancel tasks that have not ended
    #[command(
        after_help = "Examples:\n  foghorn task cancel 42 43\n  foghorn task cancel --group lab --yes\n  foghorn task cancel --all --dry-run"
    )]
    Cancel(CancelArgs),
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

#[derive(clap::Args, Debug)]
pub struct TaskFilter {
    /// Only tasks that have not ended
    #[arg(long)]
    active: bool,
    /// Only tasks in this state
    #[arg(long, value_enum, conflicts_with = "active")]
    state: Option<StateFilter>,
    /// Only tasks of this host, by name or id
    #[arg(long)]
    host: Option<String>,
    /// Only tasks of hosts that are in this group now, by name or id
    #[arg(long)]
    group: Option<String>,
    /// Only tasks with this image, by name or id
    #[arg(long)]
    image: Option<String>,
    /// Only tasks that were created within this time, such as 30m, 48h, or since a time in the form
    /// of RFC 3339
    #[arg(long, value_name = "TIME", value_parser = parse_since)]
    since: Option<Timestamp>,
    /// Only the newest ones, so many
    #[arg(long, value_name = "NUMBER", value_parser = within(1..=1_000_000))]
    limit: Option<u32>,
    /// Show FOG's objects
    #[arg(long, conflicts_with_all = ["state", "host", "group", "image", "since", "limit"])]
    fog: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum StateFilter {
    Active,
    Ended,
    Queued,
    Assigned,
    CheckedIn,
    Running,
    Complete,
    Failed,
    Cancelled,
}

impl StateFilter {
    /// As the server calls it.
    fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Ended => "ended",
            Self::Queued => "queued",
            Self::Assigned => "assigned",
            Self::CheckedIn => "checked_in",
            Self::Running => "running",
            Self::Complete => "complete",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// A time, or how long ago.
fn parse_since(text: &str) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    let ago = parse_duration(text).map_err(|_| {
        format!(
            "{text:?} is neither a duration, such as 48h, nor a time, such as 2026-01-31T08:00:00Z"
        )
    })?;
    Ok(Timestamp::now() - ago)
}

/// # Errors
/// As the server answers.
pub fn run(command: TaskCommand, session: &Session) -> Result<Exit, Failure> {
    let (api, output) = (session.api()?, session.output);
    match command {
        TaskCommand::List(filter) => list(&api, output, filter),
        TaskCommand::Show { task, fog: true } => {
            let row = api.one::<Task>(task.get())?.ok_or_else(|| unknown(task))?;
            show_row(output, &row)?;
            Ok(Exit::Ok)
        }
        TaskCommand::Show { task, fog: false } => show(&api, output, task),
        TaskCommand::Cancel(args) => task_cancel::run(&api, output, &args),
        TaskCommand::Wait { tasks, timeout } => wait::wait_for(&api, output, &tasks, timeout),
    }
}

fn list(api: &Api, output: Output, filter: TaskFilter) -> Result<Exit, Failure> {
    if filter.fog {
        let path = if filter.active {
            "/fog/task/active"
        } else {
            "/fog/task"
        };
        show_fog(output, &api.list_at::<Task>(path, None)?)?;
        return Ok(Exit::Ok);
    }
    let host = filter
        .host
        .map(|name| find::<Host>(api, &name))
        .transpose()?;
    let group = filter
        .group
        .map(|name| find::<Group>(api, &name))
        .transpose()?;
    let image = filter
        .image
        .map(|name| find::<Image>(api, &name))
        .transpose()?;
    let state = if filter.active {
        "active"
    } else {
        filter.state.map_or("all", StateFilter::as_str)
    };
    let mut wanted = Wanted::default()
        .only("work", Some("all"))
        .only("order", Some("newest"))
        .only("state", Some(state))
        .only("host", host.map(|row| row.view.id))
        .only("group", group.map(|row| row.view.id))
        .only("image", image.map(|row| row.view.id))
        .only("since", filter.since);
    wanted.limit = filter.limit.map(|limit| limit as usize);
    let mut tasks = native::list(api, "tasks", &wanted)?;
    // The newest is what people look for, and above the prompt they find it.
    tasks.reverse();
    show_natives(output, &task_view::table(output, &tasks), &tasks)?;
    Ok(Exit::Ok)
}

fn show(api: &Api, output: Output, task: TaskId) -> Result<Exit, Failure> {
    let found = native::one::<TaskStatus>(api, "tasks", task.get());
    let found = found.map_err(|error| match error {
        ApiError::NotFound(_) => unknown(task),
        error => error.into(),
    })?;
    output.show_sheet(
        task.get(),
        &task_view::sheet(output, &found.view),
        &found.raw,
    )?;
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_a_time_or_a_duration() {
        let time = parse_since("2026-01-31T08:00:00Z").unwrap();
        assert_eq!(time.to_string(), "2026-01-31T08:00:00Z");
        let hour = Timestamp::now().since(parse_since("1h").unwrap());
        assert!((3599..=3601).contains(&hour.as_secs()), "{hour:?}");
        assert!(parse_since("yesterday").unwrap_err().contains("neither"));
    }
}
