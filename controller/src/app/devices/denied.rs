//! Devices that were deleted: who they were, and letting them in again.

use std::sync::Arc;

use foghorn_types::{MachineUuid, StorageGroupId};

use super::paging::{Page, Paged};
use crate::state::machines::denied::DeniedDevice;
use crate::state::{Refusal, State};

/// Why a ban was not lifted.
#[derive(Debug, thiserror::Error)]
pub enum AllowError {
    #[error("device {0} is not denied")]
    NotDenied(MachineUuid),
    #[error(transparent)]
    State(#[from] Refusal),
}

/// The denied devices of a factory, by UUID.
#[must_use]
pub fn list(state: &State, factory: StorageGroupId, page: Page) -> Paged<Arc<DeniedDevice>> {
    state.read(|tables| {
        let denied = tables.denied_devices().iter();
        let own = denied.filter(|denied| denied.factory == factory);
        Paged::of(own.cloned().collect(), page)
    })
}

/// Lifts the ban: at its next contact the device is made anew. With a factory, only if it was there.
///
/// # Errors
/// See [`AllowError`].
pub async fn allow(
    state: &State,
    factory: Option<StorageGroupId>,
    uuid: MachineUuid,
) -> Result<(), AllowError> {
    state
        .write(|draft| {
            let denied = draft.tables().denied_devices().get(&uuid);
            let denied =
                denied.filter(|denied| factory.is_none_or(|factory| factory == denied.factory));
            draft.discard(&**denied.ok_or(AllowError::NotDenied(uuid))?);
            Ok(())
        })
        .await
}
