//! Multicast sessions: deploys of one image that belong together.

use foghorn_types::TaskId;

use super::{Image, MulticastSessionAssociation, TaskState};
use crate::state::class::{Body, Class, Computed, Current, Row, Shape, Write};
use crate::state::draft::Draft;
use crate::state::field::Field;
use crate::state::json::JsonObject;
use crate::state::scene::Scene;
use crate::state::value::FogTime;
use crate::state::{Refusal, Tables};

/// Deploys of one image that belong together.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MulticastSession {
    pub id: u32,
    pub name: String,
    pub port: i64,
    pub logpath: String,
    pub image: u32,
    pub clients: i64,
    pub sessclients: i64,
    pub interface: String,
    pub starttime: FogTime,
    pub percent: i64,
    pub state: u32,
    pub completetime: FogTime,
    pub is_dd: i64,
    pub storagegroup: u32,
    pub anon3: String,
    pub anon4: String,
    pub anon5: String,
}

impl MulticastSession {
    /// Those that have not ended, under key 0.
    pub const ACTIVE: usize = 0;

    /// Not complete and not cancelled; a new one has no state yet.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.state <= super::task::state::IN_PROGRESS
    }

    /// How many of its hosts have come; `None` before the first, when `clients` says how the session was made.
    #[must_use]
    pub fn joined(&self, tables: &Tables) -> Option<i64> {
        let rows = self.members(tables).filter_map(|task| tables.tasks().get(task));
        let joined = rows.filter(|task| task.check_in_time.0.is_some()).count();
        (joined > 0).then(|| i64::try_from(joined).unwrap_or(i64::MAX))
    }

    /// Ids of its tasks.
    fn members(&self, tables: &Tables) -> impl Iterator<Item = u32> {
        let members = tables.of::<MulticastSessionAssociation>();
        members.by(MulticastSessionAssociation::BY_SESSION, self.id.into()).map(|member| member.task)
    }
}

