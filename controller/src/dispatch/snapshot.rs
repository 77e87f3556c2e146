//! The input of a plan: desired state (the store's cache) and actual state (the agents' links) at
//! one time.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::{Duration, Instant};

use foghorn_lifecycle::Task;
use foghorn_types::{ImageId, ManifestId, SessionId, StorageGroupId, StorageNodeId, TaskId};

use super::room::{Room, Rooms};
use crate::agents::links::Links;
use crate::agents::live::{Live, NodeLive};
use crate::app::{holds, multicast, orphans, sites, versions};
use crate::config::MulticastConfig;
use crate::state::classes::StorageNode;
use crate::state::multicast::Fixed;
use crate::state::removal::Stored;
use crate::state::run::{Run, RunKind};
use crate::state::{State, Tables};

/// The complete input of [`plan`](super::plan::plan).
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Runs that have not ended, oldest first.
    pub runs: Vec<RunView>,
    pub nodes: BTreeMap<StorageNodeId, NodeView>,
    pub multicast: MulticastView,
}

/// Active multicast sessions.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MulticastView {
    /// Nodes that have leased a group, for each session with such nodes.
    pub sessions: BTreeMap<SessionId, BTreeSet<StorageNodeId>>,
    /// Maximum number of sessions with groups at a time.
    pub max_sessions: usize,
    /// Number of free groups.
    pub free_v4: usize,
    pub free_v6: usize,
}

#[derive(Clone, Debug)]
pub struct RunView {
    pub task: TaskId,
    /// A deploy with the version that it would get now, if it has none yet.
    pub kind: RunKind,
    pub image: ImageId,
    /// Sites that may serve it, best first.
    pub tiers: Vec<StorageGroupId>,
    /// The active multicast session that it is part of.
    pub session: Option<SessionId>,
    /// Its node waits until that session starts.
    pub session_waits: bool,
    /// Goes ahead of the queue.
    pub forced: bool,
    /// With whose other tasks it takes turns.
    pub room: Room,
    pub life: Task,
    /// Time since the last progress.
    pub quiet: Duration,
    /// Time since it was seen that its present node has it.
    pub with_node: Duration,
    /// What hinders its client, as it says itself.
    pub trouble: Option<String>,
}

