//! Images: a name and settings; what they contain is in [`crate::state::content`].

use foghorn_lifecycle::{Client, TaskState as RunState};
use serde_json::Value;

use super::membership;
use super::task::end_run;
use super::{Rules, Write};
use crate::state::class::Body;
use crate::state::class::Class;
use crate::state::classes::task::state;
use crate::state::classes::{
    Host, Image, ImageAssociation, ImagePartitionType, ImageType, Os, StorageGroup, Task,
};
use crate::state::content::ImageContent;
use crate::state::draft::Draft;
use crate::state::json::JsonObject;
use crate::state::machines::identity::IdentityOf;
use crate::state::machines::removal::{forget_identity, forget_tags};
use crate::state::needle::Needle;
use crate::state::refusal::Refusal;
use crate::state::removal::{Removal, Stored};
use crate::state::row::Row;
use crate::state::run::RunKind;
use crate::state::scene::Scene;
use crate::state::shelf::Record as _;
use crate::state::tables::Tables;
use crate::state::value::{Flag, ids};

/// The storage group that a new task of the image uses: the primary one, or the first it was put
/// in.
#[must_use]
pub fn storage_group(tables: &Tables, image: u32) -> Option<&Row<StorageGroup>> {
    let associations = || {
        tables
            .of::<ImageAssociation>()
            .by(ImageAssociation::BY_IMAGE, image.into())
    };
    let chosen = associations()
        .find(|row| row.primary.is_yes())
        .or_else(|| associations().next())?;
    tables
        .of::<StorageGroup>()
        .get(chosen.storagegroup)
        .map(AsRef::as_ref)
}

impl Rules for Image {
    fn extras(row: Option<&Row<Self>>, scene: &Scene<'_>, out: &mut JsonObject<'_>) {
        let tables = scene.tables;
        let os = row
            .and_then(|row| tables.of::<Os>().get(row.os))
            .map(AsRef::as_ref);
        let partitions = row
            .and_then(|row| {
                tables
                    .of::<ImagePartitionType>()
                    .get(row.image_partition_type)
            })
            .map(AsRef::as_ref);
        let kind = row
            .and_then(|row| tables.of::<ImageType>().get(row.image_type))
            .map(AsRef::as_ref);
        out.full("os", os, scene);
        out.full("imagepartitiontype", partitions, scene);
        out.full("imagetype", kind, scene);
        out.text("imagetypename", kind.map_or("", |row| &row.name));
        out.text("imageparttypename", partitions.map_or("", |row| &row.name));
        out.text("osname", os.map_or("", |row| &row.name));
        out.text(
            "storagegroupname",
            row.and_then(|row| storage_group(tables, row.id))
                .map_or("", |group| &group.name),
        );
    }

    fn found_by_relation(row: &Row<Self>, scene: &Scene<'_>, needle: &Needle) -> bool {
        scene
            .tables
            .hosts()
            .by(Host::BY_IMAGE, row.id.into())
            .any(|host| needle.hits(&host.name))
    }

    fn on_write(
        draft: &mut Draft<'_>,
        object: &mut Self,
        write: Write<'_, Self>,
        body: &Body,
    ) -> Result<(), Refusal> {
        for field in ["imageTypeID", "imagePartitionTypeID"] {
            must_be_number(field, body)?;
        }
        if let Write::Edit(row) = &write
            && row.protected == 0
            && object.protected != 0
        {
            refuse_during_capture(draft, object.id)?;
        }
        let before = match write {
            Write::Create => (0, 0),
            Write::Edit(row) => (row.image_type, row.image_partition_type),
        };
        // What is stored already may be stored again.
        if object.image_type != before.0 {
            must_exist::<ImageType>(draft, "imageTypeID", object.image_type)?;
        }
        if object.image_partition_type != before.1 {
            let choice = object.image_partition_type;
            must_exist::<ImagePartitionType>(draft, "imagePartitionTypeID", choice)?;
        }
        Ok(())
    }

    fn spread(draft: &mut Draft<'_>, id: u32, is_new: bool, body: &Body) -> Result<(), Refusal> {
        let tables = draft.tables();
        let named = body.get("storagegroups").map(ids);
        if is_new {
            // As on a FOG server: a new image always joins the first group too, which is its
            // primary one only when no group was named.
            let primary = named.is_none().into();
            let first = tables
                .of::<StorageGroup>()
                .iter()
                .next()
                .map(|group| group.id);
            let mut groups: Vec<u32> = first.into_iter().collect();
            groups.extend(
                named
                    .into_iter()
                    .flatten()
                    .filter(|group| Some(*group) != first),
            );
            membership::replace_with(draft, ImageAssociation::BY_IMAGE, id, &groups, |new| {
                ImageAssociation { primary, ..new }
            })?;
        } else if let Some(groups) = named {
            membership::replace_with(draft, ImageAssociation::BY_IMAGE, id, &groups, |new| {
                ImageAssociation {
                    primary: Flag::No,
                    ..new
                }
            })?;
        }
        let hosts = body.get("hosts").map(ids).unwrap_or_default();
        membership::give_image(
            draft,
            hosts
                .into_iter()
                .filter_map(|host| tables.hosts().get(host)),
            id,
        )
    }

