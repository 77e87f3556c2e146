//! What must hold: in every transaction of the store, in every answer, and at the end.

mod end;

use std::collections::{BTreeMap, BTreeSet};

use foghorn_controller::state::content::ImageContent;
use foghorn_controller::state::run::{Run, RunBody, RunKind};
use foghorn_controller::state::shelf::Record as _;
use foghorn_controller::store::{Change, Entry, Revision, WatchBatch};
use foghorn_lifecycle::{Outcome, TaskState};
use foghorn_types::{ManifestId, StorageNodeId, TaskId};
use serde_json::Value;

use crate::scenario::Millis;
use crate::world::World;

const RUNS: &str = "/foghorn/v1/run/";
const CONTENTS: &str = "/foghorn/v1/content/";
const TASK_LOGS: &str = "/foghorn/v1/obj/tasklog/";
/// FOG's numbers of the states that a task ends in.
const ENDS: [u64; 2] = [4, 5];

/// A task that is given to nodes more often is taken away for nothing: in no seed there is so much
/// trouble.
const MOST_PLACES: u32 = 12;

/// What the checker has seen.
#[derive(Default)]
pub(crate) struct Judge {
    pub(crate) problems: Vec<String>,
    pub(crate) runs: BTreeMap<u32, Run>,
    /// How often each task was given to a node.
    placed: BTreeMap<u32, u32>,
    /// Orders for each host, by their keys.
    pub(crate) orders: BTreeMap<u32, Vec<String>>,
    /// Groups whose creation was acknowledged.
    pub(crate) groups: Vec<String>,
    /// What machines have written whole, and nodes have captured whole.
    written: BTreeSet<(u32, ManifestId)>,
    /// Ends of each task in FOG's log.
    logged: BTreeMap<String, BTreeSet<String>>,
    /// How far the store was, each time that somebody looked.
    revisions: Vec<(Millis, Revision)>,
}

impl Judge {
    /// All of an image is on the disk of the task's machine, or of a capture on the node.
    pub(crate) fn wrote(&mut self, task: u32, manifest: ManifestId) {
        self.written.insert((task, manifest));
    }

    /// Tasks of a host that have not ended.
    pub(crate) fn active_of(&self, host: u32) -> Vec<u32> {
        let runs = self.runs.values();
        let active = runs.filter(|run| run.host.get() == host && !run.is_finished());
        active.map(|run| run.task.get()).collect()
    }

    /// How many tasks are complete, and how many ended otherwise.
    pub(crate) fn ended(&self) -> (u64, u64) {
        let finished = self.runs.values().filter(|run| run.is_finished());
        finished.fold((0, 0), |(complete, other), run| match is_complete(run) {
            true => (complete + 1, other),
            false => (complete, other + 1),
        })
    }
}

fn is_complete(run: &Run) -> bool {
    let complete = Outcome::Complete;
    matches!(run.life.state(), TaskState::Finished { outcome, .. } if *outcome == complete)
}

/// The run that an entry stores.
fn run_of(entry: &Entry) -> Option<Run> {
    let number = entry.key.strip_prefix(RUNS)?.parse().ok()?;
    let body: RunBody = serde_json::from_slice(&entry.value).ok()?;
    Some(Run::from_body(TaskId::new(number)?, body, entry.modified))
}

impl World {
    /// Looks at a transaction.
    pub(crate) fn judge_batch(&mut self, batch: &WatchBatch) {
        for change in &batch.changes {
            match change {
                Change::Put(entry) if entry.key.starts_with(RUNS) => match run_of(entry) {
                    Some(run) => self.judge_run(run),
                    None => self.problem(format!("{} cannot be read", entry.key)),
                },
                Change::Put(entry) if entry.key.starts_with(CONTENTS) => self.judge_content(entry),
                Change::Put(entry) if entry.key.starts_with(TASK_LOGS) => self.judge_log(entry),
                Change::Put(_) => {}
                Change::Delete { key, .. } if key.starts_with(RUNS) => {
                    self.problem(format!("{key} is deleted, and nobody has deleted a task"));
                }
                Change::Delete { .. } => {}
            }
        }
    }

    fn judge_run(&mut self, run: Run) {
        let task = run.task.get();
        self.note(|| format!("task {task} is {:?}", run.life.state()));
        let before = self.judge.runs.insert(task, run.clone());
        if let Some(before) = &before {
            if before.is_finished() && before.life != run.life {
                self.problem(format!("task {task} had ended and is changed"));
            }
            if before.host != run.host || before.image != run.image {
                self.problem(format!("task {task} is for another host or image now"));
            }
        }
        if !run.is_finished() {
            let others = self.judge.active_of(run.host.get());
            if others.len() > 1 {
                self.problem(format!("host {} has active tasks: {others:?}", run.host));
            }
        }
        self.judge_places(&run);
        let was_at = before.as_ref().and_then(Run::node);
        if run.node().is_some() && run.node() != was_at {
            let placed = self.judge.placed.entry(task).or_default();
            *placed += 1;
            if *placed == MOST_PLACES {
                self.problem(format!("task {task} is given to nodes again and again"));
            }
        }
        if is_complete(&run) && before.is_none_or(|before| !before.is_finished()) {
            self.judge_complete(&run);
        }
    }

