//! What is due: from the rows, their marks and the time. Pure.

use std::collections::HashMap;
use std::time::Duration;

use foghorn_types::Timestamp;
use jiff::tz::TimeZone;

use crate::state::classes::{PowerManagement, ScheduledTask};
use crate::state::cron::{Fields, Rule};
use crate::state::schedule::{Mark, Owner};
use crate::state::{Tables, zone};
use crate::store::Revision;

/// A task that is created once and whose moment passed while no controller ran is still created, up to this late.
pub(crate) const ONCE_LATE: Duration = Duration::from_secs(24 * 60 * 60);
/// What the calendar asked for while no controller ran is made up for once, up to this late: nobody wants last night's
/// deploy at nine in the morning.
pub(crate) const CALENDAR_LATE: Duration = Duration::from_secs(60 * 60);
/// What is wanted at once waits this long, so that who ordered it still sees its row.
const AT_ONCE_AFTER: Duration = Duration::from_secs(1);

/// A schedule whose time has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Due {
    pub(crate) owner: Owner,
    /// The moment that it was planned for.
    pub(crate) at: Timestamp,
    /// Whether it is too late for that.
    pub(crate) missed: bool,
}

/// When something is to happen.
#[derive(Clone, Copy, Debug)]
enum Timing<'a> {
    Once(Timestamp),
    Calendar(Fields<'a>),
    AtOnce,
}

impl Timing<'_> {
    /// The first moment after `through`.
    fn next(&self, through: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        match self {
            Self::Once(moment) => (*moment > through).then_some(*moment),
            Self::Calendar(fields) => Rule::parse(*fields).ok()?.after(through, zone),
            Self::AtOnce => Some(through + AT_ONCE_AFTER),
        }
    }

    /// What is to be done at `now` about a `next` that has come.
    fn due(&self, owner: Owner, next: Timestamp, now: Timestamp, zone: &TimeZone) -> Due {
        let (at, patience) = match self {
            Self::Once(_) => (next, ONCE_LATE),
            // However many were missed, only the last one counts.
            Self::Calendar(fields) => {
                let latest = Rule::parse(*fields).ok().and_then(|rule| rule.latest(now, zone));
                (latest.unwrap_or(next).max(next), CALENDAR_LATE)
            }
            Self::AtOnce => (next, CALENDAR_LATE),
        };
        Due { owner, at, missed: now.since(at) > patience }
    }
}

fn of_task(row: &ScheduledTask) -> Option<Timing<'_>> {
    if !row.is_active() {
        return None;
    }
    if row.by_calendar() { Some(Timing::Calendar(row.calendar())) } else { row.moment().map(Timing::Once) }
}

fn of_rule(row: &PowerManagement) -> Timing<'_> {
    if row.on_demand.is_yes() { Timing::AtOnce } else { Timing::Calendar(row.calendar()) }
}

/// What one scheduled task is due for.
pub(crate) fn task_due(row: &ScheduledTask, mark: &Mark, now: Timestamp, zone: &TimeZone) -> Option<Due> {
    if let Some(firing) = &mark.firing {
        // A controller stopped in the middle of it.
        return Some(Due { owner: mark.owner, at: firing.due, missed: false });
    }
    came(of_task(row)?, mark, now, zone)
}

/// What one rule of power management is due for.
pub(crate) fn rule_due(row: &PowerManagement, mark: &Mark, now: Timestamp, zone: &TimeZone) -> Option<Due> {
    came(of_rule(row), mark, now, zone)
}

fn came(timing: Timing<'_>, mark: &Mark, now: Timestamp, zone: &TimeZone) -> Option<Due> {
    let next = timing.next(mark.through, zone).filter(|next| *next <= now)?;
    Some(timing.due(mark.owner, next, now, zone))
}

/// Remembers when each schedule comes next, because working it out for every one of many thousands each second is not free.
#[derive(Default)]
pub(crate) struct Agenda {
    zone: Option<String>,
    known: HashMap<Owner, Known>,
}

struct Known {
    row: Revision,
    mark: Revision,
    next: Option<Timestamp>,
    /// Round in which it was last seen.
    seen: u64,
}

impl Agenda {
    /// Everything that is due at `now`, in the order of rows.
    pub(crate) fn due(&mut self, tables: &Tables, now: Timestamp, round: u64) -> Vec<Due> {
        let zone = zone::of(tables);
        let name = zone.iana_name().map(str::to_owned);
        if name != self.zone {
            self.known.clear();
            self.zone = name;
        }
        let mut due = Vec::new();
        for row in tables.of::<ScheduledTask>().by(ScheduledTask::ACTIVE, 0) {
            let mark = mark(tables, Owner::Task(row.id));
            let find = || match &mark.firing {
                Some(firing) => Some(firing.due),
                None => of_task(row)?.next(mark.through, &zone),
            };
            if self.has_come(row.modified(), &mark, now, round, find) {
                due.extend(task_due(row, &mark, now, &zone));
            }
        }
        for row in tables.of::<PowerManagement>().by(PowerManagement::WAKING, 0) {
            let mark = mark(tables, Owner::Power(row.id));
            let find = || of_rule(row).next(mark.through, &zone);
            if self.has_come(row.modified(), &mark, now, round, find) {
                due.extend(rule_due(row, &mark, now, &zone));
            }
        }
        self.known.retain(|_, known| known.seen == round);
        due
    }

    fn has_come(
        &mut self,
        row: Revision,
        mark: &Mark,
        now: Timestamp,
        round: u64,
        find: impl FnOnce() -> Option<Timestamp>,
    ) -> bool {
        let fresh = self.known.get(&mark.owner).is_some_and(|known| (known.row, known.mark) == (row, mark.modified));
        if !fresh {
            let next = find();
            self.known.insert(mark.owner, Known { row, mark: mark.modified, next, seen: round });
        }
        let Some(known) = self.known.get_mut(&mark.owner) else { return false };
        known.seen = round;
        known.next.is_some_and(|next| next <= now)
    }
}

/// The mark of a schedule. One that has none (its row was written by hand into the store) starts at zero, and what it missed
/// is bounded like everything else.
pub(crate) fn mark(tables: &Tables, owner: Owner) -> Mark {
    match tables.marks().get(owner) {
        Some(mark) => Mark::clone(mark),
        None => Mark::new(owner, Timestamp::from_millis(0)),
    }
}
