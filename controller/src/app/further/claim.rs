//! A client asks for further sources.

use std::cmp::Reverse;
use std::collections::HashMap;

use foghorn_proto::http::{FurtherNode, FurtherRequest, FurtherResponse};
use foghorn_types::StorageNodeId;
use tracing::info;

use super::{Terms, group_of, may_serve, most, served, spare};
use crate::agents::live::{Live, NodeLive};
use crate::app::{check_in, sites, versions};
use crate::ctx::Ctx;
use crate::state::run::Run;
use crate::state::{Refusal, Tables};

/// Why a client gets no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    #[error("no check-in has this bearer token")]
    Stranger,
    #[error("the task has ended: {reason}")]
    Ended { reason: String },
    #[error("could not store the further sources")]
    State(#[from] Refusal),
}

/// Writes down from which nodes the client would also fetch, and says where they are.
///
/// # Errors
/// See [`ClaimError`].
pub async fn claim(
    ctx: &Ctx,
    session: &str,
    request: &FurtherRequest,
) -> Result<FurtherResponse, ClaimError> {
    let run = ctx.state.write::<_, ClaimError>(|draft| {
        let tables = draft.tables();
        let run = tables
            .runs()
            .by_session(session)
            .ok_or(ClaimError::Stranger)?;
        if let Some(reason) = check_in::ended_because(run) {
            return Err(ClaimError::Ended { reason });
        }
        let further = choose(tables, ctx.terms(), &ctx.live, run, request);
        let next = Run {
            further,
            ..Run::clone(run)
        };
        if next.further != run.further {
            draft.replace(&next);
        }
        Ok(next)
    });
    let run = run.await?;
    let nodes = ctx.state.read(|tables| {
        let nodes = run.further.iter();
        nodes
            .filter_map(|node| located(ctx, tables, *node))
            .collect::<Vec<_>>()
    });
    let names: Vec<&str> = nodes.iter().map(|node| node.node.as_str()).collect();
    info!(task = %run.task, wanted = request.wanted, nodes = ?names, "a client asked for further sources");
    Ok(FurtherResponse { nodes })
}

/// Where a client reaches a node.
fn located(ctx: &Ctx, tables: &Tables, node: StorageNodeId) -> Option<FurtherNode> {
    let live = ctx.live.node(node).filter(|live| live.online)?;
    let name = tables.enrolled_nodes().get(&node)?.name.clone();
    Some(FurtherNode {
        sources: check_in::sources(&live, &name),
        node: name,
    })
}

/// Those that it has and that are of use to it, then those with the largest share of free places.
fn choose(
    tables: &Tables,
    terms: Terms<'_>,
    live: &Live,
    run: &Run,
    request: &FurtherRequest,
) -> Vec<StorageNodeId> {
    let Some(group) = run.node().and_then(|node| group_of(tables, node)) else {
        // Nobody knows from which site it will be served next.
        return run.further.clone();
    };
    let others = most(tables, terms, Some(group)).saturating_sub(1);
    let wanted = usize::from(request.wanted).min(others);
    if wanted == 0 {
        return Vec::new();
    }
    let nodes = live.nodes();
    let of_use = |node: StorageNodeId| {
        is_there(&nodes, node)
            && may_serve(tables, run, node)
            && versions::holds(tables, live, node, run)
            && !is_without(tables, request, node)
    };
    let has = |node: StorageNodeId| {
        let mut runs = served(tables, terms, node).into_iter();
        runs.any(|served| served.task == run.task)
    };
    let mut chosen: Vec<StorageNodeId> = run.further.clone();
    chosen.retain(|node| of_use(*node) && has(*node));
    chosen.truncate(wanted);
    let mut free: Vec<(Reverse<u64>, StorageNodeId)> = sites::nodes(tables, group)
        .into_iter()
        .filter_map(|row| row.key())
        .filter(|node| !chosen.contains(node) && of_use(*node))
        .map(|node| {
            let others = served(tables, terms, node);
            let others = others.iter().filter(|served| served.task != run.task);
            let free = spare(tables, terms, node).saturating_sub(others.count() as u64);
            (Reverse(free), node)
        })
        .filter(|(free, _)| free.0 > 0)
        .collect();
    free.sort_unstable();
    let more = wanted - chosen.len();
    chosen.extend(free.into_iter().map(|(_, node)| node).take(more));
    chosen
}

/// Whether the node answers and its agent knows what to do.
fn is_there(nodes: &HashMap<StorageNodeId, NodeLive>, node: StorageNodeId) -> bool {
    let live = nodes.get(&node);
    live.is_some_and(|live| live.online && live.reported && live.gives_further)
}

fn is_without(tables: &Tables, request: &FurtherRequest, node: StorageNodeId) -> bool {
    let joined = tables.enrolled_nodes().get(&node);
    joined.is_none_or(|joined| request.without.contains(&joined.name.tls_name()))
}
