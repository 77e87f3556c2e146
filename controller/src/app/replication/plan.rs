//! Decides which copies begin, get other sources, or end. Pure: a snapshot in, steps out.
//!
//! A step only ever adds to what nodes hold, or ends an attempt. Nothing here, or in what is made of
//! it, removes content from a node: that is an order of its own ([`crate::state::removal`]).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use foghorn_types::{ImageId, ManifestId, NodeName, StorageNodeId, Timestamp};

use crate::state::replica::Source;

/// Nodes that a copy is told of. More are of no use to it, and a thousand would make every record
/// of a copy large.
const MOST_SOURCES: usize = 8;
/// Steps of one plan; the next one, which follows at once, has the others.
const MOST_STEPS: usize = 64;

/// The complete input of [`plan`].
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The content of each image, and the versions of it that are kept.
    pub contents: Vec<Content>,
    pub nodes: BTreeMap<StorageNodeId, Node>,
    pub jobs: BTreeMap<(ImageId, StorageNodeId), Job>,
    pub now: Timestamp,
}

/// Content that nodes hold, or are to hold.
#[derive(Clone, Debug)]
pub struct Content {
    pub image: ImageId,
    pub manifest: ManifestId,
    pub captured: Timestamp,
    /// Nodes that have said that they hold all of it.
    pub holders: BTreeSet<StorageNodeId>,
    /// Nodes that are to hold it.
    pub wanted: BTreeSet<StorageNodeId>,
}

#[derive(Clone, Debug)]
pub struct Node {
    pub name: NodeName,
    /// Its link is up.
    pub online: bool,
    /// The controller that has its link is not heard, and sees to the copies from it and to it.
    pub unheard: bool,
    /// It has joined, and was not shut out.
    pub trusted: bool,
    /// Tasks may be given to it.
    pub enabled: bool,
    /// It has said what it holds since its link is up.
    pub reported: bool,
    /// What it says that it holds.
    pub holds: BTreeSet<(ImageId, ManifestId)>,
    /// What it cannot give out whole.
    pub damaged: BTreeSet<ManifestId>,
    /// What does not count as a copy until it was verified there again.
    pub unverified: BTreeSet<ManifestId>,
    /// Where other nodes reach it, best first.
    pub addresses: Vec<String>,
}

/// A copy that was planned before.
#[derive(Clone, Debug)]
pub struct Job {
    pub manifest: ManifestId,
    pub heals: bool,
    pub state: JobView,
}

#[derive(Clone, PartialEq, Debug)]
pub enum JobView {
    Copying { sources: Vec<Source> },
    Failed { retry_at: Timestamp },
    Stopped,
}

/// How many copies one node takes part in at a time.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub per_source: usize,
    pub per_target: usize,
}

impl Limits {
    /// There is always a place to mend: a client may be waiting for the chunk.
    fn of(self, need: Need) -> Self {
        let more = usize::from(need == Need::Heal);
        Self {
            per_source: self.per_source + more,
            per_target: self.per_target + more,
        }
    }
}

#[derive(Clone, PartialEq, Debug)]
pub enum Step {
    /// A new attempt, in place of one that has failed if there is one.
    Start {
        image: ImageId,
        node: StorageNodeId,
        manifest: ManifestId,
        heals: bool,
        sources: Vec<Source>,
    },
    /// The attempt goes on from other nodes, or finds them under other addresses.
    Resource {
        image: ImageId,
        node: StorageNodeId,
        sources: Vec<Source>,
    },
    /// It is of no use any more. What was copied stays where it is.
    End { image: ImageId, node: StorageNodeId },
}

/// Why a node is to get content.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Need {
    /// It has all of it, and some is damaged.
    Heal,
    Copy,
}

impl Snapshot {
    /// Whether the node holds it, as far as anybody knows: one that has lost its disk does not, even
    /// if it is in the records.
    #[must_use]
    pub fn has(&self, content: &Content, id: StorageNodeId) -> bool {
        let lost = self.nodes.get(&id).is_some_and(|node| {
            let key = (content.image, content.manifest);
            node.online && node.reported && !node.holds.contains(&key)
        });
        content.holders.contains(&id) && !lost
    }

    fn is_damaged(&self, content: &Content, id: StorageNodeId) -> bool {
        let node = self.nodes.get(&id);
        node.is_some_and(|node| node.damaged.contains(&content.manifest))
    }

    /// Whether what the node has of it was read and verified since something happened to its store.
    #[must_use]
    pub fn is_verified(&self, content: &Content, id: StorageNodeId) -> bool {
        let node = self.nodes.get(&id);
        // One that is back counts when it has said what it holds.
        node.is_none_or(|node| {
            let is_silent = node.online && !node.reported;
            !is_silent && !node.unverified.contains(&content.manifest)
        })
    }

