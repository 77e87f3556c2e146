//! Which hosts are in which groups.

use crate::state::class::Class;
use crate::state::class::{Clash, Unique};
use crate::state::field::Field;

/// Which hosts are in which groups.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct GroupAssociation {
    pub id: u32,
    pub host: u32,
    pub group: u32,
}

impl GroupAssociation {
    /// Index by host.
    pub const BY_HOST: usize = 0;
    /// Index by group.
    pub const BY_GROUP: usize = 1;
}

impl Class for GroupAssociation {
    const NAME: &'static str = "groupassociation";
    const ABOUT: &'static str = "A host's membership in a group.";
    const FIELDS: &'static [Field<Self>] = &[
        Field::id(|c: &Self| c.id).about("Number of the membership."),
        Field::reference("hostID", |c: &Self| c.host, |c, id| c.host = id).required().about("The member."),
        Field::reference("groupID", |c: &Self| c.group, |c, id| c.group = id).required().about("The group."),
    ];
    const INDEXES: usize = 2;

    fn id(&self) -> u32 {
        self.id
    }

    fn set_id(&mut self, id: u32) {
        self.id = id;
    }

    fn uniques(&self) -> Vec<Unique> {
        vec![Unique { field: "hostID", value: format!("{}/{}", self.host, self.group), clash: Clash::Merge }]
    }

    fn index_key(&self, number: usize) -> Option<u64> {
        Some(if number == Self::BY_HOST { self.host } else { self.group }.into())
    }
}
