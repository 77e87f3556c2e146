//! Groups: sets of hosts.

use super::{Rules, Write};
use super::{host_parts, membership, scheduled_task};
use crate::state::class::Body;
use crate::state::classes::{
    Group, GroupAssociation, PrinterAssociation, ScheduledTask, SnapinAssociation,
};
use crate::state::draft::Draft;
use crate::state::json::JsonObject;
use crate::state::refusal::Refusal;
use crate::state::row::Row;
use crate::state::scene::Scene;
use crate::state::value::ids;

impl Rules for Group {
    fn extras(row: Option<&Row<Self>>, scene: &Scene<'_>, out: &mut JsonObject<'_>) {
        let id = row.map_or(0, |row| row.id);
        let members = scene
            .tables
            .of::<GroupAssociation>()
            .count_by(GroupAssociation::BY_GROUP, id.into());
        out.integer("hostcount", i64::try_from(members).unwrap_or(i64::MAX));
    }

    fn on_write(
        _draft: &mut Draft<'_>,
        object: &mut Self,
        write: Write<'_, Self>,
        body: &Body,
    ) -> Result<(), Refusal> {
        if !matches!(write, Write::Edit(row) if row.kernel_device == object.kernel_device) {
            host_parts::check_disk_rules(&object.kernel_device)?;
        }
        if matches!(write, Write::Create) && body.contains_key("printers") {
            return Err(Refusal::Invalid {
                field: "printers",
                why: "a new group cannot be given printers".to_owned(),
            });
        }
        Ok(())
    }

    fn spread(draft: &mut Draft<'_>, id: u32, _is_new: bool, body: &Body) -> Result<(), Refusal> {
        let named = body.get("hosts").map(ids);
        if let Some(hosts) = &named {
            membership::replace::<GroupAssociation>(draft, GroupAssociation::BY_GROUP, id, hosts)?;
        }
        let tables = draft.tables();
        let table = tables.of::<GroupAssociation>();
        let members = named.unwrap_or_else(|| {
            table
                .by(GroupAssociation::BY_GROUP, id.into())
                .map(|row| row.host)
                .collect()
        });
        let hosts = || members.iter().filter_map(|host| tables.hosts().get(*host));
        if let Some(snapins) = body.get("snapins").map(ids) {
            for host in hosts() {
                membership::replace::<SnapinAssociation>(
                    draft,
                    SnapinAssociation::BY_HOST,
                    host.id,
                    &snapins,
                )?;
            }
        }
        if let Some(printers) = body.get("printers").map(ids) {
            hosts().try_for_each(|host| {
                membership::replace::<PrinterAssociation>(
                    draft,
                    PrinterAssociation::BY_HOST,
                    host.id,
                    &printers,
                )
            })?;
        }
        if let Some(modules) = body.get("modules").map(ids) {
            hosts().try_for_each(|host| membership::give_modules(draft, host.id, &modules))?;
        }
        match body
            .get("imageID")
            .and_then(|image| ids(image).first().copied())
        {
            Some(image) => membership::give_image(draft, hosts(), image),
            None => Ok(()),
        }
    }

    fn on_delete(draft: &mut Draft<'_>, row: &Row<Self>) -> Result<(), Refusal> {
        let members = draft
            .tables()
            .of::<GroupAssociation>()
            .by(GroupAssociation::BY_GROUP, row.id.into());
        draft.delete_each(members);
        // Its schedules are known only as long as no schedule is created.
        draft.require_no_new::<ScheduledTask>();
        let table = draft.tables().of::<ScheduledTask>();
        scheduled_task::delete_each(draft, table.by(ScheduledTask::BY_GROUP, row.id.into()))
    }
}
