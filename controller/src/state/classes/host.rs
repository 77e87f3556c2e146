//! Hosts: the machines that are imaged.

use foghorn_types::{HostId, MacAddress};

use super::{
    GreenFog, GroupAssociation, HostAutoLogout, HostScreenSetting, Image, ImagingLog, Inventory, MacAddressAssociation,
    ModuleAssociation, PowerManagement, PrinterAssociation, ScheduledTask, SnapinAssociation, SnapinJob, SnapinTask,
    Task, UserTracking, host_parts,
    membership::{self, Member},
};
use crate::state::Refusal;
use crate::state::class::Class;
use crate::state::class::{Body, Row, Unique, Write};
use crate::state::draft::Draft;
use crate::state::field::Field;
use crate::state::json::JsonObject;
use crate::state::needle::Needle;
use crate::state::scene::Scene;
use crate::state::value::{Flag, FogTime, ids};

/// A run as stored, generously.
const RUN_BYTES: usize = 4096;
/// A schedule's mark as stored, generously.
const MARK_BYTES: usize = 1024;

/// A machine that is imaged.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Host {
    pub id: u32,
    pub name: String,
    pub description: String,
    pub ip: String,
    pub image: u32,
    pub building: i64,
    pub created_time: FogTime,
    pub deployed: FogTime,
    pub created_by: String,
    pub use_ad: Flag,
    pub ad_domain: String,
    pub ad_ou: String,
    pub ad_user: String,
    pub ad_password: String,
    pub ad_password_legacy: String,
    pub product_key: String,
    pub printer_level: String,
    pub kernel_args: String,
    pub kernel: String,
    /// Rule for the disk that images are written to.
    pub kernel_device: String,
    pub init: String,
    pub pending: Flag,
    pub pub_key: String,
    pub sec_tok: String,
    pub sec_time: FogTime,
    pub pingstatus: String,
    pub biosexit: String,
    pub efiexit: String,
    pub enforce: Flag,
}

impl Host {
    /// Index by image.
    pub const BY_IMAGE: usize = 0;

    /// The typed id; `None` only for a host that was never stored.
    #[must_use]
    pub fn key(&self) -> Option<HostId> {
        HostId::new(self.id)
    }

    /// Its addresses, the primary one first.
    #[must_use]
    pub fn addresses(&self, tables: &crate::state::Tables) -> Vec<MacAddress> {
        let mut rows: Vec<_> =
            tables.of::<MacAddressAssociation>().by(MacAddressAssociation::BY_HOST, self.id.into()).collect();
        rows.sort_by_key(|row| !row.primary.is_yes());
        rows.iter().filter_map(|row| row.address()).collect()
    }
}

