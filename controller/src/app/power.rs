//! Power actions of a host: shut down, restart. Its machine looks for them and acknowledges what it is about
//! to do; a script of an operator takes them, which is both at once.

use std::time::Duration;

use foghorn_types::{HostId, Timestamp};

use crate::app::due;
use crate::state::classes::PowerManagement;
use crate::state::schedule::{Mark, Owner};
use crate::state::{Draft, Refusal, Row, State, Tables, zone};

/// Older actions are not delivered: a machine that was switched on again in the evening stays on.
const LATE: Duration = Duration::from_secs(10 * 60);
/// Maximum number of rules per answer; a transaction of the store allows 128 operations.
const RULES_AT_ONCE: usize = 32;

/// One power action.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Action {
    /// Id of the rule of power management.
    pub rule: u32,
    /// `shutdown` or `reboot`.
    pub action: String,
    /// Since when.
    pub due: Timestamp,
}

impl Action {
    /// Tells it from all others, also from the next one of the same rule.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}-{}", self.rule, self.due.as_millis())
    }
}

/// The current actions of the host. Each is delivered once: an on-demand rule is deleted, the mark
/// of a calendar is moved.
///
/// # Errors
/// [`Refusal::NotFound`], or what the store cannot do; nothing counts as told then.
pub async fn take(state: &State, host: HostId, now: Timestamp) -> Result<Vec<Action>, Refusal> {
    state
        .write(|draft| {
            let tables = draft.tables();
            let id = host.get();
            tables
                .hosts()
                .get(id)
                .ok_or(Refusal::NotFound { class: "host", id })?;
            let mut actions = Vec::new();
            for rule in rules(tables, host).take(RULES_AT_ONCE) {
                if let Some(pending) = pending(tables, rule, now) {
                    settle(draft, rule, pending.action.due);
                    actions.extend((!pending.is_late).then_some(pending.action));
                }
            }
            Ok(actions)
        })
        .await
}

/// What the host is to do now, the oldest of several. It is found again until it is acknowledged.
pub(super) fn look(tables: &Tables, host: HostId, now: Timestamp) -> Option<Action> {
    let all = rules(tables, host).filter_map(|rule| pending(tables, rule, now));
    let timely = all.filter(|pending| !pending.is_late);
    let actions = timely.map(|pending| pending.action);
    actions.min_by_key(|action| (action.due, action.rule))
}

/// The host is about to do it. Nothing when no action has this id any more.
pub(super) fn acknowledge(draft: &mut Draft<'_>, host: HostId, id: &str, now: Timestamp) -> bool {
    let tables = draft.tables();
    let mut is_due = false;
    for rule in rules(tables, host) {
        if let Some(Pending { action, .. }) = pending(tables, rule, now)
            && action.id() == id
        {
            settle(draft, rule, action.due);
            is_due = true;
        }
    }
    is_due
}

/// What a rule wants to be done.
struct Pending {
    action: Action,
    /// It is not done any more.
    is_late: bool,
}

/// Rules of a host that are for its machine.
fn rules(tables: &Tables, host: HostId) -> impl Iterator<Item = &Row<PowerManagement>> {
    let rules = tables
        .of::<PowerManagement>()
        .by(PowerManagement::BY_HOST, host.get().into());
    rules
        .filter(|rule| !rule.wakes() && !rule.action.is_empty())
        .map(AsRef::as_ref)
}

fn pending(tables: &Tables, rule: &Row<PowerManagement>, now: Timestamp) -> Option<Pending> {
    let mark = due::mark(tables, Owner::Power(rule.id));
    let pending = |due, is_late| Pending {
        action: Action {
            rule: rule.id,
            action: rule.action.clone(),
            due,
        },
        is_late,
    };
    if rule.on_demand.is_yes() {
        return Some(pending(mark.through, false));
    }
    let due = due::rule_due(rule, &mark, now, &zone::of_rule(tables, rule))?;
    Some(pending(due.at, now.since(due.at) > LATE))
}

/// Whatever the rule wanted up to this moment is not told again.
fn settle(draft: &mut Draft<'_>, rule: &Row<PowerManagement>, through: Timestamp) {
    let mark = due::mark(draft.tables(), Owner::Power(rule.id));
    if rule.on_demand.is_yes() {
        draft.forget::<Mark>(&mark.owner);
        draft.delete(rule);
        return;
    }
    draft.unchanged(rule);
    draft.replace(&Mark {
        through,
        outcome: "told".to_owned(),
        ..mark
    });
}
