//! The steps of a plan. Each is one transaction, which looks again at everything that it relies on.

use std::sync::Arc;
use std::time::Duration;

use foghorn_lifecycle::{Outcome, TaskState};
use foghorn_types::{HostId, MachineUuid, StorageGroupId, TaskId, TaskTypeId, Timestamp};

use super::plan::{self, Step, Wanted, Work};
use super::snapshot;
use super::told::{Told, tell};
use crate::agents::health::Health;
use crate::app::devices::targets;
use crate::app::one_time;
use crate::app::sessions::Terms;
use crate::app::tasks::{self, Origin, Pending, Request};
use crate::ctx::Ctx;
use crate::state::machines::device::{Device, Tried};
use crate::state::machines::policy::{MOST_ORDERS, RingEnd, RingOrder, RingPolicy};
use crate::state::run::Run;
use crate::state::scene::Glance;
use crate::state::shelf::Record as _;
use crate::state::{Draft, Refusal, State, Tables, TaskRefusal};

/// Bytes that are kept of why something failed.
const LONGEST_DETAILS: usize = 512;
/// Who has ordered a task, where it was the policy.
const BY_POLICY: &str = "ring policy";

/// With what tasks are ordered.
pub struct Parts<'a> {
    pub glance: &'a dyn Glance,
    /// What is damaged on storage nodes.
    pub health: Arc<Health>,
    /// Time within which an imaging task must end.
    pub deadline: Duration,
}

impl<'a> Parts<'a> {
    #[must_use]
    pub fn of(ctx: &'a Ctx) -> Self {
        Self {
            glance: &*ctx.live,
            health: Arc::new(Health::now(&ctx.live)),
            deadline: ctx.settings.task_deadline,
        }
    }
}

/// A device that gets a target, and who says so.
pub(in crate::app::devices) struct Wish<'a> {
    pub(in crate::app::devices) device: &'a Device,
    pub(in crate::app::devices) host: HostId,
    pub(in crate::app::devices) target: &'a Wanted,
    /// The operator who has ordered it; `None`: the policy.
    pub(in crate::app::devices) by: Option<&'a str>,
}

/// Takes a step. Returns whether there was still anything to do.
///
/// # Errors
/// What the host or its image does not allow, or that the store cannot be written.
pub(super) async fn take(
    state: &State,
    parts: &Parts<'_>,
    factory: StorageGroupId,
    step: Step,
    now: Timestamp,
) -> Result<bool, Refusal> {
    match step {
        Step::Begin(device, task) => begin(state, factory, (device, task), now).await,
        Step::End(device, task, _) => end(state, factory, (device, task), now).await,
        Step::Withdraw(device, task) => withdraw(state, factory, (device, task), now).await,
        Step::Order(device) => order(state, parts, factory, device, now).await,
    }
}

async fn order(
    state: &State,
    parts: &Parts<'_>,
    factory: StorageGroupId,
    uuid: MachineUuid,
    now: Timestamp,
) -> Result<bool, Refusal> {
    let ordered = state.write::<_, Refusal>(|draft| {
        let tables = draft.tables();
        let (policy, device) = (
            tables.ring_policies().get(&factory),
            tables.devices().get(&uuid),
        );
        let (Some(policy), Some(device)) = (policy, device) else {
            return Ok(false);
        };
        let mut policy = RingPolicy::clone(policy);
        if device.factory != factory || !has_room(tables, &policy, uuid, now) {
            return Ok(false);
        }
        let all = targets::candidates(tables, factory);
        let facts = snapshot::facts(tables, &policy, device, &all);
        let (by_address, round) = (policy.rules.by_address, policy.round);
        let Ok((target, host)) = plan::judge(&facts, by_address, round) else {
            return Ok(false);
        };
        let wish = Wish {
            device,
            host,
            target,
            by: None,
        };
        order_in(draft, &mut policy, &wish, parts, now)?;
        Ok(true)
    });
    ordered.await
}

