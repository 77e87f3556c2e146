//! Targets: the versions of images, with their tags.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use foghorn_types::{ImageId, StorageGroupId, Timestamp};

use super::names::{self, BadName};
use super::newest::Candidate;
use crate::app::versions::{self, UndoError};
use crate::state::classes::{Image, ImageAssociation};
use crate::state::content::ImageContent;
use crate::state::machines::tags::{Tagged, TargetTags};
use crate::state::shelf::Record as _;
use crate::state::{Draft, Refusal, Row, State, Tables};

/// Tags of one target.
pub const MOST_TAGS: usize = 32;

/// Versions of one image that have tags: they are kept as long as they have.
pub const MOST_TAGGED: usize = 10;

/// One version of an image.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    /// Name, hash, tags.
    pub is: Candidate,
    /// Name of the image.
    pub image_name: String,
    /// Bytes that it takes in the store.
    pub length: u64,
    /// When its tags were changed last; else when it was captured.
    pub updated: Timestamp,
}

/// What is to change of a target; `None` leaves it as it is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Change {
    pub tags: Option<BTreeSet<String>>,
    pub hardware_ids: Option<BTreeSet<String>>,
}

/// Why targets were not changed. Nothing has been then, but where [`PruneError`] says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum TagError {
    #[error("target {0:?} does not exist")]
    NotThere(String),
    #[error("a target cannot have this tag: {0}")]
    Tag(BadName),
    #[error("a target cannot have this hardware id: {0}")]
    HardwareId(BadName),
    #[error("a target has at most {MOST_TAGS} tags, and as many hardware ids")]
    TooMany,
    #[error("at most {MOST_TAGGED} versions of an image have tags: take those of older ones away")]
    TooManyTagged,
    #[error(transparent)]
    State(#[from] Refusal),
}

/// Why a target was not removed. Those that were named before it are.
#[derive(Debug, thiserror::Error)]
pub enum PruneError {
    #[error("target {0:?} does not exist")]
    NotThere(String),
    #[error("target {0:?} is the present version of its image: capture another one first")]
    IsPresent(String),
    #[error("could not remove target {name:?}")]
    Version { name: String, source: UndoError },
    #[error(transparent)]
    State(#[from] Refusal),
}

/// Every target of a factory: images in its storage group, the newest version of each first.
#[must_use]
pub fn all(tables: &Tables, factory: StorageGroupId) -> Vec<Target> {
    let images = images(tables, factory);
    images
        .iter()
        .flat_map(|row| of_image(tables, row))
        .collect()
}

/// The same without what devices do not care about.
#[must_use]
pub fn candidates(tables: &Tables, factory: StorageGroupId) -> Vec<Candidate> {
    let all = all(tables, factory).into_iter();
    all.map(|target| target.is).collect()
}

/// The target with this name.
#[must_use]
pub fn named(tables: &Tables, factory: StorageGroupId, name: &str) -> Option<Target> {
    let (image, _) = find(tables, factory, name)?;
    let mut targets = of_image(tables, image).into_iter();
    targets.find(|target| target.is.name == name)
}

/// The name of the target that a version of an image is.
#[must_use]
pub fn name_of(image: &Image, version: u32) -> String {
    format!("{}-{version}", image.name)
}

fn images(tables: &Tables, factory: StorageGroupId) -> Vec<&Arc<Row<Image>>> {
    let rows = tables
        .of::<ImageAssociation>()
        .by(ImageAssociation::BY_GROUP, factory.get().into());
    rows.filter_map(|row| tables.images().get(row.image))
        .collect()
}

fn of_image(tables: &Tables, row: &Row<Image>) -> Vec<Target> {
    let Some(id) = row.key() else {
        return Vec::new();
    };
    let Some(content) = tables.contents().get(&id) else {
        return Vec::new();
    };
    let tags = tables.target_tags().get(&id);
    let said = |version: u32| tags.and_then(|tags| tags.versions.get(&version));
    let target = |content: &ImageContent| {
        let said = said(content.version);
        Target {
            is: Candidate {
                name: name_of(row, content.version),
                hash: content.manifest.to_string(),
                image: id,
                version: content.version,
                made: content.captured_at,
                tags: said.map(|said| said.tags.clone()).unwrap_or_default(),
                hardware_ids: said
                    .map(|said| said.hardware_ids.clone())
                    .unwrap_or_default(),
            },
            image_name: row.name.clone(),
            length: content.stored_bytes.bytes(),
            updated: said.map_or(content.captured_at, |said| said.updated_at),
        }
    };
    let mut targets: Vec<_> = content.versions().map(target).collect();
    targets.sort_by_key(|target| std::cmp::Reverse(target.is.version));
    targets
}

/// The image and the version that a name stands for. Names of images may end like versions: the last
/// hyphen counts.
fn find<'t>(
    tables: &'t Tables,
    factory: StorageGroupId,
    name: &str,
) -> Option<(&'t Arc<Row<Image>>, u32)> {
    let (image, version) = name.rsplit_once('-')?;
    let version = version.parse().ok()?;
    let row = tables.images().named(image)?;
    // Also of the spelling.
    if name_of(row, version) != name {
        return None;
    }
    let mut groups = tables
        .of::<ImageAssociation>()
        .by(ImageAssociation::BY_IMAGE, row.id.into());
    let is_there = groups.any(|association| association.storagegroup == factory.get());
    is_there.then_some((row, version))
}