impl Class for Host {
    const NAME: &'static str = "host";
    const FIELDS: &'static [Field<Self>] = &[
        Field::id(|c| c.id),
        Field::text("name", 16, |c: &Self| &c.name, |c| &mut c.name).required(),
        Field::long_text("description", |c| &c.description, |c| &mut c.description),
        Field::text("ip", 25, |c| &c.ip, |c| &mut c.ip),
        Field::reference("imageID", |c| c.image, |c, id| c.image = id),
        Field::number("building", |c| &c.building, |c| &mut c.building),
        Field::time("createdTime", |c| &c.created_time, |c| &mut c.created_time),
        Field::time("deployed", |c| &c.deployed, |c| &mut c.deployed),
        Field::text("createdBy", 50, |c| &c.created_by, |c| &mut c.created_by),
        Field::flag("useAD", |c| &c.use_ad, |c| &mut c.use_ad),
        Field::text("ADDomain", 250, |c| &c.ad_domain, |c| &mut c.ad_domain),
        Field::long_text("ADOU", |c| &c.ad_ou, |c| &mut c.ad_ou),
        Field::text("ADUser", 250, |c| &c.ad_user, |c| &mut c.ad_user),
        Field::text("ADPass", 250, |c: &Self| &c.ad_password, |c| &mut c.ad_password).secret(),
        Field::long_text("ADPassLegacy", |c: &Self| &c.ad_password_legacy, |c| &mut c.ad_password_legacy).secret(),
        Field::long_text("productKey", |c: &Self| &c.product_key, |c| &mut c.product_key).secret(),
        Field::text("printerLevel", 2, |c| &c.printer_level, |c| &mut c.printer_level),
        Field::text("kernelArgs", 250, |c| &c.kernel_args, |c| &mut c.kernel_args),
        Field::text("kernel", 250, |c| &c.kernel, |c| &mut c.kernel),
        Field::text("kernelDevice", 250, |c| &c.kernel_device, |c| &mut c.kernel_device),
        Field::long_text("init", |c| &c.init, |c| &mut c.init),
        Field::flag("pending", |c| &c.pending, |c| &mut c.pending),
        Field::long_text("pub_key", |c| &c.pub_key, |c| &mut c.pub_key),
        Field::long_text("sec_tok", |c: &Self| &c.sec_tok, |c| &mut c.sec_tok).secret(),
        Field::time("sec_time", |c| &c.sec_time, |c| &mut c.sec_time),
        Field::text("pingstatus", 20, |c: &Self| &c.pingstatus, |c| &mut c.pingstatus).displayed(host_parts::ping_icon),
        Field::long_text("biosexit", |c| &c.biosexit, |c| &mut c.biosexit),
        Field::long_text("efiexit", |c| &c.efiexit, |c| &mut c.efiexit),
        Field::flag("enforce", |c| &c.enforce, |c| &mut c.enforce),
    ];
    const RELATIONS: &'static [&'static str] = &["hostscreen", "hostalo", "inventory", "image"];
    const NAMED: bool = true;
    const INDEXES: usize = 1;

    fn id(&self) -> u32 {
        self.id
    }

    fn set_id(&mut self, id: u32) {
        self.id = id;
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn uniques(&self) -> Vec<Unique> {
        vec![Unique::name(&self.name)]
    }

    fn index_key(&self, _number: usize) -> Option<u64> {
        Some(self.image.into())
    }

    fn extras(row: Option<&Row<Self>>, scene: &Scene<'_>, out: &mut JsonObject<'_>) {
        let tables = scene.tables;
        let id = row.map_or(0, |row| row.id);
        let image = row.and_then(|row| tables.of::<Image>().get(row.image)).map(AsRef::as_ref);
        let addresses = || tables.of::<MacAddressAssociation>().by(MacAddressAssociation::BY_HOST, id.into());
        let primary = addresses().find(|mac| mac.primary.is_yes());
        out.text("primac", primary.map_or("", |mac| &mac.mac));
        out.text("imagename", image.map_or("", |image| &image.name));
        out.plain(
            "hostscreen",
            tables.of::<HostScreenSetting>().by(HostScreenSetting::BY_HOST, id.into()).next().map(AsRef::as_ref),
            scene,
        );
        out.plain(
            "hostalo",
            tables.of::<HostAutoLogout>().by(HostAutoLogout::BY_HOST, id.into()).next().map(AsRef::as_ref),
            scene,
        );
        out.full(
            "inventory",
            tables.of::<Inventory>().by(Inventory::BY_HOST, id.into()).next().map(AsRef::as_ref),
            scene,
        );
        out.plain("image", image, scene);
        out.texts("macs", addresses().map(|mac| &mac.mac));
    }

    fn found_by_relation(row: &Row<Self>, scene: &Scene<'_>, needle: &Needle) -> bool {
        host_parts::found(row, scene.tables, needle)
    }

    fn on_write(draft: &mut Draft<'_>, object: &mut Self, write: Write<'_, Self>, body: &Body) -> Result<(), Refusal> {
        host_parts::check_name(&object.name)?;
        match write {
            Write::Create => host_parts::give_addresses(draft, object.id, body)?,
            Write::Edit(_) => host_parts::change_addresses(draft, object.id, body)?,
        }
        Ok(())
    }

    fn spread(draft: &mut Draft<'_>, id: u32, _is_new: bool, body: &Body) -> Result<(), Refusal> {
        if let Some(groups) = body.get("groups").map(ids) {
            membership::replace(draft, Member::GroupsOfHost(id), &groups)?;
        }
        // `modules` changes nothing, as on a FOG server; groups and the associations themselves are the ways.
        if let Some(printers) = body.get("printers").map(ids) {
            membership::replace(draft, Member::PrintersOfHost(id), &printers)?;
        }
        if let Some(snapins) = body.get("snapins").map(ids) {
            membership::replace(draft, Member::SnapinsOfHost(id), &snapins)?;
        }
        Ok(())
    }

    fn on_delete(draft: &mut Draft<'_>, row: &Row<Self>) -> Result<(), Refusal> {
        // Whether a task needs it is known only as long as no task is created.
        draft.require_no_new::<Task>();
        let tables = draft.tables();
        let id = row.id.into();
        for task in tables.tasks().by(Task::BY_HOST, id) {
            if draft.has_room(4, RUN_BYTES) {
                Task::on_delete(draft, task)?;
                draft.delete(task);
            }
        }
        draft.delete_each(tables.of::<MacAddressAssociation>().by(MacAddressAssociation::BY_HOST, id));
        draft.delete_each(tables.of::<GroupAssociation>().by(GroupAssociation::BY_HOST, id));
        draft.delete_each(tables.of::<Inventory>().by(Inventory::BY_HOST, id));
        draft.delete_each(tables.of::<HostScreenSetting>().by(HostScreenSetting::BY_HOST, id));
        draft.delete_each(tables.of::<HostAutoLogout>().by(HostAutoLogout::BY_HOST, id));
        for task in tables.of::<ScheduledTask>().by(ScheduledTask::BY_HOST, id) {
            if draft.has_room(3, MARK_BYTES) {
                ScheduledTask::on_delete(draft, task)?;
                draft.delete(task);
            }
        }
        for rule in tables.of::<PowerManagement>().by(PowerManagement::BY_HOST, id) {
            if draft.has_room(3, MARK_BYTES) {
                PowerManagement::on_delete(draft, rule)?;
                draft.delete(rule);
            }
        }
        draft.delete_each(tables.of::<ImagingLog>().by(ImagingLog::BY_HOST, id));
        draft.delete_each(tables.of::<SnapinAssociation>().by(SnapinAssociation::BY_HOST, id));
        for job in tables.of::<SnapinJob>().by(SnapinJob::BY_HOST, id) {
            draft.delete_each(tables.of::<SnapinTask>().by(SnapinTask::BY_JOB, job.id.into()));
        }
        draft.delete_each(tables.of::<SnapinJob>().by(SnapinJob::BY_HOST, id));
        draft.delete_each(tables.of::<PrinterAssociation>().by(PrinterAssociation::BY_HOST, id));
        draft.delete_each(tables.of::<ModuleAssociation>().by(ModuleAssociation::BY_HOST, id));
        draft.delete_each(tables.of::<UserTracking>().by(UserTracking::BY_HOST, id));
        draft.delete_each(tables.of::<GreenFog>().by(GreenFog::BY_HOST, id));
        Ok(())
    }
}
