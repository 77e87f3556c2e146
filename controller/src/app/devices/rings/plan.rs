//! Which devices are imaged because of their tags, and what is to be done about those that are. Pure: a
//! snapshot in, steps out.

use std::fmt;
use std::time::Duration;

use foghorn_types::{HostId, ImageId, MachineUuid, StorageGroupId, TaskId, Timestamp};

use crate::state::machines::device::{BoundBy, Tried};
use crate::state::machines::policy::{RingEnd, RingMode};

/// A site, as far as its devices follow tags by themselves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Site {
    pub factory: StorageGroupId,
    pub mode: RingMode,
    pub is_held: bool,
    /// Whether devices may be imaged at this time.
    pub is_open: bool,
    pub at_most: usize,
    pub stop_after: u32,
    /// Orders that failed since the last one that went well.
    pub failures: u32,
    /// How long a machine may take to come.
    pub patience: Duration,
    pub orders: Vec<Order>,
    /// Empty where nothing may be ordered.
    pub devices: Vec<Device>,
}

/// A device that is being imaged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Order {
    pub device: MachineUuid,
    pub task: TaskId,
    pub ordered: Timestamp,
    pub has_begun: bool,
    pub by_hand: bool,
    pub work: Work,
}

/// How far a task is, in the eyes of who has ordered it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Work {
    /// Its machine has not come.
    Awaited,
    /// The machine is there; nothing is written yet.
    Present,
    Writing,
    Complete,
    /// `came`: its machine was there.
    Failed {
        came: bool,
    },
    Cancelled,
    /// There is no such task any more.
    Gone,
}

/// A device, and whether it may be imaged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Device {
    pub uuid: MachineUuid,
    /// When it was tried last.
    pub tried: Option<Timestamp>,
    pub is_due: bool,
}

/// What of a device decides whether it may be imaged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Facts {
    pub factory: StorageGroupId,
    /// The target that it should run and does not.
    pub wants: Option<Wanted>,
    pub host: Option<HostFacts>,
    pub tried: Option<Tried>,
}

/// A target that a device does not run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wanted {
    pub name: String,
    pub hash: String,
    pub image: ImageId,
    pub version: u32,
}

/// The host that a device is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HostFacts {
    pub id: HostId,
    pub by: BoundBy,
    /// Nobody has approved it yet.
    pub is_pending: bool,
    pub is_protected: bool,
    /// Has a task of any kind.
    pub is_busy: bool,
    /// The site that it was assigned to, if it was.
    pub site: Option<StorageGroupId>,
    pub image: Option<ImageId>,
}

/// Why a device is not imaged.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum LeftOut {
    UpToDate,
    NoHost,
    ByAddress,
    Pending,
    Protected,
    OtherSite,
    OtherImage,
    Busy,
    Tried,
}

/// What is to be done next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// To tell that the transfer has begun.
    Begin(MachineUuid, TaskId),
    /// The task has ended.
    End(MachineUuid, TaskId, RingEnd),
    /// The machine has not come: the task is cancelled.
    Withdraw(MachineUuid, TaskId),
    Order(MachineUuid),
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UpToDate => "up to date, or nothing with its tag",
            Self::NoHost => "no host is known for it",
            Self::ByAddress => "only its own word says which host it is",
            Self::Pending => "its host is not approved",
            Self::Protected => "its host is protected",
            Self::OtherSite => "its host belongs to another site",
            Self::OtherImage => "its host has another image than the target",
            Self::Busy => "its host has a task",
            Self::Tried => "it was tried with this target and not finished",
        })
    }
}

/// Whether a device may be imaged, and with what. `round` is that of the policy.
///
/// # Errors
/// Why not; the first reason.
pub fn judge(facts: &Facts, by_address: bool, round: u32) -> Result<(&Wanted, HostId), LeftOut> {
    let wanted = facts.wants.as_ref().ok_or(LeftOut::UpToDate)?;
    let host = may_touch(facts, by_address)?;
    if host.is_protected {
        return Err(LeftOut::Protected);
    }
    if host.image != Some(wanted.image) {
        return Err(LeftOut::OtherImage);
    }
    if host.is_busy {
        return Err(LeftOut::Busy);
    }
    // One that says afterwards that it runs something else is not imaged again and again.
    let is_tried = |tried: &Tried| tried.hash == wanted.hash && tried.round == round;
    if facts
        .tried
        .as_ref()
        .is_some_and(|tried| is_tried(tried) && !tried.again)
    {
        return Err(LeftOut::Tried);
    }
    Ok((wanted, host.id))
}

