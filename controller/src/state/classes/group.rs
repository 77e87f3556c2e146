//! Groups: sets of hosts.

use super::GroupAssociation;
use super::membership::{self, Member};
use crate::state::Refusal;
use crate::state::class::{Body, Row, Unique, Write};
use crate::state::class::{Class, Computed, Shape};
use crate::state::draft::Draft;
use crate::state::field::Field;
use crate::state::json::JsonObject;
use crate::state::scene::Scene;
use crate::state::value::{FogTime, ids};

/// A set of hosts.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Group {
    pub id: u32,
    pub name: String,
    pub description: String,
    pub created_by: String,
    pub created_time: FogTime,
    pub building: i64,
    pub kernel: String,
    pub kernel_args: String,
    pub kernel_device: String,
}

impl Class for Group {
    const NAME: &'static str = "group";
    const ABOUT: &'static str = "A set of hosts that are tasked together.";
    const FIELDS: &'static [Field<Self>] = &[
        Field::id(|c: &Self| c.id).about("Number of the group."),
        Field::text("name", 50, |c: &Self| &c.name, |c| &mut c.name).required().about("Name, unique without case."),
        Field::long_text("description", |c: &Self| &c.description, |c| &mut c.description).about("Free text."),
        Field::text("createdBy", 50, |c: &Self| &c.created_by, |c| &mut c.created_by)
            .about("Name of the user who created it."),
        Field::time("createdTime", |c: &Self| &c.created_time, |c| &mut c.created_time).about("When it was created."),
        Field::number("building", |c: &Self| &c.building, |c| &mut c.building)
            .about("Number of a building; kept for old scripts."),
        Field::text("kernel", 255, |c: &Self| &c.kernel, |c| &mut c.kernel)
            .about("Kernel that its members are to boot."),
        Field::text("kernelArgs", 255, |c: &Self| &c.kernel_args, |c| &mut c.kernel_args)
            .about("Arguments for that kernel."),
        Field::text("kernelDevice", 255, |c: &Self| &c.kernel_device, |c| &mut c.kernel_device)
            .about("Rule for the disk to image."),
    ];
    const COMPUTED: &'static [Computed] =
        &[Computed { name: "hostcount", shape: Shape::Integer, about: "Number of hosts in the group." }];
    const ACCEPTS: &'static [Computed] = &[
        Computed { name: "hosts", shape: Shape::Ids("host"), about: "Members; replaces those there were." },
        Computed { name: "imageID", shape: Shape::Integer, about: "Number of an image that all members get." },
        Computed { name: "snapins", shape: Shape::Ids("snapin"), about: "Snapins that all members get." },
    ];
    const NAMED: bool = true;

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

    fn extras(row: Option<&Row<Self>>, scene: &Scene<'_>, out: &mut JsonObject<'_>) {
        let id = row.map_or(0, |row| row.id);
        let members = scene.tables.of::<GroupAssociation>().count_by(GroupAssociation::BY_GROUP, id.into());
        out.integer("hostcount", i64::try_from(members).unwrap_or(i64::MAX));
    }

    fn on_write(
        _draft: &mut Draft<'_>,
        _object: &mut Self,
        write: Write<'_, Self>,
        body: &Body,
    ) -> Result<(), Refusal> {
        if matches!(write, Write::Create) && body.contains_key("printers") {
            return Err(Refusal::Invalid { field: "printers", why: "a new group cannot be given printers".to_owned() });
        }
        Ok(())
    }

    fn spread(draft: &mut Draft<'_>, id: u32, _is_new: bool, body: &Body) -> Result<(), Refusal> {
        let named = body.get("hosts").map(ids);
        if let Some(hosts) = &named {
            membership::replace(draft, Member::HostsOfGroup(id), hosts)?;
        }
        let tables = draft.tables();
        let table = tables.of::<GroupAssociation>();
        let members =
            named.unwrap_or_else(|| table.by(GroupAssociation::BY_GROUP, id.into()).map(|row| row.host).collect());
        let hosts = || members.iter().filter_map(|host| tables.hosts().get(*host));
        if let Some(snapins) = body.get("snapins").map(ids) {
            for host in hosts() {
                membership::replace(draft, Member::SnapinsOfHost(host.id), &snapins)?;
            }
        }
        if let Some(printers) = body.get("printers").map(ids) {
            hosts().try_for_each(|host| membership::replace(draft, Member::PrintersOfHost(host.id), &printers))?;
        }
        if let Some(modules) = body.get("modules").map(ids) {
            hosts().try_for_each(|host| membership::replace(draft, Member::ModulesOfHost(host.id), &modules))?;
        }
        match body.get("imageID").and_then(|image| ids(image).first().copied()) {
            Some(image) => membership::give_image(draft, hosts(), image),
            None => Ok(()),
        }
    }

    fn on_delete(draft: &mut Draft<'_>, row: &Row<Self>) -> Result<(), Refusal> {
        let members = draft.tables().of::<GroupAssociation>().by(GroupAssociation::BY_GROUP, row.id.into());
        draft.delete_each(members);
        Ok(())
    }
}
