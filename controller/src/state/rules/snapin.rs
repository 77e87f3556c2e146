//! Snapins: programs that hosts run after imaging or on request.

use foghorn_types::SnapinId;

use super::Rules;
use super::{membership, scheduled_task};
use crate::state::class::Body;
use crate::state::classes::{
    ScheduledTask, Snapin, SnapinAssociation, SnapinGroupAssociation, SnapinTask, StorageGroup,
};
use crate::state::draft::Draft;
use crate::state::json::JsonObject;
use crate::state::refusal::Refusal;
use crate::state::removal::{Removal, Stored};
use crate::state::row::Row;
use crate::state::scene::Scene;
use crate::state::snapin_file::SnapinFile;
use crate::state::tables::Tables;
use crate::state::value::{Flag, ids};

/// The storage groups whose nodes hold the snapin's file, the primary one first, the others as they
/// were added.
#[must_use]
pub fn storage_groups(tables: &Tables, snapin: u32) -> Vec<u32> {
    let table = tables.of::<SnapinGroupAssociation>();
    let mut rows: Vec<_> = table
        .by(SnapinGroupAssociation::BY_SNAPIN, snapin.into())
        .collect();
    rows.sort_by_key(|row| !row.primary.is_yes());
    rows.into_iter()
        .map(|row| row.storagegroup)
        .filter(|id| tables.of::<StorageGroup>().get(*id).is_some())
        .collect()
}

impl Rules for Snapin {
    fn extras(row: Option<&Row<Self>>, scene: &Scene<'_>, out: &mut JsonObject<'_>) {
        let group = row.and_then(|row| storage_groups(scene.tables, row.id).first().copied());
        let group = group.and_then(|id| scene.tables.of::<StorageGroup>().get(id));
        out.text("storagegroupname", group.map_or("", |group| &group.name));
    }

    fn spread(draft: &mut Draft<'_>, id: u32, is_new: bool, body: &Body) -> Result<(), Refusal> {
        let named = body.get("storagegroups").map(ids);
        if is_new {
            // As on a FOG server: a new snapin always joins the first group too, which is its
            // primary one only when no group was named.
            let primary = named.is_none().into();
            let first = draft
                .tables()
                .of::<StorageGroup>()
                .iter()
                .next()
                .map(|group| group.id);
            let groups: Vec<u32> = first
                .into_iter()
                .chain(named.into_iter().flatten())
                .collect();
            membership::add_with(
                draft,
                SnapinGroupAssociation::BY_SNAPIN,
                id,
                &groups,
                |new| SnapinGroupAssociation { primary, ..new },
            )?;
        } else if let Some(groups) = named {
            // An edit adds groups; one is taken away by deleting its `snapingroupassociation`.
            membership::add_with(
                draft,
                SnapinGroupAssociation::BY_SNAPIN,
                id,
                &groups,
                |new| SnapinGroupAssociation {
                    primary: Flag::No,
                    ..new
                },
            )?;
        }
        match body.get("hosts").map(ids) {
            Some(hosts) => membership::replace::<SnapinAssociation>(
                draft,
                SnapinAssociation::BY_SNAPIN,
                id,
                &hosts,
            ),
            None => Ok(()),
        }
    }

    fn on_delete(draft: &mut Draft<'_>, row: &Row<Self>) -> Result<(), Refusal> {
        let tables = draft.tables();
        let id = row.id.into();
        draft.delete_each(
            tables
                .of::<SnapinAssociation>()
                .by(SnapinAssociation::BY_SNAPIN, id),
        );
        draft.delete_each(
            tables
                .of::<SnapinGroupAssociation>()
                .by(SnapinGroupAssociation::BY_SNAPIN, id),
        );
        draft.delete_each(tables.of::<SnapinTask>().by(SnapinTask::BY_SNAPIN, id));
        // What would do nothing but run it has nothing left to do.
        draft.require_no_new::<ScheduledTask>();
        let schedules = tables.of::<ScheduledTask>().iter();
        let schedules = schedules.filter(|schedule| schedule.runs_only(row.id));
        scheduled_task::delete_each(draft, schedules)?;
        // With the row itself; nodes forget the file some time later.
        if let Some(snapin) = SnapinId::new(row.id).filter(|_| draft.postponed() == 0)
            && let Some(file) = tables.snapin_files().get(&snapin)
        {
            draft.discard::<SnapinFile>(file);
            draft.store(&Removal::new(Stored::File(file.file)));
        }
        Ok(())
    }
}
