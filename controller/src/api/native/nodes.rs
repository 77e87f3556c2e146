//! Storage nodes: the authority, joining, revoking, and the work asked of them.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use foghorn_proto::http::{CA_PATH, ENROL_PATH, EnrolRequest, EnrolResponse};
use foghorn_proto::link::controller_message::Message;
use foghorn_proto::link::{Job, Scrub, Sweep, VerifyImage, job};
use foghorn_rest_types::native::{
    CordonRequest, DamagedChunk, DamagedRecord, JobCreated, JobStatus, JoinTokenRequest,
    JoinTokenResponse, Named, SweepRequest,
};
use foghorn_types::{ImageId, Role, StorageNodeId, Timestamp};

use super::error::Refused;
use super::input::{Body, Id};
use super::names::snapins_of;
use crate::agents::jobs::{JobState, JobWork};
use crate::api::routes::{Routes, get, post};
use crate::app::{enrolment, holds};
use crate::ctx::Ctx;
use crate::state::Tables;
use crate::state::classes::{Image, StorageNode};

const WEEK: u32 = 7 * 24 * 60 * 60;

pub(super) fn routes() -> Routes<Arc<Ctx>> {
    joining().and(holding()).and(work())
}

fn joining() -> Routes<Arc<Ctx>> {
    Routes::new()
        .add(
            get(CA_PATH, authority)
                .open()
                .named("enrolment", "authority", "Show the certificate authority")
                .gives_text(200, CA_CERTIFICATE, "application/x-pem-file"),
        )
        // An agent has no user: it has a join token, or the token of its service account.
        .add(
            post(ENROL_PATH, enrol)
                .open()
                .named("enrolment", "enrol", "Enrol an agent")
                .about(
                    "With a join token, for one node or for many, or with the token of a Kubernetes service \
                     account, where the configuration allows it.",
                )
                .takes::<EnrolRequest>()
                .gives::<EnrolResponse>(200, "The agent's certificate and where to connect.")
                .refuses(&[403, 409]),
        )
        .add(
            post("/foghorn/v1/nodes/join-token", join_token)
                .needs(Role::Administrator)
                .named(
                    "nodes",
                    "join_token",
                    "Create a join token for a storage node",
                )
                .takes::<JoinTokenRequest>()
                .gives::<JoinTokenResponse>(200, "The token, shown once.")
                .refuses(&[404, 409]),
        )
        .add(
            post("/foghorn/v1/nodes/{id}/revoke", revoke)
                .needs(Role::Administrator)
                .named(
                    "nodes",
                    "revoke_node",
                    "Revoke the certificate of a node's agent",
                )
                .rehearses()
                .path::<StorageNodeId>("id", "Id of the node.")
                .gives_nothing(204, "It is revoked.")
                .refuses(&[404]),
        )
}

fn holding() -> Routes<Arc<Ctx>> {
    Routes::new()
        .add(
            post("/foghorn/v1/nodes/{id}/cordon", cordon)
                .needs(Role::Operator)
                .named("nodes", "cordon_node", "Give a storage node no new tasks")
                .about(
                    "What waits there for its machine goes to another node that can serve it; what \
                     runs ends there.",
                )
                .rehearses()
                .path::<StorageNodeId>("id", "Id of the node.")
                .takes::<CordonRequest>()
                .gives_nothing(204, "It is cordoned.")
                .refuses(&[400, 404]),
        )
        .add(
            post("/foghorn/v1/nodes/{id}/uncordon", uncordon)
                .needs(Role::Operator)
                .named("nodes", "uncordon_node", "Give a storage node tasks again")
                .rehearses()
                .path::<StorageNodeId>("id", "Id of the node.")
                .gives_nothing(204, "It is not cordoned any more.")
                .refuses(&[404]),
        )
        .add(
            post("/foghorn/v1/nodes/{id}/readmit", readmit)
                .needs(Role::Administrator)
                .named(
                    "nodes",
                    "readmit_node",
                    "Admit a storage node whose certificate two machines have used",
                )
                .rehearses()
                .path::<StorageNodeId>("id", "Id of the node.")
                .gives_nothing(204, "Its links are taken again.")
                .refuses(&[404]),
        )
}

const CA_CERTIFICATE: &str = "The authority's certificate as PEM. Trust it only after comparing its SHA-256 with the one in a token.";

