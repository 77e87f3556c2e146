//! Associations: which hosts are in which groups, which host has which snapins, and so on. Each row
//! is a pair of objects, and no pair comes twice.

use crate::state::class::{Clash, Class, Computed, Reference, Shape, Unique, id_in_field};
use crate::state::classes::{
    Group, Host, Image, Module, MulticastSession, Printer, Snapin, StorageGroup, Task,
};
use crate::state::field::{Field, field};
use crate::state::value::Flag;

/// A class whose rows are pairs of objects. It has two indexes: 0 by its left object, 1 by its
/// right one.
pub trait Association: Class {
    /// A new pair; whatever else the row has is empty.
    fn pair(left: u32, right: u32) -> Self;
    fn left(&self) -> u32;
    fn right(&self) -> u32;
    /// Class of the object that index 0 or 1 is by.
    fn class_by(index: usize) -> &'static str;
}

/// Declares an association: its names, its left object, its right object (class, member, name in the
/// API, index, what it is), its other fields, and further constants of its [`Class`]. Either object
/// takes the association along when it is deleted, unless its class is not [`Class::POINTED_AT`].
macro_rules! association {
    (
        $(#[$doc:meta])*
        $class:ident $name:literal $about:literal
        $left_class:ident $left:ident $left_field:literal $by_left:ident $left_about:literal,
        $right_class:ident $right:ident $right_field:literal $by_right:ident $right_about:literal
        $(, $more:ident: $type:ty = $field:expr)* $(,)?
        $(; $(const $constant:ident: $constant_type:ty = $value:expr;)*)?
    ) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Debug, Default)]
        pub struct $class {
            pub id: u32,
            pub $left: u32,
            pub $right: u32,
            $(pub $more: $type,)*
        }

        impl $class {
            pub const $by_left: usize = 0;
            pub const $by_right: usize = 1;
        }

        impl Class for $class {
            const NAME: &'static str = $name;
            const ABOUT: &'static str = $about;
            const FIELDS: &'static [Field<Self>] = &[
                Field::id(|c: &Self| c.id).about("Number of the association."),
                field!(reference, $left_field, $left)
                    .required()
                    .about($left_about),
                field!(reference, $right_field, $right)
                    .required()
                    .about($right_about),
                $($field,)*
            ];
            const INDEXES: usize = 2;
            $($(const $constant: $constant_type = $value;)*)?

            id_in_field!();

            fn uniques(&self) -> Vec<Unique> {
                let value = format!("{}/{}", self.$left, self.$right);
                vec![Unique { field: $left_field, value, clash: Clash::Merge }]
            }

            fn points_at(&self) -> Vec<Reference> {
                [
                    Reference::maybe::<$left_class>(self.$left),
                    Reference::maybe::<$right_class>(self.$right),
                ]
                .into_iter()
                .flatten()
                .collect()
            }

            fn index_key(&self, number: usize) -> Option<u64> {
                Some(if number == Self::$by_left { self.$left } else { self.$right }.into())
            }
        }

        impl Association for $class {
            fn pair($left: u32, $right: u32) -> Self {
                Self { $left, $right, ..Self::default() }
            }

            fn left(&self) -> u32 {
                self.$left
            }

            fn right(&self) -> u32 {
                self.$right
            }

            fn class_by(index: usize) -> &'static str {
                if index == Self::$by_left { $left_class::NAME } else { $right_class::NAME }
            }
        }
    };
}

association! {
    /// Which hosts are in which groups.
    GroupAssociation "groupassociation" "A host's membership in a group."
    Host host "hostID" BY_HOST "The member.",
    Group group "groupID" BY_GROUP "The group.",
}

association! {
    /// Which storage groups hold which images.
    ImageAssociation "imageassociation" "The storage group that an image is in."
    Image image "imageID" BY_IMAGE "The image.",
    StorageGroup storagegroup "storagegroupID" BY_GROUP "The storage group.",
    primary: Flag = field!(flag, "primary", primary)
        .about("Whether the group is where the image is captured to.");
    const COMPUTED: &'static [Computed] = &[
        Computed { name: "image", shape: Shape::Empty, about: "Always without members." },
        Computed { name: "storagegroup", shape: Shape::Empty, about: "Always without members." },
    ];
    const RELATIONS: &'static [&'static str] = &["image", "storagegroup"];
}

association! {
    /// Whether a part of the client is on, on one host.
    ModuleAssociation "moduleassociation" "Whether a part of the client is on, on one host."
    Host host "hostID" BY_HOST "The host, by its id.",
    Module module "moduleID" BY_MODULE "The part of the client, by its id.",
    state: String = field!(text, "state", 1, state)
        .about("`1` for on, anything else for off."),
}

impl ModuleAssociation {
    /// `state` of a part that is on.
    pub const ON: &str = "1";

    #[must_use]
    pub fn is_on(&self) -> bool {
        self.state == Self::ON
    }
}

association! {
    /// A task of a multicast session.
    MulticastSessionAssociation "multicastsessionassociation" "A task that belongs to a multicast session."
    MulticastSession session "msID" BY_SESSION "Id of the multicast session.",
    Task task "taskID" BY_TASK "Id of the task.";
    const ALIASES: &'static [&'static str] = &["multicastsessionsassociation"];
}

association! {
    /// A printer that the client sets up on one host.
    PrinterAssociation "printerassociation" "A printer that the client sets up on one host."
    Host host "hostID" BY_HOST "The host, by its id.",
    Printer printer "printerID" BY_PRINTER "The printer, by its id.",
    is_default: String = field!(text, "isDefault", 2, is_default)
        .about("`1` for the default printer of the host."),
    anon1: String = field!(text, "anon1", 2, anon1).about(KEPT),
    anon2: String = field!(text, "anon2", 2, anon2).about(KEPT),
    anon3: String = field!(text, "anon3", 2, anon3).about(KEPT),
    anon4: String = field!(text, "anon4", 2, anon4).about(KEPT),
    anon5: String = field!(text, "anon5", 2, anon5).about(KEPT),
}

const KEPT: &str = "Kept for clients that use it; Foghorn gives it no meaning.";

association! {
    /// Which hosts have which snapins.
    SnapinAssociation "snapinassociation"
    "Says that a host has a snapin: it runs it when all its snapins are deployed."
    Host host "hostID" BY_HOST "The host.",
    Snapin snapin "snapinID" BY_SNAPIN "The snapin.",
}

association! {
    /// Which storage groups hold the files of which snapins.
    SnapinGroupAssociation "snapingroupassociation"
    "Says that the nodes of a storage group hold the file of a snapin."
    Snapin snapin "snapinID" BY_SNAPIN "The snapin.",
    StorageGroup storagegroup "storagegroupID" BY_GROUP "The storage group.",
    primary: Flag = field!(flag, "primary", primary)
        .about("1: this group comes first where one group is asked for.");
    const COMPUTED: &'static [Computed] = &[
        Computed { name: "snapin", shape: Shape::Empty, about: "Always without members." },
        Computed { name: "storagegroup", shape: Shape::Empty, about: "Always without members." },
    ];
    const RELATIONS: &'static [&'static str] = &["snapin", "storagegroup"];
}
