//! Ids in answers with the names that people know.

use foghorn_rest_types::native::Named;
use foghorn_types::{FileId, ImageId, SnapinId};

use crate::state::Tables;
use crate::state::classes::{Image, Snapin};

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

/// The snapins whose file it is.
pub(super) fn snapins_of(tables: &Tables, file: FileId) -> Vec<Named<SnapinId>> {
    let records = tables.snapin_files().iter();
    let mut snapins: Vec<_> = records
        .filter(|record| record.file == file)
        .map(|record| Named {
            id: record.snapin,
            name: tables
                .of::<Snapin>()
                .get(record.snapin.get())
                .map(|row| row.name.clone())
                .unwrap_or_default(),
        })
        .collect();
    snapins.sort_unstable_by_key(|snapin| snapin.id);
    snapins
}
