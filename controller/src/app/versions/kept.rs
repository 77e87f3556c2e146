//! The versions of an image: what a capture replaces is kept for a while, and can be made the
//! present content again.
//!
//! Nodes keep every version until they are ordered to drop it. Whatever takes a version out of the
//! record of its image stores the order to remove it in the same transaction.

use foghorn_types::{ImageId, StorageNodeId, Timestamp};

use super::is_in_use;
use crate::config::VersionConfig;
use crate::state::classes::Image;
use crate::state::content::{ImageContent, Previous};
use crate::state::machines::tags::TargetTags;
use crate::state::removal::{Removal, Stored};
use crate::state::shelf::Record as _;
use crate::state::{Draft, Refusal, State, Tables, TaskRefusal};
use crate::store::Compare;

/// Versions that one transaction takes away; etcd allows 128 operations by default. What is left is
/// left to the next round.
const BATCH: usize = 50;

/// Why a version that is kept cannot be deployed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unusable {
    /// Its nodes are connected and do not have it.
    Lost,
    /// Nobody who is connected has it whole.
    Damaged,
}

/// Why an older version was not made the present one.
#[derive(Debug, thiserror::Error)]
pub enum UndoError {
    #[error("image {0} does not exist")]
    NoImage(ImageId),
    #[error("image {0} has no earlier version that is kept")]
    NothingKept(ImageId),
    #[error("image {image} has no version {version} that is kept: see `foghorn image versions`")]
    NoVersion { image: ImageId, version: u32 },
    #[error("version {version} is the present one of image {image}")]
    IsPresent { image: ImageId, version: u32 },
    #[error("version {version} of image {image} is no longer on its storage nodes")]
    Lost { image: ImageId, version: u32 },
    #[error("version {version} of image {image} is damaged on every storage node that has it")]
    Damaged { image: ImageId, version: u32 },
    #[error(transparent)]
    State(#[from] Refusal),
}

/// Stores the content of an image, and its sizes in the row, which `fit` may change further. What
/// the image was before is kept as its latest earlier version; what is over the limits goes.
/// Nothing is stored when the image is gone.
///
/// # Errors
/// As any write.
pub(crate) fn store(
    draft: &mut Draft<'_>,
    content: ImageContent,
    keep: VersionConfig,
    fit: impl FnOnce(Image, &Tables) -> Image,
) -> Result<(), Refusal> {
    let tables = draft.tables();
    let now = Timestamp::now();
    let content = match tables.contents().get(&content.image) {
        None => content,
        Some(before) if before.manifest == content.manifest => ImageContent {
            version: before.version,
            newest: before.newest,
            from: content.from.or_else(|| before.from.clone()),
            previous: before.previous.clone(),
            modified: before.modified,
            ..content
        },
        Some(before) => ImageContent {
            version: newest(before) + 1,
            newest: None,
            previous: replaced(before, now),
            modified: before.modified,
            ..content
        },
    };
    put(draft, content, keep, now, fit)
}

/// Makes an earlier version the present one; without a number, the one that was replaced last. The
/// present one is kept as an earlier one. Returns the number of the version that is present now.
///
/// # Errors
/// See [`UndoError`].
pub async fn undo(
    state: &State,
    image: ImageId,
    version: Option<u32>,
    keep: VersionConfig,
    unusable: impl Fn(&ImageContent) -> Option<Unusable>,
) -> Result<u32, UndoError> {
    state
        .write(|draft| {
            let tables = draft.tables();
            let row = tables.of::<Image>().get(image.get());
            let row = row.ok_or(UndoError::NoImage(image))?;
            if row.protected != 0 {
                return Err(Refusal::from(TaskRefusal::ProtectedImage { image }).into());
            }
            let before = tables
                .contents()
                .get(&image)
                .ok_or(UndoError::NothingKept(image))?;
            let wanted = match version {
                Some(version) if version == before.version => {
                    return Err(UndoError::IsPresent { image, version });
                }
                Some(version) => before
                    .numbered(version)
                    .ok_or(UndoError::NoVersion { image, version })?,
                None => before
                    .versions()
                    .nth(1)
                    .ok_or(UndoError::NothingKept(image))?,
            };
            let version = wanted.version;
            match unusable(wanted) {
                None => {}
                Some(Unusable::Lost) => return Err(UndoError::Lost { image, version }),
                Some(Unusable::Damaged) => return Err(UndoError::Damaged { image, version }),
            }
            let now = Timestamp::now();
            let content = ImageContent {
                newest: Some(newest(before)),
                previous: replaced(before, now),
                modified: before.modified,
                ..wanted.clone()
            };
            // One more than the limit is not over it: it was there before.
            let keep = VersionConfig {
                most: keep.most.max(1),
                ..keep
            };
            put(draft, content, keep, now, |image, _| image)?;
            Ok(version)
        })
        .await
}

/// Takes one earlier version of an image away, and orders its removal.
///
/// # Errors
/// See [`UndoError`]; [`UndoError::IsPresent`] also when a task or a session relies on it.
pub async fn drop(state: &State, image: ImageId, version: u32) -> Result<(), UndoError> {
    state
        .write::<_, UndoError>(|draft| {
            let before = draft.tables().contents().get(&image);
            let before = before.ok_or(UndoError::NoVersion { image, version })?;
            if before.version == version {
                return Err(UndoError::IsPresent { image, version });
            }
            if before.numbered(version).is_none() {
                return Err(UndoError::NoVersion { image, version });
            }
            let gone = |previous: &Previous| previous.content.version == version;
            retire(draft, before, gone);
            Ok(())
        })
        .await?;
    match foghorn_faults::lost!("controller.version.dropped") {
        true => Err(Refusal::Lagging.into()),
        false => Ok(()),
    }
}

/// Takes versions away that are older than the limits allow, or more. Returns how many.
///
/// # Errors
/// As any write.
pub(crate) async fn retire_old(
    state: &State,
    keep: VersionConfig,
    now: Timestamp,
) -> Result<usize, Refusal> {
    let over = |tables: &Tables, content: &ImageContent| {
        let mut versions = content.previous.iter().enumerate();
        versions.any(|(nth, previous)| is_over(tables, keep, now, nth, previous))
    };
    let images: Vec<ImageId> = state.read(|tables| {
        let over = tables.contents().iter().filter(|one| over(tables, one));
        over.map(|content| content.image).collect()
    });
    let mut retired = 0;
    for image in images {
        retired += state
            .write::<_, Refusal>(|draft| {
                let tables = draft.tables();
                let mut nth = 0;
                Ok(tables.contents().get(&image).map_or(0, |content| {
                    retire(draft, content, |previous| {
                        let over = is_over(tables, keep, now, nth, previous);
                        nth += 1;
                        over
                    })
                }))
            })
            .await?;
    }
    Ok(retired)
}

/// Takes the version away that was replaced longest ago, of all that a node holds and nothing uses.
/// Returns its image and number.
///
/// # Errors
/// As any write.
pub(crate) async fn make_room(
    state: &State,
    node: StorageNodeId,
) -> Result<Option<(ImageId, u32)>, Refusal> {
    state
        .write(|draft| {
            let tables = draft.tables();
            let kept = tables.contents().iter().flat_map(|content| {
                let previous = content.previous.iter();
                previous.map(move |previous| (content, previous))
            });
            let oldest = kept
                .filter(|(content, previous)| {
                    previous.content.nodes.contains(&node)
                        && !is_in_use(tables, content.image, previous.content.manifest)
                        && !is_tagged(tables, &previous.content)
                })
                .min_by_key(|(_, previous)| previous.replaced_at);
            let Some((content, oldest)) = oldest else {
                return Ok(None);
            };
            let version = oldest.content.version;
            retire(draft, content, |previous| {
                previous.content.version == version
            });
            Ok(Some((content.image, version)))
        })
        .await
}

fn newest(content: &ImageContent) -> u32 {
    let numbers = content.versions().map(|version| version.version);
    numbers.chain(content.newest).max().unwrap_or(1)
}

/// The earlier versions after this content has been replaced.
fn replaced(before: &ImageContent, now: Timestamp) -> Vec<Previous> {
    let last = Previous {
        replaced_at: now,
        content: ImageContent {
            previous: Vec::new(),
            newest: None,
            ..before.clone()
        },
    };
    std::iter::once(last)
        .chain(before.previous.iter().cloned())
        .collect()
}

fn is_over(
    tables: &Tables,
    keep: VersionConfig,
    now: Timestamp,
    nth: usize,
    previous: &Previous,
) -> bool {
    let content = &previous.content;
    let over = nth >= keep.most as usize || previous.replaced_at + keep.keep < now;
    over && !is_in_use(tables, content.image, content.manifest) && !is_tagged(tables, content)
}

/// Whether devices may follow the version.
fn is_tagged(tables: &Tables, content: &ImageContent) -> bool {
    let tags = tables.target_tags().get(&content.image);
    let said = tags.and_then(|tags| tags.versions.get(&content.version));
    said.is_some_and(|said| !said.tags.is_empty())
}

/// Holds as long as no version of the image gets a tag.
fn tags_unchanged(tables: &Tables, image: ImageId) -> Compare {
    match tables.target_tags().get(&image) {
        Some(tags) => tags.unchanged(),
        None => Compare::Absent(TargetTags::key_of(&image)),
    }
}

/// Stores a content with its versions, without those that are the present one or over the limit.
fn put(
    draft: &mut Draft<'_>,
    mut content: ImageContent,
    keep: VersionConfig,
    now: Timestamp,
    fit: impl FnOnce(Image, &Tables) -> Image,
) -> Result<(), Refusal> {
    let tables = draft.tables();
    let Some(row) = tables.of::<Image>().get(content.image.get()) else {
        return Ok(());
    };
    // What is the present one again.
    let present = content.manifest;
    content
        .previous
        .retain(|previous| previous.content.manifest != present);
    let highest = newest(&content);
    let (mut nth, mut gone) = (0, 0);
    content.previous.retain(|previous| {
        let over = gone < BATCH && is_over(tables, keep, now, nth, previous);
        nth += 1;
        gone += usize::from(over);
        if over {
            draft.store(&Removal::new(Stored::Image(
                content.image,
                previous.content.manifest,
            )));
        }
        !over
    });
    if gone > 0 {
        draft.require(tags_unchanged(tables, content.image));
    }
    content.newest = Some(highest).filter(|highest| *highest != content.version);
    draft.replace(&content);
    // The same content again: nobody has ordered that to be deleted.
    draft.forget::<Removal>(&Stored::Image(content.image, present));
    let image = Image {
        size: format!("{}:", content.logical_bytes.bytes()),
        srvsize: i64::try_from(content.stored_bytes.bytes()).unwrap_or(i64::MAX),
        ..Image::clone(row)
    };
    let image = fit(image, tables);
    draft.update(row, &image)
}

/// Takes the chosen earlier versions away, and orders their removal. Returns how many.
fn retire(
    draft: &mut Draft<'_>,
    content: &ImageContent,
    mut is_chosen: impl FnMut(&Previous) -> bool,
) -> usize {
    let mut chosen = 0;
    let (gone, left): (Vec<_>, Vec<_>) = content.previous.iter().cloned().partition(|previous| {
        let is_gone = is_chosen(previous) && chosen < BATCH;
        chosen += usize::from(is_gone);
        is_gone
    });
    if gone.is_empty() {
        return 0;
    }
    draft.require(tags_unchanged(draft.tables(), content.image));
    for previous in &gone {
        let what = Stored::Image(content.image, previous.content.manifest);
        draft.store(&Removal::new(what));
    }
    let highest = newest(content);
    draft.replace(&ImageContent {
        previous: left,
        newest: Some(highest).filter(|highest| *highest != content.version),
        ..content.clone()
    });
    gone.len()
}

/// Holds as long as the image has the content that it has now, or none.
pub(crate) fn unchanged(tables: &Tables, image: ImageId) -> Compare {
    match tables.contents().get(&image) {
        Some(content) => content.unchanged(),
        None => Compare::Absent(ImageContent::key_of(&image)),
    }
}
