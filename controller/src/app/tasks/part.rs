//! What of a disk an image is about: its type and its choice of partitions, as FOG's rows have
//! them.

use foghorn_types::{DiskPart, DiskRules};

use crate::state::Tables;
use crate::state::TaskRefusal;
use crate::state::classes::{Host, Image, ImagePartitionType, ImageType};
use crate::state::content::ImageContent;
use crate::state::run::Scope;

/// What a task for this image reads or writes. What is not set (0) is the usual: the whole disk,
/// used blocks.
///
/// # Errors
/// [`TaskRefusal`] when it cannot be done, or its rows mean nothing.
pub(crate) fn of(tables: &Tables, image: &Image) -> Result<Scope, TaskRefusal> {
    let part = part(tables, image.image_partition_type)?;
    let image_type = image.image_type;
    let (raw, several) = kind(tables, image_type)?;
    if several && !part.is_everything() {
        return Err(TaskRefusal::PartOfDisks { image_type, part });
    }
    Ok(Scope { part, raw, several })
}

/// Whether a capture is raw, and whether it is of several disks. The rows may be edited: what counts
/// is their machine-readable `type`.
fn kind(tables: &Tables, image_type: u32) -> Result<(bool, bool), TaskRefusal> {
    if image_type == 0 {
        return Ok((false, false));
    }
    let row = tables.of::<ImageType>().get(image_type);
    match row.map(|row| row.kind.as_str()) {
        // Nothing is resized, so both mean the used blocks of one disk.
        Some("n" | "mps") => Ok((false, false)),
        Some("dd") => Ok((true, false)),
        Some("mpa") => Ok((false, true)),
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
/// [`TaskRefusal::OtherPart`] and [`TaskRefusal::NoSuchPart`].
pub(super) fn check_content(content: &ImageContent, scope: Scope) -> Result<(), TaskRefusal> {
    let wanted = scope.part;
    if !content.part.contains(wanted) {
        let has = content.part;
        return Err(TaskRefusal::OtherPart { has, wanted });
    }
    if !content.has(wanted) {
        return Err(TaskRefusal::NoSuchPart { wanted });
    }
    Ok(())
}

/// The host's rules; `None` where it has none, and the client is given some.
fn rules_of(host: &Host) -> Option<Result<DiskRules, TaskRefusal>> {
    let text = host.kernel_device.trim();
    (!text.is_empty()).then(|| text.parse().map_err(|_| TaskRefusal::BadDiskRules))
}

/// The host's rules must be for as many disks as the image is about: one, or several.
///
/// # Errors
/// [`TaskRefusal`].
pub(super) fn check_rules(host: &Host, scope: Scope) -> Result<(), TaskRefusal> {
    match rules_of(host) {
        Some(rules) => match rules?.count() {
            Some(1) => Ok(()),
            _ if scope.several => Ok(()),
            _ => Err(TaskRefusal::RulesForOneDisk),
        },
        None => Ok(()),
    }
}

/// A deploy needs a rule for each disk of the image.
///
/// # Errors
/// [`TaskRefusal`].
pub(super) fn check_disks(
    content: &ImageContent,
    host: &Host,
    scope: Scope,
) -> Result<(), TaskRefusal> {
    let disks = content.disk_count();
    if disks > 1 && !scope.several {
        return Err(TaskRefusal::SeveralDisks { disks });
    }
    let rules = rules_of(host)
        .and_then(Result::ok)
        .and_then(|rules| rules.count());
    match rules {
        Some(rules) if rules != disks && scope.several => Err(TaskRefusal::DiskCount {
            image: disks,
            rules,
        }),
        _ => Ok(()),
    }
}
