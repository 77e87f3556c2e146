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

pub use associations::Association;
pub use mac_address_association::mac_key;

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
            host::Host,
            task::Task,
            image::Image,
            group::Group,
            associations::GroupAssociation,
            host_auto_logout::HostAutoLogout,
            host_screen_setting::HostScreenSetting,
            associations::ImageAssociation,
            image_partition_type::ImagePartitionType,
            image_type::ImageType,
            imaging_log::ImagingLog,
            inventory::Inventory,
            mac_address_association::MacAddressAssociation,
            multicast_session::MulticastSession,
            associations::MulticastSessionAssociation,
            node_failure::NodeFailure,
            os::Os,
            snapin::Snapin,
            associations::SnapinAssociation,
            associations::SnapinGroupAssociation,
            snapin_job::SnapinJob,
            snapin_task::SnapinTask,
            power_management::PowerManagement,
            scheduled_task::ScheduledTask,
            plugin::Plugin,
            storage_group::StorageGroup,
            storage_node::StorageNode,
            task_state::TaskState,
            task_type::TaskType,
            user::User,
            client_updater::ClientUpdater,
            dir_cleaner::DirCleaner,
            green_fog::GreenFog,
            history::History,
            hook_event::HookEvent,
            ipxe::Ipxe,
            key_sequence::KeySequence,
            module::Module,
            associations::ModuleAssociation,
            notify_event::NotifyEvent,
            oui::Oui,
            printer::Printer,
            associations::PrinterAssociation,
            pxe_menu_options::PxeMenuOptions,
            service::Service,
            task_log::TaskLog,
            user_cleanup::UserCleanup,
            user_tracking::UserTracking,
            virus::Virus,
        }
    };
}
pub(crate) use every_class;

macro_rules! list {
    ($($module:ident::$class:ident,)*) => {
        $(pub use $module::$class;)*

        /// Every class there is.
        pub(crate) static CLASSES: &[&dyn AnyClass] = &[$(&declared::<$class>(),)*];
    };
}

every_class!(list);
