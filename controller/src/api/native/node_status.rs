//! Every storage node as it is at this moment: linked or not, and how much room it has.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use foghorn_rest_types::native::{NodeList, NodeStatus};
use foghorn_types::{Role, StorageNodeId};

use crate::agents::live::NodeLive;
use crate::api::routes::{Routes, get};
use crate::ctx::Ctx;
use crate::state::classes::StorageNode;

pub(super) fn routes() -> Routes<Arc<Ctx>> {
    Routes::new().add(
        get("/foghorn/v1/nodes", list)
            .needs(Role::ReadOnly)
            .named("nodes", "nodes", "List the current state of storage nodes")
            .gives::<NodeList>(200, "In the order of their numbers."),
    )
}

async fn list(State(ctx): State<Arc<Ctx>>) -> Json<NodeList> {
    let live = ctx.live.nodes();
    let nodes = ctx.state.read(|tables| {
        let rows = tables.of::<StorageNode>().iter();
        rows.filter_map(|row| Some(view(StorageNodeId::new(row.id)?, &row.name, &live)))
            .collect()
    });
    Json(NodeList { nodes })
}

/// A node that has not reported since the controller started is offline, with nothing known.
fn view(
    id: StorageNodeId,
    name: &str,
    live: &std::collections::HashMap<StorageNodeId, NodeLive>,
) -> NodeStatus {
    let live = live.get(&id);
    NodeStatus {
        id,
        name: name.to_owned(),
        online: live.is_some_and(|node| node.online),
        disk_total_bytes: live.map(|node| node.disk_total).unwrap_or_default(),
        disk_free_bytes: live.map(|node| node.disk_free).unwrap_or_default(),
        keep_free_bytes: live.map(|node| node.keep_free).unwrap_or_default(),
        chunks_path: live
            .map(|node| node.chunks_path.clone())
            .unwrap_or_default(),
        problem: live
            .map(|node| node.problem.clone())
            .filter(|problem| !problem.is_empty()),
        stored_bytes: live.map(|node| node.stored_bytes).unwrap_or_default(),
        chunks: live.map_or(0, |node| node.chunks),
        active_transfers: live.map_or(0, |node| node.active_transfers),
    }
}
