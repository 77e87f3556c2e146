//! The latest reports of agents: in memory only, lost with the process, rebuilt by their next
//! reports.

use std::collections::{HashMap, HashSet};
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use foghorn_types::{ByteCount, FileId, ImageId, ManifestId, StorageNodeId, TaskId, Timestamp};
use tokio::sync::watch;

use super::cold::ColdCopies;
use super::contents::{ContentDamage, Origin, StoreCheck, Unverified};
use super::links::Links;
use super::machines::Machines;
use super::replicas::ReplicaReports;
use super::session_reports::SessionReports;
use super::waits::Waits;

/// A storage node as last reported by its agent.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NodeLive {
    /// Whether its link is up now.
    pub online: bool,
    /// Whether it has said what it holds since its link is up. Until then nobody knows.
    pub reported: bool,
    /// `host:port`, UDP.
    pub quic_address: String,
    /// All that clients may try, the one above first; empty with an agent that names only one.
    pub quic_addresses: Vec<String>,
    pub software: String,
    /// Whether its agent can serve clients of tasks that other nodes have.
    pub gives_further: bool,
    /// When the certificate of its agent ends; unknown for a link that is just being opened.
    pub certificate_ends: Option<Timestamp>,
    pub disk_total: ByteCount,
    pub disk_free: ByteCount,
    /// Captures are refused when less than this would stay free.
    pub keep_free: ByteCount,
    /// Where it keeps chunks.
    pub chunks_path: String,
    /// Why it cannot store chunks now; empty if nothing is known.
    pub problem: String,
    pub stored_bytes: ByteCount,
    pub chunks: u64,
    pub active_transfers: u32,
    pub manifests: HashSet<(ImageId, ManifestId)>,
    /// Where they come from, as far as the node knows.
    pub origins: HashMap<ManifestId, Origin>,
    /// Files other than images.
    pub files: HashSet<FileId>,
    /// What it cannot give out whole.
    pub damaged: HashMap<ManifestId, ContentDamage>,
    pub damaged_files: HashMap<FileId, ContentDamage>,
    /// What does not count as a copy until it was verified again.
    pub unverified: HashMap<ManifestId, Unverified>,
    /// Its check of everything; `None` from an agent that makes none.
    pub check: Option<StoreCheck>,
    /// Its images in a bucket, if it has one.
    pub cold: Option<ColdCopies>,
    /// When the link was lost; `None` while it is up.
    pub down_since: Option<Instant>,
    /// It is not linked as far as this controller hears, and another one that lives, and is not
    /// heard, says in the store that it is linked there.
    pub elsewhere: bool,
    /// The controller that has its link is not heard at present: what is known of it here may be old.
    /// Filled in by [`Live::seen_through`].
    pub unheard: bool,
}

impl NodeLive {
    /// Linked to this controller or to any other that lives.
    #[must_use]
    pub const fn is_linked(&self) -> bool {
        self.online || self.elsewhere
    }

    /// Where clients and other nodes reach it, best first. An agent of an earlier version reports one
    /// address only.
    #[must_use]
    pub fn addresses(&self) -> Vec<String> {
        if self.quic_addresses.is_empty() && !self.quic_address.is_empty() {
            return vec![self.quic_address.clone()];
        }
        self.quic_addresses.clone()
    }
}

/// One transfer as its agent last reported it, about once a second.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TransferProgress {
    pub node: StorageNodeId,
    /// Uncompressed bytes of the disk that are verified (deploy) or stored (capture).
    pub bytes_done: ByteCount,
    pub bytes_total: ByteCount,
    /// Compressed bytes sent over the network.
    pub bytes_wire: ByteCount,
    /// Of `bytes_done`, per second, over the last few seconds.
    pub rate: ByteCount,
    pub eta: Duration,
    pub limiting_stage: Option<Stage>,
    pub bytes_reused: ByteCount,
    /// When a report last differed from the one before it.
    pub moved_at: Instant,
}

