//! A deploy whose machine has come: its image may have been captured anew since it was ordered.

use foghorn_types::StorageGroupId;

use super::part;
use crate::app::sites;
use crate::state::content::ImageContent;
use crate::state::rules::image;
use crate::state::run::{HomeBy, Run};
use crate::state::{Tables, TaskRefusal};

/// Checks what was checked when it was ordered, with the version that it gets, and chooses its site
/// again.
///
/// # Errors
/// [`TaskRefusal`] when the version cannot be deployed this way.
pub(crate) fn recheck(
    tables: &Tables,
    run: &mut Run,
    content: &ImageContent,
) -> Result<(), TaskRefusal> {
    part::check_content(content, run.scope)?;
    let Some(host) = tables.hosts().get(run.host.get()) else {
        return Ok(());
    };
    part::check_disks(content, host, run.scope)?;
    let group = image::storage_group(tables, run.image.get());
    let group = group.and_then(|group| StorageGroupId::new(group.id));
    if let Some(group) = group {
        run.storage_group = group;
    }
    // The address that it checked in from says more.
    if run
        .home
        .is_none_or(|home| !matches!(home.by, HomeBy::Address(_)))
    {
        run.home = sites::assigned(tables, host);
    }
    Ok(())
}
