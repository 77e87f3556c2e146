//! What every task waits for, in words. Pure, like the plan, and from the same snapshot.

use std::collections::{BTreeMap, HashMap, HashSet};

use foghorn_lifecycle::{Client, TaskState};
use foghorn_types::{StorageNodeId, TaskId};

use super::candidates::{Choice, Choices, candidates};
use super::load::Load;
use super::queue;
use super::snapshot::{LinkState, NodeView, RunView, Snapshot};
use crate::agents::waits::{Wait, WaitKind};
use crate::config::Limits;
use crate::state::run::RunKind;

/// The wait of each task that waits for something.
#[must_use]
pub(super) fn waits(snapshot: &Snapshot, limits: Limits) -> HashMap<TaskId, Wait> {
    let load = Load::of(snapshot);
    let mut choices = Choices::new(snapshot, limits.node_grace);
    let mut lines = Lines::default();
    let mut waits = HashMap::new();
    for at in queue::order(snapshot) {
        let run = &snapshot.runs[at];
        let wait = match run.life.state() {
            TaskState::Queued { client } => {
                let choice = choices.of(run);
                Some(queued(snapshot, run, *client, &choice, (&load, &mut lines)))
            }
            TaskState::Assigned { node } => Some(assigned(snapshot, run, *node, limits)),
            TaskState::CheckedIn { node } => Some(checked_in(snapshot, run, *node, limits)),
            TaskState::Running { node } => {
                silent(snapshot, run, *node, limits).or_else(|| in_a_bucket(snapshot, run, *node))
            }
            TaskState::Finished { .. } => None,
        };
        waits.extend(wait.map(|wait| (run.task, wait)));
    }
    waits
}

fn wait(kind: WaitKind, node: Option<StorageNodeId>, sentence: String) -> Wait {
    Wait {
        kind,
        node,
        position: None,
        sentence,
    }
}

/// The tasks that wait for a place, in as many lines as there are different sets of nodes.
#[derive(Default)]
struct Lines {
    lines: BTreeMap<usize, Line>,
    /// Whether two lines wait for a common node.
    meet: HashMap<(usize, usize), bool>,
}

struct Line {
    up: HashSet<StorageNodeId>,
    length: usize,
    /// Why a task in it waits that has no place.
    full: String,
    free: bool,
}

impl Lines {
    /// The next place in the line, behind all that wait for one of these nodes.
    fn join(&mut self, choice: &Choice<'_>, load: &Load) -> (usize, &Line) {
        let Self { lines, meet } = self;
        let own = choice.number;
        let ahead = lines.iter().filter(|(other, line)| {
            let meets = meet.entry((own, **other));
            *meets.or_insert_with(|| !line.up.is_disjoint(&choice.up))
        });
        let before: usize = ahead.map(|(_, line)| line.length).sum();
        let line = lines.entry(own).or_insert_with(|| Line {
            up: choice.up.clone(),
            length: 0,
            full: full(choice),
            free: up(choice).any(|(id, view)| load.taken(*id) < view.max_clients),
        });
        line.length += 1;
        (before + 1, line)
    }
}

fn up<'c, 'a>(
    choice: &'c Choice<'a>,
) -> impl Iterator<Item = &'c (StorageNodeId, &'a NodeView)> + use<'c, 'a> {
    let nodes = choice.nodes.iter();
    nodes.filter(|(_, view)| view.link == LinkState::Up)
}

fn queued(
    snapshot: &Snapshot,
    run: &RunView,
    client: Client,
    choice: &Choice<'_>,
    (load, lines): (&Load, &mut Lines),
) -> Wait {
    let Some((first, view)) = choice.nodes.first() else {
        return no_candidate(snapshot, run);
    };
    let Some((first_up, _)) = up(choice).next() else {
        // A node that is there and cannot give it says more than one that is not.
        return of_buckets(snapshot, run)
            .unwrap_or_else(|| wait(WaitKind::Node, Some(*first), offline(view)));
    };
    if let Some((id, view)) = choice.silent {
        let sentence = format!("storage node {} has not said yet what it holds", view.name);
        return wait(WaitKind::Node, Some(id), sentence);
    }
    let (place, line) = lines.join(choice, load);
    let number = u32::try_from(place).unwrap_or(u32::MAX);
    let what = match (line.free, client) {
        // It is given one in the next moment, unless its multicast session may not begin.
        (true, _) if run.session.is_some() => "it waits until its multicast session may begin",
        (true, _) => "a storage node is about to take it",
        (false, _) => &line.full,
    };
    let sentence = format!("{what}; number {number} in the queue");
    Wait {
        position: Some(number),
        ..wait(WaitKind::Place, Some(*first_up), sentence)
    }
}

/// More nodes than this are counted and not named.
const NAMED: usize = 8;

