//! Assigns tasks to nodes: a single task to the node with the fewest transfers, or to the node of
//! its multicast session.

use std::collections::BTreeMap;
use std::time::Duration;

use foghorn_lifecycle::Client;
use foghorn_types::{SessionId, StorageNodeId};

use super::snapshot::{LinkState, MulticastView, NodeView, RunView, Snapshot};

/// Transfers on each node: all of them, and those with a connected client. A multicast session
/// counts as one transfer, however many hosts receive it.
pub(super) struct Load {
    places: BTreeMap<StorageNodeId, Places>,
    /// Sessions that are already counted, and whether one of their clients is connected.
    seated: BTreeMap<(StorageNodeId, SessionId), bool>,
    multicast: MulticastView,
}

#[derive(Clone, Copy, Default)]
struct Places {
    all: u32,
    present: u32,
}

type Candidate<'a> = (StorageNodeId, &'a NodeView);

impl Load {
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        let mut load = Self {
            places: BTreeMap::new(),
            seated: BTreeMap::new(),
            multicast: snapshot.multicast.clone(),
        };
        for run in &snapshot.runs {
            if let (Some(node), Some(client)) = (run.life.state().node(), run.life.state().client())
            {
                load.add(node, client, run.session);
            }
        }
        load
    }

    fn add(&mut self, node: StorageNodeId, client: Client, session: Option<SessionId>) {
        let places = self.places.entry(node).or_default();
        let present = client == Client::CheckedIn;
        let (new, newly_present) = match session {
            None => (true, present),
            Some(session) => match self.seated.insert((node, session), present) {
                None => (true, present),
                Some(true) => {
                    self.seated.insert((node, session), true);
                    (false, false)
                }
                Some(false) => (false, present),
            },
        };
        places.all += u32::from(new);
        places.present += u32::from(newly_present);
    }

    /// Assigns the run to one of its nodes, if one has capacity now.
    pub(super) fn place<'a>(
        &mut self,
        run: &RunView,
        candidates: impl Iterator<Item = Candidate<'a>>,
        client: Client,
        grace: Duration,
    ) -> Option<StorageNodeId> {
        let candidates: Vec<_> = candidates.collect();
        let node = match run.session {
            Some(session) => self.together(session, &candidates, client, grace)?,
            None => self.least(&candidates, client)?.0,
        };
        self.add(node, client, run.session);
        Some(node)
    }

    /// The node that already sends the session; otherwise one with capacity, if another session may
    /// start and a group is free.
    fn together(
        &mut self,
        session: SessionId,
        candidates: &[Candidate<'_>],
        client: Client,
        grace: Duration,
    ) -> Option<StorageNodeId> {
        let nodes = self.multicast.sessions.get(&session);
        let sends = |id: &StorageNodeId| nodes.is_some_and(|nodes| nodes.contains(id));
        let mut away = false;
        for (id, view) in candidates.iter().filter(|(id, _)| sends(id)) {
            match view.link {
                LinkState::Up => return Some(*id),
                LinkState::Down { since } => away |= since < grace,
            }
        }
        // It has the grace period to reconnect, as for tasks that are already assigned to it.
        if away || (nodes.is_none() && self.multicast.sessions.len() >= self.multicast.max_sessions)
        {
            return None;
        }
        let (node, view) = self.least(candidates, client)?;
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

    /// The node with the fewest transfers that has capacity. A connected client does not wait for
    /// machines that are still switched off, so transfers without a client do not count against it.
    fn least<'a>(&self, candidates: &[Candidate<'a>], client: Client) -> Option<Candidate<'a>> {
        let up = candidates
            .iter()
            .filter(|(_, view)| view.link == LinkState::Up);
        let places =
            up.map(|(id, view)| (self.places.get(id).copied().unwrap_or_default(), *id, *view));
        places
            .filter(|(places, _, view)| match client {
                Client::Awaited => places.all < view.max_clients,
                Client::CheckedIn => places.present < view.max_clients,
            })
            .min_by_key(|(places, id, _)| (places.all, *id))
            .map(|(_, id, view)| (id, view))
    }
}
