//! What classes do: what they show beside their fields, what they check, what else changes with one
//! of their rows.
//!
//! One file for each class that does something. What each class is stands in [`super::classes`].

mod embeds;
mod group;
mod host;
mod host_parts;
pub mod image;
mod inventory;
mod mac_address_association;
mod membership;
mod module;
pub(crate) mod multicast_session;
mod plugin;
mod power_management;
mod printer;
mod scheduled_task;
mod service;
pub mod snapin;
mod snapin_job;
mod snapin_task;
mod storage_group;
mod storage_node;
pub mod task;
mod task_log;
mod task_type;

use super::class::{Body, Class};
use super::classes;
use super::draft::Draft;
use super::json::JsonObject;
use super::needle::Needle;
use super::refusal::Refusal;
use super::row::Row;
use super::scene::Scene;

/// Whether a row is new or an existing one is edited.
#[derive(Clone, Copy)]
pub enum Write<'a, C: Class> {
    Create,
    Edit(&'a Row<C>),
}

/// What a class does. A class that does nothing beside being stored is in the list at the end of
/// this file.
pub trait Rules: Class {
    /// Adds what a get of an id without a row shows besides, in a class with [`Class::ANY_ID`].
    fn bare(_out: &mut JsonObject<'_>) {}

    /// Adds computed values and embedded objects to a rendering. `row` is `None` where a missing
    /// object is shown as one whose fields are all empty.
    fn extras(_row: Option<&Row<Self>>, _scene: &Scene<'_>, _out: &mut JsonObject<'_>) {}

    /// Adds what `/fog/<class>/<id>/<item>` shows besides.
    fn item(_row: &Row<Self>, _item: &str, _scene: &Scene<'_>, _out: &mut JsonObject<'_>) {}

    /// The row as it is to be shown now, where that differs from what is stored (progress of a
    /// running task).
    fn overlay(&self, _scene: &Scene<'_>) -> Option<Self> {
        None
    }

    /// Whether related objects make the row a hit of a search for `needle`.
    fn found_by_relation(_row: &Row<Self>, _scene: &Scene<'_>, _needle: &Needle) -> bool {
        false
    }

    /// Ids of the rows that related objects make hits of a search for `needle`. A class with very
    /// many rows finds them from the related objects; `None` asks [`Rules::found_by_relation`]
    /// about each row.
    fn found_through(_scene: &Scene<'_>, _needle: &Needle) -> Option<Vec<u32>> {
        None
    }

    /// Checks and completes an object before it is stored, and changes the few rows that must go
    /// with it in the same transaction. `body` is what the client sent.
    ///
    /// # Errors
    /// [`Refusal`] when the object cannot be stored like this.
    fn on_write(
        _draft: &mut Draft<'_>,
        _object: &mut Self,
        _write: Write<'_, Self>,
        _body: &Body,
    ) -> Result<(), Refusal> {
        Ok(())
    }

    /// Changes other rows as the body of a create (`is_new`) or an edit of `id` asks; there may be
    /// many. Drafts what is not so yet, as far as there is room ([`Draft::has_room`]), and is
    /// called again until all is done.
    ///
    /// # Errors
    /// [`Refusal`] when a row cannot be changed like this.
    fn spread(
        _draft: &mut Draft<'_>,
        _id: u32,
        _is_new: bool,
        _body: &Body,
    ) -> Result<(), Refusal> {
        Ok(())
    }

    /// Deletes what goes with a row, as far as there is room ([`Draft::has_room`]); called again
    /// until all is done. The row itself goes with the last step.
    ///
    /// # Errors
    /// [`Refusal`] when the row is in use.
    fn on_delete(_draft: &mut Draft<'_>, _row: &Row<Self>) -> Result<(), Refusal> {
        Ok(())
    }
}

/// Classes that do nothing beside being stored.
macro_rules! without_rules {
    ($($class:ident,)*) => { $(impl Rules for classes::$class {})* };
}

without_rules! {
    ClientUpdater,
    DirCleaner,
    GreenFog,
    GroupAssociation,
    History,
    HookEvent,
    HostAutoLogout,
    HostScreenSetting,
    ImagePartitionType,
    ImageType,
    Ipxe,
    KeySequence,
    ModuleAssociation,
    NotifyEvent,
    Os,
    Oui,
    PrinterAssociation,
    PxeMenuOptions,
    SnapinAssociation,
    TaskState,
    User,
    UserCleanup,
    Virus,
}
