//! Groups: sets of hosts.

use crate::state::class::{Class, Computed, Shape, id_in_field, unique_name};
use crate::state::field::{Field, field};
use crate::state::value::FogTime;

/// A set of hosts.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Group {
    pub id: u32,
    pub name: String,
    pub description: String,
    pub created_by: String,
    pub created_time: FogTime,
    pub building: i64,
    pub kernel: String,
    pub kernel_args: String,
    pub kernel_device: String,
}

impl Class for Group {
    const NAME: &'static str = "group";
    const ABOUT: &'static str = "A set of hosts that are tasked together.";
    const FIELDS: &'static [Field<Self>] = &[
        Field::id(|c: &Self| c.id).about("Number of the group."),
        field!(text, "name", 50, name)
            .required()
            .about("Name, unique without case."),
        field!(long_text, "description", description)
            .information()
            .about("Free text."),
        field!(text, "createdBy", 50, created_by)
            .information()
            .about("Name of the user who created it."),
        field!(time, "createdTime", created_time)
            .information()
            .about("When it was created."),
        field!(number, "building", building)
            .without_effect()
            .about("Number of a building; kept for old scripts."),
        field!(text, "kernel", 255, kernel)
            .without_effect()
            .about("Kernel that its members are to boot."),
        field!(text, "kernelArgs", 255, kernel_args)
            .without_effect()
            .about("Arguments for that kernel."),
        field!(text, "kernelDevice", 255, kernel_device)
            .without_effect()
            .about("Rule for the disk to image; that of the host counts."),
    ];
    const COMPUTED: &'static [Computed] = &[Computed {
        name: "hostcount",
        shape: Shape::Integer,
        about: "Number of hosts in the group.",
    }];
    const ACCEPTS: &'static [Computed] = &[
        Computed {
            name: "hosts",
            shape: Shape::Ids("host"),
            about: "Members; replaces those there were.",
        },
        Computed {
            name: "imageID",
            shape: Shape::Integer,
            about: "Number of an image that all members get.",
        },
        Computed {
            name: "snapins",
            shape: Shape::Ids("snapin"),
            about: "Snapins that all members have; replaces those they had.",
        },
        Computed {
            name: "printers",
            shape: Shape::Ids("printer"),
            about: "Printers that all members have, in an edit; replaces those they had.",
        },
        Computed {
            name: "modules",
            shape: Shape::Ids("module"),
            about: "Modules that are switched on for all members; the others are removed.",
        },
    ];
    const POINTED_AT: bool = true;

    id_in_field!();
    unique_name!();
}
