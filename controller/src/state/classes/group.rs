//! Groups: sets of hosts.

use crate::state::class::{Class, Computed, Shape, Unique, id_in_field};
use crate::state::field::Field;
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
        Field::text("name", 50, |c: &Self| &c.name, |c| &mut c.name)
            .required()
            .about("Name, unique without case."),
        Field::long_text(
            "description",
            |c: &Self| &c.description,
            |c| &mut c.description,
        )
        .about("Free text."),
        Field::text(
            "createdBy",
            50,
            |c: &Self| &c.created_by,
            |c| &mut c.created_by,
        )
        .about("Name of the user who created it."),
        Field::time(
            "createdTime",
            |c: &Self| &c.created_time,
            |c| &mut c.created_time,
        )
        .about("When it was created."),
        Field::number("building", |c: &Self| &c.building, |c| &mut c.building)
            .about("Number of a building; kept for old scripts."),
        Field::text("kernel", 255, |c: &Self| &c.kernel, |c| &mut c.kernel)
            .about("Kernel that its members are to boot."),
        Field::text(
            "kernelArgs",
            255,
            |c: &Self| &c.kernel_args,
            |c| &mut c.kernel_args,
        )
        .about("Arguments for that kernel."),
        Field::text(
            "kernelDevice",
            255,
            |c: &Self| &c.kernel_device,
            |c| &mut c.kernel_device,
        )
        .about("Rule for the disk to image."),
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
            about: "Snapins that all members get.",
        },
    ];
    const NAMED: bool = true;

    id_in_field!();

    fn name(&self) -> &str {
        &self.name
    }

    fn uniques(&self) -> Vec<Unique> {
        vec![Unique::name(&self.name)]
    }
}
