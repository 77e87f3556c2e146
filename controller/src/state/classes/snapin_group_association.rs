//! Which storage groups hold the files of which snapins.

use crate::state::class::{Clash, Class, Computed, Row, Shape, Unique};
use crate::state::field::Field;
use crate::state::json::JsonObject;
use crate::state::scene::Scene;
use crate::state::value::Flag;

/// Which storage groups hold the files of which snapins.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SnapinGroupAssociation {
    pub id: u32,
    pub snapin: u32,
    pub storagegroup: u32,
    pub primary: Flag,
}

impl SnapinGroupAssociation {
    /// Index by snapin.
    pub const BY_SNAPIN: usize = 0;
    /// Index by storage group.
    pub const BY_GROUP: usize = 1;
}

impl Class for SnapinGroupAssociation {
    const NAME: &'static str = "snapingroupassociation";
    const ABOUT: &'static str = "Says that the nodes of a storage group hold the file of a snapin.";
    const FIELDS: &'static [Field<Self>] = &[
        Field::id(|c: &Self| c.id).about("Number of the association."),
        Field::reference("snapinID", |c: &Self| c.snapin, |c, id| c.snapin = id).required().about("The snapin."),
        Field::reference("storagegroupID", |c: &Self| c.storagegroup, |c, id| c.storagegroup = id)
            .required()
            .about("The storage group."),
        Field::flag("primary", |c: &Self| &c.primary, |c| &mut c.primary)
            .about("1: this group comes first where one group is asked for."),
    ];
    const COMPUTED: &'static [Computed] = &[
        Computed { name: "snapin", shape: Shape::Empty, about: "Always without members." },
        Computed { name: "storagegroup", shape: Shape::Empty, about: "Always without members." },
    ];
    const RELATIONS: &'static [&'static str] = &["snapin", "storagegroup"];
    const INDEXES: usize = 2;

    fn id(&self) -> u32 {
        self.id
    }

    fn set_id(&mut self, id: u32) {
        self.id = id;
    }

    fn uniques(&self) -> Vec<Unique> {
        vec![Unique { field: "snapinID", value: format!("{}/{}", self.snapin, self.storagegroup), clash: Clash::Merge }]
    }

    fn index_key(&self, number: usize) -> Option<u64> {
        Some(if number == Self::BY_SNAPIN { self.snapin } else { self.storagegroup }.into())
    }

    fn extras(_row: Option<&Row<Self>>, _scene: &Scene<'_>, out: &mut JsonObject<'_>) {
        for relation in Self::RELATIONS {
            out.nothing(relation);
        }
    }
}
