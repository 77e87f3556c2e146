//! Wakes hosts and tells through which storage nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use foghorn_types::{HostId, MacAddress, NodeName, StorageNodeId, Timestamp};

use super::{claim, wake};
use crate::state::classes::StorageNode;
use crate::state::wake::Wake;
use crate::state::{Refusal, State, Tables};

/// How long to wait for agents: longer than it takes until those of other sites are asked.
const PATIENCE: Duration = Duration::from_secs(5);
/// Hosts in one wake-up.
const AT_ONCE: usize = 1000;

/// What became of a host.
#[derive(Clone, Debug)]
pub struct Woken {
    pub host: HostId,
    pub name: String,
    pub macs: Vec<MacAddress>,
    /// Storage nodes that send the packets.
    pub nodes: Vec<NodeName>,
    /// Whether one of them is at the host's site.
    pub at_site: bool,
}

/// A wake-up for the hosts that the same nodes are near to.
struct Sent {
    hosts: Vec<HostId>,
    near: BTreeSet<StorageNodeId>,
    name: String,
    taken_by: Vec<u32>,
}

/// Wakes hosts, in one wake-up for each site, so that one of them does not hide that another has
/// nobody to send it. Returns when agents have taken them all, or after a few seconds.
///
/// # Errors
/// When the store cannot be written.
pub async fn wake(state: &State, hosts: Vec<HostId>) -> Result<Vec<Woken>, Refusal> {
    let mut sent = state
        .write::<_, Refusal>(|draft| {
            let now = Timestamp::now();
            let mut sent = Vec::new();
            for (near, hosts) in by_site(draft.tables(), &hosts) {
                for hosts in hosts.chunks(AT_ONCE) {
                    let numbers = hosts.iter().map(|host| host.get()).collect();
                    let wake = Wake::new(numbers, "a user has asked for it".to_owned(), now);
                    draft.store(&wake);
                    sent.push(Sent {
                        hosts: hosts.to_vec(),
                        near: near.clone(),
                        name: wake.name().to_owned(),
                        taken_by: Vec::new(),
                    });
                }
            }
            Ok(sent)
        })
        .await?;
    // Its end is not an error: then not everybody has taken theirs.
    let _in_time = tokio::time::timeout(PATIENCE, taken(state, &mut sent)).await;
    Ok(state.read(|tables| {
        hosts
            .iter()
            .map(|host| woken(tables, *host, &sent))
            .collect()
    }))
}

/// The hosts that have an address, by the nodes that are near to them.
fn by_site(tables: &Tables, hosts: &[HostId]) -> BTreeMap<BTreeSet<StorageNodeId>, Vec<HostId>> {
    let mut sites: BTreeMap<_, Vec<HostId>> = BTreeMap::new();
    for &host in hosts {
        if !wake::addresses(tables, host).is_empty() {
            let near = wake::nodes_near(tables, host);
            sites.entry(near).or_default().push(host);
        }
    }
    sites
}

/// Waits until every wake-up has been taken by somebody.
async fn taken(state: &State, sent: &mut [Sent]) {
    let mut changed = state.changed();
    loop {
        changed.mark_unchanged();
        state.read(|tables| {
            for sent in sent.iter_mut() {
                // One that is over has gone.
                if let Some(wake) = tables.wakes().get(sent.name.as_str()) {
                    sent.taken_by.clone_from(&wake.taken_by);
                }
            }
        });
        let is_done = sent.iter().all(|sent| !sent.taken_by.is_empty());
        if is_done || changed.changed().await.is_err() {
            return;
        }
    }
}

fn woken(tables: &Tables, host: HostId, sent: &[Sent]) -> Woken {
    let sent = sent.iter().find(|sent| sent.hosts.contains(&host));
    let taken_by = sent.map(|sent| &sent.taken_by[..]).unwrap_or_default();
    let nodes = taken_by.iter().filter_map(|node| {
        let row = tables.of::<StorageNode>().get(*node)?;
        row.name.parse().ok()
    });
    let is_near = |node: &u32| {
        let near = sent.map(|sent| &sent.near);
        StorageNodeId::new(*node).is_some_and(|id| near.is_some_and(|near| near.contains(&id)))
    };
    Woken {
        host,
        name: claim::name_of(tables, host),
        macs: wake::addresses(tables, host),
        nodes: nodes.collect(),
        at_site: taken_by.iter().any(is_near),
    }
}