    /// Whether the node can give all of it, and that is certain.
    fn is_sound(&self, content: &Content, id: StorageNodeId) -> bool {
        self.is_verified(content, id) && !self.is_damaged(content, id)
    }

    /// What the node lacks of it.
    #[must_use]
    pub fn need(&self, content: &Content, id: StorageNodeId) -> Option<Need> {
        if self.has(content, id) {
            return self.is_damaged(content, id).then_some(Need::Heal);
        }
        content.wanted.contains(&id).then_some(Need::Copy)
    }

    /// Nodes that can give it now, those that can give all of it first.
    fn sources(&self, content: &Content) -> Vec<StorageNodeId> {
        let able = content.holders.iter().copied();
        let mut able: Vec<_> = able.filter(|id| self.can_give(content, *id)).collect();
        able.sort_by_cached_key(|id| {
            let disabled = self.nodes.get(id).is_some_and(|node| !node.enabled);
            let is_doubtful = !self.is_verified(content, *id);
            (self.is_damaged(content, *id), is_doubtful, disabled, *id)
        });
        able
    }

    fn can_give(&self, content: &Content, id: StorageNodeId) -> bool {
        let node = self.nodes.get(&id);
        let reached = node.is_some_and(|node| {
            node.online && node.reported && node.trusted && !node.addresses.is_empty()
        });
        reached && self.has(content, id)
    }

    /// Whether another node can give it to this one now.
    #[must_use]
    pub fn has_giver(&self, content: &Content, target: StorageNodeId) -> bool {
        let mut others = content.holders.iter().filter(|id| **id != target);
        others.any(|id| self.can_give(content, *id))
    }

    fn named(&self, ids: &[StorageNodeId]) -> Vec<Source> {
        let source = |id: &StorageNodeId| {
            let node = self.nodes.get(id)?;
            Some(Source {
                node: *id,
                name: node.name.clone(),
                addresses: node.addresses.clone(),
            })
        };
        ids.iter().filter_map(source).collect()
    }

    fn content(&self, image: ImageId, manifest: ManifestId) -> Option<&Content> {
        self.contents
            .iter()
            .find(|content| content.image == image && content.manifest == manifest)
    }
}

/// Copies that each node takes part in.
#[derive(Default)]
struct Load {
    gives: BTreeMap<StorageNodeId, usize>,
    takes: BTreeMap<StorageNodeId, usize>,
}

impl Load {
    fn add(&mut self, source: Option<StorageNodeId>, target: StorageNodeId) {
        if let Some(source) = source {
            *self.gives.entry(source).or_default() += 1;
        }
        *self.takes.entry(target).or_default() += 1;
    }

    fn gives(&self, node: StorageNodeId) -> usize {
        self.gives.get(&node).copied().unwrap_or(0)
    }

    fn takes(&self, node: StorageNodeId) -> usize {
        self.takes.get(&node).copied().unwrap_or(0)
    }
}

/// The steps that are due, most urgent first.
#[must_use]
pub fn plan(snapshot: &Snapshot, limits: Limits) -> Vec<Step> {
    let mut load = Load::default();
    let mut steps = Vec::new();
    let mut busy = BTreeSet::new();
    for (&(image, node), job) in &snapshot.jobs {
        if let Some(step) = review(snapshot, image, node, job) {
            // The next round, which follows at once, sees what it has changed.
            steps.push(step);
            busy.insert((image, node));
            continue;
        }
        if let JobView::Copying { sources } = &job.state {
            busy.insert((image, node));
            // A node that is away moves nothing.
            if snapshot.nodes.get(&node).is_some_and(|node| node.online) {
                load.add(sources.first().map(|source| source.node), node);
            }
        }
    }
    let mut givers = Givers::default();
    for (content, node, need) in due(snapshot) {
        if steps.len() >= MOST_STEPS {
            break;
        }
        let limits = limits.of(need);
        if busy.contains(&(content.image, node)) || load.takes(node) >= limits.per_target {
            continue;
        }
        let Some(able) = givers.find(snapshot, content, node, (&load, limits)) else {
            continue;
        };
        load.add(able.first().copied(), node);
        busy.insert((content.image, node));
        steps.push(Step::Start {
            image: content.image,
            node,
            manifest: content.manifest,
            heals: need == Need::Heal,
            sources: snapshot.named(&able),
        });
    }
    steps
}

/// The nodes that can give each content, found once for all nodes that want it.
#[derive(Default)]
struct Givers {
    able: HashMap<(ImageId, ManifestId), Vec<StorageNodeId>>,
    /// All that can give it give enough. None of them gives less before the next plan.
    exhausted: HashSet<(ImageId, ManifestId)>,
}

