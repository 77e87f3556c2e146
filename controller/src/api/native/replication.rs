//! Copies of images from node to node: how they are getting on, and how people steer them.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use foghorn_rest_types::native::{
    GroupLimit, LimitRequest, Named, NodeLimit, Replica, ReplicaProgress, ReplicaRequest,
    ReplicaState, ReplicationLimits, ReplicationList, ReplicationQuery,
};
use foghorn_types::{
    BitRate, ByteCount, ImageId, ParseTimetableError, Role, StorageGroupId, Timestamp, Timetable,
};

use super::cold;
use super::error::Refused;
use super::input::{Body, Query};
use super::names::image_name;
use super::nodes::node_view;
use crate::agents::contents::Unverified;
use crate::agents::replicas::CopyReport;
use crate::api::routes::{Routes, get, post};
use crate::app::replication::steps::{self, SteerError};
use crate::app::replication::{orders, view};
use crate::ctx::Ctx;
use crate::state::classes::{StorageGroup, StorageNode};
use crate::state::replica::{LimitOf, ReplicaLimit};
use crate::state::{Refusal, Tables};

pub(super) fn routes() -> Routes<Arc<Ctx>> {
    Routes::new()
        .add(
            get("/foghorn/v1/replication", list)
                .needs(Role::ReadOnly)
                .named(
                    "images",
                    "replication",
                    "List images on storage nodes, and how they get there",
                )
                .about(
                    "Of the present content of each image: kept versions are not copied further.",
                )
                .query::<ReplicationQuery>()
                .gives::<ReplicationList>(200, "By image and node."),
        )
        .add(
            post("/foghorn/v1/replication/stop", stop)
                .needs(Role::Administrator)
                .named(
                    "images",
                    "stop_replication",
                    "Stop copying an image to a storage node",
                )
                .about("What was copied stays there. No other copy begins until it is started.")
                .rehearses()
                .takes::<ReplicaRequest>()
                .gives_nothing(204, "It is stopped.")
                .refuses(&[404]),
        )
        .add(
            post("/foghorn/v1/replication/start", start)
                .needs(Role::Administrator)
                .named(
                    "images",
                    "start_replication",
                    "Copy an image that was stopped, or that waits after a failure",
                )
                .rehearses()
                .takes::<ReplicaRequest>()
                .gives_nothing(204, "It begins as soon as there is room for it.")
                .refuses(&[404]),
        )
        .add(
            get("/foghorn/v1/replication/limits", limits)
                .needs(Role::ReadOnly)
                .named(
                    "nodes",
                    "replication_limits",
                    "List how fast storage nodes may copy images",
                )
                .gives::<ReplicationLimits>(200, "Groups, then nodes."),
        )
        .add(
            post("/foghorn/v1/replication/limits", set_limit)
                .needs(Role::Administrator)
                .named(
                    "nodes",
                    "limit_replication",
                    "Limit how fast storage nodes copy images",
                )
                .about("It takes effect within seconds, also on copies that are under way.")
                .rehearses()
                .takes::<LimitRequest>()
                .gives_nothing(204, "It is stored.")
                .refuses(&[404]),
        )
}

async fn list(
    State(ctx): State<Arc<Ctx>>,
    Query(asked): Query<ReplicationQuery>,
) -> Json<ReplicationList> {
    let replicas = found(&ctx, asked.image);
    Json(ReplicationList { replicas })
}

/// How an image is on storage nodes.
pub(super) fn of_image(ctx: &Ctx, image: ImageId) -> Vec<Replica> {
    found(ctx, Some(image))
}

fn found(ctx: &Ctx, of: Option<ImageId>) -> Vec<Replica> {
    let found = view::list(ctx, of);
    let live = ctx.live.nodes();
    let cold = |one: &view::Replica| {
        let cold = live.get(&one.node)?.cold.as_ref()?;
        cold.images.get(&(one.image, one.manifest)).map(cold::view)
    };
    ctx.state.read(|tables| {
        let one = |one: view::Replica| Replica {
            cold: cold(&one),
            ..shown(tables, one)
        };
        found.into_iter().map(one).collect()
    })
}

/// How many of each state there are, for metrics.
pub(super) fn counts(ctx: &Ctx) -> BTreeMap<&'static str, usize> {
    let states = [
        ReplicaState::Missing,
        ReplicaState::Copying,
        ReplicaState::Ready,
        ReplicaState::Verifying,
        ReplicaState::Damaged,
        ReplicaState::Failed,
        ReplicaState::Stopped,
    ];
    let mut counts: BTreeMap<_, _> = states.iter().map(|state| (state.as_str(), 0)).collect();
    for replica in view::list(ctx, None) {
        *counts.entry(state(replica.state).as_str()).or_default() += 1;
    }
    counts
}

fn shown(tables: &Tables, replica: view::Replica) -> Replica {
    Replica {
        image: image_name(tables, replica.image),
        node: node_view(tables, replica.node),
        manifest: replica.manifest,
        state: state(replica.state),
        wanted: replica.is_wanted,
        reason: replica.reason,
        progress: replica
            .report
            .map(progress)
            .or(replica.verifying.map(verifying)),
        cold: None,
        retry: replica.retry_at.map(|at| at.to_string()),
    }
}