fn full(choice: &Choice<'_>) -> String {
    let places: u64 = up(choice)
        .map(|(_, view)| u64::from(view.max_clients))
        .sum();
    let names: Vec<_> = up(choice).map(|(_, view)| view.name.as_str()).collect();
    match names[..] {
        [name] => format!("all {places} places of storage node {name} are taken"),
        _ if names.len() > NAMED => format!(
            "all {places} places of the {} storage nodes that may serve it are taken",
            names.len()
        ),
        _ => format!(
            "all {places} places of the storage nodes {} are taken",
            names.join(", ")
        ),
    }
}

fn offline(view: &NodeView) -> String {
    match view.link {
        LinkState::Up => format!("storage node {} is about to take it", view.name),
        LinkState::Elsewhere => format!(
            "storage node {} is linked to another controller, which this one does not reach",
            view.name
        ),
        LinkState::Down { since } => format!(
            "storage node {} has been offline for {} s, and no other may serve it",
            view.name,
            since.as_secs()
        ),
    }
}

fn no_candidate(snapshot: &Snapshot, run: &RunView) -> Wait {
    let here = |view: &&NodeView| run.tiers.contains(&view.group);
    let nodes = || snapshot.nodes.values().filter(here);
    let sentence = if nodes().next().is_none() {
        "no site that may serve it has a storage node"
    } else if !nodes().any(|view| view.enabled && !view.revoked) {
        "no storage node that may serve it takes tasks: they are disabled, cordoned or revoked"
    } else if let Some(wait) = of_buckets(snapshot, run) {
        return wait;
    } else {
        let sentence = "no storage node that may serve it holds its image".to_owned();
        return wait(WaitKind::Content, None, sentence);
    };
    wait(WaitKind::Node, None, sentence.to_owned())
}

/// The wait for a bucket in which a node that may serve the task has its image.
fn of_buckets(snapshot: &Snapshot, run: &RunView) -> Option<Wait> {
    let mut nodes = snapshot.nodes.iter();
    nodes.find_map(|(id, view)| match run.tiers.contains(&view.group) {
        true => in_a_bucket(snapshot, run, *id),
        false => None,
    })
}

/// The wait for a bucket in which the node has the image.
fn in_a_bucket(snapshot: &Snapshot, run: &RunView, node: StorageNodeId) -> Option<Wait> {
    let RunKind::Deploy { manifest, .. } = run.kind else {
        return None;
    };
    let view = snapshot.nodes.get(&node)?;
    let problem = view.out_of_reach.get(&(run.image, manifest?))?;
    let name = &view.name;
    let sentence = format!(
        "storage node {name} has its image in a bucket only, which cannot be used now: {problem}"
    );
    Some(wait(WaitKind::Content, Some(node), sentence))
}

/// The wait for a node that does not answer.
fn silent(snapshot: &Snapshot, run: &RunView, node: StorageNodeId, limits: Limits) -> Option<Wait> {
    let view = snapshot.nodes.get(&node)?;
    let LinkState::Down { since } = view.link else {
        return None;
    };
    let other = candidates(snapshot, run, limits.node_grace)
        .any(|(id, other)| id != node && other.link == LinkState::Up);
    let then = match (other, run.kind.task_kind()) {
        (true, _) => format!(
            "another takes over when it has been silent for {} s",
            limits.node_grace.as_secs()
        ),
        (false, foghorn_lifecycle::TaskKind::Deploy) => "no other may serve it".to_owned(),
        (false, foghorn_lifecycle::TaskKind::Capture) => "a capture stays with its node".to_owned(),
    };
    let (name, for_s) = (&view.name, since.as_secs());
    let sentence = format!("storage node {name} has not answered for {for_s} s; {then}");
    Some(wait(WaitKind::Node, Some(node), sentence))
}

fn name(snapshot: &Snapshot, node: StorageNodeId) -> String {
    let view = snapshot.nodes.get(&node);
    view.map_or_else(|| node.to_string(), |view| view.name.clone())
}

fn assigned(snapshot: &Snapshot, run: &RunView, node: StorageNodeId, limits: Limits) -> Wait {
    silent(snapshot, run, node, limits).unwrap_or_else(|| {
        let name = name(snapshot, node);
        let sentence = format!("storage node {name} has a place for it; its machine has not come");
        wait(WaitKind::Client, Some(node), sentence)
    })
}

fn checked_in(snapshot: &Snapshot, run: &RunView, node: StorageNodeId, limits: Limits) -> Wait {
    if let Some(silent) = silent(snapshot, run, node, limits) {
        return silent;
    }
    if run.session_waits {
        let sentence = "its multicast session has not started".to_owned();
        return wait(WaitKind::Time, Some(node), sentence);
    }
    match &run.trouble {
        Some(trouble) => wait(WaitKind::Node, Some(node), trouble.clone()),
        None => {
            let name = name(snapshot, node);
            let sentence = format!("its machine has come and turns to storage node {name}");
            wait(WaitKind::Client, Some(node), sentence)
        }
    }
}