#[derive(Clone, Debug)]
pub struct NodeView {
    pub name: String,
    pub group: StorageGroupId,
    pub master: bool,
    /// May receive new tasks.
    pub enabled: bool,
    /// Its links are refused.
    pub revoked: bool,
    /// Maximum number of concurrent transfers.
    pub max_clients: u32,
    pub link: LinkState,
    /// Clients reach it by IPv6.
    pub ipv6: bool,
    /// Images that it holds completely, as stored and as reported, and not damaged.
    pub holds: HashSet<(ImageId, ManifestId)>,
    /// Of these, what it has not verified again since something happened to its store.
    pub unverified: HashSet<ManifestId>,
    /// Images that it holds and cannot give out now, because they are in a bucket that cannot be
    /// used, and why not.
    pub out_of_reach: HashMap<(ImageId, ManifestId), String>,
    /// It has said what it holds since its link is up.
    pub reported: bool,
    /// Images of which it has content that the store does not know: a capture would replace it.
    pub unknown: HashSet<ImageId>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LinkState {
    Up,
    /// Up to a controller that this one does not hear: that one decides about the node, and this one
    /// neither gives it tasks nor takes them away.
    Elsewhere,
    Down {
        since: Duration,
    },
}

/// Stores, across rounds, when each task last made progress.
#[derive(Default)]
pub(super) struct Movement {
    seen: HashMap<TaskId, (Task, Instant)>,
    /// Since when each task is seen with the node that it has.
    with_node: HashMap<TaskId, (StorageNodeId, Instant)>,
    /// Nodes that have not connected since this controller started count as lost from this time
    /// on.
    started: Option<Instant>,
    /// When the state was last read.
    looked: Option<Instant>,
}

impl Movement {
    /// Reads the current state. Nodes that have not connected since this process started count as
    /// down since then: they get the grace period to reconnect.
    pub(super) fn snapshot(
        &mut self,
        state: &State,
        (live, links): (&Live, &Links),
        config: &MulticastConfig,
        now: Instant,
    ) -> Snapshot {
        let started = *self.started.get_or_insert(now);
        let passed = now.saturating_duration_since(self.looked.replace(now).unwrap_or(now));
        let known = live.seen_through(links);
        let transfers = live.transfers();
        let waiting = live.session_reports().waiting();
        let (runs, nodes, multicast) = state.read(|tables| {
            let session = |run: &Run| {
                multicast::session_of(tables, run.task)
                    .and_then(|row| row.key())
                    .filter(|_| config.enabled)
            };
            let mut rooms = Rooms::default();
            let runs: Vec<_> = tables
                .runs()
                .active()
                .map(|run| {
                    (
                        run.clone(),
                        Facts::of(tables, run, session(run), &mut rooms),
                    )
                })
                .collect();
            let stored = stored(tables);
            let nodes = tables.of::<StorageNode>().iter().filter_map(|row| {
                let id = StorageNodeId::new(row.id)?;
                let seen = known.get(&id);
                let holds = stored.get(&id).map_or(&[][..], Vec::as_slice);
                let link = link(seen, started, now);
                Some((id, node(tables, row, (seen, holds), link)?))
            });
            (
                runs,
                nodes.collect::<BTreeMap<_, _>>(),
                sessions(tables, config),
            )
        });
        let active: HashSet<_> = runs.iter().map(|(run, _)| run.task).collect();
        self.seen.retain(|task, _| active.contains(task));
        self.with_node.retain(|task, _| active.contains(task));
        // No progress is expected while a session waits for its start.
        let waits = |run: &Run, session: Option<SessionId>| {
            session
                .zip(run.node())
                .is_some_and(|key| waiting.contains(&key))
        };
        let runs = runs.iter().map(|(run, facts)| {
            let session_waits = waits(run, facts.session);
            let moved = transfers.get(&run.task).map(|transfer| transfer.moved_at);
            let node = run.node().and_then(|node| known.get(&node));
            // Nothing is heard of it here, and whoever hears it judges it: the time does not count.
            if node.is_some_and(|node| node.unheard)
                && let Some((_, since)) = self.seen.get_mut(&run.task)
            {
                *since = (moved.map_or(*since, |moved| moved.max(*since)) + passed).min(now);
            }
            let quiet = self.quiet(run, if session_waits { Some(now) } else { moved }, now);
            RunView {
                task: run.task,
                kind: facts.kind,
                image: run.image,
                tiers: facts.tiers.clone(),
                session: facts.session,
                session_waits,
                forced: facts.forced,
                room: facts.room,
                life: run.life.clone(),
                quiet,
                with_node: self.with_node(run, now),
                trouble: live.unreached(run.task),
            }
        });
        let runs = runs.collect();
        Snapshot {
            runs,
            nodes,
            multicast,
        }
    }

    fn with_node(&mut self, run: &Run, now: Instant) -> Duration {
        let Some(node) = run.node() else {
            self.with_node.remove(&run.task);
            return Duration::ZERO;
        };
        let seen = self.with_node.entry(run.task).or_insert((node, now));
        if seen.0 != node {
            *seen = (node, now);
        }
        now.saturating_duration_since(seen.1)
    }