fn state(state: view::ReplicaState) -> ReplicaState {
    match state {
        view::ReplicaState::Missing => ReplicaState::Missing,
        view::ReplicaState::Copying => ReplicaState::Copying,
        view::ReplicaState::Ready => ReplicaState::Ready,
        view::ReplicaState::Verifying => ReplicaState::Verifying,
        view::ReplicaState::Damaged => ReplicaState::Damaged,
        view::ReplicaState::Failed => ReplicaState::Failed,
        view::ReplicaState::Stopped => ReplicaState::Stopped,
    }
}

fn progress(report: CopyReport) -> ReplicaProgress {
    ReplicaProgress {
        verified: report.chunks_verified,
        total: Some(report.chunks_total).filter(|total| *total > 0),
        fetched: report.chunks_fetched,
        bytes: report.bytes_fetched,
        rate: report.rate,
        source: Some(report.source).filter(|source| !source.is_empty()),
    }
}

/// Of what is there and is verified again.
fn verifying(unverified: Unverified) -> ReplicaProgress {
    ReplicaProgress {
        verified: unverified.verified,
        total: Some(unverified.total),
        fetched: 0,
        bytes: ByteCount::ZERO,
        rate: ByteCount::ZERO,
        source: None,
    }
}

async fn stop(
    State(ctx): State<Arc<Ctx>>,
    Body(body): Body<ReplicaRequest>,
) -> Result<StatusCode, Refused> {
    steps::stop(&ctx.state, body.image, body.node, Timestamp::now()).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn start(
    State(ctx): State<Arc<Ctx>>,
    Body(body): Body<ReplicaRequest>,
) -> Result<StatusCode, Refused> {
    steps::start(&ctx.state, body.image, body.node).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn limits(State(ctx): State<Arc<Ctx>>) -> Json<ReplicationLimits> {
    let now = Timestamp::now();
    Json(ctx.state.read(|tables| {
        let groups = tables.replica_limits().iter().filter_map(|limit| {
            let LimitOf::Group(group) = limit.of else {
                return None;
            };
            Some(GroupLimit {
                group: group_view(tables, group)?,
                timetable: limit.timetable.clone(),
            })
        });
        let nodes = tables.storage_nodes().iter().filter_map(|row| {
            let id = row.key()?;
            let own = tables.replica_limits().get(&LimitOf::Node(id));
            let rate = orders::limit(tables, id, now);
            Some(NodeLimit {
                node: node_view(tables, id),
                timetable: own.map(|own| own.timetable.clone()),
                now: rate
                    .map(BitRate::bytes_per_second)
                    .map(ByteCount::from_bytes),
            })
        });
        ReplicationLimits {
            groups: groups.collect(),
            nodes: nodes.collect(),
        }
    }))
}

/// `None` for a group that was deleted.
fn group_view(tables: &Tables, id: StorageGroupId) -> Option<Named<StorageGroupId>> {
    let row = tables.of::<StorageGroup>().get(id.get())?;
    Some(Named {
        id,
        name: row.name.clone(),
    })
}

async fn set_limit(
    State(ctx): State<Arc<Ctx>>,
    Body(body): Body<LimitRequest>,
) -> Result<StatusCode, Refused> {
    let bad = |field, why: &str| Refused::field(StatusCode::BAD_REQUEST, field, why);
    let of = match (body.node, body.group) {
        (Some(node), None) => LimitOf::Node(node),
        (None, Some(group)) => LimitOf::Group(group),
        (None, None) => return Err(bad("node", "one of node and group is required")),
        (Some(_), Some(_)) => return Err(bad("group", "cannot be given with node")),
    };
    if let Some(text) = &body.timetable {
        let wrong = |error: &ParseTimetableError| bad("timetable", &error.to_string());
        text.parse::<Timetable>().map_err(|error| wrong(&error))?;
    }
    let is_there = ctx
        .state
        .write::<_, Refusal>(|draft| {
            let is_there = match of {
                LimitOf::Node(node) => draft.tables().of::<StorageNode>().get(node.get()).is_some(),
                LimitOf::Group(group) => draft
                    .tables()
                    .of::<StorageGroup>()
                    .get(group.get())
                    .is_some(),
            };
            match &body.timetable {
                _ if !is_there => {}
                Some(timetable) => draft.store(&ReplicaLimit {
                    of,
                    timetable: timetable.trim().to_owned(),
                    modified: 0,
                }),
                None => draft.forget::<ReplicaLimit>(&of),
            }
            Ok(is_there)
        })
        .await?;
    match (is_there, of) {
        (true, _) => Ok(StatusCode::NO_CONTENT),
        (false, LimitOf::Node(node)) => Err(Refused::not_found("storage node", node)),
        (false, LimitOf::Group(group)) => Err(Refused::not_found("storage group", group)),
    }
}

impl From<SteerError> for Refused {
    fn from(error: SteerError) -> Self {
        match error {
            SteerError::NoCopy { .. } => Self::new(StatusCode::NOT_FOUND, error.to_string()),
            SteerError::State(refusal) => refusal.into(),
        }
    }
}
