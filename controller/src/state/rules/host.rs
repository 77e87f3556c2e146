//! Hosts: the machines that are imaged.

use foghorn_types::MacAddress;

use super::scheduled_task::{self, MARK_BYTES};
use super::{Rules, Write};
use super::{host_parts, membership};
use crate::state::class::Body;
use crate::state::classes::{
    GreenFog, GroupAssociation, Host, HostAutoLogout, HostScreenSetting, Image, ImagingLog,
    Inventory, MacAddressAssociation, ModuleAssociation, PowerManagement, PrinterAssociation,
    ScheduledTask, SnapinAssociation, SnapinJob, SnapinTask, Task, UserTracking,
};
use crate::state::draft::Draft;
use crate::state::json::JsonObject;
use crate::state::machines::identity::IdentityOf;
use crate::state::machines::removal::forget_identity;
use crate::state::needle::Needle;
use crate::state::refusal::Refusal;
use crate::state::row::Row;
use crate::state::scene::Scene;
use crate::state::tables::Tables;
use crate::state::value::ids;

/// A run as stored, generously.
const RUN_BYTES: usize = 4096;
/// Its row, its run, its place in a multicast session, and the end of that session.
const TASK_OPS: usize = 7;

impl Host {
    /// Its addresses, the primary one first.
    #[must_use]
    pub fn addresses(&self, tables: &Tables) -> Vec<MacAddress> {
        let mut rows: Vec<_> = tables
            .of::<MacAddressAssociation>()
            .by(MacAddressAssociation::BY_HOST, self.id.into())
            .collect();
        rows.sort_by_key(|row| !row.primary.is_yes());
        rows.iter().filter_map(|row| row.address()).collect()
    }
}

impl Rules for Host {
    fn extras(row: Option<&Row<Self>>, scene: &Scene<'_>, out: &mut JsonObject<'_>) {
        let tables = scene.tables;
        let id = row.map_or(0, |row| row.id);
        let image = row
            .and_then(|row| tables.of::<Image>().get(row.image))
            .map(AsRef::as_ref);
        let addresses = || {
            tables
                .of::<MacAddressAssociation>()
                .by(MacAddressAssociation::BY_HOST, id.into())
        };
        let primary = addresses().find(|mac| mac.primary.is_yes());
        out.text("primac", primary.map_or("", |mac| &mac.mac));
        out.text("imagename", image.map_or("", |image| &image.name));
        out.plain(
            "hostscreen",
            tables
                .of::<HostScreenSetting>()
                .by(HostScreenSetting::BY_HOST, id.into())
                .next()
                .map(AsRef::as_ref),
            scene,
        );
        out.plain(
            "hostalo",
            tables
                .of::<HostAutoLogout>()
                .by(HostAutoLogout::BY_HOST, id.into())
                .next()
                .map(AsRef::as_ref),
            scene,
        );
        out.full(
            "inventory",
            tables
                .of::<Inventory>()
                .by(Inventory::BY_HOST, id.into())
                .next()
                .map(AsRef::as_ref),
            scene,
        );
        out.plain("image", image, scene);
        out.texts("macs", addresses().map(|mac| &mac.mac));
    }

    fn found_through(scene: &Scene<'_>, needle: &Needle) -> Option<Vec<u32>> {
        Some(host_parts::found_through(scene, needle))
    }

    fn on_write(
        draft: &mut Draft<'_>,
        object: &mut Self,
        write: Write<'_, Self>,
        body: &Body,
    ) -> Result<(), Refusal> {
        host_parts::check_name(&object.name)?;
        if !matches!(write, Write::Edit(row) if row.kernel_device == object.kernel_device) {
            host_parts::check_disk_rules(&object.kernel_device)?;
        }
        match write {
            Write::Create => host_parts::give_addresses(draft, object.id, body)?,
            Write::Edit(_) => host_parts::change_addresses(draft, object.id, body)?,
        }
        Ok(())
    }

    fn spread(draft: &mut Draft<'_>, id: u32, _is_new: bool, body: &Body) -> Result<(), Refusal> {
        if let Some(groups) = body.get("groups").map(ids) {
            membership::replace::<GroupAssociation>(draft, GroupAssociation::BY_HOST, id, &groups)?;
        }
        if let Some(modules) = body.get("modules").map(ids) {
            membership::give_modules(draft, id, &modules)?;
        }
        if let Some(printers) = body.get("printers").map(ids) {
            membership::replace::<PrinterAssociation>(
                draft,
                PrinterAssociation::BY_HOST,
                id,
                &printers,
            )?;
        }
        if let Some(snapins) = body.get("snapins").map(ids) {
            membership::replace::<SnapinAssociation>(
                draft,
                SnapinAssociation::BY_HOST,
                id,
                &snapins,
            )?;
        }
        Ok(())
    }

    fn on_delete(draft: &mut Draft<'_>, row: &Row<Self>) -> Result<(), Refusal> {
        let tables = draft.tables();
        let id = row.id.into();
        for task in tables.tasks().by(Task::BY_HOST, id) {
            if draft.has_room(TASK_OPS, RUN_BYTES) {
                Task::on_delete(draft, task)?;
                draft.delete(task);
            }
        }
        draft.delete_each(
            tables
                .of::<MacAddressAssociation>()
                .by(MacAddressAssociation::BY_HOST, id),
        );
        draft.delete_each(
            tables
                .of::<GroupAssociation>()
                .by(GroupAssociation::BY_HOST, id),
        );
        draft.delete_each(tables.of::<Inventory>().by(Inventory::BY_HOST, id));
        draft.delete_each(
            tables
                .of::<HostScreenSetting>()
                .by(HostScreenSetting::BY_HOST, id),
        );
        draft.delete_each(
            tables
                .of::<HostAutoLogout>()
                .by(HostAutoLogout::BY_HOST, id),
        );
        draft.require_no_new::<ScheduledTask>();
        let schedules = tables.of::<ScheduledTask>();
        scheduled_task::delete_each(draft, schedules.by(ScheduledTask::BY_HOST, id))?;
        for rule in tables
            .of::<PowerManagement>()
            .by(PowerManagement::BY_HOST, id)
        {
            if draft.has_room(3, MARK_BYTES) {
                PowerManagement::on_delete(draft, rule)?;
                draft.delete(rule);
            }
        }
        draft.delete_each(tables.of::<ImagingLog>().by(ImagingLog::BY_HOST, id));
        draft.delete_each(
            tables
                .of::<SnapinAssociation>()
                .by(SnapinAssociation::BY_HOST, id),
        );
        for job in tables.of::<SnapinJob>().by(SnapinJob::BY_HOST, id) {
            draft.delete_each(
                tables
                    .of::<SnapinTask>()
                    .by(SnapinTask::BY_JOB, job.id.into()),
            );
        }
        draft.delete_each(tables.of::<SnapinJob>().by(SnapinJob::BY_HOST, id));
        draft.delete_each(
            tables
                .of::<PrinterAssociation>()
                .by(PrinterAssociation::BY_HOST, id),
        );
        draft.delete_each(
            tables
                .of::<ModuleAssociation>()
                .by(ModuleAssociation::BY_HOST, id),
        );
        draft.delete_each(tables.of::<UserTracking>().by(UserTracking::BY_HOST, id));
        draft.delete_each(tables.of::<GreenFog>().by(GreenFog::BY_HOST, id));
        // With the row itself: until then it can still be imaged.
        if let Some(host) = row.key().filter(|_| draft.postponed() == 0) {
            forget_identity(draft, IdentityOf::Host(host));
        }
        Ok(())
    }
}
