//! Reads what [`super::plan`] decides from.

use std::collections::BTreeSet;
use std::time::Duration;

use foghorn_lifecycle::{Client, Outcome, TaskState};
use foghorn_types::{ImageId, MachineUuid, StorageGroupId, Timestamp};

use super::plan::{self, Facts, HostFacts, LeftOut, Order, Site, Wanted, Work};
use crate::app::devices::newest::{self, Candidate};
use crate::app::devices::{list, targets};
use crate::app::sites;
use crate::state::classes::Task;
use crate::state::machines::device::Device;
use crate::state::machines::policy::RingPolicy;
use crate::state::run::Run;
use crate::state::{Tables, zone};

/// Every site of which anything was said. Devices in `passed_over` are not due.
#[must_use]
pub(super) fn read(
    tables: &Tables,
    passed_over: &BTreeSet<MachineUuid>,
    now: Timestamp,
) -> Vec<Site> {
    let policies = tables.ring_policies().iter();
    let all = policies.map(|policy| site(tables, policy, passed_over, now));
    all.collect()
}

fn site(
    tables: &Tables,
    policy: &RingPolicy,
    passed_over: &BTreeSet<MachineUuid>,
    now: Timestamp,
) -> Site {
    let RingPolicy { factory, rules, .. } = policy;
    let is_open = is_open(tables, policy, now);
    let orders = policy.orders.iter().map(|(device, order)| Order {
        device: *device,
        task: order.task,
        ordered: order.ordered,
        has_begun: order.has_begun,
        by_hand: order.by_hand,
        work: work(tables.runs().get(&order.task).map(AsRef::as_ref)),
    });
    let mut site = Site {
        factory: *factory,
        mode: rules.mode,
        is_held: policy.held.is_some(),
        is_open,
        at_most: usize::try_from(rules.at_most).unwrap_or(usize::MAX),
        stop_after: rules.stop_after,
        failures: policy.failures,
        patience: Duration::from_secs(u64::from(rules.patience) * 60),
        orders: orders.collect(),
        devices: Vec::new(),
    };
    if policy.may_order() && is_open {
        let judged = judged(tables, policy);
        site.devices = judged
            .into_iter()
            .map(|(device, verdict)| plan::Device {
                uuid: device.uuid,
                tried: device.tried.as_ref().map(|tried| tried.at),
                is_due: verdict.is_ok() && !passed_over.contains(&device.uuid),
            })
            .collect();
    }
    site
}

/// Whether devices of the site may be imaged at this time.
#[must_use]
pub(in crate::app::devices) fn is_open(
    tables: &Tables,
    policy: &RingPolicy,
    now: Timestamp,
) -> bool {
    let zone = || zone::of_site(tables, Some(policy.factory));
    let window = policy.rules.window;
    window.is_none_or(|window| window.is_open(now, &zone()))
}

/// The devices of a site, and whether they may be imaged.
pub(in crate::app::devices) fn judged<'t>(
    tables: &'t Tables,
    policy: &RingPolicy,
) -> Vec<(&'t Device, Result<(), LeftOut>)> {
    let all = targets::candidates(tables, policy.factory);
    let devices = tables.devices().iter();
    let own = devices.filter(|device| device.factory == policy.factory);
    own.map(|device| {
        let facts = facts(tables, policy, device, &all);
        let verdict = plan::judge(&facts, policy.rules.by_address, policy.round);
        (&**device, verdict.map(drop))
    })
    .collect()
}

/// What of a device decides. `all` are the targets of its factory.
pub(in crate::app::devices) fn facts(
    tables: &Tables,
    policy: &RingPolicy,
    device: &Device,
    all: &[Candidate],
) -> Facts {
    let follower = list::follower(tables, device);
    let newest = newest::newest(&follower, all);
    let newest = newest.filter(|target| !follower.runs(target));
    Facts {
        factory: device.factory,
        wants: newest.map(wanted),
        host: host_of(tables, policy, device),
        tried: device.tried.clone(),
    }
}

/// The newest target for a device, whether it runs that or not.
pub(in crate::app::devices) fn target_of(
    tables: &Tables,
    device: &Device,
    all: &[Candidate],
) -> Option<Wanted> {
    newest::newest(&list::follower(tables, device), all).map(wanted)
}

fn wanted(target: &Candidate) -> Wanted {
    Wanted {
        name: target.name.clone(),
        hash: target.hash.clone(),
        image: target.image,
        version: target.version,
    }
}

/// The host that a device is, as far as anything says so.
pub(in crate::app::devices) fn host_of(
    tables: &Tables,
    policy: &RingPolicy,
    device: &Device,
) -> Option<HostFacts> {
    let bound = device.host?;
    let row = device.host_row(tables)?;
    let mut active = tables.tasks().by(Task::ACTIVE_BY_HOST, row.id.into());
    Some(HostFacts {
        id: bound.to,
        by: bound.by,
        is_pending: row.pending.is_yes(),
        is_protected: policy.rules.protected.contains(&bound.to),
        is_busy: active.next().is_some(),
        site: site_of(tables, row),
        image: ImageId::new(row.image),
    })
}

fn site_of(tables: &Tables, row: &crate::state::classes::Host) -> Option<StorageGroupId> {
    sites::assigned(tables, row).map(|home| home.site)
}

/// How far a task is; of one that does not exist, too.
pub(super) fn work(run: Option<&Run>) -> Work {
    let Some(run) = run else {
        return Work::Gone;
    };
    // Since a machine has fetched its order, whatever has become of it.
    let came = run.client_fingerprint.is_some() || run.life.started().is_some();
    match run.life.state() {
        TaskState::Finished { outcome, .. } => match outcome {
            Outcome::Complete => Work::Complete,
            Outcome::Failed { .. } => Work::Failed { came },
            Outcome::Cancelled { .. } => Work::Cancelled,
        },
        TaskState::Running { .. } => Work::Writing,
        TaskState::CheckedIn { .. }
        | TaskState::Queued {
            client: Client::CheckedIn,
        } => Work::Present,
        TaskState::Queued {
            client: Client::Awaited,
        }
        | TaskState::Assigned { .. } => match came {
            true => Work::Present,
            false => Work::Awaited,
        },
    }
}
