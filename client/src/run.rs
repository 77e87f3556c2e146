//! One run of the client: check in, choose the disk, do the task, tell everybody how it ended.

use std::sync::Arc;

use bytes::Bytes;
use foghorn_proto::http::{Order, OrderKind};
use foghorn_transport::{ClientOutcome, Hello, SessionKind};
use foghorn_types::{Complaint, DiskPart, TaskId, chain};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::args::{RunConfig, Ticket};
use crate::capture::{CaptureError, CaptureOptions, capture};
use crate::check_in::code::exchange_code;
use crate::check_in::{CheckInError, CheckedIn, Desk, SOFTWARE};
use crate::deploy::{DeployError, DeployOptions, deploy};
use crate::disk::select::{LeftOut, Selected};
use crate::display::{self, What};
use crate::exit::Exit;
use crate::identity::{IdentityError, Wish};
use crate::link::{DEFAULT_PATIENCE, LinkConfig, LinkError, TaskLink, sources_of};
use crate::partitions::PartitionsError;
use crate::progress::Progress;
use crate::ready::{self, NotReadyError, Ready};
use crate::report::RunReport;

#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("could not check in")]
    CheckIn(#[from] CheckInError),
    #[error("the order names no storage node")]
    NoSource,
    #[error("the task has not begun and still waits, and the boot token is still good")]
    NotReady(#[source] NotReadyError),
    #[error("the task was changed while this machine waited for it")]
    Changed(#[source] NotReadyError),
    #[error(transparent)]
    Partitions(#[from] PartitionsError),
    #[error("the deploy failed")]
    Deploy(#[from] DeployError),
    #[error("nothing was written: the machine is to get an identity, and cannot")]
    NoIdentity(#[source] IdentityError),
    #[error(
        "the disk was written and verified, but it has no identity of the machine: deploy it again, or start it and enrol there (foghorn-host enrol, with the token of foghorn host token)"
    )]
    Identity(#[source] IdentityError),
    #[error("the capture failed")]
    Capture(#[from] CaptureError),
    #[error("the work is done, but the controller has not recorded it")]
    Finish(#[source] LinkError),
    #[error("a thread panicked")]
    Panicked(#[source] tokio::task::JoinError),
}

impl RunError {
    /// What people at the machine can do about it.
    #[must_use]
    pub fn advice(&self) -> Option<String> {
        match self {
            Self::CheckIn(error) => error.advice(),
            Self::Deploy(DeployError::Link(LinkError::Blocked { .. }))
            | Self::Capture(CaptureError::Link(LinkError::Blocked { .. })) => Some(
                "open the UDP port of the storage node (7472) in the firewalls of the node and between it and this machine; `foghorn doctor` tests it from where it runs".to_owned(),
            ),
            Self::Identity(error) => error.advice(),
            _ => None,
        }
    }

    /// The exit code that says the same.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::CheckIn(CheckInError::NoTask { .. }) => Exit::NoTask,
            Self::CheckIn(
                CheckInError::Refused { .. }
                | CheckInError::Unusable { .. }
                | CheckInError::OtherAuthority { .. }
                | CheckInError::WrongCode { .. }
                | CheckInError::Code { .. }
                | CheckInError::PlainHttp(_),
            ) => Exit::Refused,
            Self::CheckIn(CheckInError::Url(_) | CheckInError::OtherTask { .. }) => Exit::Usage,
            Self::CheckIn(CheckInError::Stopped) => Exit::Cancelled,
            Self::NotReady(_) | Self::Changed(_) | Self::Partitions(_) | Self::NoIdentity(_) => {
                Exit::Refused
            }
            Self::Identity(error) if error.is_stop() => Exit::Cancelled,
            Self::Deploy(DeployError::Cancelled { .. } | DeployError::Link(LinkError::Stopped)) => {
                Exit::Cancelled
            }
            Self::Capture(
                CaptureError::Cancelled { .. } | CaptureError::Link(LinkError::Stopped),
            ) => Exit::Cancelled,
            Self::Deploy(error) if error.is_refusal() => Exit::Refused,
            Self::Capture(error) if error.is_refusal() => Exit::Refused,
            _ => Exit::Failed,
        }
    }
}

/// Does the task of this machine. Prints progress and the outcome to standard error, writes the
/// report if one is wanted. `stop` ends it promptly.
pub async fn run(config: RunConfig, stop: CancellationToken) -> Exit {
    let mut progress = Arc::new(Progress::default());
    let mut task = None;
    let result = async {
        let (checked_in, ready) = wait_for_order(&config, &stop).await?;
        progress = Arc::new(Progress::default());
        let order = &checked_in.order;
        task = Some(what(order.kind));
        let span = tracing::info_span!("run", host = %checked_in.host, task = %order.task,
            image = %order.image);
        if let Some(traceparent) = &order.traceparent {
            foghorn_telemetry::set_parent(&span, traceparent);
        }
        carry_out(&config, &checked_in, ready, progress.clone(), stop)
            .instrument(span)
            .await
    }
    .await;
    let exit = result.as_ref().err().map_or(Exit::Done, RunError::exit);
    match &result {
        Ok(()) => display::line(&display::summary(
            task.unwrap_or(What::Deploy),
            &progress.snapshot(),
        )),
        Err(error) => display::failure(error, error.advice().as_deref()),
    }
    if let Some(path) = &config.report {
        let error = result
            .as_ref()
            .err()
            .map(|error| error as &(dyn std::error::Error + 'static));
        let report = RunReport::new(task.map(What::word), exit, error, &progress);
        if let Err(error) = report.write(path) {
            let what = format!("could not write the report {}", path.display());
            display::line(&Complaint::new(what, Some(&error)).line());
        }
    }
    exit
}

/// Looks at the task, checks this machine, and only then spends the token.
fn begin(config: &RunConfig, stop: &CancellationToken) -> Result<(CheckedIn, Ready), RunError> {
    let token = match &config.ticket {
        Ticket::Token(token) => token.clone(),
        Ticket::Code(code) => exchange_code(&config.typed(code), stop)?,
    };
    let with = config.check_in(token);
    let desk = Desk::find(&with, stop)?;
    let ready = ready::check(config, &desk.look()?).map_err(RunError::NotReady)?;
    Ok((desk.check_in()?, ready))
}

async fn wait_for_order(
    config: &RunConfig,
    stop: &CancellationToken,
) -> Result<(CheckedIn, Ready), RunError> {
    let (config, stop_waiting) = (config.clone(), stop.clone());
    let waiting = tokio::task::spawn_blocking(move || begin(&config, &stop_waiting));
    tokio::select! {
        // An exchange under way cannot be interrupted; the thread notices at its end, and nobody waits for it.
        () = stop.cancelled() => Err(CheckInError::Stopped.into()),
        begun = waiting => begun.map_err(RunError::Panicked)?,
    }
}

fn what(kind: OrderKind) -> What {
    match kind.manifest() {
        Some(_) => What::Deploy,
        None => What::Capture,
    }
}

/// What the order is about, for the people at the machine: "deploy of partition 2 of image lab".
fn subject(order: &Order) -> String {
    let (what, image) = (what(order.kind).word(), &order.image_name);
    let raw = if order.kind.is_raw() { "raw " } else { "" };
    match order.kind.part() {
        _ if order.kind.is_of_disks() => format!("{what} of disks for image {image}"),
        DiskPart::Everything => format!("{raw}{what} of image {image}"),
        part => format!("{raw}{what} of {part} for image {image}"),
    }
}

async fn carry_out(
    config: &RunConfig,
    checked_in: &CheckedIn,
    ready: Ready,
    progress: Arc<Progress>,
    stop: CancellationToken,
) -> Result<(), RunError> {
    let order = &checked_in.order;
    display::line(&format!("{} on {}", subject(order), checked_in.host_name));
    let mut link = new_link(checked_in, stop.clone())?;
    let (over, until) = oneshot::channel();
    let showing = tokio::spawn(display::show(what(order.kind), progress.clone(), until));
    let stopped = stop.clone();
    let result = transfer(config, checked_in, ready, &mut link, progress, stop).await;
    // Nobody shows anything any more if that task has panicked, which is found below.
    let _ = over.send(result.is_ok());
    showing.await.map_err(RunError::Panicked)?;
    match result {
        Ok(None) => link
            .finish(ClientOutcome::Complete)
            .await
            .map_err(RunError::Finish),
        Ok(Some(manifest)) => link
            .finish_capture(manifest)
            .await
            .map_err(RunError::Finish),
        Err(error) => {
            // Who cancelled the task knows; only what happened here is news to the agent.
            if error.exit() == Exit::Cancelled && !stopped.is_cancelled() {
                tracing::info!(task = %order.task, reason = %chain(&error), "the task was cancelled");
            } else {
                tell_failure(&mut link, &error, order.task).await;
            }
            Err(error)
        }
    }
}

/// Tells the agent why the task failed, if that still helps; the exit code does not depend on it.
async fn tell_failure(link: &mut TaskLink, error: &RunError, task: TaskId) {
    let is_known = error.exit() == Exit::Cancelled
        || matches!(
            error,
            RunError::Deploy(DeployError::Link(
                LinkError::Blocked { .. } | LinkError::Ended { .. }
            )) | RunError::Capture(CaptureError::Link(
                LinkError::Blocked { .. } | LinkError::Ended { .. }
            ))
        );
    if is_known && !link.is_connected() {
        return;
    }
    let told = link.finish(ClientOutcome::Failed {
        reason: chain(error).to_string(),
    });
    match tokio::time::timeout(std::time::Duration::from_secs(20), told).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::warn!(%task, error = %chain(&error), "could not report the failure")
        }
        Err(_) => tracing::warn!(%task, "could not report the failure in time"),
    }
}

fn new_link(checked_in: &CheckedIn, stop: CancellationToken) -> Result<TaskLink, RunError> {
    let order = &checked_in.order;
    let sources = sources_of(order, &checked_in.contact);
    if sources.is_empty() {
        return Err(RunError::NoSource);
    }
    let kind = match order.kind.manifest() {
        Some(manifest) => SessionKind::Deploy { manifest },
        None => SessionKind::Capture,
    };
    let hello = Hello {
        task: order.task,
        software: SOFTWARE.to_owned(),
        traceparent: foghorn_telemetry::current_traceparent().unwrap_or_default(),
    };
    let identity = checked_in.identity.clone();
    Ok(TaskLink::new(
        LinkConfig {
            sources,
            identity,
            hello,
            kind,
            patience: DEFAULT_PATIENCE,
        },
        stop,
    )
    .telling(checked_in.contact.clone()))
}

/// Does the work; returns the encoded manifest of a capture.
async fn transfer(
    config: &RunConfig,
    checked_in: &CheckedIn,
    ready: Ready,
    link: &mut TaskLink,
    progress: Arc<Progress>,
    stop: CancellationToken,
) -> Result<Option<Bytes>, RunError> {
    let order = &checked_in.order;
    let (with, of) = (config.clone(), order.clone());
    let selected = tokio::task::spawn_blocking(move || ready.for_order(&with, &of));
    let Selected { disks, left_out } = selected
        .await
        .map_err(RunError::Panicked)?
        .map_err(RunError::Changed)?;
    for disk in &left_out {
        display::line(&format!("not selected: {disk}"));
    }
    match order.kind.manifest() {
        Some(manifest) => {
            let options = DeployOptions {
                manifest,
                part: order.kind.part(),
                state_dir: config.state_dir.clone(),
            };
            let server = checked_in.contact.server();
            let wish = order.machine_token.as_ref().map(|token| {
                let wish = Wish::new(token, server, &disks, options.part);
                wish.map_err(RunError::NoIdentity)
            });
            let wish = wish.transpose()?;
            deploy(disks, link, &options, progress, stop.clone()).await?;
            if let Some(wish) = wish {
                put_identity(wish, stop).await?;
            }
            Ok(None)
        }
        None => {
            let options = CaptureOptions {
                surveys: ready::surveys(
                    config,
                    order.kind.is_raw(),
                    order.kind.part(),
                    disks.count(),
                )?,
                left_out: left_out.iter().filter_map(of_interest).collect(),
            };
            let captured = capture(disks, link, options, progress, stop).await?;
            tracing::info!(manifest = %captured.manifest, "captured");
            Ok(Some(captured.encoded))
        }
    }
}

/// The last step of a deploy whose order asks for it; the disk is whole already.
async fn put_identity(wish: Wish, stop: CancellationToken) -> Result<(), RunError> {
    display::line("the disk is written; the machine gets its identity");
    let enrolled = wish.grant(stop).await.map_err(RunError::Identity)?;
    display::line(&format!(
        "the identity is on the disk: device {} of {}",
        enrolled.uuid, enrolled.factory
    ));
    Ok(())
}

/// A drive that an image of all disks lacks: a stick in the machine is no loss.
fn of_interest(left_out: &LeftOut) -> Option<String> {
    (left_out.why != "removable").then(|| format!("not captured, because {left_out}"))
}