/// The bottleneck of a transfer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    Network,
    /// Decompression and verification; for a capture, hashing and compression.
    Compression,
    Disk,
}

impl Stage {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Compression => "compression",
            Self::Disk => "disk",
        }
    }
}

/// Shared by the links that write and everyone who reads. Locks are held for a map access, never
/// across an await.
pub struct Live {
    nodes: RwLock<HashMap<StorageNodeId, NodeLive>>,
    transfers: RwLock<HashMap<TaskId, TransferProgress>>,
    /// Why the client of a task does not reach its node, as it says itself.
    unreached: RwLock<HashMap<TaskId, String>>,
    session_reports: SessionReports,
    replica_reports: ReplicaReports,
    waits: Waits,
    /// Nodes that serve a task beside the one that has it.
    further: RwLock<HashMap<TaskId, Vec<StorageNodeId>>>,
    machines: Machines,
    changed: watch::Sender<u64>,
}

impl Default for Live {
    fn default() -> Self {
        Self {
            nodes: RwLock::default(),
            transfers: RwLock::default(),
            unreached: RwLock::default(),
            session_reports: SessionReports::default(),
            replica_reports: ReplicaReports::default(),
            waits: Waits::default(),
            further: RwLock::default(),
            machines: Machines::default(),
            changed: watch::Sender::new(0),
        }
    }
}

