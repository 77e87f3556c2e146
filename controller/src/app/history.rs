//! FOG's history: a line per event in the system. Changes by users over the API are in the audit
//! log instead.

use foghorn_lifecycle::{Outcome, TaskKind, TaskState};
use foghorn_types::{StorageNodeId, Timestamp};

use crate::state::classes::{History, Host, PowerManagement, ScheduledTask, StorageNode};
use crate::state::run::Run;
use crate::state::schedule::Owner;
use crate::state::{Draft, Refusal, State, Tables};

/// The name stored as creator of a line.
const SYSTEM: &str = "foghorn";
/// Maximum length of a line, which is that of FOG's column.
const LONGEST: usize = 255;

/// Adds a line to the draft, unless the same line of the same second already exists.
///
/// # Errors
/// When it cannot be drafted.
pub(crate) fn note(
    draft: &mut Draft<'_>,
    info: &str,
    from: &str,
    now: Timestamp,
) -> Result<(), Refusal> {
    let line = History {
        info: info.chars().take(LONGEST).collect(),
        created_by: SYSTEM.to_owned(),
        created_time: now.into(),
        ip: from.to_owned(),
        ..History::default()
    };
    if draft.merges_into(&line).is_some() {
        Ok(())
    } else {
        draft.insert(line).map(|_| ())
    }
}

/// Stores a line on its own.
///
/// # Errors
/// When it cannot be stored.
pub(crate) async fn write(
    state: &State,
    info: &str,
    from: &str,
    now: Timestamp,
) -> Result<(), Refusal> {
    state.write(|draft| note(draft, info, from, now)).await
}

/// Records how a task ended.
///
/// # Errors
/// As [`note`].
pub(super) fn ended(draft: &mut Draft<'_>, run: &Run, now: Timestamp) -> Result<(), Refusal> {
    match how_it_ended(draft.tables(), run) {
        Some(line) => note(draft, &line, "", now),
        None => Ok(()),
    }
}

/// Image and host of a task.
fn names<'t>(tables: &'t Tables, run: &Run) -> (&'t str, &'t str) {
    let image = tables.images().get(run.image.get());
    let host = tables.hosts().get(run.host.get());
    (
        image.map_or("a deleted image", |row| row.name.as_str()),
        host.map_or("a deleted host", |row| row.name.as_str()),
    )
}

/// What a task is, such as "deploy of win11 to pc1".
pub(crate) fn what(tables: &Tables, run: &Run) -> String {
    let (image, host) = names(tables, run);
    match run.life.kind() {
        TaskKind::Deploy => format!("deploy of {image} to {host}"),
        TaskKind::Capture => format!("capture of {image} from {host}"),
    }
}

/// A sentence about the end of a task; `None` while it has not ended.
pub(super) fn how_it_ended(tables: &Tables, run: &Run) -> Option<String> {
    let TaskState::Finished { outcome, .. } = run.life.state() else {
        return None;
    };
    let (task, what, (image, host)) = (run.task, what(tables, run), names(tables, run));
    Some(match (outcome, run.life.kind()) {
        (Outcome::Complete, TaskKind::Deploy) => {
            format!("Task {task}: {image} was deployed to {host}")
        }
        (Outcome::Complete, TaskKind::Capture) => {
            format!("Task {task}: {image} was captured from {host}")
        }
        (Outcome::Failed { reason, .. }, _) => format!("Task {task}: {what} failed: {reason}"),
        (Outcome::Cancelled { reason }, _) => {
            format!("Task {task}: {what} was cancelled: {reason}")
        }
    })
}

/// Records that a schedule did not run when it was due.
///
/// # Errors
/// As [`note`].
pub(crate) fn not_fired(
    draft: &mut Draft<'_>,
    owner: Owner,
    why: &str,
    now: Timestamp,
) -> Result<(), Refusal> {
    let tables = draft.tables();
    let what = match owner {
        Owner::Task(id) => {
            let name = tables
                .of::<ScheduledTask>()
                .get(id)
                .map_or("", |row| row.name.as_str());
            format!("Scheduled task {name} ({id})")
        }
        Owner::Power(id) => {
            let rule = tables.of::<PowerManagement>().get(id);
            let host = rule
                .and_then(|row| tables.of::<Host>().get(row.host))
                .map_or("", |row| row.name.as_str());
            format!("Power management of {host} (rule {id})")
        }
    };
    note(draft, &format!("{what} did not run: {why}"), "", now)
}

/// Records that a storage node was lost or is online again, once, whichever controllers notice it.
///
/// # Errors
/// When it cannot be stored.
pub(crate) async fn node(
    state: &State,
    node: StorageNodeId,
    is_back: bool,
    now: Timestamp,
) -> Result<(), Refusal> {
    state
        .write(|draft| {
            let tables = draft.tables();
            let Some(row) = tables.of::<StorageNode>().get(node.get()) else {
                return Ok(());
            };
            let line = |what| format!("Storage node {} ({node}) {what}", row.name);
            let (gone, back) = (line("has stopped answering"), line("answers again"));
            draft.take_turn("history-of-node", node.get());
            let lines = tables.of::<History>().iter();
            let last = lines
                .filter(|row| row.info == gone || row.info == back)
                .max_by_key(|row| row.id);
            let was_gone = last.is_some_and(|row| row.info == gone);
            if was_gone != is_back {
                return Ok(());
            }
            note(draft, if is_back { &back } else { &gone }, "", now)
        })
        .await
}

/// Records that two machines use the certificate of a storage node.
///
/// # Errors
/// As [`note`].
pub(crate) fn cloned(
    draft: &mut Draft<'_>,
    node: StorageNodeId,
    now: Timestamp,
) -> Result<(), Refusal> {
    let row = draft.tables().storage_nodes().get(node.get());
    let name = row.map(|row| row.name.clone()).unwrap_or_default();
    let line = format!(
        "Two machines use the certificate of storage node {name} ({node}); both are refused until it is readmitted"
    );
    note(draft, &line, "", now)
}
