//! Images: a name and settings; what they contain is in [`crate::state::content`].

use foghorn_lifecycle::TaskState as RunState;
use foghorn_types::ImageId;

use super::membership::{self, Member};
use super::task::{end_run, state};
use super::{Host, ImageAssociation, ImagePartitionType, ImageType, Os, StorageGroup, Task};
use crate::state::Refusal;
use crate::state::class::{Body, Row, Unique};
use crate::state::class::{Class, Computed, Shape};
use crate::state::content::ImageContent;
use crate::state::draft::Draft;
use crate::state::field::Field;
use crate::state::json::JsonObject;
use crate::state::needle::Needle;
use crate::state::scene::Scene;
use crate::state::value::{Flag, FogTime, ids};

/// A name and settings.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Image {
    pub image_type: u32,
    pub image_partition_type: u32,
    pub id: u32,
    pub name: String,
    pub description: String,
    pub path: String,
    pub created_time: FogTime,
    pub created_by: String,
    pub building: i64,
    /// Bytes of each partition of the captured disk, joined with `:`.
    pub size: String,
    pub os: u32,
    pub deployed: FogTime,
    pub format: String,
    pub magnet: String,
    pub protected: i64,
    pub compress: i64,
    pub is_enabled: Flag,
    pub to_replicate: Flag,
    /// Bytes that the image takes on a storage node.
    pub srvsize: i64,
}

impl Image {
    /// The typed id; `None` only for an image that was never stored.
    #[must_use]
    pub fn key(&self) -> Option<ImageId> {
        ImageId::new(self.id)
    }
}

/// The storage group that a new task of the image uses: the primary one, or the first it was put in.
#[must_use]
pub fn storage_group(tables: &crate::state::Tables, image: u32) -> Option<&Row<StorageGroup>> {
    let associations = || tables.of::<ImageAssociation>().by(ImageAssociation::BY_IMAGE, image.into());
    let chosen = associations().find(|row| row.primary.is_yes()).or_else(|| associations().next())?;
    tables.of::<StorageGroup>().get(chosen.storagegroup).map(AsRef::as_ref)
}