impl Givers {
    /// Those from which the node may copy, the one to begin with first.
    fn find(
        &mut self,
        snapshot: &Snapshot,
        content: &Content,
        target: StorageNodeId,
        (load, limits): (&Load, Limits),
    ) -> Option<Vec<StorageNodeId>> {
        let key = (content.image, content.manifest);
        if self.exhausted.contains(&key) {
            return None;
        }
        let all = self
            .able
            .entry(key)
            .or_insert_with(|| snapshot.sources(content));
        let able = || all.iter().copied().filter(|id| *id != target);
        let free = |id: &StorageNodeId| load.gives(*id) < limits.per_source;
        // The least loaded of those that can certainly give all of it.
        let sound = able().filter(|id| snapshot.is_sound(content, *id));
        let best = sound.filter(free).min_by_key(|id| load.gives(*id));
        let none_is_sound = || able().all(|id| !snapshot.is_sound(content, id));
        let partly = || able().find(|id| none_is_sound() && free(id));
        let Some(first) = best.or_else(partly) else {
            if !all.contains(&target) {
                self.exhausted.insert(key);
            }
            return None;
        };
        let others = able().filter(|id| *id != first).take(MOST_SOURCES - 1);
        Some(std::iter::once(first).chain(others).collect())
    }
}

/// What becomes of an attempt; `None`: it goes on, or waits.
fn review(snapshot: &Snapshot, image: ImageId, id: StorageNodeId, job: &Job) -> Option<Step> {
    let end = Step::End { image, node: id };
    let Some(content) = snapshot.content(image, job.manifest) else {
        return Some(end);
    };
    let node = snapshot.nodes.get(&id).filter(|node| node.trusted);
    let JobView::Copying { sources } = &job.state else {
        return (node.is_none() || snapshot.need(content, id).is_none()).then_some(end);
    };
    // One that heals is let to its end: it looks at everything.
    if node.is_none() || (!job.heals && snapshot.need(content, id).is_none()) {
        return Some(end);
    }
    let is_unheard = |id| snapshot.nodes.get(&id).is_some_and(|node| node.unheard);
    if is_unheard(id) || sources.iter().any(|source| is_unheard(source.node)) {
        return None;
    }
    let known = |source: &Source| {
        let can_give = source.node != id && snapshot.can_give(content, source.node);
        let node = snapshot.nodes.get(&source.node).filter(|_| can_give);
        node.map(|node| node.addresses == source.addresses)
    };
    let stays = |source: &Source| known(source) == Some(true);
    let moved = |source: &Source| known(source) == Some(false);
    if sources.iter().any(stays) && !sources.iter().any(moved) {
        return None;
    }
    let able = snapshot.sources(content).into_iter();
    let able: Vec<_> = able.filter(|able| *able != id).take(MOST_SOURCES).collect();
    let now = snapshot.named(&able);
    (!now.is_empty()).then_some(Step::Resource {
        image,
        node: id,
        sources: now,
    })
}

/// What is to be copied, most urgent first: damaged copies, then what the fewest nodes hold, then
/// the newest.
fn due(snapshot: &Snapshot) -> Vec<(&Content, StorageNodeId, Need)> {
    let mut due = Vec::new();
    for content in &snapshot.contents {
        let counts =
            |id: &&StorageNodeId| snapshot.has(content, **id) && snapshot.is_sound(content, **id);
        let copies = content.holders.iter().filter(counts).count();
        for id in content.wanted.union(&content.holders) {
            let Some(need) = snapshot.need(content, *id) else {
                continue;
            };
            if is_ready(snapshot, content, *id) {
                due.push((copies, content, *id, need));
            }
        }
    }
    due.sort_by_key(|(copies, content, id, need)| {
        let captured = Reverse(content.captured);
        (*need != Need::Heal, *copies, captured, content.image, *id)
    });
    due.into_iter()
        .map(|(_, content, id, need)| (content, id, need))
        .collect()
}

/// Whether a copy to the node may begin now.
fn is_ready(snapshot: &Snapshot, content: &Content, id: StorageNodeId) -> bool {
    let node = snapshot.nodes.get(&id);
    if !node.is_some_and(|node| node.online && !node.unheard && node.trusted && node.reported) {
        return false;
    }
    match snapshot.jobs.get(&(content.image, id)) {
        None => true,
        Some(job) if job.manifest != content.manifest => false,
        Some(job) => match job.state {
            JobView::Failed { retry_at } => retry_at <= snapshot.now,
            JobView::Copying { .. } | JobView::Stopped => false,
        },
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
