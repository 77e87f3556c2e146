//! Which version of its image a deploy writes.
//!
//! A deploy that waits has none yet, unless its order names one: it gets what the image is when its
//! machine comes. From then on it keeps that version, whatever is captured meanwhile. The hosts of
//! a multicast session receive one stream, so the first of them that comes decides for all.

mod kept;

pub use kept::{UndoError, Unusable, drop, undo};
pub(crate) use kept::{make_room, retire_old, store, unchanged};

use foghorn_types::{ImageId, ManifestId, SessionId, StorageGroupId, StorageNodeId};

use super::multicast::{is_active, session_of};
use super::sites;
use crate::agents::health::Health;
use crate::agents::live::{Live, NodeLive};
use crate::state::classes::{Image, MulticastSession, StorageNode};
use crate::state::content::ImageContent;
use crate::state::multicast::{Fixed, SessionPlan};
use crate::state::run::{Run, RunKind};
use crate::state::shelf::Record as _;
use crate::state::{Draft, Refusal, Tables, TaskRefusal};

/// The version that a deploy has, or would get if its machine came now; `None` for a capture, and
/// when the image has no content.
#[must_use]
pub fn of_run(tables: &Tables, run: &Run) -> Option<Fixed> {
    let RunKind::Deploy { manifest, version } = run.kind else {
        return None;
    };
    let content = tables.contents().get(&run.image);
    if let Some(manifest) = manifest {
        let known = content.and_then(|content| content.with_manifest(manifest));
        let version = version.or(known.map(|known| known.version));
        return Some(Fixed { manifest, version });
    }
    session_of(tables, run.task)
        .and_then(|row| of_session(tables, row.key()?))
        .or_else(|| content.map(|content| content.fixed()))
}

/// The version of a session: that of its first host, or the one that its order names.
fn of_session(tables: &Tables, session: SessionId) -> Option<Fixed> {
    tables.session_plans().get(&session)?.fixed
}

/// The version that an order names, of the kind of its runs.
pub(crate) fn named(kind: RunKind) -> Option<Fixed> {
    match kind {
        RunKind::Deploy { manifest, version } => {
            manifest.map(|manifest| Fixed { manifest, version })
        }
        RunKind::Capture => None,
    }
}

/// The version that an order names.
///
/// # Errors
/// [`TaskRefusal::NoVersion`] when it is not kept.
pub(crate) fn pinned(content: &ImageContent, version: u32) -> Result<RunKind, TaskRefusal> {
    let content = content
        .numbered(version)
        .ok_or(TaskRefusal::NoVersion { version })?;
    Ok(RunKind::Deploy {
        manifest: Some(content.manifest),
        version: Some(version),
    })
}

/// What the version contains that a deploy has or would get; `None` also when it is no longer kept.
#[must_use]
pub fn content_of<'t>(tables: &'t Tables, run: &Run) -> Option<&'t ImageContent> {
    let fixed = of_run(tables, run)?;
    tables
        .contents()
        .get(&run.image)?
        .with_manifest(fixed.manifest)
}

/// Gives a deploy whose machine is there its version, for good. The draft is worth nothing if the
/// image, or its session, gets another one meanwhile.
///
/// # Errors
/// [`TaskRefusal`] when the image has changed since the order, so that it can no longer be deployed
/// this way.
pub(crate) fn fix(draft: &mut Draft<'_>, run: &mut Run) -> Result<(), Refusal> {
    let RunKind::Deploy { manifest: None, .. } = run.kind else {
        return Ok(());
    };
    let tables = draft.tables();
    let content = tables
        .contents()
        .get(&run.image)
        .ok_or(TaskRefusal::NoContent)?;
    draft.require(content.unchanged());
    let fixed = match session_of(tables, run.task).and_then(|row| row.key()) {
        None => content.fixed(),
        Some(session) => {
            let plan = tables.session_plans().get(&session);
            let mut plan = plan.map_or_else(|| SessionPlan::new(session), |plan| (**plan).clone());
            let fixed = of_session(tables, session).unwrap_or(content.fixed());
            plan.fixed = Some(fixed);
            draft.replace(&plan);
            fixed
        }
    };
    if let Some(content) = content.with_manifest(fixed.manifest) {
        super::tasks::recheck(tables, run, content)?;
    }
    run.kind = RunKind::Deploy {
        manifest: Some(fixed.manifest),
        version: fixed.version,
    };
    Ok(())
}

