//! Ids in answers with the names that people know.

use foghorn_rest_types::native::Named;
use foghorn_types::ImageId;

use crate::state::Tables;
use crate::state::classes::Image;

/// An empty name for an image that is gone.
pub(super) fn image_name(tables: &Tables, id: ImageId) -> Named<ImageId> {
    Named {
        id,
        name: tables
            .of::<Image>()
            .get(id.get())
            .map(|row| row.name.clone())
            .unwrap_or_default(),
    }
}
