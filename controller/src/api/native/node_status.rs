//! Every storage node as it is at this moment: linked or not, how much room it has, what it holds.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use foghorn_rest_types::native::{
    Named, NodeCheck, NodeCordon, NodeList, NodeSilence, NodeStatus, SilenceState,
};
use foghorn_types::{Role, StorageNodeId, Timestamp};
use schemars::JsonSchema;
use serde::Deserialize;

use super::cold;
use super::damage;
use super::error::Refused;
use super::input::{Id, Query};
use super::names::image_name;
use super::paging::{self, page};
use crate::agents::contents::StoreCheck;
use crate::agents::live::NodeLive;
use crate::api::routes::{Routes, get};
use crate::awake;
use crate::ctx::{Ctx, Settings};
use crate::state::classes::{StorageGroup, StorageNode};
use crate::state::enrolment::Standing;
use crate::state::{Row, Tables};

pub(super) fn routes() -> Routes<Arc<Ctx>> {
    Routes::new()
        .add(
            get("/foghorn/v1/nodes", list)
                .needs(Role::ReadOnly)
                .named("nodes", "nodes", "List the current state of storage nodes")
                .query::<Asked>()
                .gives::<NodeList>(200, "In the order of their numbers."),
        )
        .add(
            get("/foghorn/v1/nodes/{id}", show)
                .needs(Role::ReadOnly)
                .named("nodes", "node", "Show the current state of a storage node")
                .path::<StorageNodeId>("id", "Id of the node.")
                .gives::<NodeStatus>(200, "The node with the images that it holds.")
                .refuses(&[404]),
        )
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// Where to continue: `next` of an earlier answer.
    after: Option<StorageNodeId>,
    /// Maximum number of nodes in the answer, 1 to 1000; default 1000.
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<u32>,
}

async fn list(
    State(ctx): State<Arc<Ctx>>,
    Query(asked): Query<Asked>,
) -> Result<Json<NodeList>, Refused> {
    let limit = paging::limit(asked.limit)?;
    let live = ctx.live.nodes();
    let page = ctx.state.read(|tables| {
        let counts = images_held(tables);
        let after = asked.after.map(StorageNodeId::get);
        let rows = tables.storage_nodes().after_id(false, after);
        page(
            rows,
            limit,
            |row| row.id.to_string(),
            |row| {
                let id = row.key()?;
                let status = view(&ctx, tables, row, (live.get(&id), false))?;
                Some(NodeStatus {
                    image_count: counts.get(&id).copied().unwrap_or_default(),
                    ..status
                })
            },
        )
    });
    Ok(Json(NodeList {
        nodes: page.items,
        next: page.next,
    }))
}

async fn show(
    State(ctx): State<Arc<Ctx>>,
    Id(node): Id<StorageNodeId>,
) -> Result<Json<NodeStatus>, Refused> {
    let live = ctx.live.node(node);
    ctx.state
        .read(|tables| {
            let row = tables.storage_nodes().get(node.get())?;
            let status = view(&ctx, tables, row, (live.as_ref(), true))?;
            let held = tables.contents().iter();
            let held = held.filter(|content| content.nodes.contains(&node));
            let images: Vec<_> = held
                .map(|content| image_name(tables, content.image))
                .collect();
            Some(NodeStatus {
                image_count: u32::try_from(images.len()).unwrap_or(u32::MAX),
                images: Some(images),
                ..status
            })
        })
        .map(Json)
        .ok_or_else(|| Refused::not_found("storage node", node))
}

/// How many images each node holds.
fn images_held(tables: &Tables) -> HashMap<StorageNodeId, u32> {
    let mut counts = HashMap::new();
    for node in tables.contents().iter().flat_map(|content| &content.nodes) {
        *counts.entry(*node).or_default() += 1;
    }
    counts
}

/// When the link of a node was last up.
fn last_seen(live: &NodeLive) -> Option<Timestamp> {
    let now = Timestamp::now();
    if live.is_linked() {
        return Some(now);
    }
    let down = live.down_since?;
    Some(now - awake::since(down))
}

