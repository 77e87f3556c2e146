//! Power actions of a host: shut down, restart. They are fetched by the client on the host.

use std::time::Duration;

use foghorn_types::{HostId, Timestamp};

use crate::app::due;
use crate::state::classes::PowerManagement;
use crate::state::schedule::{Mark, Owner};
use crate::state::{Draft, Refusal, Row, State, zone};

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
            let rules = tables
                .of::<PowerManagement>()
                .by(PowerManagement::BY_HOST, id.into());
            let mut actions = Vec::new();
            for rule in rules
                .filter(|rule| !rule.wakes() && !rule.action.is_empty())
                .take(RULES_AT_ONCE)
            {
                actions.extend(told(draft, rule, now));
            }
            Ok(actions)
        })
        .await
}

fn told(draft: &mut Draft<'_>, rule: &Row<PowerManagement>, now: Timestamp) -> Option<Action> {
    let mark = due::mark(draft.tables(), Owner::Power(rule.id));
    if rule.on_demand.is_yes() {
        draft.forget::<Mark>(&mark.owner);
        draft.delete(rule);
        return Some(Action {
            rule: rule.id,
            action: rule.action.clone(),
            due: mark.through,
        });
    }
    let due = due::rule_due(rule, &mark, now, &zone::of_rule(draft.tables(), rule))?;
    draft.unchanged(rule);
    draft.replace(&Mark {
        through: due.at,
        outcome: "told".to_owned(),
        ..mark
    });
    (now.since(due.at) <= LATE).then(|| Action {
        rule: rule.id,
        action: rule.action.clone(),
        due: due.at,
    })
}