impl Live {
    #[must_use]
    pub fn node(&self, node: StorageNodeId) -> Option<NodeLive> {
        self.nodes
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&node)
            .cloned()
    }

    /// All nodes that have sent a report since the controller started.
    #[must_use]
    pub fn nodes(&self) -> HashMap<StorageNodeId, NodeLive> {
        self.nodes
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// As [`NodeLive::addresses`]; none for a node that is not known.
    #[must_use]
    pub fn addresses(&self, node: StorageNodeId) -> Vec<String> {
        let nodes = self.nodes.read().unwrap_or_else(PoisonError::into_inner);
        nodes
            .get(&node)
            .map(NodeLive::addresses)
            .unwrap_or_default()
    }

    /// As [`Live::nodes`], with which of them are not heard.
    #[must_use]
    pub fn seen_through(&self, links: &Links) -> HashMap<StorageNodeId, NodeLive> {
        let (mut nodes, unheard) = (self.nodes(), links.unheard());
        for (id, node) in &mut nodes {
            node.unheard = node.elsewhere || (node.online && unheard.contains(id));
        }
        nodes
    }

    #[must_use]
    pub fn progress(&self, task: TaskId) -> Option<TransferProgress> {
        self.transfers
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&task)
            .cloned()
    }

    /// Multicast sessions.
    #[must_use]
    pub fn session_reports(&self) -> &SessionReports {
        &self.session_reports
    }

    /// Copies of images from node to node.
    #[must_use]
    pub fn replica_reports(&self) -> &ReplicaReports {
        &self.replica_reports
    }

    /// A machine opens a link for a node; whether another one has done so since it last did.
    pub(crate) fn alternates(&self, node: StorageNodeId, machine: u64) -> bool {
        self.machines.alternates(node, machine)
    }

    /// Another controller tells of a machine that has opened a link for a node.
    pub(crate) fn learn_machine(&self, node: StorageNodeId, machine: u64) {
        self.machines.learn(node, machine);
    }

    /// Forgets which machines were there for a node.
    pub(crate) fn forget_machines(&self, node: StorageNodeId) {
        self.machines.forget(node);
    }

    /// Nodes that serve a task beside the one that has it.
    #[must_use]
    pub fn further(&self, task: TaskId) -> Vec<StorageNodeId> {
        let further = self.further.read().unwrap_or_else(PoisonError::into_inner);
        further.get(&task).cloned().unwrap_or_default()
    }

    pub(crate) fn set_further(&self, serving: HashMap<TaskId, Vec<StorageNodeId>>) {
        *self.further.write().unwrap_or_else(PoisonError::into_inner) = serving;
    }

    /// What tasks wait for.
    #[must_use]
    pub fn waits(&self) -> &Waits {
        &self.waits
    }

    /// Notified whenever a link is opened or lost, or a transfer appears.
    #[must_use]
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Notifies the readers of [`Live::changed`].
    pub(crate) fn touch(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    /// Replaces the state of a node.
    pub fn set_node(&self, node: StorageNodeId, live: NodeLive) {
        self.nodes
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(node, live);
        self.touch();
    }

    /// Changes the state of a known node.
    pub(crate) fn update_node(&self, node: StorageNodeId, change: impl FnOnce(&mut NodeLive)) {
        if let Some(live) = self
            .nodes
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .get_mut(&node)
        {
            change(live);
        }
    }

    pub(crate) fn set_down(&self, node: StorageNodeId, now: Instant) {
        self.update_node(node, |live| {
            live.online = false;
            live.active_transfers = 0;
            live.elsewhere = false;
            live.down_since = Some(now);
        });
        self.touch();
    }

    /// A controller that is not heard says of a node whose link is lost or was never heard of that it
    /// is linked there; or says so no longer. `at` are the addresses at which clients reach it; `None`
    /// when it is not linked there any longer.
    pub(crate) fn set_elsewhere(&self, node: StorageNodeId, at: Option<&[String]>, now: Instant) {
        let mut nodes = self.nodes.write().unwrap_or_else(PoisonError::into_inner);
        let live = nodes.entry(node).or_default();
        if live.online {
            return;
        }
        if let Some([first, ..]) = at {
            live.quic_address = first.clone();
            live.quic_addresses = at.unwrap_or_default().to_vec();
        }
        if live.elsewhere == at.is_some() {
            return;
        }
        live.elsewhere = at.is_some();
        live.down_since = Some(now);
        drop(nodes);
        self.touch();
    }

    /// Remembers why the client of a task does not reach its node.
    pub(crate) fn set_unreached(&self, task: TaskId, reason: String) {
        self.unreached
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(task, reason);
        self.touch();
    }

    /// Why the client of a task does not reach its node; `None` once it did.
    #[must_use]
    pub fn unreached(&self, task: TaskId) -> Option<String> {
        self.unreached
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&task)
            .cloned()
    }

    /// The client of a task has reached its node.
    pub(crate) fn forget_unreached(&self, task: TaskId) {
        self.unreached
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&task);
    }

    /// Stores a report; returns whether it is the first of this transfer on this node.
    pub(crate) fn set_progress(&self, task: TaskId, mut progress: TransferProgress) -> bool {
        let mut transfers = self
            .transfers
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let before = transfers
            .get(&task)
            .filter(|before| before.node == progress.node);
        let first = before.is_none();
        if let Some(before) = before
            && (before.bytes_done, before.bytes_wire, before.bytes_reused)
                == (
                    progress.bytes_done,
                    progress.bytes_wire,
                    progress.bytes_reused,
                )
        {
            progress.moved_at = before.moved_at;
        }
        transfers.insert(task, progress);
        drop(transfers);
        self.forget_unreached(task);
        first
    }

    /// Bytes sent over the network since the previous report.
    pub(crate) fn wire_growth(&self, task: TaskId, report: &TransferProgress) -> u64 {
        let before = self
            .progress(task)
            .filter(|before| before.node == report.node)
            .map_or(0, |before| before.bytes_wire.bytes());
        report.bytes_wire.bytes().saturating_sub(before)
    }

    pub(crate) fn forget_transfer(&self, task: TaskId) {
        self.forget_unreached(task);
        self.transfers
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&task);
    }

    /// All known transfers.
    pub(crate) fn transfers(&self) -> HashMap<TaskId, TransferProgress> {
        self.transfers
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
