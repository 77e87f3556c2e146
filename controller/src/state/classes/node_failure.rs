//! Storage nodes that failed while a host was served.

use crate::state::class::{Clash, Class, Computed, Shape, Unique, id_in_field};
use crate::state::field::{Field, field};
use crate::state::value::FogTime;

/// Storage nodes that failed while a host was served.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NodeFailure {
    pub id: u32,
    pub storagenode: u32,
    pub task: u32,
    pub host: u32,
    pub storagegroup: u32,
    pub failure_time: FogTime,
}

impl Class for NodeFailure {
    const NAME: &'static str = "nodefailure";
    const ABOUT: &'static str = "A storage node that failed a task.";
    const FIELDS: &'static [Field<Self>] = &[
        Field::id(|c: &Self| c.id).about("Number of the entry."),
        field!(reference, "storagenodeID", storagenode)
            .required()
            .about("The node that failed."),
        field!(reference, "taskID", task)
            .required()
            .about("The task."),
        field!(reference, "hostID", host)
            .required()
            .about("The host of the task."),
        field!(reference, "storagegroupID", storagegroup)
            .required()
            .about("Storage group of the node."),
        field!(time, "failureTime", failure_time)
            .required()
            .about("When it failed."),
    ];
    const COMPUTED: &'static [Computed] = &[
        Computed {
            name: "storagenode",
            shape: Shape::Empty,
            about: "Always without members.",
        },
        Computed {
            name: "storagegroup",
            shape: Shape::Empty,
            about: "Always without members.",
        },
        Computed {
            name: "host",
            shape: Shape::Empty,
            about: "Always without members.",
        },
        Computed {
            name: "task",
            shape: Shape::Empty,
            about: "Always without members.",
        },
    ];
    const RELATIONS: &'static [&'static str] = &["storagenode", "storagegroup", "host", "task"];

    id_in_field!();

    fn uniques(&self) -> Vec<Unique> {
        let value = format!("{}/{}/{}", self.storagenode, self.host, self.task);
        vec![Unique {
            field: "storagenodeID",
            value,
            clash: Clash::Merge,
        }]
    }
}
