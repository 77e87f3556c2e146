//! The classes: what each of them is. Each file declares one: its struct and its fields. A new
//! class is a file here, a line in `every_class!`, and its rules in [`super::rules`], or a line
//! there that says that it has none.

pub mod associations;
pub mod client_updater;
pub mod dir_cleaner;
pub mod green_fog;
pub mod group;
pub mod history;
pub mod hook_event;
pub mod host;
pub mod host_auto_logout;
pub mod host_screen_setting;
pub mod image;
pub mod image_partition_type;
pub mod image_type;
pub mod imaging_log;
pub mod inventory;
pub mod ipxe;
pub mod key_sequence;
pub mod mac_address_association;
pub mod module;
pub mod multicast_session;
pub mod node_failure;
pub mod notify_event;
pub mod os;
pub mod oui;
pub mod plugin;
pub mod power_management;
pub mod printer;
pub mod pxe_menu_options;
pub mod scheduled_task;
pub mod service;
pub mod snapin;
pub mod snapin_job;
pub mod snapin_task;
pub mod storage_group;
pub mod storage_node;
pub mod task;
pub mod task_log;
pub mod task_state;
pub mod task_type;
pub mod user;
pub mod user_cleanup;
pub mod user_tracking;
pub mod virus;

pub use associations::{
    Association, GroupAssociation, ImageAssociation, ModuleAssociation,
    MulticastSessionAssociation, PrinterAssociation, SnapinAssociation, SnapinGroupAssociation,
};
pub use client_updater::ClientUpdater;
pub use dir_cleaner::DirCleaner;
pub use green_fog::GreenFog;
pub use group::Group;
pub use history::History;
pub use hook_event::HookEvent;
pub use host::Host;
pub use host_auto_logout::HostAutoLogout;
pub use host_screen_setting::HostScreenSetting;
pub use image::Image;
pub use image_partition_type::ImagePartitionType;
pub use image_type::ImageType;
pub use imaging_log::ImagingLog;
pub use inventory::Inventory;
pub use ipxe::Ipxe;
pub use key_sequence::KeySequence;
pub use mac_address_association::{MacAddressAssociation, mac_key};
pub use module::Module;
pub use multicast_session::MulticastSession;
pub use node_failure::NodeFailure;
pub use notify_event::NotifyEvent;
pub use os::Os;
pub use oui::Oui;
pub use plugin::Plugin;
pub use power_management::PowerManagement;
pub use printer::Printer;
pub use pxe_menu_options::PxeMenuOptions;
pub use scheduled_task::ScheduledTask;
pub use service::Service;
pub use snapin::Snapin;
pub use snapin_job::SnapinJob;
pub use snapin_task::SnapinTask;
pub use storage_group::StorageGroup;
pub use storage_node::StorageNode;
pub use task::Task;
pub use task_log::TaskLog;
pub use task_state::TaskState;
pub use task_type::TaskType;
pub use user::User;
pub use user_cleanup::UserCleanup;
pub use user_tracking::UserTracking;
pub use virus::Virus;

use std::any::TypeId;
use std::marker::PhantomData;

use super::class::{Class, Computed};
use super::table::{AnyTable, Table};

/// A class as the list of classes knows it.
pub(crate) trait AnyClass: Send + Sync {
    fn name(&self) -> &'static str;
    fn kind(&self) -> TypeId;
    fn aliases(&self) -> &'static [&'static str];
    fn is_named(&self) -> bool;
    fn computed(&self) -> &'static [Computed];
    fn new_table(&self) -> Box<dyn AnyTable>;
    #[cfg(test)]
    fn schema(&self) -> super::schema::ClassSchema;
}

struct Declared<C>(PhantomData<fn() -> C>);

impl<C: Class> AnyClass for Declared<C> {
    fn name(&self) -> &'static str {
        C::NAME
    }

    fn kind(&self) -> TypeId {
        TypeId::of::<C>()
    }

    fn aliases(&self) -> &'static [&'static str] {
        C::ALIASES
    }

    fn is_named(&self) -> bool {
        C::NAMED
    }

    fn computed(&self) -> &'static [Computed] {
        C::COMPUTED
    }

    fn new_table(&self) -> Box<dyn AnyTable> {
        Box::<Table<C>>::default()
    }

    #[cfg(test)]
    fn schema(&self) -> super::schema::ClassSchema {
        super::schema::ClassSchema::of::<C>()
    }
}

const fn declared<C: Class>() -> Declared<C> {
    Declared(PhantomData)
}

/// Calls a macro with every class there is.
macro_rules! every_class {
    ($then:ident) => {
        $then! {
            Host,
            Task,
            Image,
            Group,
            GroupAssociation,
            HostAutoLogout,
            HostScreenSetting,
            ImageAssociation,
            ImagePartitionType,
            ImageType,
            ImagingLog,
            Inventory,
            MacAddressAssociation,
            MulticastSession,
            MulticastSessionAssociation,
            NodeFailure,
            Os,
            Snapin,
            SnapinAssociation,
            SnapinGroupAssociation,
            SnapinJob,
            SnapinTask,
            PowerManagement,
            ScheduledTask,
            Plugin,
            StorageGroup,
            StorageNode,
            TaskState,
            TaskType,
            User,
            ClientUpdater,
            DirCleaner,
            GreenFog,
            History,
            HookEvent,
            Ipxe,
            KeySequence,
            Module,
            ModuleAssociation,
            NotifyEvent,
            Oui,
            Printer,
            PrinterAssociation,
            PxeMenuOptions,
            Service,
            TaskLog,
            UserCleanup,
            UserTracking,
            Virus,
        }
    };
}
#[cfg(test)]
pub(crate) use every_class;

macro_rules! list {
    ($($class:ident,)*) => {
        /// Every class there is.
        pub(crate) static CLASSES: &[&dyn AnyClass] = &[$(&declared::<$class>(),)*];
    };
}

every_class!(list);