/// Whether one more device may be imaged now.
fn has_room(tables: &Tables, policy: &RingPolicy, uuid: MachineUuid, now: Timestamp) -> bool {
    let at_most = usize::try_from(policy.rules.at_most).unwrap_or(usize::MAX);
    // What has ended and was not counted yet may be one failure too many.
    let mut orders = policy.orders.values();
    let is_counted = orders.all(|order| plan::end_of(work_of(tables, order)).is_none());
    policy.may_order()
        && snapshot::is_open(tables, policy, now)
        && policy.orders.len() < at_most
        && !policy.orders.contains_key(&uuid)
        && is_counted
}

fn work_of(tables: &Tables, order: &RingOrder) -> Work {
    snapshot::work(run_of(tables, order))
}

fn run_of<'t>(tables: &'t Tables, order: &RingOrder) -> Option<&'t Run> {
    tables.runs().get(&order.task).map(AsRef::as_ref)
}

/// Orders the deploy that gives a device its target, and notes it. The draft is worth nothing if the
/// device, its host, the policy or the tags of the image change meanwhile.
///
/// # Errors
/// What the host or its image does not allow.
pub(in crate::app::devices) fn order_in(
    draft: &mut Draft<'_>,
    policy: &mut RingPolicy,
    wish: &Wish<'_>,
    parts: &Parts<'_>,
    now: Timestamp,
) -> Result<TaskId, Refusal> {
    let tables = draft.tables();
    let (host, target) = (wish.host.get(), wish.target);
    let row = tables.hosts().get(host).ok_or(Refusal::NotFound {
        class: "host",
        id: host,
    })?;
    if policy.orders.len() >= MOST_ORDERS {
        return Err(Refusal::Invalid {
            field: "files",
            why: format!(
                "{MOST_ORDERS} devices of the factory are being imaged already: wait until some are done"
            ),
        });
    }
    if let Some(tags) = tables.target_tags().get(&target.image) {
        draft.require(tags.unchanged());
    }
    let origin = origin(wish, parts, now);
    let mut pending = Pending::default();
    let request = request(target);
    let task = tasks::create_on_host(draft, row, &request, &origin, parts.glance, &mut pending)?;
    // A deploy has a task; the host had none, so nothing else is pending.
    let task = task.ok_or(TaskRefusal::HostBusy)?;
    // Its image is the one that was judged.
    draft.unchanged(row);
    let id = format!("foghorn-{:016x}", one_time::number());
    let order = RingOrder {
        task,
        id: id.clone(),
        target: target.name.clone(),
        version: target.version,
        ordered: now,
        has_begun: false,
        by_hand: wish.by.is_some(),
    };
    let details = match wish.by {
        Some(name) => format!("task {task} deploys it, ordered by {name}"),
        None => format!("task {task} deploys it, because of the tag"),
    };
    tell(draft, wish.device, &order, Told::Ordered(details), now);
    let mut device = wish.device.clone();
    device.update = Some(id);
    device.tried = Some(Tried {
        hash: target.hash.clone(),
        round: policy.round,
        at: now,
        again: false,
    });
    draft.replace(&device);
    policy.orders.insert(device.uuid, order);
    draft.replace(&*policy);
    Ok(task)
}

fn request(target: &Wanted) -> Request {
    Request {
        kind: TaskTypeId::DEPLOY,
        name: format!("Deploy {}", target.name),
        shutdown: false,
        debug: false,
        wake: true,
        passreset: String::new(),
        snapins: tasks::Wanted::Nothing,
        session: String::new(),
        terms: Terms::default(),
        version: Some(target.version),
    }
}

fn origin(wish: &Wish<'_>, parts: &Parts<'_>, now: Timestamp) -> Origin {
    Origin {
        by: wish.by.unwrap_or(BY_POLICY).to_owned(),
        traceparent: None,
        deadline: parts.deadline,
        now,
        health: parts.health.clone(),
        ticket: None,
        order: 0,
    }
}

/// The order of a device, as long as it is still this task.
fn under_way(
    tables: &Tables,
    factory: StorageGroupId,
    (device, task): (MachineUuid, TaskId),
) -> Option<(RingPolicy, RingOrder)> {
    let policy = tables.ring_policies().get(&factory)?;
    let order = policy.orders.get(&device)?;
    let is_same = order.task == task;
    is_same.then(|| (RingPolicy::clone(policy), order.clone()))
}

