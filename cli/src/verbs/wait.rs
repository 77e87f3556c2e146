//! Waiting for tasks: their states once a second, as bars on a terminal and as plain lines
//! elsewhere.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use foghorn_rest_types::multicast::MulticastPath;
use foghorn_rest_types::native::{TaskList, TaskPhase, TaskStatus};
use foghorn_types::TaskId;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::notes;
use super::object::dash;
use crate::api::{Api, ApiError};
use crate::exit::{Exit, Failure, of_many};
use crate::human;
pub use crate::number::parse_duration;
use crate::output::{Format, Output, Table, is_decorated};

/// The server receives reports once a second; asking more often shows nothing new.
const ROUND: Duration = Duration::from_secs(1);
/// A controller that restarts or hands over is available again within seconds; a longer outage is
/// reported.
const PATIENCE: Duration = Duration::from_secs(60);

/// The current state of each of `tasks`, in their order.
///
/// # Errors
/// As the server answers.
pub fn status_of(api: &Api, tasks: &[TaskId]) -> Result<Vec<TaskStatus>, ApiError> {
    let mut found = Vec::with_capacity(tasks.len());
    // Bounded requests: a group of hundreds must not make a URL that a proxy refuses.
    for part in tasks.chunks(100) {
        let ids: Vec<String> = part.iter().map(TaskId::to_string).collect();
        found.extend(
            api.get::<TaskList>(&format!("/foghorn/v1/tasks?ids={}", ids.join(",")))?
                .tasks,
        );
    }
    Ok(found)
}

/// Waits until all `tasks` have ended, shows their progress, and returns their results.
///
/// # Errors
/// When the timeout expires, a task does not exist, or the server stays unreachable.
pub fn wait_for(
    api: &Api,
    output: Output,
    tasks: &[TaskId],
    timeout: Option<Duration>,
) -> Result<Exit, Failure> {
    let started = Instant::now();
    let mut display = Display::new(output);
    let mut heard = started;
    loop {
        match status_of(api, tasks) {
            Ok(statuses) => {
                heard = Instant::now();
                if let Some(missing) = tasks
                    .iter()
                    .find(|task| !statuses.iter().any(|status| status.task == **task))
                {
                    return Err(Failure::new(
                        Exit::NotFound,
                        format!("task {missing} is not an imaging task, or no longer exists"),
                    ));
                }
                display.show(&statuses);
                if statuses.iter().all(|status| status.state.is_finished()) {
                    display.end();
                    return conclude(output, &statuses);
                }
            }
            Err(error @ (ApiError::Unreachable { .. } | ApiError::Server { .. }))
                if heard.elapsed() < PATIENCE =>
            {
                display.note(&format!("{error}; trying again"));
            }
            Err(error) => return Err(error.into()),
        }
        if timeout.is_some_and(|limit| started.elapsed() >= limit) {
            display.end();
            let ids: Vec<String> = tasks.iter().map(TaskId::to_string).collect();
            return Err(Failure::new(Exit::Failed,
                "the timeout expired before all tasks ended").advise(format!(
                "the tasks continue: wait again with `foghorn task wait {}`, or cancel them",
                ids.join(" ")
            )));
        }
        std::thread::sleep(ROUND);
    }
}

/// The table of results, and the combined exit code.
fn conclude(output: Output, statuses: &[TaskStatus]) -> Result<Exit, Failure> {
    let mut table = Table::new(&["TASK", "HOST", "IMAGE", "STATE", "REASON"]);
    for status in statuses {
        table.row([
            status.task.to_string(),
            status.host.name.clone(),
            dash(status.image.as_ref().map(|image| &image.name)),
            phase(status.state).to_owned(),
            status.reason.clone().unwrap_or_default(),
        ]);
    }
    output.show(&table, &statuses)?;
    for status in statuses {
        for note in notes::lines(&status.notes, status.more_notes) {
            output.say(&format!("{}: note: {note}", status.host.name));
        }
    }
    let worked = statuses
        .iter()
        .filter(|status| status.state == TaskPhase::Complete)
        .count();
    Ok(of_many(worked, statuses.len() - worked))
}

/// A state as text.
#[must_use]
pub fn phase(phase: TaskPhase) -> &'static str {
    match phase {
        TaskPhase::Queued => "queued",
        TaskPhase::Assigned => "assigned",
        TaskPhase::CheckedIn => "checked in",
        TaskPhase::Running => "running",
        TaskPhase::Complete => "complete",
        TaskPhase::Failed => "failed",
        TaskPhase::Cancelled => "cancelled",
    }
}

/// One line about a task: progress, speed, bottleneck, time left.
#[must_use]
pub fn line(status: &TaskStatus) -> String {
    let mut text = format!("{}: {}", status.host.name, phase(status.state));
    // Before the first figures there is nothing to tell.
    if let Some(progress) = status
        .progress
        .as_ref()
        .filter(|progress| progress.bytes_total.bytes() > 0)
    {
        let (done, total) = (progress.bytes_done.bytes(), progress.bytes_total.bytes());
        text.push_str(&format!(
            " {:.1} %, {} of {}, {}",
            human::percent(done, total),
            progress.bytes_done,
            progress.bytes_total,
            human::rate(progress.rate_bytes_per_second)
        ));
        if let Some(stage) = &progress.limiting_stage {
            text.push_str(&format!(", limited by {stage}"));
        }
        text.push_str(&format!(", {} left", human::duration(progress.eta_seconds)));
    }
    if let Some(multicast) = status
        .multicast
        .as_ref()
        .filter(|multicast| multicast.path == MulticastPath::Unicast)
    {
        text.push_str(&format!(
            ", by unicast: {}",
            multicast.reason.as_deref().unwrap_or("no reason given")
        ));
    }
    if let Some(reason) = &status.reason {
        text.push_str(&format!(" ({reason})"));
    }
    text
}

