//! Sends wake-ups to the agents that are connected to this controller, and deletes them after a few
//! seconds.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use foghorn_proto::link::WakeHosts;
use foghorn_proto::link::controller_message::Message;
use foghorn_types::{HostId, MacAddress, StorageNodeId, Timestamp, chain};
use tracing::{debug, info, warn};

use crate::agents::links::Links;
use crate::app::wake;
use crate::background::Report;
use crate::state::wake::{LIVES, Wake};
use crate::state::{Refusal, State, Tables};

/// When no agent at the hosts' site has accepted a wake-up within this time, it is sent to all
/// agents.
const SITE_FIRST: Duration = Duration::from_secs(2);
/// Maximum number of MAC addresses in one order to an agent.
const ADDRESSES_AT_ONCE: usize = 256;

/// One round over the pending wake-ups.
///
/// # Errors
/// When the store cannot be written; the wake-ups are then still pending.
pub(crate) async fn round(
    state: &State,
    links: &Links,
    now: Timestamp,
    report: &mut Report,
) -> Result<(), Refusal> {
    let waiting: Vec<_> = state.read(|tables| tables.wakes().iter().cloned().collect());
    for wake in waiting {
        if now.since(wake.at) >= LIVES {
            forget(state, &wake).await?;
        } else {
            hand_over(state, links, &wake, now, report).await?;
        }
    }
    Ok(())
}

async fn hand_over(
    state: &State,
    links: &Links,
    wake: &Wake,
    now: Timestamp,
    report: &mut Report,
) -> Result<(), Refusal> {
    let anywhere = now.since(wake.at) >= SITE_FIRST && wake.taken_by.is_empty();
    let online: BTreeSet<StorageNodeId> = links.online().into_iter().collect();
    let orders = state.read(|tables| orders(tables, wake, &online, anywhere));
    let mut taken = Vec::new();
    for (node, macs) in orders {
        let orders = macs.chunks(ADDRESSES_AT_ONCE).map(|part| WakeHosts {
            macs: part.iter().map(|mac| mac.octets().to_vec()).collect(),
        });
        let sent = orders
            .map(|order| links.send(node, Message::Wake(order)))
            .collect::<Result<Vec<()>, _>>();
        match sent {
            Ok(_) => taken.push(node),
            Err(refused) => {
                debug!(%node, error = %chain(&refused), "an agent did not accept a wake-up")
            }
        }
    }
    if taken.is_empty() {
        return Ok(());
    }
    report.did("wake-ups handed to agents", 1);
    info!(hosts = wake.hosts.len(), nodes = ?taken, why = wake.why, "sent wake-ups to agents");
    let name = wake.name();
    state
        .write(|draft| {
            let Some(wake) = draft.tables().wakes().get(name) else {
                return Ok(());
            };
            let mut taken_by = wake.taken_by.clone();
            taken_by.extend(
                taken
                    .iter()
                    .map(|node| node.get())
                    .filter(|node| !wake.taken_by.contains(node)),
            );
            draft.replace(&Wake {
                taken_by,
                ..Wake::clone(wake)
            });
            Ok(())
        })
        .await
}

/// The wake-ups that each agent must send and has not received yet.
fn orders(
    tables: &Tables,
    wake: &Wake,
    online: &BTreeSet<StorageNodeId>,
    anywhere: bool,
) -> BTreeMap<StorageNodeId, Vec<MacAddress>> {
    let mut orders: BTreeMap<StorageNodeId, Vec<MacAddress>> = BTreeMap::new();
    for host in wake.hosts.iter().filter_map(|host| HostId::new(*host)) {
        let near = wake::nodes_near(tables, host);
        let all = anywhere || near.is_empty();
        let macs = wake::addresses(tables, host);
        for node in online.iter().filter(|node| all || near.contains(node)) {
            if !wake.taken_by.contains(&node.get()) && !macs.is_empty() {
                orders.entry(*node).or_default().extend(&macs);
            }
        }
    }
    orders
}

/// Deletes a wake-up, and logs a warning when no agent accepted it.
async fn forget(state: &State, wake: &Wake) -> Result<(), Refusal> {
    let name = wake.name();
    let gone = state.write::<_, Refusal>(|draft| {
        let Some(wake) = draft.tables().wakes().get(name) else {
            return Ok(None);
        };
        draft.discard(&**wake);
        Ok(Some(wake.taken_by.is_empty()))
    });
    if gone.await? == Some(true) {
        warn!(hosts = ?wake.hosts, why = wake.why, "no agent was online to wake the hosts");
    }
    Ok(())
}
