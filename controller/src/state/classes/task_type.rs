//! Kinds of tasks.

use crate::state::class::{Class, Computed, Shape, id_in_field, unique_name};
use crate::state::field::{Field, field};
use crate::state::value::Flag;

/// Kinds of tasks.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TaskType {
    pub id: u32,
    pub name: String,
    pub description: String,
    pub icon: String,
    pub kernel: String,
    pub kernel_args: String,
    pub kind: String,
    pub is_advanced: Flag,
    pub access: String,
    pub initrd: String,
}

impl Class for TaskType {
    const NAME: &'static str = "tasktype";
    const ABOUT: &'static str = "Something that can be done to a host.";
    const FIELDS: &'static [Field<Self>] = &[
        Field::id(|c: &Self| c.id).about("Number of the type."),
        field!(text, "name", 30, name)
            .required()
            .about("Name, unique without case."),
        field!(long_text, "description", description).about("Free text."),
        field!(text, "icon", 30, icon)
            .required()
            .about("Name of its icon."),
        field!(text, "kernel", 100, kernel).about("Kernel to boot instead of the usual one."),
        field!(long_text, "kernelArgs", kernel_args).about("Arguments for the kernel."),
        Field::choice(
            "type",
            &["fog", "user"],
            |c: &Self| &c.kind,
            |c| &mut c.kind,
        )
        .about("Who made it: the program or a user."),
        field!(flag, "isAdvanced", is_advanced)
            .about("Whether pages show it among the advanced ones."),
        Field::choice(
            "access",
            &["both", "host", "group"],
            |c: &Self| &c.access,
            |c| &mut c.access,
        )
        .about("What it can be done to: hosts, groups or both."),
        field!(long_text, "initrd", initrd)
            .about("Initial file system to boot instead of the usual one."),
    ];
    const COMPUTED: &'static [Computed] = &[Computed {
        name: "isSnapinTasking",
        shape: Shape::Boolean,
        about: "Whether it installs snapins.",
    }];

    id_in_field!();
    unique_name!();
}