    /// How long nothing has happened to a run.
    fn quiet(&mut self, run: &Run, moved: Option<Instant>, now: Instant) -> Duration {
        let seen = self
            .seen
            .entry(run.task)
            .or_insert_with(|| (run.life.clone(), now));
        if seen.0 != run.life {
            *seen = (run.life.clone(), now);
        }
        let last = moved.map_or(seen.1, |moved| moved.max(seen.1));
        now.saturating_duration_since(last)
    }
}

/// What the tables say about a run.
struct Facts {
    kind: RunKind,
    tiers: Vec<StorageGroupId>,
    session: Option<SessionId>,
    forced: bool,
    room: Room,
}

impl Facts {
    fn of(tables: &Tables, run: &Run, session: Option<SessionId>, rooms: &mut Rooms) -> Self {
        let row = tables.tasks().get(run.task.get());
        Self {
            kind: needs(tables, run),
            tiers: sites::tiers(tables, run),
            session,
            forced: row.is_some_and(|row| row.is_forced.is_yes()),
            room: rooms.of(tables, run.host),
        }
    }
}

fn needs(tables: &Tables, run: &Run) -> RunKind {
    match versions::of_run(tables, run) {
        Some(Fixed { manifest, version }) => RunKind::Deploy {
            manifest: Some(manifest),
            version,
        },
        None => run.kind,
    }
}

/// What each node holds according to the store.
fn stored(tables: &Tables) -> HashMap<StorageNodeId, Vec<(ImageId, ManifestId)>> {
    let mut stored = HashMap::<_, Vec<_>>::new();
    let contents = tables.contents().iter();
    for content in contents.flat_map(|content| content.versions()) {
        for node in &content.nodes {
            let held = stored.entry(*node).or_default();
            held.push((content.image, content.manifest));
        }
    }
    stored
}

fn node(
    tables: &Tables,
    row: &StorageNode,
    (seen, stored): (Option<&NodeLive>, &[(ImageId, ManifestId)]),
    link: LinkState,
) -> Option<NodeView> {
    let id = StorageNodeId::new(row.id)?;
    let reported = || {
        seen.into_iter()
            .flat_map(|node| node.manifests.iter().copied())
    };
    let unknown = reported()
        .filter(|(image, manifest)| orphans::is_unknown(tables, &Stored::Image(*image, *manifest)))
        .map(|(image, _)| image);
    let out_of_reach = out_of_reach(seen);
    Some(NodeView {
        name: row.name.clone(),
        group: StorageGroupId::new(row.storagegroup)?,
        master: row.is_master.is_yes(),
        enabled: holds::takes_tasks(tables, row),
        revoked: tables
            .enrolled_nodes()
            .get(&id)
            .is_none_or(|node| node.is_revoked()),
        max_clients: u32::try_from(row.max_clients).unwrap_or(0),
        link,
        ipv6: seen.is_some_and(|node| multicast::is_ipv6(&node.quic_address)),
        holds: stored
            .iter()
            .copied()
            .chain(reported())
            .filter(|content| {
                // A deploy that cannot be complete does not start.
                seen.is_none_or(|node| !node.damaged.contains_key(&content.1))
                    && !out_of_reach.contains_key(content)
            })
            .collect(),
        unverified: seen
            .map(|node| node.unverified.keys().copied().collect())
            .unwrap_or_default(),
        out_of_reach: out_of_reach.clone(),
        reported: seen.is_some_and(|node| node.reported),
        unknown: unknown.collect(),
    })
}

fn out_of_reach(seen: Option<&NodeLive>) -> HashMap<(ImageId, ManifestId), String> {
    let Some(cold) = seen.and_then(|node| node.cold.as_ref()) else {
        return HashMap::new();
    };
    let away = cold.images.keys().filter_map(|(image, manifest)| {
        let problem = cold.out_of_reach(*image, *manifest)?;
        Some(((*image, *manifest), problem.to_owned()))
    });
    away.collect()
}

fn sessions(tables: &Tables, config: &MulticastConfig) -> MulticastView {
    let rules = multicast::Rules::new(tables, config);
    let used = tables.session_plans().used();
    let plans = tables
        .session_plans()
        .iter()
        .filter(|plan| !plan.leases.is_empty() && multicast::is_active(tables, plan.session));
    MulticastView {
        sessions: plans
            .map(|plan| (plan.session, plan.leases.keys().copied().collect()))
            .collect(),
        max_sessions: rules.max_sessions(),
        free_v4: rules.range(false).free(&used),
        free_v6: rules.range(true).free(&used),
    }
}

fn link(node: Option<&NodeLive>, started: Instant, now: Instant) -> LinkState {
    match node {
        Some(node) if node.unheard => LinkState::Elsewhere,
        Some(node) if node.online => LinkState::Up,
        Some(NodeLive {
            down_since: Some(since),
            ..
        }) => LinkState::Down {
            since: now.saturating_duration_since(*since),
        },
        _ => LinkState::Down {
            since: now.saturating_duration_since(started),
        },
    }
}