async fn begin(
    state: &State,
    factory: StorageGroupId,
    which: (MachineUuid, TaskId),
    now: Timestamp,
) -> Result<bool, Refusal> {
    let begun = state.write::<_, Refusal>(|draft| {
        let tables = draft.tables();
        let Some((mut policy, mut order)) = under_way(tables, factory, which) else {
            return Ok(false);
        };
        if order.has_begun {
            return Ok(false);
        }
        // Of one that was deleted nothing is kept.
        if let Some(device) = tables.devices().get(&which.0) {
            tell(draft, device, &order, Told::Begun, now);
        }
        order.has_begun = true;
        policy.orders.insert(which.0, order);
        draft.replace(&policy);
        Ok(true)
    });
    begun.await
}

async fn end(
    state: &State,
    factory: StorageGroupId,
    which: (MachineUuid, TaskId),
    now: Timestamp,
) -> Result<bool, Refusal> {
    let ended = state.write::<_, Refusal>(|draft| {
        let tables = draft.tables();
        let Some((policy, order)) = under_way(tables, factory, which) else {
            return Ok(false);
        };
        let Some(end) = plan::end_of(work_of(tables, &order)) else {
            return Ok(false);
        };
        let why = why(run_of(tables, &order));
        end_in(draft, policy, which.0, &order, (end, why), now);
        Ok(true)
    });
    ended.await
}

/// Cancels the task of a machine that has not come.
async fn withdraw(
    state: &State,
    factory: StorageGroupId,
    which: (MachineUuid, TaskId),
    now: Timestamp,
) -> Result<bool, Refusal> {
    let mut pending = Pending::default();
    let withdrawn = state.write_in_steps::<_, Refusal>(|draft| {
        let mut withdrawn = false;
        if !draft.continues() {
            pending = Pending::default();
            withdrawn = withdraw_in(draft, factory, which, &mut pending, now)?;
        }
        pending.settle(draft, now)?;
        Ok(withdrawn)
    });
    withdrawn.await
}

fn withdraw_in(
    draft: &mut Draft<'_>,
    factory: StorageGroupId,
    which: (MachineUuid, TaskId),
    pending: &mut Pending,
    now: Timestamp,
) -> Result<bool, Refusal> {
    const WHY: &str = "the machine did not come in the time that the policy of its site gives it";
    let tables = draft.tables();
    let Some((policy, order)) = under_way(tables, factory, which) else {
        return Ok(false);
    };
    let row = tables.tasks().get(order.task.get());
    // It may have come since.
    let Some(row) = row.filter(|_| work_of(tables, &order) == Work::Awaited) else {
        return Ok(false);
    };
    tasks::cancel_in(draft, row, WHY, pending)?;
    let end = (RingEnd::DidNotCome, WHY.to_owned());
    end_in(draft, policy, which.0, &order, end, now);
    Ok(true)
}

/// Takes an order out of the policy, and tells how it ended.
fn end_in(
    draft: &mut Draft<'_>,
    mut policy: RingPolicy,
    uuid: MachineUuid,
    order: &RingOrder,
    (end, why): (RingEnd, String),
    now: Timestamp,
) {
    policy.orders.remove(&uuid);
    if !order.by_hand {
        policy.count(end, now);
    }
    draft.replace(&policy);
    // Of one that was deleted nothing is kept.
    let Some(before) = draft.tables().devices().get(&uuid) else {
        return;
    };
    let success = end == RingEnd::Success;
    tell(draft, before, order, Told::Ended(success, why), now);
    let mut device = Device::clone(before);
    if device.update.as_ref() == Some(&order.id) {
        device.update = None;
    }
    if let Some(tried) = device.tried.as_mut() {
        tried.again = end == RingEnd::DidNotCome;
    }
    draft.replace(&device);
}

/// Why a task ended that did not complete.
fn why(run: Option<&Run>) -> String {
    match run.map(|run| run.life.state()) {
        Some(TaskState::Finished { outcome, .. }) => match outcome {
            Outcome::Complete => String::new(),
            Outcome::Failed { reason, .. } | Outcome::Cancelled { reason } => {
                reason.chars().take(LONGEST_DETAILS).collect()
            }
        },
        Some(_) => String::new(),
        None => "its task was deleted".to_owned(),
    }
}