/// Refuses a deploy of content that is damaged, and that no connected node of the storage group has
/// whole.
///
/// # Errors
/// [`TaskRefusal::DamagedImage`].
pub(crate) fn refuse_damaged(
    tables: &Tables,
    health: &Health,
    content: &ImageContent,
    group: StorageGroupId,
) -> Result<(), TaskRefusal> {
    let Some(at) = health.of(content.manifest) else {
        return Ok(());
    };
    let serves = |node: &StorageNodeId| {
        let row = tables.of::<StorageNode>().get(node.get());
        row.is_some_and(|row| row.serves() && row.group() == Some(group))
    };
    if at.whole_on.iter().any(serves) {
        return Ok(());
    }
    Err(TaskRefusal::DamagedImage {
        image: content.image,
        node: at.node,
        chunks: at.chunks,
    })
}

/// The same, for a deploy whose machine is there.
pub(crate) fn refuse_damaged_run(
    tables: &Tables,
    health: &Health,
    run: &Run,
) -> Result<(), TaskRefusal> {
    match content_of(tables, run) {
        Some(content) => {
            let tiers = sites::tiers(tables, run);
            let mut looks = tiers
                .into_iter()
                .map(|group| refuse_damaged(tables, health, content, group));
            let first = looks.next().unwrap_or(Ok(()));
            // Whole at any site that may serve it.
            first.or_else(|why| match looks.any(|look| look.is_ok()) {
                true => Ok(()),
                false => Err(why),
            })
        }
        None => Ok(()),
    }
}

/// Whether the node holds what the deploy writes, whole as far as it knows. A capture goes to any
/// node.
#[must_use]
pub(crate) fn holds(tables: &Tables, live: &Live, node: StorageNodeId, run: &Run) -> bool {
    let Some(fixed) = of_run(tables, run) else {
        return true;
    };
    let stored = content_of(tables, run).is_some_and(|content| content.nodes.contains(&node));
    let live = live.node(node);
    let has = |live: &NodeLive| live.manifests.contains(&(run.image, fixed.manifest));
    let damaged = |live: &NodeLive| live.damaged.contains_key(&fixed.manifest);
    (stored || live.as_ref().is_some_and(has)) && !live.as_ref().is_some_and(damaged)
}

/// Whether a deploy, or a multicast session, that has not ended relies on this version of an image.
#[must_use]
pub(crate) fn is_in_use(tables: &Tables, image: ImageId, manifest: ManifestId) -> bool {
    let by_run = tables.runs().active().any(|run| {
        matches!(run.kind, RunKind::Deploy { manifest: Some(own), .. } if own == manifest)
            && run.image == image
    });
    let by_session = || {
        tables.session_plans().iter().any(|plan| {
            let sends = tables.of::<MulticastSession>().get(plan.session.get());
            plan.fixed.is_some_and(|fixed| fixed.manifest == manifest)
                && sends.is_some_and(|row| row.image == image.get())
                && is_active(tables, plan.session)
        })
    };
    by_run || by_session()
}

/// Refuses a capture into a protected image. The draft is worth nothing if the image changes
/// meanwhile.
///
/// # Errors
/// [`TaskRefusal::ProtectedImage`].
pub(crate) fn refuse_protected(draft: &mut Draft<'_>, run: &Run) -> Result<(), Refusal> {
    let row = draft.tables().of::<Image>().get(run.image.get());
    let Some(row) = row.filter(|_| run.kind == RunKind::Capture) else {
        return Ok(());
    };
    draft.unchanged(row);
    if row.protected == 0 {
        Ok(())
    } else {
        Err(TaskRefusal::ProtectedImage { image: run.image }.into())
    }
}
