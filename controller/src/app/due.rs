//! Determines what is due from the rows, their marks and the time. Pure.

use std::collections::HashMap;
use std::time::Duration;

use foghorn_types::Timestamp;
use jiff::tz::TimeZone;

use crate::state::classes::{PowerManagement, ScheduledTask};
use crate::state::cron::{Fields, Rule};
use crate::state::schedule::{Mark, Owner};
use crate::state::{Tables, zone};
use crate::store::Revision;

/// A one-time task whose time passed while no controller was running is still created within this
/// time.
pub(crate) const ONCE_LATE: Duration = Duration::from_secs(24 * 60 * 60);
/// Runs of a calendar that were missed while no controller was running are made up for once, within
/// this time: nobody wants last night's deploy at nine in the morning.
pub(crate) const CALENDAR_LATE: Duration = Duration::from_secs(60 * 60);
/// An immediate action is delayed by this time, so that its creator still sees its row.
const AT_ONCE_AFTER: Duration = Duration::from_secs(1);

/// A schedule whose time has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Due {
    pub(crate) owner: Owner,
    /// The time for which it was planned.
    pub(crate) at: Timestamp,
    /// Whether it is too late.
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
    /// The first time after `through`.
    fn next(&self, through: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        match self {
            Self::Once(moment) => (*moment > through).then_some(*moment),
            Self::Calendar(fields) => Rule::parse(*fields).ok()?.after(through, zone),
            Self::AtOnce => Some(through + AT_ONCE_AFTER),
        }
    }

    /// What to do at `now` when `next` has passed.
    fn due(&self, owner: Owner, next: Timestamp, now: Timestamp, zone: &TimeZone) -> Due {
        let (at, patience) = match self {
            Self::Once(_) => (next, ONCE_LATE),
            // Only the last of several missed runs counts.
            Self::Calendar(fields) => {
                let latest = Rule::parse(*fields)
                    .ok()
                    .and_then(|rule| rule.latest(now, zone));
                (latest.unwrap_or(next).max(next), CALENDAR_LATE)
            }
            Self::AtOnce => (next, CALENDAR_LATE),
        };
        Due {
            owner,
            at,
            missed: now.since(at) > patience,
        }
    }
}

fn of_task(row: &ScheduledTask) -> Option<Timing<'_>> {
    if !row.is_active() {
        return None;
    }
    if row.by_calendar() {
        Some(Timing::Calendar(row.calendar()))
    } else {
        row.moment().map(Timing::Once)
    }
}

fn of_rule(row: &PowerManagement) -> Timing<'_> {
    if row.on_demand.is_yes() {
        Timing::AtOnce
    } else {
        Timing::Calendar(row.calendar())
    }
}

/// What is due for one scheduled task.
pub(crate) fn task_due(
    row: &ScheduledTask,
    mark: &Mark,
    now: Timestamp,
    zone: &TimeZone,
) -> Option<Due> {
    if let Some(firing) = &mark.firing {
        // A controller stopped in the middle of this run.
        return Some(Due {
            owner: mark.owner,
            at: firing.due,
            missed: false,
        });
    }
    came(of_task(row)?, mark, now, zone)
}

/// What is due for one rule of power management.
pub(crate) fn rule_due(
    row: &PowerManagement,
    mark: &Mark,
    now: Timestamp,
    zone: &TimeZone,
) -> Option<Due> {
    came(of_rule(row), mark, now, zone)
}

fn came(timing: Timing<'_>, mark: &Mark, now: Timestamp, zone: &TimeZone) -> Option<Due> {
    let next = timing
        .next(mark.through, zone)
        .filter(|next| *next <= now)?;
    Some(timing.due(mark.owner, next, now, zone))
}

/// Caches when each schedule is due next, because computing this for many thousands of schedules
/// each second is expensive.
#[derive(Default)]
pub(crate) struct Agenda {
    known: HashMap<Owner, Known>,
}

struct Known {
    row: Revision,
    mark: Revision,
    zone: TimeZone,
    next: Option<Timestamp>,
    /// Round in which it was last seen.
    seen: u64,
}

impl Agenda {
    /// Everything that is due at `now`, in the order of rows.
    pub(crate) fn due(&mut self, tables: &Tables, now: Timestamp, round: u64) -> Vec<Due> {
        let mut due = Vec::new();
        for row in tables.of::<ScheduledTask>().by(ScheduledTask::ACTIVE, 0) {
            let (mark, zone) = (
                mark(tables, Owner::Task(row.id)),
                zone::of_task(tables, row),
            );
            let find = || match &mark.firing {
                Some(firing) => Some(firing.due),
                None => of_task(row)?.next(mark.through, &zone),
            };
            let version = (row.modified(), mark.modified, &zone);
            if self.has_come(mark.owner, version, now, round, find) {
                due.extend(task_due(row, &mark, now, &zone));
            }
        }
        for row in tables
            .of::<PowerManagement>()
            .by(PowerManagement::WAKING, 0)
        {
            let (mark, zone) = (
                mark(tables, Owner::Power(row.id)),
                zone::of_rule(tables, row),
            );
            let find = || of_rule(row).next(mark.through, &zone);
            let version = (row.modified(), mark.modified, &zone);
            if self.has_come(mark.owner, version, now, round, find) {
                due.extend(rule_due(row, &mark, now, &zone));
            }
        }
        self.known.retain(|_, known| known.seen == round);
        due
    }

