//! Multicast sessions: deploys of one image that belong together.

use foghorn_types::SessionId;

use crate::state::class::{Class, Computed, Current, Shape, id_in_field};
use crate::state::field::Field;
use crate::state::value::FogTime;

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

    /// The typed id; `None` only for a session that was never stored.
    #[must_use]
    pub fn key(&self) -> Option<SessionId> {
        SessionId::new(self.id)
    }

    /// Not complete and not cancelled; a new one has no state yet.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.state <= super::task::state::IN_PROGRESS
    }
}

impl Class for MulticastSession {
    const NAME: &'static str = "multicastsession";
    const ABOUT: &'static str = "Deploys of one image to several hosts that were ordered together.";
    const FIELDS: &'static [Field<Self>] = &[
        Field::id(|c: &Self| c.id).about("Number of the session."),
        Field::text("name", 250, |c: &Self| &c.name, |c| &mut c.name)
            .about("Name under which a host joins; emptied when the session is cancelled."),
        Field::number("port", |c: &Self| &c.port,
            |c| &mut c.port).about("UDP port of the session."),
        Field::long_text("logpath", |c: &Self| &c.logpath,
            |c| &mut c.logpath).about("Path of the image."),
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
        Field::time("starttime", |c: &Self| &c.starttime,
            |c| &mut c.starttime).about("When it was ordered (UTC)."),
        Field::number("percent", |c: &Self| &c.percent, |c| &mut c.percent)
            .about("Progress of the slowest host, 0 to 100."),
        Field::reference("stateID", |c: &Self| c.state, |c, id| c.state = id)
            .about("Id of the task state; 0 until a host has begun."),
        Field::time("completetime", |c: &Self| &c.completetime, |c| &mut c.completetime)
            .about("When it completed (UTC)."),
        Field::number("isDD", |c: &Self| &c.is_dd,
            |c| &mut c.is_dd).about("Id of the image's type."),
        Field::reference("storagegroupID", |c: &Self| c.storagegroup, |c, id| c.storagegroup = id)
            .about("Id of the storage group that has the image."),
        Field::text("anon3", 250, |c: &Self| &c.anon3,
            |c| &mut c.anon3).about("Kept, without a meaning."),
        Field::text("anon4", 250, |c: &Self| &c.anon4,
            |c| &mut c.anon4).about("Kept, without a meaning."),
        Field::text("anon5", 250, |c: &Self| &c.anon5,
            |c| &mut c.anon5).about("Kept, without a meaning."),
    ];
    const COMPUTED: &'static [Computed] = &[
        Computed {
            name: "image",
            shape: Shape::Plain("image"),
            about: "The image.",
        },
        Computed {
            name: "imageID",
            shape: Shape::OptionalText,
            about: "Id of the image, empty for none.",
        },
        Computed {
            name: "state",
            shape: Shape::Plain("taskstate"),
            about: "The state.",
        },
    ];
    const RELATIONS: &'static [&'static str] = &["image", "state"];
    const NAMED: bool = true;
    const ANY_ID: Option<&'static [&'static str]> = Some(&[]);
    const INDEXES: usize = 1;
    const CURRENT: Option<Current> = Some(Current {
        index: Self::ACTIVE,
        field: "stateID",
    });

    id_in_field!();

    fn name(&self) -> &str {
        &self.name
    }

    fn index_key(&self, _number: usize) -> Option<u64> {
        self.is_active().then_some(0)
    }
}