    /// A node has no more tasks than places.
    fn judge_places(&mut self, run: &Run) {
        let Some(node) = run.node() else { return };
        let taken = self
            .judge
            .runs
            .values()
            .filter(|other| other.node() == Some(node));
        let taken = taken.count();
        let places = self.template.nodes.iter().find(|other| other.id == node);
        let places = places.map_or(0, |node| node.places as usize);
        if taken > places {
            self.problem(format!("node {node} has {places} places and {taken} tasks"));
        }
    }

    /// What is called complete is complete, and is what was fixed when its machine came.
    fn judge_complete(&mut self, run: &Run) {
        let task = run.task.get();
        let mut written = self.judge.written.iter();
        let good = match run.kind {
            RunKind::Deploy { manifest, .. } => {
                manifest.is_some_and(|manifest| self.judge.written.contains(&(task, manifest)))
            }
            RunKind::Capture => written.any(|(other, _)| *other == task),
        };
        if !good {
            let kind = run.kind;
            self.problem(format!(
                "task {task} ({kind:?}) is complete, but not everything was written"
            ));
        }
    }

    /// Whoever is named holds the content.
    fn judge_content(&mut self, entry: &Entry) {
        let Ok(content) = serde_json::from_slice::<ImageContent>(&entry.value) else {
            return self.problem(format!("{} cannot be read", entry.key));
        };
        for node in &content.nodes {
            if !self.holds(*node, content.image.get(), content.manifest) {
                let image = content.image;
                self.problem(format!(
                    "node {node} is said to hold image {image}, and does not"
                ));
            }
        }
    }

    fn holds(&self, node: StorageNodeId, image: u32, manifest: ManifestId) -> bool {
        match self.agents.iter().find(|agent| agent.id == node) {
            Some(agent) => agent.holds.contains(&(image, manifest)),
            // It is not there in this run.
            None => {
                let at = self
                    .template
                    .nodes
                    .iter()
                    .position(|other| other.id == node);
                let mut images = self.template.images.iter();
                images.any(|other| {
                    (other.id, other.manifest) == (image, manifest)
                        && at.is_some_and(|at| other.on.contains(&at))
                })
            }
        }
    }

    /// Each task ends once, also in FOG's log.
    fn judge_log(&mut self, entry: &Entry) {
        let Ok(log) = serde_json::from_slice::<Value>(&entry.value) else {
            return;
        };
        let number = |value: &Value| value.as_u64().or_else(|| value.as_str()?.parse().ok());
        if !ENDS.contains(&number(&log["f"]["state"]).unwrap_or(0)) {
            return;
        }
        let task = log["f"]["task"].to_string();
        let rows = self.judge.logged.entry(task.clone()).or_default();
        rows.insert(entry.key.clone());
        if rows.len() > 1 {
            self.problem(format!("the end of task {task} is in the log twice"));
        }
    }

    /// An order was acknowledged: there is a task of its host.
    pub(crate) fn judge_order(&mut self, host: u32, key: &str) {
        if !self
            .engine
            .under(RUNS)
            .filter_map(run_of)
            .any(|run| run.host.get() == host)
        {
            self.problem(format!(
                "{key} was acknowledged, and host {host} has no task"
            ));
        }
    }

    /// A cancel was acknowledged.
    pub(crate) fn judge_cancel(&mut self, tasks: &[u32]) {
        let runs = &self.judge.runs;
        let goes_on = |task: &&u32| runs.get(task).is_some_and(|run| !run.is_finished());
        if let Some(task) = tasks.iter().find(goes_on) {
            self.problem(format!(
                "task {task} goes on after its cancel was acknowledged"
            ));
        }
    }

    /// A machine was told that its end is recorded.
    pub(crate) fn judge_told(&mut self, task: u32) {
        if !self.judge.runs.get(&task).is_some_and(Run::is_finished) {
            self.problem(format!(
                "task {task} goes on after its end was called recorded"
            ));
        }
    }

    /// Of several machines, one is served for a task.
    pub(crate) fn judge_served(&mut self, client: usize) {
        let Some(task) = self.clients[client].task() else {
            return;
        };
        let served = self.clients.iter().filter(|client| client.is_served());
        let others = served.filter(|client| client.task() == Some(task)).count();
        if others > 1 {
            self.problem(format!("{others} machines are served for task {task}"));
        }
    }
}
