//! What following a tag does at a site: nothing by itself, or re-imaging. One record for each site: what
//! the operators have said, and how far it is.
//!
//! Whoever orders, or ends an order, replaces the record. So of two controllers that see room for one
//! more device one is drafted again, and sees that there is none.

use std::collections::{BTreeMap, BTreeSet};

use foghorn_types::{HostId, MachineUuid, StorageGroupId, TaskId, Timestamp};
use serde::{Deserialize, Serialize};

use super::window::Window;
use crate::state::shelf::{Record, numbered_by, stored_whole};
use crate::store::Revision;

/// Keys of policies: this and the storage group's id.
const PREFIX: &str = "/foghorn/v1/ring-policy/";

/// Orders that are under way in one site, those of operators included: they are in one record.
pub const MOST_ORDERS: usize = 1000;

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RingPolicy {
    pub factory: StorageGroupId,
    pub rules: RingRules,
    /// Orders of the policy that failed since the last one that went well.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub failures: u32,
    /// Since when nothing is ordered any more because of failures, until an operator resumes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Timestamp>,
    /// Counts how often an operator has resumed: what was tried before may be tried again.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub round: u32,
    /// What is under way.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub orders: BTreeMap<MachineUuid, RingOrder>,
    /// The store's revision of this record; 0 for one that was never stored.
    #[serde(skip)]
    pub modified: Revision,
}

/// What the operators have said.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RingRules {
    pub mode: RingMode,
    /// When devices may be imaged, by the clocks of the site; `None`: at any time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// Devices that are imaged at a time, those included whose machine has not come yet.
    pub at_most: u32,
    /// Failures one after the other after which nothing more is ordered.
    pub stop_after: u32,
    /// Minutes that a machine has to come; then it is the turn of others.
    pub patience: u32,
    /// Devices count as well that are bound to their host only because they say that they have its
    /// address, or the UUID of its hardware.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_address: bool,
    /// Hosts that are never imaged because of a tag.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub protected: BTreeSet<HostId>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RingMode {
    /// Devices are shown as not up to date, and that is all.
    Manual,
    /// Devices are imaged.
    Auto,
}

/// One device that is being imaged.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RingOrder {
    pub task: TaskId,
    /// Correlation id of the update.
    pub id: String,
    /// Name of the target.
    pub target: String,
    pub version: u32,
    pub ordered: Timestamp,
    /// Whether it was told that the transfer has begun.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_begun: bool,
    /// An operator has ordered it for this device: the window, the patience and the failures of the
    /// policy have nothing to do with it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_hand: bool,
}

/// How an order ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RingEnd {
    /// The disk was written and verified.
    Success,
    /// It was begun and failed.
    Failure,
    /// Somebody has cancelled or deleted the task.
    Cancelled,
    /// The machine did not come in time, or not in the window.
    DidNotCome,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Default for RingRules {
    fn default() -> Self {
        Self {
            mode: RingMode::Manual,
            window: None,
            at_most: 10,
            stop_after: 3,
            patience: 30,
            by_address: false,
            protected: BTreeSet::new(),
        }
    }
}

impl RingPolicy {
    /// That of a site of which nobody has said anything.
    #[must_use]
    pub fn none(factory: StorageGroupId) -> Self {
        Self {
            factory,
            rules: RingRules::default(),
            failures: 0,
            held: None,
            round: 0,
            orders: BTreeMap::new(),
            modified: 0,
        }
    }

    /// Counts the end of an order of the policy. What nobody could do anything about counts for nothing.
    pub fn count(&mut self, end: RingEnd, now: Timestamp) {
        match end {
            RingEnd::Success => self.failures = 0,
            RingEnd::Failure => self.failures = self.failures.saturating_add(1),
            RingEnd::Cancelled | RingEnd::DidNotCome => {}
        }
        self.hold_after_failures(now);
    }

    /// Holds the site if there were too many failures, by the present rules.
    pub fn hold_after_failures(&mut self, now: Timestamp) {
        if self.failures >= self.rules.stop_after && self.held.is_none() {
            self.held = Some(now);
        }
    }

    /// An operator says that it may go on.
    pub fn resume(&mut self) {
        self.failures = 0;
        self.held = None;
        self.round = self.round.wrapping_add(1);
    }

    /// Whether devices are imaged because of their tags, as far as the operators are concerned.
    #[must_use]
    pub fn may_order(&self) -> bool {
        self.rules.mode == RingMode::Auto && self.held.is_none()
    }
}

impl Record for RingPolicy {
    const WHAT: &'static str = "policy of a site";
    type Index = ();

    numbered_by!(PREFIX, factory: StorageGroupId);
    stored_whole!();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_one_after_the_other_hold_it_until_somebody_resumes() {
        let mut policy = RingPolicy::none(StorageGroupId::new(1).unwrap());
        policy.rules.mode = RingMode::Auto;
        policy.rules.stop_after = 2;
        let at = Timestamp::from_millis;
        policy.count(RingEnd::Failure, at(1));
        policy.count(RingEnd::Success, at(2));
        policy.count(RingEnd::Failure, at(3));
        policy.count(RingEnd::DidNotCome, at(4));
        policy.count(RingEnd::Cancelled, at(5));
        assert!(policy.may_order(), "one failure since the last success");
        policy.count(RingEnd::Failure, at(6));
        assert_eq!((policy.held, policy.may_order()), (Some(at(6)), false));
        policy.count(RingEnd::Success, at(7));
        assert!(!policy.may_order(), "only an operator resumes");
        policy.resume();
        assert_eq!((policy.failures, policy.round), (0, 1));
        assert!(policy.may_order());
    }
}