/// What a node that is not connected is taken for.
pub(super) fn silence_of(
    ctx: &Ctx,
    node: StorageNodeId,
    live: Option<&NodeLive>,
) -> Option<NodeSilence> {
    let enrolled = |tables: &Tables| tables.enrolled_nodes().get(&node).map(|node| node.standing);
    let standing = ctx.state.read(enrolled)?;
    silence(&ctx.settings, standing, live)
}

/// As [`silence_of`]. One that this controller has never heard counts from the
/// controller's start.
fn silence(
    settings: &Settings,
    standing: Standing,
    live: Option<&NodeLive>,
) -> Option<NodeSilence> {
    let is_there = live.is_some_and(NodeLive::is_linked);
    let Standing::Enrolled { at } = standing else {
        return None;
    };
    if is_there {
        return None;
    }
    let suspected = live.and_then(last_seen);
    let suspected = suspected.unwrap_or_else(|| at.max(settings.started));
    let failed = suspected + settings.node_grace;
    let (state, since) = if failed <= Timestamp::now() {
        (SilenceState::Failed, failed)
    } else {
        (SilenceState::Suspected, suspected)
    };
    Some(NodeSilence {
        state,
        since: since.to_string(),
    })
}

/// A node that has not reported since the controller started is offline, with nothing known. `all`:
/// with every image in its bucket.
fn view(
    ctx: &Ctx,
    tables: &Tables,
    row: &Row<StorageNode>,
    (live, all): (Option<&NodeLive>, bool),
) -> Option<NodeStatus> {
    let id = row.key()?;
    let group = row.group().map(|group| Named {
        id: group,
        name: tables
            .of::<StorageGroup>()
            .get(group.get())
            .map(|row| row.name.clone())
            .unwrap_or_default(),
    });
    let standing = tables.enrolled_nodes().get(&id).map(|node| node.standing);
    let hold = tables.node_holds().get(&id);
    let unknown = NodeLive::default();
    let figures = live.unwrap_or(&unknown);
    Some(NodeStatus {
        id,
        name: row.name.clone(),
        description: row.description.clone(),
        storage_group: group,
        enabled: row.is_enabled.is_yes(),
        cordoned: hold
            .and_then(|hold| hold.cordoned.as_ref())
            .map(|cordon| NodeCordon {
                since: cordon.at.to_string(),
                reason: cordon.reason.clone(),
            }),
        cloned: hold.and_then(|hold| hold.cloned).map(|at| at.to_string()),
        master: row.is_master.is_yes(),
        max_clients: u32::try_from(row.max_clients).unwrap_or_default(),
        online: figures.is_linked(),
        silent: standing.and_then(|standing| silence(&ctx.settings, standing, live)),
        last_seen: live.and_then(last_seen).map(|at| at.to_string()),
        address: figures.quic_address.clone(),
        addresses: figures.addresses(),
        ip: row.ip.clone(),
        software: figures.software.clone(),
        enrolled: standing.map(|standing| since(standing).to_string()),
        revoked: matches!(standing, Some(Standing::Revoked { .. })),
        certificate_ends: figures.certificate_ends.map(|at| at.to_string()),
        disk_total_bytes: figures.disk_total,
        disk_free_bytes: figures.disk_free,
        keep_free_bytes: figures.keep_free,
        chunks_path: figures.chunks_path.clone(),
        problem: Some(figures.problem.clone()).filter(|problem| !problem.is_empty()),
        stored_bytes: figures.stored_bytes,
        chunks: figures.chunks,
        active_transfers: figures.active_transfers,
        cold: figures
            .cold
            .as_ref()
            .map(|cold| cold::of_node(tables, cold, all)),
        damaged: live
            .map(|live| damage::of_node(tables, id, live))
            .unwrap_or_default(),
        unverified_count: u32::try_from(figures.unverified.len()).unwrap_or(u32::MAX),
        check: figures.check.as_ref().map(check),
        image_count: 0,
        images: None,
    })
}

fn check(check: &StoreCheck) -> NodeCheck {
    NodeCheck {
        running: check.running,
        done: check.parts_done,
        total: check.parts_total,
        last: check.last_ended.map(|at| at.to_string()),
        damaged: check.damaged,
        waits_for: check.waits_for.clone(),
    }
}

fn since(standing: Standing) -> Timestamp {
    let (Standing::Enrolled { at } | Standing::Revoked { at }) = standing;
    at
}