/// Where progress is shown. Always standard error, so that standard output contains only results.
pub(crate) enum Display {
    Silent,
    /// Lines, each printed only when it has changed.
    Lines(HashMap<TaskId, String>),
    Bars {
        all: MultiProgress,
        bars: HashMap<TaskId, ProgressBar>,
    },
}

impl Display {
    pub(crate) fn new(output: Output) -> Self {
        if output.quiet {
            return Self::Silent;
        }
        if is_decorated() && output.format == Format::Table {
            let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
            return Self::Bars {
                all,
                bars: HashMap::new(),
            };
        }
        Self::Lines(HashMap::new())
    }

    pub(crate) fn show(&mut self, statuses: &[TaskStatus]) {
        match self {
            Self::Silent => {}
            Self::Lines(last) => {
                for status in statuses {
                    let text = line(status);
                    if last.get(&status.task) != Some(&text) {
                        eprintln!("{text}");
                        last.insert(status.task, text);
                    }
                }
            }
            Self::Bars { all, bars } => {
                for status in statuses {
                    let bar = bars
                        .entry(status.task)
                        .or_insert_with(|| all.add(new_bar()));
                    if let Some(progress) = &status.progress {
                        bar.set_length(progress.bytes_total.bytes().max(1));
                        bar.set_position(progress.bytes_done.bytes());
                    }
                    bar.set_message(line(status));
                    if status.state.is_finished() && !bar.is_finished() {
                        end(bar, status.state);
                    }
                }
            }
        }
    }

    fn note(&self, text: &str) {
        match self {
            Self::Silent => {}
            Self::Lines(_) => eprintln!("{text}"),
            // A bar's own printing keeps the bars where they are; its failure to draw is no failure
            // to wait.
            Self::Bars { all, .. } => drop(all.println(text)),
        }
    }

    pub(crate) fn end(&mut self) {
        if let Self::Bars { bars, .. } = self {
            for bar in bars.values().filter(|bar| !bar.is_finished()) {
                bar.abandon();
            }
        }
    }
}

/// The bar of a task that is complete is full, whatever its last report was; that of another stays
/// where it was.
fn end(bar: &ProgressBar, state: TaskPhase) {
    if state == TaskPhase::Complete {
        bar.finish();
    } else {
        bar.abandon();
    }
}

fn new_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:20} {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(1).with_style(style)
}

#[cfg(test)]
mod tests {
    use foghorn_rest_types::native::{Named, TaskMulticast, TaskProgress, TaskWork};
    use foghorn_types::{ByteCount, DiskPart, HostId, ImageId};

    use super::*;

    fn status(state: TaskPhase, progress: Option<TaskProgress>) -> TaskStatus {
        TaskStatus {
            id: TaskId::new(4).unwrap(),
            task: TaskId::new(4).unwrap(),
            name: String::new(),
            work: TaskWork::Deploy,
            task_type: None,
            state,
            reason: None,
            host: Named {
                id: HostId::new(1).unwrap(),
                name: "pc1".into(),
            },
            image: Some(Named {
                id: ImageId::new(2).unwrap(),
                name: "win11".into(),
            }),
            image_version: None,
            version_is_fixed: false,
            part: Some(DiskPart::Everything),
            disks: Vec::new(),
            node: None,
            served_from: None,
            waits_for: None,
            progress,
            multicast: None,
            created_by: String::new(),
            created: String::new(),
            started: None,
            finished: None,
            duration_seconds: None,
            deadline: None,
            notes: Vec::new(),
            more_notes: 0,
        }
    }

    #[test]
    fn a_line_says_how_far_how_fast_and_what_limits() {
        let progress = TaskProgress {
            bytes_done: ByteCount::from_mib(512),
            bytes_total: ByteCount::from_mib(1024),
            bytes_wire: ByteCount::from_mib(200),
            rate_bytes_per_second: ByteCount::from_mib(110),
            eta_seconds: 75,
            limiting_stage: Some("network".into()),
            bytes_reused: ByteCount::from_bytes(0),
        };
        assert_eq!(
            line(&status(TaskPhase::Running, Some(progress))),
            "pc1: running 50.0 %, 512 MiB of 1.00 GiB, 110 MiB/s, limited by network, 1:15 min left"
        );
        let failed = TaskStatus {
            reason: Some("disk full".into()),
            ..status(TaskPhase::Failed, None)
        };
        assert_eq!(line(&failed), "pc1: failed (disk full)");
        let multicast = TaskMulticast {
            session: "7".parse().unwrap(),
            path: MulticastPath::Unicast,
            reason: Some("the group was not heard".into()),
        };
        let deaf = TaskStatus {
            multicast: Some(multicast),
            ..status(TaskPhase::Running, None)
        };
        assert_eq!(
            line(&deaf),
            "pc1: running, by unicast: the group was not heard"
        );
    }

    #[test]
    fn times_are_read_with_and_without_a_unit() {
        let seconds = |text| parse_duration(text).map(|duration| duration.as_secs());
        assert_eq!(
            [seconds("90"), seconds("90s"), seconds("30m"), seconds("2h")],
            [Ok(90), Ok(90), Ok(1800), Ok(7200)]
        );
        for bad in ["", "m", "-1s", "1d", "18446744073709551615h"] {
            assert!(parse_duration(bad).is_err(), "{bad:?}");
        }
    }
}
