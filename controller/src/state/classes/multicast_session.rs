//! Multicast sessions: deploys of one image that belong together.

use foghorn_types::SessionId;

use crate::state::class::{Class, Computed, Current, Shape, id_in_field};
use crate::state::field::{Field, field};
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
        field!(text, "name", 250, name)
            .about("Name under which a host joins; emptied when the session is cancelled."),
        field!(number, "port", port).about("UDP port of the session."),
        field!(long_text, "logpath", logpath).about("Path of the image."),
        field!(reference, "image", image)
            .none_as("")
            .shadowed()
            .about("Id of the image. Answers show it as `imageID`, and the image itself as `image`."),
        field!(number, "clients", clients).about(
            "Hosts that have checked in; before the first, 0 for a group's and -1 for one that a single host opened.",
        ),
        field!(number, "sessclients", sessclients)
            .about("Hosts that the stream waits for; 0 for as many as have tasks."),
        field!(text, "interface", 250, interface)
            .about("Network interface of the storage node that sends."),
        field!(time, "starttime", starttime).about("When it was ordered (UTC)."),
        field!(number, "percent", percent)
            .about("Progress of the slowest host, 0 to 100."),
        field!(reference, "stateID", state)
            .about("Id of the task state; 0 until a host has begun."),
        field!(time, "completetime", completetime)
            .about("When it completed (UTC)."),
        field!(number, "isDD", is_dd).about("Id of the image's type."),
        field!(reference, "storagegroupID", storagegroup)
            .about("Id of the storage group that has the image."),
        field!(text, "anon3", 250, anon3).about("Kept, without a meaning."),
        field!(text, "anon4", 250, anon4).about("Kept, without a meaning."),
        field!(text, "anon5", 250, anon5).about("Kept, without a meaning."),
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
    const POINTED_AT: bool = true;

    id_in_field!();

    fn name(&self) -> &str {
        &self.name
    }

    fn index_key(&self, _number: usize) -> Option<u64> {
        self.is_active().then_some(0)
    }
}