    fn has_come(
        &mut self,
        owner: Owner,
        (row, mark, zone): (Revision, Revision, &TimeZone),
        now: Timestamp,
        round: u64,
        find: impl FnOnce() -> Option<Timestamp>,
    ) -> bool {
        let fresh = self
            .known
            .get(&owner)
            .is_some_and(|known| (known.row, known.mark, &known.zone) == (row, mark, zone));
        if !fresh {
            let next = find();
            self.known.insert(
                owner,
                Known {
                    row,
                    mark,
                    zone: zone.clone(),
                    next,
                    seen: round,
                },
            );
        }
        let Some(known) = self.known.get_mut(&owner) else {
            return false;
        };
        known.seen = round;
        known.next.is_some_and(|next| next <= now)
    }
}

/// The mark of a schedule. A schedule without one (its row was written directly into the store)
/// starts at zero, and its missed runs are limited like all others.
pub(crate) fn mark(tables: &Tables, owner: Owner) -> Mark {
    match tables.marks().get(&owner) {
        Some(mark) => Mark::clone(mark),
        None => Mark::new(owner, Timestamp::from_millis(0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::value::Flag;

    fn at(text: &str) -> Timestamp {
        Timestamp::from_millis(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
    }

    fn zone(name: &str) -> TimeZone {
        TimeZone::get(name).unwrap()
    }

    fn calendar(fields: [&str; 5]) -> ScheduledTask {
        let [minute, hour, day_of_month, month, day_of_week] = fields.map(str::to_owned);
        let active = "1".to_owned();
        let kind = ScheduledTask::BY_CALENDAR.to_owned();
        ScheduledTask {
            id: 1,
            kind,
            minute,
            hour,
            day_of_month,
            month,
            day_of_week,
            is_active: active,
            ..Default::default()
        }
    }

    /// Every time for which the schedule runs when it is checked each minute.
    fn fires(row: &ScheduledTask, from: &str, until: &str, zone: &TimeZone) -> Vec<String> {
        let (mut now, until) = (at(from), at(until));
        let mut mark = Mark::new(Owner::Task(1), now);
        let mut fired = Vec::new();
        while now < until {
            if let Some(due) = task_due(row, &mark, now, zone) {
                assert!(!due.missed);
                fired.push(due.at.to_string());
                mark.through = due.at;
            }
            now = now + Duration::from_secs(60);
        }
        fired
    }

    #[test]
    fn a_moment_comes_once_and_is_made_up_for_within_a_day() {
        let row = ScheduledTask {
            kind: ScheduledTask::ONCE.to_owned(),
            schedule_time: 1_000_000,
            is_active: "1".to_owned(),
            ..Default::default()
        };
        let due_at = |now: i64, through: i64| {
            let mark = Mark::new(Owner::Task(1), Timestamp::from_millis(through * 1000));
            task_due(
                &row,
                &mark,
                Timestamp::from_millis(now * 1000),
                &TimeZone::UTC,
            )
            .map(|due| due.missed)
        };
        assert_eq!(due_at(999_999, 0), None);
        assert_eq!(due_at(1_000_000, 0), Some(false));
        assert_eq!(due_at(1_000_000 + 86_400, 0), Some(false));
        assert_eq!(due_at(1_000_000 + 86_401, 0), Some(true));
        assert_eq!(due_at(1_000_001, 1_000_000), None, "it has been dealt with");
        let off = ScheduledTask {
            is_active: "0".to_owned(),
            ..row.clone()
        };
        let mark = Mark::new(Owner::Task(1), Timestamp::from_millis(0));
        assert_eq!(
            task_due(&off, &mark, at("2026-01-01T00:00:00Z"), &TimeZone::UTC),
            None
        );
    }

    #[test]
    fn clocks_that_change_neither_skip_nor_repeat_a_night() {
        let berlin = zone("Europe/Berlin");
        let nightly = calendar(["30", "2", "*", "*", "*"]);
        // 2027-03-28: 02:00 becomes 03:00, so half past two does not exist; it comes when the clock
        // has moved.
        assert_eq!(
            fires(
                &nightly,
                "2027-03-26T12:00:00Z",
                "2027-03-29T12:00:00Z",
                &berlin
            ),
            [
                "2027-03-27T01:30:00Z",
                "2027-03-28T01:00:00Z",
                "2027-03-29T00:30:00Z"
            ]
        );
        // 2027-10-31: 03:00 becomes 02:00, so half past two comes twice; the first one counts.
        assert_eq!(
            fires(
                &nightly,
                "2027-10-30T12:00:00Z",
                "2027-11-01T12:00:00Z",
                &berlin
            ),
            ["2027-10-31T00:30:00Z", "2027-11-01T01:30:00Z"]
        );
        // Every half hour goes on through both hours.
        let often = calendar(["*/30", "*", "*", "*", "*"]);
        assert_eq!(
            fires(
                &often,
                "2027-10-30T23:59:00Z",
                "2027-10-31T02:01:00Z",
                &berlin
            )
            .len(),
            5
        );
    }

    #[test]
    fn both_days_must_fit() {
        let friday_13th = calendar(["00", "12", "13", "*", "5"]);
        let fired = fires(
            &friday_13th,
            "2026-01-01T00:00:00Z",
            "2026-04-01T00:00:00Z",
            &TimeZone::UTC,
        );
        assert_eq!(fired, ["2026-02-13T12:00:00Z", "2026-03-13T12:00:00Z"]);
    }

    #[test]
    fn what_was_missed_does_not_pile_up() {
        let row = calendar(["*/10", "*", "*", "*", "*"]);
        let mark = Mark::new(Owner::Task(1), at("2026-05-01T00:00:00Z"));
        let due = task_due(&row, &mark, at("2026-05-03T12:07:00Z"), &TimeZone::UTC).unwrap();
        assert_eq!((due.at, due.missed), (at("2026-05-03T12:00:00Z"), false));
        let after = Mark::new(Owner::Task(1), due.at);
        assert_eq!(
            task_due(&row, &after, at("2026-05-03T12:07:00Z"), &TimeZone::UTC),
            None
        );
        let nightly = calendar(["30", "2", "*", "*", "*"]);
        let late = task_due(&nightly, &mark, at("2026-05-03T09:00:00Z"), &TimeZone::UTC).unwrap();
        assert_eq!((late.at, late.missed), (at("2026-05-03T02:30:00Z"), true));
    }

    #[test]
    fn a_firing_that_was_cut_off_goes_on() {
        let mut mark = Mark::new(Owner::Task(1), at("2026-05-01T00:00:00Z"));
        mark.firing = Some(crate::state::schedule::Firing::begin(at(
            "2026-05-01T02:30:00Z",
        )));
        let row = calendar(["30", "2", "*", "*", "*"]);
        let due = task_due(&row, &mark, at("2026-05-02T00:00:00Z"), &TimeZone::UTC).unwrap();
        assert_eq!((due.at, due.missed), (at("2026-05-01T02:30:00Z"), false));
    }

    #[test]
    fn on_demand_is_due_whatever_the_calendar_says() {
        let rule = PowerManagement {
            id: 1,
            on_demand: Flag::Yes,
            ..PowerManagement::default()
        };
        let mark = Mark::new(Owner::Power(1), at("2026-05-01T00:00:00Z"));
        assert!(rule_due(&rule, &mark, at("2026-05-01T00:00:02Z"), &TimeZone::UTC).is_some());
        assert!(rule_due(&rule, &mark, at("2026-05-01T00:00:00Z"), &TimeZone::UTC).is_none());
    }

    #[test]
    fn rules_that_mean_nothing_are_named() {
        let names = ["minute", "hour", "dayOfMonth", "month", "dayOfWeek"];
        let parse = |texts: [&'static str; 5]| {
            let mut fields = [("", ""); 5];
            for (place, text) in texts.into_iter().enumerate() {
                fields[place] = (names[place], text);
            }
            Rule::parse(Fields(fields))
                .map(drop)
                .map_err(|bad| bad.field)
        };
        assert_eq!(parse(["0", "3", "*", "*", "0"]), Ok(()));
        assert_eq!(parse(["0", "3", "*", "*", "7"]), Ok(()));
        assert_eq!(parse(["", "3", "*", "*", "*"]), Err("minute"));
        assert_eq!(parse(["61", "3", "*", "*", "*"]), Err("minute"));
        assert_eq!(parse(["0", "24", "*", "*", "*"]), Err("hour"));
        assert_eq!(parse(["0", "x", "*", "*", "*"]), Err("hour"));
        assert_eq!(parse(["0", "1 2", "*", "*", "*"]), Err("hour"));
        assert_eq!(parse(["0", "3", "@daily", "*", "*"]), Err("dayOfMonth"));
        assert_eq!(parse(["0", "3", "31", "2", "*"]), Err("dayOfMonth"));
        assert_eq!(parse(["0", "3", "*", "13", "*"]), Err("month"));
        assert_eq!(parse(["0", "3", "*", "*", "8"]), Err("dayOfWeek"));
    }
}
