//! Which nodes may serve a run.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::time::Duration;

use foghorn_types::{ImageId, StorageGroupId, StorageNodeId};

use super::snapshot::{LinkState, NodeView, RunView, Snapshot};
use crate::state::run::RunKind;

/// The nodes that may serve a run.
pub(super) struct Choice<'a> {
    /// Tells it from others of the same [`Choices`].
    pub(super) number: usize,
    pub(super) nodes: Vec<(StorageNodeId, &'a NodeView)>,
    /// Those of them that are connected.
    pub(super) up: HashSet<StorageNodeId>,
    /// One of these that has not said yet what the run needs to know of it.
    pub(super) silent: Option<(StorageNodeId, &'a NodeView)>,
}

/// What the nodes that may serve a run depend on.
#[derive(PartialEq, Eq, Hash)]
struct Alike<'a> {
    kind: RunKind,
    image: ImageId,
    tiers: &'a [StorageGroupId],
    faults: Vec<StorageNodeId>,
}

/// Finds the nodes once for all runs that are alike: a thousand that wait for the same image do not
/// each look at a thousand nodes.
pub(super) struct Choices<'a> {
    snapshot: &'a Snapshot,
    grace: Duration,
    known: HashMap<Alike<'a>, Rc<Choice<'a>>>,
}

impl<'a> Choices<'a> {
    pub(super) fn new(snapshot: &'a Snapshot, grace: Duration) -> Self {
        Self {
            snapshot,
            grace,
            known: HashMap::new(),
        }
    }

    pub(super) fn of(&mut self, run: &'a RunView) -> Rc<Choice<'a>> {
        let faults = run.life.parts().faults.iter();
        let alike = Alike {
            kind: run.kind,
            image: run.image,
            tiers: &run.tiers,
            faults: faults.map(|fault| fault.node).collect(),
        };
        let (number, snapshot, grace) = (self.known.len(), self.snapshot, self.grace);
        let choice = self.known.entry(alike).or_insert_with(|| {
            let nodes: Vec<_> = candidates(snapshot, run, grace).collect();
            let up = || nodes.iter().filter(|(_, view)| view.link == LinkState::Up);
            let silent = up().find(|(_, view)| !is_known(run, view)).copied();
            let up = up().map(|(id, _)| *id).collect();
            Rc::new(Choice {
                number,
                nodes,
                up,
                silent,
            })
        });
        choice.clone()
    }
}

/// Until a node has said what it holds, nobody knows what a capture would replace.
pub(super) fn is_known(run: &RunView, view: &NodeView) -> bool {
    run.kind != RunKind::Capture || view.reported
}

/// Nodes that may serve the run, whether connected or not.
pub(super) fn candidates<'a>(
    snapshot: &'a Snapshot,
    run: &'a RunView,
    grace: Duration,
) -> Box<dyn Iterator<Item = (StorageNodeId, &'a NodeView)> + 'a> {
    let usable = snapshot
        .nodes
        .iter()
        .map(|(id, view)| (*id, view))
        .filter(|(id, view)| {
            run.tiers.contains(&view.group)
                && view.enabled
                && !view.revoked
                && !run.life.has_failed_at(*id)
        });
    match run.kind {
        RunKind::Deploy { .. } => {
            let tier = serving_tier(
                usable.clone().filter(|(_, view)| holds(view, run)),
                run,
                grace,
            );
            let able = usable.filter(move |(_, view)| {
                holds(view, run) && tier.is_none_or(|tier| tier == view.group)
            });
            // What was not verified again yet serves where there is nothing better at the site: the
            // client verifies every chunk.
            let sure = |(_, view): (_, &NodeView)| {
                view.link == LinkState::Up && view.max_clients > 0 && is_verified(view, run)
            };
            let any_is_sure = able.clone().any(sure);
            Box::new(able.filter(move |(_, view)| !any_is_sure || is_verified(view, run)))
        }
        // Images are captured to one node: the master of the group, or its oldest node if it has no
        // master.
        RunKind::Capture => Box::new(
            usable
                .min_by_key(|(id, view)| (!view.master, *id))
                // What the store does not know may be newer than the store: it is not replaced.
                .filter(|(_, view)| !view.unknown.contains(&run.image))
                .into_iter(),
        ),
    }
}

/// The first site with a node that holds the image and answers, or has done so a moment ago: a host
/// waits for a place at its own site, and not for a site that is gone. `None` if there is none.
fn serving_tier<'a>(
    nodes: impl Iterator<Item = (StorageNodeId, &'a NodeView)> + Clone,
    run: &RunView,
    grace: Duration,
) -> Option<StorageGroupId> {
    let answers = |view: &NodeView| match view.link {
        LinkState::Up | LinkState::Elsewhere => view.max_clients > 0,
        LinkState::Down { since } => since < grace,
    };
    let mut tiers = run.tiers.iter().copied();
    tiers.find(|tier| {
        nodes
            .clone()
            .any(|(_, view)| view.group == *tier && answers(view))
    })
}

/// Whether what the run needs was verified on the node since something happened to its store.
fn is_verified(view: &NodeView, run: &RunView) -> bool {
    match run.kind {
        RunKind::Deploy { manifest, .. } => {
            manifest.is_none_or(|manifest| !view.unverified.contains(&manifest))
        }
        RunKind::Capture => true,
    }
}

/// Whether the node has what the run needs.
pub(super) fn holds(view: &NodeView, run: &RunView) -> bool {
    match run.kind {
        RunKind::Deploy { manifest, .. } => {
            manifest.is_some_and(|manifest| view.holds.contains(&(run.image, manifest)))
        }
        RunKind::Capture => true,
    }
}
