//! Assigns tasks to nodes: a single task to the node with the fewest transfers, or to the node of
//! its multicast session.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use foghorn_types::{SessionId, StorageNodeId};

use super::snapshot::{LinkState, MulticastView, NodeView, RunView, Snapshot};

/// Places that are taken on each node. Every task that is assigned to a node has one, whether its
/// machine has come or not; the tasks of a multicast session have one together.
pub(super) struct Load {
    taken: HashMap<StorageNodeId, u32>,
    /// Sessions that have their place.
    seated: BTreeSet<(StorageNodeId, SessionId)>,
    multicast: MulticastView,
}

type Candidate<'a> = (StorageNodeId, &'a NodeView);

impl Load {
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        let mut load = Self {
            taken: HashMap::new(),
            seated: BTreeSet::new(),
            multicast: snapshot.multicast.clone(),
        };
        for run in &snapshot.runs {
            if let Some(node) = run.life.state().node() {
                load.add(node, run.session);
            }
        }
        load
    }

    fn add(&mut self, node: StorageNodeId, session: Option<SessionId>) {
        if session.is_none_or(|session| self.seated.insert((node, session))) {
            *self.taken.entry(node).or_default() += 1;
        }
    }

    pub(super) fn taken(&self, node: StorageNodeId) -> u32 {
        self.taken.get(&node).copied().unwrap_or_default()
    }

    pub(super) fn is_full(&self, node: StorageNodeId, snapshot: &Snapshot) -> bool {
        let view = snapshot.nodes.get(&node);
        view.is_some_and(|view| self.taken(node) >= view.max_clients)
    }

    /// Assigns the run to one of its nodes, if one has a place now.
    pub(super) fn place<'a>(
        &mut self,
        run: &RunView,
        candidates: impl Iterator<Item = Candidate<'a>>,
        grace: Duration,
    ) -> Option<StorageNodeId> {
        let candidates: Vec<_> = candidates.collect();
        let node = match run.session {
            Some(session) => self.together(session, &candidates, run.forced, grace)?,
            None => self.least(&candidates, run.forced)?.0,
        };
        self.add(node, run.session);
        Some(node)
    }

    /// The node that already sends the session; otherwise one with capacity, if another session may
    /// start and a group is free.
    fn together(
        &mut self,
        session: SessionId,
        candidates: &[Candidate<'_>],
        forced: bool,
        grace: Duration,
    ) -> Option<StorageNodeId> {
        let nodes = self.multicast.sessions.get(&session);
        let sends = |id: &StorageNodeId| nodes.is_some_and(|nodes| nodes.contains(id));
        let mut away = false;
        for (id, view) in candidates.iter().filter(|(id, _)| sends(id)) {
            match view.link {
                LinkState::Up => return self.is_open(*id, view, session, forced).then_some(*id),
                LinkState::Elsewhere => away = true,
                LinkState::Down { since } => away |= since < grace,
            }
        }
        // It has the grace period to reconnect, as for tasks that are already assigned to it.
        if away || (nodes.is_none() && self.multicast.sessions.len() >= self.multicast.max_sessions)
        {
            return None;
        }
        let (node, view) = self.least(candidates, forced)?;
        let free = if view.ipv6 {
            &mut self.multicast.free_v6
        } else {
            &mut self.multicast.free_v4
        };
        *free = free.checked_sub(1)?;
        self.multicast
            .sessions
            .entry(session)
            .or_default()
            .insert(node);
        Some(node)
    }

    fn is_open(
        &self,
        node: StorageNodeId,
        view: &NodeView,
        session: SessionId,
        forced: bool,
    ) -> bool {
        forced || self.seated.contains(&(node, session)) || self.taken(node) < view.max_clients
    }

    /// The node with the fewest transfers that has a place. As on a FOG server, a forced task needs
    /// none.
    fn least<'a>(&self, candidates: &[Candidate<'a>], forced: bool) -> Option<Candidate<'a>> {
        let up = candidates
            .iter()
            .filter(|(_, view)| view.link == LinkState::Up && view.max_clients > 0);
        up.filter(|(id, view)| forced || self.taken(*id) < view.max_clients)
            .min_by_key(|(id, _)| (self.taken(*id), *id))
            .copied()
    }
}