fn work() -> Routes<Arc<Ctx>> {
    Routes::new()
        .add(
            post("/foghorn/v1/nodes/{id}/scrub", scrub)
                .needs(Role::Operator)
                .named("nodes", "scrub_node", "Check every chunk that a node holds")
                .path::<StorageNodeId>("id", "Id of the node.")
                .gives::<JobCreated>(202, "The job.")
                .refuses(&[404]),
        )
        .add(
            post("/foghorn/v1/nodes/{id}/sweep", sweep)
                .needs(Role::Operator)
                .named(
                    "nodes",
                    "sweep_node",
                    "Remove what no image on a node needs",
                )
                .about(
                    "Nodes also do this by themselves, now and then and when their disk is full.",
                )
                .path::<StorageNodeId>("id", "Id of the node.")
                .takes::<SweepRequest>()
                .gives::<JobCreated>(202, "The job.")
                .refuses(&[400, 404]),
        )
        .add(
            post("/foghorn/v1/images/{id}/verify", verify)
                .needs(Role::Operator)
                .named(
                    "images",
                    "verify_image",
                    "Verify an image on a node that holds it",
                )
                .path::<ImageId>("id", "Id of the image.")
                .gives::<JobCreated>(202, "The job.")
                .refuses(&[404, 409]),
        )
        .add(
            get("/foghorn/v1/jobs/{id}", job)
                .needs(Role::ReadOnly)
                .named("nodes", "job", "Show a job of a storage node")
                .path::<u64>("id", "Id of the job.")
                .gives::<JobStatus>(200, "The job.")
                .refuses(&[404]),
        )
}

/// The time to live that a request asks for.
pub(super) fn ttl(asked: Option<u32>, most: u32, default: Duration) -> Result<Duration, Refused> {
    match asked {
        None => Ok(default),
        Some(seconds) if (1..=most).contains(&seconds) => Ok(Duration::from_secs(seconds.into())),
        Some(_) => Err(Refused::field(
            StatusCode::BAD_REQUEST,
            "ttl_seconds",
            format!("must be between 1 and {most}"),
        )),
    }
}

async fn authority(State(ctx): State<Arc<Ctx>>) -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, "application/x-pem-file")],
        ctx.trust.ca_pem().to_owned(),
    )
}

/// The address of this machine by which the caller has come: it reaches the link there as well.
fn used_address(headers: &HeaderMap) -> Option<IpAddr> {
    let host = headers.get(header::HOST)?.to_str().ok()?;
    let host = match host.parse::<SocketAddr>() {
        Ok(address) => address.ip(),
        Err(_) => host.trim_matches(['[', ']']).parse().ok()?,
    };
    foghorn_reach::own_addresses()
        .contains(&host)
        .then_some(host)
}

async fn enrol(
    State(ctx): State<Arc<Ctx>>,
    headers: HeaderMap,
    Body(request): Body<EnrolRequest>,
) -> Result<Json<EnrolResponse>, Refused> {
    let mut answer = enrolment::enrol(&ctx, &request).await?;
    if let Some(port) = ctx.settings.link_everywhere
        && let Some(address) = used_address(&headers)
    {
        answer.link_address = SocketAddr::new(address, port).to_string();
    }
    Ok(Json(answer))
}

async fn join_token(
    State(ctx): State<Arc<Ctx>>,
    Body(request): Body<JoinTokenRequest>,
) -> Result<Json<JoinTokenResponse>, Refused> {
    let ttl = ttl(request.ttl_seconds, WEEK, ctx.settings.join_token_ttl)?;
    let token = enrolment::join_token(&ctx, &request.name, request.storage_group, ttl).await?;
    Ok(Json(JoinTokenResponse {
        token: token.text,
        node: token.node,
        name: request.name,
        expires: token.expires.to_string(),
    }))
}