/// The host of a device, if what the device says may have it overwritten.
///
/// # Errors
/// Why not.
pub fn may_touch(facts: &Facts, by_address: bool) -> Result<&HostFacts, LeftOut> {
    sure(facts.host.as_ref(), facts.factory, by_address)
}

/// The host that a device of this factory is, unless only the device itself says so (`by_address`: that is
/// enough), or the host is not one of the factory that is approved.
///
/// # Errors
/// Why not.
pub fn sure(
    host: Option<&HostFacts>,
    factory: StorageGroupId,
    by_address: bool,
) -> Result<&HostFacts, LeftOut> {
    let host = host.ok_or(LeftOut::NoHost)?;
    if host.by == BoundBy::Address && !by_address {
        return Err(LeftOut::ByAddress);
    }
    if host.is_pending {
        return Err(LeftOut::Pending);
    }
    if host.site.is_some_and(|site| site != factory) {
        return Err(LeftOut::OtherSite);
    }
    Ok(host)
}

/// How an order ends whose task is like this; `None`: not yet.
#[must_use]
pub fn end_of(work: Work) -> Option<RingEnd> {
    match work {
        Work::Awaited | Work::Present | Work::Writing => None,
        Work::Complete => Some(RingEnd::Success),
        Work::Failed { came: true } => Some(RingEnd::Failure),
        Work::Failed { came: false } => Some(RingEnd::DidNotCome),
        Work::Cancelled | Work::Gone => Some(RingEnd::Cancelled),
    }
}

/// What is to be done for one site, in this order: what has ended makes room for what is ordered.
#[must_use]
pub fn plan(site: &Site, now: Timestamp) -> Vec<Step> {
    let mut steps = Vec::new();
    let (mut under_way, mut failures) = (0, site.failures);
    for order in &site.orders {
        if let Some(end) = end_of(order.work) {
            steps.push(Step::End(order.device, order.task, end));
            match end {
                RingEnd::Failure if !order.by_hand => failures += 1,
                RingEnd::Success if !order.by_hand => failures = 0,
                _ => {}
            }
            continue;
        }
        if order.work == Work::Awaited && !order.by_hand && is_over(site, order, now) {
            steps.push(Step::Withdraw(order.device, order.task));
            continue;
        }
        under_way += 1;
        if order.work == Work::Writing && !order.has_begun {
            steps.push(Step::Begin(order.device, order.task));
        }
    }
    let is_stopped = site.is_held || failures >= site.stop_after;
    if site.mode == RingMode::Auto && site.is_open && !is_stopped {
        let room = site.at_most.saturating_sub(under_way);
        steps.extend(next(site).take(room).map(Step::Order));
    }
    steps
}

/// Whether a machine that has not come need not come any more.
fn is_over(site: &Site, order: &Order, now: Timestamp) -> bool {
    let is_wanted = site.mode == RingMode::Auto && site.is_open;
    !is_wanted || now.since(order.ordered) >= site.patience
}

/// Devices in the order in which they are imaged: those that were never tried, then those whose attempt
/// is longest ago. So machines that are switched off do not keep the others waiting.
fn next(site: &Site) -> impl Iterator<Item = MachineUuid> {
    let ordered = |uuid| site.orders.iter().any(|order| order.device == uuid);
    let due = site.devices.iter().filter(|device| device.is_due);
    let due = due.filter(|device| !ordered(device.uuid));
    let mut due: Vec<_> = due.map(|device| (device.tried, device.uuid)).collect();
    due.sort_unstable();
    due.into_iter().map(|(_, uuid)| uuid)
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
