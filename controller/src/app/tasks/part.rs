//! What of a disk an image is about: its type and its choice of partitions, as FOG's rows have
//! them.

use foghorn_types::DiskPart;

use crate::state::Tables;
use crate::state::TaskRefusal;
use crate::state::classes::{Image, ImagePartitionType, ImageType};
use crate::state::content::ImageContent;
use crate::state::run::Scope;

/// What a task for this image reads or writes. What is not set (0) is the usual: the whole disk,
/// used blocks.
///
/// # Errors
/// [`TaskRefusal`] when it cannot be done, or its rows mean nothing.
pub(super) fn of(tables: &Tables, image: &Image) -> Result<Scope, TaskRefusal> {
    Ok(Scope {
        raw: is_raw(tables, image.image_type)?,
        part: part(tables, image.image_partition_type)?,
    })
}

/// The rows may be edited: what counts is their machine-readable `type`.
fn is_raw(tables: &Tables, image_type: u32) -> Result<bool, TaskRefusal> {
    if image_type == 0 {
        return Ok(false);
    }
    let row = tables.of::<ImageType>().get(image_type);
    match row.map(|row| row.kind.as_str()) {
        // Nothing is resized, so both mean the used blocks of one disk.
        Some("n" | "mps") => Ok(false),
        Some("dd") => Ok(true),
        Some("mpa") => Err(TaskRefusal::AllDisks { image_type }),
        _ => Err(TaskRefusal::UnknownImageType { image_type }),
    }
}

fn part(tables: &Tables, choice: u32) -> Result<DiskPart, TaskRefusal> {
    if choice == 0 {
        return Ok(DiskPart::Everything);
    }
    let row = tables.of::<ImagePartitionType>().get(choice);
    let part = match row.map(|row| row.kind.as_str()) {
        Some("all") => Some(DiskPart::Everything),
        Some("mbr") => Some(DiskPart::Table),
        Some(number) => number.parse().ok().and_then(DiskPart::partition),
        None => None,
    };
    part.ok_or(TaskRefusal::UnknownPartitionType { choice })
}

/// A deploy needs an image that contains what it writes.
///
/// # Errors
/// [`TaskRefusal::OtherPart`].
pub(super) fn check_content(content: &ImageContent, scope: Scope) -> Result<(), TaskRefusal> {
    if content.part.contains(scope.part) {
        Ok(())
    } else {
        Err(TaskRefusal::OtherPart {
            has: content.part,
            wanted: scope.part,
        })
    }
}
