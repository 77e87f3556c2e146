//! Kinds of tasks.

use crate::state::class::Class;
use crate::state::class::{Row, Unique};
use crate::state::field::Field;
use crate::state::json::JsonObject;
use crate::state::scene::Scene;
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
    const FIELDS: &'static [Field<Self>] = &[
        Field::id(|c| c.id),
        Field::text("name", 30, |c: &Self| &c.name, |c| &mut c.name).required(),
        Field::long_text("description", |c| &c.description, |c| &mut c.description),
        Field::text("icon", 30, |c: &Self| &c.icon, |c| &mut c.icon).required(),
        Field::text("kernel", 100, |c| &c.kernel, |c| &mut c.kernel),
        Field::long_text("kernelArgs", |c| &c.kernel_args, |c| &mut c.kernel_args),
        Field::choice("type", &["fog", "user"], |c| &c.kind, |c| &mut c.kind),
        Field::flag("isAdvanced", |c| &c.is_advanced, |c| &mut c.is_advanced),
        Field::choice("access", &["both", "host", "group"], |c| &c.access, |c| &mut c.access),
        Field::long_text("initrd", |c| &c.initrd, |c| &mut c.initrd),
    ];
    const NAMED: bool = true;

    fn id(&self) -> u32 {
        self.id
    }

    fn set_id(&mut self, id: u32) {
        self.id = id;
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn uniques(&self) -> Vec<Unique> {
        vec![Unique::name(&self.name)]
    }

    fn extras(row: Option<&Row<Self>>, _scene: &Scene<'_>, out: &mut JsonObject<'_>) {
        out.boolean("isSnapinTasking", row.is_some_and(|row| matches!(row.id, 12 | 13)));
    }
}
