//! What following a tag does at a site: looked at, changed by operators, resumed by them.

use std::collections::BTreeMap;

use foghorn_types::{HostId, StorageGroupId, Timestamp};
use tracing::info;

use super::rings::plan::LeftOut;
use super::rings::snapshot;
use crate::state::classes::{Host, StorageGroup};
use crate::state::machines::policy::{RingPolicy, RingRules};
use crate::state::{Draft, Refusal, State, Tables};

/// Devices that are imaged at a time.
const MOST_AT_A_TIME: u32 = 200;
/// Minutes that a machine may have to come: a week.
const LONGEST_PATIENCE: u32 = 7 * 24 * 60;
/// Hosts that are never imaged because of a tag.
const MOST_PROTECTED: usize = 1000;
/// Failures after which nothing more is ordered.
const MOST_FAILURES: u32 = 1000;

/// A policy, and what it makes of the devices of its site at this moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shown {
    pub policy: RingPolicy,
    /// Whether devices may be imaged at this time.
    pub is_open: bool,
    /// Devices that would be imaged next.
    pub due: usize,
    /// The others, by why they are not.
    pub left_out: BTreeMap<LeftOut, usize>,
}

/// That of a site; `None` when there is no such storage group.
#[must_use]
pub fn show(tables: &Tables, factory: StorageGroupId, now: Timestamp) -> Option<Shown> {
    tables.of::<StorageGroup>().get(factory.get())?;
    let policy = stored(tables, factory);
    let mut shown = Shown {
        is_open: snapshot::is_open(tables, &policy, now),
        due: 0,
        left_out: BTreeMap::new(),
        policy,
    };
    for (device, verdict) in snapshot::judged(tables, &shown.policy) {
        match verdict {
            // It is shown as being under way.
            _ if shown.policy.orders.contains_key(&device.uuid) => {}
            Ok(()) => shown.due += 1,
            Err(why) => *shown.left_out.entry(why).or_default() += 1,
        }
    }
    Some(shown)
}

/// That of a site, without the hosts that have been deleted since they were protected: their numbers are
/// given to no other.
fn stored(tables: &Tables, factory: StorageGroupId) -> RingPolicy {
    let stored = tables.ring_policies().get(&factory);
    let stored = stored.map(|policy| RingPolicy::clone(policy));
    let mut policy = stored.unwrap_or_else(|| RingPolicy::none(factory));
    let hosts = tables.hosts();
    let is_there = |host: &HostId| hosts.get(host.get()).is_some();
    policy.rules.protected.retain(is_there);
    policy
}

/// Changes what the operators have said. What is under way goes on.
///
/// # Errors
/// When the site, or a host that is to be protected, does not exist, or a number is out of range.
pub async fn edit(
    state: &State,
    factory: StorageGroupId,
    change: impl Fn(&mut RingRules),
) -> Result<(), Refusal> {
    let changed = state.write::<_, Refusal>(|draft| {
        let mut policy = of_site(draft, factory)?;
        change(&mut policy.rules);
        check(draft.tables(), &policy.rules)?;
        policy.hold_after_failures(Timestamp::now());
        draft.replace(&policy);
        Ok(policy.rules.mode)
    });
    let mode = changed.await?;
    info!(site = %factory, ?mode, "the policy of a site was changed");
    Ok(())
}

/// Lets a site go on after failures: what was tried may be tried again.
///
/// # Errors
/// When the site does not exist.
pub async fn resume(state: &State, factory: StorageGroupId) -> Result<(), Refusal> {
    let resumed = state.write::<_, Refusal>(|draft| {
        let mut policy = of_site(draft, factory)?;
        policy.resume();
        draft.replace(&policy);
        Ok(())
    });
    resumed.await
}

/// The policy, to be replaced. The storage group must not go meanwhile.
fn of_site(draft: &mut Draft<'_>, factory: StorageGroupId) -> Result<RingPolicy, Refusal> {
    let tables = draft.tables();
    if tables.of::<StorageGroup>().get(factory.get()).is_none() {
        return Err(Refusal::NotFound {
            class: "storagegroup",
            id: factory.get(),
        });
    }
    draft.require_present::<StorageGroup>(factory.get());
    draft.take_turn_of::<StorageGroup>(factory.get());
    Ok(stored(tables, factory))
}

fn check(tables: &Tables, rules: &RingRules) -> Result<(), Refusal> {
    let within = |field, value: u32, most: u32| match value {
        value if (1..=most).contains(&value) => Ok(()),
        value => Err(Refusal::Invalid {
            field,
            why: format!("{value} is not a number from 1 to {most}"),
        }),
    };
    within("at_most", rules.at_most, MOST_AT_A_TIME)?;
    within("stop_after", rules.stop_after, MOST_FAILURES)?;
    within("patience_minutes", rules.patience, LONGEST_PATIENCE)?;
    if rules.protected.len() > MOST_PROTECTED {
        return Err(Refusal::Invalid {
            field: "protected",
            why: format!("at most {MOST_PROTECTED} hosts are protected"),
        });
    }
    let hosts = tables.of::<Host>();
    let gone = |host: &&HostId| hosts.get(host.get()).is_none();
    match rules.protected.iter().find(gone) {
        Some(host) => Err(Refusal::Invalid {
            field: "protected",
            why: format!("host {host} does not exist"),
        }),
        None => Ok(()),
    }
}