impl Class for MulticastSession {
    const NAME: &'static str = "multicastsession";
    const ABOUT: &'static str = "Deploys of one image to several hosts that were ordered together.";
    const FIELDS: &'static [Field<Self>] = &[
        Field::id(|c: &Self| c.id).about("Number of the session."),
        Field::text("name", 250, |c: &Self| &c.name, |c| &mut c.name)
            .about("Name under which a host joins; emptied when the session is cancelled."),
        Field::number("port", |c: &Self| &c.port, |c| &mut c.port).about("UDP port of the session."),
        Field::long_text("logpath", |c: &Self| &c.logpath, |c| &mut c.logpath).about("Path of the image."),
        Field::reference("image", |c: &Self| c.image, |c, id| c.image = id)
            .none_as("")
            .shadowed()
            .about("Id of the image. Answers show it as `imageID`, and the image itself as `image`."),
        Field::number("clients", |c: &Self| &c.clients, |c| &mut c.clients).about(
            "Hosts that have checked in; before the first, 0 for a group's and -1 for one that a single host opened.",
        ),
        Field::number("sessclients", |c: &Self| &c.sessclients, |c| &mut c.sessclients)
            .about("Hosts that the stream waits for; 0 for as many as have tasks."),
        Field::text("interface", 250, |c: &Self| &c.interface, |c| &mut c.interface)
            .about("Network interface of the storage node that sends."),
        Field::time("starttime", |c: &Self| &c.starttime, |c| &mut c.starttime).about("When it was ordered (UTC)."),
        Field::number("percent", |c: &Self| &c.percent, |c| &mut c.percent)
            .about("Progress of the slowest host, 0 to 100."),
        Field::reference("stateID", |c: &Self| c.state, |c, id| c.state = id)
            .about("Id of the task state; 0 until a host has begun."),
        Field::time("completetime", |c: &Self| &c.completetime, |c| &mut c.completetime)
            .about("When it completed (UTC)."),
        Field::number("isDD", |c: &Self| &c.is_dd, |c| &mut c.is_dd).about("Id of the image's type."),
        Field::reference("storagegroupID", |c: &Self| c.storagegroup, |c, id| c.storagegroup = id)
            .about("Id of the storage group that has the image."),
        Field::text("anon3", 250, |c: &Self| &c.anon3, |c| &mut c.anon3).about("Kept, without a meaning."),
        Field::text("anon4", 250, |c: &Self| &c.anon4, |c| &mut c.anon4).about("Kept, without a meaning."),
        Field::text("anon5", 250, |c: &Self| &c.anon5, |c| &mut c.anon5).about("Kept, without a meaning."),
    ];
    const COMPUTED: &'static [Computed] = &[
        Computed { name: "image", shape: Shape::Plain("image"), about: "The image." },
        Computed { name: "imageID", shape: Shape::OptionalText, about: "Id of the image, empty for none." },
        Computed { name: "state", shape: Shape::Plain("taskstate"), about: "The state." },
    ];
    const RELATIONS: &'static [&'static str] = &["image", "state"];
    const NAMED: bool = true;
    const ANY_ID: Option<&'static [&'static str]> = Some(&[]);
    const INDEXES: usize = 1;
    const CURRENT: Option<Current> = Some(Current { index: Self::ACTIVE, field: "stateID" });

    fn bare(out: &mut JsonObject<'_>) {
        out.texts("state", [""; 0]);
        out.null("imageID");
        out.object("image", |image| {
            for name in <Image as Class>::RELATIONS {
                image.nothing(name);
            }
        });
    }

    fn id(&self) -> u32 {
        self.id
    }

    fn set_id(&mut self, id: u32) {
        self.id = id;
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn index_key(&self, _number: usize) -> Option<u64> {
        self.is_active().then_some(0)
    }

    fn extras(row: Option<&Row<Self>>, scene: &Scene<'_>, out: &mut JsonObject<'_>) {
        let tables = scene.tables;
        out.plain("image", row.and_then(|row| tables.images().get(row.image)).map(AsRef::as_ref), scene);
        let image = row.map(|row| row.image).filter(|image| *image != 0);
        out.text("imageID", &image.map(|image| image.to_string()).unwrap_or_default());
        let state = row.and_then(|row| tables.of::<TaskState>().get(row.state));
        out.plain("state", state.map(AsRef::as_ref), scene);
    }

    fn overlay(&self, scene: &Scene<'_>) -> Option<Self> {
        if !self.is_active() {
            return None;
        }
        let running = self.members(scene.tables).filter_map(TaskId::new);
        let slowest = running.filter_map(|task| scene.glance.progress(task)).map(|progress| progress.percent).min();
        let clients = self.joined(scene.tables);
        if slowest.is_none() && clients.is_none() {
            return None;
        }
        let percent = slowest.map_or(self.percent, i64::from);
        Some(Self { percent, clients: clients.unwrap_or(self.clients), ..self.clone() })
    }

    fn on_write(draft: &mut Draft<'_>, object: &mut Self, write: Write<'_, Self>, _body: &Body) -> Result<(), Refusal> {
        // No guard holds the name: sessions of tasks take theirs from what the task is called, as often as that comes.
        // Two creates at once meet at the class's counter of ids, so the second one sees the first.
        let owner = draft.tables().of::<Self>().named(&object.name).filter(|_| !object.name.trim().is_empty());
        match (write, owner) {
            (Write::Create, Some(owner)) => {
                Err(Refusal::Taken { class: Self::NAME, field: "name", value: object.name.clone(), owner: owner.id })
            }
            _ => Ok(()),
        }
    }

    fn on_delete(draft: &mut Draft<'_>, row: &Row<Self>) -> Result<(), Refusal> {
        let members = draft.tables().of::<MulticastSessionAssociation>();
        draft.delete_each(members.by(MulticastSessionAssociation::BY_SESSION, row.id.into()));
        Ok(())
    }
}
