//! What each node is ordered to do, built from the tables alone: whichever controller has its link
//! can tell it.

use std::collections::HashMap;

use foghorn_proto::link::{
    FetchReplica, ReplicaOrders, ReplicaSource, ServeReplica, StoredManifest,
};
use foghorn_types::{BitRate, StorageNodeId, Timestamp, Timetable};

use super::snapshot;
use crate::agents::live::NodeLive;
use crate::state::classes::StorageNode;
use crate::state::replica::{LimitOf, ReplicaJob};
use crate::state::{Tables, zone};

/// Everything that the node is to do for replication at this time.
#[must_use]
pub fn of_node(tables: &Tables, node: StorageNodeId, now: Timestamp) -> ReplicaOrders {
    let copying = || tables.replica_jobs().iter().filter(|job| job.is_copying());
    let fetch = copying().filter(|job| job.node == node);
    let fetch: Vec<FetchReplica> = fetch.map(|job| fetch_order(tables, job)).collect();
    let serve: Vec<ServeReplica> = copying()
        .filter(|job| job.sources.iter().any(|source| source.node == node))
        .filter_map(|job| serve_order(tables, job))
        .collect();
    // A limit is of no interest to a node that copies nothing.
    let rate = match fetch.is_empty() && serve.is_empty() {
        true => 0,
        false => limit(tables, node, now).map_or(0, BitRate::bytes_per_second),
    };
    ReplicaOrders {
        fetch,
        serve,
        max_fetch_bytes_per_second: rate,
        max_serve_bytes_per_second: rate,
        no_source: Vec::new(),
    }
}

/// What is damaged on the node and what no other connected node can give: whoever waits there for a
/// chunk of it waits in vain.
#[must_use]
pub fn without_source(
    tables: &Tables,
    live: &HashMap<StorageNodeId, NodeLive>,
    node: StorageNodeId,
) -> Vec<Vec<u8>> {
    let Some(damaged) = live.get(&node).map(|live| &live.damaged) else {
        return Vec::new();
    };
    if damaged.is_empty() {
        return Vec::new();
    }
    let now = snapshot::take(tables, live, Timestamp::now());
    let contents = now.contents.iter();
    let vain = contents
        .filter(|content| damaged.contains_key(&content.manifest) && !now.has_giver(content, node));
    let mut vain: Vec<_> = vain
        .map(|content| content.manifest.as_bytes().to_vec())
        .collect();
    vain.sort_unstable();
    vain.dedup();
    vain
}

fn fetch_order(tables: &Tables, job: &ReplicaJob) -> FetchReplica {
    let content = tables.contents().get(&job.image);
    let content = content.and_then(|content| content.with_manifest(job.manifest));
    let known = content.map(|content| StoredManifest {
        captured_unix_ms: content.captured_at.as_millis(),
        host_id: content.from.as_ref().map_or(0, |from| from.host.get()),
        host_name: content
            .from
            .as_ref()
            .map(|from| from.name.clone())
            .unwrap_or_default(),
        used_bytes: content.used_bytes.bytes(),
        stored_bytes: content.stored_bytes.bytes(),
        ..StoredManifest::default()
    });
    let sources = job.sources.iter().map(|source| ReplicaSource {
        node: source.name.to_string(),
        addresses: source.addresses.clone(),
    });
    FetchReplica {
        copy_id: job.copy,
        what: Some(StoredManifest {
            image_id: job.image.get(),
            manifest_id: job.manifest.as_bytes().to_vec(),
            ..known.unwrap_or_default()
        }),
        sources: sources.collect(),
    }
}

/// `None` when the node that asks was shut out.
fn serve_order(tables: &Tables, job: &ReplicaJob) -> Option<ServeReplica> {
    let target = tables.enrolled_nodes().get(&job.node)?;
    (!target.is_revoked()).then(|| ServeReplica {
        copy_id: job.copy,
        manifest_id: job.manifest.as_bytes().to_vec(),
        node: target.name.to_string(),
    })
}

/// What the node may move in a second, each way: the lower of FOG's `bandwidth` of the node and the
/// timetable of the node, or of its group.
#[must_use]
pub fn limit(tables: &Tables, node: StorageNodeId, now: Timestamp) -> Option<BitRate> {
    let row = tables.storage_nodes().get(node.get())?;
    let kbits = u64::try_from(row.bandwidth).unwrap_or(0);
    let field = (kbits > 0).then(|| BitRate::from_bytes_per_second(kbits.saturating_mul(1000) / 8));
    let timetable = tables
        .replica_limits()
        .get(&LimitOf::Node(node))
        .or_else(|| {
            let group = LimitOf::Group(row.group()?);
            tables.replica_limits().get(&group)
        });
    let table = timetable.and_then(|limit| limit.timetable.parse::<Timetable>().ok());
    let timed = table.and_then(|table| table.at(minute_of_day(tables, row, now)));
    match (field, timed) {
        (Some(field), Some(timed)) => Some(field.min(timed)),
        (field, timed) => field.or(timed),
    }
}

/// In the time zone of the node's site.
fn minute_of_day(tables: &Tables, node: &StorageNode, now: Timestamp) -> u16 {
    let at = jiff::Timestamp::from_millisecond(now.as_millis()).unwrap_or_default();
    let local = at.to_zoned(zone::of_site(tables, node.group()));
    local.hour() as u16 * 60 + local.minute() as u16
}
