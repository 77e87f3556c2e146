//! Which tasks belong to which multicast session.

use crate::state::class::{Clash, Class, Unique};
use crate::state::field::Field;

/// A task of a multicast session.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MulticastSessionAssociation {
    pub id: u32,
    pub session: u32,
    pub task: u32,
}

impl MulticastSessionAssociation {
    /// Index by session.
    pub const BY_SESSION: usize = 0;
    /// Index by task.
    pub const BY_TASK: usize = 1;
}

impl Class for MulticastSessionAssociation {
    const NAME: &'static str = "multicastsessionassociation";
    const ALIASES: &'static [&'static str] = &["multicastsessionsassociation"];
    const ABOUT: &'static str = "A task that belongs to a multicast session.";
    const FIELDS: &'static [Field<Self>] = &[
        Field::id(|c: &Self| c.id).about("Number of the association."),
        Field::reference("msID", |c: &Self| c.session, |c, id| c.session = id)
            .required()
            .about("Id of the multicast session."),
        Field::reference("taskID", |c: &Self| c.task, |c, id| c.task = id).required().about("Id of the task."),
    ];
    const INDEXES: usize = 2;

    fn id(&self) -> u32 {
        self.id
    }

    fn set_id(&mut self, id: u32) {
        self.id = id;
    }

    fn uniques(&self) -> Vec<Unique> {
        vec![Unique { field: "msID", value: format!("{}/{}", self.session, self.task), clash: Clash::Merge }]
    }

    fn index_key(&self, number: usize) -> Option<u64> {
        Some(if number == Self::BY_SESSION { self.session } else { self.task }.into())
    }
}
