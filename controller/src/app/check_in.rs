//! Check-in: authenticates the machine to be imaged and returns its order.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use foghorn_lifecycle::{Effect, Outcome, TaskEvent, TaskState, TransitionError};
use foghorn_proto::http::{
    BOOT_PREFIX, CheckInRequest, CheckInResponse, IS_COMPLETE, LookRequest, LookResponse,
    NeededDisk, OptionsFor, Order, OrderKind, Source,
};
use foghorn_types::{Digest, HostId, ImageId, MacAddress, NodeName, TaskId, Timestamp, chain};
use tracing::{debug, info};

use super::claim::{self, Claim};
use super::one_time::{self, TokenError};
use super::{inventory, orders, sites, versions};
use crate::agents::health::Health;
use crate::agents::live::NodeLive;
use crate::app::devices::identity;
use crate::app::moves::{self, MoveError, apply_event_with};
use crate::ctx::Ctx;
use crate::state::classes::mac_address_association::mac_key;
use crate::state::classes::{Host, Image, MacAddressAssociation};
use crate::state::enrolment::{Answered, OneTimeToken, Purpose};
use crate::state::run::{Run, RunKind};
use crate::state::shelf::Record as _;
use crate::state::{Draft, Refusal, Tables};
use crate::trust::{IssueError, key_of_request};

/// A token as it is returned, once.
#[derive(Clone, Debug)]
pub struct BootToken {
    pub text: String,
    pub task: TaskId,
    pub expires: Timestamp,
}

