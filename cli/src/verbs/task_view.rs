//! Tasks as people see them.

use foghorn_rest_types::multicast::MulticastPath;
use foghorn_rest_types::native::{TaskPhase, TaskStatus, TaskWork};

use super::object::dash;
use super::{disks, notes, wait};
use crate::human;
use crate::native::Native;
use crate::output::{Output, Table};
use crate::sheet::Sheet;

const COLUMNS: [&str; 9] = [
    "ID", "TYPE", "HOST", "IMAGE", "STATE", "DONE", "DURATION", "CREATED", "REASON",
];

pub(super) fn table(output: Output, tasks: &[Native<TaskStatus>]) -> Table {
    let mut table = Table::new(&COLUMNS);
    for task in tasks.iter().map(|task| &task.view) {
        table.row([
            task.id.to_string(),
            work(task),
            task.host.name.clone(),
            dash(task.image.as_ref().map(|image| &image.name)),
            wait::phase(task.state).to_owned(),
            dash(done(task)),
            dash(task.duration_seconds.map(human::duration)),
            output.time(&task.created),
            reason(task),
        ]);
    }
    table
}

/// Why it failed, or what it waits for.
fn reason(task: &TaskStatus) -> String {
    let wait = || task.waits_for.as_ref().map(|wait| wait.sentence.clone());
    task.reason.clone().or_else(wait).unwrap_or_default()
}

/// What it does; of a type that Foghorn gives no meaning its name.
fn work(task: &TaskStatus) -> String {
    match (task.work, &task.task_type) {
        (TaskWork::Other, Some(kind)) => kind.name.to_lowercase(),
        (work, _) => work.as_str().to_owned(),
    }
}

fn done(task: &TaskStatus) -> Option<String> {
    if task.state == TaskPhase::Complete {
        return Some("100 %".to_owned());
    }
    let progress = task.progress.as_ref()?;
    let (done, total) = (progress.bytes_done.bytes(), progress.bytes_total.bytes());
    Some(format!("{:.0} %", human::percent(done, total).floor()))
}

pub(super) fn sheet(output: Output, task: &TaskStatus) -> Sheet {
    let mut sheet = Sheet::new(format!("task {}: {}", task.id, sentence(task)));
    sheet.maybe("name", Some(task.name.as_str()));
    sheet.field("type", work(task));
    sheet.field("state", wait::phase(task.state));
    sheet.maybe("reason", task.reason.as_deref());
    let wait = task.waits_for.as_ref();
    sheet.maybe("waits", wait.map(|wait| wait.sentence.as_str()));
    sheet.field("host", format!("{} (id {})", task.host.name, task.host.id));
    if let Some(image) = &task.image {
        sheet.field("image", format!("{} (id {})", image.name, image.id));
        sheet.maybe(
            "version",
            task.image_version.map(|number| version(number, task)),
        );
        sheet.maybe("touches", task.part.map(|part| part.to_string()));
        // A task that has ended no longer has one, and none will come.
        let none = (!task.state.is_finished()).then_some("none yet");
        sheet.maybe("storage node", task.node.as_deref().or(none));
    }
    let from = task.served_from.as_ref();
    sheet.maybe("served from", from.map(|from| from.why.as_str()));
    let further = from.filter(|from| !from.further.is_empty());
    sheet.maybe("and also from", further.map(|from| from.further.join(", ")));
    add_progress(&mut sheet, task);
    sheet.group("time");
    let at = |time: &Option<String>| time.as_deref().map(|at| output.time(at));
    sheet.field("created", output.time(&task.created));
    sheet.maybe("created by", Some(task.created_by.as_str()));
    sheet.maybe("started", at(&task.started));
    sheet.maybe("ended", at(&task.finished));
    sheet.maybe("duration", task.duration_seconds.map(human::duration));
    if !task.state.is_finished() {
        sheet.maybe("fails after", at(&task.deadline));
    }
    sheet.group("image");
    for (number, line) in (1..).zip(disks::lines(&task.disks)) {
        sheet.field(&format!("disk {number}"), line);
    }
    sheet.lines("notes", notes::lines(&task.notes, task.more_notes));
    sheet
}

fn sentence(task: &TaskStatus) -> String {
    let host = &task.host.name;
    match (task.work, &task.image) {
        (TaskWork::Deploy, Some(image)) => format!("deploy {} to {host}", image.name),
        (TaskWork::Capture, Some(image)) => format!("capture {} from {host}", image.name),
        _ => format!("{} on {host}", work(task)),
    }
}

