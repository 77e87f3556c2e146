//! Kinds of tasks.

use crate::state::class::{Class, Computed, Shape, Unique, id_in_field};
use crate::state::field::Field;
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
        Field::text("name", 30, |c: &Self| &c.name, |c| &mut c.name)
            .required()
            .about("Name, unique without case."),
        Field::long_text(
            "description",
            |c: &Self| &c.description,
            |c| &mut c.description,
        )
        .about("Free text."),
        Field::text("icon", 30, |c: &Self| &c.icon, |c| &mut c.icon)
            .required()
            .about("Name of its icon."),
        Field::text("kernel", 100, |c: &Self| &c.kernel, |c| &mut c.kernel)
            .about("Kernel to boot instead of the usual one."),
        Field::long_text(
            "kernelArgs",
            |c: &Self| &c.kernel_args,
            |c| &mut c.kernel_args,
        )
        .about("Arguments for the kernel."),
        Field::choice(
            "type",
            &["fog", "user"],
            |c: &Self| &c.kind,
            |c| &mut c.kind,
        )
        .about("Who made it: the program or a user."),
        Field::flag(
            "isAdvanced",
            |c: &Self| &c.is_advanced,
            |c| &mut c.is_advanced,
        )
        .about("Whether pages show it among the advanced ones."),
        Field::choice(
            "access",
            &["both", "host", "group"],
            |c: &Self| &c.access,
            |c| &mut c.access,
        )
        .about("What it can be done to: hosts, groups or both."),
        Field::long_text("initrd", |c: &Self| &c.initrd, |c| &mut c.initrd)
            .about("Initial file system to boot instead of the usual one."),
    ];
    const COMPUTED: &'static [Computed] = &[Computed {
        name: "isSnapinTasking",
        shape: Shape::Boolean,
        about: "Whether it installs snapins.",
    }];
    const NAMED: bool = true;

    id_in_field!();

    fn name(&self) -> &str {
        &self.name
    }

    fn uniques(&self) -> Vec<Unique> {
        vec![Unique::name(&self.name)]
    }
}