impl Class for Image {
    const NAME: &'static str = "image";
    const ABOUT: &'static str = "The contents of a disk that hosts can be given.";
    const FIELDS: &'static [Field<Self>] = &[
        Field::reference("imageTypeID", |c: &Self| c.image_type, |c, id| c.image_type = id)
            .required()
            .about("How disks are captured; an object of class imagetype."),
        Field::reference(
            "imagePartitionTypeID",
            |c: &Self| c.image_partition_type,
            |c, id| c.image_partition_type = id,
        )
        .none_as("")
        .about("Which partitions are captured; an object of class imagepartitiontype."),
        Field::id(|c: &Self| c.id).about("Number of the image."),
        Field::text("name", 40, |c: &Self| &c.name, |c| &mut c.name).required().about("Name, unique without case."),
        Field::long_text("description", |c: &Self| &c.description, |c| &mut c.description).about("Free text."),
        Field::long_text("path", |c: &Self| &c.path, |c| &mut c.path)
            .required()
            .about("Name of its folder on storage nodes."),
        Field::time("createdTime", |c: &Self| &c.created_time, |c| &mut c.created_time).about("When it was created."),
        Field::text("createdBy", 50, |c: &Self| &c.created_by, |c| &mut c.created_by)
            .about("Name of the user who created it."),
        Field::number("building", |c: &Self| &c.building, |c| &mut c.building)
            .about("Number of a building; kept for old scripts."),
        Field::text("size", 255, |c: &Self| &c.size, |c| &mut c.size)
            .about("Sizes of its partitions in bytes, as captured."),
        Field::reference("osID", |c: &Self| c.os, |c, id| c.os = id)
            .required()
            .about("Its operating system; an object of class os."),
        Field::time("deployed", |c: &Self| &c.deployed, |c| &mut c.deployed).about("When it was last captured."),
        Field::text("format", 1, |c: &Self| &c.format, |c| &mut c.format)
            .about("Format of its files, as one digit; Foghorn has one format and keeps what is stored here."),
        Field::long_text("magnet", |c: &Self| &c.magnet, |c| &mut c.magnet).about("Magnet link; kept for old scripts."),
        Field::number("protected", |c: &Self| &c.protected, |c| &mut c.protected)
            .within(-8_388_608, 8_388_607, 1)
            .about("Not 0: a capture may not overwrite it."),
        Field::number("compress", |c: &Self| &c.compress, |c| &mut c.compress).about("Compression level."),
        Field::flag("isEnabled", |c: &Self| &c.is_enabled, |c| &mut c.is_enabled).about("Whether tasks may use it."),
        Field::flag("toReplicate", |c: &Self| &c.to_replicate, |c| &mut c.to_replicate)
            .about("Whether it is copied to the other nodes of its storage groups."),
        Field::number("srvsize", |c: &Self| &c.srvsize, |c| &mut c.srvsize)
            .within(0, i64::MAX, 1)
            .about("Size on the storage node in bytes."),
    ];
    const COMPUTED: &'static [Computed] = &[
        Computed { name: "os", shape: Shape::Full("os"), about: "Its operating system." },
        Computed {
            name: "imagepartitiontype",
            shape: Shape::Full("imagepartitiontype"),
            about: "Which partitions are captured.",
        },
        Computed { name: "imagetype", shape: Shape::Full("imagetype"), about: "How disks are captured." },
        Computed { name: "imagetypename", shape: Shape::Text, about: "Name of its type." },
        Computed { name: "imageparttypename", shape: Shape::Text, about: "Name of the choice of partitions." },
        Computed { name: "osname", shape: Shape::Text, about: "Name of its operating system." },
        Computed { name: "storagegroupname", shape: Shape::Text, about: "Name of its primary storage group." },
    ];
    const ACCEPTS: &'static [Computed] = &[
        Computed {
            name: "storagegroups",
            shape: Shape::Ids("storagegroup"),
            about: "Storage groups that hold it, the first as primary; without any, the first group there is.",
        },
        Computed { name: "hosts", shape: Shape::Ids("host"), about: "Hosts that get the image." },
    ];
    const RELATIONS: &'static [&'static str] = &["os", "imagepartitiontype", "imagetype"];
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
        let tables = scene.tables;
        let os = row.and_then(|row| tables.of::<Os>().get(row.os)).map(AsRef::as_ref);
        let partitions =
            row.and_then(|row| tables.of::<ImagePartitionType>().get(row.image_partition_type)).map(AsRef::as_ref);
        let kind = row.and_then(|row| tables.of::<ImageType>().get(row.image_type)).map(AsRef::as_ref);
        out.full("os", os, scene);
        out.full("imagepartitiontype", partitions, scene);
        out.full("imagetype", kind, scene);
        out.text("imagetypename", kind.map_or("", |row| &row.name));
        out.text("imageparttypename", partitions.map_or("", |row| &row.name));
        out.text("osname", os.map_or("", |row| &row.name));
        out.text("storagegroupname", row.and_then(|row| storage_group(tables, row.id)).map_or("", |group| &group.name));
    }

    fn found_by_relation(row: &Row<Self>, scene: &Scene<'_>, needle: &Needle) -> bool {
        scene.tables.hosts().by(Host::BY_IMAGE, row.id.into()).any(|host| needle.hits(&host.name))
    }

    fn spread(draft: &mut Draft<'_>, id: u32, is_new: bool, body: &Body) -> Result<(), Refusal> {
        let tables = draft.tables();
        let named = body.get("storagegroups").map(ids);
        if is_new {
            // As on a FOG server: a new image always joins the first group too, which is its primary one only when no group
            // was named.
            let primary = named.is_none().into();
            let first = tables.of::<StorageGroup>().iter().next().map(|group| group.id);
            let mut groups: Vec<u32> = first.into_iter().collect();
            groups.extend(named.into_iter().flatten().filter(|group| Some(*group) != first));
            membership::replace(draft, Member::GroupsOfImage(id, primary), &groups)?;
        } else if let Some(groups) = named {
            membership::replace(draft, Member::GroupsOfImage(id, Flag::No), &groups)?;
        }
        let hosts = body.get("hosts").map(ids).unwrap_or_default();
        membership::give_image(draft, hosts.into_iter().filter_map(|host| tables.hosts().get(host)), id)
    }

    fn on_delete(draft: &mut Draft<'_>, row: &Row<Self>) -> Result<(), Refusal> {
        if row.protected != 0 {
            return Err(Refusal::Protected { class: Self::NAME, id: row.id });
        }
        // Whether a task needs it is known only as long as no task is created.
        draft.require_no_new::<Task>();
        let tables = draft.tables();
        stop_tasks(draft, row)?;
        membership::give_image(draft, tables.hosts().by(Host::BY_IMAGE, row.id.into()), 0)?;
        draft.delete_each(tables.of::<ImageAssociation>().by(ImageAssociation::BY_IMAGE, row.id.into()));
        // With the row itself: until then the image can still be deployed.
        if let Some(image) = row.key().filter(|_| draft.postponed() == 0) {
            draft.operate(ImageContent::delete_op(image));
        }
        Ok(())
    }
}

/// A stored run, generously.
const RUN_BYTES: usize = 4096;

/// Cancels the tasks that wait to work with the image. One that has begun keeps it: its host's disk would be left half written.
fn stop_tasks(draft: &mut Draft<'_>, image: &Row<Image>) -> Result<(), Refusal> {
    let tables = draft.tables();
    let runs: Vec<_> = tables.runs().active().filter(|run| Some(run.image) == image.key()).collect();
    let begun = |state: &RunState| matches!(state, RunState::CheckedIn { .. } | RunState::Running { .. });
    if let Some(run) = runs.iter().find(|run| begun(run.life.state())) {
        return Err(Refusal::InUse { class: Image::NAME, id: image.id, task: run.task.get() });
    }
    for run in runs {
        let Some(task) = tables.tasks().get(run.task.get()) else { continue };
        if draft.has_room(2, RUN_BYTES) {
            end_run(draft, task, "the image was deleted");
            draft.update(task, &Task { state: state::CANCELLED, ..Task::clone(task) })?;
        }
    }
    Ok(())
}