    fn on_delete(draft: &mut Draft<'_>, row: &Row<Self>) -> Result<(), Refusal> {
        if row.protected != 0 {
            return Err(Refusal::Protected {
                class: Self::NAME,
                id: row.id,
            });
        }
        // Whether a task needs it is known only as long as no task is created.
        draft.require_no_new::<Task>();
        let tables = draft.tables();
        stop_tasks(draft, row)?;
        membership::give_image(draft, tables.hosts().by(Host::BY_IMAGE, row.id.into()), 0)?;
        draft.delete_each(
            tables
                .of::<ImageAssociation>()
                .by(ImageAssociation::BY_IMAGE, row.id.into()),
        );
        // With the row itself: until then the image can still be deployed.
        let image = row.key().filter(|_| draft.postponed() == 0);
        if let Some(image) = image {
            forget_tags(draft, image);
            forget_identity(draft, IdentityOf::Image(image));
        }
        if let Some(image) = image
            && let Some(content) = tables.contents().get(&image)
        {
            draft.discard::<ImageContent>(content);
            for version in content.versions() {
                draft.store(&Removal::new(Stored::Image(image, version.manifest)));
            }
        }
        Ok(())
    }
}

/// A capture that has begun would end in an image that is protected. One that waits is refused when
/// its machine comes.
fn refuse_during_capture(draft: &mut Draft<'_>, image: u32) -> Result<(), Refusal> {
    let captures = draft.tables().runs().active();
    let captures = captures.filter(|run| run.image.get() == image && run.kind == RunKind::Capture);
    let captures: Vec<_> = captures.cloned().collect();
    for run in captures {
        if !matches!(
            run.life.state(),
            RunState::Queued {
                client: Client::Awaited
            } | RunState::Assigned { .. }
        ) {
            return Err(Refusal::InUse {
                class: "image",
                id: image,
                task: run.task.get(),
            });
        }
        draft.require(run.unchanged());
    }
    Ok(())
}

/// A word would count as 0, as on a FOG server, and 0 is "not set": the whole disk.
fn must_be_number(field: &'static str, body: &Body) -> Result<(), Refusal> {
    match body.get(field).and_then(Value::as_str).map(str::trim) {
        Some(text) if !text.is_empty() && text.parse::<u32>().is_err() => Err(Refusal::Invalid {
            field,
            why: format!("{text:?} is no number"),
        }),
        _ => Ok(()),
    }
}

/// The row that a field names has to be there, unless it names none.
fn must_exist<C: Class>(
    draft: &mut Draft<'_>,
    field: &'static str,
    id: u32,
) -> Result<(), Refusal> {
    if id == 0 {
        return Ok(());
    }
    if draft.tables().of::<C>().get(id).is_none() {
        let why = format!("there is no {} {id}", C::NAME);
        return Err(Refusal::Invalid { field, why });
    }
    draft.require_present::<C>(id);
    Ok(())
}

/// A stored run, generously.
const RUN_BYTES: usize = 4096;

/// Cancels the tasks that wait to work with the image. One that has begun keeps it: its host's disk
/// would be left half written.
fn stop_tasks(draft: &mut Draft<'_>, image: &Row<Image>) -> Result<(), Refusal> {
    let tables = draft.tables();
    let runs: Vec<_> = tables
        .runs()
        .active()
        .filter(|run| Some(run.image) == image.key())
        .collect();
    let begun =
        |state: &RunState| matches!(state, RunState::CheckedIn { .. } | RunState::Running { .. });
    if let Some(run) = runs.iter().find(|run| begun(run.life.state())) {
        return Err(Refusal::InUse {
            class: Image::NAME,
            id: image.id,
            task: run.task.get(),
        });
    }
    for run in runs {
        let Some(task) = tables.tasks().get(run.task.get()) else {
            continue;
        };
        if draft.has_room(2, RUN_BYTES) {
            end_run(draft, task, "the image was deleted");
            draft.update(
                task,
                &Task {
                    state: state::CANCELLED,
                    ..Task::clone(task)
                },
            )?;
        }
    }
    Ok(())
}