/// Why no boot token was created.
#[derive(Debug, thiserror::Error)]
pub enum BootTokenError {
    #[error("host {0} does not exist")]
    NoSuchHost(HostId),
    #[error("host {0} has no active imaging task")]
    NoTask(HostId),
    #[error("could not store the token")]
    State(#[from] Refusal),
}

/// Why a client may not check in.
#[derive(Debug, thiserror::Error)]
pub enum CheckInError {
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error("{mac} is not a MAC address of the host of this token")]
    WrongMac { mac: MacAddress },
    #[error("the task has ended: {reason}")]
    Ended { reason: String },
    #[error(
        "task {task} is a {kind}, and the options of the client are for a {wanted}",
        kind = kind.word(), wanted = wanted.word()
    )]
    OtherKind {
        task: TaskId,
        kind: OptionsFor,
        wanted: OptionsFor,
    },
    #[error("the certificate request is invalid")]
    Request(#[source] IssueError),
    #[error("could not issue a certificate")]
    Issue(#[source] IssueError),
    #[error("the task waits, because of what its image is now")]
    Image(#[source] Refusal),
    #[error(
        "the machine is to get an identity at its deploy, and this controller has no gateway of devices: set dialects.foundries.gateway, or switch identity off for the image and the host"
    )]
    NoGateway,
    #[error("could not store the check-in")]
    State(#[from] Refusal),
}

/// A token for the host's active imaging task, valid for `ttl` or until the task's deadline.
/// Further tokens may be created for the same task; each can be used once.
///
/// # Errors
/// See [`BootTokenError`].
pub async fn boot_token(
    ctx: &Ctx,
    host: HostId,
    ttl: Duration,
) -> Result<BootToken, BootTokenError> {
    let secret = one_time::secret();
    let made = ctx.state.write(|draft| {
        let tables = draft.tables();
        if tables.of::<Host>().get(host.get()).is_none() {
            return Err(BootTokenError::NoSuchHost(host));
        }
        let Some(run) = tables.runs().active().find(|run| run.host == host) else {
            return Err(BootTokenError::NoTask(host));
        };
        draft.require(run.unchanged());
        let expires = (Timestamp::now() + ttl).min(run.deadline());
        let token = OneTimeToken::new(
            &secret,
            Purpose::Boot {
                host,
                task: run.task,
            },
            expires,
        );
        draft.replace(&token);
        Ok((run.task, expires))
    });
    let (task, expires) = made.await?;
    if foghorn_faults::lost!("controller.boot-token.stored") {
        return Err(Refusal::Lagging.into());
    }
    info!(%host, %task, %expires, "boot token created");
    Ok(BootToken {
        text: one_time::text(&ctx.trust, BOOT_PREFIX, secret),
        task,
        expires,
    })
}

/// What a machine must have for the task behind a boot token. Writes nothing: the token stays as
/// it is.
///
/// # Errors
/// As [`check_in`] for the same token.
pub fn look(ctx: &Ctx, request: &LookRequest) -> Result<LookResponse, CheckInError> {
    let claim = claim::find(ctx, &request.boot_token, request.mac, None)?;
    ctx.state.read(|tables| {
        let run = run_for(tables, &claim.token, request.mac, request.options_for)?;
        refuse_without_gateway(ctx, tables, &run)?;
        Ok(LookResponse {
            task: run.task,
            host_name: host_name(tables, run.host),
            image_name: image_name(tables, run.image),
            kind: kind(&run),
            part: run.scope.part,
            // How many disks an image of an older controller has may not be known.
            several: kind(&run) == OptionsFor::Deploy || run.scope.several,
            disk_rule: disk_rule(tables, run.host),
            needs: needs(tables, &run),
        })
    })
}

/// The disks that a deploy of a whole image needs.
fn needs(tables: &Tables, run: &Run) -> Vec<NeededDisk> {
    match run.kind {
        RunKind::Deploy { .. } if run.scope.part.is_everything() => {
            let content = versions::content_of(tables, run);
            content.map(|content| content.needs()).unwrap_or_default()
        }
        _ => Vec::new(),
    }
}

/// Redeems a boot token and returns a certificate and, if a node is already assigned, the order.
///
/// # Errors
/// See [`CheckInError`]; the token is used up only by a success. The answer to a success may be
/// lost: the same token with the same key gets the same answer within a few minutes, unless
/// another client has checked in for the task since.
pub async fn check_in(
    ctx: &Ctx,
    request: &CheckInRequest,
    from: Option<IpAddr>,
) -> Result<CheckInResponse, CheckInError> {
    let key = key_of_request(&request.csr_pem).map_err(CheckInError::Request)?;
    match first_check_in(ctx, request, &key, from).await {
        // Also of two requests at once with the same key.
        Err(CheckInError::Token(TokenError::Used)) => {
            let claim = claim::find(ctx, &request.boot_token, request.mac, Some(&key))?;
            let (answer, node) = ctx.state.read(|tables| {
                let answer = answer_again(ctx, tables, &claim, request)?;
                let run = tables.runs().get(&answer.task);
                Ok::<_, CheckInError>((answer, run.and_then(|run| run.node())))
            })?;
            // Whoever hung up during the first request may have ended it before the node was told.
            if let Some(node) = node
                && let Err(refused) = orders::tell_admit(ctx, answer.task, node)
            {
                debug!(%node, task = %answer.task, error = %chain(&refused),
                    "the client is admitted when the node connects again");
            }
            Ok(answer)
        }
        other => other,
    }
}

/// The answer that the token has brought before.
fn answer_again(
    ctx: &Ctx,
    tables: &Tables,
    claim: &Claim,
    request: &CheckInRequest,
) -> Result<CheckInResponse, CheckInError> {
    let run = run_for(tables, &claim.token, request.mac, request.options_for)?;
    let answer = claim.token.answer.as_ref().ok_or(TokenError::Used)?;
    let session = answer.session(&claim.secret);
    if run.client_session != Some(hash_of(&session)) {
        return Err(TokenError::Used.into());
    }
    info!(host = %run.host, task = %run.task, "client checked in again: the answer may have been lost");
    Ok(answer_for(ctx, tables, &run, answer, session))
}

fn answer_for(
    ctx: &Ctx,
    tables: &Tables,
    run: &Run,
    answer: &Answered,
    session: String,
) -> CheckInResponse {
    let order = order(ctx, tables, run, &session);
    CheckInResponse {
        host: run.host,
        host_name: host_name(tables, run.host),
        task: run.task,
        chain_pem: answer.chain_pem.clone(),
        session,
        order,
    }
}

async fn first_check_in(
    ctx: &Ctx,
    request: &CheckInRequest,
    key: &str,
    from: Option<IpAddr>,
) -> Result<CheckInResponse, CheckInError> {
    let Claim { token, secret } = claim::find(ctx, &request.boot_token, request.mac, None)?;
    let run = ctx.state.read(|tables| {
        let run = run_for(tables, &token, request.mac, request.options_for)?;
        refuse_without_gateway(ctx, tables, &run)?;
        Ok::<_, CheckInError>(run)
    })?;
    let (host, task, now) = (run.host, run.task, Timestamp::now());
    let lifetime = run
        .deadline()
        .since(now)
        .min(ctx.settings.client_certificate_lifetime);
    let issued = ctx
        .trust
        .issue_client(host, task, &request.csr_pem, lifetime)
        .map_err(|error| {
            if error.is_bad_request() {
                CheckInError::Request(error)
            } else {
                CheckInError::Issue(error)
            }
        })?;

    let mut left = Vec::new();
    let answer = Answered {
        salt: one_time::secret(),
        chain_pem: issued.chain_pem.clone(),
    };
    let session = answer.session(&secret);
    foghorn_faults::wait!("controller.check-in.before");
    let moved = apply_event_with(ctx, task, TaskEvent::ClientCheckedIn, |run, draft| {
        left = settle_image(ctx, draft, run).map_err(CheckInError::Image)?;
        left.extend(sites::settle(draft, run, from));
        one_time::spend(draft, &token, Timestamp::now(), Some((key, &answer)))?;
        run.client_fingerprint = Some(issued.fingerprint());
        run.client_session = Some(hash_of(&session));
        identity::give(draft, run, &session, now)?;
        if let Some(hardware) = &request.hardware {
            inventory::record(draft, host, hardware, Timestamp::now())?;
        }
        Ok::<_, CheckInError>(())
    });
    let moved = moved.await?;
    if foghorn_faults::lost!("controller.check-in.stored") {
        return Err(Refusal::Lagging.into());
    }
    moves::perform(ctx, &moved.run, &left);
    info!(%host, %task, software = request.software, "client checked in");
    ctx.live.forget_transfer(task);
    Ok(ctx
        .state
        .read(|tables| answer_for(ctx, tables, &moved.run, &answer, session)))
}

fn hash_of(session: &str) -> Digest {
    *blake3::hash(session.as_bytes()).as_bytes()
}

/// The run that a boot token is for, if a client with this address and these options may begin it.
fn run_for(
    tables: &Tables,
    token: &OneTimeToken,
    mac: MacAddress,
    options_for: Option<OptionsFor>,
) -> Result<Arc<Run>, CheckInError> {
    let Purpose::Boot { host, task } = token.purpose else {
        return Err(TokenError::Unknown.into());
    };
    let mut rows = tables
        .of::<MacAddressAssociation>()
        .by(MacAddressAssociation::BY_MAC, mac_key(mac));
    if !rows.any(|row| row.host == host.get() && !row.pending.is_yes()) {
        return Err(CheckInError::WrongMac { mac });
    }
    let run = tables
        .runs()
        .get(&task)
        .ok_or_else(|| CheckInError::Ended {
            reason: "it was deleted".to_owned(),
        })?;
    if let Some(reason) = ended_because(run) {
        return Err(CheckInError::Ended { reason });
    }
    refuse_other_kind(run, options_for)?;
    Ok(run.clone())
}

/// The disk would be written, and the deploy fail at its end.
fn refuse_without_gateway(ctx: &Ctx, tables: &Tables, run: &Run) -> Result<(), CheckInError> {
    match ctx.settings.gateway_address {
        None if identity::is_wanted(tables, run) => Err(CheckInError::NoGateway),
        _ => Ok(()),
    }
}

fn kind(run: &Run) -> OptionsFor {
    match run.kind {
        RunKind::Deploy { .. } => OptionsFor::Deploy,
        RunKind::Capture => OptionsFor::Capture,
    }
}

/// What depends on the image at the moment when the machine comes: a deploy gets its version, a
/// capture is refused if the image has been protected. A node that does not hold the version gives
/// the task back; returned is what that means for it.
fn settle_image(ctx: &Ctx, draft: &mut Draft<'_>, run: &mut Run) -> Result<Vec<Effect>, Refusal> {
    versions::refuse_protected(draft, run)?;
    versions::fix(draft, run)?;
    versions::refuse_damaged_run(draft.tables(), &Health::now(&ctx.live), run)?;
    let lacking = run
        .node()
        .filter(|node| !versions::holds(draft.tables(), &ctx.live, *node, run));
    let Some(node) = lacking.filter(|_| run.life.started().is_none()) else {
        return Ok(Vec::new());
    };
    let left = run
        .life
        .apply(Timestamp::now(), TaskEvent::NodeLacks { node });
    // It stays with the node where that is not possible, and waits.
    Ok(left.unwrap_or_default())
}

/// Options that would have no effect on the task.
fn refuse_other_kind(run: &Run, options_for: Option<OptionsFor>) -> Result<(), CheckInError> {
    let (task, kind) = (run.task, kind(run));
    match options_for.filter(|&wanted| wanted != kind) {
        Some(wanted) => Err(CheckInError::OtherKind { task, kind, wanted }),
        None => Ok(()),
    }
}

fn host_name(tables: &Tables, host: HostId) -> String {
    let row = tables.of::<Host>().get(host.get());
    row.map(|row| row.name.clone()).unwrap_or_default()
}

fn image_name(tables: &Tables, image: ImageId) -> String {
    let row = tables.of::<Image>().get(image.get());
    row.map(|row| row.name.clone()).unwrap_or_default()
}

fn disk_rule(tables: &Tables, host: HostId) -> Option<String> {
    let row = tables.of::<Host>().get(host.get());
    row.map(|row| row.kernel_device.clone())
        .filter(|rule| !rule.is_empty())
}

impl From<MoveError> for CheckInError {
    fn from(error: MoveError) -> Self {
        match error {
            MoveError::State(refusal) => refusal.into(),
            MoveError::NoSuchTask(_) => Self::Ended {
                reason: "it was deleted".to_owned(),
            },
            MoveError::Transition(TransitionError::AlreadyEnded) => Self::Ended {
                reason: "just now".to_owned(),
            },
            MoveError::Transition(other) => Self::Ended {
                reason: other.to_string(),
            },
        }
    }
}

/// Why the task has ended; `None` while it has not.
#[must_use]
pub fn ended_because(run: &Run) -> Option<String> {
    match run.life.state() {
        TaskState::Finished {
            outcome: Outcome::Complete,
            ..
        } => Some(IS_COMPLETE.to_owned()),
        TaskState::Finished {
            outcome: Outcome::Failed { reason, .. } | Outcome::Cancelled { reason },
            ..
        } => Some(reason.clone()),
        _ => None,
    }
}

/// A source for every address of the node, best first.
pub(super) fn sources(live: &NodeLive, name: &NodeName) -> Vec<Source> {
    let source = |address| Source {
        address,
        server_name: name.tls_name(),
    };
    live.addresses().into_iter().map(source).collect()
}

/// The order of a client that has checked in and got this bearer; `None` while no storage node is assigned.
#[must_use]
pub fn order(ctx: &Ctx, tables: &Tables, run: &Run, session: &str) -> Option<Order> {
    let node = run.node()?;
    let live = ctx.live.node(node).filter(NodeLive::is_linked)?;
    let name: &NodeName = &tables.enrolled_nodes().get(&node)?.name;
    let sources = sources(&live, name);
    if sources.is_empty() {
        return None;
    }
    Some(Order {
        task: run.task,
        kind: match run.kind {
            RunKind::Deploy { manifest, .. } => OrderKind::deploy(manifest?, run.scope.part),
            RunKind::Capture if run.scope.several => OrderKind::CaptureDisks,
            RunKind::Capture => OrderKind::capture(run.scope.part, run.scope.raw),
        },
        image: run.image,
        image_name: image_name(tables, run.image),
        sources,
        disk_rule: disk_rule(tables, run.host),
        traceparent: run.traceparent.clone(),
        machine_token: identity::token(ctx, tables, run, session),
    })
}
