//! Which hosts have which snapins.

use crate::state::class::Class;
use crate::state::class::{Clash, Unique};
use crate::state::field::Field;

/// Which hosts have which snapins.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SnapinAssociation {
    pub id: u32,
    pub host: u32,
    pub snapin: u32,
}

impl SnapinAssociation {
    /// Index by host.
    pub const BY_HOST: usize = 0;
    /// Index by snapin.
    pub const BY_SNAPIN: usize = 1;
}

impl Class for SnapinAssociation {
    const NAME: &'static str = "snapinassociation";
    const ABOUT: &'static str = "Says that a host has a snapin: it runs it when all its snapins are deployed.";
    const FIELDS: &'static [Field<Self>] = &[
        Field::id(|c: &Self| c.id).about("Number of the association."),
        Field::reference("hostID", |c: &Self| c.host, |c, id| c.host = id).required().about("The host."),
        Field::reference("snapinID", |c: &Self| c.snapin, |c, id| c.snapin = id).required().about("The snapin."),
    ];
    const INDEXES: usize = 2;

    fn id(&self) -> u32 {
        self.id
    }

    fn set_id(&mut self, id: u32) {
        self.id = id;
    }

    fn uniques(&self) -> Vec<Unique> {
        vec![Unique { field: "hostID", value: format!("{}/{}", self.host, self.snapin), clash: Clash::Merge }]
    }

    fn index_key(&self, number: usize) -> Option<u64> {
        Some(if number == Self::BY_HOST { self.host } else { self.snapin }.into())
    }
}