/// Changes the tags of targets: all of them, or none.
///
/// # Errors
/// See [`TagError`].
pub async fn tag(
    state: &State,
    factory: StorageGroupId,
    changes: &BTreeMap<String, Change>,
) -> Result<(), TagError> {
    for change in changes.values() {
        check(change)?;
    }
    let now = Timestamp::now();
    state
        .write::<_, TagError>(|draft| {
            let mut edited = BTreeMap::<ImageId, TargetTags>::new();
            for (name, change) in changes {
                apply(draft, &mut edited, factory, (name, change), now)?;
            }
            for tags in edited.values() {
                let tagged = tags.versions.values();
                if tagged.filter(|said| !said.tags.is_empty()).count() > MOST_TAGGED {
                    return Err(TagError::TooManyTagged);
                }
                draft.replace(tags);
            }
            Ok(())
        })
        .await
}

fn check(change: &Change) -> Result<(), TagError> {
    let lists = [&change.tags, &change.hardware_ids];
    if lists
        .into_iter()
        .flatten()
        .any(|list| list.len() > MOST_TAGS)
    {
        return Err(TagError::TooMany);
    }
    for tag in change.tags.iter().flatten() {
        names::check_tag(tag).map_err(TagError::Tag)?;
    }
    for id in change.hardware_ids.iter().flatten() {
        names::check(id).map_err(TagError::HardwareId)?;
    }
    Ok(())
}

fn apply(
    draft: &mut Draft<'_>,
    edited: &mut BTreeMap<ImageId, TargetTags>,
    factory: StorageGroupId,
    (name, change): (&String, &Change),
    now: Timestamp,
) -> Result<(), TagError> {
    let tables = draft.tables();
    let not_there = || TagError::NotThere(name.clone());
    let (row, version) = find(tables, factory, name).ok_or_else(not_there)?;
    let id = row.key().ok_or_else(not_there)?;
    let content = tables.contents().get(&id).ok_or_else(not_there)?;
    content.numbered(version).ok_or_else(not_there)?;
    // The version must not go meanwhile, nor the image with it.
    draft.require(content.unchanged());
    let stored = || {
        let tags = tables.target_tags().get(&id);
        tags.map_or_else(|| TargetTags::none(id), |tags| TargetTags::clone(tags))
    };
    let tags = edited.entry(id).or_insert_with(stored);
    // What is said of versions that are gone goes with the next change.
    tags.versions
        .retain(|number, _| content.numbered(*number).is_some());
    let said = tags.versions.entry(version).or_insert_with(|| Tagged {
        tags: BTreeSet::new(),
        hardware_ids: BTreeSet::new(),
        updated_at: now,
    });
    if let Some(tags) = &change.tags {
        said.tags.clone_from(tags);
    }
    if let Some(ids) = &change.hardware_ids {
        said.hardware_ids.clone_from(ids);
    }
    said.updated_at = now;
    Ok(())
}

/// Removes targets, one after the other: the versions are no longer kept. The present version of an
/// image stays.
///
/// # Errors
/// See [`PruneError`].
pub async fn prune(
    state: &State,
    factory: StorageGroupId,
    names: &[String],
) -> Result<(), PruneError> {
    let look = |tables: &Tables| -> Result<Vec<(ImageId, u32)>, PruneError> {
        let one = |name: &String| {
            let not_there = || PruneError::NotThere(name.clone());
            let (row, version) = find(tables, factory, name).ok_or_else(not_there)?;
            let id = row.key().ok_or_else(not_there)?;
            let content = tables.contents().get(&id).ok_or_else(not_there)?;
            content.numbered(version).ok_or_else(not_there)?;
            match content.version == version {
                true => Err(PruneError::IsPresent(name.clone())),
                false => Ok((id, version)),
            }
        };
        names.iter().map(one).collect()
    };
    // All are looked at before the first one goes.
    let targets = state.read(look)?;
    for ((image, version), name) in targets.into_iter().zip(names) {
        match versions::drop(state, image, version).await {
            // Somebody else was faster.
            Ok(()) | Err(UndoError::NoVersion { .. }) => {}
            Err(UndoError::State(refusal)) => return Err(refusal.into()),
            Err(source) => {
                return Err(PruneError::Version {
                    name: name.clone(),
                    source,
                });
            }
        }
    }
    Ok(())
}