async fn revoke(
    State(ctx): State<Arc<Ctx>>,
    Id(node): Id<StorageNodeId>,
) -> Result<StatusCode, Refused> {
    enrolment::revoke(&ctx, node).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Longest reason for a cordon, in characters.
const LONGEST_REASON: usize = 200;

async fn cordon(
    State(ctx): State<Arc<Ctx>>,
    Id(node): Id<StorageNodeId>,
    Body(request): Body<CordonRequest>,
) -> Result<StatusCode, Refused> {
    if request.reason.chars().count() > LONGEST_REASON {
        let why = format!("is longer than {LONGEST_REASON} characters");
        return Err(Refused::field(StatusCode::BAD_REQUEST, "reason", why));
    }
    holds::cordon(&ctx, node, &request.reason).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn uncordon(
    State(ctx): State<Arc<Ctx>>,
    Id(node): Id<StorageNodeId>,
) -> Result<StatusCode, Refused> {
    holds::uncordon(&ctx, node).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn readmit(
    State(ctx): State<Arc<Ctx>>,
    Id(node): Id<StorageNodeId>,
) -> Result<StatusCode, Refused> {
    holds::readmit(&ctx, node).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn must_exist(ctx: &Ctx, node: StorageNodeId) -> Result<(), Refused> {
    let exists = ctx
        .state
        .read(|tables| tables.of::<StorageNode>().get(node.get()).is_some());
    exists
        .then_some(())
        .ok_or_else(|| Refused::not_found("storage node", node))
}

async fn scrub(
    State(ctx): State<Arc<Ctx>>,
    Id(node): Id<StorageNodeId>,
) -> Result<(StatusCode, Json<JobCreated>), Refused> {
    must_exist(&ctx, node)?;
    start(&ctx, node, JobWork::Scrub, job::Work::Scrub(Scrub {}))
}

async fn sweep(
    State(ctx): State<Arc<Ctx>>,
    Id(node): Id<StorageNodeId>,
    Body(request): Body<SweepRequest>,
) -> Result<(StatusCode, Json<JobCreated>), Refused> {
    must_exist(&ctx, node)?;
    let order = Sweep { now: request.now };
    start(&ctx, node, JobWork::Sweep, job::Work::Sweep(order))
}

async fn verify(
    State(ctx): State<Arc<Ctx>>,
    Id(image): Id<ImageId>,
) -> Result<(StatusCode, Json<JobCreated>), Refused> {
    let (exists, content) = ctx.state.read(|tables| {
        (
            tables.of::<Image>().get(image.get()).is_some(),
            tables.contents().get(&image).cloned(),
        )
    });
    if !exists {
        return Err(Refused::not_found("image", image));
    }
    let content = content.ok_or_else(|| {
        Refused::new(
            StatusCode::CONFLICT,
            format!("image {image} has no content: capture it first"),
        )
    })?;
    let online = |node: &&StorageNodeId| ctx.live.node(**node).is_some_and(|live| live.online);
    let node = content
        .nodes
        .iter()
        .find(online)
        .ok_or_else(|| offline("no storage node that holds the image is connected"))?;
    let work = VerifyImage {
        image_id: image.get(),
        manifest_id: content.manifest.as_bytes().to_vec(),
    };
    start(
        &ctx,
        *node,
        JobWork::Verify { image },
        job::Work::Verify(work),
    )
}

fn offline(why: &str) -> Refused {
    Refused::new(StatusCode::SERVICE_UNAVAILABLE, why)
}

fn start(
    ctx: &Ctx,
    node: StorageNodeId,
    work: JobWork,
    order: job::Work,
) -> Result<(StatusCode, Json<JobCreated>), Refused> {
    let job = ctx.jobs.create(node, work, Timestamp::now());
    match ctx.links.send(
        node,
        Message::Job(Job {
            job_id: job,
            work: Some(order),
        }),
    ) {
        Ok(()) => Ok((StatusCode::ACCEPTED, Json(JobCreated { job }))),
        Err(error) => {
            ctx.jobs.forget(job);
            Err(offline(&error.to_string()))
        }
    }
}

/// Of what another controller has done.
const HEARD_WITHIN: std::time::Duration = std::time::Duration::from_secs(1);

async fn job(State(ctx): State<Arc<Ctx>>, Id(job): Id<u64>) -> Result<Json<JobStatus>, Refused> {
    let state = known_job(&ctx, job).await;
    let state = state.ok_or_else(|| Refused::not_found("job", job))?;
    Ok(Json(ctx.state.read(|tables| job_view(tables, state))))
}

/// A job that another controller has ordered in this moment is heard of a little later.
async fn known_job(ctx: &Ctx, job: u64) -> Option<JobState> {
    let until = tokio::time::Instant::now() + HEARD_WITHIN;
    loop {
        let known = ctx.jobs.get(job);
        let is_alone = ctx.peers.heard_by_id().is_empty();
        if known.is_some() || is_alone || tokio::time::Instant::now() > until {
            return known;
        }
        tokio::time::sleep(HEARD_WITHIN / 50).await;
    }
}

fn job_view(tables: &Tables, state: JobState) -> JobStatus {
    let image = |id: ImageId| Named {
        id,
        name: tables
            .of::<Image>()
            .get(id.get())
            .map(|row| row.name.clone())
            .unwrap_or_default(),
    };
    let damaged = state.damaged.into_iter().map(|damage| DamagedChunk {
        chunk: damage.chunk.to_string(),
        problem: damage.problem,
        images: damage.images.into_iter().map(image).collect(),
        snapins: damage
            .files
            .iter()
            .flat_map(|file| snapins_of(tables, *file))
            .collect(),
    });
    let records = state.records.into_iter().map(|damage| DamagedRecord {
        manifest: damage.manifest,
        snapins: damage
            .file
            .map(|file| snapins_of(tables, file))
            .unwrap_or_default(),
        file: damage.file,
        path: Some(damage.path).filter(|path| !path.is_empty()),
        problem: damage.problem,
        images: damage.images.into_iter().map(image).collect(),
    });
    JobStatus {
        damaged_records: records.collect(),
        job: state.job,
        node: node_view(tables, state.node),
        work: match state.work {
            JobWork::Scrub => "scrub",
            JobWork::Sweep => "sweep",
            JobWork::Verify { .. } => "verify",
            JobWork::Drop { .. } => "drop",
            JobWork::Adopt { .. } => "adopt",
        }
        .to_owned(),
        created: state.created.to_string(),
        done: state.done,
        error: state.error,
        chunks_checked: state.chunks_checked,
        chunks_total: state.chunks_total,
        damaged: damaged.collect(),
        freed_bytes: state.freed,
    }
}

pub(super) fn node_view(tables: &Tables, id: StorageNodeId) -> Named<StorageNodeId> {
    Named {
        id,
        name: tables
            .of::<StorageNode>()
            .get(id.get())
            .map(|row| row.name.clone())
            .unwrap_or_default(),
    }
}
