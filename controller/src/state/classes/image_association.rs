//! Which storage groups hold which images.

use crate::state::class::{Clash, Row, Unique};
use crate::state::class::{Class, Computed, Shape};
use crate::state::field::Field;
use crate::state::json::JsonObject;
use crate::state::scene::Scene;
use crate::state::value::Flag;

/// Which storage groups hold which images.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ImageAssociation {
    pub id: u32,
    pub image: u32,
    pub storagegroup: u32,
    pub primary: Flag,
}

impl ImageAssociation {
    /// Index by image.
    pub const BY_IMAGE: usize = 0;
    /// Index by storage group.
    pub const BY_GROUP: usize = 1;
}

impl Class for ImageAssociation {
    const NAME: &'static str = "imageassociation";
    const ABOUT: &'static str = "The storage group that an image is in.";
    const FIELDS: &'static [Field<Self>] = &[
        Field::id(|c: &Self| c.id).about("Number of the association."),
        Field::reference("imageID", |c: &Self| c.image, |c, id| c.image = id).required().about("The image."),
        Field::reference("storagegroupID", |c: &Self| c.storagegroup, |c, id| c.storagegroup = id)
            .required()
            .about("The storage group."),
        Field::flag("primary", |c: &Self| &c.primary, |c| &mut c.primary)
            .about("Whether the group is where the image is captured to."),
    ];
    const COMPUTED: &'static [Computed] = &[
        Computed { name: "image", shape: Shape::Empty, about: "Always without members." },
        Computed { name: "storagegroup", shape: Shape::Empty, about: "Always without members." },
    ];
    const RELATIONS: &'static [&'static str] = &["image", "storagegroup"];
    const INDEXES: usize = 2;

    fn id(&self) -> u32 {
        self.id
    }

    fn set_id(&mut self, id: u32) {
        self.id = id;
    }

    fn uniques(&self) -> Vec<Unique> {
        vec![Unique { field: "imageID", value: format!("{}/{}", self.image, self.storagegroup), clash: Clash::Merge }]
    }

    fn index_key(&self, number: usize) -> Option<u64> {
        Some(if number == Self::BY_IMAGE { self.image } else { self.storagegroup }.into())
    }

    fn extras(_row: Option<&Row<Self>>, _scene: &Scene<'_>, out: &mut JsonObject<'_>) {
        for relation in Self::RELATIONS {
            out.nothing(relation);
        }
    }
}
