//! The FOG dialect: the classes that the command line uses, the list envelope, and the bodies that
//! it sends.
//!
//! A view has the fields that a program acts on and ignores the rest; whoever wants the whole
//! object keeps the [`serde_json::Value`] beside it, as [`Row`] does.

#![allow(
    missing_docs,
    reason = "fields and states are those of FOG's documents, under their names there"
)]

mod envelope;
mod group;
mod host;
mod image;
mod inventory;
mod plugin;
mod schedule;
mod setting;
mod snapin;
mod storage_group;
mod storage_node;
mod task;
mod text;

pub use envelope::{ErrorBody, FogObject, ReadListError, Row, read_list, read_one};
pub use group::{Group, GroupAssociation, GroupBody};
pub use host::{Host, HostBody};
pub use image::{Image, ImageBody};
pub use inventory::Inventory;
pub use plugin::{Plugin, PluginBody};
pub use schedule::{Schedule, ScheduleBody};
pub use setting::{Setting, SettingBody};
pub use snapin::{Snapin, SnapinAssociation, SnapinAssociationBody, SnapinBody};
pub use storage_group::{StorageGroup, StorageGroupBody};
pub use storage_node::{StorageNode, StorageNodeBody};
pub use task::{IMAGING_TYPES, Task, TaskState};
pub use text::ReadFieldError;