/// A deploy fixes its version when its machine comes.
fn version(number: u32, task: &TaskStatus) -> String {
    if task.version_is_fixed {
        format!("{number}, whatever is captured meanwhile")
    } else {
        format!("{number} now; what counts is the version when the machine comes")
    }
}

fn add_progress(sheet: &mut Sheet, task: &TaskStatus) {
    sheet.group("transfer");
    let figures = task.progress.as_ref();
    if let Some(progress) = figures.filter(|progress| progress.bytes_total.bytes() > 0) {
        let (done, total) = (progress.bytes_done, progress.bytes_total);
        let percent = human::percent(done.bytes(), total.bytes());
        sheet.field("done", format!("{percent:.1} %, {done} of {total}"));
        sheet.field("speed", human::rate(progress.rate_bytes_per_second));
        sheet.maybe("limited by", progress.limiting_stage.as_deref());
        sheet.field("time left", human::duration(progress.eta_seconds));
        sheet.field("over the network", progress.bytes_wire.to_string());
        sheet.field("already on the disk", progress.bytes_reused.to_string());
    }
    if let Some(multicast) = &task.multicast {
        sheet.field("multicast session", multicast.session.to_string());
        if multicast.path == MulticastPath::Unicast {
            let reason = multicast.reason.as_deref().unwrap_or("no reason given");
            sheet.field("by unicast because", reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::human::Zone;
    use crate::output::Format;

    const UTC: Output = Output {
        format: Format::Table,
        quiet: false,
        zone: Zone::Utc,
    };

    fn failed() -> Native<TaskStatus> {
        let raw = json!({
            "id": 42, "task": 42, "name": "deploy win11", "work": "deploy",
            "task_type": {"id": 1, "name": "Deploy"}, "state": "failed",
            "reason": "the disk is too small", "host": {"id": 7, "name": "pc1"},
            "image": {"id": 3, "name": "win11"}, "image_version": 2, "version_is_fixed": true,
            "part": {"what": "everything"}, "node": "north", "created_by": "anna",
            "created": "2026-11-29T14:00:00Z", "started": "2026-11-29T14:01:00Z",
            "finished": "2026-11-29T14:02:15Z", "duration_seconds": 75,
            "deadline": "2026-11-30T02:00:00Z",
        });
        Native {
            view: serde_json::from_value(raw.clone()).unwrap(),
            raw,
        }
    }

    #[test]
    fn a_failed_task_has_its_reason_in_the_list_and_alone() {
        let text = table(UTC, &[failed()]).render();
        assert_eq!(
            text,
            "\
ID  TYPE    HOST  IMAGE  STATE   DONE  DURATION  CREATED                    REASON
42  deploy  pc1   win11  failed  -     1:15 min  2026-11-29 14:00:00 +0000  the disk is too small
"
        );
        assert_eq!(
            sheet(UTC, &failed().view).render(),
            "\
task 42: deploy win11 to pc1
  name          deploy win11
  type          deploy
  state         failed
  reason        the disk is too small
  host          pc1 (id 7)
  image         win11 (id 3)
  version       2, whatever is captured meanwhile
  touches       the whole disk
  storage node  north

time
  created       2026-11-29 14:00:00 +0000
  created by    anna
  started       2026-11-29 14:01:00 +0000
  ended         2026-11-29 14:02:15 +0000
  duration      1:15 min
"
        );
    }

    #[test]
    fn a_storage_node_is_awaited_only_while_one_can_come() {
        let shown = |state: &str| {
            let mut raw = failed().raw;
            raw["state"] = json!(state);
            raw["node"] = json!(null);
            let task: TaskStatus = serde_json::from_value(raw).unwrap();
            sheet(UTC, &task).render().contains("none yet")
        };
        assert!(shown("queued"));
        assert!(!shown("complete") && !shown("cancelled"));
    }

    #[test]
    fn a_task_without_an_image_has_none() {
        let mut raw = failed().raw;
        raw["work"] = json!("other");
        raw["task_type"] = json!({"id": 3, "name": "Debug"});
        raw["image"] = json!(null);
        let task: TaskStatus = serde_json::from_value(raw).unwrap();
        let text = sheet(UTC, &task).render();
        assert!(text.starts_with("task 42: debug on pc1\n"), "{text}");
        assert!(!text.contains("win11 (id"), "{text}");
    }
}
