//! Tasks that are created later: once at a moment, or again and again by the calendar.

use std::sync::Arc;

use foghorn_types::{TaskTypeId, Timestamp};

use super::{Rules, Write};
use crate::state::class::Body;
use crate::state::classes::host::ping_icon;
use crate::state::classes::scheduled_task::Target;
use crate::state::classes::{Group, Host, ScheduledTask, TaskType};
use crate::state::cron::Rule;
use crate::state::draft::Draft;
use crate::state::json::JsonObject;
use crate::state::refusal::Refusal;
use crate::state::row::Row;
use crate::state::scene::Scene;
use crate::state::schedule::{Mark, Owner};
use crate::state::tables::Tables;
use crate::state::zone;

/// A schedule's mark as stored, generously.
pub(super) const MARK_BYTES: usize = 1024;

/// Deletes schedules with what goes with them, as far as there is room.
pub(super) fn delete_each<'r>(
    draft: &mut Draft<'_>,
    rows: impl Iterator<Item = &'r Arc<Row<ScheduledTask>>>,
) -> Result<(), Refusal> {
    for row in rows {
        if draft.has_room(3, MARK_BYTES) {
            ScheduledTask::on_delete(draft, row)?;
            draft.delete(row);
        }
    }
    Ok(())
}

impl ScheduledTask {
    /// Whether it does nothing but run this snapin.
    pub(super) fn runs_only(&self, snapin: u32) -> bool {
        self.task_type == TaskTypeId::SINGLE_SNAPIN.get()
            && self.other2.trim().parse() == Ok(snapin)
    }

    /// When it comes next, whether or not it is switched on.
    #[must_use]
    pub fn next(&self, tables: &Tables, now: Timestamp) -> Option<Timestamp> {
        if !self.by_calendar() {
            return self.moment();
        }
        Rule::parse(self.calendar())
            .ok()?
            .after(now, &zone::of_task(tables, self))
    }
}

impl Rules for ScheduledTask {
    fn extras(row: Option<&Row<Self>>, scene: &Scene<'_>, out: &mut JsonObject<'_>) {
        match row.map(|row| row.target()) {
            Some(Target::Group(id)) => group(id, scene, out),
            Some(Target::Host(id)) => host(id, scene, out),
            None => out.full::<Host>("host", None, scene),
        }
        let kind = row.and_then(|row| scene.tables.of::<TaskType>().get(row.task_type));
        out.plain("tasktype", kind.map(AsRef::as_ref), scene);
        out.text(
            "runtime",
            &row.map(|row| runtime(row, scene.tables))
                .unwrap_or_default(),
        );
    }

    fn on_write(
        draft: &mut Draft<'_>,
        object: &mut Self,
        write: Write<'_, Self>,
        _body: &Body,
    ) -> Result<(), Refusal> {
        let now = Timestamp::now();
        // What is switched on now is not due for yesterday; a moment that has just passed is.
        let mut through = Timestamp::from_millis(0);
        match object.kind.as_str() {
            Self::ONCE => {}
            Self::BY_CALENDAR => {
                through = now;
                Rule::parse(object.calendar()).map_err(|bad| Refusal::Invalid {
                    field: bad.field,
                    why: bad.to_string(),
                })?;
            }
            other => {
                let why = format!("{other:?} is neither S (once) nor C (by the calendar)");
                return Err(Refusal::Invalid { field: "type", why });
            }
        }
        if let Write::Edit(row) = write
            && row.is_timed_like(object)
        {
            return Ok(());
        }
        draft.store(&Mark::new(Owner::Task(object.id), through));
        Ok(())
    }

    fn on_delete(draft: &mut Draft<'_>, row: &Row<Self>) -> Result<(), Refusal> {
        draft.forget::<Mark>(&Owner::Task(row.id));
        Ok(())
    }
}

fn runtime(row: &ScheduledTask, tables: &Tables) -> String {
    let next = if row.by_calendar() {
        row.next(tables, Timestamp::now())
    } else {
        Some(Timestamp::from_millis(row.schedule_time * 1000))
    };
    let next = next.and_then(|next| jiff::Timestamp::from_millisecond(next.as_millis()).ok());
    next.map(|next| {
        next.to_zoned(zone::of_task(tables, row))
            .strftime("%Y-%m-%d %H:%M")
            .to_string()
    })
    .unwrap_or_default()
}

/// A group that does not exist is shown with its id and nothing else, as there.
fn group(id: u32, scene: &Scene<'_>, out: &mut JsonObject<'_>) {
    match scene.tables.of::<Group>().get(id) {
        Some(row) => out.full::<Group>("group", Some(row), scene),
        None => out.object("group", |group| {
            group.text("id", &id.to_string());
            group.integer("hostcount", 0);
        }),
    }
}

/// A host that does not exist is shown with its id and with what is worked out from nothing, as
/// there.
fn host(id: u32, scene: &Scene<'_>, out: &mut JsonObject<'_>) {
    if let Some(row) = scene.tables.hosts().get(id) {
        return out.full::<Host>("host", Some(row), scene);
    }
    out.object("host", |host| {
        host.text("id", &id.to_string());
        host.text("primac", "");
        for name in ["imagename", "ADPass", "productKey"] {
            host.null(name);
        }
        for name in ["hostscreen", "hostalo", "macs"] {
            host.texts(name, [""; 0]);
        }
        host.object("inventory", |inventory| inventory.text("memory", "0.00 iB"));
        host.object("image", |image| {
            for name in ["os", "imagepartitiontype", "imagetype"] {
                image.nothing(name);
            }
        });
        host.text("pingstatus", &ping_icon(""));
    });
}
